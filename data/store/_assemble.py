"""Writes the files of some shards of a feature table: values of the last version, and those that were kept since.

Nothing here knows who asks: what a job says is all that it takes, so that it may run in a thread or on another machine.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from affectlake.data.store import _statistics
from affectlake.data.store._arrow import index_in, strings
from affectlake.data.store._changes import PENDING
from affectlake.data.store._read import StoredFile, read_file
from affectlake.data.store._table_store import PARTITION, Added, TableStore


@dataclass(frozen=True)
class Layout:
    """Columns of a feature table besides its keys, as they are kept.

    Attributes
    ----------
    values : tuple of str
    beside : tuple of str
        Words.
    parts : tuple of str
        What tells the rows of a sample apart; none where a row is a sample.
    """

    values: tuple[str, ...]
    beside: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        return ["content", *self.values, *self.beside, *self.parts]

    def schema(self) -> pa.Schema:
        """That of a table of no rows, which there is nothing to take the types of."""
        kinds = dict.fromkeys(["sample_id", "content", *self.beside], pa.string())
        kinds |= dict.fromkeys(self.values, pa.float32()) | {PARTITION: pa.int32()}
        kinds |= {n: pa.int32() if n == "track" else pa.float64() for n in self.parts}
        return pa.schema([(n, kinds[n]) for n in ("sample_id", "content", PARTITION, *self.columns[1:])])


@dataclass(frozen=True)
class Job:
    """Shards to write, and where their values are.

    Attributes
    ----------
    table : str
        Relative to the store.
    layout : Layout
    rows : DataFrame [columns=(sample_id, content, shard, source)]
        In order of shards; ``source`` is the shard of the last version that holds the content, or `PENDING`.
    old : mapping of shard to files of the last version
    pending : sequence of files
    """

    table: str
    layout: Layout
    rows: pd.DataFrame
    old: Mapping[int, Sequence[StoredFile]]
    pending: Sequence[StoredFile]


@dataclass(frozen=True)
class Shards:
    """What a job wrote: files that no version names yet, their schema, and the statistics of their columns."""

    files: tuple[Added, ...]
    schema: pa.Schema | None
    statistics: _statistics.ShardStatistics


@dataclass(frozen=True)
class Assemblers:
    """Who does jobs, and how many at a time; None: the job is not done."""

    write: Callable[[Job], Shards | None]
    number: int


def write(store: TableStore, job: Job) -> Shards:
    """Write a file for each shard of a job."""
    kept = _kept(store, job) if job.pending else None
    shards = job.rows["shard"].to_numpy()
    bounds = [*np.flatnonzero(np.diff(shards, prepend=-1)), len(shards)]
    schema: pa.Schema | None = None
    files, found = [], {}
    for a, b in pairwise(bounds):
        shard, rows = int(shards[a]), job.rows.iloc[a:b]
        table = _rows(job.layout, rows, _source(store, job, rows, kept))
        files.append(store.add(job.table, table, shard))
        found[shard] = _statistics.statistics(table.select(job.layout.values))
        schema = table.schema.insert(2, pa.field(PARTITION, pa.int32()))
    return Shards(tuple(files), schema, found)


def _kept(store: TableStore, job: Job) -> pa.Table:
    """What was kept of a job's contents."""
    contents = pa.array(job.rows["content"][job.rows["source"] == PENDING].unique(), pa.string())
    parts = []
    for file in job.pending:
        rows = read_file(store, file, [*job.layout.columns, "outcome"])
        wanted = pc.and_(pc.equal(rows["outcome"], "ok"), pc.is_in(rows["content"], contents))
        parts.append(rows.filter(wanted).select(job.layout.columns))
    return pa.concat_tables(parts).combine_chunks()


def _source(store: TableStore, job: Job, rows: pd.DataFrame, kept: pa.Table | None) -> pa.Table:
    """Every content of a shard's rows, among others, once or oftener."""
    shards = [s for s in np.unique(rows["source"]) if s != PENDING]
    parts = [read_file(store, file, job.layout.columns) for s in shards for file in job.old[s]]
    return pa.concat_tables([*parts, kept] if kept is not None else parts)


def _rows(layout: Layout, rows: pd.DataFrame, source: pa.Table) -> pa.Table:
    """``rows`` with their values."""
    if layout.parts:
        rows, take = _parts(rows, source, layout.parts)
    else:
        take = pa.array(index_in(rows["content"], source["content"]))
    return source.take(take).add_column(0, "sample_id", strings(rows["sample_id"]))


def _parts(rows: pd.DataFrame, source: pa.Table, keys: Sequence[str]) -> tuple[pd.DataFrame, pa.Array]:
    """Rows, each as often as its content has parts, in order of time, and where those are in ``source``."""
    parts = source.select(["content", *keys]).to_pandas()
    parts = parts.assign(at=np.arange(len(parts))).drop_duplicates(["content", *keys]).sort_values([*keys])
    every = rows.merge(parts[["content", "at"]], on="content", how="left", validate="many_to_many")
    return every.drop(columns="at"), pa.array(every["at"].to_numpy())
