"""What a page is asked for: the parameters of its address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from affectlake.data.errors import UsageError


@dataclass(frozen=True)
class Ask:
    """Parameters of an address by name, each with its values in order."""

    values: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str:
        """The value of a parameter that a page needs; raises UsageError where there is none."""
        if not self.values.get(name):
            raise UsageError(f"this page needs {name}=… in its address")
        return self.values[name][-1]

    def maybe(self, name: str) -> str | None:
        """The value of a parameter, None where it is not given or empty."""
        return (self.values.get(name) or [""])[-1] or None

    def many(self, name: str) -> list[str]:
        """All values of a parameter."""
        return list(self.values.get(name, ()))

    def page(self) -> int:
        """The number of the part of a long table, from 1; raises UsageError where it is no such number."""
        said = self.maybe("page") or "1"
        if not (said.isascii() and said.isdecimal() and 1 <= len(said) <= 9 and int(said)):
            raise UsageError(f"page={said!r} is no number from 1 on")
        return int(said)


class Links(Protocol):
    """Where pages lie: behind a server, or as files beside each other."""

    static: bool
    """Whether these are files: without media, and without what is asked for in forms."""

    def __call__(self, page: str, /, **which: str | Sequence[str] | None) -> str:
        """Address of a page; empty where it has none."""
        ...

    def asset(self, name: str) -> str:
        """Address of a file of ours."""
        ...
