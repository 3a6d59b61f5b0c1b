"""Whom it works for: scores of groups of samples that share an attribute, the worst one, and the gap with a test."""

from itertools import combinations

import numpy as np
import pandas as pd

from affectlake.data.errors import UnknownName, UsageError
from affectlake.data.samples import shared
from affectlake.models import intervals, metrics
from affectlake.models.document import Gap, GroupScore, Score, Subgroups
from affectlake.models.scores import OVER_CLASSES, Entry, Scorer

MOST = 20
"""Groups of an attribute beyond which it names single samples rather than groups."""

_FEW = 10


def check(samples: pd.DataFrame, attributes: tuple[str, ...], labels: tuple[str, ...] = ()) -> None:
    """Whether samples can be told apart by these columns.

    Raises
    ------
    UnknownName
        There is no such column.
    UsageError
        It has one value only, or too many to be groups, or is the label itself.
    """
    for name in attributes:
        if name not in samples:
            raise UnknownName("attribute", name, shared(samples.columns))
        if name in labels:
            raise UsageError(f"--by {name}: it is the label; scores of each class stand in `per_class` anyway")
        n = grouped(samples[name]).nunique()
        if not 2 <= n <= MOST:
            raise UsageError(f"--by {name}: it has {n} different value(s), groups are 2 to {MOST}")


def grouped(values: pd.Series) -> pd.Series:
    """Names of groups, NaN where there is no value; numbers of many values are cut at their quartiles."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values) and values.nunique() > _FEW:
        values = pd.qcut(values.astype("float64"), 4, duplicates="drop")
    return values.astype("str").where(values.notna())


def by(attribute: str, scorer: Scorer, entry: Entry) -> Subgroups:
    """Scores of a row by the groups of an attribute.

    Returns
    -------
    dict
        ``attribute``; ``unknown``: tested samples without a value; ``groups``, the worst first: ``group``, ``n``,
        ``speakers``, and the ranking metric as ``value``, ``low``, ``high``; ``gap`` between the best and the worst:
        ``value``, ``low``, ``high``, and ``p`` that there is none, times the number of pairs, of which this was chosen
        for being the largest.
    """
    names = grouped(scorer.samples[attribute]).to_numpy()[scorer.at]
    parts = {str(g): names == g for g in sorted(set(names[pd.notna(names)]))}
    found = [_score(g, mask, scorer, entry) for g, mask in parts.items()]
    found.sort(key=lambda g: g["value"])
    unknown = int(len(names) - sum(mask.sum() for mask in parts.values()))
    gap: Gap | None = None
    if len(found) > 1:
        worst, best = found[0]["group"], found[-1]["group"]
        pairs = len(list(combinations(parts, 2)))
        difference, p = _gap(parts[best], parts[worst], pairs, scorer, entry)
        gap = {"worst": worst, "best": best, **difference, "p": p}
    return {"attribute": attribute, "metric": scorer.metric, "unknown": unknown, "groups": found, "gap": gap}


def _values(mask: np.ndarray, scorer: Scorer, entry: Entry, draws: metrics.Draws) -> np.ndarray:
    rest = (scorer.truth[mask], entry.answers[mask], entry.decided[mask], draws)
    values: np.ndarray = scorer.target.task.scores(scorer.target, *rest)[scorer.metric]
    return values


def _score(group: str, mask: np.ndarray, scorer: Scorer, entry: Entry) -> GroupScore:
    draws = metrics.Draws.of(scorer.groups[mask], seed=scorer.seed)
    values = _values(mask, scorer, entry, draws)
    df = None
    if scorer.metric in OVER_CLASSES:
        df = intervals.freedom(metrics.speakers_of_classes(scorer.truth[mask], draws.group, len(scorer.target.classes)))
    speakers = len(np.unique(scorer.groups[mask]))
    few = intervals.too_few(speakers, scorer.unit)
    score = intervals.interval(values, scorer.metric, df, few, inflation=scorer.inflation)
    return {"group": group, "n": int(mask.sum()), "speakers": speakers, **score}


def _gap(best: np.ndarray, worst: np.ndarray, pairs: int, scorer: Scorer, entry: Entry) -> tuple[Score, float | None]:
    """The difference, of both groups at once, so that speakers may be in either or in both; and that there is none."""
    from scipy.stats import t

    fewest = min(len(np.unique(scorer.groups[mask])) for mask in (best, worst))
    few = intervals.too_few(fewest, scorer.unit)
    # Nothing is left of a group without the only one who is in it.
    weights = scorer.draws.weights if few is None else scorer.draws.weights[:1]
    one, other = (
        _values(mask, scorer, entry, metrics.Draws(scorer.draws.group[mask], weights)) for mask in (best, worst)
    )
    found = intervals.interval(one - other, "", fewest - 1.0, few, inflation=scorer.inflation)
    if found["high"] is None:
        return found, None
    # The interval's own half-width is the error times the t of 95 %.
    error = (found["high"] - found["value"]) / t.isf(0.025, fewest - 1)
    p = 1.0 if error == 0 else 2 * float(t.sf(abs(found["value"]) / error, fewest - 1))
    return found, min(1.0, p * pairs)
