"""One class per sample; of two classes also what rankings and thresholds say."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from affectlake.data.errors import UsageError
from affectlake.models import calibration, metrics
from affectlake.models.document import Answer, Facts
from affectlake.models.metrics import Draws
from affectlake.models.tasks.protocol import Problem, Target, cut


class Classes:
    """One class per sample. See `affectlake.models.tasks.Task`."""

    name = "class"
    kind = "classification"
    ranks: tuple[str, ...] = ("uar", "accuracy", "f1_macro", "f1_weighted", "auc", "ap")

    def read(self, labels: pd.DataFrame) -> Target:
        names = one(labels, self.name).astype("str")
        counts = names.value_counts()
        if len(counts) < 2:
            raise UsageError(f"label {names.name!r} has {len(counts)} class(es): {', '.join(counts.index)}")
        return Target(self, *indexed(names, sorted(counts.index)))

    def problems(self, target: Target) -> list[Problem]:
        return [Problem("classification", target.y, len(target.classes))]

    def combine(self, answers: Sequence[np.ndarray]) -> np.ndarray:
        return answers[0]

    def balanced(self, metric: str) -> bool:
        return metric == "uar"

    def cuts(self, truth: np.ndarray, answers: np.ndarray, metric: str) -> np.ndarray | None:
        classes = answers.shape[1]
        if classes == 2:
            return np.array([cut(answers[:, 1], truth == 1, metric)])
        prior = np.bincount(truth, minlength=classes) / len(truth)
        return calibration.divisors(prior, calibration.weigh_for(metric, answers, truth, prior))

    def decide(self, target: Target, answers: np.ndarray, cuts: np.ndarray | None) -> np.ndarray:
        if cuts is not None and answers.shape[1] == 2:
            return (answers[:, 1] >= cuts[..., 0]).astype(np.int64)
        return np.asarray((answers if cuts is None else answers / cuts).argmax(axis=1))

    def scores(
        self, target: Target, truth: np.ndarray, answers: np.ndarray, decided: np.ndarray, draws: Draws
    ) -> dict[str, np.ndarray]:
        found = metrics.classification(truth, answers, draws, decided)
        return found | (metrics.binary(truth, answers[:, 1], draws) if answers.shape[1] == 2 else {})

    def each(self, target: Target, truth: np.ndarray, decided: np.ndarray) -> tuple[str, np.ndarray]:
        return "accuracy", decided == truth

    def describe(self, target: Target, answer: np.ndarray, decided: Any) -> Answer:
        shares = {c: float(v) for c, v in zip(target.classes, answer, strict=True)}
        return {"label": target.classes[int(decided)], "probabilities": shares}

    def facts(self, target: Target) -> Facts:
        return {}


def one(labels: pd.DataFrame, task: str) -> pd.Series:
    """The only column; raises UsageError where there are several."""
    if labels.shape[1] != 1:
        names = ", ".join(labels.columns)
        raise UsageError(f"--task {task} takes one label, here are {names}: multilabel, number and votes take several")
    return labels.iloc[:, 0]


def indexed(names: pd.Series, classes: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Positions of ``names`` in ``classes`` [shape=(n,)], and the classes."""
    return names.map({c: i for i, c in enumerate(classes)}).to_numpy(dtype=np.int64), tuple(classes)


task = Classes()
