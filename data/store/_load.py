"""Reads features of a snapshot into one block of float32, in the order of the samples."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from affectlake.data.errors import UnknownName
from affectlake.data.store._frames import KEYS
from affectlake.data.store._place import Place
from affectlake.data.store._snapshots import Snapshot


def chosen(place: Place, snapshot: Snapshot, patterns: Sequence[str] | None) -> dict[str, list[str]]:
    """Columns to read, by extractor.

    Parameters
    ----------
    patterns : sequence of str or None
        Each the name of an extractor, of a column, or a glob over either; None: everything.

    Raises
    ------
    UnknownName
        A pattern that matches nothing.
    """
    available = {name: column_names(place, entry) for name, entry in snapshot.features.items()}
    if patterns is None:
        return available
    if isinstance(patterns, str):
        patterns = [patterns]
    found: dict[str, set[str]] = {}
    for pattern in patterns:
        hit = False
        for name, columns in available.items():
            if fnmatchcase(name, pattern):
                mine = columns
            else:
                mine = [c for c in columns if fnmatchcase(f"{name}.{c}", pattern)]
            if mine:
                hit = True
                found.setdefault(name, set()).update(mine)
        if not hit:
            near = pattern.rsplit(".", 1)[0] if pattern.count(".") >= 2 else pattern
            columns = [f"{near}.{c}" for c in available.get(near, [])]
            raise UnknownName("feature", pattern, columns or available)
    return {name: [c for c in available[name] if c in found[name]] for name in available if name in found}


def column_names(place: Place, entry: dict[str, Any]) -> list[str]:
    fields = place.at(entry).schema().fields
    return [f.name for f in fields if f.name not in KEYS]


def block(
    place: Place, snapshot: Snapshot, columns: dict[str, list[str]], ids: pa.Array, shards: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values and presence.

    Parameters
    ----------
    columns : dict of extractor to list of str
    ids : pa.Array of str, shape=(n,)
        The samples in the order wanted.
    shards : int array, shape=(n,)
        Shard of each.

    Returns
    -------
    values : float32 array, shape=(columns, n)
        NaN where a sample has no features. Column-major for pandas, which keeps a block of one type that way.
    present : bool array, shape=(extractors, n)
    """
    n = len(ids)
    total = sum(len(c) for c in columns.values())
    values = np.empty((total, n), dtype=np.float32)
    present = np.zeros((len(columns), n), dtype=bool)
    places = _positions(shards)
    jobs, first = [], 0
    for i, (name, names) in enumerate(columns.items()):
        entry = snapshot.features[name]
        dataset = place.at(entry).to_pyarrow_dataset()
        for fragment in dataset.get_fragments():
            shard = pads.get_partition_keys(fragment.partition_expression)["shard"]
            if shard in places:
                read = _reader(place, entry, fragment, ["sample_id", *names])
                jobs.append((read, names, places[shard], values[first : first + len(names)], present[i]))
        first += len(names)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda job: _fill(ids, *job), jobs):
            pass
    first = 0
    for i, names in enumerate(columns.values()):
        if not present[i].all():
            values[first : first + len(names), ~present[i]] = np.nan
        first += len(names)
    return values, present


def _positions(shards: np.ndarray) -> dict[int, np.ndarray]:
    if not len(shards):
        return {}
    order = np.argsort(shards, kind="stable")
    bounds = np.flatnonzero(np.diff(shards[order], prepend=-1))
    return {int(shards[order[a]]): part for a, part in zip(bounds, np.split(order, bounds[1:]), strict=True)}


def _reader(place: Place, entry: dict[str, Any], fragment, columns: list[str]) -> Callable[[], pa.Table]:
    """Reads a fragment; local files without the detour through Delta's file system, which holds the GIL."""
    if not place.local:
        return lambda: fragment.to_table(columns=columns, use_threads=False)
    path = place.path(entry["path"], fragment.path)
    return lambda: pq.ParquetFile(path, memory_map=True).read(columns, use_threads=False)


def _fill(
    ids: pa.Array,
    read: Callable[[], pa.Table],
    names: list[str],
    at: np.ndarray,
    values: np.ndarray,
    present: np.ndarray,
) -> None:
    table = read().select(["sample_id", *names])
    if not table.num_rows:
        return
    here = table["sample_id"].combine_chunks()
    run = at[-1] - at[0] + 1 == len(at)
    mine = ids.slice(at[0], len(at)) if run else ids.take(pa.array(at))
    if run and here.equals(mine):
        to: Any = slice(at[0], at[0] + len(at))  # the common case: the shard lies in the samples' own order
        rows: Any = slice(None)
    else:
        found = pd.Index(here.to_pandas()).get_indexer(mine.to_pandas())
        rows, to = found[found >= 0], at[found >= 0]
    present[to] = True
    for j, column in enumerate(table.columns[1:]):
        values[j, to] = column.to_numpy()[rows]


def missing_error(name: str, ids: pd.Index) -> str:
    shown = ", ".join(map(repr, ids[:3])) + (", …" if len(ids) > 3 else "")
    return f"{len(ids)} sample(s) have no {name}: {shown}; missing='keep' gives NaN, missing='drop' leaves them out"
