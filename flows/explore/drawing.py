"""Where bars, boxes and points of the pages' pictures go, in the units of their view boxes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDTH = 100.0
"""Of pictures that are as wide as their place."""

BINS = 40

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Box:
    """A group's values as a line from 5 to 95 %, a box over the middle half, and the median.

    Attributes
    ----------
    name : str
    n : int
        Values in it.
    quantiles : tuple of float
        The values at `QUANTILES`.
    x : tuple of float
        Their places, see `WIDTH`.
    """

    name: str
    n: int
    quantiles: tuple[float, ...]
    x: tuple[float, ...]


def histogram(values: np.ndarray) -> tuple[list[float], float, float]:
    """Heights in [0, 1] of `BINS` equal bars, and where the first begins and the last ends.

    Examples
    --------
    >>> heights, low, high = histogram(np.array([0.0, 1.0, 1.0]))
    >>> heights[0], heights[-1], low, high
    (0.5, 1.0, 0.0, 1.0)
    """
    counts, edges = np.histogram(values.astype(np.float64), bins=BINS)
    return (counts / max(int(counts.max()), 1)).round(4).tolist(), float(edges[0]), float(edges[-1])


def boxes(groups: Sequence[tuple[str, np.ndarray]], low: float, high: float) -> list[Box]:
    """A box for each group that has values, on the scale from ``low`` to ``high``."""
    found = []
    for name, values in groups:
        if len(values):
            at = np.quantile(values.astype(np.float64), QUANTILES)
            found.append(Box(name, len(values), tuple(at.tolist()), tuple(place(v, low, high) for v in at)))
    return found


def place(value: float, low: float, high: float) -> float:
    """Where a value lies between two others, see `WIDTH`.

    Examples
    --------
    >>> place(1.5, 1.0, 2.0), place(9.0, 1.0, 2.0), place(1.0, 1.0, 1.0)
    (50.0, 100.0, 50.0)
    """
    if not high > low:
        return WIDTH / 2
    return round(float(np.clip((value - low) / (high - low), 0, 1)) * WIDTH, 2)
