"""Paths at which readers of media, which all open files by one function, find another file than lies there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_others: dict[Path, Callable[[], BinaryIO]] = {}


@contextmanager
def standing_in(path: Path, opened: Callable[[], BinaryIO]) -> Iterator[None]:
    """For as long as the context lasts, who opens the path as media is given what ``opened`` gives."""
    _others[path] = opened
    try:
        yield
    finally:
        del _others[path]


def other(path: Path) -> Callable[[], BinaryIO] | None:
    """What opens the file that is meant by a path; None where it is the one that lies there."""
    return _others.get(path)
