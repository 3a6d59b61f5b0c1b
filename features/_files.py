"""What a file or folder of frames is, told from its state (cheap) and from its bytes (sure)."""

import errno
import hashlib
import os
import stat
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from affectlake.data import remote
from affectlake.data.checksums import folder_sha256
from affectlake.data.errors import BadMedia
from affectlake.data.media import local_name

ABSENT = "absent"
"""Stands for the sha256 of a file that is not there or cannot be read."""

UNLEARNT = "unlearnt"
"""Stands for the sha256 of an object elsewhere that nobody has read yet."""

OUTAGE = {
    getattr(errno, name)
    for name in ("ESTALE", "ETIMEDOUT", "ENOTCONN", "EHOSTDOWN", "EHOSTUNREACH", "ENETUNREACH", "ECONNRESET")
}
"""Errors of a share that does not answer: nothing is known of its files, least of all that they are gone."""

UNSURE = 0
"""A stamp that equals no other, its own kind included: the file is read again."""

HASH_SECONDS, HASH_RATE = 60.0, 2**20
"""Seconds that reading one file may take, and bytes per second that it may take longer for."""

_BLOCK = 2**20
_SPARSE = 2**30
_TRIES = 3
_FINE, _COARSE = 20_000_000, 2_000_000_000


@dataclass(frozen=True, slots=True)
class State:
    """What the system says of a file without reading it.

    Attributes
    ----------
    size : int
        Bytes, of a folder those of its files; -1 where nothing is there.
    mtime_ns : int
        Time of the last write, of a folder the latest.
    stamp : int
        Stands for sizes, times (also those that a user cannot set), inodes and, in a folder, names: equal only where
        nothing was written, replaced or renamed. `UNSURE` where nothing is there.
    newest_ns : int
        The latest time of any kind.
    """

    size: int = -1
    mtime_ns: int = 0
    stamp: int = UNSURE
    newest_ns: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """The state of a file and the sha256 of the bytes that it had in that state; `ABSENT` where it cannot be read."""

    state: State
    sha256: str = ABSENT


def states(uris: Sequence[str]) -> list[State]:
    """The state of objects elsewhere, told by lists as far as there are any; see `affectlake.data.remote.states`."""
    return [State() if one is None else of_object(one) for one in remote.states(uris)]


def of_object(found: remote.Object) -> State:
    """The state of an object that a server described; `UNSURE` where nothing tells its versions apart."""
    if not found.identity:
        return State(max(found.size, 0), found.modified_ns)
    digest = hashlib.blake2b(found.identity.encode(), digest_size=8).digest()
    return State(max(found.size, 0), found.modified_ns, int.from_bytes(digest, "little", signed=True) or 1)


def state(uri: str) -> State:
    """Raises OSError only where a share does not answer (`OUTAGE`)."""
    if remote.is_remote(uri):
        return states([uri])[0]
    path = local_name(uri) or ""  # nothing is called so
    try:
        found = os.stat(path)
        if not stat.S_ISDIR(found.st_mode):
            return _state([("", found)])
        return _state([(f.name, f.stat()) for f in _frames(path)])
    except OSError as error:
        if error.errno in OUTAGE:
            raise
    except ValueError:  # a name that no file can have
        pass
    return State()


def _frames(path: str) -> list[os.DirEntry[str]]:
    """The files of a folder, in name order."""
    with os.scandir(path) as entries:
        return sorted((f for f in entries if f.is_file()), key=lambda f: f.name)


def _state(files: list[tuple[str, os.stat_result]]) -> State:
    digest = hashlib.blake2b(digest_size=8)
    for name, found in files:
        # Not the device: its number may be another after every start of the machine. A share without inodes says 0.
        numbers = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino & (2**63 - 1), found.st_mode)
        digest.update(struct.pack("<5q", *numbers) + os.fsencode(name) + b"\0")
    sizes = sum(found.st_size for _, found in files)
    mtime = max((found.st_mtime_ns for _, found in files), default=0)
    newest = max((max(found.st_mtime_ns, found.st_ctime_ns) for _, found in files), default=0)
    return State(sizes, mtime, int.from_bytes(digest.digest(), "little", signed=True) or 1, newest)


def read(uri: str, stamp: int = UNSURE) -> Read:
    """Hash a file, or the files of a folder with their names, in a state that it kept from the first byte to the last.

    Of a file that is written all the while, that is no ordinary file (a pipe, a device), or that takes longer than
    `HASH_SECONDS` and `HASH_RATE` allow, nothing is known: its sha256 is `ABSENT`. Of an object elsewhere a copy that
    is at hand will do where it has this ``stamp``.

    Raises
    ------
    OSError
        A share does not answer (`OUTAGE`).
    """
    if remote.is_remote(uri):
        return _fetched(uri, stamp)
    before = State()
    for _ in range(_TRIES):
        before = state(uri)
        if before.size < 0:
            return Read(before)
        sha256 = _hash(local_name(uri) or "")
        if state(uri).stamp == before.stamp:
            return Read(before, sha256)
    return Read(before)


def is_at(stamp: int, found: remote.Object) -> bool:
    """Whether an object is the one that had this stamp; never where nothing tells its versions apart."""
    return stamp != UNSURE and of_object(found).stamp == stamp


def _fetched(uri: str, stamp: int) -> Read:
    """Learnt from the bytes themselves, which stay at hand for who reads them next as far as there is room."""
    try:
        with remote.fetched(uri, lambda copy: is_at(stamp, copy.object)) as copy:
            return Read(of_object(copy.object), copy.sha256)
    except BadMedia:
        return Read(State())


def _hash(path: str) -> str:
    try:
        if os.path.isdir(path):
            return folder_sha256({f.name: _file_sha256(f.path) for f in _frames(path)})
        return _file_sha256(path)
    except OSError as error:
        if error.errno in OUTAGE and not isinstance(error, _TooLong):
            raise
        return ABSENT


class _TooLong(TimeoutError):
    pass


def _file_sha256(path: str) -> str:
    with _opened(path) as descriptor:
        size = os.fstat(descriptor).st_size
        deadline = time.monotonic() + HASH_SECONDS + size / HASH_RATE
        digest, left = hashlib.sha256(), size
        # No more than it had: a file that grows as fast as it is read has no end.
        while left > 0 and (block := os.read(descriptor, min(_BLOCK, left))):
            digest.update(block)
            left -= len(block)
            if time.monotonic() > deadline:
                raise _TooLong(f"reading takes longer than {deadline:.0f} s")
        return digest.hexdigest()


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """An ordinary file: opening a pipe waits for its writer, and opening a device may do anything."""
    _check(os.stat(path))
    descriptor = _open(path)
    try:
        _check(os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    for _ in range(50):
        try:
            return os.open(path, flags)
        except BlockingIOError:  # Samba or NFS lent it to a client, and is asking it back now
            time.sleep(0.1)
    return os.open(path, flags)


def _check(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not an ordinary file")
    if found.st_size > _SPARSE and getattr(found, "st_blocks", found.st_size) * 512 < found.st_size / 100:
        raise OSError(errno.EFBIG, "an endless file of zeros, which are not on the disk")


def settle(newest: list[int]) -> None:
    """Wait until a write that comes from now on gets another time than the newest of these: at most 2 s."""
    now = time.time_ns()
    granules = ((t, _FINE if t % 1_000_000_000 else _COARSE) for t in newest)
    left = max((t + granule - now for t, granule in granules if t <= now < t + granule), default=0)
    time.sleep(left / 1e9)
