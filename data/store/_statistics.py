"""Statistics of a shard's columns, of which those of a table are put together: a change costs the shards it touches."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from affectlake.data.store._snapshot import TableRef
from affectlake.data.store._spelling import IN_FEATURES, kept
from affectlake.data.store._table_store import TableStore

# Rows of a shard's statistics, see `statistics`.
ROWS, N, LOW, HIGH, MEAN, M2 = range(6)

ShardStatistics = dict[int, np.ndarray]
"""By shard float64 [shape=(6, columns)]: rows, values present, least, greatest, mean, sum of squares about the mean."""


def statistics(values: pa.Table) -> np.ndarray:
    """What the statistics of the columns can be put together from."""
    x = np.stack([c.to_numpy() for c in values.columns])
    present = ~np.isnan(x)
    n = present.sum(axis=1)
    if all_there := bool(present.all()):
        low, high = x.min(axis=1), x.max(axis=1)
        centred = x.astype(np.float64)
    else:
        low, high = np.where(present, x, np.inf).min(axis=1), np.where(present, x, -np.inf).max(axis=1)
        centred = np.where(present, x, 0).astype(np.float64)
    mean = centred.sum(axis=1) / np.maximum(n, 1)
    centred -= mean[:, None]
    if not all_there:
        centred[~present] = 0
    return np.stack([np.full(len(x), x.shape[1]), n, low, high, mean, np.einsum("ij,ij->i", centred, centred)])


def table_statistics(store: TableStore, entry: TableRef, names: Sequence[str]) -> ShardStatistics:
    """The same of a whole table, which is read shard by shard; ``names`` as they are called or kept."""
    found: ShardStatistics = {}
    table = store.load_version(entry).to_pyarrow_dataset()
    known = set(table.schema.names) - IN_FEATURES
    names = [n if n in known else kept(n) for n in names]
    for fragment in table.get_fragments():
        shard = pads.get_partition_keys(fragment.partition_expression)["shard"]
        new = statistics(fragment.to_table(columns=list(names)))
        found[shard] = merged([found[shard], new]) if shard in found else new
    return found


def merged(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Statistics of several shards together (Chan, Golub & LeVeque 1983)."""
    x = np.stack(parts)
    n = x[:, N].sum(axis=0)
    mean = (x[:, N] * x[:, MEAN]).sum(axis=0) / np.maximum(n, 1)
    m2 = (x[:, M2] + x[:, N] * (x[:, MEAN] - mean) ** 2).sum(axis=0)
    return np.stack([x[:, ROWS].sum(axis=0), n, x[:, LOW].min(axis=0), x[:, HIGH].max(axis=0), mean, m2])


def to_table(parts: dict[str, ShardStatistics]) -> pa.Table:
    """Statistics of several extractors as the store keeps them, so that a change costs the shards that it touches."""
    rows = [(name, shard, values.ravel()) for name in sorted(parts) for shard, values in sorted(parts[name].items())]
    return pa.Table.from_pylist([dict(zip(_SCHEMA.names, row, strict=True)) for row in rows], _SCHEMA)


def from_table(table: pa.Table, extractor: str) -> ShardStatistics:
    """Statistics of one extractor; empty where the table has none."""
    of_extractor = table.filter(pc.equal(table["extractor"], extractor))
    shards, values = of_extractor["shard"].to_pylist(), of_extractor["moments"]
    return {shard: v.values.to_numpy().reshape(6, -1) for shard, v in zip(shards, values, strict=True)}


_SCHEMA = pa.schema([("extractor", pa.string()), ("shard", pa.int32()), ("moments", pa.list_(pa.float64()))])
