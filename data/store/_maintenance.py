"""Keeping house: deletes what no snapshot names, forgets old snapshots, puts small files together."""

from affectlake.data.store import _checksums
from affectlake.data.store._snapshots import Log, edit
from affectlake.data.store._table_store import TableStore


def collect(store: TableStore, dataset: str, log: Log) -> None:
    """Delete folders of tables that no snapshot names: what an erasure or a crash left behind."""
    tables = unnamed(store, dataset, log)
    _checksums.forget(store, dataset, tables)
    for table in tables:
        store.delete(table)


def unnamed(store: TableStore, dataset: str, log: Log) -> list[str]:
    named = {e.path for s in log.rows for e in s.tables.values()}
    folders = (f"features/{dataset}", f"tables/{dataset}")
    return sorted({f"{folder}/{name}" for folder in folders for name in store.list_tables(folder)} - named)


def tidy(store: TableStore, dataset: str, keep: int | None) -> dict[str, int]:
    """See `Store.tidy`; the caller holds the dataset's lock."""
    log = Log(store)
    snapshots = [s for s in log.rows if s.dataset == dataset]
    dropped: set[str] = set()
    if keep is not None:
        tagged = set(log.tags().values())
        head = log.head(dataset)
        published = [s for s in snapshots if s.published]
        stay = {s.id for s in published[-keep:]} | tagged | {head.id if head else ""}
        dropped = {s.id for s in snapshots} - stay
        if dropped:
            edit(store, lambda every: [s for s in every if s.id not in dropped])
            log = Log(store)
    collect(store, dataset, log)
    versions: dict[str, set[int]] = {}
    for s in log.rows:
        if s.dataset == dataset:
            for entry in s.tables.values():
                versions.setdefault(entry.path, set()).add(entry.version)
    files = 0
    for path, named in versions.items():
        table = store.open(path)
        gone = table.vacuum(
            retention_hours=0, enforce_retention_duration=False, dry_run=False, keep_versions=sorted(named), full=True
        )
        files += len(gone)
    return {"snapshots": len(dropped), "files": files + _compact(store)}


def _compact(store: TableStore) -> int:
    """Recorded results come a few rows at a time: put them together, and drop the pieces."""
    return sum(store.compact(f"records/{name}") for name in store.list_tables("records"))
