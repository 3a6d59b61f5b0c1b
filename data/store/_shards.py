"""Shards: the unit of samples that a change rewrites, and which sample is in which."""

import numpy as np
import pandas as pd

from affectlake.data import spill
from affectlake.data.lookup import Positions
from affectlake.data.store._arrow import equal

SHARD = 2048
"""Samples per shard."""


def assign_shards(ids: pd.Series, before: pd.Series | None, places: Positions | None = None) -> np.ndarray:
    """Shard of each sample: the one that it was in, new samples fill the last ones up.

    Most nights only add samples, so that all but the last shards stay as they are. When removals have left the shards
    half empty, all are dealt out anew.

    Parameters
    ----------
    ids : Series of str
    before : Series [index=sample_id, dtype=int]
    places : Positions, optional
        Of ``ids``, for who has them.
    """
    fresh = (np.arange(len(ids)) // SHARD).astype(np.int32)
    if before is None:
        return fresh
    places = Positions(ids) if places is None else places
    shards = np.full(len(ids), -1, np.int32)
    for part in spill.parts(before.rename_axis("sample_id").rename("shard").reset_index()):
        at = places.of(part["sample_id"])
        shards[at[at >= 0]] = part["shard"].to_numpy(np.int32)[at >= 0]
    new = shards < 0
    kept = shards[~new]
    last = int(kept.max(initial=0))
    fill = int((kept == last).sum())
    shards[new] = last + (fill + np.arange(new.sum())) // SHARD
    return fresh if len(np.unique(shards)) > 2 * (len(ids) // SHARD + 1) else shards


class Dealt:
    """Samples and their shards."""

    def __init__(self, ids: pd.Series, before: pd.Series | None):
        self._ids, self._places = ids.to_frame("sample_id"), Positions(ids)
        self.shards = assign_shards(ids, before, self._places)

    def of(self, ids: pd.Series) -> np.ndarray:
        """Shard of each sample, -1 of one that is not there."""
        found = np.empty(len(ids), np.int32)
        for a in range(0, len(ids), spill.ROWS):
            some, same = ids.iloc[a : a + spill.ROWS], self._ids["sample_id"].iloc[a : a + spill.ROWS]
            if len(some) == len(same) and equal(some, same).all():
                found[a : a + len(some)] = self.shards[a : a + len(some)]
                continue
            at = self._places.of(some)
            found[a : a + len(some)] = np.where(at >= 0, self.shards[at], -1)
        return found
