"""Intervals and tests at the number of speakers there is.

Speakers are the units: what a score is without each of them tells how much it hangs on who was recorded, and Student's
t pays for there being few. A percentile bootstrap does not (its 95 % interval holds the truth in 81 of 100 cases over
four speakers). Nor are speakers independent who were tested by models that were trained on each other: what one of them
has in common with another counts in both scores, so that cross-validated errors are wider (`overlap`).
`benchmarks/statistics.py` simulates all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from affectlake.models.document import Score

METHOD = "jackknife-t"
"""What results call it."""

FEWEST = 5
"""Speakers below which nothing is said: with four, one unusual speaker is all that there is to see of the spread."""

SHARES = (
    "uar",
    "accuracy",
    "f1_macro",
    "f1_weighted",
    "f1_micro",
    "auc",
    "ap",
    "within_one",
    "exact",
    "label_accuracy",
    "soft_accuracy",
    "acc2",
    "acc7",
)
"""Scores from 0 to 1, whose intervals are taken on the scale of logits, which keeps them there."""

CORRELATIONS = ("ccc", "pearson", "qwk")
"""Scores from -1 to 1, whose intervals are taken on Fisher's scale."""

_EDGE = 1e-4


@dataclass(frozen=True)
class Spread:
    """A score on a scale where its spread is even.

    Attributes
    ----------
    value, error : float
        On that scale; the error is the jackknife's standard error.
    freedom : float
        Degrees of freedom of the error.
    """

    value: float
    error: float
    freedom: float


def overlap(trained: Sequence[int], tested: Sequence[int]) -> float:
    """By what the variance of a score grows because its folds' training sets overlap: Nadeau & Bengio (2003).

    Parameters
    ----------
    trained, tested : sequence of int
        Samples of each fold of one repetition.

    Returns
    -------
    float
        1 of a single fold; ``1 + k / (k - 1)`` of k folds of equal size.

    Examples
    --------
    >>> overlap([80] * 5, [20] * 5)
    2.25
    """
    if len(trained) < 2:
        return 1.0
    return 1.0 + float(sum(b / a for a, b in zip(trained, tested, strict=True)))


def too_few(n: int, unit: str = "speaker", of: str = "") -> str | None:
    """Why there is neither interval nor p over ``n`` tested speakers (``unit``); None where there is.

    Examples
    --------
    >>> too_few(2, "group", " of this class")
    '2 tested groups of this class: intervals and p take at least 5'
    """
    if n >= FEWEST:
        return None
    return f"{n} tested {unit}{'' if n == 1 else 's'}{of}: intervals and p take at least {FEWEST}"


def freedom(counts: np.ndarray) -> float:
    """Degrees of freedom of a mean over classes, of which each has so many speakers [shape=(classes,)].

    Satterthwaite's (1946), the recalls' variances being taken as falling with their number of speakers: a class that
    two speakers have is known from these two, however many have the others.
    """
    n = counts[counts > 1].astype(float)
    if not len(n):
        return 0.0
    return float((1 / n).sum() ** 2 / (1 / (n**2 * (n - 1))).sum())


def interval(
    values: np.ndarray,
    score: str = "",
    df: float | None = None,
    reason: str | None = None,
    critical: float | None = None,
    inflation: float = 1.0,
) -> Score:
    """95 % interval of a score, or of a difference, from what it is without each speaker.

    Parameters
    ----------
    values : float array, shape=(1 + speakers,)
        On the data itself, then without each speaker; see `affectlake.models.metrics.Draws`.
    score : str
        Its name, which tells its scale; a difference has none.
    df : float, optional
        Degrees of freedom, at most one less than the number of speakers.
    reason : str, optional
        Why no interval can be had.
    critical : float, optional
        Standard errors that it reaches at least.
    inflation : float
        Of the variance, see `overlap`.

    Returns
    -------
    dict
        ``value``, ``low``, ``high``; where no interval can be had, these are None and ``reason`` says why.
    """
    value, left = float(values[0]), values[1:]
    reason = reason or too_few(len(left))
    if reason is None and np.isnan(left).any():
        reason = "a class that one speaker alone has: without that speaker it would be another score"
    if reason is not None:
        return {"value": value, "low": None, "high": None, "reason": reason}
    n = len(left)
    if score in SHARES and not _EDGE < value < 1 - _EDGE and np.ptp(left) < _EDGE:
        # Nothing varies where everything is right, or wrong: what as many speakers, all alike, still leave open.
        reach = 1 - 0.025 ** (1 / n)
        return {"value": value, "low": max(0.0, value - reach), "high": min(1.0, value + reach)}
    found = spread(values, score, df, inflation)
    reach = found.error * max(critical or 0.0, _t(found.freedom))
    low, high = (_back(v, score) for v in (found.value - reach, found.value + reach))
    if score in ("ece", "mae", "log_loss", "brier", "cross_entropy"):
        low = max(low, 0.0)
    # Rounding on the other scale must not put a value outside of its own interval.
    return {"value": value, "low": min(low, value), "high": max(high, value)}


def spread(values: np.ndarray, score: str = "", df: float | None = None, inflation: float = 1.0) -> Spread:
    """The jackknife's standard error (Efron & Stein 1981) on the score's even scale."""
    scaled = _forth(np.asarray(values, dtype=np.float64), score)
    n = len(scaled) - 1
    most = n - 1.0
    error = np.sqrt(inflation) * np.linalg.norm(_influence(scaled[1:]))
    return Spread(float(scaled[0]), float(error), min(df or most, most))


def _influence(left: np.ndarray) -> np.ndarray:
    """What each speaker adds to a score's deviation [shape=(speakers, …)]; the squares sum to its variance."""
    n = len(left)
    return (left.mean(axis=0) - left) * np.sqrt((n - 1) / n)


def _forth(values: np.ndarray, score: str) -> np.ndarray:
    if score in SHARES:
        share = np.clip(values, _EDGE, 1 - _EDGE)
        return np.log(share / (1 - share))
    if score in CORRELATIONS:
        return np.arctanh(np.clip(values, _EDGE - 1, 1 - _EDGE))
    return values


def _back(value: float, score: str) -> float:
    if score in SHARES:
        return float(1 / (1 + np.exp(-value)))
    if score in CORRELATIONS:
        return float(np.tanh(value))
    return float(value)


def _t(df: float, tail: float = 0.025) -> float:
    from scipy.stats import t

    return float(t.isf(tail, max(df, 1.0)))


def paired_p(one: np.ndarray, other: np.ndarray, inflation: float = 1.0) -> float | None:
    """Two-sided p of a difference that was asked for beforehand: a paired t over speakers.

    ``one``, ``other``: the scores on the data itself, then without each speaker [shape=(1 + speakers,)];
    ``inflation``: of the variance, see `overlap`.
    None below `FEWEST` speakers.
    """
    from scipy.stats import t

    difference = one - other
    n = len(difference) - 1
    if too_few(n) or np.isnan(difference).any():
        return None
    found = spread(difference, inflation=inflation)
    if found.error < 1e-12:
        return 1.0 if abs(found.value) < 1e-12 else float(2.0 ** (1 - n))  # all speakers agree: a test of signs
    return float(min(1.0, 2 * t.sf(abs(found.value) / found.error, found.freedom)))


def holm(p: list[float]) -> list[float]:
    """p-values of comparisons that were named beforehand, corrected for their number (Holm 1979)."""
    order = np.argsort(p)
    steps = np.array([(len(p) - i) * p[j] for i, j in enumerate(order)])
    out = np.empty(len(p))
    out[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(v) for v in out]


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share of independent trials (Wilson 1927)."""
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(0.95, "wilson")
    return float(found.low), float(found.high)


# Rows of one table


@dataclass(frozen=True)
class Comparison:
    """The rows of a table against the best of them, which was chosen by looking.

    Attributes
    ----------
    p : list of float, or of None
        Of each row, in the order given: that it is as good as the best. A range test, so that it holds although any
        row might have come out best; rows of p of .05 and more are a 95 % confidence set of those that may be best.
    reach : list of float or None
        Half-widths of simultaneous intervals of the differences from the best row.
    critical : float or None
        Standard errors that an interval of the best row reaches to hold although it is the best of so many.
    """

    p: list[float | None]
    reach: list[float | None]
    critical: float | None


def compare(scores: np.ndarray, score: str, draws: int = 5000, seed: int = 0, inflation: float = 1.0) -> Comparison:
    """Compare rows with the best one.

    Parameters
    ----------
    scores : float array, shape=(rows, 1 + speakers)
        Best first: on the data itself, then without each speaker.
    score : str
        See `interval`.
    draws : int
        Random draws of the rows' joint deviations.
    inflation : float
        Of the variance, see `overlap`.
    """
    from scipy.stats import norm

    rows, n = len(scores), scores.shape[1] - 1
    nothing: list[float | None] = [None] * rows
    if too_few(n) or np.isnan(scores).any():
        return Comparison(nothing, nothing, None)
    rng = np.random.default_rng(seed)
    value = scores[:, 0]
    # Deviations of all rows at once: each speaker's influence with a random factor, as far as Student's t reaches
    # beyond the normal distribution.
    wide = np.sqrt(inflation) * _t(n - 1) / norm.isf(0.025)
    factors = rng.normal(size=(draws, n))
    deviation = factors @ _influence(scores[:, 1:].T) * wide
    # Step by step: the worst row against all, the next one against all but that, and so on (Hansen et al. 2011).
    range_ = np.maximum.accumulate(deviation, axis=1) - np.minimum.accumulate(deviation, axis=1)
    p = (1 + (range_ >= value[0] - value - 1e-12).sum(axis=0)) / (draws + 1)
    p = np.maximum.accumulate(p[::-1])[::-1]
    p[0] = 1.0
    reach = np.maximum.accumulate(np.quantile(range_, 0.95, axis=0))
    scaled = _influence(_forth(scores, score)[:, 1:].T)
    error = np.linalg.norm(scaled, axis=0)
    varies = error > 1e-12
    critical = _t(n - 1)
    if varies.any():
        shared = np.sqrt(rng.chisquare(n - 1, size=draws) / (n - 1))
        largest = np.abs(factors @ (scaled[:, varies] / error[varies])).max(axis=1) / shared
        critical = max(critical, float(np.quantile(largest, 0.95)))
    return Comparison([float(v) for v in p], [float(v) for v in reach], critical)


def bagged(groups: int, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap samples of speakers that left some out, and whom they left out [shape=(draws, groups) both]."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws).astype(float)
    drawn = drawn[(drawn == 0).any(axis=1)]
    return drawn, (drawn == 0).astype(float)


def optimism(inside: np.ndarray, outside: np.ndarray, best: float) -> float | None:
    """By how much the best of many rows says too much, because it was chosen by what it says.

    Bootstrap bias-corrected cross-validation (Tsamardinos et al. 2018): the row that is best over a draw of speakers
    is scored by those that were not drawn.

    Parameters
    ----------
    inside, outside : float array, shape=(rows, draws)
        Scores over the drawn speakers and over the others; NaN where a class is missing.
    best : float
        Score of the best row over all.
    """
    known = ~(np.isnan(inside).any(axis=0) | np.isnan(outside).any(axis=0))
    if known.sum() < 50:
        return None
    chosen = inside[:, known].argmax(axis=0)
    return float(best - outside[:, known][chosen, np.arange(known.sum())].mean())
