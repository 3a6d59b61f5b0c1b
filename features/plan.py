"""Decides what a refresh has to compute: wanted content × fingerprint, less what is known."""

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import pandas as pd

from affectlake.data import remote, spill
from affectlake.data.lookup import Positions
from affectlake.data.samples import channel_number
from affectlake.data.windows import keys_of
from affectlake.features import settings
from affectlake.features.compute import Chunk
from affectlake.features.excerpts import in_parts
from affectlake.features.inputs import Request, decoding
from affectlake.features.protocol import Extractor, Reads, fingerprint
from affectlake.features.scan import UNREAD, asked
from affectlake.features.settings import Value

CHUNK: dict[Reads, int] = {"audio": 16, "speech": 4, "face": 8, "image": 32, "text": 512, "dialogue": 512}
"""Samples that a worker takes in one go; text gains from long runs of equal length."""

SHARD_CHUNKS = 16
"""Chunks per shard, the unit that is scheduled, kept and, after a crash, done again."""

WINDOW = 2**14
"""Samples of which chunks are made at a time."""

Known = Callable[[str, str], pd.DataFrame]
"""(extractor, fingerprint) -> [content, outcome, …] of everything already computed."""


class Chunks(Sequence[Chunk]):
    """Work that is made of samples as it is asked for: most of it is far from being in anybody's memory."""

    def __init__(self, runs: Sequence["_Run"]):
        self._runs = [run for run in runs if len(run.at)]
        self._ends = np.cumsum([run.chunks for run in self._runs], dtype=np.int64)
        self._made: tuple[int, list[Chunk]] | None = None

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._runs else 0

    @overload
    def __getitem__(self, i: int) -> Chunk: ...
    @overload
    def __getitem__(self, i: slice) -> list[Chunk]: ...
    def __getitem__(self, i: int | slice) -> Chunk | list[Chunk]:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        i %= len(self)
        at = int(np.searchsorted(self._ends, i, side="right"))
        run = self._runs[at]
        inside = i - int(self._ends[at]) + run.chunks
        first = i - inside % run.window
        if self._made is None or self._made[0] != first:  # work is asked for in order
            self._made = first, run.made(inside // run.window)
        return self._made[1][i - first]

    @property
    def counts(self) -> Counter[str]:
        """Contents by extractor."""
        counts: Counter[str] = Counter()
        for run in self._runs:
            counts.update(dict.fromkeys(run.extractors, len(run.at)))
        return counts

    @property
    def contents(self) -> int:
        return sum(len(run.at) for run in self._runs)


@dataclass(frozen=True)
class _Run:
    """Samples that need the same extractors, so that each file is decoded once for all of them.

    ``asked`` gives the rows of `affectlake.features.scan.requests` of the samples at some positions; ``size`` is that
    of a chunk.
    """

    reads: Reads
    extractors: tuple[str, ...]
    size: int
    at: np.ndarray
    asked: Callable[[np.ndarray], pd.DataFrame]
    settings: tuple[tuple[str, Value], ...]

    @property
    def chunks(self) -> int:
        return -(-len(self.at) // self.size)

    @property
    def window(self) -> int:
        """Chunks that are made at a time."""
        return max(WINDOW // self.size, 1)

    def made(self, window: int) -> list[Chunk]:
        many = self.window * self.size
        rows = self.asked(self.at[window * many : (window + 1) * many])
        if self.reads in ("text", "dialogue"):
            # A batch costs what its longest text costs: neighbours of equal length waste nothing.
            rows = rows.iloc[np.argsort(-rows["text"].str.len().to_numpy(), kind="stable")]
        todo = [_request(row) for row in rows.itertuples(index=False)]
        parts = [tuple(todo[i : i + self.size]) for i in range(0, len(todo), self.size)]
        return [Chunk(self.reads, self.extractors, part, self.settings) for part in parts]


class Shards(Sequence[list[Chunk]]):
    """Chunks in groups of `SHARD_CHUNKS`."""

    def __init__(self, chunks: Chunks):
        self.chunks = chunks

    def __len__(self) -> int:
        return -(-len(self.chunks) // SHARD_CHUNKS)

    @overload
    def __getitem__(self, i: int) -> list[Chunk]: ...
    @overload
    def __getitem__(self, i: slice) -> list[list[Chunk]]: ...
    def __getitem__(self, i: int | slice) -> list[Chunk] | list[list[Chunk]]:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        i %= len(self)
        return self.chunks[i * SHARD_CHUNKS : (i + 1) * SHARD_CHUNKS]


@dataclass(frozen=True)
class Plan:
    """What a refresh wants and what of that is still to be computed.

    Attributes
    ----------
    wanted : dict of extractor name to DataFrame [columns=(sample_id, content, uri)]
        Every sample that has what the extractor reads.
    fingerprints : dict of extractor name to str
    chunks : Chunks
        The work left; each content × extractor appears once.
    """

    wanted: dict[str, pd.DataFrame]
    fingerprints: dict[str, str]
    chunks: Chunks

    @property
    def shards(self) -> Shards:
        """Chunks in groups of neighbours."""
        return Shards(self.chunks)

    @property
    def to_compute(self) -> dict[str, int]:
        """Contents left to compute, by extractor."""
        counts = self.chunks.counts
        return {name: counts[name] for name in self.wanted}


def plan(
    samples: pd.DataFrame,
    stats: pd.DataFrame,
    extractors: Sequence[Extractor],
    known: Known,
    retry_failed: bool = False,
    retry_unread: bool = True,
) -> Plan:
    """Compare what is wanted with what is known.

    Parameters
    ----------
    samples : DataFrame
        Normal form of `affectlake.data.samples.samples_frame`.
    stats : DataFrame
        Result of `affectlake.features.scan.scan` over the samples' media.
    extractors : sequence of Extractor
        Those that must be brought up to date.
    known : callable(extractor, fingerprint) -> DataFrame [columns=(content, outcome, …)]
        What the store already holds.
    retry_failed : bool
        Compute remembered failures again.
    retry_unread : bool
        Try files that could not be read: what is known of them is never an answer for another day.
    """
    wanted, fingerprints, runs = {}, {}, []
    by_reads: dict[Reads, list[Extractor]] = {}
    for extractor in extractors:
        by_reads.setdefault(extractor.reads, []).append(extractor)
    media = bool(by_reads.keys() - {"text", "dialogue"})
    files, little = (Positions(stats["uri"]), in_parts(samples, stats)) if media else (None, set())
    given = tuple(settings.changed().items())
    for reads, group in by_reads.items():
        ask = _asking(samples, stats, reads, files, little)
        rows, at = _rows(ask, len(samples))
        distinct = Positions(rows["content"])
        unread = _unread(rows) if retry_unread else np.zeros(len(rows), bool)
        needed = {}
        for extractor in group:
            fingerprints[extractor.name] = fingerprint(extractor, decoding(reads))
            wanted[extractor.name] = rows
            needed[extractor.name] = need = np.zeros(len(rows), bool)
            need[distinct.first] = True
            for part in spill.parts(known(extractor.name, fingerprints[extractor.name])):
                done = part[part["outcome"] != "failed"] if retry_failed else part
                found = distinct.of(done["content"])
                need[found[found >= 0]] = False
            need[distinct.first] |= unread[distinct.first]
        for keys in dict.fromkeys(map(keys_of, needed)):
            mine = pd.DataFrame({name: need for name, need in needed.items() if keys_of(name) == keys})
            left = np.flatnonzero(mine.any(axis=1))
            # What is computed by parts takes as long as many samples.
            size = 1 if keys else CHUNK[reads]
            for pattern, chosen in mine.iloc[left].groupby([mine[name].iloc[left] for name in mine], sort=False):
                names = tuple(str(name) for name, lacks in zip(mine, pattern, strict=True) if lacks)
                runs.append(_Run(reads, names, size, at[chosen.index], ask, given))
    return Plan(wanted, fingerprints, Chunks(runs))


def _asking(
    samples: pd.DataFrame, stats: pd.DataFrame, reads: Reads, files: Positions | None, little: Set[str]
) -> Callable[[np.ndarray], pd.DataFrame]:
    """What extractors would be given of samples by their positions; of a dialogue only the whole can tell."""
    if reads != "dialogue":
        return lambda at: asked(spill.taken(samples, at), stats, reads, files, little)
    every = asked(samples.reset_index(drop=True), stats, reads, files, little)
    return lambda at: every.loc[every.index.intersection(pd.Index(at))]


def _rows(ask: Callable[[np.ndarray], pd.DataFrame], samples: int) -> tuple[pd.DataFrame, np.ndarray]:
    """What is wanted [columns=(sample_id, content, uri)], and the position of the sample of each row."""
    rows, at = spill.Spill(), []
    for first in range(0, max(samples, 1), spill.ROWS):
        part = ask(np.arange(first, min(first + spill.ROWS, samples)))
        rows.add(part[["sample_id", "content", "uri"]])
        at.append(part.index.to_numpy())
        spill.release()
    return rows.frame(), np.concatenate(at)


def _unread(rows: pd.DataFrame) -> np.ndarray:
    return np.concatenate([part["content"].str.startswith(UNREAD).to_numpy(bool) for part in spill.parts(rows)])


def _request(row: Any) -> Request:
    start = None if np.isnan(row.start) else float(row.start)
    end = None if np.isnan(row.end) else float(row.end)
    channel = None if pd.isna(row.channel) else channel_number(row.channel)
    return Request(
        row.content,
        row.uri,
        start,
        end,
        channel,
        row.text,
        row.context or (),
        row.language,
        row.sha256,
        row.stamp,
        max(int(row.size), 0) if remote.is_remote(row.uri) else 0,
        bool(row.in_parts),
        remote.credentials(row.uri),
    )
