"""Reads features of a snapshot into one block of float32, in the order of the samples."""

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from affectlake.data.errors import AffectlakeError, UnknownName
from affectlake.data.samples import attributes
from affectlake.data.store import _checksums
from affectlake.data.store._arrow import strings, to_arrow
from affectlake.data.store._read import read, read_on_disk
from affectlake.data.store._snapshot import FeatureTable, Snapshot
from affectlake.data.store._spelling import HIDDEN, KEYS, kept, kept_label, spoken
from affectlake.data.store._table_store import TableStore


@dataclass(frozen=True)
class Which:
    """Which samples and labels to read; see `Store.load`."""

    labels: Sequence[str]
    split: str | None
    speaker: str | Sequence[str] | None
    ids: Sequence[str] | str | None
    missing: str


def load(store: TableStore, snapshot: Snapshot, features: Sequence[str] | None, which: Which, to: str) -> Any:
    """See `Store.load`."""
    columns = chosen(store, snapshot, features)
    names = _names(store, snapshot)
    for name in which.labels:
        if name not in names:
            raise UnknownName("label", name, attributes(names))
    shown = list(dict.fromkeys([*(kept_label(n) for n in which.labels), "speaker"]))
    frame = samples(store, snapshot, list(dict.fromkeys(["sample_id", *shown, "split", "speaker", *HIDDEN])))
    frame = _only(frame, "split", which.split)
    frame = _only(frame, "speaker", which.speaker)
    frame = _exactly(frame, which.ids, which.missing) if which.ids is not None else frame
    known = frame["_shard"].notna().to_numpy()
    rows = frame if known.all() else frame[known]
    # Repeated ids are read once and repeated afterwards.
    distinct = rows.drop_duplicates("sample_id") if which.ids is not None else rows
    ids, shards = strings(distinct["sample_id"]).combine_chunks(), distinct["_shard"].to_numpy(dtype=np.int32)
    values, present = block(store, snapshot, columns, ids, shards)
    if which.ids is not None:
        at = pd.Index(distinct["sample_id"]).get_indexer(frame["sample_id"])
        values, present = _placed(values, at, np.float32(np.nan)), _placed(present, at, False)
    if which.missing == "error" and not present.all():
        first = int(np.flatnonzero(~present.all(axis=1))[0])
        lacking = frame.loc[~present[first], "sample_id"]
        raise AffectlakeError(missing_error(list(columns)[first], pd.Index(lacking)))
    if which.missing == "drop":
        columns, values, present = _without_empty(columns, values, present)
    if which.missing == "drop" and not present.all():
        whole = present.all(axis=0)
        values, frame = values[:, whole], frame.take(np.flatnonzero(whole))
    header = [f"{name}.{c}" for name, cs in columns.items() for c in cs]
    return _handed_over(frame, shown, header, values, to)


def _without_empty(
    columns: dict[str, list[str]], values: np.ndarray, present: np.ndarray
) -> tuple[dict[str, list[str]], np.ndarray, np.ndarray]:
    """Without the tables that have nothing for anybody, which would leave nobody; all of them where all are so."""
    full = np.asarray(present.any(axis=1))
    if full.all() or not full.any():
        return columns, values, present
    empty = [name for name, has in zip(columns, full.tolist(), strict=True) if not has]
    _log.warning("left out, as no sample asked for has any: %s", ", ".join(empty))
    of_full = np.repeat(full, [len(names) for names in columns.values()])
    return {n: c for n, c in columns.items() if n not in empty}, values[of_full], present[full]


def _placed(values: np.ndarray, at: np.ndarray, nothing: Any) -> np.ndarray:
    """Columns of a matrix at their new places, ``nothing`` where -1 says that there is none."""
    placed = np.full((len(values), len(at)), nothing, values.dtype)
    placed[:, at >= 0] = values[:, at[at >= 0]]
    return placed


def samples(store: TableStore, snapshot: Snapshot, columns: list[str] | None = None) -> pd.DataFrame:
    """The samples table in the order of its samples, hidden columns and all."""
    frame = read(store, snapshot.tables["samples"], columns).to_pandas()
    if not frame["_position"].is_monotonic_increasing:
        frame = frame.sort_values("_position", ignore_index=True)
    return frame


def samples_on_disk(store: TableStore, snapshot: Snapshot) -> pd.DataFrame:
    """The same, many of them out of memory (see `affectlake.data.spill`)."""
    frame = read_on_disk(store, snapshot.tables["samples"])
    if not frame["_position"].is_monotonic_increasing:
        frame = frame.sort_values("_position", ignore_index=True)
    return frame


def _names(store: TableStore, snapshot: Snapshot) -> list[str]:
    entry = snapshot.tables["samples"]
    fields = store.load_version(entry).schema().fields
    return [spoken(f.name) for f in fields if f.name not in HIDDEN]


def _only(frame: pd.DataFrame, column: str, value: str | Sequence[str] | None) -> pd.DataFrame:
    if value is None:
        return frame
    values = [value] if isinstance(value, str) else list(value)
    for v in values:
        if not (frame[column] == v).any():
            raise UnknownName(column, v, frame[column].dropna().unique())
    return frame[frame[column].isin(values)].reset_index(drop=True)


def _exactly(frame: pd.DataFrame, ids: Sequence[str] | str, missing: str) -> pd.DataFrame:
    ids = [str(i) for i in ([ids] if isinstance(ids, str) else ids)]
    at = pd.Index(frame["sample_id"]).get_indexer(ids)
    unknown = [i for i, a in zip(ids, at, strict=True) if a < 0]
    if unknown and missing != "keep":
        raise UnknownName("sample", unknown[0], frame["sample_id"])
    if unknown:
        _log.warning(
            "%d of %d ids are not among the samples, the first %r: their rows are empty",
            len(unknown),
            len(ids),
            unknown[0],
        )
    found = frame.take(np.maximum(at, 0)) if len(frame) else frame.reindex(range(len(ids)))
    found = found.reset_index(drop=True)
    found = found.mask(pd.Series(at < 0)) if unknown else found
    return found.assign(sample_id=pd.Series(ids, dtype="str"))


def _handed_over(frame: pd.DataFrame, shown: list[str], header: list[str], values: np.ndarray, to: str) -> Any:
    if to == "pandas":
        index = pd.Index(frame["sample_id"].astype("str"), name="sample_id")
        left = frame[shown].set_axis(index).rename(columns=spoken)
        right = pd.DataFrame(values.T, index=index, columns=header, copy=False)
        return pd.concat([left, right], axis=1)
    left = to_arrow(frame[["sample_id", *shown]])
    arrays = [*left.columns, *(pa.array(row, from_pandas=False) for row in values)]
    table = pa.Table.from_arrays(arrays, names=[*map(spoken, left.schema.names), *header])
    if to == "arrow":
        return table
    import polars

    return polars.from_arrow(table)


def chosen(store: TableStore, snapshot: Snapshot, patterns: Sequence[str] | None) -> dict[str, list[str]]:
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
    return matching({name: column_names(store, entry) for name, entry in snapshot.features.items()}, patterns)


def matching(available: dict[str, list[str]], patterns: Sequence[str] | None) -> dict[str, list[str]]:
    """Those of the columns of extractors that patterns name; see `chosen`."""
    if patterns is None:
        return available
    if isinstance(patterns, str):
        patterns = [patterns]
    found: dict[str, set[str]] = {}
    for pattern in patterns:
        hit = False
        for name, columns in available.items():
            if fnmatchcase(name, pattern):
                matching = columns
            else:
                matching = [c for c in columns if fnmatchcase(f"{name}.{c}", pattern)]
            if matching:
                hit = True
                found.setdefault(name, set()).update(matching)
        if not hit:
            near = pattern.rsplit(".", 1)[0] if pattern.count(".") >= 2 else pattern
            columns = [f"{near}.{c}" for c in available.get(near, [])]
            raise UnknownName("feature", pattern, columns or available)
    return {name: [c for c in available[name] if c in found[name]] for name in available if name in found}


def column_names(store: TableStore, entry: FeatureTable) -> list[str]:
    return [spoken(c) for c in kept_columns(store, entry)]


def kept_columns(store: TableStore, entry: FeatureTable) -> list[str]:
    """The same as the table has them; words and times that are kept beside values are no columns of features."""
    ours = (*KEYS, *entry.texts, *entry.keys)
    return [f.name for f in store.load_version(entry).schema().fields if f.name not in ours]


def block(
    store: TableStore, snapshot: Snapshot, columns: dict[str, list[str]], ids: pa.Array, shards: np.ndarray
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
        entry, cols = snapshot.features[name], [kept(n) for n in names]
        fragments = list(store.load_version(entry).to_pyarrow_dataset().get_fragments())
        compared = _checksums.sums(store, entry.path, (f"{entry.path}/{f.path}" for f in fragments))
        for fragment in fragments:
            shard = pads.get_partition_keys(fragment.partition_expression)["shard"]
            if shard in places:
                action = _reader(store, entry, fragment, ["sample_id", *cols], compared)
                jobs.append((action, cols, places[shard], values[first : first + len(names)], present[i]))
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


def _reader(
    store: TableStore,
    entry: FeatureTable,
    fragment: pads.Fragment,
    columns: list[str],
    compared: _checksums.Sums | None,
) -> Callable[[], pa.Table]:
    """Reads a fragment; local files without the detour through Delta's file system, which holds the GIL."""
    if not store.local:
        return lambda: fragment.to_table(columns=columns, use_threads=False)
    path = store.path(entry.path, fragment.path)

    def action() -> pa.Table:
        if compared is not None:
            compared.compare(f"{entry.path}/{fragment.path}")
        return pq.ParquetFile(path, memory_map=True).read(columns, use_threads=False)

    return action


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
    wanted = ids.slice(at[0], len(at)) if run else ids.take(pa.array(at))
    if run and here.equals(wanted):
        to: Any = slice(at[0], at[0] + len(at))  # the common case: the shard lies in the samples' own order
        rows: Any = slice(None)
    else:
        found = pd.Index(here.to_pandas()).get_indexer(wanted.to_pandas())
        rows, to = found[found >= 0], at[found >= 0]
    present[to] = True
    for j, column in enumerate(table.columns[1:]):
        values[j, to] = column.to_numpy()[rows]


def missing_error(name: str, ids: pd.Index) -> str:
    shown = ", ".join(map(repr, ids[:3])) + (", …" if len(ids) > 3 else "")
    return f"{len(ids)} sample(s) have no {name}: {shown}; missing='keep' gives NaN, missing='drop' leaves them out"


_log = logging.getLogger("affectlake.store")
