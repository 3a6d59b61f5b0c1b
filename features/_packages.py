"""Files inside installed packages that are never imported: found, joined where they come in parts, checked."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from io import BufferedReader
from pathlib import Path
from typing import Any

from affectlake.data._raw import Positioned
from affectlake.data.checksums import remembered_sha256
from affectlake.data.errors import AffectlakeError


@dataclass(frozen=True)
class PackagedFile:
    """Weights that an installed package carries.

    Attributes
    ----------
    module : str
        Name by which the package would be imported.
    path : str
        Where the file lies in it.
    sha256 : str
        Of the file as it was published.
    install : str
        Command that brings it.
    """

    module: str
    path: str
    sha256: str
    install: str

    def find(self) -> Path:
        """Where it lies; raises FileNotFoundError."""
        path = module_folder(self.module, self.install) / self.path
        if not path.is_file():
            raise FileNotFoundError(f"the package {self.module} has no {self.path}: {self.install}")
        return path

    def checked(self) -> Path:
        """Where it lies, ready for use; raises FileNotFoundError, and AffectlakeError as `check`."""
        path = self.find()
        check([path], self.sha256, f"the package {self.module}")
        return path


def module_folder(module: str, install: str = "") -> Path:
    """Where an installed package lies, found without importing it; raises FileNotFoundError."""
    spec = importlib.util.find_spec(module)
    folders = (spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise FileNotFoundError(f"the package {module} is not installed" + (f": {install}" if install else ""))
    return Path(folders[0])


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
    digest = remembered_sha256(*paths)
    if digest != sha256:
        raise AffectlakeError(f"weights of {what} have sha256 {digest}, those of its authors {sha256}")


def joined(paths: Sequence[Path]) -> BufferedReader:
    """Files one after another as one, for reading."""
    return BufferedReader(Joined(paths))


class Joined(Positioned):
    """Files one after another, as if they were one; for reading."""

    def __init__(self, paths: Sequence[Path]):
        self._files = [open(p, "rb") for p in paths]
        self._sizes = [p.stat().st_size for p in paths]
        super().__init__(sum(self._sizes))

    def readinto(self, buffer: Any) -> int:
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
