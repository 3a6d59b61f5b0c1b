"""From values per frame to values per sample."""

from collections.abc import Sequence

import numpy as np

from affectlake.features.protocol import Column

STATISTICS = {
    "mean": "mean over frames",
    "std": "standard deviation over frames",
    "min": "least of all frames",
    "max": "greatest of all frames",
    "change": "mean absolute change from frame to frame",
}


def pooled_columns(columns: Sequence[Column], statistics: Sequence[str]) -> tuple[Column, ...]:
    """Columns of `pool`: statistic by statistic."""
    return tuple(
        Column(
            f"{c.name}_{s}",
            c.unit,
            # Spread and change of a bounded quantity cannot exceed its range.
            c.low if s in ("mean", "min", "max") else 0.0,
            c.high if s in ("mean", "min", "max") else c.high - c.low,
            f"{c.description}, {STATISTICS[s]}",
            c.source,
        )
        for s in statistics
        for c in columns
    )


def pool(values: np.ndarray, statistics: Sequence[str]) -> np.ndarray:
    """Statistics over the first axis [shape=(frames, k)], one after another [shape=(len(statistics) * k,)]."""
    of = {
        "mean": lambda: values.mean(axis=0),
        "std": lambda: values.std(axis=0),
        "min": lambda: values.min(axis=0),
        "max": lambda: values.max(axis=0),
        "change": lambda: np.abs(np.diff(values, axis=0)).mean(axis=0) if len(values) > 1 else 0 * values[0],
    }
    return np.concatenate([of[s]() for s in statistics]).astype(np.float32)


def grey(crops: np.ndarray) -> np.ndarray:
    """Luma of RGB crops, uint8 [shape=(n, height, width)]."""
    return (crops @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
