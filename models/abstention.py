"""Abstention: how right answers are if those that are least sure are not given (Chow 1970; El-Yaniv & Wiener 2010)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from affectlake.models.document import Score
from affectlake.models.scores import Entry, Scorer
from affectlake.models.tasks import Target

AIMED = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""Shares of samples that are to be answered."""


@dataclass(frozen=True)
class Point:
    """What comes of answering some samples only.

    Attributes
    ----------
    aimed : float, 0 to 1
        Share of samples whose answers are to be given: the threshold is that of the training part's inner folds.
    coverage : float, 0 to 1
        Share of the tested samples that were answered.
    accuracy : Score
        Of these.
    speakers : int
        Of whom at least one sample was answered.
    """

    aimed: float
    coverage: float
    accuracy: Score
    speakers: int


def points(scorer: Scorer, entry: Entry) -> list[Point]:
    """Accuracy against coverage of a row, whose sureness is the probability of the class that it answers.

    Thresholds are quantiles of the out-of-fold answers of each training part, so that what is reached is what a user
    reaches who sets them beforehand. Where nothing is answered there is no point; none at all where answers are not
    single classes.
    """
    if not single_classes(scorer.target):
        return []
    # At the training's frequencies, whatever --prior asks for: those are the tested samples' own.
    sure = sureness(entry.answers, entry.decided)
    inner = [
        sureness(p, scorer.decide(p, scorer.target.task.cuts(scorer.target.y[f.train], p, scorer.metric)))
        for f, p in zip(scorer.folds, entry.candidate.inner, strict=True)
    ]
    found = (_point(aim, sure, _thresholds(scorer, inner, aim), scorer, entry) for aim in AIMED)
    return [p for p in found if p is not None]


def single_classes(target: Target) -> bool:
    """Whether each sample has one class, and answers are their probabilities."""
    return bool(target.classes) and target.y.ndim == 1


def sureness(p: np.ndarray, decided: np.ndarray) -> np.ndarray:
    """Probability of what is answered [shape=(n,)]."""
    found: np.ndarray = p[np.arange(len(p)), decided]
    return found


def _thresholds(scorer: Scorer, inner: Sequence[np.ndarray], aim: float) -> np.ndarray:
    """Sureness from which each tested sample is answered [shape=(n,)]."""
    each = [np.quantile(sure, 1 - aim) if aim < 1 else 0.0 for sure in inner]
    return np.repeat(each, [len(f.test) for f in scorer.folds])


def _point(aim: float, sure: np.ndarray, least: np.ndarray, scorer: Scorer, entry: Entry) -> Point | None:
    answered = sure >= least
    if not answered.any():
        return None
    hit = answered & (entry.decided == scorer.truth)
    sums = scorer.draws.sums(np.column_stack([hit, answered]).astype(np.float64))
    right = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)
    speakers = len(np.unique(scorer.groups[answered]))
    return Point(aim, float(answered.mean()), scorer.interval(right, "accuracy"), speakers)
