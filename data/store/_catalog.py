"""What a store says about itself: snapshots, datasets, tables and columns."""

from typing import Any

import numpy as np
import pandas as pd

from affectlake.data.store._frames import read
from affectlake.data.store._load import samples
from affectlake.data.store._place import Place
from affectlake.data.store._snapshots import Log, Snapshot

_COUNTS = ("new", "recomputed", "unchanged", "removed", "failed", "not_applicable")


def history(log: Log, dataset: str | None) -> list[dict[str, Any]]:
    """See `Store.snapshots`."""
    tags: dict[str, list[str]] = {}
    for tag, name in log.tags().items():
        tags.setdefault(name, []).append(tag)
    return [
        {
            "snapshot": s.id,
            "time": s.time,
            **{k: getattr(s, k) for k in ("dataset", "author", "code_version", "published", "samples")},
            **{k: sum(c[k] for c in s.counts.values()) for k in _COUNTS},
            "problems": len(s.problems),
            "tags": ", ".join(tags.get(s.id, ())),
        }
        for s in log.rows
        if dataset in (None, s.dataset)
    ]


def status(dataset: str, snapshot: Snapshot) -> dict[str, Any]:
    """A dataset's entry in `Store.status`."""
    tables = [
        {
            "extractor": extractor,
            "columns": entry["columns"],
            "rows": entry["rows"],
            "failed": entry["failed"],
            "not_applicable": entry["not_applicable"],
            "coverage": round(entry["rows"] / snapshot.samples, 4),
            "version": entry["extractor_version"],
            "fingerprint": entry["fingerprint"],
        }
        for extractor, entry in snapshot.features.items()
    ]
    return {
        "dataset": dataset,
        "samples": snapshot.samples,
        "snapshot": snapshot.id,
        "time": snapshot.time.isoformat(timespec="seconds"),
        "author": snapshot.author,
        "code_version": snapshot.code_version,
        "problems": snapshot.problems,
        "tables": tables,
    }


def columns(place: Place, log: Log, snapshot: Snapshot, extractor: str) -> pd.DataFrame:
    """A dataset's part of `Store.columns`."""
    mine = _described(place, snapshot, extractor)
    mine.insert(0, "dataset", snapshot.dataset)
    mine["coverage"] = mine["n"] / max(snapshot.samples, 1)
    before = log.head(snapshot.dataset, snapshot.number - 1)
    mine["drift"] = _drift(mine, _described(place, before, extractor)) if before else np.nan
    return mine.drop(columns="extractor")


def _described(place: Place, snapshot: Snapshot, extractor: str) -> pd.DataFrame:
    frame = read(place, snapshot.tables["columns"]).to_pandas()
    return frame[frame["extractor"] == extractor].reset_index(drop=True)


def _drift(now: pd.DataFrame, before: pd.DataFrame) -> np.ndarray:
    old = before.set_index("column").reindex(now["column"])
    with np.errstate(invalid="ignore", divide="ignore"):
        drift = (now["mean"].to_numpy() - old["mean"].to_numpy()) / old["std"].to_numpy()
    return np.where(np.isfinite(drift), drift, np.nan)


def contents(place: Place, snapshot: Snapshot) -> pd.DataFrame:
    """See `Store.contents`."""
    ids = pd.Index(samples(place, snapshot, ["sample_id", "_position"])["sample_id"], name="sample_id")
    found = {}
    for name, entry in snapshot.features.items():
        table = read(place, entry, ["sample_id", "content"])
        found[name] = table.to_pandas().set_index("sample_id")["content"].reindex(ids)
    return pd.DataFrame(found, index=ids)
