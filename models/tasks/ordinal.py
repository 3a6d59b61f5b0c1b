"""Ratings on a scale of few steps: trained as classes, decided by the expected rating, scored by how far off it is."""

from typing import Any

import numpy as np
import pandas as pd

from affectlake.data.errors import UsageError
from affectlake.models import metrics
from affectlake.models.document import Answer, Facts
from affectlake.models.metrics import Draws
from affectlake.models.tasks.classes import indexed, one
from affectlake.models.tasks.protocol import OneProblem, Problem, Target

_MOST = 30


class Ordinal(OneProblem):
    """Ratings with an order. See `affectlake.models.tasks.Task`."""

    name = "ordinal"
    kind = "ordinal"
    ranks: tuple[str, ...] = ("qwk", "accuracy", "within_one")

    def read(self, labels: pd.DataFrame) -> Target:
        given = one(labels, self.name)
        values = pd.to_numeric(given, errors="coerce").astype("float64")
        if values.isna().any():
            names = ", ".join(map(str, given[values.isna()].unique()[:3]))
            raise UsageError(f"--task ordinal needs numbers that tell the order, {given.name!r} has {names}")
        steps = np.sort(values.unique())
        if not 3 <= len(steps) <= _MOST:
            raise UsageError(
                f"--task ordinal needs 3 to {_MOST} different ratings, {given.name!r} has {len(steps)}: "
                f"--task {'class' if len(steps) < 3 else 'number'}"
            )
        return Target(self, *indexed(values.map(_written), [_written(s) for s in steps]))

    def problems(self, target: Target) -> list[Problem]:
        return [Problem("classification", target.y, len(target.classes))]

    def decide(self, target: Target, answers: np.ndarray, cuts: np.ndarray | None) -> np.ndarray:
        steps = _steps(target)
        found: np.ndarray = np.abs((answers @ steps)[:, None] - steps).argmin(axis=1)
        return found

    def scores(
        self, target: Target, truth: np.ndarray, answers: np.ndarray, decided: np.ndarray, draws: Draws
    ) -> dict[str, np.ndarray]:
        return metrics.ordinal(truth, decided, answers, _steps(target), draws)

    def each(self, target: Target, truth: np.ndarray, decided: np.ndarray) -> tuple[str, np.ndarray]:
        steps = _steps(target)
        return "mae", np.abs(steps[truth] - steps[decided])

    def describe(self, target: Target, answer: np.ndarray, decided: Any) -> Answer:
        shares = {c: float(v) for c, v in zip(target.classes, answer, strict=True)}
        expected = float(answer @ _steps(target))
        return {"label": target.classes[int(decided)], "expected": expected, "probabilities": shares}

    def facts(self, target: Target) -> Facts:
        return {}


def _steps(target: Target) -> np.ndarray:
    return np.array([float(c) for c in target.classes])


def _written(value: float) -> str:
    return f"{value:g}"


task = Ordinal()
