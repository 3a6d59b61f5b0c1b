"""What differs between a table as it is and as it is wanted, told some shards at a time."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from affectlake.data import spill
from affectlake.data.lookup import Positions
from affectlake.data.store._arrow import equal, index_in
from affectlake.data.store._changes import PENDING
from affectlake.data.store._shards import SHARD
from affectlake.data.store._snapshot import Counts

_KEYS = ["sample_id", "content"]


class Difference:
    """A table of features as it is and as it is wanted, compared.

    Parameters
    ----------
    rows : DataFrame [columns=(sample_id, content, …)]
        What is wanted; may lie on disk, as ``base``.
    shards : int32 array
        Of each row.
    base : DataFrame [columns=(sample_id, content, shard)]
        The table as it is, in order of shards.
    lacking : DataFrame [columns=(sample_id, content, …)]
        The other samples that the last snapshot knew.

    Attributes
    ----------
    same : bool array
        Rows that are what and where they were.
    known, equal : bool array
        Rows whose sample was there before, and those of them whose content it had.
    stays : bool array
        Rows of ``base`` that are what and where they were.
    removed : int
        Samples that were there before and are not wanted.
    tried : bool array
        Rows that had no values before.
    source, file : int32 array
        Shard of ``base`` that holds each row's content, and the place of the kept file that does; else `PENDING`. See
        `find`.
    """

    def __init__(self, rows: pd.DataFrame, shards: np.ndarray, base: pd.DataFrame, lacking: pd.DataFrame):
        self.rows, self.shards, self.base = rows, shards, base
        ordered = bool((shards[1:] >= shards[:-1]).all())
        self._order = None if ordered else np.argsort(shards, kind="stable")
        self._sorted = shards if self._order is None else shards[self._order]
        self._held = base["shard"].to_numpy(np.int32)
        self.same, self.known, self.equal, self.tried = (np.zeros(len(rows), bool) for _ in range(4))
        self.stays, found = np.zeros(len(base), bool), np.zeros(len(base), bool)
        last = max((int(s[-1]) for s in (self._sorted, self._held) if len(s)), default=-1)
        size = max(spill.ROWS // SHARD, 1)
        for shard in range(0, last + 1, size):
            self._compare(shard, shard + size, found)
            spill.release()
        self._follow(found)
        self.removed = int((~found).sum()) + self._retried(lacking)
        self.source, self.file = (np.full(len(rows), PENDING, np.int32) for _ in range(2))

    @property
    def unchanged(self) -> bool:
        """Whether every row is what and where it was, or has no values now as before."""
        return bool(self.stays.all() and not self.removed and (self.same | (self.tried & self.equal)).all())

    @property
    def good(self) -> np.ndarray:
        """Rows of whose content there are values."""
        return (self.source != PENDING) | (self.file != PENDING)

    @property
    def changed(self) -> list[int]:
        """Shards whose rows are not what they were."""
        new = self.shards[self.good & ~self.same]
        return np.unique(np.concatenate([new, self._held[~self.stays]])).astype(int).tolist()

    @property
    def filled(self) -> list[int]:
        """Shards that have rows with values."""
        return np.unique(self.shards[self.good]).astype(int).tolist()

    def counts(self, same: bool, failed: int, not_applicable: int) -> Counts:
        """What a snapshot brings; ``same``: what was known has the same fingerprint."""
        # A failure that was tried again and came out well has the content that it had.
        unchanged = self.known & self.equal & ~(self.tried & self.good) if same else np.zeros(len(self.known), bool)
        new, recomputed, as_before = (int(x.sum()) for x in (~self.known, self.known & ~unchanged, unchanged))
        return Counts(new, recomputed, as_before, self.removed, failed, not_applicable)

    def find(self, kept: pd.DataFrame, valid: bool) -> None:
        """Find where the values of each row's content are.

        Parameters
        ----------
        kept : DataFrame [columns=(content, file)]
            What was kept since, and came out well.
        valid : bool
            Whether those of ``base`` are of the same fingerprint.
        """
        if valid:
            self.source[self.same] = self.shards[self.same]
        odd = np.flatnonzero(self.source == PENDING)
        if len(kept):
            places, files = Positions(kept["content"]), kept["file"].to_numpy(np.int32)
            for at, contents in self._contents(odd):
                found = places.of(contents)
                self.file[at] = np.where(found >= 0, files[found], PENDING)
            odd = odd[self.file[odd] == PENDING]
        if valid and len(odd) and len(self.base):
            contents = spill.spilled(part.to_frame() for _, part in self._contents(odd))["content"]
            places, holder = Positions(contents), np.full(len(contents), PENDING, np.int32)
            for part in spill.parts(self.base):
                found = places.of(part["content"])
                holder[found[found >= 0]] = part["shard"].to_numpy(np.int32)[found >= 0]
            for at, some in self._contents(odd):
                self.source[at] = holder[places.of(some)]

    def lacking(self) -> pd.DataFrame:
        """Rows of whose content there are no values."""
        return spill.taken(self.rows, np.flatnonzero(~self.good))

    def rows_of(self, shards: Sequence[int]) -> pd.DataFrame:
        """Rows of some shards that have values [columns=(sample_id, content, shard, source, file)], shard by shard."""
        at = np.concatenate([np.empty(0, np.int64), *(self._at(shard, shard + 1) for shard in shards)])
        at = at[(self.source[at] != PENDING) | (self.file[at] != PENDING)]
        found = spill.taken(self.rows[_KEYS], at).reset_index(drop=True)
        return found.assign(shard=self.shards[at], source=self.source[at], file=self.file[at])

    def _contents(self, at: np.ndarray) -> Iterator[tuple[np.ndarray, pd.Series]]:
        for a in range(0, max(len(at), 1), spill.ROWS):
            some = at[a : a + spill.ROWS]
            yield some, spill.taken(self.rows[["content"]], some)["content"]
            spill.release()

    def _at(self, first: int, end: int) -> np.ndarray:
        """Positions of the rows of the shards from ``first`` on and before ``end``."""
        a, b = np.searchsorted(self._sorted, [first, end])
        return np.arange(a, b) if self._order is None else self._order[a:b]

    def _compare(self, first: int, end: int, found: np.ndarray) -> None:
        """Some shards' part; ``found`` takes which rows of ``base`` are of samples that are there."""
        a, b = np.searchsorted(self._held, [first, end])
        at, was = self._at(first, end), self.base.iloc[a:b]
        if not len(at) or not len(was):
            return
        now = spill.taken(self.rows[_KEYS], at)
        before, there, equal = _compared(now, was)
        same = equal & (was["shard"].to_numpy(np.int32)[before] == self.shards[at])
        self.known[at], self.equal[at], self.same[at] = there, equal, same
        found[a + before[there]] = True
        self.stays[a + before[same]] = True

    def _follow(self, found: np.ndarray) -> None:
        """Find the samples that went to other shards."""
        gone, new = np.flatnonzero(~found), np.flatnonzero(~self.known)
        if not len(gone) or not len(new):
            return
        left = spill.taken(self.base[_KEYS], gone)
        places = Positions(left["sample_id"])
        for a in range(0, len(new), spill.ROWS):
            at = new[a : a + spill.ROWS]
            now = spill.taken(self.rows[_KEYS], at)
            before = places.of(now["sample_id"])
            there = before >= 0
            self.known[at] = there
            self.equal[at[there]] = equal(left.iloc[before[there]]["content"], now[there]["content"])
            found[gone[before[there]]] = True

    def _retried(self, lacking: pd.DataFrame) -> int:
        """Find the samples that had no values; returns how many of them are not there any more."""
        if lacking.empty:
            return 0
        seen, places = np.zeros(len(lacking), bool), Positions(lacking["sample_id"])
        for a in range(0, len(self.rows), spill.ROWS):
            now = self.rows[_KEYS].iloc[a : a + spill.ROWS]
            at = places.of(now["sample_id"])
            there, place = at >= 0, slice(a, a + len(now))
            seen[at[there]] = True
            self.tried[place] = there
            new = there & ~self.known[place]
            self.known[place] |= there
            self.equal[a + np.flatnonzero(new)] = equal(lacking.iloc[at[new]]["content"], now[new]["content"])
            spill.release()
        return int((~seen).sum())


def _compared(now: pd.DataFrame, was: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each sample was, whether it was, and whether its content was the same."""
    if len(now) == len(was) and equal(now["sample_id"], was["sample_id"]).all():
        before = np.arange(len(now))
        return before, np.ones(len(now), bool), equal(was["content"], now["content"])
    before = index_in(now["sample_id"], was["sample_id"])
    there = before >= 0
    return before, there, there & equal(was["content"].iloc[before], now["content"])
