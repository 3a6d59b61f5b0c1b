"""The catalogue of columns: what each means, and how its values are distributed in a snapshot."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from affectlake.data.store._place import Place
from affectlake.data.store._spelling import IN_FEATURES, kept

FIELDS = ("unit", "low", "high", "description", "source")


# Rows of a shard's moments, see `moments`.
_ROWS, _N, _LOW, _HIGH, _MEAN, _M2 = range(6)

Moments = dict[int, np.ndarray]
"""By shard float64 [shape=(6, columns)]: rows, values present, least, greatest, mean, sum of squares about the mean."""


def moments(values: pa.Table, names: Sequence[str]) -> Moments:
    """What the statistics of each shard's columns can be put together from; ``values`` lies shard by shard."""
    shards = values["shard"].to_numpy()
    bounds = [*np.flatnonzero(np.diff(shards, prepend=-1)), len(shards)]
    return {int(shards[a]): _moments(values.slice(a, b - a).select(names)) for a, b in pairwise(bounds)}


def _moments(values: pa.Table) -> np.ndarray:
    x = np.stack([c.to_numpy() for c in values.columns]).astype(np.float64)
    present = ~np.isnan(x)
    n = present.sum(axis=1)
    mean = np.where(present, x, 0).sum(axis=1) / np.maximum(n, 1)
    centred = np.where(present, x - mean[:, None], 0)
    low = np.where(present, x, np.inf).min(axis=1)
    high = np.where(present, x, -np.inf).max(axis=1)
    return np.stack([np.full(len(x), x.shape[1]), n, low, high, mean, np.einsum("ij,ij->i", centred, centred)])


def moments_of(place: Place, entry: dict[str, Any], names: Sequence[str]) -> Moments:
    """The same of a whole table, which is read shard by shard; ``names`` as they are called or kept."""
    found: Moments = {}
    table = place.at(entry).to_pyarrow_dataset()
    known = set(table.schema.names) - IN_FEATURES
    names = [n if n in known else kept(n) for n in names]
    for fragment in table.get_fragments():
        shard = pads.get_partition_keys(fragment.partition_expression)["shard"]
        new = _moments(fragment.to_table(columns=list(names)))
        found[shard] = _merged([found[shard], new]) if shard in found else new
    return found


def _merged(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Moments of several shards together (Chan, Golub & LeVeque 1983)."""
    x = np.stack(parts)
    n = x[:, _N].sum(axis=0)
    mean = (x[:, _N] * x[:, _MEAN]).sum(axis=0) / np.maximum(n, 1)
    m2 = (x[:, _M2] + x[:, _N] * (x[:, _MEAN] - mean) ** 2).sum(axis=0)
    return np.stack([x[:, _ROWS].sum(axis=0), n, x[:, _LOW].min(axis=0), x[:, _HIGH].max(axis=0), mean, m2])


def to_table(parts: dict[str, Moments]) -> pa.Table:
    """Moments of several extractors as the store keeps them, so that a change costs the shards that it touches."""
    rows = [(name, shard, values.ravel()) for name in sorted(parts) for shard, values in sorted(parts[name].items())]
    return pa.Table.from_pylist([dict(zip(_MOMENTS.names, row, strict=True)) for row in rows], _MOMENTS)


def from_table(table: pa.Table, extractor: str) -> Moments:
    """Moments of one extractor; empty where the table has none."""
    mine = table.filter(pc.equal(table["extractor"], extractor))
    shards, values = mine["shard"].to_pylist(), mine["moments"]
    return {shard: v.values.to_numpy().reshape(6, -1) for shard, v in zip(shards, values, strict=True)}


_MOMENTS = pa.schema([("extractor", pa.string()), ("shard", pa.int32()), ("moments", pa.list_(pa.float64()))])


def describe(extractor: str, columns: Sequence[dict[str, Any]], found: Moments) -> pd.DataFrame:
    """Documentation and statistics of a feature table, one row per column.

    Returns
    -------
    DataFrame [columns=(extractor, column, unit, low, high, description, source, n, missing, min, mean, max, std)]
        ``n``: values present; ``missing``: rows without one. Statistics are over values present, `std` is that of
        the population; NaN where there is none.
    """
    nothing = np.repeat([[0.0], [0.0], [np.inf], [-np.inf], [0.0], [0.0]], len(columns), axis=1)
    whole = _merged([nothing, *(found[shard] for shard in sorted(found))])
    n = whole[_N]
    known = np.where(n > 0, whole, np.nan)
    return pd.DataFrame(
        {
            "extractor": extractor,
            "column": [c["name"] for c in columns],
            **{f: [c.get(f, _DEFAULTS[f]) for c in columns] for f in FIELDS},
            "n": n.astype(np.int64),
            "missing": (whole[_ROWS] - n).astype(np.int64),
            "min": known[_LOW],
            "mean": known[_MEAN],
            "max": known[_HIGH],
            "std": np.sqrt(known[_M2] / np.maximum(n, 1)),
        }
    )


def documented(catalogue: pd.DataFrame, extractor: str) -> list[dict[str, Any]]:
    """What a catalogue says about an extractor's columns, as `describe` takes it."""
    return catalogue[catalogue["extractor"] == extractor].rename(columns={"column": "name"}).to_dict("records")


def together(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One catalogue of those of several extractors."""
    return pd.concat(parts, ignore_index=True) if parts else _NOTHING


_DEFAULTS = {"unit": "", "low": -np.inf, "high": np.inf, "description": "", "source": ""}

_NOTHING = pd.DataFrame(
    {
        **{k: pd.Series([], dtype="str") for k in ("extractor", "column", "unit", "description", "source")},
        **{k: pd.Series([], dtype="float64") for k in ("low", "high", "n", "missing", "min", "mean", "max", "std")},
    }
)
