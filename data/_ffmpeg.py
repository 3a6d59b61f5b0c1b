"""Compressed sound and the sound tracks of films, decoded by FFmpeg (PyAV)."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from affectlake.data._decoders import BLOCK, GaveUp, check_form, truncated
from affectlake.data._headers import Part, PartFile, mp3_seconds, pages_are_whole
from affectlake.data.errors import BadMedia, NotApplicable
from affectlake.data.media import WRAP, open_container, open_file, reason, shown, tracks, zero

_PREROLL = 0.2  # s decoded ahead of what is wanted: AAC, MP3 and Opus need earlier packets to settle
_SETTLING = 16  # packets that do the same where nothing lies so shortly before
_PREROLL_SPEECH = 2.0  # s, of codecs that predict from all that went before
_JITTER = (
    0.04  # s that time stamps may be off before they are believed: some are rounded, some are the clock's of a phone
)
_BACK = 1.0  # s that time goes back where another recording was joined
_AHEAD = 10.0  # s that time leaps ahead there, in formats that say that it may
_TAIL = 0.5  # s at the end that may be unreadable: tags, and the half of a packet
_DAMAGED = 0.02  # part of the packets that may be unreadable, and is silence

# Their packets are found by looking at them and timed by counting, so that times are exact and a jump is a guess.
_COUNTED = {"mp3", "aac", "ac3", "eac3", "dts", "flac", "amr", "tta", "wv", "ape", "loas", "truehd", "mlp", "ogg"}
_SEEKABLE = {"mov", "matroska", "avi", "asf", "flv", "mpegts", "mpeg", "mxf"}
_MAY_LEAP = {"mpegts", "mpeg"}
# What states the length of each track, and of the file.
_OF_TRACK = {"mov", "flac", "tta", "wv", "ape", "tak", "dsf", "mpc8", "aiff", "caf", "w64", "au", "qoa"}
_OF_FILE = {"matroska", "flv", "asf", "avi"}
_SLACK = {"mov": 0.25, "matroska": 0.25, "flv": 0.25, "avi": 0.25, "asf": 0.5, "mp3": 0.15}  # s; 0.05 of others
# What encoders of MP3 put around the sound is stated and not heard: 0.05 s at 44,100 Hz, 0.3 s at 8,000 Hz.
_MP3_PADDING = 2400  # samples


class Ffmpeg:
    """Whatever FFmpeg reads: compressed sound, and the sound tracks of films."""

    def __init__(self, path: Path, part: Part | None = None):
        self._path, self._part = path, part
        self._stack = ExitStack()
        self._used = False
        self.ended: float | None = None
        self._open()
        try:
            self.rate, self.channels = self._stream.rate or 0, self._stream.channels or 0
            check_form(path, self.rate, self.channels)
            self._zero = zero(self._container)
            self.stated = self._stated()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        import av

        self._stack.close()
        file: BinaryIO | None = None
        if self._part is not None and not self._part.intact:
            file = PartFile(self._stack.enter_context(open_file(self._path)), self._part)  # type: ignore[assignment]
        try:
            self._container = self._stack.enter_context(open_container(self._path, file))
            sounds, self._pictures = tracks(self._container, "audio"), tracks(self._container, "video")
        except (av.FFmpegError, ValueError) as error:
            self._stack.close()
            raise GaveUp(reason(error)) from None
        if not sounds:
            self._stack.close()
            if self._pictures:
                raise NotApplicable(f"{shown(self._path)}: has no sound track")
            raise GaveUp("it has no sound")
        self._stream = sounds[0]
        self._format = self._container.format.name.split(",")[0]
        codec = self._stream.codec_context
        codec.thread_count = 1
        if codec.name == "flac":
            # Frames carry a checksum, which FFmpeg looks at only when it is told to.
            codec.options = {"err_detect": "crccheck+explode"}
        self._latest, self._last, self._bad, self._good = 0.0, 0.0, 0, 0

    def close(self) -> None:
        self._stack.close()

    def _stated(self) -> float | None:
        """Seconds, from the container's zero, at which the track, or the whole file, is said to end."""
        import av

        track, whole = self._stream.duration, self._container.duration
        if self._part is not None and self._part.per_second:
            return None  # judged by its bytes
        if self._format == "mp3":
            with open_file(self._path) as file:
                return mp3_seconds(file)
        if self._format in _OF_TRACK and track:
            return float((track + (self._stream.start_time or 0)) * self._stream.time_base) - self._zero
        # Where Matroska states no duration FFmpeg guesses one from bit rates, and gives it to the tracks as well.
        if self._format in _OF_FILE and whole and not (self._format == "matroska" and track is not None):
            return float(whole / av.time_base) - max(0.0, self._zero)
        return None

    def length(self) -> float:
        self._again()
        end = 0.0
        for packet, time, lasts, _ in self._timed():
            if packet.size and time is not None:
                end = max(end, time + lasts)
        self._check_end(end)
        return end

    def _again(self) -> None:
        if self._used:
            # Decoders trim what encoders put at the beginning only when the file was opened anew.
            self._open()
        self._used = True

    def _timed(self, counted: float | None = 0.0) -> Iterator[tuple[Any, float | None, float, float]]:
        """Packets of sound, when each begins and how long it lasts (s), and what is added to its time stamp (s).

        ``counted`` is when the first ones begin that have no time stamp, None where that is unknown.
        """
        import av

        due: float | None = None
        shift = 0.0
        back = 2 / self.rate if self._format in _COUNTED else _BACK
        try:
            for packet in self._container.demux(self._stream, *self._pictures):
                unit, around = float(packet.time_base or 0), 0.0
                lasts = (packet.duration or 0) * unit
                time = None if packet.pts is None else packet.pts * unit - self._zero
                if packet.stream.index != self._stream.index:
                    if time is not None:
                        self._latest = max(self._latest, time + lasts)
                    continue
                if time is None:
                    time = counted if due is None else due
                    counted = None if counted is None else counted + lasts
                else:
                    time += shift
                    leaps = self._format in _MAY_LEAP and due is not None and time > due + _AHEAD
                    if self._format == "mpegts" and time - (due or 0.0) > WRAP / 2:
                        around = -WRAP
                        time += around
                    elif due is not None and (time < due - back or leaps):
                        shift += due - time
                        time = due
                if time is not None:
                    self._last = time + lasts
                if packet.pts is not None or due is not None:
                    due = None if time is None else time + lasts
                yield packet, time, lasts, shift + around
        except av.FFmpegError:
            return  # the file ends in the middle of something; what it states tells whether it should

    def blocks(self, begin: int, stop: int | None) -> Iterator[np.ndarray]:
        last = math.inf if stop is None else stop
        position: int | None = None
        for frame, raw in self._frames(begin):
            samples = _floats(frame)
            if samples.shape[1] != self.channels:
                raise GaveUp(f"its channels change from {self.channels} to {samples.shape[1]}")
            if position is None:
                position = self._anchor(raw)
                if position > begin:
                    yield from self._silence(begin, min(position, last))
            elif raw is not None:
                ahead = raw - position
                if ahead > self._tolerance:
                    # Frames of FLAC whose checksum is wrong are left out, and nobody says so.
                    self._bad += self._strict
                    yield from self._silence(max(begin, position), min(position + round(ahead), last))
                    position += round(ahead)
                elif ahead < -self._tolerance:
                    samples = samples[round(-ahead) :]
            part = samples[max(0, begin - position) : max(0, int(min(last - position, len(samples))))]
            if len(part):
                yield part
            position += len(samples)
            if position >= last:
                return
        end = self._last if position is None else position / self.rate
        self.ended = end
        if self._bad > max(0 if self._strict else 1, _DAMAGED * self._good):
            raise GaveUp(f"damaged, {self._bad} of {self._bad + self._good} packets cannot be read")
        self._check_end(end)

    @property
    def _tolerance(self) -> float:
        """Samples that a time stamp may be off."""
        return 1.5 if self._format in _COUNTED else _JITTER * self.rate

    @property
    def _strict(self) -> bool:
        return self._format == "flac"

    def _silence(self, begin: int, stop: float) -> Iterator[np.ndarray]:
        while begin < stop:
            count = int(min(max(1, BLOCK // self.channels), stop - begin))
            yield np.zeros((count, self.channels), np.float32)
            begin += count

    def _frames(self, begin: int) -> Iterator[tuple[Any, float | None]]:
        """Decoded frames from a little before sample ``begin``, and at which sample each is by its time stamp."""
        import av

        name = self._stream.codec_context.name
        preroll = _PREROLL_SPEECH if re.search("amr|g72|adpcm|gsm|speex|opus", name) else _PREROLL
        wanted = begin / self.rate - preroll
        before: deque[tuple[Any, float | None, float, float]] = deque(maxlen=_SETTLING)
        failed, lost = 0, 0.0
        for packet, time, lasts, shift in self._from(wanted):
            # Where time stamps are rounded, only what was decoded tells where a sample is, unless it was sought.
            exact = self._format in _COUNTED or self._sought
            if exact and time is not None and packet.size and time + lasts < wanted:
                before.append((packet, time, lasts, shift))
                continue
            if before and time is not None and time > wanted + lasts:
                # Silence lies before what is wanted, so what settles the decoder lies before that.
                yield from self._decoded(before)
            before.clear()
            try:
                frames = packet.decode()
            except av.EOFError:
                continue
            except av.FFmpegError:
                # The last packet of a file that was cut is a part of one, and is not held against it.
                if time is None or time >= wanted + preroll:
                    failed, lost = failed + 1, lost + lasts
                continue
            if frames:
                self._bad += failed if self._format not in _COUNTED or self._strict else 0
                self._good, failed, lost = self._good + 1, 0, 0.0
            for frame in frames:
                if frame.samples:
                    yield frame, None if frame.time is None else (frame.time - self._zero + shift) * self.rate
        if lost > _TAIL or (failed > 1 and self._strict):
            self._bad += failed

    def _decoded(self, packets: Iterable[tuple[Any, float | None, float, float]]) -> Iterator[tuple[Any, float | None]]:
        import av

        for packet, _, _, shift in packets:
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                if frame.samples and frame.time is not None:
                    yield frame, (frame.time - self._zero + shift) * self.rate

    def _from(self, wanted: float) -> Iterator[tuple[Any, float | None, float, float]]:
        """Packets from before ``wanted`` seconds: sought where the format knows where its times are."""
        import av

        self._again()
        self._grid: tuple[int, int] | None = None
        self._sought = False
        if wanted <= _BACK or self._format not in _SEEKABLE or (self.stated is not None and wanted > self.stated):
            yield from self._timed()
            return
        self._find_grid()
        try:
            target = round((wanted + self._zero) / self._stream.time_base)
            self._container.seek(target, stream=self._stream)
            packets = self._timed(None)
            first = next(packets, None)
        except av.FFmpegError:
            first = None
        if first is None or first[1] is None or first[1] > wanted:
            # Too late, or nowhere: files without an index are read from their beginning.
            self._grid = None
            self._open()
            yield from self._timed()
            return
        self._sought = True
        yield first
        yield from packets

    def _find_grid(self) -> None:
        """Where frames can begin, found in the first ones: Matroska rounds time stamps to milliseconds."""
        import av

        unit = float(self._stream.time_base)
        position, sizes, phase = None, 0, 0
        try:
            for i, frame in enumerate(self._container.decode(self._stream)):
                if position is None:
                    position = round(((frame.time or 0.0) - self._zero) * self.rate)
                else:
                    sizes = math.gcd(sizes, frame.samples)
                position += frame.samples
                phase = position if i == 0 else phase
                if i == 3:
                    break
        except av.FFmpegError:
            return
        # Frames of Vorbis are of several lengths, all multiples of 64.
        size = math.gcd(sizes, 64) if self._stream.codec_context.name == "vorbis" else sizes
        if unit * self.rate > 1 and size > 1.2 * unit * self.rate:
            self._grid = size, phase % size

    def _anchor(self, raw: float | None) -> int:
        """The sample at which the first frame begins."""
        if raw is None or self._grid is None:
            return round(raw or 0.0)
        size, phase = self._grid
        near = round((raw - phase) / size) * size + phase
        return near if abs(near - raw) <= float(self._stream.time_base) * self.rate else round(raw)

    def _check_end(self, end: float) -> None:
        """Raises BadMedia where the file states more than any of its tracks holds."""
        held = max(end, self._latest if self._format in _OF_FILE else 0.0)
        if self.stated is not None and held < self.stated - self._slack:
            raise truncated(self._path, end, self.stated)
        if self._format == "ogg":
            with open_file(self._path) as file:
                if not pages_are_whole(file):
                    raise BadMedia(f"{shown(self._path)}: truncated after {end:.2f} s, its last page is not whole")
        if self._part is not None and self._part.lacks:
            missing = self._part.missing / self._part.per_second
            raise truncated(self._path, end, end + missing)

    @property
    def _slack(self) -> float:
        padding = _MP3_PADDING / self.rate if self._format == "mp3" else 0.0
        return max(_SLACK.get(self._format, 0.05), padding)

    @property
    def film_ends(self) -> float:
        """Seconds that its pictures were seen to last."""
        return self._latest


def _floats(frame: Any) -> np.ndarray:
    """Samples of a frame [shape=(n, channels)], float32 in [-1, 1]."""
    raw = frame.to_ndarray()
    y = raw.T if frame.format.is_planar else raw.reshape(-1, len(frame.layout.channels))
    if y.dtype == np.float32:
        return y
    if y.dtype.kind == "f":
        return y.astype(np.float32)
    bits = np.iinfo(y.dtype).bits
    middle = 128 if y.dtype == np.uint8 else 0
    exact = y.astype(np.float64 if bits > 16 else np.float32) - middle
    return (exact / 2.0 ** (bits - 1)).astype(np.float32)
