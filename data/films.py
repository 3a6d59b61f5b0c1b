"""Frames of films by FFmpeg (PyAV), counted from the zero that the film's sound is counted from too."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectlake.data._frame import MAX_MEMORY, fitting, over_white, plausible_aspect, resident, turned
from affectlake.data.errors import BadMedia
from affectlake.data.media import MAX_PIXELS, check_segment, open_container, reason, shown, tracks, zero

if TYPE_CHECKING:
    from av import VideoFrame

_FRAME = 100 << 20  # bytes of one frame as its codec holds it; decoders hold at least three of them
_SEEK = 2.0  # s between wanted frames from which seeking beats decoding what lies between
_SETTLE = 0.2  # s before a wanted frame that are sought: files list frames by when they are decoded, which is earlier
_ROUNDING = 1e-6  # s
_SLACK = 0.5  # s that the stated duration of a film may exceed its last frame
_RATE = 25.0  # frames/s of a stream that states neither times nor a rate
_LARGEST = f"{MAX_PIXELS // 1_000_000} million pixels"
_UNREADABLE = f"not a picture or film that can be read: unknown, truncated, damaged, or above {_LARGEST}"
# Of these the header states how long the file is; of others FFmpeg estimates it.
_STATING = {"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "avi", "flv", "asf"}


@dataclass(frozen=True)
class Extent:
    """Seconds from the film's zero at which its pictures begin and end, and up to which any of its tracks is there.

    ``states`` is how long the header says that the film is, 0 where it says nothing.
    """

    begins: float
    ends: float
    held: float = math.inf
    states: float = 0.0


def read_film(path: Path, start: float | None, end: float | None, count: int) -> list[np.ndarray]:
    """Frames at even distances of time, as `affectlake.data.pictures.read_frames`.

    Raises
    ------
    BadMedia
        It is no film, or truncated, or its frames are too large, or the segment lies outside of it.
    """
    check_segment(path, start, end)
    with _opened(path) as (container, stream):
        _prepare(path, stream)
        extent = _extent(path, container, stream)
        first, last = _segment(path, extent, start, end)
        times = [first + (i + 0.5) * (last - first) / count for i in range(count)]
        film = _Film(path, container, stream)
        pictures = [(film.upright(frame), until) for frame, until in film.shown_at(times)]
    if not pictures:
        raise BadMedia(f"{shown(path)}: {_UNREADABLE} (no frame can be decoded)")
    reached = pictures[-1][1]
    if reached < times[-1] - _SLACK:
        raise BadMedia(f"{shown(path)}: truncated, holds {reached:.2f} s of the {extent.ends:.2f} s that it states")
    return [picture for picture, _ in pictures]


def extent(path: Path, start: float | None = None, end: float | None = None) -> tuple[float, float]:
    """Seconds of a film, or of a part of it, in which there are pictures; raises BadMedia as `read_film`."""
    check_segment(path, start, end)
    with _opened(path) as (container, stream):
        return _segment(path, _extent(path, container, stream), start, end)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """A film's container and its track of pictures; what decoders raise meanwhile becomes BadMedia."""
    import av

    try:
        with open_container(path) as container:
            stream = next(iter(tracks(container, "video")), None)
            if stream is None:
                raise BadMedia(f"{shown(path)}: holds no pictures")
            yield container, stream
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise BadMedia(f"{shown(path)}: {_UNREADABLE} ({reason(error)})") from None


def _segment(path: Path, extent: Extent, start: float | None, end: float | None) -> tuple[float, float]:
    wanted = extent.states if end is None else min(end, extent.states)
    if extent.held < wanted - _SLACK:
        raise BadMedia(
            f"{shown(path)}: truncated, holds {extent.held:.2f} s of the {extent.states:.2f} s that it states"
        )
    first, last = max(start or 0.0, extent.begins), min(extent.ends, math.inf if end is None else end)
    if (start or 0.0) >= extent.ends:
        raise BadMedia(f"{shown(path)}: segment starts at {start} s, the film ends at {extent.ends:.3f} s")
    if first >= last:
        raise BadMedia(f"{shown(path)}: segment ends at {end} s, the pictures begin at {extent.begins:.3f} s")
    return first, last


def _prepare(path: Path, stream: Any) -> None:
    """Refuse frames that are too large before one is decoded."""
    codec = stream.codec_context
    # One worker per core already; a decoder's own threads would crowd them and hold frames in memory.
    stream.thread_type, codec.thread_count = "NONE", 1
    codec.options = {"max_pixels": str(MAX_PIXELS)}
    pixels = codec.width * codec.height
    if pixels > MAX_PIXELS or _bytes(codec.format, pixels) > _FRAME:
        raise BadMedia(
            f"{shown(path)}: frames of {codec.width}x{codec.height} take {_bytes(codec.format, pixels) >> 20} MB each, "
            f"at most {_FRAME >> 20} MB and {_LARGEST} are decoded"
        )


def _bytes(form: Any, pixels: int) -> int:
    return pixels * max(form.padded_bits_per_pixel if form else 0, 8) // 8


def _extent(path: Path, container: Any, stream: Any) -> Extent:
    unit = stream.time_base
    if stream.frames and stream.duration and len(stream.index_entries) == stream.frames:
        begins = float((stream.start_time or 0) * unit) - zero(container)
        return Extent(begins, begins + float(stream.duration * unit))
    # What is not listed frame by frame is what the packets tell: headers may have been written before the end was
    # known, or not at all, and the duration of Matroska is that of its longest track.
    found = os.stat(path)
    return _measured(str(path), stream.index, found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)  # segments of one film follow each other
def _measured(path: str, index: int, *_identity: int) -> Extent:
    import av

    with open_container(Path(path)) as container:
        origin = zero(container)
        stream = container.streams[index]
        unit, states = 1 / _rate(stream), 0.0
        if container.format.name in _STATING:
            states = (container.duration or 0) / av.time_base
            if container.format.name == "avi":
                # Of one that was cut FFmpeg estimates the duration, but the number of frames is the header's.
                states = max(states, stream.frames * float(stream.time_base or 0))
        begins, ends, held, untimed = math.inf, -math.inf, -math.inf, 0
        for packet in container.demux([s for s in container.streams if s.type in ("audio", "video")]):
            if not packet.size:
                continue
            if packet.pts is None:
                untimed += packet.stream.index == index
                continue
            tick = float(packet.time_base or 0)
            time, lasts = packet.pts * tick - origin, (packet.duration or 0) * tick
            held = max(held, time + lasts)
            if packet.stream.index == index:
                begins, ends = min(begins, time), max(ends, time + (lasts or unit))
    if untimed and ends < 0:
        begins, ends = 0.0, untimed * unit
    if not math.isfinite(ends):
        raise BadMedia(f"{Path(path).name}: holds no pictures")
    return Extent(max(begins, 0.0), ends, max(held, ends), states)


def _rate(stream: Any) -> float:
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return rate if 0 < rate < 1000 else _RATE


class _Film:
    """One stream that is being decoded."""

    def __init__(self, path: Path, container: Any, stream: Any):
        self.path, self.container, self.stream = path, container, stream
        self.codec, self.unit, self.origin = stream.codec_context, float(stream.time_base), zero(container)
        self.rate = _rate(stream)
        self.stated = self.codec.sample_aspect_ratio
        self.taken, self.number, self.wanted = resident(), 0, 0.0

    def shown_at(self, times: list[float]) -> Iterator[tuple[VideoFrame, float]]:
        """The frames shown at ``times`` (rising) and until when; one that is shown at several of them comes once."""
        self.wanted = times[0]
        frames = self._decoded()
        shown, ahead = None, next(frames, None)
        for time in times:
            self.wanted = time
            if ahead is not None and time - self._begins(ahead) > _SEEK and self._worth_seeking(time, ahead):
                # Transport streams (.ts) know no key frames: what comes then is the next one, which may be too late.
                for back in (_SETTLE, 5.0, 20.0, math.inf):
                    self.container.seek(round((max(time - back, -1.0) + self.origin) / self.unit), stream=self.stream)
                    frames = self._decoded()
                    ahead = next(frames, None)
                    if ahead is not None and self._begins(ahead) <= time:
                        break
            newer = None
            # A stream may begin a little after what the container says: its first frame stands for that too.
            while ahead is not None and (self._begins(ahead) <= time + _ROUNDING or shown is None):
                shown = newer = ahead
                ahead = next(frames, None)
            if newer is not None:
                lasts = float((newer.duration or 0) * self.unit) or 1 / self.rate
                yield newer, self._begins(newer) + lasts if ahead is None else self._begins(ahead)

    def _worth_seeking(self, time: float, ahead: VideoFrame) -> bool:
        if ahead.pts is None:
            return False
        entries = self.stream.index_entries
        key = entries.search_timestamp(round((time - _SETTLE + self.origin) / self.unit))
        # Where the file lists its key frames, only for one that is still to come; decoding goes on otherwise.
        return bool(key < 0 or entries[key].timestamp * self.unit - self.origin > self._begins(ahead))

    def _begins(self, frame: VideoFrame) -> float:
        return float(str(frame.opaque)) if frame.pts is None else float(frame.pts) * self.unit - self.origin

    def _decoded(self) -> Iterator[VideoFrame]:
        import av

        begun = False
        for packet in self.container.demux(self.stream):
            if self.codec.name == "h264" and packet.pts is not None:
                # Nobody sees what ends well before the wanted time, and to what nothing refers need not be decoded.
                # Of other codecs some only look at this when they are opened, or refer to what they call unreferred.
                ends = (packet.pts + (packet.duration or 0)) * self.unit - self.origin
                self.codec.skip_frame = "NONREF" if ends < self.wanted - _SLACK else "DEFAULT"
            self._check_memory()
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                if begun:
                    raise
                continue  # recordings of broadcasts begin in the middle of a group of frames
            for frame in frames:
                begun = True
                if frame.pts is None:
                    frame.opaque = self.number / self.rate
                self.number += 1
                yield frame

    def _check_memory(self) -> None:
        """Decoders hold as many frames as the stream asks for, which no header tells for all of them alike."""
        taken = resident() - self.taken
        if taken + _bytes(self.codec.format, self.codec.width * self.codec.height) > MAX_MEMORY:
            raise BadMedia(
                f"{shown(self.path)}: frames of {self.codec.width}x{self.codec.height}, of which decoding holds "
                f"{taken >> 20} MB, at most {MAX_MEMORY >> 20} MB are given"
            )

    def upright(self, frame: VideoFrame) -> np.ndarray:
        """RGB of bounded size, square pixels, turned as the file says, transparency over white."""
        size = fitting(frame.width, frame.height, self._pixel_aspect())
        form = frame.format
        # A palette may hold a colour that is transparent.
        clear = form.has_palette or any(c.is_alpha for c in form.components)
        small = frame.reformat(width=size[0], height=size[1], format="rgba" if clear else "rgb24")
        pixels = small.to_ndarray()
        picture = over_white(pixels) if clear else pixels
        # Of the small one: a frame whose side data were looked at refers to itself, and stays until memory is tidied.
        matrix = _display_matrix(small)
        return np.ascontiguousarray(picture) if matrix is None else turned(picture, matrix)

    def _pixel_aspect(self) -> float:
        # The container's word counts before the codec's, until the codec changes its own.
        now = self.codec.sample_aspect_ratio
        aspect = self.stream.sample_aspect_ratio if now == self.stated else now
        return plausible_aspect(aspect.numerator, aspect.denominator) if aspect else 1.0


def _display_matrix(frame: VideoFrame) -> np.ndarray | None:
    # frame.rotation tells the angle only, from which a mirrored picture is not told.
    found: Any = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return None
    matrix: np.ndarray = np.frombuffer(found, np.int32, 9).reshape(3, 3)[:2, :2].astype(float)
    return matrix
