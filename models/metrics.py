"""Scores, each with what it is when speakers are left out one by one.

Every score is a function of sums over samples (a confusion matrix, log-losses, calibration bins, moments). Sums are
taken once per speaker; the score without one of them costs next to nothing, and the spread of those scores is what an
interval (`affectlake.models.intervals`) is made of.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from affectlake.models.intervals import holm, interval, paired_p, share_interval

__all__ = ["Draws", "classification", "holm", "interval", "paired_p", "recalls", "regression", "share_interval"]

BINS = 10
"""Bins of the expected calibration error, of equal width over the highest probability."""

BLOCKS = 200
"""Most parts that are left out one by one: of more speakers (or samples, where nobody says who speaks), several are
left out together, so that memory stays the same however many there are."""

CLASSIFICATION = ("uar", "accuracy", "f1_macro", "f1_weighted", "log_loss", "brier", "ece")
REGRESSION = ("ccc", "pearson", "mae")
_EPS = 1e-7
_VALUES = 2**21  # of draws times samples at a time


@dataclass(frozen=True)
class Draws:
    """Which speakers a score is taken of, again and again.

    Attributes
    ----------
    group : int array, shape=(n,)
        Speaker, or block of speakers, of each scored sample.
    weights : float array, shape=(1 + draws, speakers)
        How often each counts. The first row is the data itself, all ones.
    """

    group: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, groups: np.ndarray, most: int = BLOCKS, seed: int = 0) -> "Draws":
        """The data itself, then without each speaker; of more than ``most`` speakers, without blocks of equal size."""
        group, n = blocks(groups, most, seed)
        if n == 1:
            return cls(group, np.ones((1, 1)))  # nothing is left without it
        return cls(group, np.vstack([np.ones((1, n)), 1 - np.eye(n)]))

    @cached_property
    def _by_group(self) -> Any:
        from scipy.sparse import csr_array

        n = len(self.group)
        return csr_array((np.ones(n), (self.group, np.arange(n))), shape=(self.weights.shape[1], n))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums of ``values`` [shape=(n, k)] in each draw [shape=(1 + draws, k)]."""
        found: np.ndarray = self.weights @ (self._by_group @ values)
        return found

    def counts(self, codes: np.ndarray, size: int) -> np.ndarray:
        """How often each of ``size`` codes [shape=(n,)] is there in each draw [shape=(1 + draws, size)]."""
        n = self.weights.shape[1]
        found = np.bincount(self.group * size + codes, minlength=n * size)
        return self.weights @ found.reshape(n, size).astype(np.float64)


def blocks(groups: np.ndarray, most: int = BLOCKS, seed: int = 0) -> tuple[np.ndarray, int]:
    """Position of the block of each sample [shape=(n,)], and how many blocks there are: a group each, or several."""
    names, group = np.unique(groups, return_inverse=True)
    if len(names) <= most:
        return group, len(names)
    dealt = np.random.default_rng(seed).permutation(len(names)) % max(most, 1)
    return dealt[group], max(most, 1)


def classification(
    truth: np.ndarray, probability: np.ndarray, draws: Draws, predicted: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Scores of a classifier in each draw.

    Parameters
    ----------
    truth : int array, shape=(n,)
        Class indices.
    probability : float array, shape=(n, classes)
        Rows sum to one.
    draws : Draws
    predicted : int array, shape=(n,), optional
        Class indices; default: the most probable one.

    Returns
    -------
    dict of str to float array, shape=(1 + draws,)
        ``uar`` (unweighted average recall), ``accuracy``, ``f1_macro``, ``f1_weighted``, ``log_loss`` (nats),
        ``brier`` (sum over classes, 0 to 2), ``ece`` (less what chance adds to it); the first entry is that of the
        data itself. A mean over classes is NaN in a draw that lacks one of the data's: it would be another quantity.
    """
    n, k = probability.shape
    predicted = probability.argmax(axis=1) if predicted is None else predicted
    confusion = _confusion(truth, predicted, k, draws)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    actual, claimed = confusion.sum(axis=2), confusion.sum(axis=1)
    total = actual.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(actual > 0, hits / actual, np.nan)
        f1 = np.where(actual + claimed > 0, 2 * hits / (actual + claimed), np.nan)
    lacking = ((actual[0] > 0) & (actual == 0)).any(axis=1)
    own = np.clip(probability[np.arange(n), truth], _EPS, 1)
    brier = (probability**2).sum(axis=1) - 2 * probability[np.arange(n), truth] + 1
    means = draws.sums(np.column_stack([-np.log(own), brier])) / total[:, None]
    return {
        "uar": np.where(lacking, np.nan, _mean(recall)),
        "accuracy": hits.sum(axis=1) / total,
        "f1_macro": np.where(lacking, np.nan, _mean(f1)),
        "f1_weighted": np.nansum(f1 * actual, axis=1) / total,
        "log_loss": means[:, 0],
        "brier": means[:, 1],
        "ece": _ece(probability.max(axis=1), probability.argmax(axis=1) == truth, draws) / total,
    }


def binary(truth: np.ndarray, p: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    """Of two classes in each draw: ``auc`` (area under the ROC curve) and ``ap`` (average precision of the second).

    Parameters
    ----------
    truth : int array, shape=(n,)
        0 or 1.
    p : float array, shape=(n,)
        Of the second class.
    draws : Draws
        NaN where a draw has one class only.
    """
    order = np.argsort(-p, kind="stable")
    ends = np.append(p[order][1:] != p[order][:-1], True)
    group, positive = draws.group[order], truth[order] == 1
    # Some draws at a time: all of them would take as many copies of the samples.
    step = max(1, _VALUES // max(1, len(p)))
    parts = [draws.weights[i : i + step] for i in range(0, len(draws.weights), step)]
    auc, ap = np.concatenate([_ranked(weights[:, group], positive, ends) for weights in parts], axis=1)
    return {"auc": auc, "ap": ap}


def _ranked(weight: np.ndarray, positive: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """AUC and average precision [shape=(2, draws)] of samples by falling score; ``ends``: of those of equal scores."""
    hits = np.cumsum(weight * positive, axis=1)[:, ends]
    taken = np.cumsum(weight, axis=1)[:, ends]
    gained = np.diff(hits, axis=1, prepend=0.0)
    false = np.diff(taken - hits, axis=1, prepend=0.0)
    all_positive, negative = hits[:, -1], taken[:, -1] - hits[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        auc = (false * (hits - gained / 2)).sum(axis=1) / (all_positive * negative)
        ap = np.nansum(gained * hits / taken, axis=1) / all_positive
    return np.stack([auc, np.where(all_positive > 0, ap, np.nan)])


def ordinal(
    truth: np.ndarray, predicted: np.ndarray, probability: np.ndarray, steps: np.ndarray, draws: Draws
) -> dict[str, np.ndarray]:
    """Scores of ratings in each draw.

    Parameters
    ----------
    truth, predicted : int array, shape=(n,)
        Positions in ``steps``.
    probability : float array, shape=(n, k)
    steps : float array, shape=(k,)
        The ratings, in order.
    draws : Draws

    Returns
    -------
    dict of str to float array, shape=(1 + draws,)
        ``qwk`` (quadratic weighted kappa, Cohen 1968), ``mae`` (in ratings), ``within_one`` (off by one step at most),
        ``accuracy``, ``log_loss``.

    Examples
    --------
    >>> once = Draws.of(np.zeros(4, dtype=int))
    >>> found = ordinal(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1]), np.eye(3)[[0, 1, 2, 2]], np.arange(3.0), once)
    >>> {k: round(float(v[0]), 3) for k, v in found.items()}
    {'qwk': 0.8, 'mae': 0.25, 'within_one': 1.0, 'accuracy': 0.75, 'log_loss': 0.0}
    """
    k = len(steps)
    confusion = _confusion(truth, predicted, k, draws)
    total = confusion.sum(axis=(1, 2))
    apart = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    expected = np.einsum("dt,dp->dtp", confusion.sum(axis=2), confusion.sum(axis=1)) / total[:, None, None]
    own = np.clip(probability[np.arange(len(truth)), truth], _EPS, 1)

    def over(cost: np.ndarray, table: np.ndarray) -> np.ndarray:
        found: np.ndarray = (table * cost).sum(axis=(1, 2))
        return found

    chance = over(apart**2, expected)
    return {
        "qwk": 1 - np.divide(over(apart**2, confusion), chance, out=np.ones(len(total)), where=chance > 0),
        "mae": over(np.abs(np.subtract.outer(steps, steps)), confusion) / total,
        "within_one": over(apart <= 1, confusion) / total,
        "accuracy": over(apart == 0, confusion) / total,
        "log_loss": draws.sums(-np.log(own)[:, None])[:, 0] / total,
    }


def multilabel(
    truth: np.ndarray, probability: np.ndarray, predicted: np.ndarray, draws: Draws
) -> dict[str, np.ndarray]:
    """Scores of several labels at once in each draw.

    Parameters
    ----------
    truth, predicted : int array, shape=(n, labels)
        0 or 1.
    probability : float array, shape=(n, labels)
    draws : Draws

    Returns
    -------
    dict of str to float array, shape=(1 + draws,)
        ``f1_macro`` (mean over the labels that are there; NaN in a draw that lacks one of them), ``f1_micro``,
        ``exact`` (all labels of a sample right), ``label_accuracy``, ``log_loss`` (mean over labels).
    """
    k = truth.shape[1]
    p = np.clip(probability, _EPS, 1 - _EPS)
    loss = -np.where(truth == 1, np.log(p), np.log(1 - p)).mean(axis=1)
    right = truth == predicted
    sums = draws.sums(
        np.column_stack(
            [truth * predicted, truth, predicted, right.all(axis=1), right.mean(axis=1), loss, np.ones(len(truth))]
        ).astype(np.float64)
    )
    hits, actual, claimed = sums[:, :k], sums[:, k : 2 * k], sums[:, 2 * k : 3 * k]
    exact, each, losses, n = sums[:, 3 * k :].T
    f1 = np.divide(2 * hits, actual + claimed, out=np.zeros_like(hits), where=actual + claimed > 0)
    f1 = np.where(actual[0] > 0, f1, np.nan)
    lacking = ((actual[0] > 0) & (actual == 0)).any(axis=1)
    whole = actual.sum(axis=1) + claimed.sum(axis=1)
    return {
        "f1_macro": np.where(lacking, np.nan, _mean(f1)),
        "f1_micro": np.divide(2 * hits.sum(axis=1), whole, out=np.zeros(len(n)), where=whole > 0),
        "exact": exact / n,
        "label_accuracy": each / n,
        "log_loss": losses / n,
    }


def votes(shares: np.ndarray, probability: np.ndarray, predicted: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    """Scores against what raters voted for, in each draw.

    Parameters
    ----------
    shares : float array, shape=(n, classes)
        Of the votes; rows sum to one.
    probability : float array, shape=(n, classes)
    predicted : int array, shape=(n,)
    draws : Draws

    Returns
    -------
    dict of str to float array, shape=(1 + draws,)
        ``soft_accuracy`` (share of raters who say what is predicted), ``accuracy`` (it is the plurality, or one of
        several), ``cross_entropy`` (nats), ``brier`` (squared distance of the distributions).
    """
    own = shares[np.arange(len(shares)), predicted]
    entropy = -(shares * np.log(np.clip(probability, _EPS, 1))).sum(axis=1)
    apart = ((shares - probability) ** 2).sum(axis=1)
    hit = own >= shares.max(axis=1) - 1e-9
    sums = draws.sums(np.column_stack([own, hit, entropy, apart, np.ones(len(own))]))
    means = sums[:, :-1] / sums[:, -1:]
    return dict(zip(("soft_accuracy", "accuracy", "cross_entropy", "brier"), means.T, strict=True))


def _confusion(truth: np.ndarray, predicted: np.ndarray, k: int, draws: Draws) -> np.ndarray:
    """Confusion matrix of each draw [shape=(1 + draws, k, k)], the truth in rows."""
    return draws.counts(truth * k + predicted, k * k).reshape(-1, k, k)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of what is there in each row, NaN where nothing is."""
    known = ~np.isnan(values)
    n = known.sum(axis=1)
    out = np.full(len(values), np.nan)
    np.divide(np.where(known, values, 0).sum(axis=1), n, out=out, where=n > 0)
    return out


def binned(confidence: np.ndarray) -> np.ndarray:
    """Bin of each highest probability [shape=(n,)], 0 to `BINS` - 1, of equal width."""
    found: np.ndarray = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return found


def _ece(confidence: np.ndarray, hit: np.ndarray, draws: Draws) -> np.ndarray:
    """Expected calibration error (Guo et al. 2017, equal-width bins) times n, without what chance adds to it.

    A bin's gap between confidence and accuracy is never quite zero, however well calibrated the answers are. What its
    spread over speakers adds to its absolute value, were it normal, is taken off (Kumar et al. 2019).
    """
    from scipy.special import ndtr

    groups = draws.weights.shape[1]
    cell = draws.group * BINS + binned(confidence)
    gap = np.bincount(cell, confidence - hit, groups * BINS).reshape(groups, BINS)
    n = np.bincount(cell, minlength=groups * BINS).reshape(groups, BINS).astype(np.float64)
    total, size, speakers = (draws.weights @ v for v in (gap, n, (n > 0).astype(np.float64)))
    rate = np.divide(total, size, out=np.zeros_like(total), where=size > 0)
    spread = draws.weights @ gap**2 - 2 * rate * (draws.weights @ (gap * n)) + rate**2 * (draws.weights @ n**2)
    few = np.divide(speakers, speakers - 1, out=np.zeros_like(total), where=speakers > 1)
    # Of one speaker's bin nobody knows the spread: as large as the gap.
    deviation = np.sqrt(np.maximum(np.where(speakers > 1, spread * few, total**2), 0)) + 1e-12
    ratio = np.abs(total) / deviation
    expected = deviation * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + np.abs(total) * (1 - 2 * ndtr(-ratio))
    found: np.ndarray = np.maximum((2 * np.abs(total) - expected).sum(axis=1), 0.0)
    return found


def regression(truth: np.ndarray, predicted: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    """Scores of a regressor in each draw: ``ccc`` (Lin 1989), ``pearson``, ``mae``."""
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


def sentiment(truth: np.ndarray, predicted: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    """MOSI's accuracies in each draw: ``acc2`` (negative or positive, zeros left out), ``acc7`` (rounded to -3 … 3)."""
    signed = truth != 0
    hit = signed & ((truth > 0) == (predicted > 0))
    seven = np.round(np.clip(truth, -3, 3)) == np.round(np.clip(predicted, -3, 3))
    sums = draws.sums(np.column_stack([hit, signed, seven, np.ones(len(truth))]).astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"acc2": sums[:, 0] / sums[:, 1], "acc7": sums[:, 2] / sums[:, 3]}


def recalls(truth: np.ndarray, decided: np.ndarray, k: int, draws: Draws) -> np.ndarray:
    """Recall of each of ``k`` classes in each draw [shape=(1 + draws, k)], NaN where a draw has none of it.

    ``truth``, ``decided``: class indices [shape=(n,)].
    """
    hit = decided == truth
    cells = draws.counts(truth + k * hit, 2 * k)
    found = cells[:, k:]
    actual = cells[:, :k] + found
    out = np.full_like(found, np.nan)
    np.divide(found, actual, out=out, where=actual > 0)
    return out


def speakers_of_classes(truth: np.ndarray, group: np.ndarray, classes: int) -> np.ndarray:
    """How many speakers have each class or label [shape=(classes,)].

    ``truth``: class indices [shape=(n,)], or 0 and 1 (shares of votes) by label [shape=(n, classes)].
    """
    has = (truth == c if truth.ndim == 1 else truth[:, c] > 0 for c in range(classes))
    return np.array([len(np.unique(group[h])) for h in has], dtype=np.int64)
