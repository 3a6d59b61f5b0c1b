"""Local binary patterns and gradients of grey pictures: shared by the textures of faces and of whole pictures."""

from functools import cache

import numpy as np

ROTATED = 10
"""Classes whatever the rotation: 0 to 8 brighter neighbours in a row, and the rest (Ojala et al. 2002, riu2)."""

_CIRCLE = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def patterns(grey: np.ndarray, least: float = 0.0) -> np.ndarray:
    """Which of the eight neighbours are brighter than each inner pixel.

    Parameters
    ----------
    grey : np.ndarray [shape=(h, w)], h, w >= 3
        Any scale.
    least : float >= 0
        How much brighter a neighbour must be to count, in the scale of ``grey``: keeps noise out of flat areas.

    Returns
    -------
    np.ndarray [shape=(h - 2, w - 2)], uint8
        One bit per neighbour.
    """
    grey = grey.astype(np.float32)
    height, width = grey.shape
    floor = grey[1:-1, 1:-1] + np.float32(least)
    code = np.zeros((height - 2, width - 2), np.uint8)
    for bit, (dy, dx) in enumerate(_CIRCLE):
        neighbour = grey[1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx]
        code |= (neighbour > floor if least else neighbour >= floor).astype(np.uint8) << np.uint8(bit)
    return code


@cache
def rotated() -> np.ndarray:
    """Class in [0, `ROTATED`) of each of the 256 patterns."""
    return np.array([code.bit_count() if _changes(code) <= 2 else ROTATED - 1 for code in range(256)])


def _changes(code: int) -> int:
    turned = (code >> 1) | (code & 1) << 7
    return (code ^ turned).bit_count()


def gradients(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strength and direction of the central differences.

    Returns
    -------
    strength : np.ndarray [shape=(h, w)], float32
        In the scale of ``grey`` per pixel.
    direction : np.ndarray [shape=(h, w)], float32
        Radians in [0, pi): 0 across, that is at an upright edge; light and dark sides are not told apart.
    """
    dy, dx = np.gradient(grey.astype(np.float32))
    return np.hypot(dx, dy), np.arctan2(dy, dx) % np.float32(np.pi)
