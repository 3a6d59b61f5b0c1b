"""What the past of a store is good for: comparing, going back, explaining a value, and cleaning up."""

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from affectlake.data.errors import UnknownName
from affectlake.data.store import _erase, _load
from affectlake.data.store._frames import HIDDEN, read
from affectlake.data.store._place import Moved, Place, wait
from affectlake.data.store._snapshots import Log, Snapshot, edit
from affectlake.data.store._spelling import kept


def diff(place: Place, a: Snapshot, b: Snapshot) -> dict[str, Any]:
    """See `Store.diff`."""
    old, new = (_samples(place, s) for s in (a, b))
    both = old.index.intersection(new.index)
    shared = [c for c in old.columns if c in new.columns]
    same = np.ones(len(both), dtype=bool)
    for c in shared:
        x, y = old.loc[both, c], new.loc[both, c]
        same &= ((x == y) | (x.isna() & y.isna())).to_numpy(dtype=bool, na_value=False)
    features = {}
    for name in sorted({*a.features, *b.features}):
        entry = _feature(place, a, b, name)
        if entry:
            features[name] = entry
    return {
        "a": a.id,
        "b": b.id,
        "added": new.index.difference(old.index).tolist(),
        "removed": old.index.difference(new.index).tolist(),
        "changed": both[~same].tolist(),
        "features": features,
    }


def _samples(place: Place, s: Snapshot) -> pd.DataFrame:
    return read(place, s.tables["samples"]).to_pandas().drop(columns=HIDDEN).set_index("sample_id")


def _feature(place: Place, a: Snapshot, b: Snapshot, name: str) -> dict[str, Any] | None:
    old, new = a.features.get(name), b.features.get(name)
    if old is None or new is None:
        return {"status": "added" if old is None else "removed"}
    if (old["path"], old["version"]) == (new["path"], new["version"]):
        return None
    before, after = (read(place, e, ["sample_id", "content"]).to_pandas().set_index("sample_id") for e in (old, new))
    both = before.index.intersection(after.index)
    columns = [set(_load.column_names(place, e)) for e in (old, new)]
    found = {
        "status": "changed",
        "fingerprint": old["fingerprint"] != new["fingerprint"],
        "added": after.index.difference(before.index).tolist(),
        "removed": before.index.difference(after.index).tolist(),
        "changed": both[(before.loc[both, "content"] != after.loc[both, "content"]).to_numpy()].tolist(),
        "columns_added": sorted(columns[1] - columns[0]),
        "columns_removed": sorted(columns[0] - columns[1]),
    }
    return found if any(v for k, v in found.items() if k != "status") else None


def rollback(place: Place, to: Snapshot, author: str) -> Snapshot:
    """Publish an old state again, as a new snapshot; nothing that came in between is lost."""
    counts = {
        n: {k: 0 for k in next(iter(to.counts.values()), {})} | {"unchanged": e["rows"]} for n, e in to.features.items()
    }
    draft = replace(to, author=author, published=True, problems=[f"rolled back to {to.id}"], counts=counts)
    for attempt in count():
        log = Log(place)
        try:
            return log.commit(draft, log.head(to.dataset))
        except Moved:
            wait(attempt)


def explain(place: Place, snapshot: Snapshot, sample_id: str, column: str) -> dict[str, Any]:
    """See `Store.explain`."""
    names = _load.chosen(place, snapshot, [column])
    extractor, columns = next(iter(names.items()))
    if f"{extractor}.{columns[0]}" != column:
        raise UnknownName("column", column, [f"{extractor}.{c}" for c in columns])
    frame = read(place, snapshot.tables["samples"]).to_pandas()
    mine = frame[frame["sample_id"] == sample_id]
    if mine.empty:
        raise UnknownName("sample", sample_id, frame["sample_id"])
    entry = snapshot.features[extractor]
    row = read(place, entry, ["content", kept(columns[0])], pc.field("sample_id") == sample_id).to_pylist()
    about = read(place, snapshot.tables["columns"]).to_pandas()
    about = about[(about["extractor"] == extractor) & (about["column"] == columns[0])].iloc[0]
    said = read(place, snapshot.tables["outcomes"]).to_pandas()
    said = said[(said["sample_id"] == sample_id) & (said["extractor"] == extractor)].to_dict("records")
    sample = mine.iloc[0]
    media = {m: sample[m] for m in ("audio", "image", "video", "text") if pd.notna(sample[m])}
    segment = {k: float(sample[k]) for k in ("start", "end") if pd.notna(sample[k])}
    return {
        "sample_id": sample_id,
        "column": column,
        "value": row[0][kept(columns[0])] if row else None,
        "outcome": "ok" if row else said[0]["outcome"] if said else "absent",
        "reason": said[0]["reason"] if said else None,
        "content": row[0]["content"] if row else said[0]["content"] if said else None,
        "source": media | segment,
        "extractor": extractor,
        "extractor_version": entry["extractor_version"],
        "parameters": entry["parameters"],
        "weights": entry["weights"],
        "fingerprint": entry["fingerprint"],
        **{k: about[k] for k in ("unit", "description")},
        "definition": about["source"],
        "snapshot": snapshot.id,
        "code_version": snapshot.code_version,
    }


def tidy(place: Place, dataset: str, keep: int | None) -> dict[str, int]:
    """See `Store.tidy`; the caller holds the dataset's lock."""
    log = Log(place)
    mine = [s for s in log.rows if s.dataset == dataset]
    dropped: set[str] = set()
    if keep is not None:
        tagged = set(log.tags().values())
        head = log.head(dataset)
        published = [s for s in mine if s.published]
        stay = {s.id for s in published[-keep:]} | tagged | {head.id if head else ""}
        dropped = {s.id for s in mine} - stay
        if dropped:
            edit(place, lambda every: [s for s in every if s.id not in dropped])
            log = Log(place)
    _erase.collect(place, dataset, log)
    versions: dict[str, set[int]] = {}
    for s in log.rows:
        if s.dataset == dataset:
            for entry in s.tables.values():
                versions.setdefault(entry["path"], set()).add(entry["version"])
    files = 0
    for path, stay in versions.items():
        table = place.open(path)
        gone = table.vacuum(
            retention_hours=0, enforce_retention_duration=False, dry_run=False, keep_versions=sorted(stay), full=True
        )
        files += len(gone)
    return {"snapshots": len(dropped), "files": files + _compact(place)}


def _compact(place: Place) -> int:
    """Recorded results come a few rows at a time: put them together, and drop the pieces."""
    return sum(place.compact(f"records/{name}") for name in place.below("records"))
