"""How long work tells whoever waits for it: stage by stage."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Report = Callable[[int, int], None]
"""Told how much is done, and of how much (0: nobody knows)."""

Progress = Callable[[str], AbstractContextManager[Report]]
"""Given a stage's title, shows it as long as the block runs; nothing is to be printed on stdout meanwhile."""


@contextmanager
def silent(title: str) -> Iterator[Report]:
    """Shows nothing."""
    yield lambda done, total: None
