"""Sound files to mono 16 kHz: libsndfile for plain samples, FFmpeg (PyAV) for the rest, each where the other fails."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from affectlake.data._decoders import GaveUp, Joined, Source
from affectlake.data._ffmpeg import Ffmpeg
from affectlake.data._headers import parts
from affectlake.data._sndfile import Sndfile
from affectlake.data.errors import BadMedia, NotApplicable
from affectlake.data.media import IMAGE, check_file, check_segment, local_path, open_file, shown

RATE = 16_000
"""Samples per second of every clip."""

LIMIT = 600.0
"""Seconds that are read at a time, so that memory stays bounded: of a longer recording the middle, unless pieces of it
are asked for, as `affectlake.features.long` does."""

_PAD = 0.05  # s resampled around a segment, so that its ends are those of a slice of the whole
_FRAME = 0.05  # s that channels are compared over
_HEARD = 25.0  # dB below a channel's loudest frame: above the other voice's crosstalk, below speech
_NOTHING = 1e-10  # of full scale: a channel with nothing on it
_CANCELLED = 0.25  # of the energy that unrelated channels would leave in their mean: less, and they cancel each other

logger = logging.getLogger(__name__)

T = TypeVar("T")


class AudioClip:
    """Mono sound with analyses computed once and shared by every extractor that reads it.

    Attributes
    ----------
    y : np.ndarray [shape=(n,)], float32, n > 0
        Samples, nominally in [-1, 1]; channels averaged; never NaN.
    sr : int
        Samples per second.
    duration : float
        Seconds of the recording or segment as stored; longer than ``y`` where `LIMIT` cut the middle out, or where
        pauses were left out.
    note : str
        What was decided in reading it that its owner should know; empty where nothing was.
    stored_rate : int
        Samples per second before it was brought to ``sr``.
    apart : float in [0, 1]
        How much its two channels take turns, as two people on a telephone do: twice the share of the time with sound in
        which the channel that has less of it is alone. 0 where there are not two, or one was asked for.
    """

    __slots__ = ("_memo", "apart", "duration", "note", "sr", "stored_rate", "y")

    def __init__(
        self,
        y: np.ndarray,
        sr: int = RATE,
        duration: float | None = None,
        note: str = "",
        stored_rate: int | None = None,
        apart: float = 0.0,
    ):
        y = np.ascontiguousarray(y, dtype=np.float32)
        if y.ndim != 1 or not len(y):
            raise BadMedia(f"a clip needs samples in one dimension, got shape {y.shape}")
        if not np.isfinite(y).all():
            raise BadMedia("a clip's samples must be finite numbers")
        self.y, self.sr, self.note = y, sr, note
        self.duration = len(y) / sr if duration is None else duration
        self.stored_rate = sr if stored_rate is None else stored_rate
        self.apart = apart
        self._memo: dict[Any, Any] = {}

    def once(self, analysis: Callable[[AudioClip], T]) -> T:
        """``analysis(clip)``, computed on first request and remembered; ``analysis`` is a module-level function."""
        if analysis not in self._memo:
            self._memo[analysis] = analysis(self)
        return self._memo[analysis]

    def __repr__(self) -> str:
        return f"AudioClip({self.duration:.2f} s, {self.sr} Hz)"


def read_audio(
    uri: str | Path, start: float | None = None, end: float | None = None, channel: int | None = None
) -> AudioClip:
    """Decode a sound file, or the sound track of a video.

    Parameters
    ----------
    uri : str or Path
        Local path or ``file://`` URI. Any format of libsndfile or FFmpeg, any number of channels; of several tracks the
        one that players choose.
    start, end : float or None
        Segment in seconds from the container's zero, ``0 <= start < end``; None means the recording's own beginning or
        end. An ``end`` past the last sample is cut there. Only the segment is decoded, to the samples that the same
        slice of the whole has.
    channel : int > 0, optional
        The one that is heard, counted from 1; default: the mean of all.

    Returns
    -------
    AudioClip
        16 kHz, channels averaged, or the louder one where they cancel each other (`AudioClip.note` says so). What
        is missing between time stamps, and before a track that begins later than its film, is silence. Of more than
        `LIMIT` seconds, the middle `LIMIT` seconds.

    Raises
    ------
    BadMedia
        Missing, empty, truncated or unreadable file; no samples; NaN samples; a segment outside; no such channel.
    NotApplicable
        A film without a sound track, or whose sound ends before the segment; a folder of its frames.
    """
    path = _checked(uri, start, end)
    last = math.inf if end is None else end
    return _opened(path, lambda source: _clip(path, source, start or 0.0, last, channel))


def audio_length(uri: str | Path) -> float:
    """Seconds of a recording, from the container's zero to the end of its sound; every packet of it is looked at.

    Raises
    ------
    BadMedia, NotApplicable
        As `read_audio`.
    """
    return _opened(_checked(uri, None, None), lambda source: source.length())


def channel_count(uri: str | Path) -> int:
    """Channels of a recording; raises as `read_audio`."""
    return _opened(_checked(uri, None, None), lambda source: source.channels)


def _checked(uri: str | Path, start: float | None, end: float | None) -> Path:
    path = local_path(uri)
    check_segment(path, start, end)
    if path.is_dir() and any(p.suffix.lower() in IMAGE for p in path.iterdir()):
        raise NotApplicable(f"{shown(path)}: a folder of pictures has no sound")
    check_file(path)
    return path


def _opened(path: Path, action: Callable[[Source], T]) -> T:
    """What an action gives on the first way to open the file by which it does not give up."""
    gave_up: GaveUp | None = None
    for source in _sources(path):
        try:
            with closing(source()) as opened:
                return action(opened)
        except GaveUp as error:
            gave_up = gave_up or error
    raise BadMedia(f"{shown(path)}: not a sound file that can be read ({gave_up})")


def _sources(path: Path) -> list[Callable[[], Source]]:
    """Ways to open a file, the best one first."""
    with open_file(path) as file:
        found = parts(file)
    # Of several parts, those with samples: a recorder may have begun twice.
    found = [p for p in found if p.ends > p.at] or found[:1]

    def plain() -> Source:
        sources = [Sndfile(path, part) for part in found]
        if not all(s.plain for s in sources):
            for source in sources:
                source.close()
            raise GaveUp("its samples are compressed")
        return sources[0] if len(sources) == 1 else Joined(path, sources)

    def ffmpeg() -> Source:
        sources = [Ffmpeg(path, part) for part in found] or [Ffmpeg(path)]
        return sources[0] if len(sources) == 1 else Joined(path, sources)

    rest: list[Callable[[], Source]] = [ffmpeg, lambda: Sndfile(path, found[0] if len(found) == 1 else None)]
    return [plain, *rest] if found and found[0].per_second else rest


def _clip(path: Path, source: Source, first: float, end: float, channel: int | None) -> AudioClip:
    if channel and channel > source.channels:
        raise BadMedia(
            f"{shown(path)}: has {source.channels} channel{'s' * (source.channels > 1)}, asked for {channel}"
        )
    total: float | None = None
    begin, last = first, end
    if min(end, source.stated or 0.0) - first > LIMIT:
        total, begin, last = _middle(source, first, end)
    heard = _mono(path, source, begin, min(last, begin + LIMIT), channel)
    if total is None and source.ended is None and end - first > LIMIT:
        # Longer than it states.
        total, begin, last = _middle(source, first, end)
        heard = _mono(path, source, begin, min(last, begin + LIMIT), channel)
    ended = source.ended if total is None else total
    if not len(heard.y):
        raise _outside(path, source, first, ended)
    duration = None if total is None or min(total, end) - first <= LIMIT else min(total, end) - first
    if heard.note:
        logger.warning("%s: %s", shown(path), heard.note)
    return AudioClip(heard.y, RATE, duration, heard.note, source.rate, heard.apart)


def _middle(source: Source, first: float, end: float) -> tuple[float, float, float]:
    """Seconds that there are, and those to decode, first to last."""
    total = source.length()
    last = min(total, end)
    begin = first + max(0.0, last - first - LIMIT) / 2
    return total, begin, last


def _outside(path: Path, source: Source, first: float, ended: float | None) -> BadMedia | NotApplicable:
    if not ended or not first:
        return BadMedia(f"{shown(path)}: holds no samples (0 s)")
    if getattr(source, "film_ends", 0.0) > first:
        return NotApplicable(f"{shown(path)}: its sound ends at {ended:.3f} s, the segment starts at {first} s")
    return BadMedia(f"{shown(path)}: segment starts at {first} s, the recording ends at {ended:.3f} s")


class _Heard(NamedTuple):
    y: np.ndarray
    note: str = ""
    apart: float = 0.0


def _mono(path: Path, source: Source, first: float, last: float, channel: int | None) -> _Heard:
    """What is heard of these seconds."""
    if channel:
        return _Heard(_resampled(path, source, first, last, lambda block: block[:, channel - 1]))
    mix = _Mix(source.channels, source.rate)
    y = _resampled(path, source, first, last, mix.mean)
    if not mix.cancels():
        return _Heard(y, "", mix.apart())
    loudest = mix.loudest()
    note = f"its channels cancel each other, the louder one is heard ({loudest + 1} of {source.channels})"
    return _Heard(_resampled(path, source, first, last, lambda block: block[:, loudest]), note)


class _Mix:
    """The mean of channels, and how much of their energy it keeps."""

    def __init__(self, channels: int, rate: int):
        self._n = 0
        self._sums, self._squares = np.zeros(channels + 1), np.zeros(channels + 1)
        self._frame = max(1, round(_FRAME * rate))
        self._frames: list[np.ndarray] = []

    def mean(self, block: np.ndarray) -> np.ndarray:
        if block.shape[1] == 1:
            return block[:, 0]
        mean = block.mean(axis=1, dtype=np.float32)
        self._n += len(block)
        for i, channel in enumerate((*block.T, mean)):
            self._sums[i] += channel.sum(dtype=np.float64)
            self._squares[i] += np.dot(channel, channel)
        if block.shape[1] == 2:
            frames = block[: len(block) // self._frame * self._frame].reshape(-1, self._frame, 2)
            self._frames.append(frames.var(axis=1, dtype=np.float64))
        return mean

    def _energies(self) -> np.ndarray:
        # Without an offset of the recorder, which is no sound.
        return self._squares / self._n - (self._sums / self._n) ** 2

    def cancels(self) -> bool:
        if not self._n:
            return False
        *channels, mean = self._energies()
        unrelated = sum(channels) / len(channels) ** 2
        return bool(unrelated > 1e-12 and mean < _CANCELLED * unrelated)

    def loudest(self) -> int:
        return int(np.argmax(self._energies()[:-1]))

    def apart(self) -> float:
        """See `AudioClip`."""
        power = np.concatenate(self._frames) if self._frames else np.zeros((0, 2))
        loudest = power.max(axis=0, initial=0.0)
        if not (loudest > _NOTHING).all():
            return 0.0
        level = 10 * np.log10(np.maximum(power / loudest, 1e-12))  # dB below each one's own loudest
        heard = level > -_HEARD
        alone = [heard[:, i] & ~heard[:, 1 - i] for i in (0, 1)]
        return float(2 * min(a.sum() for a in alone) / max(1, heard.any(axis=1).sum()))


def _resampled(
    path: Path, source: Source, first: float, last: float, mono: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Samples at `RATE` of the seconds from ``first`` to ``last``, the very ones that the whole would have there."""
    import soxr

    rate = source.rate
    # Both grids meet every `step` samples: from there on resampling gives the samples that it gives the whole.
    step = rate // math.gcd(rate, RATE)
    pad = 0 if rate == RATE else round(_PAD * rate)
    begin = max(0, round(first * rate) - pad) // step * step
    stop = None if last == math.inf else round(last * rate) + pad
    stream = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
    pieces = []
    for block in source.blocks(begin, stop):
        y = mono(block)
        if not np.isfinite(y).all():
            raise BadMedia(f"{shown(path)}: holds samples that are not numbers (NaN or infinite)")
        pieces.append(y if stream is None else stream.resample_chunk(np.ascontiguousarray(y)))
    if stream is not None:
        pieces.append(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    y = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    before = begin // step * (RATE * step // rate)
    until = len(y) if last == math.inf else round(last * RATE) - before
    return y[round(first * RATE) - before : max(0, until)]
