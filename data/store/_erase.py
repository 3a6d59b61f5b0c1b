"""Erasing people: out of every table, every old version and everything derived from them, with a receipt.

Tables are immutable versions in files, so each table that knows one of the samples is built anew, version by version,
without their rows; files that never held one are linked over. Then the log of snapshots is switched to the new tables
in one commit, and the old folders are deleted. A crash before the commit leaves everything as it was; one after it
leaves folders that no snapshot names, which the next writer deletes.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from affectlake.data.errors import UnknownName
from affectlake.data.store import _columns, _export, _feast, _view
from affectlake.data.store._frames import read, to_arrow
from affectlake.data.store._place import SETTINGS, Place
from affectlake.data.store._snapshots import FEATURES, Log, Snapshot, edit, features_of

RECORDS = "records"


def erase(place: Place, dataset: str, speaker: str | None, ids: Iterable[str] | None) -> dict[str, Any]:
    """Erase samples from every version; the caller holds the dataset's lock. See `Store.erase`."""
    log = Log(place)
    mine = [s for s in log.rows if s.dataset == dataset]
    gone = _whom(place, log, dataset, speaker, ids)
    generation = uuid.uuid4().hex[:8]
    rebuilt = _Rebuilt(place, generation, gone)
    rows = {s.id: rebuilt.snapshot(s) for s in mine}
    _view.clear(place)  # before the commit: a view of the old files must not outlive them
    edit(place, lambda every: [rows.get(s.id, s) for s in every])
    log = Log(place)
    place.delete(f"pending/{dataset}")
    records = _records(place, dataset, gone)
    exports = _exports(place, dataset, log)
    collect(place, dataset, log)
    _view.publish(place, kept=1)  # older ones still hold them
    found = check(place, gone)
    return {
        "dataset": dataset,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "samples": len(gone.ids),
        "snapshots": len(mine),
        "rows": rebuilt.removed,
        "records": records,
        "exports": exports,
        "files_checked": found["files"],
        "still_found_in": found["paths"],
    }


class Gone:
    """Whom to erase: ids, their speakers as far as nobody else is called so, and the URIs that only they have."""

    def __init__(self, ids: set[str], speakers: set[str], uris: set[str]):
        self.ids, self.speakers, self.uris = ids, speakers, uris

    @property
    def names(self) -> set[str]:
        return self.ids | self.speakers | self.uris


def _whom(place: Place, log: Log, dataset: str, speaker: str | None, ids) -> Gone:
    entries = [s.tables["samples"] for s in log.rows if s.dataset == dataset]
    versions = {(e["path"], e["version"]) for e in entries}
    if not versions:
        raise UnknownName("dataset", dataset, {s.dataset for s in log.rows})
    keys = ["sample_id", "speaker", "audio", "image", "video"]
    every = pd.concat([read(place, {"path": p, "version": v}, keys).to_pandas() for p, v in sorted(versions)])
    every = every.drop_duplicates()
    if speaker is not None:
        if not (every["speaker"] == speaker).any():
            raise UnknownName("speaker", speaker, every["speaker"].dropna().unique())
        hit = every["speaker"] == speaker
    else:
        wanted = {str(i) for i in ids or ()}
        for name in sorted(wanted - set(every["sample_id"])):
            raise UnknownName("sample", name, every["sample_id"].unique())
        hit = every["sample_id"].isin(wanted)
    # An id that was someone else's in another version goes as well: it cannot be told apart in records.
    hit = every["sample_id"].isin(every.loc[hit, "sample_id"])
    theirs, others = every[hit], every[~hit]
    media = ("audio", "image", "video")
    uris = {u for m in media for u in theirs[m].dropna()} - {u for m in media for u in others[m].dropna()}
    speakers = set(theirs["speaker"].dropna()) - set(others["speaker"].dropna())
    return Gone(set(theirs["sample_id"]), speakers, uris)


class _Rebuilt:
    """Builds tables of a new generation, each once, however many snapshots name it."""

    def __init__(self, place: Place, generation: str, gone: Gone):
        self.place, self.generation, self.gone = place, generation, gone
        self.removed: dict[str, int] = {}
        self._versions: dict[tuple[str, int], int] = {}
        self._files: dict[str, str] = {}

    def snapshot(self, s: Snapshot) -> Snapshot:
        """The snapshot without the people, on the new tables."""
        # Moments hold extremes that may be theirs, and are made anew where they are needed.
        stay = {name: entry for name, entry in s.tables.items() if name not in ("columns", "moments")}
        tables = {name: self._entry(name, entry) for name, entry in stay.items()}
        outcomes = read(self.place, tables["outcomes"], ["extractor", "outcome"]).to_pandas()
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
            build = self._feature if name.startswith(FEATURES) else self._small
            self._versions[key] = build(name, entry)
        return entry | {"path": self._path(entry["path"]), "version": self._versions[key]}

    def _path(self, path: str) -> str:
        return f"{path.split('~')[0]}~{self.generation}"

    def _count(self, entry: dict[str, Any]) -> int:
        return self.place.at(entry).to_pyarrow_dataset().count_rows()

    def _keep(self, table: pa.Table) -> pa.Table:
        column = "sample_id" if "sample_id" in table.schema.names else "uri"
        names = self.gone.ids if column == "sample_id" else self.gone.uris
        hit = pc.is_in(table[column], pa.array(sorted(names), pa.string()))
        return table.filter(pc.invert(hit))

    def _small(self, name: str, entry: dict[str, Any]) -> int:
        table = read(self.place, entry)
        kept = self._keep(table)
        self.removed[name] = self.removed.get(name, 0) + table.num_rows - kept.num_rows
        return self.place.replace(self._path(entry["path"]), kept, None)

    def _columns(self, s: Snapshot, tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """The catalogue over the values that remain: an extreme may have been theirs."""
        entry = s.tables["columns"]
        features = features_of(tables)
        key = "columns", *((n, e["path"], e["version"]) for n, e in features.items())
        if key not in self._versions:
            old = read(self.place, entry).to_pandas()
            frame = _columns.together([self._described(n, e, old) for n, e in features.items()])
            self._versions[key] = self.place.replace(self._path(entry["path"]), to_arrow(frame), None)
        return {"path": self._path(entry["path"]), "version": self._versions[key]}

    def _described(self, name: str, entry: dict[str, Any], old: pd.DataFrame) -> pd.DataFrame:
        about = _columns.documented(old, name)
        return _columns.describe(name, about, _columns.moments_of(self.place, entry, [c["name"] for c in about]))

    def _feature(self, name: str, entry: dict[str, Any]) -> int:
        """A version of a feature table, file by file."""
        old = self.place.at(entry)
        path, schema = self._path(entry["path"]), old.to_pyarrow_dataset().schema
        head = self.place.open(path)
        if head is None:
            self.place.parent(f"{path}/_delta_log/0")
            DeltaTable.create(self.place.url(path), schema, partition_by=["shard"], configuration=SETTINGS)
            head = self.place.open(path)
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
            kept = self._keep(table)
            lost = table.num_rows - kept.num_rows
            self.removed[name] = self.removed.get(name, 0) + lost
            self._files[source] = goal if kept.num_rows else ""
            if kept.num_rows and lost:
                self._write(goal, kept)
            elif kept.num_rows:
                self._link(source, goal)
        if not self._files[source]:
            return None
        size = self.place.files.get_file_info(goal).size
        return AddAction(target, size, {"shard": str(shard)}, _now(), True, "{}")

    def _write(self, goal: str, table: pa.Table) -> None:
        self.place.write(goal, table)

    def _link(self, source: str, goal: str) -> None:
        if self.place.local:
            os.makedirs(os.path.dirname(self.place.path(goal)), exist_ok=True)
            try:
                os.link(self.place.path(source), self.place.path(goal))
            except OSError:  # a file system without hard links, or the file of somebody else
                shutil.copy2(self.place.path(source), self.place.path(goal))
        else:
            self.place.files.copy_file(source, goal)


def _shard(fragment) -> int:
    return pads.get_partition_keys(fragment.partition_expression)["shard"]


def _remove(path: str, fragment) -> RemoveAction:
    return RemoveAction(path, True, _now(), partition_values={"shard": str(_shard(fragment))})


def _now() -> int:
    """Milliseconds, as Delta's log has them."""
    return int(datetime.now(UTC).timestamp() * 1000)


def _records(place: Place, dataset: str, gone: Gone) -> int:
    """Take the people out of recorded results: predictions of their samples, and their lines in documents."""
    removed = 0
    for name in place.below(RECORDS):
        table = place.open(f"{RECORDS}/{name}")
        frame = table.to_pandas()
        if "dataset" not in frame:
            continue
        mine = frame["dataset"] == dataset
        kept = frame
        if "sample_id" in frame:
            kept = frame[~(mine & frame["sample_id"].isin(gone.ids))]
        if "document" in frame:
            # A benchmark that trained on this dataset may name its people too.
            named = mine
            if "train_on" in frame:
                named = mine | frame["train_on"].fillna("").str.split("+").map(lambda d: dataset in d)
            cleaned = [_scrubbed(d, gone) if m else d for d, m in zip(kept["document"], named[kept.index], strict=True)]
            removed += sum(a != b for a, b in zip(cleaned, kept["document"], strict=True))
            kept = kept.assign(document=cleaned)
        removed += len(frame) - len(kept)
        if kept.equals(frame):
            continue
        schema = table.to_pyarrow_dataset().schema
        place.replace(f"{RECORDS}/{name}", pa.Table.from_pandas(kept, schema=schema, preserve_index=False), None)
        place.open(f"{RECORDS}/{name}").vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    return removed


def _scrubbed(document: str, gone: Gone) -> str:
    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items()}
        if isinstance(value, list):
            return [clean(v) for v in value if not _mentions(v, gone)]
        return value

    return json.dumps(clean(json.loads(document)))


def _mentions(value: Any, gone: Gone) -> bool:
    """Whether a list's entry is about one of them: a row by speaker or sample, or a sentence with their name."""
    if isinstance(value, dict):
        return value.get("speaker") in gone.speakers or value.get("sample_id") in gone.ids
    return isinstance(value, str) and any(name in value for name in gone.names)


def _exports(place: Place, dataset: str, log: Log) -> int:
    """Write the exports that we made, and that are still there, anew."""
    table = place.open(f"{RECORDS}/{_export.EXPORTS}")
    if table is None:
        return 0
    done = 0
    for out in sorted(set(table.to_pandas()["path"])):
        mark = Path(out) / _export.MARK
        if not mark.is_file():
            continue
        about = json.loads(mark.read_text(encoding="utf-8"))
        snapshot = next((s for s in log.rows if s.id == about["snapshot"]), None)
        if about["store"] == place.root and about["dataset"] == dataset and snapshot is not None:
            _export.export(place, snapshot, about["features"], Path(out))
            if (Path(out) / "feature_store.yaml").exists():
                _feast.write(place, snapshot, about["features"], Path(out))
            done += 1
    return done


def collect(place: Place, dataset: str, log: Log) -> None:
    """Delete folders of tables that no snapshot names: what an erasure or a crash left behind."""
    named = {e["path"] for s in log.rows for e in s.tables.values()}
    for folder in (f"features/{dataset}", f"tables/{dataset}"):
        tables = {f"{folder}/{name}" for name in place.below(folder)}
        for table in sorted(tables - named):
            place.delete(table)


def check(place: Place, gone: Gone) -> dict[str, Any]:
    """Look for their ids, names and URIs in every file below the store.

    Returns
    -------
    dict
        ``files``: number of files read; ``paths``: those that still hold one.
    """
    import pyarrow.fs as fs

    names = sorted(gone.names)
    wanted = pa.array(names, pa.string())
    files, paths = 0, []
    for info in place.listing(""):
        if info.type != fs.FileType.File or info.path.startswith(".locks/"):
            continue
        files += 1
        with place.files.open_input_file(info.path) as file:
            if info.path.endswith(".parquet") and "_delta_log" not in info.path:
                hit = _in_table(pq.read_table(file), wanted)
            else:
                text = file.read().decode("utf-8", "replace")
                hit = any(f'"{name}"' in text or f"{name}\\" in text for name in names)
        if hit:
            paths.append(info.path)
    return {"files": files, "paths": paths}


def _in_table(table: pa.Table, names: pa.Array) -> bool:
    texts = [c for c in table.columns if pa.types.is_string(c.type) or pa.types.is_large_string(c.type)]
    return any(pc.any(pc.is_in(c.cast(pa.string()), names)).as_py() for c in texts)
