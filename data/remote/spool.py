"""A temporary place for fetched objects: of bounded size, shared by a command and its workers, gone with them.

The place is a folder of its own among the system's temporary files (``TMPDIR``). Who uses it holds a lock that the
system lets go of however a process ends; what was left by one that was killed is removed by the next that makes one.
Objects that were not used for longest make room for others, never those that are being read.
"""

import atexit
import fcntl
import hashlib
import json
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from affectlake.data.checksums import folder_sha256
from affectlake.data.errors import UsageError
from affectlake.data.remote.objects import Object, Refused

VARIABLE = "AFFECTLAKE_MEDIA_SPACE"
SPACE_GB = 8.0
"""Default of the variable: GB that fetched objects may take."""

_FOLDER = "AFFECTLAKE_MEDIA_FOLDER"  # tells workers, which inherit it
_PREFIX = "affectlake-media-"
_ALIVE = ".alive"
_PATIENCE = 600.0  # s that one waits for others to be done with what fills the place
_KEPT = 0.8  # of the space, where some of it is cleared
_log = logging.getLogger("affectlake.data")


@dataclass(frozen=True, slots=True)
class Copy:
    """An object as a file of this machine, its sha256, and what it was when it was fetched."""

    path: Path
    sha256: str
    object: Object


class _File:
    """Where a fetched object is written to; takes room for it before."""

    def __init__(self, path: Path, room: Callable[[int], None]):
        self._path, self._room, self.taken, self.written = path, room, 0, 0
        self._file = path.open("wb")
        self._digest = hashlib.sha256()

    def begin(self, size: int) -> None:
        """Begin (again) with an object of so many bytes; -1 where nobody knows."""
        self._file.seek(0)
        self._file.truncate()
        self._digest, self.written = hashlib.sha256(), 0
        self._take(max(size, 0))
        os.truncate(self._path, self.taken)

    def write(self, block: Any) -> int:
        data = memoryview(block)
        self._take(self.written + len(data))
        self._file.write(data)
        self._digest.update(data)
        self.written += len(data)
        return len(data)

    def _take(self, size: int) -> None:
        if size > self.taken:
            self._room(size - self.taken)
            self.taken = size
            os.truncate(self._path, size)  # so that others who count see it, too

    def close(self) -> str:
        """The sha256 of what was written."""
        self._file.close()
        os.truncate(self._path, self.written)
        return self._digest.hexdigest()


class _Folder:
    """Where the objects of a fetched folder are written to."""

    def __init__(self, path: Path, room: Callable[[int], None]):
        self._path, self._room = path, room
        self._sums: dict[str, str] = {}
        path.mkdir()

    @contextmanager
    def file(self, name: str) -> Iterator[_File]:
        file = _File(self._path / name, self._room)
        try:
            yield file
        finally:
            self._sums[name] = file.close()

    def close(self) -> str:
        """The sha256 of the folder."""
        return folder_sha256(self._sums)


class Spool:
    """The place itself.

    Parameters
    ----------
    folder : Path
    limit : int
        Bytes.
    """

    def __init__(self, folder: Path, limit: int):
        self.folder, self.limit = folder, limit

    @contextmanager
    def copy(
        self,
        uri: str,
        name: str,
        fetch: Callable[[Any], Object],
        fits: Callable[[Copy], bool] = lambda copy: False,
        folder: bool = False,
    ) -> Iterator[Copy]:
        """An object's file, or the files of a folder, kept while the context lasts.

        See `affectlake.data.remote.fetched`; ``fetch`` is given a `Sink`, or a `FolderSink`.
        """
        entry = self._entry(uri)
        fetched = ""
        while True:
            handle = os.open(f"{entry}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_SH)
                known = _noted(handle, entry)
                if known is not None and (known.sha256 == fetched or fits(known)):
                    os.utime(handle)
                    yield known
                    return
                fcntl.flock(handle, fcntl.LOCK_EX)
                known = _noted(handle, entry)
                if os.fstat(handle).st_nlink and not (known is not None and fits(known)):
                    fetched = self._fetched(handle, entry / plain_name(name), fetch, _Folder if folder else _File)
            finally:
                os.close(handle)

    def holds(self, uri: str, fits: Callable[[Copy], bool]) -> bool:
        """Whether a copy is there that will do; it may go before one has it."""
        entry = self._entry(uri)
        try:
            handle = os.open(f"{entry}.lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            known = _noted(handle, entry)
            return known is not None and fits(known)
        finally:
            os.close(handle)

    def _entry(self, uri: str) -> Path:
        return self.folder / entry_name(uri)

    def _fetched(
        self, handle: int, path: Path, fetch: Callable[[Any], Object], into: type[_File] | type[_Folder]
    ) -> str:
        os.truncate(handle, 0)
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        sink = into(path, self._room)
        try:
            state = fetch(sink)
        except OSError as error:
            sink.close()
            shutil.rmtree(path.parent, ignore_errors=True)
            raise Refused(f"{path.name}: cannot be copied to {self.folder.parent} ({error.strerror})") from None
        except BaseException:
            sink.close()
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        sha256 = sink.close()
        note = {"name": path.name, "sha256": sha256, "object": asdict(state)}
        os.pwrite(handle, json.dumps(note).encode(), 0)
        return sha256

    def _room(self, size: int) -> None:
        """Take so many bytes more; raises Refused where there is no room for them, and none will be."""
        if size > self.limit:
            raise Refused(f"larger than the {self.limit / 1e9:.3g} GB for what is fetched, see {VARIABLE}")
        deadline = time.monotonic() + _PATIENCE
        while not self._taken(size):
            if time.monotonic() > deadline:
                raise Refused(f"no room within the {self.limit / 1e9:.3g} GB for what is fetched, see {VARIABLE}")
            time.sleep(0.1)

    def _taken(self, size: int) -> bool:
        handle = os.open(self.folder / ".used", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            used = int(os.pread(handle, 20, 0) or 0)
            if used + size > self.limit:
                used = self._cleared(max(0, int(self.limit * _KEPT) - size))
            fits = used + size <= self.limit
            os.pwrite(handle, b"%-20d" % (used + size * fits), 0)
            return fits
        finally:
            os.close(handle)

    def _cleared(self, left: int) -> int:
        """Remove what is not in use, that used longest ago first, until no more than so many bytes are left."""
        locks = sorted(self.folder.glob("*.lock"), key=_used_at)
        sizes = {lock: sum(f.stat().st_size for f in _files(lock.with_suffix(""))) for lock in locks}
        used = sum(sizes.values())
        for lock in locks:
            if used <= left:
                break
            if sizes[lock] and _removed(lock):
                used -= sizes[lock]
        return used


def _noted(handle: int, entry: Path) -> Copy | None:
    """What a lock's file says of the object beside it; None where that is not whole, or gone."""
    text = os.pread(handle, 1 << 16, 0)
    if not text or not os.fstat(handle).st_nlink:
        return None
    note = json.loads(text)
    return Copy(entry / note["name"], note["sha256"], Object(**note["object"]))


def _used_at(lock: Path) -> float:
    with suppress(FileNotFoundError):
        return lock.stat().st_mtime
    return 0.0


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _removed(lock: Path) -> bool:
    try:
        handle = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
        lock.unlink(missing_ok=True)
        return True
    finally:
        os.close(handle)


def entry_name(uri: str) -> str:
    """What the place of an address is called."""
    return hashlib.blake2b(uri.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def plain_name(name: str) -> str:
    """A name that any file system takes."""
    if name in ("", ".", "..") or "\0" in name or len(os.fsencode(name)) > 200:
        return "object" + Path(name.replace("\0", "")[-20:]).suffix
    return name


def limit_gb() -> float:
    """GB that fetched objects may take.

    Raises
    ------
    UsageError
        The environment variable is no number above 0.
    """
    given = os.environ.get(VARIABLE, "").strip()
    with suppress(ValueError):
        found = float(given or SPACE_GB)
        if 0 < found < float("inf"):
            return found
    raise UsageError(f"{VARIABLE} cannot be {given!r}: expected a number of GB above 0")


_known: dict[Path, tuple[Spool, int]] = {}  # the handle holds a lock


def reserve() -> Path:
    """Where the place of this process is, or will be once something is fetched: that of the command that started it.

    To be called before workers are started, which inherit it.
    """
    if not os.environ.get(_FOLDER):
        folder = Path(tempfile.gettempdir(), f"{_PREFIX}{secrets.token_hex(8)}")
        os.environ[_FOLDER] = str(folder)
        atexit.register(_leave, os.getpid(), folder)
    return Path(os.environ[_FOLDER])


def spool() -> Spool:
    """The place of this process."""
    folder = reserve()
    if folder not in _known or not folder.is_dir():
        _sweep(folder.parent)
        while (handle := _joined(folder)) is None:
            pass  # it was swept before the lock was held
        limit = min(int(limit_gb() * 1e9), int(0.9 * shutil.disk_usage(folder).free))
        _known[folder] = Spool(folder, limit), handle
    return _known[folder][0]


def _joined(folder: Path) -> int | None:
    """A handle by which others see that somebody uses the folder; None where it went meanwhile."""
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        handle = os.open(folder / _ALIVE, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    fcntl.flock(handle, fcntl.LOCK_SH)
    if os.fstat(handle).st_nlink:
        return handle
    os.close(handle)
    return None


def _sweep(parent: Path) -> None:
    """Remove what was left by processes that were killed."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            handle = os.open(folder / _ALIVE, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _log.info("removed %s, which was left by a process that was killed", folder)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def _leave(pid: int, folder: Path) -> None:
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)
