"""Files inside installed packages that are never imported: found, joined where they come in parts, checked."""

import hashlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from io import BufferedReader
from pathlib import Path

from affectlake.data._raw import Positioned
from affectlake.data.errors import AffectlakeError

_BLOCK = 2**20


def package_file(package: str, name: str) -> Path:
    """Where the file called ``name`` of an installed distribution lies; raises FileNotFoundError."""
    try:
        found = [f for f in distribution(package).files or () if f.name == name]
    except PackageNotFoundError:
        found = []
    if not found:
        raise FileNotFoundError(f"the package {package} is not installed")
    return Path(str(found[0].locate()))


def check(paths: Sequence[Path], sha256: str, what: str) -> None:
    """Raises AffectlakeError where files, one after another, are not the bytes that were published.

    Packages of others carry them: only the digest says that they are what their name promises.
    """
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    if digest.hexdigest() != sha256:
        raise AffectlakeError(f"weights of {what} have sha256 {digest.hexdigest()}, those of its authors {sha256}")


def joined(paths: Sequence[Path]) -> BufferedReader:
    """Files one after another as one, for reading."""
    return BufferedReader(Joined(paths))


class Joined(Positioned):
    """Files one after another, as if they were one; for reading."""

    def __init__(self, paths: Sequence[Path]):
        self._files = [open(p, "rb") for p in paths]
        self._sizes = [p.stat().st_size for p in paths]
        super().__init__(sum(self._sizes))

    def readinto(self, buffer) -> int:
        start = 0
        for file, size in zip(self._files, self._sizes, strict=True):
            if self.position < start + size:
                file.seek(self.position - start)
                count = file.readinto(memoryview(buffer)[: start + size - self.position])
                self.position += count
                return count
            start += size
        return 0

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()
