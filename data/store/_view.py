"""``current/``: the newest snapshot as plain Parquet folders, hard links to the tables' own files."""

import os
import shutil
from collections.abc import Mapping

from affectlake.data.store._place import Place
from affectlake.data.store._snapshots import Snapshot

CURRENT, VIEWS = "current", ".views"
_KEPT = 2  # the one before stays for readers that have just listed it


def publish(place: Place, state: Mapping[str, Snapshot]) -> None:
    """Point ``current`` at the given state in one step; does nothing on object stores, which have no links."""
    if not place.local or not state:
        return
    newest = max(s.number for s in state.values())
    name = f"s{newest:06d}"
    link, target = place.path(CURRENT), os.path.join(VIEWS, name)
    if os.path.islink(link) and os.readlink(link) == target:
        return
    views = place.path(VIEWS)
    build = os.path.join(views, f".{name}.{os.getpid()}")
    shutil.rmtree(build, ignore_errors=True)
    for dataset, snapshot in state.items():
        for table, entry in snapshot.tables.items():
            if table == "samples" or table.startswith("features."):
                _link(place, entry, os.path.join(build, dataset, table.removeprefix("features.")))
    final = os.path.join(views, name)
    if os.path.isdir(final):
        shutil.rmtree(build)  # a refresh of another dataset, at the same moment, was as far
    else:
        os.replace(build, final)
    beside = f"{link}.{os.getpid()}"
    if os.path.lexists(beside):
        os.remove(beside)
    os.symlink(target, beside)
    os.replace(beside, link)
    _tidy(views, name)


def _link(place: Place, entry: dict, folder: str) -> None:
    os.makedirs(folder)
    for i, path in enumerate(sorted(place.at(entry).file_uris())):
        beside = os.path.join(folder, f"{i:05d}-{os.path.basename(path)}")
        try:
            os.link(path, beside)
        except OSError:  # a file system without hard links
            shutil.copy2(path, beside)


def _tidy(views: str, newest: str) -> None:
    names = sorted(n for n in os.listdir(views) if n.startswith("s") and n <= newest)
    for name in names[:-_KEPT]:
        shutil.rmtree(os.path.join(views, name), ignore_errors=True)


def clear(place: Place) -> None:
    """Remove the view and all older ones."""
    if place.local:
        if os.path.islink(place.path(CURRENT)):
            os.remove(place.path(CURRENT))
        shutil.rmtree(place.path(VIEWS), ignore_errors=True)
