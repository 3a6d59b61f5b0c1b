"""Pictures and frames of videos as upright RGB of bounded size: OpenCV for pictures, FFmpeg (PyAV) for videos."""

import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data.errors import BadMedia
from affectlake.data.media import check_file, check_segment, local_path, reason

LONGEST = 1280
"""Pixels of the longest side; larger pictures are reduced to it, so that memory stays bounded."""

FRAMES = 16
"""Frames that stand for a video, evenly spaced in time."""

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Of files that are one picture, and of the frames in a folder."""

_MAX_BYTES = 256 << 20
_MAX_PIXELS = 200_000_000
_MAX_MEMORY = 400 << 20  # of the file and of the whole picture before it is reduced
_SEEK = 2.0  # s between wanted frames from which seeking beats decoding what lies between
_SETTLE = 0.2  # s before a wanted frame that are sought: files list frames by when they are decoded, which is earlier
_STRIP = 64  # rows
_DEEP = re.compile("16|48|64")  # in FFmpeg's names of pixels with more than 8 bits per channel
_SLACK = 0.5  # s that the stated duration of a video may exceed its last frame


def read_image(uri: str | Path) -> np.ndarray:
    """Decode one picture.

    Parameters
    ----------
    uri : str or Path
        Local path or ``file://`` URI of a JPEG, PNG, WebP, TIFF, BMP, … file.

    Returns
    -------
    np.ndarray [shape=(h, w, 3)], uint8
        RGB, upright as EXIF says, transparency laid over white, 16 bits reduced to 8, longest side at most `LONGEST`.

    Raises
    ------
    BadMedia
        The file is missing, empty, truncated, too large or no picture.
    """
    path = local_path(uri)
    check_file(path)
    return _picture(path)


def read_frames(
    uri: str | Path, start: float | None = None, end: float | None = None, count: int = FRAMES
) -> list[np.ndarray]:
    """Frames at even distances of time.

    Parameters
    ----------
    uri : str or Path
        A video, a folder of pictures (in the order of their names, ``9`` before ``10``), or one picture.
    start, end : float or None
        Segment in seconds, ``0 <= start < end``; only of a video, the others have no time.
    count : int > 0
        At most so many: those shown in the middles of ``count`` equal parts, each once.

    Returns
    -------
    list of np.ndarray [shape=(h, w, 3)], uint8
        As `read_image`; never empty.

    Raises
    ------
    BadMedia
        Nothing can be decoded, the video is truncated, or the segment lies outside of it.
    """
    path = local_path(uri)
    if path.is_dir():
        names = sorted((p for p in path.iterdir() if p.suffix.lower() in SUFFIXES), key=_by_number)
        if not names:
            raise BadMedia(f"{path.name}: the folder holds no pictures ({', '.join(sorted(SUFFIXES))})")
        return [read_image(names[i]) for i in _spread(len(names), count)]
    check_file(path)
    return [_picture(path)] if path.suffix.lower() in SUFFIXES else _video(path, start, end, count)


def _by_number(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _spread(n: int, count: int) -> list[int]:
    return [int((i + 0.5) * n / count) for i in range(count)] if n > count else list(range(n))


def _picture(path: Path) -> np.ndarray:
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise BadMedia(f"{path.name}: {size >> 20} MB, a picture may have {_MAX_BYTES >> 20} MB")
    data = path.read_bytes()
    _check_whole(path, data)
    width, height, bytes_each = _size(path, data)
    if width * height > _MAX_PIXELS:
        raise BadMedia(f"{path.name}: {width}x{height} pixels, at most {_MAX_PIXELS // 1_000_000} million are decoded")
    needed = size + round(width * height * bytes_each)
    if needed > _MAX_MEMORY:
        raise BadMedia(
            f"{path.name}: {width}x{height} pixels of this kind take {needed >> 20} MB to decode, "
            f"at most {_MAX_MEMORY >> 20} MB are given"
        )
    bgr = _reduced(_decoded(path, data, max(width, height)))
    return np.ascontiguousarray(bgr[..., ::-1])


def _is_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8")


def _check_whole(path: Path, data: bytes) -> None:
    """Refuse pictures that were cut: OpenCV paints what is missing grey and says so to nobody."""
    cut_jpeg = _is_jpeg(data) and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    cut_png = data.startswith(b"\x89PNG") and (len(data) < 24 or b"IEND" not in data)
    if cut_jpeg or cut_png:
        raise BadMedia(f"{path.name}: truncated, the end of the picture is missing")


def _size(path: Path, data: bytes) -> tuple[int, int, float]:
    """Width and height that the header states, and bytes that decoding takes per pixel.

    Decoding to find out could take all memory.
    """
    if data.startswith(b"\x89PNG"):
        return *struct.unpack(">II", data[16:24]), _of_whole(deep=data[24] == 16) if _has_alpha(data) else 6
    if not _is_jpeg(data):
        return _probed_size(path)
    width, height, progressive = _jpeg_size(path, data)
    # A progressive one is whole in memory, as coefficients of 16 bits, before its first pixel is known.
    return width, height, 6 / _jpeg_reduction(max(width, height)) ** 2 + 6 * progressive


def _of_whole(deep: bool) -> int:
    """Bytes per pixel of up to four channels, of which OpenCV holds two copies."""
    return 2 * 4 * (2 if deep else 1)


def _has_alpha(png: bytes) -> bool:
    # An alpha channel, or a colour that counts as transparent, which is stated before the pixels.
    return bool(png[25] & 4) or b"tRNS" in png[: png.find(b"IDAT")]


def _jpeg_size(path: Path, data: bytes) -> tuple[int, int, bool]:
    at = 2
    while at + 9 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        # Start of frame: C0 to CF, but for the tables C4 and CC and the reserved C8.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height, marker in (0xC2, 0xC6, 0xCA, 0xCE)
        # Any number of FF may stand before a marker.
        at += 1 if marker == 0xFF else 2 + length
    raise BadMedia(f"{path.name}: not a picture that can be read (no start of frame)")


def _jpeg_reduction(longest: int) -> int:
    """Part of its resolution in which a JPEG is decoded, which costs a fraction of decoding all of it."""
    return 4 if longest >= 4 * LONGEST else 2 if longest >= 2 * LONGEST else 1


def _probed_size(path: Path) -> tuple[int, int, int]:
    import av

    try:
        with av.open(str(path)) as container:
            stream = _track(container)
            if stream is None or not stream.width:
                raise BadMedia(f"{path.name}: not a picture, or larger than can be decoded")
            return stream.width, stream.height, _of_whole(deep=bool(_DEEP.search(stream.codec_context.pix_fmt or "")))
    except (av.FFmpegError, ValueError) as error:
        raise BadMedia(f"{path.name}: not a picture that can be read ({reason(error)})") from None


def _track(container: Any) -> Any:
    """The first stream of pictures, None where there is none."""
    # FFmpeg takes any text for the drawing of a text terminal.
    return next((s for s in container.streams.video if s.codec_context.name != "ansi"), None)


def _decoded(path: Path, data: bytes, longest: int) -> np.ndarray:
    """BGR of 8 bits, not much smaller than `LONGEST`."""
    import cv2

    raw = np.frombuffer(data, np.uint8)
    try:
        if not _is_jpeg(data) and (not data.startswith(b"\x89PNG") or _has_alpha(data)):
            pixels = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
            if pixels is not None and pixels.ndim == 3 and pixels.shape[2] == 4:
                return _over_white(pixels)
            del pixels  # or two pictures would be in memory
        reduction = _jpeg_reduction(longest) if _is_jpeg(data) else 1
        flags = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}[reduction]
        pixels = cv2.imdecode(raw, flags)
    except cv2.error as error:
        raise BadMedia(f"{path.name}: cannot be decoded ({reason(error)})") from None
    if pixels is None:
        raise BadMedia(f"{path.name}: not a picture that can be read, or damaged")
    return pixels


def _over_white(bgra: np.ndarray) -> np.ndarray:
    most = np.float32(np.iinfo(bgra.dtype).max)
    bgr = np.empty((*bgra.shape[:2], 3), np.uint8)
    # In strips: as real numbers a large picture takes gigabytes.
    for y in range(0, len(bgra), _STRIP):
        alpha = bgra[y : y + _STRIP, :, 3:] / most
        bgr[y : y + _STRIP] = np.round(255 * (1 - alpha + alpha * (bgra[y : y + _STRIP, :, :3] / most)))
    return bgr


def _reduced(picture: np.ndarray) -> np.ndarray:
    import cv2

    height, width = picture.shape[:2]
    size = _fitting(width, height)
    return picture if size == (width, height) else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _fitting(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, LONGEST / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _video(path: Path, start: float | None, end: float | None, count: int) -> list[np.ndarray]:
    import av

    check_segment(path, start, end)
    try:
        with av.open(str(path)) as container:
            stream = _track(container)
            if stream is None:
                raise BadMedia(f"{path.name}: holds no pictures")
            # One worker per core already; a decoder's own threads would crowd them and hold frames in memory.
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
            seconds = _seconds(path, container, stream)
            first, last = start or 0.0, min(seconds, math.inf if end is None else end)
            if first >= seconds:
                raise BadMedia(f"{path.name}: segment starts at {first} s, the video ends at {seconds:.3f} s")
            times = [first + (i + 0.5) * (last - first) / count for i in range(count)]
            shown = [(_upright(frame), until) for frame, until in _shown_at(container, stream, times)]
    except (av.FFmpegError, ValueError) as error:
        raise BadMedia(f"{path.name}: not a video that can be read, or damaged ({reason(error)})") from None
    reached = shown[-1][1] if shown else 0.0
    if not shown or reached < times[-1] - _SLACK:
        raise BadMedia(f"{path.name}: truncated, holds {reached:.2f} s of the {seconds:.2f} s that it states")
    return [frame for frame, _ in shown]


def _seconds(path: Path, container: Any, stream: Any) -> float:
    import av

    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None:
        return container.duration / av.time_base
    # Recorders that write to a pipe state no duration: the packets tell it.
    ends = [float((p.pts + (p.duration or 1)) * p.time_base) for p in container.demux(stream) if p.pts is not None]
    if not ends:
        raise BadMedia(f"{path.name}: holds no pictures")
    container.seek(0)
    return max(ends) - _origin(stream)


def _origin(stream: Any) -> float:
    return float((stream.start_time or 0) * stream.time_base)


def _shown_at(container: Any, stream: Any, times: list[float]) -> Iterator[tuple[Any, float]]:
    """The frames shown at ``times`` (rising) and until when; one that is shown at several of them comes once."""
    origin, unit, codec = _origin(stream), float(stream.time_base), stream.codec_context
    time = times[0]

    def decoded() -> Iterator[Any]:
        for packet in container.demux(stream):
            if codec.name == "h264" and packet.pts is not None:
                # Nobody sees what ends well before the wanted time, and to what nothing refers need not be decoded.
                # Of other codecs some only look at this when they are opened, or refer to what they call unreferred.
                ends = (packet.pts + (packet.duration or 0)) * unit - origin
                codec.skip_frame = "NONREF" if ends < time - _SLACK else "DEFAULT"
            yield from packet.decode()

    def begins(frame: Any) -> float:
        return (frame.time or 0.0) - origin

    frames = decoded()
    shown, ahead = None, next(frames, None)
    for time in times:
        if ahead is not None and time - begins(ahead) > _SEEK:
            key = stream.index_entries.search_timestamp(round((time - _SETTLE + origin) / unit))
            # Where the file lists its key frames, only for one that is still to come; decoding goes on otherwise.
            if key < 0 or stream.index_entries[key].timestamp * unit - origin > begins(ahead):
                # Transport streams (.ts) know no key frames: what comes then is the next one, which may be too late.
                for back in (_SETTLE, 5.0, 20.0, math.inf):
                    container.seek(round((max(time - back, -1.0) + origin) / unit), stream=stream)
                    frames = decoded()
                    ahead = next(frames, None)
                    if ahead is not None and begins(ahead) <= time:
                        break
        newer = None
        # A stream may begin a little after its own zero: its first frame stands for that too.
        while ahead is not None and (begins(ahead) <= time or shown is None):
            shown = newer = ahead
            ahead = next(frames, None)
        if newer is not None:
            lasts = float((newer.duration or 0) * stream.time_base)
            yield newer, begins(newer) + lasts if ahead is None else begins(ahead)


def _upright(frame: Any) -> np.ndarray:
    width, height = _fitting(frame.width, frame.height)
    picture = frame.to_ndarray(format="rgb24", width=width, height=height)
    turns = round((frame.rotation or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
