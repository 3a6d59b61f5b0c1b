"""The quality gate: compares a snapshot that is about to be published with its documentation and with the last one."""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from affectlake.data.samples import MEDIA
from affectlake.data.store._snapshot import FeatureTable
from affectlake.data.store._spelling import HIDDEN, spoken

COVERAGE_DROP = 0.05
"""Share of samples that may lose their features from one snapshot to the next."""

SHIFT = 0.5
"""Change of a column's mean that counts as drift, in standard deviations of the last snapshot (Cohen's d)."""

SPREAD = 2.0
"""Factor by which a column's standard deviation may grow or shrink."""

ENOUGH = 30
"""Values below which distributions are not compared."""

_SHOWN = 3


def check(
    columns: pd.DataFrame,
    before: pd.DataFrame | None,
    features: Mapping[str, FeatureTable],
    features_before: Mapping[str, FeatureTable],
) -> list[str]:
    """Problems of a snapshot, each as one line; empty where there is none.

    Parameters
    ----------
    columns, before : DataFrame
        Catalogue of the new and the last snapshot, see `affectlake.data.store._catalog.describe`.
    features, features_before : mapping of extractor to FeatureTable
    """
    problems = []
    for extractor, entry in features.items():
        described = columns[columns["extractor"] == extractor]
        old = features_before.get(extractor)
        problems += _values(extractor, described)
        problems += _coverage(extractor, entry, old)
        # Another version or other parameters are meant to give other values: only like is compared with like.
        if old is not None and before is not None and old.fingerprint == entry.fingerprint:
            problems += _drift(extractor, described, before[before["extractor"] == extractor])
    return problems


def labels(before: Iterable[pa.Table], samples: pd.DataFrame) -> list[str]:
    """What samples lost since the last snapshot, whose come in parts: whole columns, or the values of one."""
    rows, missing = 0, Counter[str]()
    for part in before:
        rows += part.num_rows
        missing.update({c: part[c].null_count for c in part.column_names})
    if not rows or samples.empty:
        return []
    names = {spoken(c): c for c in missing if c not in HIDDEN}
    gone = [n for n in names if n not in samples]
    new = [str(c) for c in samples if c not in names]
    instead = f"; new: {', '.join(map(repr, new[:_SHOWN]))}" if gone and new else ""
    problems = [f"samples: column {n!r} is gone{instead}" for n in gone]
    for name, column in names.items():
        if name in gone:
            continue
        was = 1 - missing[column] / rows
        now = float(samples[name].notna().mean())
        if was > 0 and now == 0:
            problems.append(f"samples: column {name!r} has no value any more")
        elif was - now > COVERAGE_DROP and name not in MEDIA:  # media may leave one by one, as their owners wish
            problems.append(f"samples: values of {name!r} fell from {was:.1%} to {now:.1%} of the samples")
    return problems


def _values(extractor: str, columns: pd.DataFrame) -> list[str]:
    slack = 1e-4 * np.maximum(1.0, pd.Series(np.fmax(columns["low"].abs(), columns["high"].abs())).replace(np.inf, 1.0))
    outside = (columns["min"] < columns["low"] - slack) | (columns["max"] > columns["high"] + slack)
    infinite = np.isinf(columns["min"]) | np.isinf(columns["max"])
    empty = (columns["n"] == 0) & (columns["missing"] >= ENOUGH)
    return [
        *_report(extractor, columns[outside & ~infinite], "out of their documented range"),
        *_report(extractor, columns[infinite], "with infinite values"),
        *_report(extractor, columns[empty], "without any value"),
    ]


def _coverage(extractor: str, now: FeatureTable, old: FeatureTable | None) -> list[str]:
    lost = now.failed / now.wanted if now.wanted else 0.0
    if lost > 0.5:
        return [f"{extractor}: {now.failed} of {now.wanted} samples failed ({lost:.0%})"]
    if old is None or old.coverage is None or now.coverage is None:
        return []
    if old.coverage - now.coverage > COVERAGE_DROP:
        return [f"{extractor}: coverage fell from {old.coverage:.1%} to {now.coverage:.1%}"]
    return []


def _drift(extractor: str, columns: pd.DataFrame, before: pd.DataFrame) -> list[str]:
    both = columns.merge(before, on="column", suffixes=("", "_before"))
    both = both[(both["n"] >= ENOUGH) & (both["n_before"] >= ENOUGH) & (both["std_before"] > 0)]
    constant = both["min"] == both["max"]  # a column that always was is no news: two sentences have one length
    moved = (both["mean"] - both["mean_before"]).abs() > SHIFT * both["std_before"]
    ratio = both["std"] / both["std_before"]
    spread = (ratio > SPREAD) | (ratio < 1 / SPREAD)
    return [
        *_report(extractor, both[moved], f"whose mean moved by more than {SHIFT:g} standard deviations"),
        *_report(extractor, both[constant], "that became constant"),
        *_report(
            extractor, both[spread & ~moved & ~constant], f"whose spread changed by more than a factor of {SPREAD:g}"
        ),
    ]


def _report(extractor: str, columns: pd.DataFrame, what: str) -> list[str]:
    if columns.empty:
        return []
    shown = ", ".join(columns["column"][:_SHOWN]) + (", …" if len(columns) > _SHOWN else "")
    return [f"{extractor}: {len(columns)} column(s) {what}: {shown}"]
