"""The catalogue of columns: what each means, and how its values are distributed in a snapshot."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from affectlake.data.store._place import Place

FIELDS = ("unit", "low", "high", "description", "source")


def describe(place: Place, extractor: str, entry: dict[str, Any], columns: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Documentation and statistics of a feature table, one row per column.

    Returns
    -------
    DataFrame [columns=(extractor, column, unit, low, high, description, source, n, missing, min, mean, max, std)]
        ``n``: values present; ``missing``: rows without one. Statistics are over values present, `std` is that of
        the population; NaN where there is none.
    """
    names = [c["name"] for c in columns]
    rows, n = 0, np.zeros(len(names), dtype=np.int64)
    total, squares = np.zeros(len(names)), np.zeros(len(names))
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    shift = None
    for batch in place.at(entry).to_pyarrow_dataset().to_batches(columns=names):
        if not batch.num_rows:
            continue
        values = np.stack([c.to_numpy(zero_copy_only=False) for c in batch.columns])
        present = ~np.isnan(values)
        filled = np.where(present, values, 0).astype(np.float64)
        if shift is None:
            # Sums of squares about a typical value: about zero they would cancel for far-off columns.
            shift = filled.sum(axis=1) / np.maximum(present.sum(axis=1), 1)
        centred = np.where(present, filled - shift[:, None], 0)
        rows += batch.num_rows
        n += present.sum(axis=1)
        total += centred.sum(axis=1)
        squares += np.einsum("ij,ij->i", centred, centred)
        low = np.minimum(low, np.where(present, values, np.inf).min(axis=1))
        high = np.maximum(high, np.where(present, values, -np.inf).max(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n
        std = np.sqrt(np.maximum(squares / n - mean**2, 0))
        mean = mean + (shift if shift is not None else 0)
    empty = n == 0
    return pd.DataFrame(
        {
            "extractor": extractor,
            "column": names,
            **{f: [c.get(f, _DEFAULTS[f]) for c in columns] for f in FIELDS},
            "n": n,
            "missing": rows - n,
            "min": np.where(empty, np.nan, low),
            "mean": mean,
            "max": np.where(empty, np.nan, high),
            "std": std,
        }
    )


def documented(catalogue: pd.DataFrame, extractor: str) -> list[dict[str, Any]]:
    """What a catalogue says about an extractor's columns, as `describe` takes it."""
    return catalogue[catalogue["extractor"] == extractor].rename(columns={"column": "name"}).to_dict("records")


def together(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One catalogue of those of several extractors."""
    return pd.concat(parts, ignore_index=True) if parts else _NOTHING


_DEFAULTS = {"unit": "", "low": -np.inf, "high": np.inf, "description": "", "source": ""}

_NOTHING = pd.DataFrame(
    {
        **{k: pd.Series([], dtype="str") for k in ("extractor", "column", "unit", "description", "source")},
        **{k: pd.Series([], dtype="float64") for k in ("low", "high", "n", "missing", "min", "mean", "max", "std")},
    }
)
