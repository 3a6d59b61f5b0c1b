"""Any number of labels at once: a model for each, its threshold from inner folds, scored by macro and micro F1."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from affectlake.data.errors import UsageError
from affectlake.models import metrics
from affectlake.models.document import Answer, Facts
from affectlake.models.metrics import Draws
from affectlake.models.tasks import cells
from affectlake.models.tasks.protocol import Problem, Target, cut


class MultiLabel:
    """Any number of labels per sample. See `affectlake.models.tasks.Task`."""

    name = "multilabel"
    kind = "multilabel"
    ranks: tuple[str, ...] = ("f1_macro", "f1_micro", "exact")

    def read(self, labels: pd.DataFrame) -> Target:
        table = _columns(labels) if labels.shape[1] > 1 else _separated(labels.iloc[:, 0])
        counts = table.sum()
        for name, n in counts.items():
            if n in (0, len(table)):
                raise UsageError(f"label {name!r} is there {'always' if n else 'never'}: there is nothing to learn")
        if table.shape[1] < 2:
            raise UsageError(f"--task multilabel needs two labels at least, here is {', '.join(table.columns)}")
        return Target(self, table.to_numpy(dtype=np.int64), tuple(table.columns))

    def problems(self, target: Target) -> list[Problem]:
        return [Problem("classification", y, 2) for y in target.y.T]

    def combine(self, answers: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate([a[..., 1:] for a in answers], axis=-1)

    def balanced(self, metric: str) -> bool:
        return False

    def cuts(self, truth: np.ndarray, answers: np.ndarray, metric: str) -> np.ndarray | None:
        # Errors count where whole sets must be right, and one half is best for each; F1 wants a cut of its own.
        if metric == "exact":
            return np.full(answers.shape[1], 0.5)
        return np.array([cut(p, t == 1, "f1") for p, t in zip(answers.T, truth.T, strict=True)])

    def decide(self, target: Target, answers: np.ndarray, cuts: np.ndarray | None) -> np.ndarray:
        return (answers >= (0.5 if cuts is None else cuts)).astype(np.int64)

    def scores(
        self, target: Target, truth: np.ndarray, answers: np.ndarray, decided: np.ndarray, draws: Draws
    ) -> dict[str, np.ndarray]:
        return metrics.multilabel(truth, answers, decided, draws)

    def each(self, target: Target, truth: np.ndarray, decided: np.ndarray) -> tuple[str, np.ndarray]:
        return "label_accuracy", (truth == decided).mean(axis=1)

    def describe(self, target: Target, answer: np.ndarray, decided: Any) -> Answer:
        shares = {c: float(v) for c, v in zip(target.classes, answer, strict=True)}
        return {"label": [c for c, d in zip(target.classes, decided, strict=True) if d], "probabilities": shares}

    def facts(self, target: Target) -> Facts:
        per_sample = target.y.sum(axis=1)
        return {"labels_per_sample": float(per_sample.mean()), "without_label": int((per_sample == 0).sum())}


def _columns(labels: pd.DataFrame) -> pd.DataFrame:
    values = labels.apply(pd.to_numeric, errors="coerce")
    for name in labels.columns:
        wrong = labels[name][~values[name].isin([0, 1])]
        if len(wrong):
            raise UsageError(f"--task multilabel takes columns of 0 and 1, {name!r} has {wrong.iloc[0]!r}")
    return values.astype(np.int64)


def _separated(label: pd.Series) -> pd.DataFrame:
    # A count of none is no label.
    parts = [{c for c, n in cell if n != 0} for cell in cells.read(label).named]
    names = sorted(set().union(*parts))
    return pd.DataFrame({n: [int(n in each) for each in parts] for n in names}, index=label.index)


task = MultiLabel()
