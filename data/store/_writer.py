"""Writes one snapshot of one dataset: keeps results as they come, publishes them all at once."""

import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from affectlake.data.errors import AffectlakeError
from affectlake.data.store import (
    _attributes,
    _catalog,
    _changes,
    _checksums,
    _gate,
    _lock,
    _maintenance,
    _statistics,
    _target,
    _tombstones,
    _view,
)
from affectlake.data.store._arrow import index_in, is_in, strings, to_arrow
from affectlake.data.store._feature_spec import FeatureSpec, source_of
from affectlake.data.store._load import kept_columns
from affectlake.data.store._read import read, read_or_none
from affectlake.data.store._shards import SHARD, assign_shards
from affectlake.data.store._snapshots import Log, Snapshot, features_of
from affectlake.data.store._spelling import KEYS, kept, kept_label
from affectlake.data.store._table_store import PARTITION, CommitConflict, TableStore

KEEP_ROWS, KEEP_SECONDS = 16_384, 5.0
"""Results are made durable after this many rows (for memory's sake) or this long, which is what a crash may cost."""

GROUP_BYTES = 2**26
"""Values that are put together and written at a time, in whole shards: what a publish may take of memory, some copies
of it."""


_logger = logging.getLogger("affectlake.store")


_Table = tuple[dict[str, Any], dict[str, int], pd.DataFrame]
"""Entry, counts and outcomes of a feature table."""


class Writer:
    """A refresh of one dataset in progress; as a context manager it is the only one on this machine."""

    def __init__(self, store: TableStore, dataset: str):
        self.store, self.dataset = store, dataset
        self._buffer: dict[tuple[str, str], list[pa.Table]] = {}
        self._flushed = time.monotonic()
        self._lock: Any = None
        self._read_log()

    def _read_log(self) -> None:
        self._log = Log(self.store)
        self._log.distinct(self.dataset)
        self._base = self._log.head(self.dataset)
        outcomes = read_or_none(self.store, self._table("outcomes"))
        self._outcomes = (outcomes or _changes.OUTCOMES.empty_table()).to_pandas()

    def __enter__(self) -> "Writer":
        self.store.create()
        if self.store.local:
            _lock.writable(self.store, self.dataset)
            self._lock = _lock.locked(self.store, self.dataset)
        self._read_log()
        if self.store.local:
            _maintenance.collect(self.store, self.dataset, self._log)  # what a crash left: nobody else writes here now
        _view.publish(self.store)  # a crash may have come between a snapshot and its view
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            if self._buffer:
                self._flush()
        finally:
            if self._lock is not None:
                self._lock.close()

    def file_index(self) -> pd.DataFrame:
        """Size, modification time and sha256 of every file as of the last snapshot; see `features.scan.scan`."""
        table = read_or_none(self.store, self._table("stats"))
        return table.to_pandas() if table else pd.DataFrame()

    def known(self, extractor: str, fingerprint: str) -> pd.DataFrame:
        """Contents already computed under a fingerprint, published or not.

        Returns
        -------
        DataFrame [columns=(content, outcome, reason)]
            Equal contents of several samples may be there as often.
        """
        parts = []
        entry = self._table(f"features.{extractor}")
        if entry and entry["fingerprint"] == fingerprint:
            parts.append(read(self.store, entry, ["content"]).to_pandas().assign(outcome="ok", reason=None))
        outcomes = self._outcomes
        mine = outcomes[(outcomes["extractor"] == extractor) & (outcomes["fingerprint"] == fingerprint)]
        parts.append(mine[["content", "outcome", "reason"]])
        pending = self._pending(extractor, fingerprint, ["content", "outcome", "reason"])
        if pending is not None:
            parts.append(pending.to_pandas())
        found = pd.concat([p for p in parts if len(p)] or parts[:1], ignore_index=True)
        # Of a failure and a later success of the same content the success counts.
        ok = (found["outcome"] == "ok").to_numpy()
        return found if ok.all() else found[ok | ~is_in(found["content"], found.loc[ok, "content"])]

    def words(self, extractor: str, columns: Sequence[str], fingerprint: str | None = None) -> pd.DataFrame:
        """What an extractor gives besides its values [columns=(content, *columns)], published or not, once per content;
        ``columns`` are of its ``texts``, the fingerprint by default that of the last snapshot's table.
        """
        self._flush()
        entry = self._table(f"features.{extractor}")
        fingerprint = fingerprint or (entry["fingerprint"] if entry else None)
        names = ["content", *columns]
        parts = [pa.schema([(n, pa.string()) for n in names]).empty_table()]
        if entry and entry["fingerprint"] == fingerprint:
            parts.append(read(self.store, entry, names))
        if fingerprint and (pending := self._pending(extractor, fingerprint, [*names, "outcome"])) is not None:
            parts.append(pending.filter(pc.equal(pending["outcome"], "ok")).select(names))
        return pa.concat_tables(parts).to_pandas().drop_duplicates("content", ignore_index=True)

    def check(self, samples: pd.DataFrame) -> None:
        """Find what cannot be kept before anything is computed for it; raises UsageError with the column's name."""
        to_arrow(samples.rename(columns=kept_label))

    def keep(self, extractor: str, fingerprint: str, results: pa.Table) -> None:
        """Make results durable, so that a crash before `publish` costs at most the last few seconds' work.

        Parameters
        ----------
        results : pa.Table
            Columns content, outcome ("ok", "not_applicable", "failed"), reason, then the extractor's own.
        """
        self._buffer.setdefault((extractor, fingerprint), []).append(results)
        rows = sum(t.num_rows for t in self._buffer[extractor, fingerprint])
        if rows >= KEEP_ROWS or time.monotonic() - self._flushed > KEEP_SECONDS:
            self._flush()

    def _flush(self) -> None:
        for (extractor, fingerprint), tables in self._buffer.items():
            self.store.append(self._pending_path(extractor, fingerprint), pa.concat_tables(tables).combine_chunks())
        self._buffer.clear()
        self._flushed = time.monotonic()

    def publish(
        self,
        samples: pd.DataFrame,
        features: Mapping[str, FeatureSpec],
        file_index: pd.DataFrame | None,
        author: str,
        code_version: str = "",
        gate: Literal["warn", "fail"] = "warn",
    ) -> Snapshot:
        """Bring all tables to what is wanted and publish them as one snapshot.

        Feature tables that are not named in ``features`` are carried along for the samples that remain.

        Parameters
        ----------
        samples : DataFrame
            Normal form of `affectlake.data.samples.samples_frame`.
        features : mapping of extractor to FeatureSpec
        file_index : DataFrame, optional
            Result of the scan, for the next one; None leaves the old one.
        author, code_version : str
        gate : "warn" | "fail"
            What a problem does: is recorded, or also keeps the snapshot from being published.

        Raises
        ------
        AffectlakeError
            A wanted result was never kept.
        """
        self._flush()
        if _target.begun(self.store, self.dataset) is not None:
            _logger.warning(
                "an erasure in %s was begun and did not end: say it again (`affectlake erase`) to finish", self.dataset
            )
        samples, features = self._without_erased(samples, features, file_index)
        while True:
            draft = self._draft(samples, features, file_index, author, code_version, gate)
            _checksums.note(self.store, draft, self._base)
            try:
                done = self._log.commit(draft, self._base)
                break
            except CommitConflict:
                self._read_log()  # somebody on another machine was quicker: do it again on top of theirs
        if done.published:
            self._clear_pending(features)
            self._read_log()
            _view.publish(self.store)
        return done

    def erased(self, samples: pd.DataFrame, file_index: pd.DataFrame | None = None) -> set[str]:
        """Ids of samples that were erased and may not come back, whatever they are called now."""
        buried = _tombstones.traces(self.store, self.dataset)
        return set() if buried is None else _tombstones.erased(buried, samples, file_index)

    def _without_erased(
        self, samples: pd.DataFrame, features: Mapping[str, FeatureSpec], file_index: pd.DataFrame | None
    ) -> tuple[pd.DataFrame, Mapping[str, FeatureSpec]]:
        """Leave out whoever was erased, and their names in other people's rows."""
        buried = _tombstones.traces(self.store, self.dataset)
        if buried is None:
            return samples, features
        gone = _tombstones.erased(buried, samples, file_index)
        if gone:
            features = {n: replace(f, rows=f.rows[~f.rows["sample_id"].isin(gone)]) for n, f in features.items()}
            samples = samples[~samples["sample_id"].isin(gone)].reset_index(drop=True)
        samples, went = _attributes.without_in_samples(samples, buried, buried.identity)
        for column, number in went.items():
            _logger.warning(
                "column %r of %d samples of %s names people who were erased: left out", column, number, self.dataset
            )
        return samples, features

    def _draft(
        self,
        samples: pd.DataFrame,
        features: Mapping[str, FeatureSpec],
        file_index: pd.DataFrame | None,
        author: str,
        code_version: str,
        gate: str,
    ) -> Snapshot:
        self._statistics: dict[str, _statistics.ShardStatistics] = {}
        shards = self._shards(samples)
        tables = {"samples": self._write_samples(samples, shards)}
        outcomes, counts = [], {}
        before_outcomes = self._outcomes
        before = self._base.features if self._base else {}
        for name in sorted({*before, *features}):
            wanted = features.get(name)
            if wanted is None:
                result = self._carried(name, shards, before_outcomes)
            elif wanted.rows.empty and name not in before:
                continue
            else:
                result = self._assembled(name, wanted, shards, before_outcomes)
            tables[f"features.{name}"], counts[name], mine = result
            outcomes.append(mine)
        tables["outcomes"] = self._write_small("outcomes", _changes.outcome_table(outcomes))
        if file_index is not None:
            tables["stats"] = self._write_small("stats", to_arrow(file_index))
        elif (index := self._table("stats")) is not None:
            tables["stats"] = index
        entries = features_of(tables)
        columns, old = self._describe(entries, features)
        tables["columns"] = self._write_small("columns", to_arrow(columns))
        tables["moments"] = self._write_small("moments", _statistics.to_table(self._statistics))
        # Labels are renamed and dropped on purpose as well: said, and no reason to hold the values back.
        news = _gate.labels(read_or_none(self.store, self._table("samples")), samples)
        problems = _gate.check(columns, old, entries, before)
        return Snapshot(
            id="",
            time=datetime.now(UTC),
            dataset=self.dataset,
            author=author,
            code_version=code_version,
            published=not (problems and gate == "fail"),
            samples=len(samples),
            counts=counts,
            problems=[*news, *problems],
            tables=tables,
        )

    # Samples

    def _shards(self, samples: pd.DataFrame) -> pd.Series:
        before = read_or_none(self.store, self._table("samples"), ["sample_id", "_shard"])
        old = before.to_pandas().set_index("sample_id")["_shard"] if before is not None else None
        return pd.Series(assign_shards(samples["sample_id"], old), index=pd.Index(samples["sample_id"]), name="shard")

    def _write_samples(self, samples: pd.DataFrame, shards: pd.Series) -> dict[str, Any]:
        frame = samples.reset_index(drop=True).rename(columns=kept_label)
        frame = frame.assign(_position=np.arange(len(frame)), _shard=shards.to_numpy())
        return self._write_small("samples", to_arrow(frame))

    # Feature tables

    def _assembled(self, name: str, wanted: FeatureSpec, shards: pd.Series, outcomes: pd.DataFrame) -> _Table:
        """Entry, counts and outcomes of a table that is brought up to date."""
        entry = self._table(f"features.{name}")
        same = entry is not None and entry["fingerprint"] == wanted.fingerprint
        base = self._keys(entry)
        said_before = outcomes[outcomes["extractor"] == name]
        valid = base if same else base.iloc[:0]
        pending = self._pending(name, wanted.fingerprint, ["content", "outcome", "reason"])
        pending = pending.to_pandas() if pending is not None else pd.DataFrame(columns=["content", "outcome", "reason"])

        if same and pending.empty and _changes.nothing_changed(wanted.rows, base, said_before, shards):
            counts = (
                dict.fromkeys(_changes.COUNTED, 0) | {"unchanged": len(wanted.rows)} | _changes.outcomes_of(said_before)
            )
            return _there(entry) | source_of(name, wanted, entry), counts, said_before
        rows = wanted.rows.reset_index(drop=True)
        rows = rows.assign(shard=_changes.shards_at(shards, rows["sample_id"]))
        computed = pending.loc[pending["outcome"] == "ok", "content"]
        ok = pd.Series(is_in(rows["content"], valid["content"]) | is_in(rows["content"], computed), index=rows.index)
        mine = self._said(name, rows[~ok], wanted.fingerprint, said_before, pending)
        good = rows[ok].reset_index(drop=True)

        changed = _changes.changed_shards(valid, good)
        if same and not changed:
            new = _there(entry)
        else:
            every = not same or base.empty
            todo = good if every else good[good["shard"].isin(changed)]
            new = self._write_features(name, wanted, todo, valid, None if every else changed, entry)
        new = new | {"rows": len(good), "wanted": len(rows), "columns": len(wanted.columns)}
        new |= _changes.outcomes_of(mine) | source_of(name, wanted, entry if same else None)
        return new, _changes.counts_of(rows, good, base, said_before, same, mine), mine

    def _carried(self, name: str, shards: pd.Series, outcomes: pd.DataFrame) -> _Table:
        """The same of a table that nobody refreshes now: it only loses the samples that left."""
        entry = _there(self._table(f"features.{name}"))
        base = self._keys(entry)
        mine = outcomes[outcomes["extractor"] == name]
        stays = mine[is_in(mine["sample_id"], shards.index)]
        good = base[is_in(base["sample_id"], shards.index)]
        good = good.assign(shard=_changes.shards_at(shards, good["sample_id"]))
        changed = _changes.changed_shards(base, good)
        new = entry
        if changed:
            todo = good[good["shard"].isin(changed)]
            new = self._write_features(name, None, todo, base, changed, entry)
        left = len(base) - len(good) + len(mine) - len(stays)
        new = new | {"rows": len(good), "wanted": entry["wanted"] - left} | _changes.outcomes_of(stays)
        counts = (
            dict.fromkeys(_changes.COUNTED, 0)
            | {"unchanged": len(good) + len(stays), "removed": left}
            | _changes.outcomes_of(stays)
        )
        return new, counts, stays

    def _write_features(
        self,
        name: str,
        wanted: FeatureSpec | None,
        todo: pd.DataFrame,
        base: pd.DataFrame,
        shards: Sequence[int] | None,
        entry: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """Replace some shards (None: all), a group at a time, so that memory does not grow with the archive."""
        path = entry["path"] if entry else f"features/{self.dataset}/{name}"
        fingerprint = wanted.fingerprint if wanted else _there(entry)["fingerprint"]
        names = [kept(c["name"]) for c in wanted.columns] if wanted else kept_columns(self.store, _there(entry))
        texts = list(wanted.texts if wanted else _there(entry).get("texts", ()))
        version = entry["version"] if entry and shards is not None else None
        found = self._statistics_before(name, entry, names) if shards is not None else {}
        every = np.unique(todo["shard"]) if shards is None else np.array(shards)
        size = max(GROUP_BYTES // (4 * len(names) * SHARD), 1)
        for group in np.array_split(every, max(-(-len(every) // size), 1)):
            part = todo[np.isin(todo["shard"], group)]
            values = self._values(name, fingerprint, part, base, entry, names, texts)
            whole = shards is None and version is None
            version = self.store.replace(path, values, version, None if whole else group.tolist())
            found = {s: m for s, m in found.items() if s not in group} | _statistics.shard_statistics(values, names)
        self._statistics[name] = found
        about = entry or {}
        if wanted:
            about = {
                "extractor_version": wanted.version,
                "parameters": dict(wanted.parameters),
                "weights": dict(wanted.weights),
            }
            about |= ({"reads": wanted.reads} if wanted.reads else {}) | ({"texts": texts} if texts else {})
        return about | {"path": path, "version": version, "fingerprint": fingerprint}

    def _statistics_before(
        self, name: str, entry: dict[str, Any] | None, names: Sequence[str]
    ) -> _statistics.ShardStatistics:
        table = read_or_none(self.store, self._table("moments"))
        found = _statistics.from_table(table, name) if table is not None else {}
        # Older stores have none, nor have others after an erasure.
        return found or _statistics.table_statistics(self.store, _there(entry), names)

    def _values(
        self,
        name: str,
        fingerprint: str,
        todo: pd.DataFrame,
        base: pd.DataFrame,
        entry: dict[str, Any] | None,
        names: Sequence[str],
        texts: Sequence[str],
    ) -> pa.Table:
        """The rows of ``todo`` with their values, from the last snapshot or from what was kept since."""
        contents = pc.unique(strings(todo["content"]))
        sources = []
        needed = base[is_in(base["content"], todo["content"])]
        needed = needed[~needed["content"].duplicated()]
        if len(needed):
            shards = pa.array(needed["shard"].unique())
            is_needed = pc.field("shard").isin(shards) & pc.field("content").isin(contents)
            sources.append(read(self.store, _there(entry), ["content", *names, *texts], is_needed))
        pending = self._pending(name, fingerprint, ["content", *names, *texts], only=contents)
        if pending is not None:
            sources.append(pending)
        if not sources:
            kinds = dict.fromkeys(["content", *texts], pa.string()) | dict.fromkeys(names, pa.float32())
            sources = [pa.schema(list(kinds.items())).empty_table()]
        source = pa.concat_tables(sources).combine_chunks()
        ordered = todo.sort_values("shard", kind="stable")
        take = pa.array(index_in(ordered["content"], source["content"]))
        out = {
            "sample_id": strings(ordered["sample_id"]),
            "content": strings(ordered["content"]),
            "shard": pa.array(ordered["shard"], pa.int32()),
        }
        return pa.table(out | {n: source[n].take(take) for n in (*names, *texts)})

    def _said(
        self, name: str, rows: pd.DataFrame, fingerprint: str, before: pd.DataFrame, pending: pd.DataFrame
    ) -> pd.DataFrame:
        """Outcomes of the rows that have no values."""
        old = before[before["fingerprint"] == fingerprint]
        now = pd.concat([pending[pending["outcome"] != "ok"], old[["content", "outcome", "reason"]]])
        now = now.drop_duplicates("content").set_index("content")
        said = now.reindex(rows["content"])
        if said["outcome"].isna().any():
            raise AffectlakeError(f"{int(said['outcome'].isna().sum())} results of {name} were never kept")
        seen = old.set_index(["sample_id", "content"])["first_seen"]
        at = pd.MultiIndex.from_arrays([rows["sample_id"], rows["content"]])
        first_seen = seen[~seen.index.duplicated()].reindex(at).fillna(pd.Timestamp(datetime.now(UTC)))
        return pd.DataFrame(
            {
                "sample_id": rows["sample_id"].to_numpy(),
                "extractor": name,
                "outcome": said["outcome"].to_numpy(),
                "reason": said["reason"].to_numpy(),
                "uri": rows["uri"].to_numpy(),
                "content": rows["content"].to_numpy(),
                "fingerprint": fingerprint,
                "first_seen": first_seen.to_numpy(),
            }
        )

    # Reading back

    def _table(self, name: str) -> dict[str, Any] | None:
        return self._base.tables.get(name) if self._base else None

    def _keys(self, entry: dict[str, Any] | None) -> pd.DataFrame:
        table = read_or_none(self.store, entry, KEYS)
        if table is None:
            return pd.DataFrame({"sample_id": [], "content": [], "shard": np.array([], np.int32)})
        return table.to_pandas()

    def _describe(
        self, entries: Mapping[str, dict[str, Any]], features: Mapping[str, FeatureSpec]
    ) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        table = read_or_none(self.store, self._table("columns"))
        old = table.to_pandas() if table else _catalog.together([])
        kept = read_or_none(self.store, self._table("moments"))
        parts = []
        for name in entries:
            if name in self._statistics:
                about = features[name].columns if name in features else _catalog.documented(old, name)
                parts.append(_catalog.describe(name, about, self._statistics[name]))
                continue
            parts.append(old[old["extractor"] == name])
            if kept is not None:
                self._statistics[name] = _statistics.from_table(kept, name)
        return _catalog.together(parts), old if table else None

    def _write_small(self, name: str, table: pa.Table) -> dict[str, Any]:
        entry = self._table(name)
        old = read_or_none(self.store, entry)
        if old is not None and old.schema.equals(table.schema) and old.equals(table):
            return _there(entry)
        path = entry["path"] if entry else f"tables/{self.dataset}/{name}"
        if entry and self.store.partitioned(path) != (PARTITION in table.schema.names):
            # An earlier version took a label for a partition: what has one cannot lose it.
            path = f"{path.split('~')[0]}~{uuid.uuid4().hex[:8]}"
        return {"path": path, "version": self.store.replace(path, table, None)}

    # Pending results

    def _pending_path(self, extractor: str, fingerprint: str) -> str:
        return f"pending/{self.dataset}/{extractor}/{fingerprint[:32]}"

    def _pending(
        self, extractor: str, fingerprint: str, columns: list[str], only: pa.Array | None = None
    ) -> pa.Table | None:
        table = self.store.open_or_none(self._pending_path(extractor, fingerprint))
        if table is None:
            return None
        chosen = None if only is None else pc.field("content").isin(only) & (pc.field("outcome") == "ok")
        return table.to_pyarrow_dataset().to_table(columns=columns, filter=chosen)

    def _clear_pending(self, features: Mapping[str, FeatureSpec]) -> None:
        for name in features:
            # Results under older fingerprints go too: nobody will ask for them again.
            self.store.delete(f"pending/{self.dataset}/{name}")


def _there(entry: dict[str, Any] | None) -> dict[str, Any]:
    """The entry of a table that the last snapshot is known to have."""
    assert entry is not None
    return entry
