"""What changed between two benchmarks of the same samples, tested over their speakers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from affectlake.data.errors import UsageError
from affectlake.models import intervals, metrics
from affectlake.models.document import Score
from affectlake.models.tasks import Target


@dataclass(frozen=True)
class RecordedAnswers:
    """What a row answered about samples, as it is recorded.

    Attributes
    ----------
    answers : float array, shape=(n, outputs)
        Probabilities, or numbers.
    decided : array
        See `affectlake.models.tasks.Task`.
    """

    answers: np.ndarray
    decided: np.ndarray


@dataclass(frozen=True)
class Change:
    """A row in two benchmarks.

    Attributes
    ----------
    row : str
    metric : str
    samples, speakers : int
        That both have tested.
    before, after : float
        On these.
    difference : Score
        After less before.
    p : float or None
        That there is none: a paired t over speakers. The first row's stands for itself, those of the others are
        corrected for their number (Holm).
    reason : str or None
        Why there is no p.
    """

    row: str
    metric: str
    samples: int
    speakers: int
    before: float
    after: float
    difference: Score
    p: float | None
    reason: str | None


def recorded_answers(rows: pd.DataFrame, target: Target) -> RecordedAnswers:
    """Read recorded predictions (columns predicted and, of classes, probabilities) back.

    Raises
    ------
    UsageError
        Not as many quantities were recorded as there are.
    """
    if not target.classes:
        numbers = rows["predicted"].astype("str").str.split("|", expand=True).astype("float64").to_numpy()
        if numbers.shape[1] != len(target.outputs):
            raise UsageError(f"{numbers.shape[1]} quantities were recorded, expected {', '.join(target.outputs)}")
        return RecordedAnswers(numbers, numbers)
    code = {c: i for i, c in enumerate(target.classes)}
    answers = np.stack(rows["probabilities"].to_list()).astype(np.float64)
    if target.task.name != "multilabel":
        return RecordedAnswers(answers, rows["predicted"].map(code).to_numpy(dtype=np.int64))
    decided = np.zeros(answers.shape, dtype=np.int64)
    for i, text in enumerate(rows["predicted"]):
        decided[i, [code[name] for name in text.split("|") if name]] = 1
    return RecordedAnswers(answers, decided)


def changes(
    target: Target,
    truth: np.ndarray,
    groups: np.ndarray,
    before: Mapping[str, RecordedAnswers],
    after: Mapping[str, RecordedAnswers],
    metric: str,
    inflation: float = 1.0,
) -> list[Change]:
    """Compare the rows that both benchmarks have, on samples that both have tested.

    Parameters
    ----------
    target : Target
    truth : array, shape=(n, …)
    groups : array, shape=(n,)
        Speakers.
    before, after : mapping of row to RecordedAnswers
        Of the same samples in the same order.
    metric : str
    inflation : float
        See `affectlake.models.intervals.overlap`.
    """
    draws = metrics.Draws.of(groups)
    rows = [r for r in before if r in after]
    found = [_change(r, target, truth, draws, before[r], after[r], metric, inflation) for r in rows]
    return [*found[:1], *_corrected(found[1:])]


def by_output(
    target: Target,
    truth: np.ndarray,
    groups: np.ndarray,
    before: RecordedAnswers,
    after: RecordedAnswers,
    metric: str,
    inflation: float = 1.0,
) -> list[Change]:
    """The change of one row in each of several quantities or labels by itself; none of a label that is one.

    ``row`` is what each is called. Their p are corrected for their number (Holm); parameters as those of `changes`.
    """
    names = target.outputs or target.classes
    if truth.ndim == 1 or target.task.name not in ("number", "multilabel"):
        return []
    draws, found = metrics.Draws.of(groups), []
    for i, name in enumerate(names):
        # Of a quantity the truth is a vector, of a label it stays a column of one.
        at = [i] if target.classes else i
        alone = replace(
            target, y=target.y[:, at], classes=target.classes and (name,), outputs=target.outputs and (name,)
        )
        one, other = (RecordedAnswers(s.answers[:, [i]], s.decided[:, [i]]) for s in (before, after))
        found.append(_change(name, alone, truth[:, at], draws, one, other, metric, inflation))
    return _corrected(found)


def _change(
    row: str,
    target: Target,
    truth: np.ndarray,
    draws: metrics.Draws,
    before: RecordedAnswers,
    after: RecordedAnswers,
    metric: str,
    inflation: float,
) -> Change:
    one, other = (target.task.scores(target, truth, s.answers, s.decided, draws)[metric] for s in (before, after))
    gap = intervals.interval(other - one, inflation=inflation)
    p = intervals.paired_p(other, one, inflation)
    rest = (float(one[0]), float(other[0]), gap, p, gap.get("reason"))
    return Change(row, metric, len(draws.group), len(np.unique(draws.group)), *rest)


def _corrected(found: list[Change]) -> list[Change]:
    known = [c.p for c in found if c.p is not None]
    if len(known) < len(found):
        return found
    return [replace(c, p=p) for c, p in zip(found, intervals.holm(known), strict=True)]
