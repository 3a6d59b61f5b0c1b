"""What is known of an object without reading it, and how it is said that it cannot be had."""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from affectlake.data.errors import AffectlakeError, BadMedia


@dataclass(frozen=True, slots=True)
class Object:
    """An object as a listing or the answer to a request describes it.

    Attributes
    ----------
    size : int
        Bytes; -1 where the server does not say.
    modified_ns : int
        When it was written, in ns since 1970; 0 where the server does not say.
    identity : str
        Another one for other bytes: made of the ETag, or what else the server tells versions apart by, and of the
        address where that does not stand for the content; empty where
        it says nothing of the kind, so that nobody knows whether they are the same without reading them.
    """

    size: int = -1
    modified_ns: int = 0
    identity: str = ""


class Refused(BadMedia):
    """One object that cannot be had; costs its sample."""


class Unreachable(AffectlakeError):
    """A bucket or server that does not exist, does not answer, or lets nobody in: nothing is known of its objects."""


def folder_of(files: Mapping[str, Object]) -> Object:
    """What is known of a folder by the names of the objects in it and what each is; nothing where one is not told."""
    told = "\n".join(f"{name} {files[name].identity}" for name in sorted(files))
    known = all(file.identity for file in files.values())
    return Object(
        sum(file.size for file in files.values()),
        max((file.modified_ns for file in files.values()), default=0),
        f"folder {hashlib.sha256(told.encode('utf-8', 'surrogatepass')).hexdigest()}" if known else "",
    )


class Sink(Protocol):
    """Where a fetched object is written to."""

    def begin(self, size: int) -> None:
        """Begin, or begin again, with an object of so many bytes; -1 where nobody knows."""

    def write(self, block: Any) -> int:
        """Take bytes; their number."""


class FolderSink(Protocol):
    """Where the objects of a folder are written to."""

    def file(self, name: str) -> AbstractContextManager[Sink]:
        """Where one of them is; several may be open at once."""
