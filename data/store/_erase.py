"""Erasing people: out of every table, every old version and everything derived from them, with a receipt.

Tables are immutable versions in files, so each table that knows one of the samples is built anew, version by version,
without their rows; files that never held one are linked over. Only when all of that is there, it is noted whom to erase
(`erasing/`), who must not come back (`tombstones/`), and the log of snapshots is switched to the new tables in one
commit. Then the old folders are deleted and what was made from them is cleaned. A crash before the commit leaves
everything as it was; one after it leaves the note, by which a second call finishes.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from affectlake.data.errors import AffectlakeError
from affectlake.data.store import (
    _checksums,
    _identity,
    _maintenance,
    _search,
    _target,
    _tombstones,
    _traces,
    _view,
)
from affectlake.data.store._answers import Left, Receipt, ReceiptCheck
from affectlake.data.store._names import ErasureTarget, Hashed, Plain, Traces
from affectlake.data.store._read import read
from affectlake.data.store._rebuild import Rebuilt
from affectlake.data.store._search import SearchResult
from affectlake.data.store._snapshot import Snapshot, TableRef
from affectlake.data.store._snapshots import Log, edit
from affectlake.data.store._table_store import TableStore

Clean = Callable[[ErasureTarget], list[Left]]
Search = Callable[[Traces], SearchResult]


def erase(
    store: TableStore,
    dataset: str,
    speaker: str | None,
    ids: Iterable[str] | None,
    clean: Sequence[Clean] = (),
    search: Sequence[Search] = (),
) -> Receipt:
    """Erase samples from every version; the caller holds the dataset's lock. See `Store.erase`.

    Parameters
    ----------
    clean, search : sequence of callable
        Of what lies beyond the store, see `_beyond.Keeper`.
    """
    log = Log(store)
    snapshots = [s for s in log.rows if s.dataset == dataset]
    begun = _target.begun(store, dataset) or _target.Note(ErasureTarget(frozenset()))
    target = _target.find(store, log, dataset, speaker, None if ids is None else [str(i) for i in ids], begun.target)
    rebuilt = Rebuilt(store, uuid.uuid4().hex[:8], target, _heard(store, snapshots, target))
    rows = {s.id: rebuilt.snapshot(s) for s in snapshots}
    for s in rows.values():
        _checksums.note(store, s, None)
    fitted = _traces.models(store, dataset, target.ids)
    fitted += [m for m in begun.left if m not in fitted]
    erasure = uuid.uuid4().hex[:12]
    _target.note(store, dataset, _target.Note(target, fitted))
    _tombstones.add(store, dataset, erasure, target, speaker is not None)
    edit(store, lambda every: [rows.get(s.id, s) for s in every])
    left = [*fitted, *_clean_store(store, dataset)]
    traces = Plain(target)
    records = _traces.records(store, dataset, traces)
    exports, lost, found = _traces.exports(store, dataset, traces)
    left += lost
    for action in clean:
        left += action(target)
    found = sum((look(traces) for look in search), found + _search.search(store, dataset, traces))
    left += [Left(what="file", where=path, why="could not be read") for path in found.unread]
    receipt: Receipt = {
        "dataset": dataset,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "erasure": erasure,
        "store": _identity.make(store).store,
        "samples": len(target.ids),
        "snapshots": len(snapshots),
        "rows": rebuilt.removed,
        "recompute": rebuilt.recompute,
        "records": records,
        "exports": exports,
        "files_checked": found.files,
        "still_found_in": found.paths,
        "left": left,
        "hashes": _tombstones.hashes(store, dataset, target),
    }
    _target.done(store, dataset)
    return receipt


def _clean_store(store: TableStore, dataset: str) -> list[Left]:
    """Delete what the log of snapshots names no more; what could not be."""
    log = Log(store)
    store.delete(f"pending/{dataset}")
    _view.publish(store, kept=1)  # older ones still hold them
    _maintenance.collect(store, dataset, log)
    return _orphans(store, dataset, log)


def check(store: TableStore, receipt: Receipt, search: Sequence[Search] = ()) -> ReceiptCheck:
    """Look again for those whom a receipt is about, by its hashes; see `Store.check_receipt`."""
    identity = _identity.find(store)
    if identity is None or identity.store != receipt["store"]:
        raise AffectlakeError(f"the receipt is of another store than {store.root}: its hashes mean nothing here")
    dataset = receipt["dataset"]
    traces = Hashed(identity, dataset, receipt["hashes"])
    found = _search.search(store, dataset, traces) + _traces.search_exports(store, dataset, traces)
    found = sum((look(traces) for look in search), found)
    return {
        "dataset": dataset,
        "erased": receipt["time"],
        "files_checked": found.files,
        "still_found_in": found.paths,
        "unread": found.unread,
        "left": receipt["left"],
    }


def _orphans(store: TableStore, dataset: str, log: Log) -> list[Left]:
    """Old tables that could not be deleted."""
    return [
        Left(what="folder", where=store.path(path), why="could not be deleted: no right to, or it is in use")
        for path in _maintenance.unnamed(store, dataset, log)
    ]


def _heard(store: TableStore, snapshots: list[Snapshot], target: ErasureTarget) -> frozenset[str]:
    """Other samples of which features hold what the people said before, in some version."""
    found: set[str] = set()
    for key in sorted({s.tables["samples"].key for s in snapshots}):
        keys = ["sample_id", "dialogue", "turn", "text"]
        samples = read(store, TableRef(*key), keys).to_pandas()
        theirs = samples["sample_id"].isin(target.ids)
        first = samples[theirs & samples["text"].notna()].groupby("dialogue")["turn"].min()
        after = samples["turn"] >= samples["dialogue"].map(first)
        found |= set(samples.loc[after.fillna(False).astype(bool) & ~theirs, "sample_id"])
    return frozenset(found)
