"""Decoding of pictures and videos into RGB frames of bounded size."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np

from affectlake.data.errors import BadMedia

LONGEST = 1280
"""Pixels of the longer side that a decoded frame has at most: larger ones are reduced, which bounds memory."""

FRAMES = 16
"""Frames that stand for a video, evenly spaced in time."""

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".gif"}


def read_image(uri: str) -> np.ndarray:
    """Decode a picture.

    Parameters
    ----------
    uri : str
        Local path or ``file://`` URI of any format that OpenCV reads; grey, with alpha or of 16 bits too. The
        orientation noted in EXIF is applied.

    Returns
    -------
    uint8 array, shape=(height, width, 3)
        RGB, the longer side at most `LONGEST` pixels.

    Raises
    ------
    BadMedia
        There is no such file, or it is no picture.
    """
    import cv2

    path = _path(uri)
    try:
        raw = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise BadMedia(f"cannot read {path}: {error.strerror or error}") from None
    if not len(raw):
        raise BadMedia(f"{path} is empty")
    try:
        picture = cv2.imdecode(raw, cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise BadMedia(f"{path} is no picture: {error.err}") from None
    if picture is None:
        raise BadMedia(f"{path} is no picture, or a broken one")
    return _bounded(picture)


def read_frames(
    uri: str, start: float | None = None, end: float | None = None, count: int = FRAMES
) -> list[np.ndarray]:
    """Decode frames of a video, evenly spaced in time.

    Parameters
    ----------
    uri : str
        A video, a picture (one frame), or a folder of pictures (frames in the order of their names).
    start, end : float, optional
        Segment in seconds; of a folder, which has no time, all frames count.
    count : int > 0
        Frames at most.

    Returns
    -------
    list of uint8 array, shape=(height, width, 3)
        RGB, upright (rotation noted in the file is applied), the longer side at most `LONGEST` pixels.

    Raises
    ------
    BadMedia
        There is no such file, or nothing in it can be decoded.
    """
    path = _path(uri)
    if os.path.isdir(path):
        names = sorted(p for p in Path(path).iterdir() if p.suffix.lower() in PICTURES)
        if not names:
            raise BadMedia(f"folder {path} holds no pictures")
        return [read_image(str(names[i])) for i in _spread(len(names), count)]
    if Path(path).suffix.lower() in PICTURES:
        return [read_image(path)]
    return _video(path, start, end, count)


def _video(path: str, start: float | None, end: float | None, count: int) -> list[np.ndarray]:
    import av

    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise BadMedia(f"{path} has no picture track")
            stream = container.streams.video[0]
            stream.thread_type = "NONE"  # one worker per core already; threads hold frames in memory
            seconds = _length(container, stream)
            first = start or 0.0
            last = min(x for x in (end, seconds, float("inf")) if x is not None)
            if np.isfinite(last) and last <= first:
                raise BadMedia(f"{path}: the segment starts at {first:g} s, the video ends at {last:g} s")
            if first > 1:
                container.seek(int(first / stream.time_base), stream=stream)
            wanted = _times(first, last, count)
            return _pick(container.decode(stream), wanted, last) or _fail(path)
    except (av.FFmpegError, OSError) as error:
        raise BadMedia(f"cannot decode {path}: {getattr(error, 'strerror', None) or error}") from None


def _length(container, stream) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None


def _times(first: float, last: float, count: int) -> np.ndarray:
    """Middles of ``count`` equal parts; one frame per half second where the length is unknown."""
    if not np.isfinite(last):
        return first + 0.5 * np.arange(count)
    return first + (np.arange(count) + 0.5) * (last - first) / count


def _pick(frames, wanted: np.ndarray, last: float) -> list[np.ndarray]:
    """The first frame at or after each wanted time; only those are converted."""
    picked, at, newest = [], 0, None
    for frame in frames:
        time = frame.time if frame.time is not None else 0.0
        if time > last:
            break
        newest = frame
        if at < len(wanted) and time >= wanted[at] - 1e-6:
            picked.append(_upright(frame))
            while at < len(wanted) and wanted[at] <= time + 1e-6:
                at += 1
            newest = None
        if at == len(wanted):
            break
    if not picked and newest is not None:
        picked.append(_upright(newest))
    return picked


def _upright(frame) -> np.ndarray:
    width, height = frame.width, frame.height
    scale = min(1.0, LONGEST / max(width, height))
    picture = frame.to_ndarray(format="rgb24", width=round(width * scale), height=round(height * scale))
    turns = round((frame.rotation or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def _fail(path: str) -> list[np.ndarray]:
    raise BadMedia(f"{path} holds no frame that can be decoded")


def _bounded(picture: np.ndarray) -> np.ndarray:
    import cv2

    height, width = picture.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return picture
    return cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)


def _spread(n: int, count: int) -> list[int]:
    """At most ``count`` indices, evenly spaced over ``n``."""
    if n <= count:
        return list(range(n))
    return [int(i) for i in (np.arange(count) + 0.5) * n / count]


def _path(uri: str) -> str:
    return unquote(urlsplit(uri).path) if uri.startswith("file://") else uri
