"""Features of parts of samples: an extractor that is run over windows of time, or over every face of a film."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data.errors import NotApplicable, UsageError
from affectlake.data.windows import TRACKED, WINDOWED, keys_of
from affectlake.features import settings
from affectlake.features.inputs import Request
from affectlake.features.protocol import Column, Extractor, Reads, Worded

LEAST = 0.02
"""Seconds without which what is left at the end is no window of its own."""


@dataclass(frozen=True)
class Series:
    """What an extractor says of each part of a sample.

    Attributes
    ----------
    keys : tuple of tuple
        What `affectlake.data.windows.keys_of` names, of each part: start and end [s], and the number of a track.
    values : np.ndarray [shape=(parts, len(columns))], float32
        NaN where it has nothing to say of a part.
    """

    keys: tuple[tuple[float | None, ...], ...]
    values: np.ndarray


class Parted:
    """See `affectlake.features.protocol.Extractor`; `affectlake.features.compute` makes `Series` of its answers.

    Parameters
    ----------
    whole : Extractor
        What is run over each part.
    kind : str
        Ends its name, see `affectlake.data.windows`.
    parameters : mapping
        Beside those of the whole.
    summary : str
        What is added to that of the whole.
    """

    def __init__(self, whole: Extractor, kind: str, parameters: Mapping[str, Any], summary: str):
        self.whole = whole
        self.name, self.keys = whole.name + kind, keys_of(kind)
        self.version = whole.version
        self.reads: Reads = whole.reads
        self.parameters: Mapping[str, Any] = {**whole.parameters, **parameters}
        self.columns: Sequence[Column] = whole.columns
        self.requires: Sequence[str] = whole.requires
        self.install, self.licence, self.cost = whole.install, whole.licence, whole.cost
        self.summary = f"{whole.summary}, {summary}"

    def weights(self) -> Sequence[Path]:
        return self.whole.weights()

    def extract(self, batch: Sequence[Any]) -> Sequence[np.ndarray | Worded | NotApplicable]:
        """The whole extractor's answer about each part that was read."""
        return self.whole.extract(batch)


class Windowed(Parted):
    """By windows of so many seconds, one every ``hop`` seconds."""

    def __init__(self, whole: Extractor, window: float, hop: float):
        about = f"by windows of {window:g} s every {hop:g} s"
        super().__init__(whole, WINDOWED, {"window": window, "hop": hop}, about)
        self.window, self.hop = window, hop


class Tracked(Parted):
    """Of every face that is followed through a film."""

    def __init__(self, whole: Extractor):
        from affectlake.features.face.tracks import SETTINGS

        super().__init__(whole, TRACKED, SETTINGS, "of every face")
        self.requires = (*self.requires, "scipy")


def can(extractor: Extractor) -> bool:
    """Whether an extractor has something to say of parts of a sample (``windowed = True``)."""
    return bool(getattr(extractor, "windowed", False))


def parted(name: str, whole: Extractor) -> Parted:
    """What is called ``name`` of an extractor: by windows, as the settings ``series.window`` and ``series.hop`` say.

    Raises
    ------
    UsageError
        They say that there are none.
    """
    if name.endswith(TRACKED):
        return Tracked(whole)
    window = float(settings.get("series.window"))
    if not window:
        raise UsageError(f"{whole.name}{WINDOWED} needs windows: --set series.window=1")
    return Windowed(whole, window, float(settings.get("series.hop")) or window)


def with_series(chosen: Sequence[Extractor]) -> list[Extractor]:
    """Extractors, and where the settings ask for it those that can once more, by windows, or of every face."""
    found: list[Extractor] = list(chosen)
    if settings.get("series.window"):
        found += [parted(e.name + WINDOWED, e) for e in chosen if can(e)]
    if settings.get("video.faces") == "all":
        found += [Tracked(e) for e in chosen if e.reads == "face"]
    return found


def extent(reads: Reads, request: Request) -> tuple[float, float]:
    """Seconds at which what is read of a request begins and ends.

    Raises
    ------
    BadMedia
        As what reads it.
    NotApplicable
        It has no time: pictures, folders of frames, films without the sound that is asked for.
    """
    from affectlake.data.pictures import film_extent
    from affectlake.data.sound import audio_length

    first, last = request.start or 0.0, math.inf if request.end is None else request.end
    if reads != "face":
        return first, min(audio_length(request.uri), last)
    shown = film_extent(request.uri, request.start, request.end)
    if shown is None:
        raise NotApplicable("a picture has no time")
    return first, shown[1]


def spans(first: float, last: float, window: float, hop: float, until: float = math.inf) -> list[tuple[float, float]]:
    """Windows from ``first`` on, to the millisecond, until all that there is up to ``last`` has been in one.

    The last one may end later than the recording, of which sound and picture differ by some milliseconds, but not later
    than ``until``, where the part ends that a row is about.

    >>> spans(2.0, 4.5, window=1.0, hop=1.0)
    [(2.0, 3.0), (3.0, 4.0), (4.0, 5.0)]
    >>> spans(2.0, 4.5, window=1.0, hop=1.0, until=4.5)
    [(2.0, 3.0), (3.0, 4.0), (4.0, 4.5)]
    """
    count = max(1, math.ceil(round((last - first - window) / hop, 6)) + 1)
    starts = [round(first + hop * i, 3) for i in range(count)]
    return [(a, min(round(a + window, 3), until)) for i, a in enumerate(starts) if not i or last - a >= LEAST]
