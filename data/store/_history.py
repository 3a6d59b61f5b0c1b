"""What the past of a store is good for: comparing, going back, explaining a value, and cleaning up."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from affectlake.data.errors import UnknownName
from affectlake.data.lookup import differing, distinct
from affectlake.data.store import _load
from affectlake.data.store._answers import Diff, Explanation, TableDiff
from affectlake.data.store._read import read, read_on_disk
from affectlake.data.store._snapshot import Counts, FeatureTable, Snapshot
from affectlake.data.store._snapshots import Log
from affectlake.data.store._spelling import HIDDEN, kept
from affectlake.data.store._table_store import CommitConflict, TableStore, wait


def diff(store: TableStore, a: Snapshot, b: Snapshot) -> Diff:
    """See `Store.diff`."""
    old, new = (f.set_index("sample_id") for f in differing(*(_samples(store, s) for s in (a, b))))
    both = old.index.intersection(new.index)
    features = {}
    for name in sorted({*a.computed, *b.computed}):
        entry = _feature(store, a, b, name)
        if entry:
            features[name] = entry
    return {
        "a": a.id,
        "b": b.id,
        "added": new.index.difference(old.index).tolist(),
        "removed": old.index.difference(new.index).tolist(),
        "changed": both.tolist(),
        "features": features,
    }


def _samples(store: TableStore, s: Snapshot) -> pd.DataFrame:
    return read_on_disk(store, s.tables["samples"]).drop(columns=HIDDEN)


def _contents(store: TableStore, entry: FeatureTable) -> pd.DataFrame:
    """What each sample of a table was computed of."""
    rows = read_on_disk(store, entry, ["sample_id", "content"])
    return distinct(rows, "sample_id") if entry.keys else rows


def _feature(store: TableStore, a: Snapshot, b: Snapshot, name: str) -> TableDiff | None:
    old, new = a.computed.get(name), b.computed.get(name)
    if old is None or new is None:
        return {"status": "added" if old is None else "removed"}
    if old.key == new.key:
        return None
    # All parts of a sample, of a series, have its content.
    before, after = (f.set_index("sample_id") for f in differing(*(_contents(store, e) for e in (old, new))))
    both = before.index.intersection(after.index)
    columns = [set(_load.column_names(store, e)) for e in (old, new)]
    found: TableDiff = {
        "status": "changed",
        "fingerprint": old.fingerprint != new.fingerprint,
        "added": after.index.difference(before.index).tolist(),
        "removed": before.index.difference(after.index).tolist(),
        "changed": both.tolist(),
        "columns_added": sorted(columns[1] - columns[0]),
        "columns_removed": sorted(columns[0] - columns[1]),
    }
    return found if any(v for k, v in found.items() if k != "status") else None


def rollback(store: TableStore, to: Snapshot, author: str) -> Snapshot:
    """Publish an old state again, as a new snapshot; nothing that came in between is lost."""
    counts = {name: Counts(unchanged=table.rows) for name, table in to.features.items()}
    draft = replace(to, author=author, published=True, problems=[f"rolled back to {to.id}"], counts=counts)
    attempt = 0
    while True:
        log = Log(store)
        try:
            return log.commit(draft, log.head(to.dataset))
        except CommitConflict:
            wait(attempt)
            attempt += 1


def explain(store: TableStore, snapshot: Snapshot, sample_id: str, column: str) -> Explanation:
    """See `Store.explain`."""
    tables = {n: e for n, e in snapshot.computed.items() if bool(e.keys) == ("@" in column)}
    names = _load.matching({n: _load.column_names(store, e) for n, e in tables.items()}, [column])
    extractor, columns = next(iter(names.items()))
    if f"{extractor}.{columns[0]}" != column:
        raise UnknownName("column", column, [f"{extractor}.{c}" for c in columns])
    frame = read(store, snapshot.tables["samples"]).to_pandas()
    samples = frame[frame["sample_id"] == sample_id]
    if samples.empty:
        raise UnknownName("sample", sample_id, frame["sample_id"])
    entry = tables[extractor]
    value = kept(columns[0])
    row = read(store, entry, ["content", value, *entry.keys], pc.field("sample_id") == sample_id).to_pylist()
    catalogue = read(store, snapshot.tables["columns"]).to_pandas()
    catalogue = catalogue[(catalogue["extractor"] == extractor) & (catalogue["column"] == columns[0])].iloc[0]
    outcomes = read(store, snapshot.tables["outcomes"]).to_pandas()
    outcomes = outcomes[(outcomes["sample_id"] == sample_id) & (outcomes["extractor"] == extractor)].to_dict("records")
    sample = samples.iloc[0]
    media = {m: sample[m] for m in ("audio", "image", "video", "text") if pd.notna(sample[m])}
    worded = entry.reads in ("text", "dialogue") and pd.notna(sample.get("text_source"))
    segment = {k: float(sample[k]) for k in ("start", "end") if pd.notna(sample[k])}
    if pd.notna(channel := sample.get("channel")):
        segment["channel"] = channel
    explanation: Explanation = {
        "sample_id": sample_id,
        "column": column,
        "value": None if not row or entry.keys else row[0][value],
        "outcome": "ok" if row else outcomes[0]["outcome"] if outcomes else "absent",
        "reason": outcomes[0]["reason"] if outcomes else None,
        "content": row[0]["content"] if row else outcomes[0]["content"] if outcomes else None,
        "source": media | segment,
        "extractor": extractor,
        "extractor_version": entry.extractor_version,
        "parameters": entry.parameters,
        "weights": entry.weights,
        "fingerprint": entry.fingerprint,
        "unit": catalogue["unit"],
        "description": catalogue["description"],
        "definition": catalogue["source"],
        "snapshot": snapshot.id,
        "code_version": snapshot.code_version,
    }
    if entry.keys:
        explanation["parts"] = [{k: r[k] for k in entry.keys} | {"value": r[value]} for r in row]
    if worded:
        explanation["transcript"] = _transcript(store, snapshot, sample_id, sample["text_source"])
    return explanation


def _transcript(store: TableStore, snapshot: Snapshot, sample_id: str, by: str) -> Mapping[str, Any]:
    """Where a text comes from that was written by a machine, as far as the store knows."""
    entry = snapshot.features.get(by)
    if entry is None:
        return {"by": by}
    rows = read(store, entry, None, pc.field("sample_id") == sample_id).drop_columns(["sample_id", "shard"]).to_pylist()
    keys = ("extractor_version", "parameters", "weights", "fingerprint")
    return {"by": by} | {k: getattr(entry, k) for k in keys} | (rows[0] if rows else {})
