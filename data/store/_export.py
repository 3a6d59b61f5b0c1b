"""Plain Parquet files of a snapshot, for whoever has no library of ours."""

import json
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq

from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.store import _identity
from affectlake.data.store._read import read
from affectlake.data.store._snapshot import Snapshot
from affectlake.data.store._spelling import HIDDEN, for_others, kept
from affectlake.data.store._table_store import TableStore

MARK = "affectlake-export.json"
"""Says where an export came from; an erasure finds exports of its store by it."""

EXPORTS = "exports"


def export(store: TableStore, snapshot: Snapshot, columns: dict[str, list[str]], out: Path) -> Path:
    """Write samples, the chosen feature tables and their documentation below ``out``; returns it."""
    out = out.absolute()
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).exists())):
        raise UsageError(f"cannot export to {out}: it exists and is no earlier export")
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.parquet"):
        old.unlink()
    mark = {"store": store.root, "dataset": snapshot.dataset, "snapshot": snapshot.id, "features": columns}
    with suppress(OSError, AffectlakeError):  # who may only read a store that has no identity yet gives it none
        mark["identity"] = _identity.make(store).store
    (out / MARK).write_text(json.dumps(mark, indent=1), encoding="utf-8")
    samples = read(store, snapshot.tables["samples"]).sort_by("_position")
    pq.write_table(for_others(samples, HIDDEN), out / "samples.parquet")
    for name, names in columns.items():
        table = read(store, snapshot.features[name], ["sample_id", *map(kept, names)])
        pq.write_table(for_others(table, ()), out / f"{name}.parquet", use_dictionary=["sample_id"])
    pq.write_table(read(store, snapshot.tables["columns"]), out / "columns.parquet")
    return out
