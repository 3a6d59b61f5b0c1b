"""One quantity, or several such as valence, arousal and dominance: trained one by one, scored together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from affectlake.data.errors import UsageError
from affectlake.models import metrics
from affectlake.models.document import Answer, Facts
from affectlake.models.metrics import Draws
from affectlake.models.tasks.protocol import Problem, Target


class Number:
    """One quantity or several. See `affectlake.models.tasks.Task`."""

    name = "number"
    kind = "regression"
    ranks: tuple[str, ...] = ("ccc", "pearson", "acc2", "acc7")

    def read(self, labels: pd.DataFrame) -> Target:
        values = labels.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
        for name, column in zip(labels.columns, values.T, strict=True):
            if not np.isfinite(column).all():
                bad = labels[name][~np.isfinite(column)].iloc[0]
                raise UsageError(f"--task number needs finite numbers, {name!r} has {bad!r}")
            if np.ptp(column) == 0:
                raise UsageError(f"label {name!r} is {column[0]:g} everywhere: there is nothing to learn")
        outputs = tuple(map(str, labels.columns))
        return Target(self, values[:, 0] if len(outputs) == 1 else values, (), outputs)

    def problems(self, target: Target) -> list[Problem]:
        return [Problem("regression", y, 1) for y in np.atleast_2d(target.y.T)]

    def combine(self, answers: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(answers, axis=-1)

    def balanced(self, metric: str) -> bool:
        return False

    def cuts(self, truth: np.ndarray, answers: np.ndarray, metric: str) -> np.ndarray | None:
        return None

    def decide(self, target: Target, answers: np.ndarray, cuts: np.ndarray | None) -> np.ndarray:
        return answers

    def scores(
        self, target: Target, truth: np.ndarray, answers: np.ndarray, decided: np.ndarray, draws: Draws
    ) -> dict[str, np.ndarray]:
        if truth.ndim == 1:
            found = metrics.regression(truth, answers[:, 0], draws)
            return found | (metrics.sentiment(truth, answers[:, 0], draws) if _sentiment(target.y) else {})
        each = [metrics.regression(t, a, draws) for t, a in zip(truth.T, answers.T, strict=True)]
        return {name: np.mean([e[name] for e in each], axis=0) for name in each[0]}

    def each(self, target: Target, truth: np.ndarray, decided: np.ndarray) -> tuple[str, np.ndarray]:
        return "mae", np.abs(decided - truth.reshape(decided.shape)).mean(axis=1)

    def describe(self, target: Target, answer: np.ndarray, decided: Any) -> Answer:
        if len(target.outputs) <= 1:
            return {"label": float(answer[0]), "probabilities": {}}
        return {"label": {n: float(v) for n, v in zip(target.outputs, answer, strict=True)}, "probabilities": {}}

    def facts(self, target: Target) -> Facts:
        return {}


def _sentiment(y: np.ndarray) -> bool:
    """Whether these are intensities from -3 to 3 as MOSI and MOSEI have them."""
    return y.ndim == 1 and -3 <= y.min() <= -2 and 2 <= y.max() <= 3


task = Number()
