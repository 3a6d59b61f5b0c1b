"""Where strings are among very many others, in twenty bytes each: they are known by their hashes, not kept."""

import secrets

import numpy as np
import pandas as pd

from affectlake.data import spill


class Positions:
    """Where each of many strings is, the first place of those that are there more than once.

    A string is known by 128 bits of SipHash, whose keys are drawn anew by every process: that two of ten million are
    taken for one has a chance of 1e-25, and nobody can make two that are.

    Parameters
    ----------
    values : Series of str
        None is missing.
    """

    def __init__(self, values: pd.Series):
        high, low = np.empty(len(values), np.uint64), np.empty(len(values), np.uint64)
        done = 0
        for part in spill.parts(values.to_frame()):
            end = done + len(part)
            high[done:end], low[done:end] = _hashes(part.iloc[:, 0])
            done = end
        at = np.argsort(high, kind="stable").astype(np.int32 if len(high) < 2**31 else np.int64)
        high = high[at]
        first = np.ones(len(high), bool)
        first[1:] = high[1:] != high[:-1]
        low = low[at]
        # Those whose first halves are equal while the others are not: almost never any.
        self._odd = {(int(h), int(o)): int(i) for h, o, i in _ties(high, low, at, first)}
        self._high, self._low, self._at = high[first], low[first], at[first]

    def __len__(self) -> int:
        """Different strings."""
        return len(self._high) + len(self._odd)

    @property
    def first(self) -> np.ndarray:
        """Positions of the different strings, each where it is first, in order."""
        return np.sort(np.concatenate([self._at, np.array(list(self._odd.values()), self._at.dtype)]))

    def of(self, values: pd.Series) -> np.ndarray:
        """Position of each string, -1 of one that is not among them."""
        found = np.full(len(values), -1, np.int64)
        if not len(self._high) or not len(values):
            return found
        high, low = _hashes(values)
        order = np.argsort(high)  # looked up in order, neighbours are in the same pages
        at = np.empty(len(high), np.int64)
        at[order] = np.searchsorted(self._high, high[order])
        at[at == len(self._high)] = 0
        same = (self._high[at] == high) & (self._low[at] == low)
        found[same] = self._at[at[same]]
        if self._odd:
            for i in np.flatnonzero(~same):
                found[i] = self._odd.get((int(high[i]), int(low[i])), -1)
        return found


def distinct(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The first row of each string of a column, in order, out of memory."""
    first = Positions(frame[column]).first
    if len(first) == len(frame):
        return frame
    parts = (first[a : a + spill.ROWS] for a in range(0, max(len(first), 1), spill.ROWS))
    return spill.spilled(spill.taken(frame, at) for at in parts)


def differing(old: pd.DataFrame, new: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of each of two frames that the other has not, under the same ``sample_id``, with the same values.

    Columns that one of them lacks are not compared. The frames may lie on disk.
    """
    shared = [c for c in old if c in new]
    places, same = Positions(new["sample_id"]), np.zeros(len(new), bool)
    left = spill.Spill()
    for was in spill.parts(old):
        at = places.of(was["sample_id"])
        there = at >= 0
        now = spill.taken(new[shared], at[there])
        equal = there.copy()
        equal[there] = _equal(was[there][shared], now)
        same[at[equal]] = True
        left.add(was[~equal])
    others = np.flatnonzero(~same)
    came = (spill.taken(new, others[a : a + spill.ROWS]) for a in range(0, max(len(others), 1), spill.ROWS))
    return left.frame(), spill.spilled(came)


def _equal(a: pd.DataFrame, b: pd.DataFrame) -> np.ndarray:
    """Which rows are, value by value; two that are missing are."""
    same = np.ones(len(a), bool)
    for name in a:
        x, y = (f[name].reset_index(drop=True) for f in (a, b))
        same &= ((x == y) | (x.isna() & y.isna())).to_numpy(dtype=bool, na_value=False)
    return same


def _ties(high: np.ndarray, low: np.ndarray, at: np.ndarray, first: np.ndarray) -> list[tuple[int, int, int]]:
    group = np.maximum.accumulate(np.where(first, np.arange(len(high)), 0))
    other = np.flatnonzero(low != low[group])
    rows = {(int(high[i]), int(low[i])): int(at[i]) for i in reversed(other)}
    return [(*key, i) for key, i in rows.items()]


_KEYS = secrets.token_hex(8), secrets.token_hex(8)


def _hashes(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    strings = values.to_numpy(dtype=object)
    one, other = (pd.util.hash_array(strings, hash_key=key, categorize=False) for key in _KEYS)
    return one, other
