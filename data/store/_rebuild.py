"""Builds tables anew, version by version and file by file, without some of their rows or files.

Files that stay as they are are linked over, so that a table costs what is taken out of it.
"""

import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from affectlake.data.store import _attributes, _catalog, _checksums, _identity, _statistics
from affectlake.data.store._arrow import to_arrow
from affectlake.data.store._names import ErasureTarget, Plain
from affectlake.data.store._read import read
from affectlake.data.store._snapshot import FeatureTable, Snapshot, TableRef, computed_of, extractor_of, table_of
from affectlake.data.store._table_store import SETTINGS, TableStore

_CONTEXT = "features.text.context"
"""Older stores do not say which tables read what was said before; this was the only one."""


Ref = TypeVar("Ref", bound=TableRef)


class Rebuilt:
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
        for extractor, entry in computed_of(tables).items():
            lacking = outcomes.loc[outcomes["extractor"] == extractor, "outcome"]
            rows = self._count(entry)
            failed, not_applicable = (int((lacking == k).sum()) for k in ("failed", "not_applicable"))
            tables[table_of(extractor)] = replace(
                entry, rows=rows, wanted=rows + len(lacking), failed=failed, not_applicable=not_applicable
            )
        tables["columns"] = self._columns(s, tables)
        return replace(s, tables=tables, samples=self._count(tables["samples"]))

    def _entry(self, name: str, entry: Ref) -> Ref:
        key = entry.key
        if key not in self._versions:
            if extractor_of(name) and (getattr(entry, "reads", "") == "dialogue" or name == _CONTEXT):
                self._lose_heard(name)
            build = self._feature if extractor_of(name) else self._small
            self._versions[key] = build(name, entry)
        return replace(entry, path=self._path(entry.path), version=self._versions[key])

    def _path(self, path: str) -> str:
        return f"{path.split('~')[0]}~{self.generation}"

    def _count(self, entry: TableRef) -> int:
        """Rows of a table; of a series samples that have any."""
        rows = self.store.load_version(entry).to_pyarrow_dataset()
        if isinstance(entry, FeatureTable) and entry.keys:
            return int(pc.count_distinct(rows.to_table(columns=["sample_id"])["sample_id"]).as_py())
        return rows.count_rows()

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

    def _small(self, name: str, entry: TableRef) -> int:
        table = read(self.store, entry)
        kept = self._keep(table, name)
        self.removed[name] = self.removed.get(name, 0) + table.num_rows - kept.num_rows
        return self.store.replace(self._path(entry.path), self._without_names(kept), None)

    def _without_names(self, table: pa.Table) -> pa.Table:
        return _attributes.without(table, self.traces, _identity.make(self.store))

    def _columns(self, s: Snapshot, tables: dict[str, TableRef]) -> TableRef:
        """The catalogue over the values that remain: an extreme may have been theirs."""
        entry = s.tables["columns"]
        features = computed_of(tables)
        key = json.dumps(["columns", *((n, *e.key) for n, e in features.items())]), 0
        if key not in self._versions:
            old = read(self.store, entry).to_pandas()
            frame = _catalog.together([self._described(n, e, old) for n, e in features.items()])
            self._versions[key] = self.store.replace(self._path(entry.path), to_arrow(frame), None)
        return TableRef(self._path(entry.path), self._versions[key])

    def _described(self, name: str, entry: TableRef, old: pd.DataFrame) -> pd.DataFrame:
        documented = _catalog.documented(old, name)
        return _catalog.describe(
            name, documented, _statistics.table_statistics(self.store, entry, [c["name"] for c in documented])
        )

    def _feature(self, name: str, entry: TableRef) -> int:
        """A version of a feature table, file by file."""
        try:
            return self._committed(name, entry)
        finally:
            self.store.copy_log(self._path(entry.path))

    def _committed(self, name: str, entry: TableRef) -> int:
        old = self.store.load_version(entry)
        path, schema = self._path(entry.path), old.to_pyarrow_dataset().schema
        head = self.store.open_or_none(path)
        if head is None:
            self.store.parent(f"{path}/_delta_log/0")
            DeltaTable.create(self.store.url(path), schema, partition_by=["shard"], configuration=SETTINGS)
            head = self.store.open(path)
        fragments = {f.path: f for f in old.to_pyarrow_dataset().get_fragments()}
        wanted = [a for p, f in sorted(fragments.items()) if (a := self._file(name, entry.path, path, p, f))]
        here = {f.path: f for f in head.to_pyarrow_dataset().get_fragments()}
        new = [a for a in wanted if a.path not in here]
        same = {a.path for a in wanted}
        version = head.version() + 1
        if not head.to_pyarrow_dataset().schema.equals(schema):
            head.create_write_transaction([*new], "overwrite", schema, ["shard"])
            return version
        removed = [_remove(p, f) for p, f in here.items() if p not in same]
        if not new and not removed:
            return head.version()
        head.create_write_transaction([*new, *removed], "append", schema, ["shard"])
        return version

    def _file(self, name: str, old: str, new: str, path: str, fragment: pads.Fragment) -> AddAction | None:
        """A file of the new table for one of the old: the same bytes where they may stay, else without the rows."""
        shard = _shard(fragment)
        target = f"shard={shard}/{os.path.basename(path)}"
        source, goal = f"{old}/{path}", f"{new}/{target}"
        if source not in self._files:
            if (sums := _checksums.sums(self.store, old, [source])) is not None:
                sums.compare(source)  # or it would get the sum of what it is now
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


def _shard(fragment: pads.Fragment) -> int:
    return pads.get_partition_keys(fragment.partition_expression)["shard"]


def _remove(path: str, fragment: pads.Fragment) -> RemoveAction:
    return RemoveAction(path, True, _now(), partition_values={"shard": str(_shard(fragment))})


def _now() -> int:
    """Milliseconds, as Delta's log has them."""
    return int(datetime.now(UTC).timestamp() * 1000)
