"""``current/``: the newest snapshot as plain Parquet folders, hard links to the tables' own files.

Where a file system has no hard links, or the files belong to somebody else, they are copies; where it has no links at
all, or a copy of the store turned them into folders, ``current`` is a folder itself that is put in the old one's place.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq

from affectlake.data.errors import AffectlakeError
from affectlake.data.store import _checksums, _lock
from affectlake.data.store._read import read
from affectlake.data.store._snapshot import Snapshot, TableRef, extractor_of
from affectlake.data.store._snapshots import Log
from affectlake.data.store._spelling import HIDDEN, KEYS, PREFIX, for_others
from affectlake.data.store._table_store import TableStore

CURRENT, VIEWS = "current", ".views"
MARK = ".snapshot"
"""In each view: its name, by which a folder is told that was a link once."""

_MADE = re.compile(r"00000-([0-9a-f]{64})\.parquet")
"""A file that is no table's own is called by its sha256."""
KEPT = 2  # the one before stays for readers that have just listed it
_SECONDS, _ROUNDS = 60.0, 20
_log = logging.getLogger("affectlake.store")


def publish(store: TableStore, kept: int = KEPT) -> None:
    """Bring ``current`` to what readers of the store see now; does nothing on object stores, which have no links.

    One process at a time, and each to what the log says when its turn has come: ``current`` never goes back. A view
    that cannot be made is no reason to fail, for the snapshot is published: it is said, and the next writer tries
    again.

    Parameters
    ----------
    kept : int > 0
        Views to leave, the new one among them.
    """
    if not store.local:
        return
    try:
        with _lock.held(store, f".{CURRENT}", _SECONDS):
            state = Log(store).state()
            for _ in range(_ROUNDS):
                if not state:
                    return
                try:
                    _bring(store, state, kept)
                except FileNotFoundError:
                    # An erasure or a clean-up took the files away meanwhile: the log knows others now.
                    if Log(store).state() == state:
                        raise
                before, state = state, Log(store).state()
                if state == before:
                    return
    except (OSError, AffectlakeError) as error:
        reason = " ".join(str(error).split())
        _log.warning("%s is not up to date, what was published is read as ever: %s", store.path(CURRENT), reason)


def damaged(store: TableStore, dataset: str, known: Mapping[str, str]) -> dict[str, str]:
    """Files of a dataset in the views that are not what was written, each with the reason; see `_checksums.known`."""
    found: dict[str, str] = {}
    if not store.local:
        return found
    files = {os.path.basename(file): file for file in known}
    views = [f"{VIEWS}/{v}" for v in store.list_tables(VIEWS) if not v.startswith(".")]
    for root in views if os.path.islink(store.path(CURRENT)) else [*views, CURRENT]:
        for folder, _, names in os.walk(store.path(root, dataset)):
            for name in sorted(names):
                path = os.path.relpath(os.path.join(folder, name), store.root)
                if why := _why(store, path, files.get(name.partition("-")[2]), known):
                    found[path] = why
    return found


def damaged_marks(store: TableStore) -> dict[str, str]:
    """Marks of views that do not name theirs, each with the reason."""
    found: dict[str, str] = {}
    for view in store.list_tables(VIEWS) if store.local else ():
        if not view.startswith("."):
            with suppress(FileNotFoundError), open(store.path(VIEWS, view, MARK), "rb") as mark:
                if mark.read() != view.encode():
                    found[f"{VIEWS}/{view}/{MARK}"] = "it does not name the view"
    return found


def _why(store: TableStore, path: str, of: str | None, known: Mapping[str, str]) -> str:
    """What is wrong with a file of a view; ``of``: the table's file that it is."""
    with suppress(FileNotFoundError):
        if of is not None and os.path.samefile(store.path(path), store.path(of)):
            return ""  # what is wrong with it is wrong with the table
    if of is not None:
        return "" if _checksums.sum_of(store, path) == known[of] else "its bytes are not those that were written"
    if made := _MADE.fullmatch(os.path.basename(path)):
        return "" if _checksums.sum_of(store, path) == made[1] else "its bytes are not those that were written"
    try:  # it has no sum: of a table that a repair took away, or made by an earlier version
        pq.read_table(store.path(path), partitioning=None)
        return ""
    except (OSError, pa.ArrowException) as error:
        return f"it cannot be read: {' '.join(str(error).split())[:200]}"


def clear(store: TableStore) -> None:
    """Remove the view and all older ones."""
    if store.local:
        with _lock.held(store, f".{CURRENT}", _SECONDS):
            _remove(store, store.path(CURRENT))
            shutil.rmtree(store.path(VIEWS), ignore_errors=True)


def _bring(store: TableStore, state: Mapping[str, Snapshot], kept: int) -> None:
    name = _name(state)
    if _shown(store) != name:
        final = store.path(VIEWS, name)
        if not os.path.isdir(final):
            build = store.path(VIEWS, f".{uuid.uuid4().hex}")
            try:
                _build(store, state, build, name)
                os.replace(build, final)
            except BaseException:
                shutil.rmtree(build, ignore_errors=True)
                raise
        _show(store, name)
    _tidy(store, name, kept)


def _name(state: Mapping[str, Snapshot]) -> str:
    """The newest snapshot, and whatever an erasure changes of it or another."""
    newest = max(s.number for s in state.values())
    files = {d: [(t, *e.key) for t, e in sorted(s.tables.items())] for d, s in sorted(state.items())}
    return f"s{newest:06d}-{hashlib.sha256(json.dumps(files).encode()).hexdigest()[:12]}"


def _shown(store: TableStore) -> str | None:
    """Name of the view that ``current`` is."""
    with suppress(OSError, UnicodeDecodeError), open(store.path(CURRENT, MARK), encoding="utf-8") as mark:
        return mark.read()
    return None


def _build(store: TableStore, state: Mapping[str, Snapshot], build: str, name: str) -> None:
    os.makedirs(build)
    for dataset, snapshot in state.items():
        for table, entry in snapshot.tables.items():
            if table == "samples" or extractor_of(table):
                _link(store, entry, os.path.join(build, dataset, extractor_of(table) or table))
    with open(os.path.join(build, MARK), "w", encoding="utf-8") as mark:
        mark.write(name)


def _link(store: TableStore, entry: TableRef, folder: str) -> None:
    os.makedirs(folder)
    if any(f.name.startswith(PREFIX) for f in store.load_version(entry).schema().fields):
        # A name that is one of ours as well: whoever knows nothing of us finds it by itself, in a file of its own.
        table = for_others(read(store, entry), (*HIDDEN, *KEYS[1:]))
        pq.write_table(table, buffer := pa.BufferOutputStream())
        content = buffer.getvalue()
        with open(os.path.join(folder, f"00000-{hashlib.sha256(content).hexdigest()}.parquet"), "wb") as file:
            file.write(content)
        return
    for i, path in enumerate(sorted(store.load_version(entry).file_uris())):
        beside = os.path.join(folder, f"{i:05d}-{os.path.basename(path)}")
        try:
            os.link(path, beside)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without hard links, or a colleague's file
            shutil.copyfile(path, beside)


def _show(store: TableStore, name: str) -> None:
    current, beside = store.path(CURRENT), store.path(f".{CURRENT}.{uuid.uuid4().hex}")
    try:
        os.symlink(os.path.join(VIEWS, name), beside)
    except OSError:  # a file system without links
        _remove(store, current)
        os.replace(store.path(VIEWS, name), current)
        return
    try:
        if not os.path.islink(current):
            _remove(store, current)
        os.replace(beside, current)
    except BaseException:
        os.remove(beside)
        raise


def _remove(store: TableStore, path: str) -> None:
    """Take a link or a whole folder away in one step."""
    if os.path.islink(path):
        os.remove(path)
    elif os.path.isdir(path):
        os.makedirs(store.path(VIEWS), exist_ok=True)
        aside = store.path(VIEWS, f".{uuid.uuid4().hex}")
        os.replace(path, aside)
        shutil.rmtree(aside, ignore_errors=True)


def _tidy(store: TableStore, newest: str, kept: int) -> None:
    views = store.path(VIEWS)
    if not os.path.isdir(views):
        return
    older = [n for n in os.listdir(views) if n != newest and not n.startswith(".")]
    older.sort(key=lambda n: os.stat(os.path.join(views, n)).st_mtime_ns)
    unfinished = [n for n in os.listdir(views) if n.startswith(".")]
    for name in [*unfinished, *older[: len(older) + 1 - kept]]:
        shutil.rmtree(os.path.join(views, name), ignore_errors=True)
