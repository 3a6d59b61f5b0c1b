"""Votes of raters: distributions are what is learned and scored, and how far raters agree is the ceiling."""

from typing import Any

import numpy as np
import pandas as pd

from affectlake.data.errors import UsageError
from affectlake.models import metrics
from affectlake.models.document import Answer, Ceiling, Facts
from affectlake.models.metrics import Draws
from affectlake.models.tasks import cells
from affectlake.models.tasks.protocol import OneProblem, Problem, Target

COPIES = 3
"""How often a sample stands in a training part, its classes dealt by its votes."""


class Votes(OneProblem):
    """What several raters said. See `affectlake.models.tasks.Task`."""

    name = "votes"
    kind = "votes"
    ranks: tuple[str, ...] = ("soft_accuracy", "accuracy")

    def read(self, labels: pd.DataFrame) -> Target:
        table = _columns(labels) if labels.shape[1] > 1 else _written(labels.iloc[:, 0])
        table = table.loc[:, table.sum() > 0]
        if table.shape[1] < 2:
            raise UsageError(f"--task votes needs two classes at least, here is {', '.join(table.columns)}")
        none = table.index[table.sum(axis=1) == 0]
        if len(none):
            more = f" (and {len(none) - 1} more)" if len(none) > 1 else ""
            raise UsageError(
                f"nobody voted about sample {none[0]!r}{more}: leave its votes empty, and it takes no part"
            )
        return Target(self, table.to_numpy(dtype=np.float64), tuple(map(str, table.columns)))

    def problems(self, target: Target) -> list[Problem]:
        return [Problem("classification", dealt(_shares(target.y), COPIES).ravel(), len(target.classes), COPIES)]

    def decide(self, target: Target, answers: np.ndarray, cuts: np.ndarray | None) -> np.ndarray:
        found: np.ndarray = answers.argmax(axis=1)
        return found

    def scores(
        self, target: Target, truth: np.ndarray, answers: np.ndarray, decided: np.ndarray, draws: Draws
    ) -> dict[str, np.ndarray]:
        return metrics.votes(_shares(truth), answers, decided, draws)

    def each(self, target: Target, truth: np.ndarray, decided: np.ndarray) -> tuple[str, np.ndarray]:
        return "soft_accuracy", _shares(truth)[np.arange(len(truth)), decided]

    def describe(self, target: Target, answer: np.ndarray, decided: Any) -> Answer:
        shares = {c: float(v) for c, v in zip(target.classes, answer, strict=True)}
        return {"label": target.classes[int(decided)], "probabilities": shares}

    def facts(self, target: Target) -> Facts:
        """``ceiling``: what an answer scores that knows the votes, and a rater against the plurality of the others.

        ``soft_accuracy`` is the most that one class per sample can reach, ``cross_entropy`` the least that a
        distribution can; ``rater`` is the share of raters who say what most of the others of their sample say (ties
        count by their part), None where votes are shares and not counts.
        """
        shares = _shares(target.y)
        entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1).mean()
        ceiling: Ceiling = {
            "soft_accuracy": float(shares.max(axis=1).mean()),
            "cross_entropy": float(entropy),
            "rater": _agreement(target.y),
        }
        return {"ceiling": ceiling, "votes_per_sample": float(target.y.sum(axis=1).mean())}


def _shares(votes: np.ndarray) -> np.ndarray:
    return votes / votes.sum(axis=1, keepdims=True)


def dealt(shares: np.ndarray, copies: int, seed: int = 0) -> np.ndarray:
    """Classes [shape=(n, copies)] of copies of samples, in expectation as often as raters voted for them.

    Systematic sampling: a class of share s is there floor or ceil of s * copies times.

    Examples
    --------
    >>> dealt(np.array([[1.0, 0.0], [0.0, 1.0]]), 3).tolist()
    [[0, 0, 0], [1, 1, 1]]
    """
    start = np.random.default_rng(seed).random((len(shares), 1))
    at = (np.arange(copies) + start) / copies
    edges = np.cumsum(shares, axis=1)[:, :-1]
    found: np.ndarray = (at[:, :, None] >= edges[:, None, :]).sum(axis=2)
    return found


def _agreement(votes: np.ndarray) -> float | None:
    if (votes != np.round(votes)).any():
        return None
    agreed, asked = 0.0, 0.0
    for c in range(votes.shape[1]):
        others = votes.copy()
        others[:, c] -= 1
        known = (votes[:, c] > 0) & (others.sum(axis=1) > 0)
        top = others[known] == others[known].max(axis=1, keepdims=True)
        agreed += float((votes[known, c] * top[:, c] / top.sum(axis=1)).sum())
        asked += float(votes[known, c].sum())
    return agreed / asked if asked else None


def _columns(labels: pd.DataFrame) -> pd.DataFrame:
    values = labels.apply(pd.to_numeric, errors="coerce")
    for name in labels.columns:
        wrong = labels[name][~(values[name] >= 0) | ~np.isfinite(values[name].to_numpy(dtype=np.float64))]
        if len(wrong):
            raise UsageError(f"--task votes takes counts or shares from 0 on, {name!r} has {wrong.iloc[0]!r}")
    return values.astype(np.float64)


def _written(label: pd.Series) -> pd.DataFrame:
    """Counts by class from ``happy|happy|sad`` (a word for each rater) or ``happy:2|sad:1``."""
    each: list[dict[str, float]] = []
    for cell in cells.read(label).named:
        counts: dict[str, float] = {}
        for name, n in cell:
            counts[name] = counts.get(name, 0.0) + (1.0 if n is None else n)
        each.append(counts)
    return pd.DataFrame(each, index=label.index).fillna(0.0).sort_index(axis=1)


task = Votes()
