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
        Several quantities at once: what was said of each is not recorded as numbers.
    """
    if not target.classes:
        if len(target.outputs) > 1:
            raise UsageError("a change of several quantities at once is not tested: compare runs of one --label each")
        numbers = rows["predicted"].astype("float64").to_numpy()
        return RecordedAnswers(numbers[:, None], numbers[:, None])
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
    found = []
    for row in [r for r in before if r in after]:
        one, other = (
            target.task.scores(target, truth, s.answers, s.decided, draws)[metric] for s in (before[row], after[row])
        )
        gap = intervals.interval(other - one, inflation=inflation)
        p = intervals.paired_p(other, one, inflation)
        rest = (float(one[0]), float(other[0]), gap, p, gap.get("reason"))
        found.append(Change(row, metric, len(groups), len(np.unique(groups)), *rest))
    return _corrected(found)


def _corrected(found: list[Change]) -> list[Change]:
    rest = [c.p for c in found[1:] if c.p is not None]
    if len(rest) < len(found) - 1:
        return found
    return [*found[:1], *(replace(c, p=p) for c, p in zip(found[1:], intervals.holm(rest), strict=True))]
