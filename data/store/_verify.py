"""Finds damage in a store's files."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from affectlake.data.errors import AffectlakeError, UnknownName
from affectlake.data.store import _checksums, _view
from affectlake.data.store._snapshot import FEATURES, FeatureTable, Snapshot
from affectlake.data.store._snapshots import LOG, Log
from affectlake.data.store._table_store import TableStore

READ_ERRORS = (OSError, pa.ArrowException, DeltaError, AffectlakeError, ValueError)
_GONE = "it is gone"


@dataclass
class Damage:
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
    try:
        log = Log(store)
    except READ_ERRORS:
        return {"files": 0, "unrecorded": 0, "damaged": _small(store, LOG)[2]}  # without it nothing else is known
    names = sorted({s.dataset for s in log.rows})
    if dataset is not None and dataset not in names:
        raise UnknownName("dataset", dataset, names)
    found: dict[str, Any] = {"files": 0, "unrecorded": 0, "damaged": []}
    for name in names if dataset is None else [dataset]:
        damage = find_damage(store, [s for s in log.rows if s.dataset == name], name)
        found["files"] += damage.files
        found["unrecorded"] += damage.unrecorded
        found["damaged"] += [
            {
                "dataset": name,
                "file": f,
                "why": why,
                "snapshots": damage.snapshots[f],
                "remedy": remedy(name, damage, f),
            }
            for f, why in damage.why.items()
        ]
        found["damaged"] += [
            {
                "dataset": name,
                "file": file,
                "why": why,
                "snapshots": [],
                "remedy": f"affectlake repair {name}: what is shown in current/ is made anew",
            }
            for file, why in _view.damaged(store, name, checksums(store, name)).items()
        ]
    for path in ("snapshots", "tags", "tombstones", *(f"records/{n}" for n in store.list_tables("records"))):
        files, unrecorded, damaged = _small(store, path)
        found["files"] += files
        found["unrecorded"] += unrecorded
        found["damaged"] += damaged
    return found


def _small(store: TableStore, path: str) -> tuple[int, int, list[dict[str, Any]]]:
    """Of a table that no snapshot names: number of files compared, of those without a sum, and damage."""
    try:
        table = store.open_or_none(path)
        if table is None:
            return 0, 0, []
        known, damage = _checksums.in_log(store, path), Damage()
        why = {file: state(store, file, known, damage) for file in (f"{path}/{f}" for f in table.paths())}
    except READ_ERRORS as error:
        return 0, 0, [_lost(path, _line(error))]
    return damage.files, damage.unrecorded, [_lost(f, w) for f, w in why.items() if w]


def _lost(file: str, why: str) -> dict[str, Any]:
    remedy = f"bring {file} back from a copy of the store; nothing can compute it"
    if file.startswith(f"{LOG}/"):
        remedy = f"bring {file} back from a copy of the store, or affectlake repair: snapshots since go"
    return {"dataset": None, "file": file, "why": why, "snapshots": [], "remedy": remedy}


def remedy(dataset: str, damage: Damage, file: str) -> str:
    table = damage.table[file]
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
    """Sums of a dataset's files; on object stores those that the commits of its tables say."""
    found = _checksums.known(store, dataset)
    for path in () if store.local else sorted({e.path for s in snapshots for e in s.tables.values()}):
        with suppress(*READ_ERRORS):
            found |= _checksums.in_log(store, path)
    return found


def find_damage(store: TableStore, snapshots: list[Snapshot], dataset: str) -> Damage:
    known = checksums(store, dataset, snapshots)
    found, seen = Damage(), {}
    for s in snapshots:
        for table, entry in s.tables.items():
            put = isinstance(entry, FeatureTable) and entry.extractor_version == "put"
            try:
                files = list(_checksums.files(store, entry))
            except READ_ERRORS as error:
                found.add(entry.path, f"its log cannot be read: {_line(error)}", table, s.id, put)
                continue
            for file in files:
                if file not in seen:
                    seen[file] = state(store, file, known, found)
                if seen[file]:
                    found.add(file, seen[file], table, s.id, put)
    return found


def state(store: TableStore, file: str, known: dict[str, str], found: Damage) -> str:
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
    except READ_ERRORS as error:
        return f"it cannot be read: {_line(error)}"
