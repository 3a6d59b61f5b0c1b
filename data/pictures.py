"""Pictures and frames of films as upright RGB of bounded size, known by their content."""

import re
from pathlib import Path

import numpy as np

from affectlake.data import films, stills
from affectlake.data._frame import LONGEST
from affectlake.data.errors import BadMedia
from affectlake.data.media import IMAGE, local_path, open_file, reason, shown
from affectlake.data.media import is_picture as _is_picture

__all__ = ["FRAMES", "LONGEST", "read_frames", "read_image"]

FRAMES = 16
"""Frames that stand for a film, evenly spaced in time."""


def read_image(uri: str | Path) -> np.ndarray:
    """Decode one picture.

    Parameters
    ----------
    uri : str or Path
        Local path or ``file://`` URI of a JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF, BMP, … file, whatever its name. An
        animated picture stands for its first frame, a film for that in its middle.

    Returns
    -------
    np.ndarray [shape=(h, w, 3)], uint8
        RGB, upright as the file says, with square pixels, transparency laid over white, more bits reduced to 8, longest
        side at most `LONGEST`.

    Raises
    ------
    BadMedia
        The file is missing, empty, truncated, too large or shows nothing.
    """
    path = local_path(uri)
    if is_picture(path):
        try:
            return stills.read_still(path)
        except stills.Unknown:
            return _by_ffmpeg(path, None, None, 1)[0]
    return films.read_film(path, None, None, 1)[0]


def read_frames(
    uri: str | Path, start: float | None = None, end: float | None = None, count: int = FRAMES
) -> list[np.ndarray]:
    """Frames at even distances of time.

    Parameters
    ----------
    uri : str or Path
        A film or an animated picture, a folder of pictures (in the order of their names, ``9`` before ``10``), or one
        picture.
    start, end : float or None
        Segment in seconds from the film's zero, which its sound has too, ``0 <= start < end``; pictures and folders
        have no time.
    count : int > 0
        At most so many: those shown in the middles of ``count`` equal parts, each once.

    Returns
    -------
    list of np.ndarray [shape=(h, w, 3)], uint8
        As `read_image`; never empty.

    Raises
    ------
    BadMedia
        Nothing can be decoded, the film is truncated, or the segment lies outside of it.
    """
    path = local_path(uri)
    if path.is_dir():
        names = _frames_in(path)
        return [read_image(names[i]) for i in _spread(len(names), count)]
    if is_picture(path):
        try:
            return stills.read_animation(path, start, end, count)
        except stills.Unknown:
            return _by_ffmpeg(path, start, end, count)
    return films.read_film(path, start, end, count)


def film_extent(uri: str | Path, start: float | None = None, end: float | None = None) -> tuple[float, float] | None:
    """Seconds from which to which `read_frames` looks; None of pictures, animated ones too, and folders.

    Raises
    ------
    BadMedia
        As `read_frames`.
    """
    path = local_path(uri)
    return None if path.is_dir() or is_picture(path) else films.extent(path, start, end)


def _by_ffmpeg(path: Path, start: float | None, end: float | None, count: int) -> list[np.ndarray]:
    """Of a picture that Pillow does not know: a rarer kind, or one that is cut within its header."""
    try:
        return films.read_film(path, start, end, count)
    except BadMedia as error:
        if "segment" in str(error):
            raise
        raise BadMedia(f"{shown(path)}: a picture that is truncated, damaged, or of a kind that is not known") from None


def is_picture(path: Path) -> bool:
    """Whether the file is a picture by its first bytes; raises BadMedia where it is no ordinary file, or empty."""
    with open_file(path) as file:
        return _is_picture(file.read(32))


def _frames_in(folder: Path) -> list[Path]:
    try:
        # What begins with a dot are leavings of systems and editors, among them files that only look like pictures.
        files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    except OSError as error:
        raise BadMedia(f"{shown(folder)}: the folder cannot be listed ({reason(error)})") from None
    # One with the suffix of a picture that is none is a frame that is damaged.
    frames = [p for p in files if p.suffix.lower() in IMAGE or (p.stat().st_size and is_picture(p))]
    if not frames:
        raise BadMedia(f"{shown(folder)}: the folder holds no pictures")
    return sorted(frames, key=_by_number)


def _by_number(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _spread(n: int, count: int) -> list[int]:
    return [int((i + 0.5) * n / count) for i in range(count)] if n > count else list(range(n))
