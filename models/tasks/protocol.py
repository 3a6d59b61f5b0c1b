"""What a task is: how a label is read, what is trained for it, how answers become decisions and scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from affectlake.models.document import Answer, Facts
from affectlake.models.metrics import Draws
from affectlake.models.zoo import Task as Kind


@dataclass(frozen=True)
class Problem:
    """What one set of models is trained on.

    Attributes
    ----------
    kind : "classification" | "regression"
    y : array, shape=(copies * n,)
        Class indices or numbers; the copies of a sample stand side by side.
    classes : int
        1 for numbers.
    copies : int
        How often each sample stands in a training part.
    """

    kind: Kind
    y: np.ndarray
    classes: int
    copies: int = 1


@dataclass(frozen=True)
class Target:
    """The label of every sample, read.

    Attributes
    ----------
    task : Task
    y : array, shape=(n,) or (n, outputs)
        Class indices or numbers; one column for each label, quantity or class that is voted for.
    classes : tuple of str
        In the order of class indices or of columns; empty for quantities.
    outputs : tuple of str
        Names of quantities.
    why : str
        Why the label was taken so.
    """

    task: "Task"
    y: np.ndarray
    classes: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    why: str = ""

    @property
    def problems(self) -> list[Problem]:
        """One or several, whose answers `Task.combine` puts together."""
        return self.task.problems(self)

    @property
    def strata(self) -> np.ndarray:
        """What folds are stratified by [shape=(n,)]: classes, or numbers."""
        if self.y.ndim == 1:
            return self.y
        found: np.ndarray = self.y.argmax(axis=1) if self.classes else self.y.mean(axis=1)
        return found


class Task(Protocol):
    """One way of labelling; each is an object in a file of this folder.

    Attributes
    ----------
    name : str
        As in ``--task``.
    kind : str
        What results call it.
    ranks : tuple of str
        Metrics that may rank the rows, the higher the better; the first by default.
    """

    name: str
    kind: str
    ranks: tuple[str, ...]

    def read(self, labels: pd.DataFrame) -> Target:
        """Read one or several columns without gaps; raises UsageError where they are none of this task."""

    def problems(self, target: Target) -> list[Problem]:
        """What is trained."""

    def combine(self, answers: Sequence[np.ndarray]) -> np.ndarray:
        """Answers [shape=(…, outputs)] from those about each problem [shape=(…, classes)]."""

    def balanced(self, metric: str) -> bool:
        """Whether models weight classes alike."""

    def cuts(self, truth: np.ndarray, answers: np.ndarray, metric: str) -> np.ndarray | None:
        """Thresholds [shape=(outputs,)] that suit answers of inner folds; None where nothing is cut."""

    def decide(self, target: Target, answers: np.ndarray, cuts: np.ndarray | None) -> np.ndarray:
        """What is said of each sample: class indices [shape=(n,)], numbers or 0/1 [shape=(n, outputs)].

        ``cuts``: of all samples [shape=(outputs,)], or of each [shape=(n, outputs)].
        """

    def scores(
        self, target: Target, truth: np.ndarray, answers: np.ndarray, decided: np.ndarray, draws: Draws
    ) -> dict[str, np.ndarray]:
        """Scores in each draw [shape=(1 + draws,)] by name."""

    def each(self, target: Target, truth: np.ndarray, decided: np.ndarray) -> tuple[str, np.ndarray]:
        """A score of each sample by itself [shape=(n,)], hits as bool, and its name."""

    def describe(self, target: Target, answer: np.ndarray, decided: Any) -> Answer:
        """What is told about one sample: its ``label`` and ``probabilities`` by class."""

    def facts(self, target: Target) -> Facts:
        """What must be known about the labels before scores are read."""


class OneProblem:
    """What tasks share that are one problem, weight no class up, and cut nothing."""

    def combine(self, answers: Sequence[np.ndarray]) -> np.ndarray:
        return answers[0]

    def balanced(self, metric: str) -> bool:
        return False

    def cuts(self, truth: np.ndarray, answers: np.ndarray, metric: str) -> np.ndarray | None:
        return None


def cut(p: np.ndarray, truth: np.ndarray, metric: str) -> float:
    """Threshold of probabilities that gives the best score; of equal ones the nearest to one half.

    Parameters
    ----------
    p : float array, shape=(n,)
        Of the second class.
    truth : bool array, shape=(n,)
    metric : "accuracy" | "f1" | "f1_macro" | "f1_weighted" | other
        ``f1`` is that of the second class alone; of whatever has no threshold, the mean of both recalls.

    Examples
    --------
    >>> round(cut(np.array([0.1, 0.2, 0.3, 0.4]), np.array([False, False, True, True]), "f1"), 3)
    0.25
    """
    positive, n = int(truth.sum()), len(truth)
    if positive in (0, n):
        return 0.5
    order = np.argsort(-p, kind="stable")
    ranked = p[order]
    last = np.append(ranked[1:] != ranked[:-1], True)
    hits = np.cumsum(truth[order])[last]
    taken = np.flatnonzero(last) + 1
    bounds = ranked[last]
    cuts = np.append((bounds[:-1] + bounds[1:]) / 2, min(bounds[-1], 0.0))
    score = _binary(metric, hits, taken, positive, n)
    best = np.flatnonzero(score >= score.max() - 1e-12)
    # Everything from one score to the next is the same cut: one half, where it lies between.
    upper, lower = bounds[best], np.append(bounds[1:], 0.0)[best]
    if ((lower < 0.5) & (upper >= 0.5)).any():
        return 0.5
    return float(cuts[best][np.abs(cuts[best] - 0.5).argmin()])


def _binary(metric: str, hits: np.ndarray, taken: np.ndarray, positive: int, n: int) -> np.ndarray:
    negative = n - positive
    rejected = negative - (taken - hits)
    f1 = 2 * hits / (taken + positive)
    other = 2 * rejected / np.maximum(n - taken + negative, 1)
    of = {
        "accuracy": (hits + rejected) / n,
        "f1": f1,
        "f1_macro": (f1 + other) / 2,
        "f1_weighted": (positive * f1 + negative * other) / n,
    }
    found: np.ndarray = of.get(metric, (hits / positive + rejected / negative) / 2)
    return found
