"""What labels are: told by ``--task``, or taken from the values, and then said with the reason."""

import re
from typing import get_args

import numpy as np
import pandas as pd

from affectlake.data.errors import UnknownName, UsageError
from affectlake.models.options import TaskName
from affectlake.models.tasks import cells, classes, multilabel, number, ordinal, scales, votes
from affectlake.models.tasks.protocol import Problem, Target, Task

__all__ = ["TASKS", "Problem", "Target", "Task", "metric_of", "target_of"]

TASKS: dict[str, Task] = {t.name: t for t in (classes.task, ordinal.task, number.task, multilabel.task, votes.task)}

_CATEGORICAL = ("emotion", "class", "label", "category", "code", "intent", "act", "id")
_RATED = ("rating", "ratings", "score", "stars", "likert", "intensity", "severity", "valence", "arousal", "dominance")
_FEW = 10  # values that a scale or a set of classes has at most, unless something else says what they are
_NOBODY, _RATERS = 0.2, 0.25  # share of classes without a vote, at least, and spread of numbers of raters
_MOSTLY = 0.6  # of the values are numbers: then the others are likely to be slips
_QUANTITY = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)?(?:e[+-]?\d+)?|inf(?:inity)?) ?%?", re.IGNORECASE)
_CODES, _EACH = 100, 5  # most codes of classes, and samples of each on average


def target_of(label: pd.Series | pd.DataFrame, task: str = "auto") -> Target:
    """Read a label of one or several columns.

    Parameters
    ----------
    label : Series or DataFrame [index=sample_id]
        Without gaps.
    task : str
        One of `TASKS`, or ``auto``.

    Raises
    ------
    UnknownName
        No such task.
    UsageError
        The values are none of the task, or have nothing to learn.

    Examples
    --------
    >>> target = target_of(pd.Series(["sad", "happy", "sad|happy"], name="emotions"))
    >>> target.task.name, target.classes
    ('multilabel', ('happy', 'sad'))
    """
    labels = label.to_frame() if isinstance(label, pd.Series) else label
    if task not in get_args(TaskName):
        raise UnknownName("task", task, get_args(TaskName))
    name, why = _taken(labels) if task == "auto" else (task, "asked for by --task")
    found = TASKS[name].read(labels)
    return Target(found.task, found.y, found.classes, found.outputs, why)


def metric_of(target: Target, metric: str) -> str:
    """The metric that ranks the rows; ``auto`` is the task's own.

    Raises
    ------
    UsageError
        The metric says nothing about this task.
    """
    allowed = list(target.task.ranks)
    if target.task.name == "class" and len(target.classes) != 2:
        allowed = [m for m in allowed if m not in ("auc", "ap")]
    if metric == "auto":
        return allowed[0]
    if metric not in allowed:
        raise UsageError(
            f"--metric {metric} does not rank what --task {target.task.name} predicts ({target.why}): "
            f"{', '.join(allowed)} do"
        )
    return metric


def _taken(labels: pd.DataFrame) -> tuple[str, str]:
    """Name of the task that the values look like, and why."""
    if labels.shape[1] > 1:
        values = labels.apply(pd.to_numeric, errors="coerce")
        if values.isna().any(axis=None):
            raise UsageError(
                f"labels {', '.join(labels.columns)} are not all numbers: several labels are columns of 0 and 1 "
                "(multilabel), quantities (number) or votes (votes)"
            )
        return _several(values.to_numpy(dtype=np.float64))
    label = labels.iloc[:, 0]
    if pd.api.types.is_numeric_dtype(label) and not pd.api.types.is_bool_dtype(label):
        return _number(label)
    return _text(label.astype("str"))


def _text(label: pd.Series) -> tuple[str, str]:
    found = cells.read(label)
    if found.sure and found.votes:
        return "votes", f"values name a class several times or count it, as votes of raters do, {found.how}"
    if found.sure:
        return "multilabel", f"values name several labels, {found.how}; --task class if each is a name of its own"
    _check_slips(label)
    names = sorted(label.unique())
    if scales.scaled(names):
        words = [name for _, name in sorted(zip(scales.ranks(names) or (), names, strict=True))]
        return "ordinal", f"words of a scale from {words[0]!r} to {words[-1]!r}; --task class if they have no order"
    return "class", "values are names"


def _check_slips(label: pd.Series) -> None:
    """Refuse a column that is text only because some of its numbers are not written as such."""
    plain = label.str.strip()
    quantities = plain.str.fullmatch(_QUANTITY)
    numbers = np.isfinite(pd.to_numeric(plain, errors="coerce").to_numpy(dtype=np.float64))
    if quantities.mean() < _MOSTLY or numbers.all():
        return
    odd = ", ".join(map(repr, plain[~numbers].unique()[:3]))
    raise UsageError(
        f"label {label.name!r} is text, and {int(quantities.sum())} of its {len(label)} values are numbers: it has "
        f"{odd}; mend them, leave them empty, or say --task class if all are names"
    )


def _several(values: np.ndarray) -> tuple[str, str]:
    sums = values.sum(axis=1)
    if (values >= 0).all() and np.allclose(sums, 1):
        return "votes", "several columns that sum to one, as shares of votes do; --task multilabel or number if not"
    if np.isin(values, [0, 1]).all():
        return "multilabel", "several columns of 0 and 1"
    counts = (values == np.round(values)).all() and (values >= 0).all()
    if counts and (values == 0).mean() >= _NOBODY and sums.std() < _RATERS * sums.mean():
        return (
            "votes",
            "several columns of counts of nearly one sum, as of raters; --task number if they are quantities",
        )
    return "number", "several columns of numbers; --task votes if they count raters"


def _number(label: pd.Series) -> tuple[str, str]:
    values = label.to_numpy(dtype=np.float64)
    steps = np.unique(values)
    n = len(steps)
    if n > 2 and (steps != np.round(steps)).any():
        return "number", f"{n} different numbers with fractions"
    span = f"whole numbers from {steps[0]:g} to {steps[-1]:g}"
    whole = n > 2 and steps[-1] - steps[0] + 1 == n
    named = any(word in _CATEGORICAL for word in str(label.name).lower().replace("-", "_").split("_"))
    if whole and named and n <= _CODES:
        return "class", f"{span} in a column called {label.name!r}; --task ordinal or number if they have an order"
    rated = any(word in _RATED for word in str(label.name).lower().replace("-", "_").split("_"))
    if rated and 2 < n <= _FEW + 1 and steps[-1] - steps[0] <= _FEW:
        return "ordinal", f"{span} in a column called {label.name!r}; --task class if they are codes of names"
    scale = steps[0] in (1, -steps[-1]) or (steps[0], steps[-1]) == (0, 10)
    if whole and scale and n <= _FEW + 1:
        return "ordinal", f"{span}, as ratings are; --task class if they are codes of names"
    if whole and steps[0] == 0 and n <= _CODES and (n <= _FEW or len(values) >= _EACH * n):
        return "class", f"{span}, as codes of names are; --task ordinal or number if they have an order"
    if n > _FEW:
        return "number", f"{n} different whole numbers; --task class if they are codes of names"
    return "class", f"{n} different numbers" + ("; --task ordinal or number if they have an order" if n > 2 else "")
