"""Finds damage in a store's files, and takes out what is damaged so that it can be computed again."""

import os
import shutil
import uuid
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from affectlake.data.errors import AffectlakeError, UnknownName
from affectlake.data.store import _checksums, _maintenance
from affectlake.data.store._names import ErasureTarget
from affectlake.data.store._rebuild import Rebuilt
from affectlake.data.store._snapshots import FEATURES, Log, Snapshot, edit
from affectlake.data.store._table_store import TableStore

_READ = (OSError, pa.ArrowException, DeltaError, AffectlakeError, ValueError)
_GONE = "it is gone"


@dataclass
class _Damage:
    """Damaged files (or tables, where their log is) with the reason, and the tables and snapshots they belong to."""

    files: int = 0
    unrecorded: int = 0
    why: dict[str, str] = field(default_factory=dict)
    table: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, list[str]] = field(default_factory=dict)
    put: set[str] = field(default_factory=set)

    def add(self, file: str, why: str, table: str, snapshot: str, put: bool) -> None:
        self.why.setdefault(file, why)
        self.table[file] = table
        self.snapshots.setdefault(file, []).append(snapshot)
        if put:
            self.put.add(file)


def verify(store: TableStore, dataset: str | None) -> dict[str, Any]:
    """See `Store.verify`."""
    log = Log(store)
    names = sorted({s.dataset for s in log.rows})
    if dataset is not None and dataset not in names:
        raise UnknownName("dataset", dataset, names)
    found = {"files": 0, "unrecorded": 0, "damaged": []}
    for name in names if dataset is None else [dataset]:
        damage = _damage(store, [s for s in log.rows if s.dataset == name], name)
        found["files"] += damage.files
        found["unrecorded"] += damage.unrecorded
        found["damaged"] += [
            {
                "dataset": name,
                "file": f,
                "why": why,
                "snapshots": damage.snapshots[f],
                "remedy": _remedy(name, damage, f),
            }
            for f, why in damage.why.items()
        ]
    for path in ("snapshots", "tags", *(f"records/{n}" for n in store.list_tables("records"))):
        try:
            table = store.open_or_none(path)
            if table is not None:
                found["unrecorded"] += len(table.paths())
                table.to_pyarrow_table()
        except _READ as error:
            remedy = "bring this folder back from a copy of the store; nothing can compute it"
            about = {"dataset": None, "file": path, "why": _line(error), "snapshots": [], "remedy": remedy}
            found["damaged"].append(about)
    return found


def _remedy(dataset: str, damage: _Damage, file: str) -> str:
    table = damage.table[file]
    if file in damage.put:
        return f"affectlake repair {dataset}, then put {table.removeprefix(FEATURES)} again: it was computed elsewhere"
    if table in ("samples", "columns"):
        return f"bring {file} back from a copy of the store, or forget these snapshots: affectlake tidy {dataset}"
    return f"affectlake repair {dataset}, then refresh it: what the file held is computed again"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _damage(store: TableStore, snapshots: list[Snapshot], dataset: str) -> _Damage:
    known = _checksums.known(store, dataset)
    found, seen = _Damage(), {}
    for s in snapshots:
        for table, entry in s.tables.items():
            put = entry.get("extractor_version") == "put"
            try:
                files = list(_checksums.files(store, entry))
            except _READ as error:
                found.add(entry["path"], f"its log cannot be read: {_line(error)}", table, s.id, put)
                continue
            for file in files:
                if file not in seen:
                    seen[file] = _state(store, file, known, found)
                if seen[file]:
                    found.add(file, seen[file], table, s.id, put)
    return found


def _state(store: TableStore, file: str, known: dict[str, str], found: _Damage) -> str:
    """What is wrong with a file; empty where nothing is."""
    try:
        if file in known:
            found.files += 1
            return "" if _checksums.sum_of(store, file) == known[file] else "its bytes are not those that were written"
        found.unrecorded += 1
        with store.files.open_input_file(file) as stream:
            if file.endswith(".parquet"):
                pq.ParquetFile(stream).read()
        return ""
    except FileNotFoundError:
        return _GONE
    except _READ as error:
        return f"it cannot be read: {_line(error)}"


def repair(store: TableStore, dataset: str) -> dict[str, Any]:
    """See `Store.repair`; the caller holds the dataset's lock."""
    log = Log(store)
    mine = [s for s in log.rows if s.dataset == dataset]
    if not mine:
        raise UnknownName("dataset", dataset, {s.dataset for s in log.rows})
    known = _checksums.known(store, dataset)
    damage = _damage(store, mine, dataset)
    restored = [f for f in damage.why if _restored(store, dataset, f, known.get(f))]
    bad = {f: t for f, t in damage.table.items() if f not in restored}
    mended = _Mended(store, bad)
    lost = [
        {"file": f, "why": damage.why[f], "remedy": _remedy(dataset, damage, f)}
        for f, table in bad.items()
        if f in damage.put or table in ("samples", "columns")
    ]
    rows = {s.id: mended.without(s) for s in mine} if bad else {}
    for s in rows.values():
        _checksums.note(store, s, None)
    if rows:
        edit(store, lambda every: [rows.get(s.id, s) for s in every])
        _maintenance.collect(store, dataset, Log(store))
    dropped = [f for f, table in bad.items() if table not in ("samples", "columns")]
    return {"dataset": dataset, "restored": restored, "dropped": dropped, "lost": lost}


def _restored(store: TableStore, dataset: str, file: str, wanted: str | None) -> bool:
    """Bring a file back from a view of the store that holds a copy of it, where there are no hard links."""
    if wanted is None or not store.local:
        return False
    views = [f"{store.path('.views')}/{v}" for v in store.list_tables(".views")] + [store.path("current")]
    for view in views:
        for folder, _, names in os.walk(f"{view}/{dataset}"):
            for name in names:
                if name.endswith(os.path.basename(file)):
                    copy = os.path.relpath(os.path.join(folder, name), store.root)
                    if _checksums.sum_of(store, copy) == wanted:
                        shutil.copyfile(store.path(copy), store.path(file) + ".mended")
                        os.replace(store.path(file) + ".mended", store.path(file))
                        return True
    return False


class _Mended(Rebuilt):
    """Builds tables anew without their damaged files."""

    def __init__(self, store: TableStore, bad: dict[str, str]):
        super().__init__(store, uuid.uuid4().hex[:8], ErasureTarget(frozenset()), frozenset())
        self.bad = bad

    def without(self, s: Snapshot) -> Snapshot:
        hit = {t for t, e in s.tables.items() if any(f == e["path"] or f.startswith(f"{e['path']}/") for f in self.bad)}
        tables = dict(s.tables)
        for name in hit - {"samples", "columns"}:
            entry = tables[name]
            unreadable = any(f == entry["path"] or f"{entry['path']}/_delta_log/" in f for f in self.bad)
            if not name.startswith(FEATURES) and name != "outcomes":
                del tables[name]  # made again by the next writer
            elif unreadable and name.startswith(FEATURES):
                del tables[name]
            elif name == "outcomes":
                empty = pa.table({n: pa.array([], t) for n, t in zip(_OUTCOMES.names, _OUTCOMES.types, strict=True)})
                tables[name] = {"path": self._path(entry["path"]), "version": self._once(entry, empty)}
            else:
                tables[name] = self._entry(name, entry)
                tables[name]["rows"] = self._count(tables[name])
        tables.pop("moments", None) if hit else None  # their sums hold what the damaged files held
        return Snapshot(**(vars(s) | {"tables": tables}))

    def _once(self, entry: dict[str, Any], table: pa.Table) -> int:
        key = entry["path"], -1
        if key not in self._versions:
            self._versions[key] = self.store.replace(self._path(entry["path"]), table, None)
        return self._versions[key]

    def _file(self, name: str, old: str, new: str, path: str, fragment):
        return None if f"{old}/{path}" in self.bad else super()._file(name, old, new, path, fragment)


_OUTCOMES = pa.schema(
    [(n, pa.string()) for n in ("sample_id", "extractor", "outcome", "reason", "uri", "content", "fingerprint")]
    + [("first_seen", pa.timestamp("us", "UTC"))]
)
