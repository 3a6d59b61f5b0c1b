"""What a store says about itself: snapshots, datasets and tables."""

from dataclasses import fields

import pandas as pd

from affectlake.data.store._answers import DatasetStatus, TableStatus
from affectlake.data.store._load import samples
from affectlake.data.store._read import read
from affectlake.data.store._snapshot import Counts, Snapshot
from affectlake.data.store._snapshots import Log
from affectlake.data.store._table_store import TableStore


def history(log: Log, dataset: str | None) -> list[dict[str, object]]:
    """See `Store.snapshots`."""
    tags: dict[str, list[str]] = {}
    for tag, name in log.tags().items():
        tags.setdefault(name, []).append(tag)
    return [
        {
            "snapshot": s.id,
            "time": s.time,
            **{k: getattr(s, k) for k in ("dataset", "author", "code_version", "published", "samples")},
            **{f.name: sum(getattr(c, f.name) for c in s.counts.values()) for f in fields(Counts)},
            "problems": len(s.problems),
            "tags": ", ".join(tags.get(s.id, ())),
        }
        for s in log.rows
        if dataset in (None, s.dataset)
    ]


def status(dataset: str, snapshot: Snapshot) -> DatasetStatus:
    """A dataset's entry in `Store.status`."""
    tables: list[TableStatus] = [
        {
            "extractor": extractor,
            "columns": entry.columns,
            "rows": entry.rows,
            "failed": entry.failed,
            "not_applicable": entry.not_applicable,
            "coverage": round(entry.rows / snapshot.samples, 4),
            "version": entry.extractor_version,
            "fingerprint": entry.fingerprint,
        }
        for extractor, entry in snapshot.computed.items()
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


def contents(store: TableStore, snapshot: Snapshot) -> pd.DataFrame:
    """See `Store.contents`."""
    ids = pd.Index(samples(store, snapshot, ["sample_id", "_position"])["sample_id"], name="sample_id")
    found = {}
    for name, entry in snapshot.features.items():
        table = read(store, entry, ["sample_id", "content"])
        found[name] = table.to_pandas().set_index("sample_id")["content"].reindex(ids)
    return pd.DataFrame(found, index=ids)
