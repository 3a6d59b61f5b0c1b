"""Sound files to mono 16 kHz: libsndfile first, FFmpeg (PyAV) for what it cannot read."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from affectlake.data.errors import BadMedia, NotApplicable
from affectlake.data.media import IMAGE, check_file, check_segment, local_path, reason

RATE = 16_000
"""Samples per second of every clip."""

LIMIT = 600.0
"""Seconds that are heard of a recording read as a whole: of a longer one its middle, so that memory stays bounded."""

_BLOCK = 1 << 17  # samples per channel decoded at a time
_PREROLL = 0.2  # s decoded ahead of a segment: AAC and MP3 need earlier packets to settle
_SLACK = 0.25  # s that a container's stated duration may exceed its sound: encoder delay and padding

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
    """

    __slots__ = ("y", "sr", "duration", "_memo")

    def __init__(self, y: np.ndarray, sr: int = RATE, duration: float | None = None):
        y = np.ascontiguousarray(y, dtype=np.float32)
        if y.ndim != 1 or not len(y):
            raise BadMedia(f"a clip needs samples in one dimension, got shape {y.shape}")
        if not np.isfinite(y).all():
            raise BadMedia("a clip's samples must be finite numbers")
        self.y, self.sr = y, sr
        self.duration = len(y) / sr if duration is None else duration
        self._memo: dict[Any, Any] = {}

    def once(self, analysis: Callable[[AudioClip], T]) -> T:
        """``analysis(clip)``, computed on first request and remembered; ``analysis`` is a module-level function."""
        if analysis not in self._memo:
            self._memo[analysis] = analysis(self)
        return self._memo[analysis]

    def __repr__(self) -> str:
        return f"AudioClip({self.duration:.2f} s, {self.sr} Hz)"


def read_audio(uri: str | Path, start: float | None = None, end: float | None = None) -> AudioClip:
    """Decode a sound file, or the sound track of a video.

    Parameters
    ----------
    uri : str or Path
        Local path or ``file://`` URI. Any format of libsndfile or FFmpeg, any sample rate, any number of channels.
    start, end : float or None
        Segment in seconds, ``0 <= start < end``; None means the recording's own beginning or end. An ``end`` past the
        last sample is cut there. Only the segment is decoded.

    Returns
    -------
    AudioClip
        16 kHz, channels averaged. Of more than `LIMIT` seconds, the middle `LIMIT` seconds (the first where the file
        does not state its length, as bare AAC).

    Raises
    ------
    BadMedia
        Missing, empty, truncated or unreadable file; no samples; NaN samples; a segment outside.
    NotApplicable
        A film without a sound track, or a folder of its frames.
    """
    path = local_path(uri)
    check_segment(path, start, end)
    if path.is_dir() and any(p.suffix.lower() in IMAGE for p in path.iterdir()):
        raise NotApplicable(f"{path.name}: a folder of pictures has no sound")
    check_file(path)
    source = _open(path)
    try:
        first, last = _window(path, source.seconds, start, end)
        y = _resampled(path, source.blocks(first, last), source.rate, last - first)
    finally:
        source.close()
    duration = min(source.seconds, math.inf if end is None else end) - (start or 0.0)
    return AudioClip(y, RATE, duration if LIMIT < duration < math.inf else None)


def _window(path: Path, seconds: float, start: float | None, end: float | None) -> tuple[float, float]:
    """Seconds to decode, first to last."""
    if seconds <= 0:
        raise BadMedia(f"{path.name}: holds no samples (0 s)")
    first, last = start or 0.0, min(seconds, math.inf if end is None else end)
    if first >= seconds:
        raise BadMedia(f"{path.name}: segment starts at {first} s, the recording ends at {seconds:.3f} s")
    if last - first > LIMIT:
        # The middle, or the beginning where the file does not say how long it is.
        first += (last - first - LIMIT) / 2 if math.isfinite(last) else 0.0
        last = first + LIMIT
    return first, last


def _resampled(path: Path, blocks: Iterator[np.ndarray], rate: int, seconds: float) -> np.ndarray:
    """Mono blocks of ``rate`` joined at `RATE`."""
    import soxr

    stream = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
    parts = []
    for block in blocks:
        if not np.isfinite(block).all():
            raise BadMedia(f"{path.name}: holds samples that are not numbers (NaN or infinite)")
        parts.append(block if stream is None else stream.resample_chunk(block))
    if stream is not None:
        parts.append(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    y = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if not len(y):
        raise BadMedia(f"{path.name}: no samples in these {seconds:.3f} s")
    return y


def _open(path: Path) -> _Sndfile | _Ffmpeg:
    import soundfile

    try:
        return _Sndfile(path)
    except soundfile.LibsndfileError:
        return _Ffmpeg(path)


class _Sndfile:
    """WAV, FLAC, Ogg, MP3, AIFF, … by libsndfile."""

    def __init__(self, path: Path):
        import soundfile

        _check_whole(path)
        self._path = path
        self._file = soundfile.SoundFile(path)
        self.rate = self._file.samplerate
        self.seconds = self._file.frames / self.rate

    def close(self) -> None:
        self._file.close()

    def blocks(self, first: float, last: float) -> Iterator[np.ndarray]:
        import soundfile

        begin, stop = round(first * self.rate), min(round(last * self.rate), self._file.frames)
        position = begin
        try:
            self._file.seek(begin)
            while position < stop:
                block = self._file.read(min(_BLOCK, stop - position), dtype="float32", always_2d=True)
                if not len(block):
                    break
                position += len(block)
                yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        except soundfile.LibsndfileError as error:
            at = f"after {position / self.rate:.2f} of {self.seconds:.2f} s"
            raise BadMedia(f"{self._path.name}: truncated or damaged {at} ({reason(error)})") from None
        if position < stop:
            raise BadMedia(
                f"{self._path.name}: truncated, holds {position / self.rate:.2f} s of the {self.seconds:.2f} s "
                "that its header states"
            )


def _check_whole(path: Path) -> None:
    """Refuse WAV and Ogg files that were cut: libsndfile reads what is left of them without a word."""
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            missing = _missing_wav_bytes(file, path.stat().st_size)
            if missing:
                raise BadMedia(f"{path.name}: truncated, the last {missing} bytes of its samples are missing")
        elif head[:4] == b"OggS":
            file.seek(max(0, path.stat().st_size - (1 << 16)))
            tail = file.read()
            page = tail.rfind(b"OggS")
            if page < 0 or len(tail) < page + 6 or not tail[page + 5] & 4:
                raise BadMedia(f"{path.name}: truncated, its last Ogg page is missing")


def _missing_wav_bytes(file: Any, size: int) -> int:
    position = 12
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            # Writers to a pipe cannot know the length and leave 0 or a value near 2^31 or 2^32.
            streamed = length == 0 or length >= 0x7FFFF000
            return 0 if streamed else max(0, position + 8 + length - size)
        position += 8 + length + length % 2
    return 0


class _Ffmpeg:
    """Whatever FFmpeg reads: AAC, MP4, sound tracks of video."""

    def __init__(self, path: Path):
        import av

        self._path = path
        try:
            self._container = av.open(str(path))
        except (av.FFmpegError, ValueError) as error:
            raise BadMedia(f"{path.name}: not a sound file that can be read ({reason(error)})") from None
        streams = self._container.streams.audio
        if not streams:
            pictures = [s.codec_context.name for s in self._container.streams.video]
            self._container.close()
            # FFmpeg takes any text for the drawing of a text terminal.
            if pictures and pictures != ["ansi"]:
                raise NotApplicable(f"{path.name}: has no sound track")
            raise BadMedia(f"{path.name}: not a sound file")
        self._stream = streams[0]
        self.seconds = self._length()
        self.rate = self._stream.rate

    def close(self) -> None:
        self._container.close()

    def _length(self) -> float:
        """Seconds that the container states; infinite where it states none or FFmpeg could only estimate them."""
        import av

        if not {"mp4", "matroska", "avi"} & set(self._container.format.name.split(",")):
            return math.inf
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        return math.inf if self._container.duration is None else self._container.duration / av.time_base

    def blocks(self, first: float, last: float) -> Iterator[np.ndarray]:
        import av

        origin = float((self._stream.start_time or 0) * self._stream.time_base)
        if first > 0:
            target = max(0.0, first - _PREROLL) + origin
            self._container.seek(int(target / self._stream.time_base), stream=self._stream)
        mono = av.AudioResampler(format="fltp", layout=None, rate=self.rate)
        heard = first
        try:
            for frame in self._container.decode(self._stream):
                time = (frame.time or 0.0) - origin
                if time >= last:
                    break
                for part in mono.resample(frame):
                    begin = max(0, round((first - time) * self.rate))
                    block = part.to_ndarray().mean(axis=0)[begin : max(0, round((last - time) * self.rate))]
                    if len(block):
                        heard = time + (begin + len(block)) / self.rate
                        yield block
        except av.FFmpegError as error:
            raise BadMedia(f"{self._path.name}: truncated or damaged after {heard:.2f} s ({reason(error)})") from None
        if heard < min(last, self.seconds) - _SLACK and math.isfinite(self.seconds):
            raise BadMedia(f"{self._path.name}: truncated, holds {heard:.2f} s of the {self.seconds:.2f} s it states")
