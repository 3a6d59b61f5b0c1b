"""Writes one snapshot of one dataset: keeps results as they come, publishes them all at once."""

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from affectlake.data import spill
from affectlake.data.samples import without
from affectlake.data.store import (
    _assemble,
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
from affectlake.data.store._arrow import to_arrow
from affectlake.data.store._assemble import Assemblers, Job, Layout
from affectlake.data.store._changes import PENDING
from affectlake.data.store._difference import Difference
from affectlake.data.store._feature_spec import FeatureSpec, source_of
from affectlake.data.store._load import kept_columns
from affectlake.data.store._pending import Pending
from affectlake.data.store._place import HeldFile, Place
from affectlake.data.store._read import (
    THREADS,
    StoredFile,
    files_by_shard,
    in_turn,
    keys_by_shard,
    read,
    read_on_disk,
    read_or_none,
    read_parts,
)
from affectlake.data.store._shards import SHARD, Dealt
from affectlake.data.store._snapshot import (
    Counts,
    FeatureTable,
    Snapshot,
    TableRef,
    computed_of,
    table_of,
)
from affectlake.data.store._snapshots import Log
from affectlake.data.store._spelling import kept, kept_label
from affectlake.data.store._table_store import PARTITION, CommitConflict, TableStore
from affectlake.data.windows import keys_of

GROUP_BYTES = 2**25
"""Values that a thread puts together and writes at a time, in whole shards: what it may take of memory, some copies."""

_logger = logging.getLogger("affectlake.store")


Known = TypeVar("Known")
_Table = tuple[FeatureTable, Counts, pd.DataFrame]
"""A feature table, its counts and its outcomes."""


class Writer:
    """A refresh of one dataset in progress; as a context manager it is the only one on this machine."""

    def __init__(self, store: TableStore, dataset: str):
        self.store, self.dataset = store, dataset
        self._pending = Pending(store, dataset)
        self._lock: Any = None
        self._known_keys: dict[tuple[str, int], pd.DataFrame] = {}
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
            self._pending.collect()
        _view.publish(self.store)  # a crash may have come between a snapshot and its view
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._pending.flush()
        finally:
            if self._lock is not None:
                self._lock.close()

    def file_index(self) -> pd.DataFrame:
        """Size, modification time and sha256 of every file as of the last snapshot; see `features.scan.scan`."""
        entry = self._table("stats")
        return pd.DataFrame() if entry is None else read_on_disk(self.store, entry)

    def known(self, extractor: str, fingerprint: str) -> pd.DataFrame:
        """Contents already computed under a fingerprint, published or not.

        Returns
        -------
        DataFrame [columns=(content, outcome)]
            Equal contents of several samples may be there as often, and a failure beside a later success.
        """
        self._pending.flush()
        parts = []
        entry = self._feature_table(extractor)
        if entry and entry.fingerprint == fingerprint:
            parts.append(self._keys(entry)[["content"]].assign(outcome=_changes.all_ok(len(self._keys(entry)))))
        outcomes = self._outcomes
        parts.append(outcomes[(outcomes["extractor"] == extractor) & (outcomes["fingerprint"] == fingerprint)])
        pending = self._pending.read(extractor, fingerprint, ["content", "outcome"])
        if pending is not None:
            parts.append(pending.to_pandas())
        found = [p[["content", "outcome"]].astype({"outcome": _changes.OUTCOME}) for p in parts if len(p)]
        return pd.concat(found or [_changes.NOTHING[["content"]].assign(outcome="")], ignore_index=True)

    def words(self, extractor: str, columns: Sequence[str], fingerprint: str | None = None) -> pd.DataFrame:
        """What an extractor gives besides its values [columns=(content, *columns)], published or not, once per content;
        ``columns`` are of its ``texts``, the fingerprint by default that of the last snapshot's table.
        """
        self._pending.flush()
        entry = self._feature_table(extractor)
        fingerprint = fingerprint or (entry.fingerprint if entry else None)
        names = ["content", *columns]
        parts = [pa.schema([(n, pa.string()) for n in names]).empty_table()]
        if entry and entry.fingerprint == fingerprint:
            parts.append(read(self.store, entry, names))
        if fingerprint and (pending := self._pending.read(extractor, fingerprint, [*names, "outcome"])) is not None:
            parts.append(pending.filter(pc.equal(pending["outcome"], "ok")).select(names))
        return pa.concat_tables(parts).to_pandas().drop_duplicates("content", ignore_index=True)

    def check(self, samples: pd.DataFrame) -> None:
        """Find what cannot be kept before anything is computed for it; raises UsageError with the column's name."""
        for part in spill.parts(samples):
            to_arrow(part.rename(columns=kept_label))

    def keep(self, extractor: str, fingerprint: str, results: pa.Table) -> None:
        """Make results durable, so that a crash before `publish` costs at most the last few seconds' work.

        Parameters
        ----------
        results : pa.Table
            Columns content, outcome ("ok", "not_applicable", "failed"), reason, then the extractor's own.
        """
        self._pending.keep(extractor, fingerprint, results)

    def place(self) -> AbstractContextManager[Place]:
        """Where others, on other machines too, may write results for `keep_file` while the context lasts."""
        return self._pending.place()

    def keep_file(self, held: HeldFile) -> None:
        """The same of results that somebody else wrote; see `Place.keep`."""
        self._pending.keep_file(held)

    def learn(self, learnt: Mapping[str, str]) -> None:
        """Make durable, with what is kept, which sha256 objects elsewhere have, by what stands for them."""
        self._pending.learn(learnt)

    def learnt(self) -> dict[str, str]:
        """What `learn` was told since the last snapshot, by others too that did not get to publish."""
        return self._pending.learnt()

    def publish(
        self,
        samples: pd.DataFrame,
        features: Mapping[str, FeatureSpec],
        file_index: pd.DataFrame | None,
        author: str,
        code_version: str = "",
        gate: Literal["warn", "fail"] = "warn",
        by: Assemblers | None = None,
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
        by : Assemblers, optional
            Who writes the shards of tables; what they leave is done by threads of this process.

        Raises
        ------
        AffectlakeError
            A wanted result was never kept.
        """
        self._pending.flush()
        self._by = by or Assemblers(lambda job: None, THREADS)
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
            self._pending.clear(features)
            self._read_log()
            _view.publish(self.store)
        return done

    def erased(self, samples: pd.DataFrame, file_index: pd.DataFrame | None = None) -> set[str]:
        """Ids of samples that were erased and may not come back, whatever they are called now."""
        buried = _tombstones.traces(self.store, self.dataset)
        return set() if buried is None else _tombstones.erased(buried, samples, file_index)

    def must_know(self) -> bool:
        """Whether what media are has to be known before anything is done with them: somebody was erased, or texts by
        machine are known of what was heard.
        """
        buried = _tombstones.traces(self.store, self.dataset) is not None
        return buried or any(t.reads == "speech" for t in (self._base.features.values() if self._base else ()))

    def _without_erased(
        self, samples: pd.DataFrame, features: Mapping[str, FeatureSpec], file_index: pd.DataFrame | None
    ) -> tuple[pd.DataFrame, Mapping[str, FeatureSpec]]:
        """Leave out whoever was erased, and their names in other people's rows."""
        buried = _tombstones.traces(self.store, self.dataset)
        if buried is None:
            return samples, features
        gone = _tombstones.erased(buried, samples, file_index)
        if gone:
            features = {n: replace(f, rows=without(f.rows, gone)) for n, f in features.items()}
            samples = without(samples, gone)
        went = Counter[str]()

        def unnamed(part: pd.DataFrame) -> pd.DataFrame:
            clean, number = _attributes.without_in_samples(part, buried, buried.identity)
            went.update(number)
            return clean

        samples = spill.spilled(map(unnamed, spill.parts(samples)))
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
        news = self._labels_lost(samples)
        tables: dict[str, TableRef] = {"samples": self._write_samples(samples, shards.shards)}
        outcomes, counts = [], {}
        before_outcomes = self._outcomes
        before = self._base.computed if self._base else {}
        for name in sorted({*before, *features}):
            wanted = features.get(name)
            if wanted is None:
                result = self._carried(name, shards, before_outcomes)
            elif wanted.rows.empty and name not in before:
                continue
            else:
                result = self._assembled(name, wanted, shards, before_outcomes)
            tables[table_of(name)], counts[name], mine = result
            outcomes.append(mine)
        tables["outcomes"] = self._write_small("outcomes", _changes.outcome_table(outcomes))
        if file_index is not None:
            tables["stats"] = self._write_large("stats", lambda: map(to_arrow, spill.parts(file_index)))
        elif (index := self._table("stats")) is not None:
            tables["stats"] = index
        entries = computed_of(tables)
        columns, old = self._describe(entries, features)
        tables["columns"] = self._write_small("columns", to_arrow(columns))
        tables["moments"] = self._write_small("moments", _statistics.to_table(self._statistics))
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

    def _shards(self, samples: pd.DataFrame) -> Dealt:
        entry, before = self._table("samples"), None
        if entry is not None:
            before = read_on_disk(self.store, entry, ["sample_id", "_shard"]).set_index("sample_id")["_shard"]
        return Dealt(samples["sample_id"], before)

    def _labels_lost(self, samples: pd.DataFrame) -> list[str]:
        """Labels are renamed and dropped on purpose as well: said, and no reason to hold the values back."""
        entry = self._table("samples")
        return [] if entry is None else _gate.labels(read_parts(self.store, entry), samples)

    def _write_samples(self, samples: pd.DataFrame, shards: np.ndarray) -> TableRef:
        def parts() -> Iterator[pa.Table]:
            for i, part in enumerate(spill.parts(samples)):
                at = np.arange(i * spill.ROWS, i * spill.ROWS + len(part))
                yield to_arrow(part.rename(columns=kept_label).assign(_position=at, _shard=shards[at]))

        return self._write_large("samples", parts)

    # Feature tables

    def _assembled(self, name: str, wanted: FeatureSpec, shards: Dealt, outcomes: pd.DataFrame) -> _Table:
        """Entry, counts and outcomes of a table that is brought up to date."""
        known = self._feature_table(name)
        same = known if known is not None and known.fingerprint == wanted.fingerprint else None
        lacking_before = outcomes[outcomes["extractor"] == name]
        pending, files = self._pending.outcomes(name, wanted.fingerprint)
        source = source_of(name, wanted, same)
        rows = wanted.rows.reset_index(drop=True)
        found = Difference(rows, shards.of(rows["sample_id"]), self._keys(known), lacking_before)
        if same and pending.empty and found.unchanged:
            counts = Counts(0, 0, len(rows), 0, *_changes.outcomes_of(lacking_before))
            return replace(same, source=source), counts, lacking_before
        found.find(pending[pending["outcome"] == "ok"], valid=same is not None)
        lacking = _changes.without_values(name, found.lacking(), wanted.fingerprint, lacking_before, pending)
        table = same
        if not same or found.changed:
            every = not same or not len(found.base)
            table = wanted.table(self._write_features(name, wanted, found, files, every, known))
        failed, not_applicable = _changes.outcomes_of(lacking)
        new = replace(
            existing(table),
            source=source,
            rows=int(found.good.sum()),
            wanted=len(rows),
            columns=len(wanted.columns),
            failed=failed,
            not_applicable=not_applicable,
        )
        return new, found.counts(same is not None, failed, not_applicable), lacking

    def _carried(self, name: str, shards: Dealt, outcomes: pd.DataFrame) -> _Table:
        """The same of a table that nobody refreshes now: it only loses the samples that left."""
        old = existing(self._feature_table(name))
        base = self._keys(old)
        lacking = outcomes[outcomes["extractor"] == name]
        stays = lacking[shards.of(lacking["sample_id"]) >= 0]
        here = spill.spilled(part[shards.of(part["sample_id"]) >= 0] for part in spill.parts(base))
        found = Difference(here, shards.of(here["sample_id"]), base, _changes.NOTHING)
        found.find(_changes.NOTHING, valid=True)
        at = self._write_features(name, None, found, [], False, old) if found.changed else TableRef(*old.key)
        left = found.removed + len(lacking) - len(stays)
        failed, not_applicable = _changes.outcomes_of(stays)
        new = replace(
            old,
            path=at.path,
            version=at.version,
            rows=len(here),
            wanted=old.wanted - left,
            failed=failed,
            not_applicable=not_applicable,
        )
        return new, Counts(0, 0, len(here) + len(stays), left, failed, not_applicable), stays

    def _write_features(
        self,
        name: str,
        wanted: FeatureSpec | None,
        difference: Difference,
        pending: Sequence[StoredFile],
        every: bool,
        old: FeatureTable | None,
    ) -> TableRef:
        """Replace the shards that changed (or all), a group at a time: memory does not grow with the archive."""
        path = old.path if old else f"features/{self.dataset}/{name}"
        names = [kept(c["name"]) for c in wanted.columns] if wanted else kept_columns(self.store, existing(old))
        layout = Layout(tuple(names), tuple(wanted.texts if wanted else existing(old).texts), keys_of(name))
        before = files_by_shard(self.store, old) if old else {}
        shards = np.array(difference.filled if every else difference.changed)
        size = max(GROUP_BYTES // (4 * len(names) * SHARD), 1)

        def jobs() -> Iterator[Job]:
            for group in np.array_split(shards, max(-(-len(shards) // size), 1)):
                rows = difference.rows_of(group.tolist())
                held = rows.loc[rows["source"] == PENDING, "file"].unique()
                needed = set(rows["source"].unique()) - {PENDING}
                yield Job(path, layout, rows, {s: before[s] for s in needed}, [pending[i] for i in held])

        here = partial(_assemble.write, self.store)
        done = list(in_turn(lambda job: self._by.write(job) or here(job), jobs(), self._by.number))
        files = [file for one in done for file in one.files]
        schema = next((one.schema for one in done if one.schema), None) or layout.schema()
        replaced = None if every else shards.tolist()
        version = self.store.commit(path, files, schema, old.version if old else None, replaced)
        found = {} if every else self._statistics_before(name, old, names)
        found = {s: m for s, m in found.items() if s not in set(shards.tolist())}
        self._statistics[name] = found | {s: m for one in done for s, m in one.statistics.items()}
        return TableRef(path, version)

    def _statistics_before(
        self, name: str, old: FeatureTable | None, names: Sequence[str]
    ) -> _statistics.ShardStatistics:
        table = read_or_none(self.store, self._table("moments"))
        found = _statistics.from_table(table, name) if table is not None else {}
        # Older stores have none, nor have others after an erasure.
        return found or _statistics.table_statistics(self.store, existing(old), names)

    # Reading back

    def _table(self, name: str) -> TableRef | None:
        return self._base.tables.get(name) if self._base else None

    def _feature_table(self, extractor: str) -> FeatureTable | None:
        return self._base.computed.get(extractor) if self._base else None

    def _keys(self, entry: FeatureTable | None) -> pd.DataFrame:
        """Ids, contents and shards of a table, shard by shard."""
        if entry is None:
            return _changes.NOTHING
        if entry.key not in self._known_keys:
            self._known_keys[entry.key] = spill.spilled(keys_by_shard(self.store, entry))
        return self._known_keys[entry.key]

    def _describe(
        self, entries: Mapping[str, FeatureTable], features: Mapping[str, FeatureSpec]
    ) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        table = read_or_none(self.store, self._table("columns"))
        old = table.to_pandas() if table else _catalog.together([])
        kept = read_or_none(self.store, self._table("moments"))
        parts = []
        for name in entries:
            if name in self._statistics:
                documented = features[name].columns if name in features else _catalog.documented(old, name)
                parts.append(_catalog.describe(name, documented, self._statistics[name]))
                continue
            parts.append(old[old["extractor"] == name])
            if kept is not None:
                self._statistics[name] = _statistics.from_table(kept, name)
        return _catalog.together(parts), old if table else None

    def _write_small(self, name: str, table: pa.Table) -> TableRef:
        entry = self._table(name)
        old = read_or_none(self.store, entry)
        if old is not None and old.schema.equals(table.schema) and old.equals(table):
            return existing(entry)
        return self._replaced(name, iter([table]))

    def _write_large(self, name: str, parts: Callable[[], Iterable[pa.Table]]) -> TableRef:
        """The same of a table that comes in parts, each time that it is asked for."""
        entry = self._table(name)
        if entry is not None and _changes.equal_parts(read_parts(self.store, entry), parts()):
            return entry
        return self._replaced(name, iter(parts()))

    def _replaced(self, name: str, parts: Iterator[pa.Table]) -> TableRef:
        entry = self._table(name)
        path = entry.path if entry else f"tables/{self.dataset}/{name}"
        first = next(parts)
        if entry and self.store.partitioned(path) != (PARTITION in first.schema.names):
            # An earlier version took a label for a partition: what has one cannot lose it.
            path = f"{path.split('~')[0]}~{uuid.uuid4().hex[:8]}"
        return TableRef(path, self.store.replace(path, first, None, more=parts))


def existing(value: Known | None) -> Known:
    """What the last snapshot is known to have."""
    assert value is not None
    return value
