"""Finding a corpus's files by their names, wherever an archive put them."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from affectlake.data.media import AUDIO


def named(
    root: Path, stem: re.Pattern, suffixes: tuple[str, ...], folders: bool = False
) -> Iterator[tuple[str, re.Match]]:
    """Files (and folders of frames, if asked for) whose stem matches wholly, as (absolute path, match).

    Shallow ones first, then by name, so that of two copies the first is always the same one. Hidden files and those of
    macOS archives are passed over.
    """
    level = [os.path.abspath(root)]
    while level:
        below = []
        for folder in level:
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda e: e.name):
                    if entry.name.startswith((".", "__MACOSX")):
                        continue
                    name, suffix = os.path.splitext(entry.name)
                    if entry.is_dir():
                        if folders and (match := stem.fullmatch(entry.name)):
                            yield entry.path, match
                        else:
                            below.append(entry.path)
                    elif suffix.lower() in suffixes and (match := stem.fullmatch(name)):
                        yield entry.path, match
        level = below


def recordings(root: Path, stem: re.Pattern, about: Callable[[re.Match], dict]) -> pd.DataFrame:
    """One row per sound file, called as its file; of a second copy inside the archive the first counts."""
    rows: dict[str, dict] = {}
    for path, match in named(root, stem, AUDIO):
        rows.setdefault(match[0], about(match) | {"audio": path})
    return pd.DataFrame([{"sample_id": i} | row for i, row in sorted(rows.items())])
