"""What was made from a store and lies beyond it, such as reports: whoever makes it says how people are taken out.

A package announces its keeper, an object with the two functions of `Keeper`, as an entry point of the group
``affectlake.erasure``, so that the store need not know who writes about it.
"""

from functools import cache
from importlib.metadata import entry_points
from typing import Protocol

from affectlake.data.store._answers import Left
from affectlake.data.store._names import ErasureTarget, Traces
from affectlake.data.store._reader import Reader
from affectlake.data.store._search import SearchResult

GROUP = "affectlake.erasure"


class Keeper(Protocol):
    """Knows what was made from a store, and where."""

    def clean(self, store: Reader, dataset: str, target: ErasureTarget) -> list[Left]:
        """Take people out of it; what could not be reached."""
        ...

    def search(self, store: Reader, dataset: str, traces: Traces) -> SearchResult:
        """Look for people in it."""
        ...


@cache
def keepers() -> tuple[Keeper, ...]:
    """Keepers of the packages that are installed, in the order of their names."""
    return tuple(e.load() for e in sorted(entry_points(group=GROUP), key=lambda e: e.name))
