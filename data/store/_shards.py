"""Shards: the unit of samples that a change rewrites, and which sample is in which."""

import numpy as np
import pandas as pd

from affectlake.data.store._arrow import index_in

SHARD = 2048
"""Samples per shard."""


def assign_shards(ids: pd.Series, before: pd.Series | None) -> np.ndarray:
    """Shard of each sample: the one that it was in, new samples fill the last ones up.

    Most nights only add samples, so that all but the last shards stay as they are. When removals have left the shards
    half empty, all are dealt out anew.

    Parameters
    ----------
    ids : Series of str
    before : Series [index=sample_id, dtype=int]
    """
    fresh = np.arange(len(ids)) // SHARD
    if before is None:
        return fresh.astype(np.int32)
    at = index_in(ids, before.index)
    new = at < 0
    shards = before.to_numpy(dtype=np.int64)[at] if len(before) else np.zeros(len(ids), np.int64)
    kept = shards[~new]
    last = int(kept.max(initial=0))
    fill = int((kept == last).sum())
    shards[new] = last + (fill + np.arange(new.sum())) // SHARD
    if len(np.unique(shards)) > 2 * (len(ids) // SHARD + 1):
        return fresh.astype(np.int32)
    return shards.astype(np.int32)
