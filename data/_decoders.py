"""What decoders of sound share: each gives any range of a recording's samples, numbered from the container's zero.

So a segment is a slice, whichever of them reads the file: libsndfile (`_sndfile`) or FFmpeg (`_ffmpeg`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from affectlake.data.errors import BadMedia
from affectlake.data.media import shown

RATES = (1_000, 1_000_000)
"""Samples per second that can be heard, least and most."""

CHANNELS = 256
"""At most."""

BLOCK = 1 << 18
"""Samples of all channels decoded at a time."""


class GaveUp(Exception):
    """This decoder cannot read the file; another may."""


class Source(Protocol):
    """A sound that can be decoded, any part of it and more than once.

    Attributes
    ----------
    rate, channels : int > 0
    stated : float or None
        Seconds that the file states, a hint; None where it states none.
    ended : float or None
        Seconds at which decoding met the end of the sound; None before that.
    """

    rate: int
    channels: int
    stated: float | None
    ended: float | None

    def length(self) -> float:
        """Seconds that there are; raises BadMedia where the file states more."""

    def blocks(self, begin: int, stop: int | None) -> Iterator[np.ndarray]:
        """Samples ``begin`` to ``stop`` (the end if None) in blocks [shape=(n, channels)], float32.

        Raises BadMedia where fewer are there than stated, GaveUp where the decoder meets what it does not know.
        """

    def close(self) -> None:
        """Let go of the file."""


def check_form(path: Path, rate: int, channels: int) -> None:
    """Raises BadMedia where a sound is none that can be heard."""
    if not RATES[0] <= rate <= RATES[1]:
        raise BadMedia(f"{shown(path)}: states {rate} samples per second, from {RATES[0]} to {RATES[1]} can be heard")
    if not 1 <= channels <= CHANNELS:
        raise BadMedia(f"{shown(path)}: states {channels} channels, 1 to {CHANNELS} can be heard")


def truncated(path: Path, holds: float, states: float) -> BadMedia:
    """The error of a file that was cut."""
    return BadMedia(f"{shown(path)}: truncated, holds {holds:.2f} s of the {states:.2f} s that it states")


class Joined:
    """Sounds one after the other, as files are that were joined end to end."""

    def __init__(self, path: Path, sources: Sequence[Source]):
        self._sources = sources
        self.rate, self.channels = sources[0].rate, sources[0].channels
        if any((s.rate, s.channels) != (self.rate, self.channels) for s in sources):
            self.close()
            raise BadMedia(f"{shown(path)}: holds recordings of different rates or channels, one after the other")
        self._counts = [round(s.length() * self.rate) for s in sources]
        self.stated: float | None = sum(self._counts) / self.rate
        self.ended: float | None = None

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def length(self) -> float:
        return sum(self._counts) / self.rate

    def blocks(self, begin: int, stop: int | None) -> Iterator[np.ndarray]:
        at = 0
        for source, count in zip(self._sources, self._counts, strict=True):
            if begin < at + count and (stop is None or stop > at):
                yield from source.blocks(max(0, begin - at), count if stop is None else min(stop - at, count))
            at += count
        if stop is None or stop >= at:
            self.ended = at / self.rate
