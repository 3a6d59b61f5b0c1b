"""Samples that lie near one another in the columns of an extractor."""

import numpy as np
import pandas as pd

from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.data.store import _load
from affectlake.data.store._arrow import strings
from affectlake.data.store._snapshot import Snapshot
from affectlake.data.store._spelling import HIDDEN, spoken
from affectlake.data.store._table_store import TableStore


def similar(store: TableStore, snapshot: Snapshot, sample_id: str, extractor: str, n: int) -> pd.DataFrame:
    """See `Store.similar`."""
    if n < 1:
        raise UsageError(f"n must be at least 1, got {n}")
    if extractor not in snapshot.features:
        raise UnknownName("extractor", extractor, snapshot.features)
    samples = _load.samples(store, snapshot)
    [asked] = pd.Index(samples["sample_id"]).get_indexer([sample_id])
    if asked < 0:
        raise UnknownName("sample", sample_id, samples["sample_id"])
    ids, shards = strings(samples["sample_id"]).combine_chunks(), samples["_shard"].to_numpy(dtype=np.int32)
    values, [present] = _load.block(store, snapshot, _load.chosen(store, snapshot, [extractor]), ids, shards)
    if not present[asked]:
        raise AffectlakeError(f"{sample_id!r} has no {extractor}: nothing can be near it")
    rows = np.flatnonzero(present)
    closeness = cosine(values[:, rows], int(np.searchsorted(rows, asked)))
    order = np.argsort(-closeness, kind="stable")
    order = order[(rows[order] != asked) & ~np.isnan(closeness[order])][:n]
    found = samples.take(rows[order]).drop(columns=HIDDEN).rename(columns=spoken).set_index("sample_id")
    found.insert(0, "similarity", closeness[order])
    return found


def cosine(values: np.ndarray, asked: int) -> np.ndarray:
    """Cosine of one sample and each, of columns that have mean 0 and standard deviation 1.

    Parameters
    ----------
    values : float array, shape=(columns, samples)
        What is missing counts as the column's mean.
    asked : int
        Position of the sample.

    Returns
    -------
    float64 array, shape=(samples,)
        In [-1, 1]; NaN where a sample lies at the mean of every column.

    Examples
    --------
    >>> cosine(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]), 0).round(3).tolist()
    [1.0, nan, -1.0]
    """
    dot, square = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for column in values:  # one at a time: a whole matrix of float64 would be twice what was read
        x = column.astype(np.float64)
        known = np.isfinite(x)
        if not known.any():
            continue
        x = np.where(known, x - x[known].mean(), 0.0)
        spread = x[known].std()
        if spread > 0:
            x /= spread
            dot += x[asked] * x
            square += x * x
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = np.clip(dot / np.sqrt(square * square[asked]), -1, 1)
    return found
