"""Objects that are read in parts: as files of which only those blocks are fetched that somebody reads."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from typing import Any

from affectlake.data._raw import Positioned
from affectlake.data._standing import standing_in
from affectlake.data.remote.addresses import name_of, redacted
from affectlake.data.remote.fetching import fetch
from affectlake.data.remote.objects import Object, Refused
from affectlake.data.remote.spool import entry_name, plain_name, spool

BLOCK = 1 << 18
"""Bytes that are fetched at a time; a request costs about what so many bytes cost."""

IsIt = Callable[[Object], bool]
"""Whether what a server answers with is of the object that is meant, and not of another one in its place."""


@contextmanager
def in_parts(uri: str, size: int, is_it: IsIt) -> Iterator[str]:
    """A path under which readers of media find an object of so many bytes for as long as the context lasts.

    An empty file lies there: `affectlake.data.media.open_file` knows what to open in its stead.

    Raises
    ------
    Refused
        Something that was read could not be had, or is of another object; whatever the readers made of that.
    """
    blocks = _Blocks(uri, size, is_it)
    path = spool().folder / f"parts-{entry_name(uri)}" / plain_name(name_of(uri))
    path.parent.mkdir(exist_ok=True)
    path.touch()
    try:
        with standing_in(path, lambda: BufferedReader(_Parts(blocks))):
            yield str(path)
    finally:
        if blocks.refused is not None:
            raise blocks.refused from None


class _Blocks:
    """The blocks of an object, each fetched once into the place of all that is fetched."""

    def __init__(self, uri: str, size: int, is_it: IsIt):
        self.uri, self.size, self.is_it = uri, size, is_it
        self.refused: Refused | None = None
        self._number, self._kept = -1, b""

    def block(self, number: int) -> bytes:
        """Nothing where it could not be had, for what decoders are handed to read with may not raise."""
        if self._number != number:
            try:
                self._number, self._kept = number, self._fetched(number)
            except Refused as error:
                self.refused = error
                return b""
        return self._kept

    def _fetched(self, number: int) -> bytes:
        part = number * BLOCK, min((number + 1) * BLOCK, self.size)
        of_part = partial(fetch, self.uri, part=part)
        with spool().copy(
            f"{self.uri}\0{number}", str(number), of_part, lambda known: self.is_it(known.object)
        ) as copy:
            if not self.is_it(copy.object):
                raise Refused(f"{name_of(redacted(self.uri))}: another object is there now")
            return copy.path.read_bytes()


class _Parts(Positioned):
    """The object as a file that can be sought."""

    def __init__(self, blocks: _Blocks):
        super().__init__(blocks.size)
        self._blocks = blocks

    def readinto(self, buffer: Any) -> int:
        number, at = divmod(self.position, BLOCK)
        data = self._blocks.block(number)[at : at + len(buffer)] if self.position < self.size else b""
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)
