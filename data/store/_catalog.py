"""The catalogue of columns: what each means, and how its values are distributed in a snapshot."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd

from affectlake.data.store._answers import ColumnDoc
from affectlake.data.store._read import read
from affectlake.data.store._snapshot import Snapshot
from affectlake.data.store._snapshots import Log
from affectlake.data.store._statistics import HIGH, LOW, M2, MEAN, ROWS, N, ShardStatistics, merged
from affectlake.data.store._table_store import TableStore

FIELDS = ("unit", "low", "high", "description", "source")


def describe(extractor: str, columns: Sequence[ColumnDoc], found: ShardStatistics) -> pd.DataFrame:
    """Documentation and statistics of a feature table, one row per column.

    Returns
    -------
    DataFrame [columns=(extractor, column, unit, low, high, description, source, n, missing, min, mean, max, std)]
        ``n``: values present; ``missing``: rows without one. Statistics are over values present, `std` is that of
        the population; NaN where there is none.
    """
    nothing = np.repeat([[0.0], [0.0], [np.inf], [-np.inf], [0.0], [0.0]], len(columns), axis=1)
    whole = merged([nothing, *(found[shard] for shard in sorted(found))])
    n = whole[N]
    known = np.where(n > 0, whole, np.nan)
    return pd.DataFrame(
        {
            "extractor": extractor,
            "column": [c["name"] for c in columns],
            **{f: [c.get(f, _DEFAULTS[f]) for c in columns] for f in FIELDS},
            "n": n.astype(np.int64),
            "missing": (whole[ROWS] - n).astype(np.int64),
            "min": known[LOW],
            "mean": known[MEAN],
            "max": known[HIGH],
            "std": np.sqrt(known[M2] / np.maximum(n, 1)),
        }
    )


def documented(catalogue: pd.DataFrame, extractor: str) -> list[ColumnDoc]:
    """What a catalogue says about an extractor's columns, as `describe` takes it."""
    rows = catalogue[catalogue["extractor"] == extractor].rename(columns={"column": "name"})
    return cast("list[ColumnDoc]", rows[["name", *FIELDS]].to_dict("records"))


def together(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One catalogue of those of several extractors."""
    return pd.concat(parts, ignore_index=True) if parts else _NOTHING


def columns(store: TableStore, log: Log, snapshot: Snapshot, extractor: str) -> pd.DataFrame:
    """A dataset's part of `Store.columns`."""
    described = _described(store, snapshot, extractor)
    described.insert(0, "dataset", snapshot.dataset)
    described["coverage"] = described["n"] / max(snapshot.samples, 1)
    before = log.head(snapshot.dataset, snapshot.number - 1)
    described["drift"] = _drift(described, _described(store, before, extractor)) if before else np.nan
    return described.drop(columns="extractor")


def _described(store: TableStore, snapshot: Snapshot, extractor: str) -> pd.DataFrame:
    frame = read(store, snapshot.tables["columns"]).to_pandas()
    return frame[frame["extractor"] == extractor].reset_index(drop=True)


def _drift(now: pd.DataFrame, before: pd.DataFrame) -> np.ndarray:
    old = before.set_index("column").reindex(now["column"])
    with np.errstate(invalid="ignore", divide="ignore"):
        drift = (now["mean"].to_numpy() - old["mean"].to_numpy()) / old["std"].to_numpy()
    return np.where(np.isfinite(drift), drift, np.nan)


_DEFAULTS = {"unit": "", "low": -np.inf, "high": np.inf, "description": "", "source": ""}

_NOTHING = pd.DataFrame(
    {
        **{k: pd.Series([], dtype="str") for k in ("extractor", "column", "unit", "description", "source")},
        **{k: pd.Series([], dtype="float64") for k in ("low", "high", "n", "missing", "min", "mean", "max", "std")},
    }
)
