"""Looks for people's names in every file that a store, an export or a folder of ours has of a dataset."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from affectlake.data.store._names import Traces, holds, says
from affectlake.data.store._table_store import TableStore

_OWN = ("features", "tables", "pending")
_SHARED = ("records", "snapshots", "tags")
_WORDS = {"text"}
"""Columns that are what people say. That somebody is spoken of is no trace that we made."""


@dataclass
class SearchResult:
    """Result of a search: number of files read, paths that hold a name, and paths that could not be read."""

    files: int = 0
    paths: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def __add__(self, other: "SearchResult") -> "SearchResult":
        return SearchResult(self.files + other.files, self.paths + other.paths, self.unread + other.unread)


def search(store: TableStore, dataset: str, traces: Traces) -> SearchResult:
    """Search what a store holds of a dataset; of others nothing is opened, so that they may be written meanwhile."""
    found = SearchResult()
    for path in _files(store, dataset):
        try:
            with store.files.open_input_file(path) as file:
                hit = _holds(path, file, traces, dataset)
        except FileNotFoundError:
            continue  # somebody cleaned up
        except (OSError, pa.ArrowException):
            found.unread.append(path)
            continue
        found.files += 1
        if hit:
            found.paths.append(path)
    return found


def search_folder(folder: Path, dataset: str, traces: Traces) -> SearchResult:
    """The same for a folder outside of the store."""
    found = SearchResult()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            with pa.OSFile(str(path)) as file:
                hit = _holds(str(path), file, traces, dataset)
        except FileNotFoundError:
            continue
        except (OSError, pa.ArrowException):
            found.unread.append(str(path))
            continue
        found.files += 1
        if hit:
            found.paths.append(str(path))
    return found


def _files(store: TableStore, dataset: str) -> Iterator[str]:
    if not store.local:
        import pyarrow.fs as fs

        roots = [f"{top}/{dataset}" for top in _OWN] + list(_SHARED)
        for root in roots:
            yield from (i.path for i in store.listing(root) if i.type == fs.FileType.File)
        return
    views = store.path(".views")
    names = sorted(os.listdir(views)) if os.path.isdir(views) else []
    # What another writer is building now has our new tables, or none: it is made under the lock of the views.
    roots = [f"{top}/{dataset}" for top in _OWN] + list(_SHARED)
    roots += [f".views/{name}/{dataset}" for name in names if not name.startswith(".")]
    if not os.path.islink(store.path("current")):
        roots.append(f"current/{dataset}")
    for root in roots:
        for folder, _, files in os.walk(store.path(root)):
            for name in sorted(files):
                yield os.path.relpath(os.path.join(folder, name), store.root)


def _holds(path: str, file: pa.NativeFile, traces: Traces, dataset: str) -> bool:
    if path.endswith(".parquet"):
        return _in_table(pq.read_table(file), traces, dataset)
    text = file.read().decode("utf-8", "replace")
    if "_delta_log" in path:
        return _in_log(text, traces)
    if path.endswith((".json", ".jsonl")):
        try:
            return holds([json.loads(line) for line in text.splitlines()], traces)
        except ValueError:
            pass
        try:
            return holds(json.loads(text), traces)
        except ValueError:
            return says(text, traces)
    return says(text, traces)


def _in_log(text: str, traces: Traces) -> bool:
    """Delta's log names files, shards and operations, all of which are ours; only statistics repeat values."""
    for line in text.splitlines():
        try:
            action = json.loads(line)
        except ValueError:
            continue
        for kind in ("add", "remove"):
            stats = (action.get(kind) or {}).get("stats") if isinstance(action, dict) else None
            if stats and holds(stats, traces):
                return True
    return False


def _in_table(table: pa.Table, traces: Traces, dataset: str) -> bool:
    if "dataset" in table.column_names and pa.types.is_string(table.schema.field("dataset").type):
        concerned = pc.equal(table["dataset"], dataset)
        if "train_on" in table.column_names:
            concerned = pc.or_kleene(concerned, pc.match_substring(table["train_on"], dataset))
        table = table.filter(pc.fill_null(concerned, False))
    if "add" in table.column_names and "protocol" in table.column_names:  # a checkpoint of Delta's log
        return any(holds(a.get("stats"), traces) for a in table["add"].to_pylist() if a)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in _WORDS:
            continue
        values = _texts(column)
        if values is not None and any(holds(v, traces, name) for v in pc.unique(values).to_pylist() if v is not None):
            return True
    return False


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        column, kind = pc.list_flatten(column), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column
    return None
