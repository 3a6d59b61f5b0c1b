"""Decides what a refresh has to compute: wanted content × fingerprint, less what is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from affectlake.data import remote
from affectlake.data.samples import channel_number
from affectlake.data.store import is_in
from affectlake.data.windows import keys_of
from affectlake.features import settings
from affectlake.features.compute import Chunk
from affectlake.features.inputs import Request, decoding
from affectlake.features.protocol import Extractor, Reads, fingerprint
from affectlake.features.scan import UNREAD, requests

CHUNK: dict[Reads, int] = {"audio": 16, "speech": 4, "face": 8, "image": 32, "text": 512, "dialogue": 512}
"""Samples that a worker takes in one go; text gains from long runs of equal length."""

SHARD_CHUNKS = 16
"""Chunks per shard, the unit that is scheduled, kept and, after a crash, done again."""

Known = Callable[[str, str], pd.DataFrame]
"""(extractor, fingerprint) -> [content, outcome, …] of everything already computed."""


@dataclass(frozen=True)
class Plan:
    """What a refresh wants and what of that is still to be computed.

    Attributes
    ----------
    wanted : dict of extractor name to DataFrame [columns=(sample_id, content, uri)]
        Every sample that has what the extractor reads.
    fingerprints : dict of extractor name to str
    chunks : list of Chunk
        The work left; each content × extractor appears once.
    """

    wanted: dict[str, pd.DataFrame]
    fingerprints: dict[str, str]
    chunks: list[Chunk]

    @property
    def shards(self) -> list[list[Chunk]]:
        """Chunks in groups of neighbours."""
        return [self.chunks[i : i + SHARD_CHUNKS] for i in range(0, len(self.chunks), SHARD_CHUNKS)]

    @property
    def to_compute(self) -> dict[str, int]:
        """Contents left to compute, by extractor."""
        counts = dict.fromkeys(self.wanted, 0)
        for chunk in self.chunks:
            for name in chunk.extractors:
                counts[name] += len(chunk.requests)
        return counts


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
    wanted, fingerprints, chunks = {}, {}, []
    by_reads: dict[Reads, list[Extractor]] = {}
    for extractor in extractors:
        by_reads.setdefault(extractor.reads, []).append(extractor)
    for reads, group in by_reads.items():
        rows = requests(samples, stats, reads)
        distinct = rows.drop_duplicates("content", ignore_index=True)
        unread = distinct["content"].str.startswith(UNREAD).to_numpy() & retry_unread
        needed = {}
        for extractor in group:
            fingerprints[extractor.name] = fingerprint(extractor, decoding(reads))
            wanted[extractor.name] = rows[["sample_id", "content", "uri"]]
            done = known(extractor.name, fingerprints[extractor.name])
            if retry_failed:
                done = done[done["outcome"] != "failed"]
            needed[extractor.name] = ~is_in(distinct["content"], done["content"]) | unread
        for keys in dict.fromkeys(map(keys_of, needed)):
            mine = {name: rows for name, rows in needed.items() if keys_of(name) == keys}
            # What is computed by parts takes as long as many samples.
            chunks += _chunks(reads, distinct, mine, 1 if keys else CHUNK[reads])
    return Plan(wanted, fingerprints, chunks)


def _chunks(reads: Reads, distinct: pd.DataFrame, needed: dict[str, np.ndarray], size: int) -> list[Chunk]:
    """Chunks whose samples all need the same extractors, so that each file is decoded once for all of them."""
    need = pd.DataFrame(needed)
    left = distinct[need.any(axis=1).to_numpy()]
    chunks, given = [], tuple(settings.changed().items())
    for pattern, rows in left.groupby([need[name] for name in need], sort=False):
        names = tuple(str(name) for name, wanted in zip(need, pattern, strict=True) if wanted)
        if reads in ("text", "dialogue"):
            # A batch costs what its longest text costs: neighbours of equal length waste nothing.
            rows = rows.iloc[np.argsort(-rows["text"].str.len().to_numpy(), kind="stable")]
        todo = [_request(row) for row in rows.itertuples(index=False)]
        parts = [tuple(todo[i : i + size]) for i in range(0, len(todo), size)]
        chunks += [Chunk(reads, names, part, given) for part in parts]
    return chunks


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
        *_elsewhere(row),
    )


def _elsewhere(row: Any) -> tuple[int, str]:
    """What is to be fetched: how much, and with what credentials."""
    return (max(int(row.size), 0), remote.credentials(row.uri)) if remote.is_remote(row.uri) else (0, "")
