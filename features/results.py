"""What comes back of work: results to keep, or names of files that who computed them wrote, and what was learnt."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from socket import gethostname

import pyarrow as pa
import pyarrow.compute as pc

from affectlake.data.store import HeldFile, Place, Unreachable
from affectlake.features import learning
from affectlake.features.compute import Chunk
from affectlake.features.steady import steady


@dataclass(frozen=True)
class Results:
    """Results of some samples.

    Attributes
    ----------
    samples : int
        Distinct contents that were read.
    counts : mapping of extractor to int
        Distinct contents that there are results of.
    changed : tuple of str
        Addresses of files that are not those that were hashed: there are no results of them.
    learnt : mapping
        sha256 of objects elsewhere, by what stood for them.
    tables : mapping of extractor to pa.Table
        Results to keep.
    files : tuple of HeldFile
        Those that were written by whoever computed them.
    unwritten : str
        Why they were not, where they were to be.
    """

    samples: int
    counts: Mapping[str, int]
    changed: tuple[str, ...]
    learnt: Mapping[str, str]
    tables: Mapping[str, pa.Table]
    files: tuple[HeldFile, ...] = ()
    unwritten: str = ""


def results(chunks: Sequence[Chunk], answers: Iterable[Mapping[str, pa.Table]]) -> Results:
    """What is to be kept of answers to chunks, and what they say besides."""
    samples, changed = 0, list[str]()
    learnt: dict[str, str] = {}
    parts: dict[str, list[pa.Table]] = {}
    for tables in answers:
        samples += _distinct(next(iter(tables.values())))
        kept, files = steady(chunks, tables)
        changed += files
        learnt |= (new := learning.learnt_of(tables))
        for name, table in learning.named(kept, new).items():
            parts.setdefault(name, []).append(table)
    tables = {name: pa.concat_tables(several) for name, several in parts.items()}
    counts = {name: _distinct(table) for name, table in tables.items()}
    return Results(samples, counts, tuple(dict.fromkeys(changed)), learnt, tables)


def written(found: Results, place: Place, fingerprints: Mapping[str, str]) -> Results:
    """The same with the results in the store; as it was, and why, where that is not to be had from here."""
    try:
        files = [place.keep(n, fingerprints[n], table) for n, table in found.tables.items() if table.num_rows]
    except Unreachable as error:
        return replace(found, unwritten=f"{gethostname()}: {error}")
    return replace(found, tables={}, files=tuple(files))


def _distinct(table: pa.Table) -> int:
    return int(pc.count_distinct(table["content"]).as_py())
