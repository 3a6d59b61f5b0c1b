"""Statistics of a contour that know its pieces: rises and falls, thirds, what is defined and what is not."""

from collections.abc import Sequence

import numpy as np

from affectlake.data.sound import RATE
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._functionals import percentile, slope

STEP = sp.HOP / RATE
SWING = 0.1  # of a contour's range: what rises or falls less is no part of its shape

Values = dict[str, float]
NAN = float("nan")


def smoothed(x: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Mean over each kept frame and those of its two neighbours that are kept [shape=(kept, …)]."""
    weight = keep.astype(np.float32).reshape(-1, *(1,) * (x.ndim - 1))
    return (_sum_of_three(np.where(weight > 0, x, 0)) / np.maximum(_sum_of_three(weight), 1))[keep]


def _sum_of_three(x: np.ndarray) -> np.ndarray:
    out = x.copy()
    out[1:] += x[:-1]
    out[:-1] += x[1:]
    return out


def spread(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of what is not NaN in each column; NaN of nothing."""
    finite = np.isfinite(x)
    count = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, x, 0).sum(axis=0, dtype=np.float64) / count
    away = np.where(finite, x - mean, 0)
    std = np.sqrt((away * away).sum(axis=0) / count)
    nothing = ~finite.any(axis=0)
    return np.where(nothing, NAN, mean), np.where(nothing, NAN, std)


def moments(x: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation; NaN of nothing."""
    if not len(x):
        return NAN, NAN
    mean = x.sum() / len(x)
    away = x - mean
    return float(mean), float(np.sqrt(away @ away / len(x)))


def contour(x: np.ndarray, keep: np.ndarray) -> Values:
    """Statistics of a contour over the frames to keep, without its name's prefix."""
    frames = np.flatnonzero(keep)
    if not len(frames):
        return dict.fromkeys(CONTOUR_STATISTICS, NAN)
    whole = smoothed(x, keep).astype(np.float64)
    ordered = np.sort(whole)
    low, mid, high = (float(percentile(ordered, q)) for q in (20, 50, 80))
    mean, std = moments(whole)
    next_to = np.diff(frames) == 1
    pieces = np.split(whole, np.flatnonzero(~next_to) + 1)
    slopes, _ = ramps(pieces, SWING * (ordered[-1] - ordered[0]))
    rising, falling = slopes[slopes > 0], -slopes[slopes < 0]
    thirds = _thirds(frames, whole)
    return {
        "mean": mean, "std": std, "p20": low, "p50": mid, "p80": high, "range": high - low,
        "min": float(ordered[0]), "max": float(ordered[-1]),
        "rise_mean": moments(rising)[0], "rise_std": moments(rising)[1],
        "fall_mean": moments(falling)[0], "fall_std": moments(falling)[1],
        "slope": float(slope(frames * STEP, whole)),
        "change": moments(np.abs(np.diff(whole)[next_to]))[0] / STEP,
        "begin": thirds[0] - mean, "middle": thirds[1] - mean, "end": thirds[2] - mean,
    }  # fmt: skip


CONTOUR_STATISTICS: dict[str, tuple[str, bool]] = {
    "mean": ("mean", False), "std": ("standard deviation", False), "p20": ("20th percentile", False),
    "p50": ("median", False), "p80": ("80th percentile", False), "range": ("80th less 20th percentile", False),
    "min": ("minimum", False), "max": ("maximum", False),
    "rise_mean": ("mean slope of rising parts", True), "rise_std": ("spread of slopes of rising parts", True),
    "fall_mean": ("mean slope of falling parts", True), "fall_std": ("spread of slopes of falling parts", True),
    "slope": ("slope over the whole clip", True), "change": ("mean absolute slope", True),
    "begin": ("mean of the first third, less the whole's", False),
    "middle": ("mean of the middle third, less the whole's", False),
    "end": ("mean of the last third, less the whole's", False),
}  # fmt: skip
"""Meaning of each, and whether it is per second."""


def ramps(pieces: Sequence[np.ndarray], swing: float) -> tuple[np.ndarray, int]:
    """Slopes per second between the turning points of all pieces, and how many of those are peaks."""
    slopes, peaks = [], 0
    for piece in pieces:
        turns, tops = turning_points(piece, swing)
        slopes.append(np.diff(piece[turns]) / (np.diff(turns) * STEP))
        peaks += tops
    return np.concatenate(slopes), peaks


def turning_points(x: np.ndarray, swing: float) -> tuple[list[int], int]:
    """First index, those of alternating extremes that are more than ``swing`` apart, last; how many are maxima."""
    direction = np.sign(np.diff(x))
    extremes = [*(np.flatnonzero(np.diff(direction)) + 1).tolist(), len(x) - 1]
    values = x.tolist()
    found, tops = [0], 0
    low = high = heading = 0
    for i in extremes:
        if heading >= 0 and values[i] > values[high]:
            high = i
        if heading <= 0 and values[i] < values[low]:
            low = i
        if heading >= 0 and values[high] - values[i] > swing:
            found.append(high)
            tops, heading, low = tops + 1, -1, i
        elif heading <= 0 and values[i] - values[low] > swing:
            found.append(low)
            heading, high = 1, i
    return sorted({*found, len(x) - 1}), tops


def _thirds(frames: np.ndarray, x: np.ndarray) -> list[float]:
    third = np.minimum((frames - frames[0]) * 3 // max(frames[-1] - frames[0] + 1, 1), 2)
    return [moments(x[third == k])[0] for k in range(3)]
