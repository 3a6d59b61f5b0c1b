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
