"""Finding a corpus's files by their names, wherever an archive put them."""

import errno
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

import pandas as pd

from affectlake.data.media import AUDIO

_log = logging.getLogger("affectlake.datasets")

Row: TypeAlias = dict[str, "str | float | None"]
"""Columns of one sample."""

TEXT = (".csv", ".txt")
"""Kinds of files that loaders read themselves."""

OUTAGE = {errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EIO}
"""Errors of a share or disk that does not answer: that its folders are passed over would look as if they were gone."""


def named(
    root: Path, stem: re.Pattern[str], suffixes: tuple[str, ...], folders: bool = False
) -> Iterator[tuple[str, re.Match[str]]]:
    """Files (and folders of frames, if asked for) whose stem matches wholly, as (absolute path, match).

    Shallow ones first, then by name, so that of two copies the first is always the same one. Hidden files and those of
    macOS archives are passed over. A medium's path that is not UTF-8, which no table can keep, is a file:// address.
    """
    level = [os.path.abspath(root)]
    seen: set[tuple[int, int]] = set()
    while level:
        below = []
        for folder in level:
            for entry in _entries(folder, seen):
                name, suffix = os.path.splitext(entry.name)
                if os.path.isdir(entry.path):  # not entry.is_dir(), which raises of a link to itself
                    if folders and (match := stem.fullmatch(entry.name)):
                        yield _kept(entry.path), match
                    else:
                        below.append(entry.path)
                elif suffix.lower() in suffixes and (match := stem.fullmatch(name)):
                    yield entry.path if suffix.lower() in TEXT else _kept(entry.path), match
        level = below


def _kept(path: str) -> str:
    try:
        path.encode()
        return path
    except UnicodeEncodeError:
        return f"file://{quote(os.fsencode(path))}"


def _entries(folder: str, seen: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """What a folder holds, by name; nothing of one that was seen under another name (links may lead in circles), and
    a word instead of one that cannot be read.
    """
    try:
        found = os.stat(folder)
        if (found.st_dev, found.st_ino) in seen and found.st_ino:
            return []
        seen.add((found.st_dev, found.st_ino))
        if found.st_dev in _kernel():
            _log.warning("the folder %s is passed over: it is the kernel's", ascii(folder))
            return []
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda e: e.name)
    except OSError as error:
        if error.errno in OUTAGE:
            raise
        _log.warning("the folder %s is passed over: %s", ascii(folder), error.strerror)
        return []
    return [e for e in inside if not e.name.startswith((".", "__MACOSX"))]


@cache
def _kernel() -> frozenset[int]:
    """Devices of the folders that the kernel makes up, which have no end; a link may lead to them."""
    found = set()
    for folder in ("/proc", "/sys", "/dev"):
        with suppress(OSError):
            found.add(os.stat(folder).st_dev)
    with suppress(OSError):
        found.discard(os.stat("/").st_dev)  # where they are not mounted, they are folders as others
    return frozenset(found)


def recordings(root: Path, stem: re.Pattern[str], about: Callable[[re.Match[str]], Row]) -> pd.DataFrame:
    """One row per sound file, called as its file; of a second copy inside the archive the first counts."""
    rows: dict[str, Row] = {}
    for path, match in named(root, stem, AUDIO):
        rows.setdefault(match[0], about(match) | {"audio": path})
    return rows_by_id(rows)


def rows_by_id(rows: Mapping[str, Row]) -> pd.DataFrame:
    """Samples of a corpus from their columns by ``sample_id``, in the order of the ids."""
    return pd.DataFrame([{"sample_id": i, **row} for i, row in sorted(rows.items())])
