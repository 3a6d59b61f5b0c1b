"""Whom an erasure is about, in all versions, and the note by which one that was killed is finished."""

import json
from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa

from affectlake.data.errors import UnknownName
from affectlake.data.samples import CORE, MEDIA
from affectlake.data.store import _checksums, _tombstones
from affectlake.data.store._answers import Left
from affectlake.data.store._names import ErasureTarget, distinctive
from affectlake.data.store._read import read
from affectlake.data.store._snapshot import TableRef
from affectlake.data.store._snapshots import Log
from affectlake.data.store._table_store import TableStore

NOTES = "erasing"
_KEYS = [c for c in CORE if c not in ("dataset", "language", "text_source")]


@dataclass(frozen=True)
class Note:
    """An erasure that has begun: about whom, and what must be in its receipt though its traces go first."""

    target: ErasureTarget
    left: list[Left] = field(default_factory=list)


def begun(store: TableStore, dataset: str) -> Note | None:
    """The erasure of a dataset that did not end yet."""
    table = _checksums.compared(store, f"{NOTES}/{dataset}")
    if table is None:
        return None
    row = table.to_pyarrow_table().to_pylist()[0]
    return Note(ErasureTarget.of_json(json.loads(row["gone"])), json.loads(row.get("left") or "[]"))


def note(store: TableStore, dataset: str, about: Note) -> None:
    """Remember an erasure until `done`."""
    row = {"gone": [json.dumps(about.target.to_json())], "left": [json.dumps(about.left)]}
    store.replace(f"{NOTES}/{dataset}", pa.table(row), None)


def done(store: TableStore, dataset: str) -> None:
    """The erasure has ended."""
    store.delete(f"{NOTES}/{dataset}")


def find(
    store: TableStore, log: Log, dataset: str, speaker: str | None, ids: list[str] | None, unfinished: ErasureTarget
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
    for name in sorted(set(wanted) - set(known) - unfinished.speakers - unfinished.ids):
        raise UnknownName("sample" if speaker is None else "speaker", name, known)
    hit = every["sample_id" if speaker is None else "speaker"].isin(wanted)
    # An id that was someone else's in another version goes as well: it cannot be told apart in records.
    hit = every["sample_id"].isin(every.loc[hit, "sample_id"])
    theirs, others = every[hit], every[~hit]
    uris = {u for m in MEDIA for u in theirs[m].dropna()} - (not_theirs := _uris(others))
    names = {u.rsplit("/", 1)[-1] for u in uris} - {u.rsplit("/", 1)[-1] for u in not_theirs}
    speakers = set(theirs["speaker"].dropna()) - set(others["speaker"].dropna())
    content = _content(store, log, dataset, theirs, others)
    names = {n for n in names if distinctive(n)}
    found = ErasureTarget(
        frozenset(theirs["sample_id"]), frozenset(speakers), frozenset(uris | names), frozenset(content)
    )
    return found | unfinished


def _uris(samples: pd.DataFrame) -> set[str]:
    return {u for m in MEDIA for u in samples[m].dropna()}


def _every(store: TableStore, log: Log, dataset: str) -> pd.DataFrame:
    """Samples of all versions of a dataset."""
    entries = [s.tables["samples"] for s in log.rows if s.dataset == dataset]
    versions = {TableRef(*e.key) for e in entries}
    if not versions:
        raise UnknownName("dataset", dataset, {s.dataset for s in log.rows})
    every = [read(store, e) for e in sorted(versions, key=lambda e: e.key)]
    # Versions of earlier programs have fewer columns.
    return pd.concat([t.select([k for k in _KEYS if k in t.column_names]).to_pandas() for t in every]).drop_duplicates()


def _content(store: TableStore, log: Log, dataset: str, theirs: pd.DataFrame, others: pd.DataFrame) -> set[str]:
    """What only their media are, in any version."""
    entries = [s.tables["stats"] for s in log.rows if s.dataset == dataset and "stats" in s.tables]
    found: set[str] = set()
    for key in sorted({e.key for e in entries}):
        stats = read(store, TableRef(*key)).to_pandas()
        own, foreign = (_tombstones.contents(samples, stats) for samples in (theirs, others))
        found |= (set(own["whole"]) - set(foreign["whole"])) | (set(own["part"]) - set(foreign["part"]))
    return found
