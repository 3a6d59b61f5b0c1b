"""Scores, each with what it is when speakers are left out one by one.

Every score is a function of sums over samples (a confusion matrix, log-losses, calibration bins, moments). Sums are
taken once per speaker; the score without one of them costs next to nothing, and the spread of those scores is what an
interval (`affectlake.models.intervals`) is made of.
"""

from dataclasses import dataclass
from functools import cached_property

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
    def _by_group(self):
        from scipy.sparse import csr_array

        n = len(self.group)
        return csr_array((np.ones(n), (self.group, np.arange(n))), shape=(self.weights.shape[1], n))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums of ``values`` [shape=(n, k)] in each draw [shape=(1 + draws, k)]."""
        return self.weights @ (self._by_group @ values)

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


def classification(truth: np.ndarray, probability: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    """Scores of a classifier in each draw.

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
        ``uar`` (unweighted average recall), ``accuracy``, ``f1_macro``, ``f1_weighted``, ``log_loss`` (nats),
        ``brier`` (sum over classes, 0 to 2), ``ece``; the first entry is that of the data itself. A mean over classes
        is NaN in a draw that lacks one of the data's: it would be another quantity.
    """
    n, k = probability.shape
    predicted = probability.argmax(axis=1)
    confusion = draws.counts(truth * k + predicted, k * k).reshape(-1, k, k)
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
        "ece": _ece(probability.max(axis=1), predicted == truth, draws) / total,
    }


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of what is there in each row, NaN where nothing is."""
    known = ~np.isnan(values)
    n = known.sum(axis=1)
    return np.divide(np.where(known, values, 0).sum(axis=1), n, out=np.full(len(values), np.nan), where=n > 0)


def _ece(confidence: np.ndarray, hit: np.ndarray, draws: Draws) -> np.ndarray:
    """Expected calibration error times n: Guo et al. (2017), equal-width bins."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gap = np.zeros((len(confidence), BINS))
    gap[np.arange(len(confidence)), bins] = confidence - hit
    return np.abs(draws.sums(gap)).sum(axis=1)


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


def recalls(truth: np.ndarray, probability: np.ndarray, draws: Draws) -> np.ndarray:
    """Recall of each class in each draw [shape=(1 + draws, classes)], NaN where a draw has none of it."""
    k = probability.shape[1]
    hit = probability.argmax(axis=1) == truth
    cells = draws.counts(truth + k * hit, 2 * k)
    found = cells[:, k:]
    actual = cells[:, :k] + found
    return np.divide(found, actual, out=np.full_like(found, np.nan), where=actual > 0)


def speakers_of_classes(truth: np.ndarray, group: np.ndarray, classes: int) -> np.ndarray:
    """How many speakers have each class [shape=(classes,)]."""
    return np.array([len(np.unique(group[truth == c])) for c in range(classes)])
