"""The sha256 of files."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

_BLOCK = 2**20


def file_sha256(path: Path | str) -> str:
    """Of a file's bytes, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_sha256(sums: Mapping[str, str]) -> str:
    """Of a folder, by the names of the files in it and the sha256 of each."""
    lines = "\n".join(f"{name} {sums[name]}" for name in sorted(sums))
    return hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()


def remembered_sha256(*paths: Path) -> str:
    """Of the bytes of files, one file after another, read once while their sizes and times of writing stay.

    Weights are large, and asked for several times in a run.
    """
    states = [path.stat() for path in paths]
    return _sha256(paths, tuple((s.st_size, s.st_mtime_ns) for s in states))


@lru_cache(maxsize=256)
def _sha256(paths: Sequence[Path], stamps: tuple[tuple[int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
