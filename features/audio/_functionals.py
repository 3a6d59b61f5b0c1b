"""From a contour (one value per frame) to the few numbers that describe it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from affectlake.features.protocol import Column, Nuisance

MEANINGS = {
    "mean": "mean",
    "std": "standard deviation",
    "p10": "10th percentile",
    "p50": "median",
    "p90": "90th percentile",
    "slope": "slope over time of the least-squares line",
    "dstd": "standard deviation of the change (Δ)",
    "ddstd": "standard deviation of the change of the change (ΔΔ)",
}
PERCENTILES = {"p10": 10, "p50": 50, "p90": 90}
SPREADS = {"std", "dstd", "ddstd"}
PLACES = {"mean", *PERCENTILES}


@dataclass(frozen=True)
class Contour:
    """Frame-wise quantities and the functionals taken of them.

    Attributes
    ----------
    names : sequence of str
        One per column of the contour's array.
    unit, low, high, description, source : as in `Column`
        ``description`` may hold ``{}`` for the quantity's number in ``names``.
    statistics : sequence of str
        Keys of `MEANINGS`.
    leveled : bool
        Whether the quantity goes up and down with the gain of the recording by a constant: so do its mean and
        percentiles, while spreads and slopes stay.
    """

    names: Sequence[str]
    unit: str
    low: float
    high: float
    description: str
    source: str
    statistics: Sequence[str]
    leveled: bool = False

    def columns(self) -> list[Column]:
        return [self._column(i, name, s) for s in self.statistics for i, name in enumerate(self.names)]

    def _column(self, i: int, name: str, statistic: str) -> Column:
        low, high = self.low, self.high
        if statistic in SPREADS:
            low, high = 0.0, float("inf")
        elif statistic == "slope":
            low, high = float("-inf"), float("inf")
        unit = self.unit if statistic != "slope" else f"{self.unit}/s"
        description = f"{self.description.format(i)}: {MEANINGS[statistic]} over the frames with sound"
        nuisance: Nuisance = "level" if self.leveled and statistic in PLACES else ""
        return Column(f"{name}_{statistic}", unit, low, high, description, self.source, nuisance)


def functionals(contours: Sequence[tuple[np.ndarray, Sequence[str]]], keep: np.ndarray, step: float) -> np.ndarray:
    """Statistics of each column of several arrays over the frames that ``keep`` marks.

    Parameters
    ----------
    contours : sequence of (np.ndarray [shape=(frames, d)], sequence of str)
        Each with keys of `MEANINGS`.
    keep : np.ndarray [shape=(frames,)], bool, at least one True
    step : float
        Seconds between frames.

    Returns
    -------
    np.ndarray, float32
        Contour by contour, in each statistic by statistic. A slope of a single frame is 0.
    """
    # Contours of the same statistics are taken together: the calls cost more than the numbers.
    groups: dict[tuple[str, ...], list[np.ndarray]] = {}
    for x, statistics in contours:
        groups.setdefault(tuple(statistics), []).append(x)
    tables = {
        statistics: _statistics(np.concatenate(group, axis=1), statistics, keep, step)
        for statistics, group in groups.items()
    }
    taken = dict.fromkeys(groups, 0)
    out = []
    for x, statistics in contours:
        first = taken[tuple(statistics)]
        taken[tuple(statistics)] = last = first + x.shape[1]
        out.append(tables[tuple(statistics)][:, first:last].ravel())
    return np.concatenate(out).astype(np.float32)


def _statistics(x: np.ndarray, statistics: Sequence[str], keep: np.ndarray, step: float) -> np.ndarray:
    """One row per statistic [shape=(len(statistics), d)]."""
    kept = x[keep]
    ordered = np.sort(kept, axis=0) if PERCENTILES.keys() & set(statistics) else kept
    first = delta(x) if {"dstd", "ddstd"} & set(statistics) else x
    mean = kept.mean(axis=0, dtype=np.float64)
    away = kept - mean
    rows: list[np.ndarray] = []
    for statistic in statistics:
        match statistic:
            case "mean":
                rows.append(mean)
            case "std":
                rows.append(_deviation(away))
            case "slope":
                rows.append(slope(np.flatnonzero(keep) * step, away))
            case "dstd":
                rows.append(_deviation(_centred(first[keep])))
            case "ddstd":
                rows.append(_deviation(_centred(delta(first)[keep])))
            case _:
                rows.append(percentile(ordered, PERCENTILES[statistic]))
    return np.stack(rows)


def _centred(x: np.ndarray) -> np.ndarray:
    return x - x.mean(axis=0, dtype=np.float64)


def _deviation(away: np.ndarray) -> np.ndarray:
    # Not np.std: it takes twice the time for tables as narrow as these.
    return np.sqrt(np.einsum("ij,ij->j", away, away) / len(away))


def percentile(ordered: np.ndarray, q: float) -> np.ndarray:
    """Linearly interpolated percentile of values that are already in order along the first axis."""
    position = (len(ordered) - 1) * q / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def slope(t: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Least-squares slope of each column of ``x`` against ``t``; 0 where ``t`` has a single value."""
    t = t - t.mean()
    spread = float(t @ t)
    return t @ x / spread if spread > 0 else np.zeros(x.shape[1:])


def delta(x: np.ndarray, width: int = 9) -> np.ndarray:
    """Least-squares slope over ``width`` frames, edges repeated; as librosa.feature.delta(mode="nearest")."""
    # Not librosa's own: 1.9 times the time.
    half = width // 2
    padded = x[np.clip(np.arange(-half, len(x) + half), 0, len(x) - 1)]
    out = np.zeros_like(x)
    for k in range(1, half + 1):
        out += k * (padded[half + k : half + k + len(x)] - padded[half - k : half - k + len(x)])
    return out / (2 * sum(k * k for k in range(1, half + 1)))


def rank(group: np.ndarray) -> np.ndarray:
    """How many of the same group stand before each entry of groups in ascending order [shape=(n,)]."""
    return np.arange(len(group)) - np.searchsorted(group, group)


def where(flags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of every True of a table; as np.nonzero, which is slower for two dimensions."""
    return np.divmod(np.flatnonzero(flags), flags.shape[1])
