"""A static copy of the pages: files beside each other that open offline, without media and without paths of files."""

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.progress import Progress, silent
from affectlake.data.store import Store
from affectlake.flows.compare import SELECTED
from affectlake.flows.explore.app import ASSETS
from affectlake.flows.explore.ask import Ask
from affectlake.flows.explore.lake import Lake
from affectlake.flows.explore.page import page
from affectlake.flows.explore.site import PAGES, Page

_ASSETS = sorted(path.name for path in ASSETS.iterdir())

_ASKED = ("near", "way", "word")  # of which a copy has only what is shown unasked
_LEFT_OUT = ("trace",)  # says where files lie
_OURS = re.compile(r"(index|[a-z]+-[0-9a-f]{16})\.html")


class Files:
    """Addresses of pages as files: each that is asked for is one to write. Their names tell nothing of what is in them.

    Parameters
    ----------
    lake : Lake
    samples : int
        So many samples of each dataset have a page.
    """

    static = True

    def __init__(self, lake: Lake, samples: int):
        self.wanted: dict[str, tuple[str, dict[str, list[str]]]] = {}
        held = [d["dataset"] for d in lake.store.status()["datasets"]]
        self._samples = {d: set(lake.samples(d).index[:samples]) for d in held}
        self._embeddings = {d: set(lake.embeddings(d)) for d in held}

    def __call__(self, page: str, /, **which: str | Sequence[str] | None) -> str:
        query = {k: [v] if isinstance(v, str) else list(v) for k, v in which.items() if v}
        if not self._written(page, {k: v[0] for k, v in query.items()}):
            return ""
        name = f"{page}-{hashlib.sha256(json.dumps([page, query], sort_keys=True).encode()).hexdigest()[:16]}.html"
        name = "index.html" if page == "index" else name
        self.wanted.setdefault(name, (page, query))
        return name

    def asset(self, name: str) -> str:
        return name

    def _written(self, page: str, query: dict[str, str]) -> bool:
        dataset = query.get("dataset", "")
        if page in _LEFT_OUT or (query.keys() & set(_ASKED) and query.get("way") != "pca"):
            return False
        if page == "run" and query.get("row", SELECTED) != SELECTED:  # each of a hundred rows would have its confusions
            return False
        if page == "sample":
            return query["id"] in self._samples.get(dataset, ())
        if page == "column":
            return query["column"].rpartition(".")[0] not in self._embeddings.get(dataset, ())
        return True


def export(store: Store, out: Path, samples: int, progress: Progress = silent) -> int:
    """Write the pages to a folder; returns how many.

    Parameters
    ----------
    store : Store
    out : Path
        New, empty, or with an earlier copy, which is replaced.
    samples : int >= 0
        So many samples of each dataset have a page.
    progress : Progress, optional
        In pages, of those known so far.

    Raises
    ------
    UsageError
        The folder holds something else.
    """
    if samples < 0:
        raise UsageError(f"{samples} samples: expected 0 or more")
    _prepare(out)
    lake = Lake(store)
    files = Files(lake, samples)
    files("index")
    done: set[str] = set()
    with progress("writing pages") as report:
        while waiting := [name for name in files.wanted if name not in done]:
            for name in waiting:
                kind, asked = files.wanted[name]
                (out / name).write_text(_shown(PAGES[kind], lake, Ask(asked), files), encoding="utf-8")
                done.add(name)
                report(len(done), len(files.wanted))
    return len(done)


def _shown(show: Page, lake: Lake, ask: Ask, files: Files) -> str:
    """The page, or one that says why there is none: the others are written in any case."""
    try:
        return show(lake, ask, files)
    except AffectlakeError as error:
        return page("sorry", files, "Not to be had", why=str(error))


def _prepare(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder")
    out.mkdir(parents=True, exist_ok=True)
    held = list(out.iterdir())
    others = [p.name for p in held if p.name not in _ASSETS and not _OURS.fullmatch(p.name)]
    if others:
        raise UsageError(f"{out} holds files that are no copy of pages, such as {others[0]!r}: name a new folder")
    for old in held:  # of somebody who was erased since, for instance
        old.unlink()
    for name in _ASSETS:
        shutil.copy(ASSETS / name, out / name)
