"""Paths of media as they are written on other systems, and the files that are meant."""

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import pandas as pd

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_ODD = re.compile(r"\\|^[A-Za-z]:[/\\]|[^\x00-\x7f]")


def found(paths: pd.Series, base: Path, column: str) -> tuple[pd.Series, list[str]]:
    """Paths by which the files are found, and what to say of them.

    What is there by its own name stays. Else backslashes are folders, absolute paths of Windows are looked for below
    ``base`` from their first folder on that is there, and names are found whether they are composed (é as one
    character) or not (e and an accent, as macOS has it). What is not found stays as it is, but for backslashes.
    """
    odd = paths.notna() & paths.str.contains(_ODD.pattern, regex=True, na=False)
    if not odd.any():
        return paths, []
    names = _Names(base)
    new = {path: _found(path, names) for path in pd.unique(paths[odd])}
    moved = [(old, now) for old, now in new.items() if now != old and _of_windows(old) and names.has(now)]
    lost = [old for old, now in new.items() if _of_windows(old) and not names.has(now)]
    notes = []
    if moved:
        notes.append(
            f"{len(moved)} {column} paths of Windows are read as below {base}, "
            f"such as {moved[0][0]!r} as {moved[0][1]!r}"
        )
    if lost:
        notes.append(
            f"{len(lost)} {column} paths name a drive of Windows and no file here, such as {lost[0]!r}; "
            "write them relative to the manifest"
        )
    paths = paths.copy()
    paths[odd] = paths[odd].map(new).astype("str")
    return paths, notes


def _of_windows(path: str) -> bool:
    return bool(PureWindowsPath(path).drive)


def _found(path: str, names: "_Names") -> str:
    if _SCHEME.match(path) or names.has(path):
        return path
    for one in _spellings(path):
        if (there := names.spelt(one)) is not None:
            return there
    return path if _of_windows(path) or "\\" not in path else path.replace("\\", "/")


def _spellings(path: str) -> Iterator[str]:
    yield path
    if "\\" not in path and not _of_windows(path):
        return
    windows = PureWindowsPath(path)
    parts = windows.parts[1:] if windows.anchor else windows.parts
    if not windows.anchor:
        yield "/".join(parts)
        return
    for i in range(len(parts)):
        yield "/".join(parts[i:])


class _Names:
    """Files below a folder, by names that look the same."""

    def __init__(self, base: Path):
        self._base = base
        self._folders: dict[str, dict[str, str]] = {}

    def has(self, path: str) -> bool:
        try:
            return os.path.exists(os.path.join(self._base, path))
        except ValueError:
            return False

    def spelt(self, path: str) -> str | None:
        """The path as it is on the disk; None where there is none."""
        if self.has(path):
            return path
        absolute = path.startswith("/")
        here, spelt = ("/" if absolute else str(self._base)), []
        for part in path.split("/"):
            if part in ("", ".", ".."):
                name: str | None = part
            else:
                name = self._inside(here).get(unicodedata.normalize("NFC", part))
            if name is None:
                return None
            spelt.append(name)
            here = os.path.join(here, name)
        return "/".join(spelt)

    def _inside(self, folder: str) -> dict[str, str]:
        if folder not in self._folders:
            try:
                names = os.listdir(folder)
            except OSError:
                names = []
            self._folders[folder] = {unicodedata.normalize("NFC", n): n for n in sorted(names)}
        return self._folders[folder]
