"""A copy of each file of a table's log with its sum, by which a damaged one is told from a sound one, and mended.

Delta's library takes a flipped bit of a log for what was written: rows come twice, files go to another shard, or it
fails in words of its own. Therefore logs are compared before it sees them. A log is replaced by no one, so that a copy
is made once, after the commit; where that failed, or the store is older than this, the next writer does it. Object
stores keep sums of their own and take no copies.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

LOG, COPIES = "_delta_log", "_delta_log_copies"
HINT = "_last_checkpoint"
"""Names the newest checkpoint, is replaced by each, and has no copy: who cannot read it lists the log."""

_NAME = re.compile(r"(\d{20})\.(json|checkpoint[.0-9]*\.parquet)")
_sound: set[tuple[str, int, int, int]] = set()  # files that this process has compared; changed ones are others


@dataclass(frozen=True)
class State:
    """Whether a file of a log and its copy are sound; ``copy`` is None where there is none."""

    log: bool
    copy: bool | None


class _File(NamedTuple):
    version: int
    name: str

    @property
    def checkpoint(self) -> bool:
        return not self.name.endswith(".json")


def note(folder: str) -> None:
    """Copy what has no copy yet; what cannot be written is left to the next writer."""
    copies = os.path.join(folder, COPIES)
    with suppress(OSError):
        os.makedirs(copies, exist_ok=True)
        known = set(os.listdir(copies))
        for file in _files(folder):
            if _copy_name(file.name) not in known:
                _write_copy(folder, file.name)


def state(folder: str, name: str) -> State:
    """Compare a file of the log of a table's folder with its copy; of three witnesses, two are believed."""
    raw, kept = _read(os.path.join(folder, LOG, name)), _read(os.path.join(folder, COPIES, _copy_name(name)))
    if kept is None:
        return State(raw is not None, None)
    wanted, _, text = kept.partition(b"\n")
    intact, copy_intact = raw is not None and _sum(raw) == wanted, _sum(text) == wanted
    if intact or not name.endswith(".json"):  # of a checkpoint there is the sum alone
        return State(intact, copy_intact or not name.endswith(".json"))
    return State(raw == text and not copy_intact, copy_intact)


def states(folder: str) -> dict[str, State]:
    """By name all that were ever there."""
    with suppress(FileNotFoundError):
        copied = [n.removesuffix(".copy") for n in os.listdir(os.path.join(folder, COPIES)) if n.endswith(".copy")]
        return {n: state(folder, n) for n in sorted({*copied, *(f.name for f in _files(folder))})}
    return {f.name: state(folder, f.name) for f in _files(folder)}


def first_damaged(folder: str, version: int | None, whole: bool = False) -> str | None:
    """Name of a damaged file among those from which a version of a table is read.

    Parameters
    ----------
    folder : str
    version : int or None
        None: the newest.
    whole : bool
        All files up to it, for its history, though a checkpoint spares them.
    """
    if not hint_is_sound(folder):
        return HINT
    for name in _read_for(folder, version, whole):
        path = os.path.join(folder, LOG, name)
        with suppress(FileNotFoundError):
            found = os.stat(path)
            key = path, found.st_ino, found.st_size, found.st_mtime_ns
            if key not in _sound:
                if not state(folder, name).log:
                    return name
                _sound.add(key)
    return None


def mend(folder: str) -> list[str]:
    """Bring back what a sound copy is there of, drop checkpoints that are damaged, copy anew where copies are.

    Returns
    -------
    list of str
        Names of files of the log that were mended.
    """
    mended = []
    found = states(folder)
    whole = all(s.log or s.copy for n, s in found.items() if n.endswith(".json"))
    if whole and not hint_is_sound(folder):
        os.remove(os.path.join(folder, LOG, HINT))
        mended.append(HINT)
    for name, was in found.items():
        path, copy = os.path.join(folder, LOG, name), os.path.join(folder, COPIES, _copy_name(name))
        if was.log and was.copy is False:
            os.remove(copy)
        elif not was.log and name.endswith(".json") and was.copy:
            _replace(path, (_read(copy) or b"").partition(b"\n")[2])
            mended.append(name)
        elif not was.log and not name.endswith(".json") and whole:
            for gone in (os.path.join(folder, LOG, HINT), path, copy):
                with suppress(FileNotFoundError):
                    os.remove(gone)
            mended.append(name)
    note(folder)
    return mended


def hint_is_sound(folder: str) -> bool:
    """Whether the file that names a checkpoint names one that is there; the file need not be."""
    raw = _read(os.path.join(folder, LOG, HINT))
    named = re.search(rb'"version":(\d+)', raw or b"")
    return raw is None or (
        named is not None and any(f.checkpoint and f.version == int(named[1]) for f in _files(folder))
    )


def tables(root: str) -> Iterator[str]:
    """Every table of a local store, by its path relative to the root."""
    for folder, below, _ in os.walk(root):
        if LOG in below:
            yield os.path.relpath(folder, root)
            below.clear()
        below[:] = sorted(b for b in below if not b.startswith(".") and b != "current")


def _read_for(folder: str, version: int | None, whole: bool) -> list[str]:
    files = [f for f in _files(folder) if version is None or f.version <= version]
    start = -1 if whole else max((f.version for f in files if f.checkpoint), default=-1)
    return [f.name for f in files if f.version >= start]


def _files(folder: str) -> list[_File]:
    with suppress(FileNotFoundError):
        found = sorted(os.listdir(os.path.join(folder, LOG)))
        return [_File(int(match[1]), name) for name in found if (match := _NAME.fullmatch(name))]
    return []


def _copy_name(name: str) -> str:
    return f"{name}.copy"


def _write_copy(folder: str, name: str) -> None:
    raw = _read(os.path.join(folder, LOG, name))
    if raw is not None:
        text = raw if name.endswith(".json") else b""
        _replace(os.path.join(folder, COPIES, _copy_name(name)), _sum(raw) + b"\n" + text)


def _replace(path: str, content: bytes) -> None:
    beside = os.path.join(os.path.dirname(path), f".{secrets.token_hex(8)}")
    try:
        with open(beside, "wb") as file:
            file.write(content)
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.remove(beside)
        raise


def _read(path: str) -> bytes | None:
    with suppress(FileNotFoundError), open(path, "rb") as file:
        return file.read()
    return None


def _sum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
