"""Finds damage in a store's files."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from affectlake.data.errors import AffectlakeError, UnknownName
from affectlake.data.store import _checksums, _identity, _log_copies, _view
from affectlake.data.store._answers import DamagedFile, Verification
from affectlake.data.store._snapshot import FEATURES, FeatureTable, Snapshot
from affectlake.data.store._snapshots import LOG, Log
from affectlake.data.store._table_store import TableStore

READ_ERRORS = (OSError, pa.ArrowException, DeltaError, AffectlakeError, ValueError)
_GONE, _CHANGED = "it is gone", "its bytes are not those that were written"
_ANY = "affectlake repair DATASET, whichever"
_DATASETS = ("features", "tables", "pending", "erasing", _checksums.FOLDER)
"""Folders with one for each dataset."""


@dataclass
class Damage:
    """Damaged files (or tables, where their log is) with the reason, and the tables and snapshots they belong to."""

    files: int = 0
    unrecorded: int = 0
    why: dict[str, str] = field(default_factory=dict)
    table: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, list[str]] = field(default_factory=dict)
    put: set[str] = field(default_factory=set)
    mendable: set[str] = field(default_factory=set)

    def add(self, file: str, why: str, table: str, snapshot: str, put: bool) -> None:
        self.why.setdefault(file, why)
        self.table[file] = table
        self.snapshots.setdefault(file, []).append(snapshot)
        if put:
            self.put.add(file)


def verify(store: TableStore, dataset: str | None) -> Verification:
    """See `Store.verify`."""
    try:
        log = Log(store)
    except READ_ERRORS:
        damaged = [*_small(store, LOG)[2], *_copies(store, dataset), *_identities(store)]
        return {"files": 0, "unrecorded": 0, "damaged": damaged}  # without it nothing else is known
    names = sorted({s.dataset for s in log.rows})
    if dataset is not None and dataset not in names:
        raise UnknownName("dataset", dataset, names)
    found: Verification = {"files": 0, "unrecorded": 0, "damaged": []}
    for name in names if dataset is None else [dataset]:
        damage = find_damage(store, [s for s in log.rows if s.dataset == name], name)
        found["files"] += damage.files
        found["unrecorded"] += damage.unrecorded
        found["damaged"] += [
            _entry(name, f, why, damage.snapshots[f], remedy(name, damage, f)) for f, why in damage.why.items()
        ]
        anew = f"affectlake repair {name}: what is shown in current/ is made anew"
        views = _view.damaged(store, name, checksums(store, name)).items()
        found["damaged"] += [_entry(name, file, why, [], anew) for file, why in views]
    for path in _others(store, dataset):
        files, unrecorded, damaged = _small(store, path)
        found["files"] += files
        found["unrecorded"] += unrecorded
        found["damaged"] += damaged
    found["damaged"] += [*_copies(store, dataset), *_marks(store), *_identities(store)]
    return found


def _others(store: TableStore, dataset: str | None) -> list[str]:
    """Tables that no snapshot names."""
    if not store.local:
        return [LOG, "tags", "tombstones", *(f"records/{n}" for n in store.list_tables("records"))]
    return [t for t in _log_copies.tables(store.root) if not t.startswith(("features/", "tables/")) and _of(t, dataset)]


def _of(table: str, dataset: str | None) -> bool:
    """Whether a table is a dataset's (None: any), or one that all share."""
    top, _, rest = table.partition("/")
    return dataset is None or top not in _DATASETS or rest.split("/")[0] == dataset


def _small(store: TableStore, path: str) -> tuple[int, int, list[DamagedFile]]:
    """Of a table that no snapshot names: number of files compared, of those without a sum, and damage."""
    damage = Damage()
    if store.local and not os.path.isdir(store.path(path)):
        return 0, 0, []  # published, or done with, since the tables were listed
    if logs := _log_damage(store, path, damage):
        return damage.files, damage.unrecorded, [_lost(path, file, why, ok) for file, (why, ok) in logs.items()]
    try:
        table = store.open_or_none(path)
        if table is None:
            return 0, 0, []
        known = _checksums.in_log(store, path)
        newest = {f"{path}/{f}" for f in table.paths()}
        why = {file: state(store, file, known, damage) for file in sorted({*newest, *known})}
    except READ_ERRORS as error:
        return 0, 0, [_lost(path, path, _line(error), False)]
    # Files of older versions may be gone, and nothing but a repair reads them.
    bad = {f: w for f, w in why.items() if w and (f in newest or w != _GONE)}
    return damage.files, damage.unrecorded, [_lost(path, f, w, f not in newest) for f, w in bad.items()]


def _log_damage(store: TableStore, path: str, found: Damage) -> dict[str, tuple[str, bool]]:
    """By file of a table's log what is wrong with it, and whether that can be mended."""
    if not store.local:
        return {}
    damaged = {}
    folder = store.path(path)
    for name, was in _log_copies.states(folder).items():
        found.files += was.copy is not None
        found.unrecorded += was.copy is None
        if not was.log:
            why = _CHANGED if os.path.exists(f"{folder}/{_log_copies.LOG}/{name}") else _GONE
            damaged[f"{path}/{_log_copies.LOG}/{name}"] = why, bool(was.copy)
    if not _log_copies.hint_is_sound(folder):
        damaged[f"{path}/{_log_copies.LOG}/{_log_copies.HINT}"] = "it names no checkpoint that is there", True
    return damaged


def _copies(store: TableStore, dataset: str | None) -> Iterator[DamagedFile]:
    """Copies of logs that are not what was written: nothing reads them but a repair."""
    for table in _log_copies.tables(store.root) if store.local else ():
        if _of(table, dataset):
            for name, was in _log_copies.states(store.path(table)).items():
                if was.copy is False:
                    file = f"{table}/{_log_copies.COPIES}/{name}.copy"
                    yield _entry(None, file, _CHANGED, [], f"{_ANY}: it is copied anew")


def _marks(store: TableStore) -> Iterator[DamagedFile]:
    for file, why in _view.damaged_marks(store).items():
        yield _entry(None, file, why, [], f"{_ANY}: what is shown in current/ is made anew")


def _identities(store: TableStore) -> Iterator[DamagedFile]:
    try:
        _identity.find(store)
    except READ_ERRORS as error:
        remedy = f"bring {_identity.FILE} back from a copy of the store; nothing can compute it"
        yield _entry(None, _identity.FILE, _line(error), [], remedy)


def _entry(dataset: str | None, file: str, why: str, snapshots: list[str], remedy: str) -> DamagedFile:
    return {"dataset": dataset, "file": file, "why": why, "snapshots": snapshots, "remedy": remedy}


def _lost(table: str, file: str, why: str, mendable: bool) -> DamagedFile:
    top, _, rest = table.partition("/")
    remedy = f"bring {file} back from a copy of the store; nothing can compute it"
    if mendable:
        log = f"/{_log_copies.LOG}/" in file
        remedy = f"{_ANY}: {'the rest tells what it held' if log else 'nothing reads it any more, it goes'}"
    elif top == LOG and file.endswith(".parquet"):
        remedy = f"bring {file} back from a copy of the store, or {_ANY}: snapshots that it alone tells of go"
    elif top == "pending":
        remedy = f"refresh {rest.partition('/')[0]}: what it held is computed again"
    elif top == _checksums.FOLDER:
        remedy = f"affectlake repair {rest}: the sums are noted anew"
    elif top == "erasing":
        remedy = f"delete {table}/ and say the erasure in {rest} again, which then does what was left to do"
    return _entry(None, file, why, [], remedy)


def remedy(dataset: str, damage: Damage, file: str) -> str:
    table = damage.table[file]
    if file in damage.mendable:
        return f"affectlake repair {dataset}: the rest tells what it held"
    if file in damage.put:
        return f"affectlake repair {dataset}, then put {table.removeprefix(FEATURES)} again: it was computed elsewhere"
    if table == "samples":
        return (
            f"bring {file} back from a copy of the store; or affectlake repair {dataset}, which keeps ids and values, "
            "then refresh it: labels and media are read again"
        )
    return f"affectlake repair {dataset}, then refresh it: what the file held is computed again"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def checksums(store: TableStore, dataset: str, snapshots: Iterable[Snapshot] = ()) -> dict[str, str]:
    """Sums of a dataset's files; on object stores, and where their own table is damaged, what commits say of them."""
    found, others = {}, not store.local
    try:
        found = _checksums.known(store, dataset)
    except READ_ERRORS:
        others = True  # the sums themselves are damaged, which is told of them
    for path in sorted({e.path for s in snapshots for e in s.tables.values()}) if others else ():
        with suppress(*READ_ERRORS):
            found |= _checksums.in_log(store, path)
    return found


def find_damage(store: TableStore, snapshots: list[Snapshot], dataset: str) -> Damage:
    known = checksums(store, dataset, snapshots)
    found, seen = Damage(), {}
    logs: dict[str, dict[str, tuple[str, bool]]] = {}
    for s in snapshots:
        for table, entry in s.tables.items():
            put = isinstance(entry, FeatureTable) and entry.extractor_version == "put"
            path = entry.path
            if path not in logs:
                logs[path] = _log_damage(store, path, found)
            read = {f: w for f, w in logs[path].items() if _version(f) <= entry.version}
            for file, (why, mendable) in read.items():
                found.add(file, why, table, s.id, put)
                found.mendable |= {file} if mendable else set()
            if any(f.endswith(".json") for f in read):
                continue
            try:
                files = _checksums.files(store, entry)
            except READ_ERRORS as error:
                found.add(entry.path, f"its log cannot be read: {_line(error)}", table, s.id, put)
                continue
            for file in files:
                if file not in seen:
                    seen[file] = state(store, file, known, found)
                if seen[file]:
                    found.add(file, seen[file], table, s.id, put)
    return found


def _version(file: str) -> int:
    """Version that a file of a log belongs to; what names checkpoints belongs to all."""
    name = os.path.basename(file)
    return int(name[:20]) if name[:20].isdigit() else 0


def state(store: TableStore, file: str, known: dict[str, str], found: Damage) -> str:
    """What is wrong with a file; empty where nothing is."""
    try:
        if file in known:
            found.files += 1
            return "" if _checksums.sum_of(store, file) == known[file] else _CHANGED
        found.unrecorded += 1
        with store.files.open_input_file(file) as stream:
            if file.endswith(".parquet"):
                pq.ParquetFile(stream).read()
        return ""
    except FileNotFoundError:
        return _GONE
    except READ_ERRORS as error:
        return f"it cannot be read: {_line(error)}"
