"""What stills and films share: the size that a frame is reduced to, its turn, and the memory that decoding may take."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

LONGEST = 1280
"""Pixels of the longest side; larger pictures are reduced to it, so that memory stays bounded."""

MAX_MEMORY = 400 << 20
"""Bytes that decoding may take: of a whole picture before it is reduced, or of the frames that a decoder holds."""

_PLAUSIBLE = 4.0  # times as wide as high: beyond that a pixel's shape is an empty or mistaken field
_SQUARE = 0.01  # deviation that comes from densities rounded to whole numbers

_STRIP = 64  # rows


def plausible_aspect(width: float, height: float) -> float:
    """Width of a pixel in units of its height, 1 where the file states nothing that can be meant."""
    if not (0 < width < math.inf and 0 < height < math.inf):
        return 1.0
    aspect = width / height
    return aspect if 1 / _PLAUSIBLE <= aspect <= _PLAUSIBLE and abs(aspect - 1) > _SQUARE else 1.0


def fitting(width: int, height: int, aspect: float = 1.0) -> tuple[int, int]:
    """Width and height of the picture with square pixels, at most `LONGEST`."""
    square = width * aspect
    scale = min(1.0, LONGEST / max(square, height))
    return max(1, round(square * scale)), max(1, round(height * scale))


def over_white(rgba: np.ndarray) -> np.ndarray:
    """RGB uint8 [shape=(h, w, 3)] of RGBA uint8 [shape=(h, w, 4)] laid over white."""
    rgb = np.empty((*rgba.shape[:2], 3), np.uint8)
    # In strips: as real numbers a large picture takes gigabytes.
    for y in range(0, len(rgba), _STRIP):
        strip = rgba[y : y + _STRIP].astype(np.float32)
        alpha = strip[..., 3:] / 255
        rgb[y : y + _STRIP] = np.round(255 * (1 - alpha) + alpha * strip[..., :3])
    return rgb


def turned(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The picture as a display matrix shows it.

    Parameters
    ----------
    picture : np.ndarray [shape=(h, w, 3)]
    matrix : np.ndarray [shape=(2, 2)]
        ``[[a, b], [c, d]]`` takes the picture's x to ``(a, b)`` and its y to ``(c, d)``, y downwards; scale does not
        matter, and angles are rounded to quarter turns.

    Returns
    -------
    np.ndarray
        One of the eight orientations, contiguous.
    """
    (a, b), (c, d) = matrix.tolist()
    determinant = a * d - b * c
    if determinant == 0 or not math.isfinite(determinant):
        return np.ascontiguousarray(picture)
    if determinant < 0:  # mirrored left to right first, which the turn then follows
        picture, a, b = picture[:, ::-1], -a, -b
    # The mean angle of both axes; from x to y is clockwise, because y points down.
    clockwise = math.atan2(b - c, a + d)
    return np.ascontiguousarray(np.rot90(picture, -round(clockwise / (math.pi / 2)) % 4))


@contextmanager
def capped(taken: int) -> Iterator[None]:
    """Lets the process take so many bytes more, where its system knows such a limit (Linux does).

    For decoders that go by a size inside of what the container states, of which nobody else is told before.
    """
    try:
        import resource
    except ImportError:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    held = _memory()[1]
    if not held or 0 <= soft <= held + taken:
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (held + taken if hard < 0 else min(held + taken, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def resident() -> int:
    """Bytes of memory that this process has now; 0 where the system does not tell."""
    return _memory()[0]


def _memory() -> tuple[int, int]:
    try:
        with open("/proc/self/statm", "rb") as file:
            pages = [int(n) for n in file.read().split()]
        return pages[1] * os.sysconf("SC_PAGE_SIZE"), pages[5] * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0, 0
