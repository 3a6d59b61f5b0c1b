"""How the columns of a dataset are distributed: what the catalogue knows, and quantiles."""

import warnings

import numpy as np
import pandas as pd

from affectlake.data.store import _load
from affectlake.data.store._arrow import strings
from affectlake.data.store._read import read
from affectlake.data.store._snapshot import Snapshot
from affectlake.data.store._table_store import TableStore

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_MEMORY = 64 << 20  # bytes of values that are held at a time


def describe(store: TableStore, snapshot: Snapshot, columns: dict[str, list[str]]) -> pd.DataFrame:
    """See `Store.describe`."""
    samples = _load.samples(store, snapshot, ["sample_id", "_shard", "_position"])
    catalogue = read(store, snapshot.tables["columns"]).to_pandas().set_index(["extractor", "column"])
    ids, shards = strings(samples["sample_id"]).combine_chunks(), samples["_shard"].to_numpy(dtype=np.int32)
    at_once = max(1, _MEMORY // (4 * max(len(ids), 1)))
    parts = []
    for name, names in columns.items():
        for first in range(0, len(names), at_once):
            some = names[first : first + at_once]
            values, _ = _load.block(store, snapshot, {name: some}, ids, shards)
            known = catalogue.loc[[(name, c) for c in some]]
            parts.append(_described(values, known).set_axis([f"{name}.{c}" for c in some]))
    return pd.concat(parts).rename_axis(index="column") if parts else pd.DataFrame()


def _described(values: np.ndarray, known: pd.DataFrame) -> pd.DataFrame:
    count = (~np.isnan(values)).sum(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any value has no quantile
        quantiles = np.nanquantile(values, QUANTILES, axis=1)
    return pd.DataFrame(
        {
            "unit": known["unit"].to_numpy(),
            "count": count,
            "missing": values.shape[1] - count,
            "mean": known["mean"].to_numpy(),
            "sd": known["std"].to_numpy(),
            "min": known["min"].to_numpy(),
            **{f"{q:.0%}": row for q, row in zip(QUANTILES, quantiles, strict=True)},
            "max": known["max"].to_numpy(),
            "meaning": known["description"].to_numpy(),
        }
    )
