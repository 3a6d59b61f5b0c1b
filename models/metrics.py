"""Scores with intervals by bootstrap over speakers.

Every score is a function of sums over samples (a confusion matrix, log-losses, calibration bins, moments). Sums are
taken once per speaker; a bootstrap sample of speakers is then a weighted sum of those, and thousands cost little.
"""

from dataclasses import dataclass

import numpy as np

BINS = 10
"""Bins of the expected calibration error, of equal width over the highest probability."""

CLASSIFICATION = ("uar", "accuracy", "f1_macro", "f1_weighted", "log_loss", "brier", "ece")
REGRESSION = ("ccc", "pearson", "mae")
_EPS = 1e-7


@dataclass(frozen=True)
class Draws:
    """Bootstrap samples of speakers: how often each was drawn.

    Attributes
    ----------
    group : int array, shape=(n,)
        Speaker of each scored sample.
    weights : float array, shape=(1 + draws, speakers)
        The first row is the data itself, all ones.
    """

    group: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, groups: np.ndarray, draws: int, seed: int) -> "Draws":
        names, group = np.unique(groups, return_inverse=True)
        n = len(names)
        drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
        return cls(group, np.vstack([np.ones((1, n)), drawn]))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums of ``values`` [shape=(n, k)] in each bootstrap sample [shape=(1 + draws, k)]."""
        per_group = np.zeros((self.weights.shape[1], values.shape[1]))
        np.add.at(per_group, self.group, values)
        return self.weights @ per_group


def classification(truth: np.ndarray, probability: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    """Scores of a classifier in each bootstrap sample.

    Parameters
    ----------
    truth : int array, shape=(n,)
        Class indices.
    probability : float array, shape=(n, classes)
        Rows sum to one. The predicted class is the most probable one.
    draws : Draws

    Returns
    -------
    dict of str to float array, shape=(1 + draws,)
        ``uar`` (unweighted average recall; classes absent from a bootstrap sample do not count), ``accuracy``,
        ``f1_macro``, ``f1_weighted``, ``log_loss`` (nats), ``brier`` (sum over classes, 0 to 2), ``ece``; the first
        entry is that of the data itself.
    """
    n, k = probability.shape
    predicted = probability.argmax(axis=1)
    cells = np.zeros((n, k * k))
    cells[np.arange(n), truth * k + predicted] = 1
    confusion = draws.sums(cells).reshape(-1, k, k)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    actual, claimed = confusion.sum(axis=2), confusion.sum(axis=1)
    total = actual.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(actual > 0, hits / actual, np.nan)
        f1 = np.where(actual + claimed > 0, 2 * hits / (actual + claimed), np.nan)
    own = np.clip(probability[np.arange(n), truth], _EPS, 1)
    brier = (probability**2).sum(axis=1) - 2 * probability[np.arange(n), truth] + 1
    means = draws.sums(np.column_stack([-np.log(own), brier])) / total[:, None]
    return {
        "uar": np.nanmean(recall, axis=1),
        "accuracy": hits.sum(axis=1) / total,
        "f1_macro": np.nanmean(f1, axis=1),
        "f1_weighted": np.nansum(f1 * actual, axis=1) / total,
        "log_loss": means[:, 0],
        "brier": means[:, 1],
        "ece": _ece(probability.max(axis=1), predicted == truth, draws) / total,
    }


def _ece(confidence: np.ndarray, hit: np.ndarray, draws: Draws) -> np.ndarray:
    """Expected calibration error times n: Guo et al. (2017), equal-width bins."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gap = np.zeros((len(confidence), BINS))
    gap[np.arange(len(confidence)), bins] = confidence - hit
    return np.abs(draws.sums(gap)).sum(axis=1)


def regression(truth: np.ndarray, predicted: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    """Scores of a regressor in each bootstrap sample: ``ccc`` (Lin 1989), ``pearson``, ``mae``."""
    # About the mean of the truth: moments about zero would cancel.
    y, p = truth - truth.mean(), predicted - truth.mean()
    sums = draws.sums(np.column_stack([np.ones_like(y), y, p, y * y, p * p, y * p, np.abs(y - p)]))
    n, sy, sp, syy, spp, syp, absolute = sums.T
    my, mp = sy / n, sp / n
    vy, vp, cov = syy / n - my**2, spp / n - mp**2, syp / n - my * mp
    with np.errstate(invalid="ignore", divide="ignore"):
        ccc = 2 * cov / (vy + vp + (my - mp) ** 2)
        pearson = np.where(vp > 1e-12, cov / np.sqrt(np.maximum(vy * vp, 1e-24)), 0.0)
    return {"ccc": np.nan_to_num(ccc), "pearson": pearson, "mae": absolute / n}


def recalls(truth: np.ndarray, probability: np.ndarray, draws: Draws) -> np.ndarray:
    """Recall of each class in each bootstrap sample [shape=(1 + draws, classes)], NaN where a sample has none of it."""
    k = probability.shape[1]
    own = np.eye(k)[truth]
    hits = own * (probability.argmax(axis=1) == truth)[:, None]
    actual, found = draws.sums(own), draws.sums(hits)
    return np.divide(found, actual, out=np.full_like(found, np.nan), where=actual > 0)


def interval(values: np.ndarray, level: float = 0.95) -> dict[str, float]:
    """``value`` on the data itself, ``low`` and ``high`` by the percentile bootstrap over the draws that have one."""
    tail, drawn = (1 - level) / 2, values[1:][~np.isnan(values[1:])]
    low, high = np.quantile(drawn, [tail, 1 - tail]) if len(drawn) else (values[0], values[0])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share of independent trials (Wilson 1927)."""
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(0.95, "wilson")
    return float(found.low), float(found.high)


def paired_p(best: np.ndarray, other: np.ndarray) -> float:
    """Two-sided bootstrap p-value of a difference, both scored on the same draws of speakers."""
    difference = best[1:] - other[1:]
    below, above = (difference <= 0).mean(), (difference >= 0).mean()
    # Never zero: with b draws the smallest that can be told is 1 / (b + 1) (Davison & Hinkley 1997, 4.2).
    return float(min(1.0, 2 * max(min(below, above), 1 / (len(difference) + 1))))


def holm(p: list[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979)."""
    order = np.argsort(p)
    steps = np.maximum.accumulate([(len(p) - i) * p[j] for i, j in enumerate(order)]) if p else []
    out = np.empty(len(p))
    out[order] = np.minimum(steps, 1.0)
    return [float(v) for v in out]
