"""From which probability on a saved model answers, and counts a class in: what its benchmark measured, for new samples.

Both bounds are of out-of-fold answers about the training samples, as those of each training part of a benchmark are
(`affectlake.models.conformal`, `affectlake.models.abstention`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from affectlake.models import conformal
from affectlake.models.abstention import single_classes, sureness
from affectlake.models.document import Sureness
from affectlake.models.intervals import FEWEST
from affectlake.models.splits import Fold, mixed
from affectlake.models.tasks import Target

LEVEL = 0.9
"""How often the sets that a model hands out are to hold the truth."""

ANSWERED = 0.8
"""Share of samples that a model is to answer: of the others it is less sure."""


@dataclass(frozen=True)
class Bound:
    """A probability that was chosen for something.

    Attributes
    ----------
    aim : float, 0 to 1
        What is to be reached by it: how often sets hold the truth, or the share of samples that is answered.
    value : float, 0 to 1, or None
    reason : str or None
        Why there is no value.
    """

    aim: float
    value: float | None
    reason: str | None = None


@dataclass(frozen=True)
class Bounds:
    """What a model says of its answers.

    Attributes
    ----------
    sets : Bound
        Probability from which a class belongs to the prediction set.
    abstention : Bound
        Probability of the answer below which a model would rather give none.
    unit : str
        For whose samples it holds, see `affectlake.models.splits.unit`: a new one of these.
    """

    sets: Bound
    abstention: Bound
    unit: str = "speaker"

    def prediction_sets(self, p: np.ndarray) -> np.ndarray | None:
        """Which classes belong to each sample's set [shape=(n, classes)]; None where nothing can be promised."""
        return None if self.sets.value is None else conformal.sets(p, np.full(len(p), self.sets.value))

    def abstains(self, p: np.ndarray, decided: np.ndarray) -> np.ndarray | None:
        """Where a model would rather not answer [shape=(n,)]; None where it has no bound."""
        return None if self.abstention.value is None else sureness(p, decided) < self.abstention.value


def measured(sureness: Sureness) -> dict[str, Any]:
    """What a benchmark measured of such bounds in its training parts, for the model card.

    Returns
    -------
    dict
        ``prediction_sets``: ``coverage``, with its interval, and ``size`` of sets; ``abstention``: ``coverage`` (the
        share that was answered) and ``accuracy`` of these. Empty where it could not be measured.
    """
    found: dict[str, Any] = {"prediction_sets": {}, "abstention": {}}
    for level in sureness["conformal"]:
        if level["level"] == LEVEL and level["reason"] is None:
            found["prediction_sets"] = {"coverage": level["coverage"], "size": level["size"]}
    for point in sureness["abstention"]:
        if point["aimed"] == ANSWERED:
            found["abstention"] = {"coverage": point["coverage"], "accuracy": point["accuracy"]}
    return found


def bounds(
    target: Target, p: np.ndarray, decided: np.ndarray, groups: np.ndarray, inner: list[Fold], unit: str = "speaker"
) -> Bounds:
    """Both bounds, or why there is none.

    Parameters
    ----------
    target : Target
    p : float array, shape=(n, classes)
        Out-of-fold answers about the training samples.
    decided : array, shape=(n,)
        What is said of them.
    groups : array, shape=(n,)
        Speakers (``unit``).
    inner : list of Fold
        By which the answers are out of fold.

    Examples
    --------
    >>> import pandas as pd
    >>> from affectlake.models.splits import inner_folds
    >>> from affectlake.models.tasks import target_of
    >>> target = target_of(pd.Series(["calm", "angry"] * 8))
    >>> p, who = np.tile([[0.3, 0.7], [0.6, 0.4]], (8, 1)), np.repeat(np.arange(8), 2)
    >>> found = bounds(target, p, p.argmax(axis=1), who, inner_folds(who, target.y, 3, 0))
    >>> found.sets.reason
    '8 speakers: sets of 90% take 9'
    >>> found.abstention.value
    0.6
    """
    n = len(np.unique(groups))
    why = None
    if not single_classes(target):
        why = f"answers of --task {target.task.name} are no single classes"
    elif mixed(groups, inner):
        why = f"the same {unit}s are on both sides of inner folds, as there are too few"
    elif n < FEWEST:
        why = f"{n} {unit}{'' if n == 1 else 's'}: bounds take at least {FEWEST}"
    if why:
        return Bounds(Bound(LEVEL, None, why), Bound(ANSWERED, None, why), unit)
    abstention = Bound(ANSWERED, float(np.quantile(sureness(p, decided), 1 - ANSWERED)))
    needed = conformal.speakers_for(LEVEL)
    if n < needed:
        return Bounds(Bound(LEVEL, None, f"{n} {unit}s: sets of {LEVEL:.0%} take {needed}"), abstention, unit)
    return Bounds(Bound(LEVEL, conformal.least(target.y, p, groups, LEVEL)), abstention, unit)
