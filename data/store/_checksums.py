"""Checksums of a store's files: written with the snapshot that first names a file, compared when it is read.

Files are never changed once they are written, so one sum per file holds for all versions of all tables that name it.
Every commit of a table also says the sums of the files that it adds: by these, tables that no snapshot names (records,
the log of snapshots) are compared, and all of them on object stores, where `note` would have to read what it wrote.
"""

import hashlib
import json
import os
from collections.abc import Iterable

import pyarrow as pa

from affectlake.data.store._damaged import Damaged
from affectlake.data.store._delta import Table
from affectlake.data.store._snapshot import Snapshot, TableRef
from affectlake.data.store._table_store import SHA256, VARIABLE, TableStore

FOLDER = "sums"

_BLOCK = 2**20
_PIECES = 50
_checked: set[tuple[str, int, int, int]] = set()  # files that this process has compared; changed ones are others


def known(store: TableStore, dataset: str) -> dict[str, str]:
    """Sum of each file of a dataset's tables, by its path relative to the store."""
    table = compared(store, f"{FOLDER}/{dataset}")
    if table is None:
        return {}
    rows = table.to_pyarrow_table()
    return dict(zip(rows["file"].to_pylist(), rows["sum"].to_pylist(), strict=True))


def in_log(store: TableStore, path: str, commits: int | None = None) -> dict[str, str]:
    """Sum of each file that the last commits of a table (None: all) added, by its path relative to the store."""
    found: dict[str, str] = {}
    store.compare_log(path, whole=commits is None)
    for commit in store.open(path).history(commits):
        found |= {f"{path}/{f}": s for f, s in json.loads(commit.get(SHA256, "{}")).items()}
    return found


def compared(store: TableStore, path: str, grown: bool = False) -> Table | None:
    """The newest version of a small table, its files compared with their sums; None where there is none.

    Parameters
    ----------
    grown : bool
        Whether every commit added one file or replaced all: then the last commits, one for each file, say all sums.
    """
    table = store.open_or_none(path)
    if table is not None and store.local and os.environ.get(VARIABLE) != "0":
        files = table.paths()
        sums = in_log(store, path, len(files) if grown else None)
        for file in (f"{path}/{f}" for f in files):
            if file in sums:
                compare_file(store, file, sums[file])
    return table


def note(store: TableStore, snapshot: Snapshot, base: Snapshot | None) -> None:
    """Note the sums of the files that a snapshot names and the one before did not; before it is published."""
    if not store.local:
        return
    table = store.open_or_none(f"{FOLDER}/{snapshot.dataset}")
    before = {e.key for e in base.tables.values()} if base and table else set()
    new = [e for e in snapshot.tables.values() if e.key not in before]
    if not new:
        return
    have = known(store, snapshot.dataset)
    versions = {e.path: e.version for e in base.tables.values()} if base else {}
    fresh: dict[str, str] = {}
    for e in new:
        lacking = [f for f in files(store, e) if f not in have and f not in fresh]
        # Of what an earlier version committed, or somebody else, nobody said sums.
        said = in_log(store, e.path, e.version - versions.get(e.path, -1)) if lacking else {}
        fresh |= {f: said.get(f) or sum_of(store, f) for f in lacking}
    if fresh:
        rows = {"file": list(fresh), "sum": list(fresh.values())}
        store.append(f"{FOLDER}/{snapshot.dataset}", pa.table(rows))
    if table is not None and len(table.paths()) > _PIECES:
        store.compact(f"{FOLDER}/{snapshot.dataset}")


def forget(store: TableStore, dataset: str, tables: Iterable[str]) -> None:
    """Drop the sums of tables that are about to be deleted: another's log may come to lie under their names."""
    table = store.open_or_none(f"{FOLDER}/{dataset}")
    folders = tuple(f"{t}/" for t in tables)
    if table is None or not folders:
        return
    rows = table.to_pyarrow_table()
    stay = [not f.startswith(folders) for f in rows["file"].to_pylist()]
    if not all(stay):
        store.swap(f"{FOLDER}/{dataset}", rows.filter(pa.array(stay)), table.version())


def files(store: TableStore, entry: TableRef) -> list[str]:
    """Files of a table at a version; of its log, see `_log_copies`."""
    return [f"{entry.path}/{f}" for f in store.load_version(entry).paths()]


def sum_of(store: TableStore, file: str) -> str:
    """sha256 of a file; raises FileNotFoundError where it is gone."""
    digest = hashlib.sha256()
    with store.files.open_input_file(file) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def compare_file(store: TableStore, file: str, wanted: str) -> None:
    """Compare a local file with its sum, once in a process while it stays as it is; raises Damaged."""
    found = os.stat(store.path(file))
    key = store.path(file), found.st_ino, found.st_size, found.st_mtime_ns
    if key in _checked:
        return
    if sum_of(store, file) != wanted:
        raise Damaged(store.root, file)
    _checked.add(key)


class Sums:
    """Compares files of a dataset with their sums when they are read, each once in a process."""

    def __init__(self, store: TableStore, dataset: str):
        self.store, self.dataset = store, dataset
        self._known: dict[str, str] = {}
        self._unknown: set[str] = set()

    def prepare(self, found: Iterable[str]) -> None:
        """Know the sums of files that are about to be read, as far as any were noted."""
        new = [f for f in found if f not in self._known and f not in self._unknown]
        if new:
            self._known = known(self.store, self.dataset)
            self._unknown |= {f for f in new if f not in self._known}

    def get(self, file: str) -> str | None:
        """The sum of a file that was prepared, where one was noted."""
        return self._known.get(file)

    def compare(self, file: str) -> None:
        """Raise Damaged where a file is not what was written; nothing where no sum was noted."""
        if (wanted := self.get(file)) is not None:
            compare_file(self.store, file, wanted)


def compare(store: TableStore, path: str, table: Table) -> None:
    """Compare all files of a version of the table at ``path``; raises Damaged."""
    found = [f"{path}/{f}" for f in table.paths()]
    if (known_sums := sums(store, path, found)) is not None:
        for file in found:
            known_sums.compare(file)


def sums(store: TableStore, path: str, found: Iterable[str]) -> Sums | None:
    """Sums of the files of a table (``path``, relative to the store) about to be read; None: do not compare."""
    if not store.local or os.environ.get(VARIABLE) == "0":
        return None
    top, _, rest = path.partition("/")
    if top not in ("features", "tables"):
        return None
    dataset = rest.split("/")[0]
    kept = store.__dict__.setdefault("_sums", {})
    if dataset not in kept:
        kept[dataset] = Sums(store, dataset)
    kept[dataset].prepare(found)
    return kept[dataset]
