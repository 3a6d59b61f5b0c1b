"""Reliability: whether answers are right as often as their probability says (Murphy & Winkler 1977)."""

from dataclasses import dataclass

import numpy as np

from affectlake.models import intervals, metrics
from affectlake.models.abstention import single_classes
from affectlake.models.document import Score
from affectlake.models.scores import Entry, Scorer


@dataclass(frozen=True)
class Bin:
    """Samples whose highest probability is about the same.

    Attributes
    ----------
    confidence : float, 0 to 1
        Their highest probability on average.
    accuracy : Score
        How often the most probable class is the truth, over the bin's speakers.
    n, speakers : int
    """

    confidence: float
    accuracy: Score
    n: int
    speakers: int


def bins(scorer: Scorer, entry: Entry) -> list[Bin]:
    """The bins of the calibration error that are not empty, from the lowest confidence on; none without classes."""
    if not single_classes(scorer.target):
        return []
    p = scorer.shares(entry.answers)
    confidence, hit = p.max(axis=1), p.argmax(axis=1) == scorer.truth
    which = metrics.binned(confidence)
    return [_bin(scorer, confidence[which == b], hit[which == b], scorer.groups[which == b]) for b in np.unique(which)]


def _bin(scorer: Scorer, confidence: np.ndarray, hit: np.ndarray, groups: np.ndarray) -> Bin:
    draws = metrics.Draws.of(groups, seed=scorer.seed)
    sums = draws.sums(np.column_stack([hit, np.ones(len(hit))]).astype(np.float64))
    accuracy = intervals.interval(sums[:, 0] / sums[:, 1], "accuracy", inflation=scorer.inflation)
    return Bin(float(confidence.mean()), accuracy, len(hit), len(np.unique(groups)))
