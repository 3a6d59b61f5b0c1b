"""Erasing people: out of every table, every old version and everything derived from them, with a receipt.

Tables are immutable versions in files, so each table that knows one of the samples is built anew, version by version,
without their rows; files that never held one are linked over. Only when all of that is there, it is noted whom to erase
(`erasing/`), who must not come back (`tombstones/`), and the log of snapshots is switched to the new tables in one
commit. Then the old folders are deleted and what was made from them is cleaned. A crash before the commit leaves
everything as it was; one after it leaves the note, by which a second call finishes.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from affectlake.data.errors import AffectlakeError, UnknownName
from affectlake.data.store import (
    _catalog,
    _checksums,
    _identity,
    _maintenance,
    _search,
    _statistics,
    _tombstones,
    _traces,
    _view,
)
from affectlake.data.store._arrow import to_arrow
from affectlake.data.store._names import Beyond, ErasureTarget, Hashed, Plain, distinctive
from affectlake.data.store._read import read
from affectlake.data.store._snapshots import FEATURES, Log, Snapshot, edit, features_of
from affectlake.data.store._table_store import SETTINGS, TableStore

NOTES = "erasing"
_KEYS = ["sample_id", "speaker", "audio", "image", "video", "start", "end", "split", "dialogue", "turn", "text"]
_MEDIA = ("audio", "image", "video")
_CONTEXT = "features.text.context"
"""Older stores do not say which tables read what was said before; this was the only one."""


def erase(
    store: TableStore, dataset: str, speaker: str | None, ids: Iterable[str] | None, beyond: Sequence[Beyond] = ()
) -> dict[str, Any]:
    """Erase samples from every version; the caller holds the dataset's lock. See `Store.erase`."""
    log = Log(store)
    mine = [s for s in log.rows if s.dataset == dataset]
    begun = _begun(store, dataset)
    target = _whom(store, log, dataset, speaker, None if ids is None else [str(i) for i in ids], begun)
    rebuilt = _Rebuilt(store, uuid.uuid4().hex[:8], target, _heard(store, mine, target))
    rows = {s.id: rebuilt.snapshot(s) for s in mine}
    for s in rows.values():
        _checksums.note(store, s, None)
    fitted = _traces.models(store, dataset, target.ids)
    erasure = uuid.uuid4().hex[:12]
    _note(store, dataset, target)
    _tombstones.add(store, dataset, erasure, target, speaker is not None)
    edit(store, lambda every: [rows.get(s.id, s) for s in every])
    log = Log(store)
    store.delete(f"pending/{dataset}")
    _view.publish(store, kept=1)  # older ones still hold them
    _maintenance.collect(store, dataset, log)
    traces = Plain(target)
    left: list[dict[str, Any]] = [*fitted, *_orphans(store, dataset, log)]
    records = _records(store, dataset, traces)
    exports, lost, still = _exports(store, dataset, traces)
    left += lost
    for action in beyond:
        left += action(target)
    found = _search.search(store, dataset, traces)
    left += [_traces.Left("file", path, "could not be read").to_json() for path in found.unread]
    receipt = {
        "dataset": dataset,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "erasure": erasure,
        "store": _identity.make(store).store,
        "samples": len(target.ids),
        "snapshots": len(mine),
        "rows": rebuilt.removed,
        "recompute": rebuilt.recompute,
        "records": records,
        "exports": exports,
        "files_checked": found.files,
        "still_found_in": [*found.paths, *still],
        "left": left,
        "hashes": _tombstones.hashes(store, dataset, target),
    }
    store.delete(f"{NOTES}/{dataset}")
    return receipt


def check(store: TableStore, receipt: dict[str, Any]) -> dict[str, Any]:
    """Look again for those whom a receipt is about, by its hashes; see `Store.check_receipt`."""
    identity = _identity.find(store)
    if identity is None or identity.store != receipt["store"]:
        raise AffectlakeError(f"the receipt is of another store than {store.root}: its hashes mean nothing here")
    dataset = receipt["dataset"]
    traces = Hashed(identity, dataset, receipt["hashes"])
    found = _search.search(store, dataset, traces)
    paths, table = found.paths, store.open_or_none(f"{_traces.RECORDS}/{_traces.EXPORTS}")
    unread = found.unread
    for where in sorted(set(table.to_pandas()["path"])) if table is not None else []:
        there = _traces.export_of(store, where, dataset)
        if there is not None:
            more = _search.search_folder(there, dataset, traces)
            found.files += more.files
            paths, unread = paths + more.paths, unread + more.unread
    return {
        "dataset": dataset,
        "erased": receipt["time"],
        "files_checked": found.files,
        "still_found_in": paths,
        "unread": unread,
        "left": receipt["left"],
    }


def _begun(store: TableStore, dataset: str) -> ErasureTarget | None:
    """Whom an erasure that never ended was about."""
    table = store.open_or_none(f"{NOTES}/{dataset}")
    return None if table is None else ErasureTarget.of_json(json.loads(table.to_pandas()["gone"][0]))


def _note(store: TableStore, dataset: str, target: ErasureTarget) -> None:
    store.replace(f"{NOTES}/{dataset}", pa.table({"gone": [json.dumps(target.to_json())]}), None)


def _orphans(store: TableStore, dataset: str, log: Log) -> list[dict[str, Any]]:
    """Old tables that could not be deleted."""
    return [
        _traces.Left("folder", store.path(path), "could not be deleted: no right to, or it is in use").to_json()
        for path in _maintenance.unnamed(store, dataset, log)
    ]


def _whom(
    store: TableStore, log: Log, dataset: str, speaker: str | None, ids: list[str] | None, begun: ErasureTarget | None
) -> ErasureTarget:
    """Everything of a speaker, or of ids, and whatever an earlier erasure did not get done.

    Raises
    ------
    UnknownName
        No version ever held the speaker or one of the ids.
    """
    every = _every(store, log, dataset)
    known = every["speaker"].dropna().unique() if speaker is not None else every["sample_id"].unique()
    wanted = [speaker] if speaker is not None else list(ids or ())
    done = begun or ErasureTarget(frozenset())
    for name in sorted(set(wanted) - set(known) - done.speakers - done.ids):
        raise UnknownName("sample" if speaker is None else "speaker", name, known)
    hit = every["sample_id" if speaker is None else "speaker"].isin(wanted)
    # An id that was someone else's in another version goes as well: it cannot be told apart in records.
    hit = every["sample_id"].isin(every.loc[hit, "sample_id"])
    theirs, others = every[hit], every[~hit]
    uris = {u for m in _MEDIA for u in theirs[m].dropna()} - (not_theirs := _uris(others))
    names = {u.rsplit("/", 1)[-1] for u in uris} - {u.rsplit("/", 1)[-1] for u in not_theirs}
    speakers = set(theirs["speaker"].dropna()) - set(others["speaker"].dropna())
    content = _content(store, log, dataset, theirs, others)
    names = {n for n in names if distinctive(n)}
    found = ErasureTarget(
        frozenset(theirs["sample_id"]), frozenset(speakers), frozenset(uris | names), frozenset(content)
    )
    return found | done


def _uris(samples: pd.DataFrame) -> set[str]:
    return {u for m in _MEDIA for u in samples[m].dropna()}


def _every(store: TableStore, log: Log, dataset: str) -> pd.DataFrame:
    """Samples of all versions of a dataset."""
    entries = [s.tables["samples"] for s in log.rows if s.dataset == dataset]
    versions = {(e["path"], e["version"]) for e in entries}
    if not versions:
        raise UnknownName("dataset", dataset, {s.dataset for s in log.rows})
    every = [read(store, {"path": p, "version": v}, _KEYS).to_pandas() for p, v in sorted(versions)]
    return pd.concat(every).drop_duplicates()


def _content(store: TableStore, log: Log, dataset: str, theirs: pd.DataFrame, others: pd.DataFrame) -> set[str]:
    """What only their media are, in any version."""
    entries = [s.tables["stats"] for s in log.rows if s.dataset == dataset and "stats" in s.tables]
    found: set[str] = set()
    for path, version in sorted({(e["path"], e["version"]) for e in entries}):
        stats = read(store, {"path": path, "version": version}).to_pandas()
        mine, not_mine = (_tombstones.contents(samples, stats) for samples in (theirs, others))
        found |= (set(mine["whole"]) - set(not_mine["whole"])) | (set(mine["part"]) - set(not_mine["part"]))
    return found


def _heard(store: TableStore, snapshots: list[Snapshot], target: ErasureTarget) -> frozenset[str]:
    """Other samples of which features hold what the people said before, in some version."""
    found: set[str] = set()
    for path, version in sorted({(s.tables["samples"]["path"], s.tables["samples"]["version"]) for s in snapshots}):
        keys = ["sample_id", "dialogue", "turn", "text"]
        samples = read(store, {"path": path, "version": version}, keys).to_pandas()
        theirs = samples["sample_id"].isin(target.ids)
        first = samples[theirs & samples["text"].notna()].groupby("dialogue")["turn"].min()
        after = samples["turn"] >= samples["dialogue"].map(first)
        found |= set(samples.loc[after.fillna(False).astype(bool) & ~theirs, "sample_id"])
    return frozenset(found)


class _Rebuilt:
    """Builds tables of a new generation, each once, however many snapshots name it."""

    def __init__(self, store: TableStore, generation: str, target: ErasureTarget, heard: frozenset[str]):
        self.store, self.generation, self.target, self.heard = store, generation, target, heard
        self.traces = Plain(target)
        self.removed: dict[str, int] = {}
        self.recompute: dict[str, int] = {}
        self._lost: dict[str, frozenset[str]] = {}
        self._versions: dict[tuple[str, int], int] = {}
        self._files: dict[str, str] = {}

    def snapshot(self, s: Snapshot) -> Snapshot:
        """The snapshot without the people, on the new tables."""
        # Moments hold extremes that may be theirs, and are made anew where they are needed.
        stay = {name: entry for name, entry in s.tables.items() if name not in ("columns", "moments")}
        tables = {name: self._entry(name, entry) for name, entry in stay.items()}
        outcomes = read(self.store, tables["outcomes"], ["extractor", "outcome"]).to_pandas()
        for extractor, entry in features_of(tables).items():
            said = outcomes.loc[outcomes["extractor"] == extractor, "outcome"]
            entry["rows"] = self._count(entry)
            entry |= {k: int((said == k).sum()) for k in ("failed", "not_applicable")}
            entry["wanted"] = entry["rows"] + len(said)
        tables["columns"] = self._columns(s, tables)
        return replace(s, tables=tables, samples=self._count(tables["samples"]))

    def _entry(self, name: str, entry: dict[str, Any]) -> dict[str, Any]:
        key = entry["path"], entry["version"]
        if key not in self._versions:
            if name.startswith(FEATURES) and (entry.get("reads") == "dialogue" or name == _CONTEXT):
                self._lose_heard(name)
            build = self._feature if name.startswith(FEATURES) else self._small
            self._versions[key] = build(name, entry)
        return entry | {"path": self._path(entry["path"]), "version": self._versions[key]}

    def _path(self, path: str) -> str:
        return f"{path.split('~')[0]}~{self.generation}"

    def _count(self, entry: dict[str, Any]) -> int:
        return self.store.load_version(entry).to_pyarrow_dataset().count_rows()

    def _keep(self, table: pa.Table, name: str) -> pa.Table:
        if "sample_id" in table.schema.names:
            column, names = "sample_id", self.target.ids | self._lost.get(name, frozenset())
        elif "uri" in table.schema.names:
            column, names = "uri", self.target.files
        else:
            return table
        hit = pc.fill_null(pc.is_in(table[column], pa.array(sorted(names), pa.string())), False)
        return table.filter(pc.invert(hit))

    def _lose_heard(self, name: str) -> None:
        """What was computed from their words goes with them; the next refresh computes it without."""
        self._lost[name] = self.heard
        self.recompute[name] = len(self.heard)

    def _small(self, name: str, entry: dict[str, Any]) -> int:
        table = read(self.store, entry)
        kept = self._keep(table, name)
        self.removed[name] = self.removed.get(name, 0) + table.num_rows - kept.num_rows
        return self.store.replace(self._path(entry["path"]), _traces.without_attributes(kept, self.traces), None)

    def _columns(self, s: Snapshot, tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """The catalogue over the values that remain: an extreme may have been theirs."""
        entry = s.tables["columns"]
        features = features_of(tables)
        key = "columns", *((n, e["path"], e["version"]) for n, e in features.items())
        if key not in self._versions:
            old = read(self.store, entry).to_pandas()
            frame = _catalog.together([self._described(n, e, old) for n, e in features.items()])
            self._versions[key] = self.store.replace(self._path(entry["path"]), to_arrow(frame), None)
        return {"path": self._path(entry["path"]), "version": self._versions[key]}

    def _described(self, name: str, entry: dict[str, Any], old: pd.DataFrame) -> pd.DataFrame:
        about = _catalog.documented(old, name)
        return _catalog.describe(
            name, about, _statistics.table_statistics(self.store, entry, [c["name"] for c in about])
        )

    def _feature(self, name: str, entry: dict[str, Any]) -> int:
        """A version of a feature table, file by file."""
        old = self.store.load_version(entry)
        path, schema = self._path(entry["path"]), old.to_pyarrow_dataset().schema
        head = self.store.open_or_none(path)
        if head is None:
            self.store.parent(f"{path}/_delta_log/0")
            DeltaTable.create(self.store.url(path), schema, partition_by=["shard"], configuration=SETTINGS)
            head = self.store.open(path)
        fragments = {f.path: f for f in old.to_pyarrow_dataset().get_fragments()}
        wanted = [a for p, f in sorted(fragments.items()) if (a := self._file(name, entry["path"], path, p, f))]
        here = {f.path: f for f in head.to_pyarrow_dataset().get_fragments()}
        new = [a for a in wanted if a.path not in here]
        same = {a.path for a in wanted}
        version = head.version() + 1
        if not head.to_pyarrow_dataset().schema.equals(schema):
            head.create_write_transaction(new, "overwrite", schema, ["shard"])
            return version
        removed = [_remove(p, f) for p, f in here.items() if p not in same]
        if not new and not removed:
            return head.version()
        head.create_write_transaction([*new, *removed], "append", schema, ["shard"])
        return version

    def _file(self, name: str, old: str, new: str, path: str, fragment) -> AddAction | None:
        """A file of the new table for one of the old: the same bytes where they may stay, else without the rows."""
        shard = _shard(fragment)
        target = f"shard={shard}/{os.path.basename(path)}"
        source, goal = f"{old}/{path}", f"{new}/{target}"
        if source not in self._files:
            table = fragment.to_table(columns=fragment.physical_schema.names)
            kept = self._keep(table, name)
            lost = table.num_rows - kept.num_rows
            self.removed[name] = self.removed.get(name, 0) + lost
            self._files[source] = goal if kept.num_rows else ""
            if kept.num_rows and lost:
                self._write(goal, kept)
            elif kept.num_rows:
                self._link(source, goal)
        if not self._files[source]:
            return None
        size = self.store.files.get_file_info(goal).size
        return AddAction(target, size, {"shard": str(shard)}, _now(), True, "{}")

    def _write(self, goal: str, table: pa.Table) -> None:
        self.store.write(goal, table)

    def _link(self, source: str, goal: str) -> None:
        if self.store.local:
            os.makedirs(os.path.dirname(self.store.path(goal)), exist_ok=True)
            try:
                os.link(self.store.path(source), self.store.path(goal))
            except OSError:  # a file system without hard links, or the file of somebody else
                shutil.copy2(self.store.path(source), self.store.path(goal))
        else:
            self.store.files.copy_file(source, goal)


def _shard(fragment) -> int:
    return pads.get_partition_keys(fragment.partition_expression)["shard"]


def _remove(path: str, fragment) -> RemoveAction:
    return RemoveAction(path, True, _now(), partition_values={"shard": str(_shard(fragment))})


def _now() -> int:
    """Milliseconds, as Delta's log has them."""
    return int(datetime.now(UTC).timestamp() * 1000)


_records, _exports = _traces.records, _traces.exports
