"""One writer of a dataset at a time, on one machine, and whether one may write at all."""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from affectlake.data.errors import AffectlakeError
from affectlake.data.store._delta import NotWritable
from affectlake.data.store._table_store import TableStore

LOCKS = ".locks"
_log = logging.getLogger("affectlake.store")


class Held:
    """A lock that is held until `close`; the system lets go of it however this process ends."""

    def __init__(self, handle: int):
        self._handle = handle

    def close(self) -> None:
        os.close(self._handle)


def locked(store: TableStore, dataset: str) -> Held:
    """Wait for others who write the dataset.

    Raises
    ------
    NotWritable
        This user may not write the store.
    """
    handle = _opened(store, dataset)
    try:
        if _taken(handle):
            return _signed(handle)
        whose = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
        _log.warning("waiting for another refresh of %s (process %s)", dataset, whose or "unknown")
        fcntl.flock(handle, fcntl.LOCK_EX)
        return _signed(handle)
    except BaseException:
        os.close(handle)
        raise


@contextmanager
def writing(store: TableStore, dataset: str) -> Iterator[None]:
    """Be the only one on this machine who writes the dataset; raises NotWritable where this user may not."""
    if not store.local:  # which has no locks
        yield
        return
    writable(store, dataset)
    lock = locked(store, dataset)
    try:
        yield
    finally:
        lock.close()


@contextmanager
def held(store: TableStore, name: str, seconds: float) -> Iterator[None]:
    """Hold a lock that nobody needs for long.

    Raises
    ------
    AffectlakeError
        Somebody does, for more than ``seconds``.
    """
    handle = _opened(store, name)
    try:
        last = time.monotonic() + seconds
        while not _taken(handle):
            if time.monotonic() > last:
                raise AffectlakeError(f"another process has held {store.path(LOCKS, name)} for {seconds:.0f} seconds")
            time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def writable(store: TableStore, dataset: str) -> None:
    """Look at every folder that a snapshot of the dataset may write to, before anything is computed for it.

    Raises
    ------
    NotWritable
        One of them cannot be written by this user.
    """
    tables = [store.path(f) for f in ("snapshots", "records", "tombstones", f"sums/{dataset}", f"erasing/{dataset}")]
    for kind in ("tables", "features"):
        tables += [store.path(kind, dataset, name) for name in store.list_tables(f"{kind}/{dataset}")]
    folders = [store.root, *(store.path(f) for f in (LOCKS, ".views", "pending", f"pending/{dataset}"))]
    for table in tables:
        with suppress(OSError):
            folders += [table, *(entry.path for entry in os.scandir(table) if entry.is_dir())]
    for folder in folders:
        if os.path.isdir(folder) and not os.access(folder, os.W_OK | os.X_OK, effective_ids=_EFFECTIVE):
            raise NotWritable(f"the store at {store.root} cannot be written: no right to write {folder}")


_EFFECTIVE = os.access in os.supports_effective_ids


def _opened(store: TableStore, name: str) -> int:
    folder, path = store.path(LOCKS), store.path(LOCKS, name)
    try:
        os.makedirs(folder, exist_ok=True)
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except PermissionError:
            # Of a colleague who may write here as well: to be locked it need not be written.
            if not os.access(folder, os.W_OK, effective_ids=_EFFECTIVE):
                raise
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NotWritable(f"the store at {store.root} cannot be written: {error.strerror}") from None


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # Some network file systems have no locks: whoever commits second builds on the first, as on object stores.
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    return True


def _signed(handle: int) -> Held:
    with suppress(OSError):
        os.truncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
    return Held(handle)
