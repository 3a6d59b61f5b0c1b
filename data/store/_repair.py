"""Takes what is damaged out of a dataset's snapshots, makes anew what the rest tells, and says what is lost."""

import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from affectlake.data.errors import UnknownName
from affectlake.data.samples import samples_frame
from affectlake.data.store import (
    _catalog,
    _changes,
    _checksums,
    _load,
    _log_copies,
    _maintenance,
    _statistics,
    _verify,
    _view,
)
from affectlake.data.store._answers import ColumnDoc, LostFile, Repair
from affectlake.data.store._arrow import to_arrow
from affectlake.data.store._damaged import Damaged
from affectlake.data.store._names import ErasureTarget
from affectlake.data.store._read import read, read_keys
from affectlake.data.store._rebuild import Rebuilt
from affectlake.data.store._snapshot import Snapshot, TableRef, computed_of, extractor_of
from affectlake.data.store._snapshots import LOG, Log, edit
from affectlake.data.store._spelling import HIDDEN, KEYS
from affectlake.data.store._table_store import TableStore


def repair(store: TableStore, dataset: str) -> Repair:
    """See `Store.repair`; the caller holds the dataset's lock."""
    log = Log(store)
    snapshots = [s for s in log.rows if s.dataset == dataset]
    if not snapshots:
        raise UnknownName("dataset", dataset, {s.dataset for s in log.rows})
    known = _verify.checksums(store, dataset, snapshots)
    _drop_sums(store, dataset)
    damage = _verify.find_damage(store, snapshots, dataset)
    restored = [f for f in damage.why if _restored(store, dataset, f, known.get(f))]
    bad = {f: t for f, t in damage.table.items() if f not in restored}
    mended = _Mended(store, bad, snapshots)
    rows = {s.id: mended.without(s) for s in snapshots} if bad else {}
    for s in rows.values():
        _checksums.note(store, s, None)
    if rows:
        edit(store, lambda every: [rows.get(s.id, s) for s in every])
        _maintenance.collect(store, dataset, Log(store))
    for s in snapshots:  # where the sums themselves were damaged, all are noted anew
        _checksums.note(store, rows.get(s.id, s), None)
    if rows or restored or _view.damaged(store, dataset, known) or _view.damaged_marks(store):
        _view.clear(store)
        _view.publish(store)
    lost: list[LostFile] = [
        {"file": f, "why": damage.why[f], "remedy": _verify.remedy(dataset, damage, f)}
        for f, table in bad.items()
        if f in damage.put or table == "samples"
    ]
    return {
        "dataset": dataset,
        "restored": restored,
        "rebuilt": [f for f, table in bad.items() if table in ("samples", "columns", "moments")],
        "dropped": [f for f, table in bad.items() if table not in ("samples", "columns", "moments")],
        "lost": lost + mended.undocumented,
    }


def mend_logs(store: TableStore) -> list[str]:
    """Bring back what there are sound copies of in the logs of all tables; drop damage that nothing reads any more.

    Returns
    -------
    list of str
        Files of logs that were mended.
    """
    mended = []
    for table in _log_copies.tables(store.root) if store.local else ():
        mended += [f"{table}/{_log_copies.LOG}/{name}" for name in _log_copies.mend(store.path(table))]
        if not table.startswith(("features/", "tables/")):
            with suppress(*_verify.READ_ERRORS):  # which stays damaged, and is told
                _drop_stale(store, table)
    return mended


def _drop_stale(store: TableStore, table: str) -> None:
    """Delete damaged files of older versions of a table that is read at its newest alone."""
    newest = {f"{table}/{f}" for f in store.open(table).paths()}
    for file, wanted in _checksums.in_log(store, table).items():
        if file not in newest and os.path.exists(store.path(file)) and _checksums.sum_of(store, file) != wanted:
            os.remove(store.path(file))


def _drop_sums(store: TableStore, dataset: str) -> None:
    """Forget sums that are damaged themselves; they are noted anew when the rest is sound."""
    try:
        _checksums.known(store, dataset)
    except _verify.READ_ERRORS:
        store.delete(f"{_checksums.FOLDER}/{dataset}")


def mend_log(store: TableStore) -> list[LostFile]:
    """Make the log of snapshots of its sound files, and for the others of the newest log before that is sound.

    Returns
    -------
    list of LostFile
        The file by which it was told that the log is damaged; snapshots that nothing else told of are gone.

    Raises
    ------
    Damaged
        Nothing of it is sound.
    """
    try:
        Log(store)
        return []
    except Damaged as error:
        damage = error
    head, sums = store.open(LOG), _checksums.in_log(store, LOG)
    rows = [_read_file(store, f) for f in head.paths() if _is_sound(store, f, sums)]
    for version in range(head.version() - 1, -1, -1):
        with suppress(*_verify.READ_ERRORS):
            before = store.open(LOG, version)
            if all(_is_sound(store, f, sums) for f in before.paths()):
                rows.append(before.to_pyarrow_table())
                break
    if not rows:
        raise damage
    every = pa.concat_tables(rows, promote_options="permissive").to_pandas().drop_duplicates("id")
    store.swap(LOG, pa.Table.from_pandas(every, schema=rows[0].schema, preserve_index=False), head.version())
    _drop_stale(store, LOG)
    why = "snapshots that nothing else told of are gone: refresh, and what was computed is computed again"
    return [{"file": damage.file, "why": str(damage), "remedy": why}]


def _is_sound(store: TableStore, file: str, sums: Mapping[str, str]) -> bool:
    """Whether a file of the log of snapshots is there, and what was written."""
    with suppress(FileNotFoundError):
        return _checksums.sum_of(store, f"{LOG}/{file}") == sums.get(f"{LOG}/{file}")
    return False


def _read_file(store: TableStore, file: str) -> pa.Table:
    with store.files.open_input_file(f"{LOG}/{file}") as stream:
        return pq.ParquetFile(stream).read()


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

    def __init__(self, store: TableStore, bad: dict[str, str], snapshots: list[Snapshot]):
        super().__init__(store, uuid.uuid4().hex[:8], ErasureTarget(frozenset()), frozenset())
        self.bad, self.snapshots = bad, snapshots
        self.undocumented: list[LostFile] = []

    def without(self, s: Snapshot) -> Snapshot:
        """The snapshot on what is sound; what of it can be told from the rest is made anew."""
        hit = {name for name, entry in s.tables.items() if self._damaged(entry)}
        if not hit:
            return s
        tables = dict(s.tables)
        for name in hit - {"samples", "columns"}:
            entry = tables[name]
            if name == "outcomes":
                tables[name] = self._made(entry, _changes.OUTCOMES.empty_table())
            elif not (extractor := extractor_of(name)) or self._unreadable(entry):
                del tables[name]  # made again by the next writer
            else:
                rebuilt = self._entry(name, s.computed[extractor])
                tables[name] = replace(rebuilt, rows=self._count(rebuilt))
        tables.pop("moments", None)  # they hold what the damaged files held
        if "samples" in hit:
            tables["samples"] = self._made(s.tables["samples"], to_arrow(self._samples(s.dataset, tables)))
        tables["columns"] = self._catalogue(s, tables)
        return replace(s, tables=tables, samples=self._count(tables["samples"]))

    def _damaged(self, entry: TableRef) -> bool:
        """Whether a file of this very version is."""
        if self._unreadable(entry):
            return True
        return any(f"{entry.path}/{f}" in self.bad for f in self.store.load_version(entry).paths())

    def _unreadable(self, entry: TableRef) -> bool:
        return any(f == entry.path or f.startswith(f"{entry.path}/_delta_log/") for f in self.bad)

    def _samples(self, dataset: str, tables: dict[str, TableRef]) -> pd.DataFrame:
        """Ids and shards, as tables of features and outcomes have them."""
        parts = [
            read_keys(self.store, e, KEYS).to_pandas()[["sample_id", "shard"]] for e in computed_of(tables).values()
        ]
        known = pd.concat([*parts, pd.DataFrame({"sample_id": [], "shard": []})]).drop_duplicates("sample_id")
        others = read(self.store, tables["outcomes"], ["sample_id"]).to_pandas()["sample_id"]
        last = int(known["shard"].max()) if len(known) else 0
        new = pd.DataFrame({"sample_id": others[~others.isin(known["sample_id"])].unique()}).assign(shard=last)
        known = pd.concat([known, new]).sort_values("shard", kind="stable", ignore_index=True)
        frame = samples_frame(known[["sample_id"]].astype("str"), dataset, readable=False)
        position, shard = HIDDEN
        return frame.assign(**{position: np.arange(len(frame)), shard: known["shard"].to_numpy(np.int32)})

    def _catalogue(self, s: Snapshot, tables: dict[str, TableRef]) -> TableRef:
        """Statistics of what is there; what columns mean, from this catalogue or the nearest sound one."""
        sound = [
            e for t in sorted(self.snapshots, key=lambda t: abs(t.number - s.number)) for e in [t.tables["columns"]]
        ]
        old = [read(self.store, e).to_pandas() for e in sound if not self._damaged(e)]
        parts = []
        for name, entry in computed_of(tables).items():
            documented = next((found for frame in old if (found := _catalog.documented(frame, name))), [])
            known = {c["name"] for c in documented}
            bare = [ColumnDoc(name=c) for c in _load.column_names(self.store, entry) if c not in known]
            if bare:
                why = "no sound catalogue says what its columns mean: a refresh of another version of it does"
                self.undocumented.append({"file": entry.path, "why": f"{s.id}: {name}", "remedy": why})
            names = [c["name"] for c in (*documented, *bare)]
            statistics = _statistics.table_statistics(self.store, entry, names)
            parts.append(_catalog.describe(name, [*documented, *bare], statistics))
        return self._made(s.tables["columns"], to_arrow(_catalog.together(parts)))

    def _made(self, entry: TableRef, table: pa.Table) -> TableRef:
        path = self._path(entry.path)
        return TableRef(path, self.store.replace(path, table, None))

    def _file(self, name: str, old: str, new: str, path: str, fragment: Any) -> Any:
        return None if f"{old}/{path}" in self.bad else super()._file(name, old, new, path, fragment)
