"""The log of snapshots: the one place where a refresh becomes visible, all of it at once."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa

from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.data.store._place import Moved, Place

LOG, TAGS = "snapshots", "tags"
FEATURES = "features."
_ID = re.compile(r"s\d{6,}")


@dataclass(frozen=True)
class Snapshot:
    """One published (or, by the quality gate, held) state of one dataset.

    Attributes
    ----------
    id : str
        ``s000001``, counted through all datasets of the store: order never depends on a clock.
    time : datetime
        UTC; never before that of the snapshot before.
    dataset, author, code_version : str
    published : bool
        Whether readers see it unless they ask for it by its id.
    samples : int
    counts : dict of extractor to dict
        Rows new, recomputed, unchanged, removed, and outcomes failed, not_applicable.
    problems : list of str
        What the quality gate found.
    tables : dict of table to dict
        ``path`` and Delta ``version`` of each table; feature tables (``features.<extractor>``) also fingerprint,
        extractor version, parameters and numbers of rows and columns.
    """

    id: str
    time: datetime
    dataset: str
    author: str
    code_version: str
    published: bool
    samples: int
    counts: dict[str, dict[str, int]]
    problems: list[str]
    tables: dict[str, dict[str, Any]]

    @property
    def number(self) -> int:
        return int(self.id[1:])

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        """Entries of the feature tables by extractor, in alphabetical order."""
        return features_of(self.tables)


def features_of(tables: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Entries of the feature tables by extractor, in alphabetical order."""
    return {t.removeprefix(FEATURES): tables[t] for t in sorted(tables) if t.startswith(FEATURES)}


class Log:
    """Snapshots of a store in order, oldest first, as of the moment that it was read."""

    def __init__(self, place: Place):
        self.place = place
        table = place.open(LOG)
        self.version = table.version() if table else None
        self.rows = [_parse(r) for r in table.to_pyarrow_table().to_pylist()] if table else []
        self.rows.sort(key=lambda s: s.number)

    def head(self, dataset: str, upto: int | None = None) -> Snapshot | None:
        """Newest published snapshot of a dataset (not after number ``upto``)."""
        mine = (s for s in reversed(self.rows) if s.dataset == dataset and s.published)
        return next((s for s in mine if upto is None or s.number <= upto), None)

    def state(self, as_of: object = None) -> dict[str, Snapshot]:
        """What a reader sees: by dataset its newest published snapshot as of a snapshot id, time or tag."""
        upto, named = self.resolve(as_of)
        state = {d: self.head(d, upto) for d in sorted({s.dataset for s in self.rows})}
        if named is not None:
            state[named.dataset] = named  # also when the gate held it: that is how it is inspected
        return {d: s for d, s in state.items() if s is not None}

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
        if isinstance(name, str) and _ID.fullmatch(name):
            raise UnknownName("snapshot", name, by_id)
        try:
            moment = pd.Timestamp(name)
        except (ValueError, TypeError):
            raise UnknownName("snapshot, tag or time", as_of, [*self.tags(), *by_id]) from None
        moment = moment.tz_localize(UTC) if moment.tz is None else moment.tz_convert(UTC)
        before = [s for s in self.rows if s.published and s.time <= moment]
        if not before:
            raise UsageError(f"no snapshot at {as_of}: the first is of {self.rows[0].time:%Y-%m-%d %H:%M:%S} UTC"
                             if self.rows else f"no snapshot at {as_of}: none was ever published")  # fmt: skip
        return before[-1].number, None

    def tags(self) -> dict[str, str]:
        """Tag to snapshot id; of a tag set twice the later one."""
        table = self.place.open(TAGS)
        if table is None:
            return {}
        frame = table.to_pandas().sort_values("time", kind="stable")
        return dict(zip(frame["tag"], frame["snapshot"], strict=True))

    def commit(self, draft: Snapshot, base: Snapshot | None) -> Snapshot:
        """Publish ``draft`` under the next id, provided that ``base`` is still its dataset's head.

        Raises
        ------
        Moved
            It is not: another refresh of the same dataset was quicker.
        """
        log = self
        for _ in range(50):
            head = log.head(draft.dataset)
            if (head and head.id) != (base and base.id):
                raise Moved(draft.dataset)
            last = log.rows[-1] if log.rows else None
            number = last.number + 1 if last else 1
            now = datetime.now(UTC)
            if last is not None:
                now = max(now, last.time + timedelta(microseconds=1))  # clocks jump back
            done = replace(draft, id=f"s{number:06d}", time=now)
            try:
                log.rewrite([*log.rows, done])
                return done
            except Moved:
                log = Log(self.place)  # another dataset's snapshot came in between
        raise AffectlakeError("could not publish: too many others write to this store")

    def rewrite(self, rows: list[Snapshot]) -> None:
        """Replace the whole log as it was read; raises Moved where another commit came in between."""
        self.place.swap(LOG, pa.Table.from_pylist([_row(s) for s in rows], _SCHEMA), self.version)


def edit(place: Place, change: Callable[[list[Snapshot]], list[Snapshot]]) -> None:
    """Replace the log by ``change`` of it, whoever commits in between."""
    while True:
        log = Log(place)
        try:
            return log.rewrite(change(log.rows))
        except Moved:
            continue


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


def _row(snapshot: Snapshot) -> dict[str, Any]:
    row = asdict(snapshot)
    return row | {k: json.dumps(row[k]) for k in _NESTED}


def _parse(row: Mapping[str, Any]) -> Snapshot:
    return Snapshot(**(dict(row) | {k: json.loads(row[k]) for k in _NESTED}))
