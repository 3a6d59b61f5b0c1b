"""The log of snapshots: the one place where a refresh becomes visible, all of it at once."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import count
from typing import Any, TypeVar, cast

import pandas as pd
import pyarrow as pa

from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.data.store import _checksums
from affectlake.data.store._snapshot import Counts, FeatureTable, Snapshot, TableRef, extractor_of
from affectlake.data.store._table_store import CommitConflict, TableStore, wait

T = TypeVar("T")

LOG, TAGS = "snapshots", "tags"
PIECES = 32
"""Files that the log may consist of, and of a long one its rows divided by this: so many rows are written for a new
one, of a log of any length."""

_ATTEMPTS = 100
_ID = re.compile(r"s\d{6,}")


class Log:
    """Snapshots of a store in order, oldest first, as of the moment that it was read.

    Those that were tidied away are in ``forgotten``, without tables: what was readable at a time is not to be mistaken
    for something older.
    """

    def __init__(self, store: TableStore):
        self.store = store
        table = _checksums.compared(store, LOG, grown=True)
        self.version = table.version() if table else None
        self._pieces = len(table.paths()) if table else 0
        every = sorted(table.to_pyarrow_table().to_pylist(), key=_number) if table else []
        self.rows = [_parse(r) for r in every if r["tables"] != _NOTHING]
        self.forgotten = [_parse(r) for r in every if r["tables"] == _NOTHING]

    def head(self, dataset: str, upto: int | None = None) -> Snapshot | None:
        """Newest published snapshot of a dataset (not after number ``upto``)."""
        published = (s for s in reversed(self.rows) if s.dataset == dataset and s.published)
        return next((s for s in published if upto is None or s.number <= upto), None)

    def state(self, as_of: object = None) -> dict[str, Snapshot]:
        """What a reader sees: by dataset its newest published snapshot as of a snapshot id, time or tag.

        Datasets whose snapshot of then was tidied away are not in it; see `gone`.
        """
        upto, named = self.resolve(as_of)
        heads = {d: self.head(d, upto) for d in sorted({s.dataset for s in self.rows})}
        state = {d: s for d, s in heads.items() if s is not None and self.gone(d, upto) is None}
        if named is not None:
            state[named.dataset] = named  # also when the gate held it: that is how it is inspected
        return dict(sorted(state.items()))

    def gone(self, dataset: str, upto: int | None) -> Snapshot | None:
        """What readers of a dataset saw as of number ``upto``, where that was tidied away since."""
        if upto is None:
            return None
        seen = [s for s in (*self.rows, *self.forgotten) if s.dataset == dataset and s.published and s.number <= upto]
        last = max(seen, key=lambda s: s.number, default=None)
        return last if last is not None and not last.tables else None

    def of(self, dataset: str, as_of: object = None) -> Snapshot:
        """The snapshot of a dataset that a reader sees.

        Raises
        ------
        UsageError
            No such dataset, none of it as of then, or it was tidied away.
        """
        state = self.state(as_of)
        if dataset not in state:
            gone = self.gone(dataset, self.resolve(as_of)[0])
            if gone is not None:
                raise self._tidied(gone, as_of)
            first = next((s for s in self.rows if s.dataset == dataset and s.published), None)
            if first is not None:
                raise UsageError(f"no snapshot of {dataset!r} at {as_of}: the first is {first.id} of {_shown(first)}")
            raise UnknownName("dataset", dataset, state)
        return state[dataset]

    def distinct(self, dataset: str) -> None:
        """Refuse a new dataset that only case tells from another; raises UsageError."""
        names = {s.dataset for s in (*self.rows, *self.forgotten)}
        twin = next((n for n in sorted(names) if n.lower() == dataset.lower()), dataset)
        if dataset not in names and twin != dataset:
            raise UsageError(
                f"dataset {dataset!r} would differ from {twin!r} in case alone, which neither SQL nor every file "
                "system tells apart: another name, please"
            )

    def newest(self, as_of: object = None) -> Snapshot:
        """The last snapshot that was published as of then, or the one that is named; raises as `of` does."""
        upto, named = self.resolve(as_of)
        if named is not None:
            return named
        every = [s for s in (*self.rows, *self.forgotten) if s.published and (upto is None or s.number <= upto)]
        last = max(every, key=lambda s: s.number)
        return self.of(last.dataset, as_of)

    def _tidied(self, gone: Snapshot, as_of: object) -> UsageError:
        left = next((s for s in self.rows if s.dataset == gone.dataset and s.number > gone.number), None)
        after = f"; the next that is left is {left.id} of {_shown(left)}" if left else ""
        return UsageError(f"what {gone.dataset!r} was at {as_of} ({gone.id} of {_shown(gone)}) was tidied away{after}")

    def resolve(self, as_of: object) -> tuple[int | None, Snapshot | None]:
        """Number up to which snapshots count, and the snapshot itself where it was named.

        Raises
        ------
        UsageError
            Neither a snapshot, nor a tag, nor a time, or a time before the first snapshot.
        """
        if as_of is None:
            return None, None
        if isinstance(as_of, Snapshot):
            as_of = as_of.id
        by_id = {s.id: s for s in self.rows}
        name = self.tags().get(as_of, as_of) if isinstance(as_of, str) else as_of
        if isinstance(name, str) and name in by_id:
            return by_id[name].number, by_id[name]
        lost = next((s for s in self.forgotten if s.id == name), None)
        if lost is not None:
            raise self._tidied(lost, as_of)
        if isinstance(name, str) and _ID.fullmatch(name):
            raise UnknownName("snapshot", name, by_id)
        try:
            moment = pd.Timestamp(cast("str | datetime", name))
        except (ValueError, TypeError):
            raise UnknownName("snapshot, tag or time", as_of, [*self.tags(), *by_id]) from None
        moment = moment.tz_localize(UTC) if moment.tz is None else moment.tz_convert(UTC)
        every = [s for s in (*self.rows, *self.forgotten) if s.published]
        before = [s.number for s in every if s.time <= moment]
        if not before:
            first = min(every, key=lambda s: s.number, default=None)
            known = f"the first is of {_shown(first)}" if first else "none was ever published"
            raise UsageError(f"no snapshot at {as_of}: {known}")
        return max(before), None

    def tags(self) -> dict[str, str]:
        """Tag to snapshot id; of a tag set twice the later one."""
        table = _checksums.compared(self.store, TAGS)
        if table is None:
            return {}
        frame = table.to_pandas().sort_values("time", kind="stable")
        return dict(zip(frame["tag"], frame["snapshot"], strict=True))

    def commit(self, draft: Snapshot, base: Snapshot | None) -> Snapshot:
        """Publish ``draft`` under the next id, provided that ``base`` is still its dataset's head.

        Raises
        ------
        CommitConflict
            It is not: another refresh of the same dataset was quicker.
        """
        log = self
        for attempt in range(_ATTEMPTS):
            log.distinct(draft.dataset)
            head = log.head(draft.dataset)
            if (head and head.id) != (base and base.id):
                raise CommitConflict(draft.dataset)
            last = max((*log.rows, *log.forgotten), key=lambda s: s.number, default=None)
            number = last.number + 1 if last else 1
            now = datetime.now(UTC)
            if last is not None:
                now = max(now, last.time + timedelta(microseconds=1))  # clocks jump back
            done = replace(draft, id=f"s{number:06d}", time=now)
            try:
                log._add(done)
                return done
            except CommitConflict:
                wait(attempt)
                log = Log(self.store)  # another dataset's snapshot came in between
        raise AffectlakeError("could not publish: too many others write to this store")

    def _add(self, snapshot: Snapshot) -> None:
        """Put one more snapshot behind the log as it was read; raises CommitConflict as `rewrite` does."""
        # A night adds a row, whatever there were before; what has come to lie in many pieces is put together.
        if self._pieces < max(PIECES, (len(self.rows) + len(self.forgotten)) // PIECES):
            self.store.extend(LOG, _rows([snapshot]), self.version)
        else:
            self.rewrite([*self.rows, snapshot])

    def rewrite(self, rows: list[Snapshot]) -> None:
        """Replace the whole log as it was read; raises CommitConflict where another commit came in between.

        Published snapshots that are no more among ``rows`` are remembered as forgotten.
        """
        stay = {s.id for s in rows}
        lost = [_hollow(s) for s in self.rows if s.id not in stay] + self.forgotten
        every = sorted([*rows, *lost], key=lambda s: s.number)
        self.store.swap(LOG, _rows(every), self.version)


def edit(store: TableStore, change: Callable[[list[Snapshot]], list[Snapshot]]) -> None:
    """Replace the log by ``change`` of it, whoever commits in between."""
    for attempt in count():
        log = Log(store)
        try:
            return log.rewrite(change(log.rows))
        except CommitConflict:
            wait(attempt)


def _hollow(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, counts={}, problems=[], tables={})


def _shown(snapshot: Snapshot) -> str:
    return f"{snapshot.time:%Y-%m-%d %H:%M:%S} UTC"


_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("dataset", pa.string()),
        ("author", pa.string()),
        ("code_version", pa.string()),
        ("published", pa.bool_()),
        ("samples", pa.int64()),
        ("counts", pa.string()),
        ("problems", pa.string()),
        ("tables", pa.string()),
    ]
)
_NESTED = ("counts", "problems", "tables")
_NOTHING = "{}"


def _rows(snapshots: Iterable[Snapshot]) -> pa.Table:
    return pa.Table.from_pylist([_row(s) for s in snapshots], _SCHEMA)


def _row(snapshot: Snapshot) -> dict[str, object]:
    row = vars(snapshot) | {
        "counts": {name: asdict(counts) for name, counts in snapshot.counts.items()},
        "tables": {name: table.to_json() for name, table in snapshot.tables.items()},
    }
    return row | {k: json.dumps(row[k]) for k in _NESTED}


def _parse(row: Mapping[str, Any]) -> Snapshot:
    said = {
        "counts": Decoded(row["counts"], _counts),
        "problems": json.loads(row["problems"]),
        "tables": Decoded(row["tables"], _table),
    }
    return Snapshot(**dict(row) | said)


def _number(row: Mapping[str, Any]) -> int:
    return int(row["id"][1:])


class Decoded(MutableMapping[str, T]):
    """A JSON object that is decoded when it is asked for: of a long log hardly any is."""

    def __init__(self, text: str, decode: Callable[[str, Any], T]):
        self._text, self._decode = text, decode

    @cached_property
    def _known(self) -> dict[str, T]:
        return {name: self._decode(name, said) for name, said in json.loads(self._text).items()}

    def __getitem__(self, name: str) -> T:
        return self._known[name]

    def __setitem__(self, name: str, value: T) -> None:
        self._known[name] = value

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return repr(self._known)


def _counts(_: str, said: Mapping[str, int]) -> Counts:
    return Counts(**said)


def _table(name: str, said: Mapping[str, Any]) -> TableRef:
    return FeatureTable.of_json(said) if extractor_of(name) else TableRef(said["path"], said["version"])
