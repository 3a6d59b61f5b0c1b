"""Ratings on a scale of few steps: trained as classes, decided by the expected rating, scored by how far off it is."""

from typing import Any

import numpy as np
import pandas as pd

from affectlake.data.errors import UsageError
from affectlake.models import metrics
from affectlake.models.document import Answer, Facts
from affectlake.models.metrics import Draws
from affectlake.models.tasks import scales
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
            return self._worded(given.astype("str"))
        steps = np.sort(values.unique())
        self._check(str(given.name), len(steps))
        return Target(self, *indexed(values.map(_written), [_written(s) for s in steps]))

    def _worded(self, given: pd.Series) -> Target:
        words = sorted(given.unique())
        places = scales.ranks(words)
        if places is None:
            names = ", ".join(words[:3])
            raise UsageError(
                f"--task ordinal needs numbers that tell the order, or words of a scale such as low, medium, high; "
                f"{given.name!r} has {names}: write 1 for the least of them"
            )
        # Of words for one step the first stands for all.
        step = dict(reversed(list(zip(places, words, strict=True))))
        self._check(str(given.name), len(step))
        named = given.map({word: step[place] for place, word in zip(places, words, strict=True)})
        return Target(self, *indexed(named, [step[place] for place in sorted(step)]))

    def _check(self, name: str, steps: int) -> None:
        if not 3 <= steps <= _MOST:
            raise UsageError(
                f"--task ordinal needs 3 to {_MOST} different ratings, {name!r} has {steps}: "
                f"--task {'class' if steps < 3 else 'number'}"
            )

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
    """Ratings [shape=(classes,)]; of words, 1 for the least that is there."""
    if scales.ranks(target.classes) is not None:
        return np.arange(1.0, len(target.classes) + 1)
    return np.array([float(c) for c in target.classes])


def _written(value: float) -> str:
    return f"{value:g}"


task = Ordinal()
