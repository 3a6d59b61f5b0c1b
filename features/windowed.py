"""Features over time: an extractor that is run over windows of each sample instead of the whole of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data.errors import NotApplicable, UsageError
from affectlake.data.windows import WINDOWED
from affectlake.features import settings
from affectlake.features.inputs import Request
from affectlake.features.protocol import Column, Extractor, Reads, Worded

LEAST = 0.02
"""Seconds without which what is left at the end is no window of its own."""


@dataclass(frozen=True)
class Series:
    """What an extractor says of each window of a sample.

    Attributes
    ----------
    starts, ends : tuple of float
        Seconds of the recording.
    values : np.ndarray [shape=(windows, len(columns))], float32
        NaN where it has nothing to say of a window.
    """

    starts: tuple[float, ...]
    ends: tuple[float, ...]
    values: np.ndarray


class Windowed:
    """See `affectlake.features.protocol.Extractor`; `affectlake.features.compute` makes `Series` of its answers.

    Parameters
    ----------
    whole : Extractor
        What is run over each window.
    window, hop : float > 0
        Seconds of a window, and from one's beginning to the next one's.
    """

    def __init__(self, whole: Extractor, window: float, hop: float):
        self.whole, self.window, self.hop = whole, window, hop
        self.name = whole.name + WINDOWED
        self.version = whole.version
        self.reads: Reads = whole.reads
        self.parameters: Mapping[str, Any] = {**whole.parameters, "window": window, "hop": hop}
        self.columns: Sequence[Column] = whole.columns
        self.requires, self.install, self.licence = whole.requires, whole.install, whole.licence
        self.cost = whole.cost
        self.summary = f"{whole.summary}, by windows of {window:g} s every {hop:g} s"

    def weights(self) -> Sequence[Path]:
        return self.whole.weights()

    def extract(self, batch: Sequence[Any]) -> Sequence[np.ndarray | Worded | NotApplicable]:
        """The whole extractor's answer about each window that was read."""
        return self.whole.extract(batch)


def can(extractor: Extractor) -> bool:
    """Whether an extractor has something to say of parts of a sample (``windowed = True``)."""
    return bool(getattr(extractor, "windowed", False))


def windowed(whole: Extractor) -> Windowed:
    """An extractor by windows, as the settings ``series.window`` and ``series.hop`` say.

    Raises
    ------
    UsageError
        They say that there are none.
    """
    window = float(settings.get("series.window"))
    if not window:
        raise UsageError(f"{whole.name}{WINDOWED} needs windows: --set series.window=1")
    return Windowed(whole, window, float(settings.get("series.hop")) or window)


def with_series(chosen: Sequence[Extractor]) -> list[Extractor]:
    """Extractors, and where the settings ask for series those that can once more, by windows."""
    if not settings.get("series.window"):
        return list(chosen)
    return [*chosen, *(windowed(e) for e in chosen if can(e))]


def extent(request: Request) -> tuple[float, float]:
    """Seconds at which what a request is about begins and ends.

    Raises
    ------
    BadMedia
        As `affectlake.data.sound.audio_length`.
    NotApplicable
        It has no time: pictures, folders of frames, films without the sound that is asked for.
    """
    from affectlake.data.sound import audio_length

    return request.start or 0.0, min(audio_length(request.uri), math.inf if request.end is None else request.end)


def spans(first: float, last: float, window: float, hop: float) -> list[tuple[float, float]]:
    """Windows of a sample, to the millisecond; the last one ends with it.

    >>> spans(2.0, 4.5, window=1.0, hop=1.0)
    [(2.0, 3.0), (3.0, 4.0), (4.0, 4.5)]
    """
    count = max(1, math.ceil(round((last - first - window) / hop, 6)) + 1)
    starts = [round(first + hop * i, 3) for i in range(count)]
    return [(a, min(round(a + window, 3), last)) for i, a in enumerate(starts) if not i or last - a >= LEAST]
