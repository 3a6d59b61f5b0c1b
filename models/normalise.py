"""Features relative to whom, or to which corpus, they come from.

Means and deviations are those of all samples of a speaker (or corpus), the tested ones included, without their labels.
That is transductive: it needs several samples of a speaker before the first can be labelled. Results say so.
"""

import numpy as np
import pandas as pd

from affectlake.data.errors import UsageError

METHODS = {"none": None, "speaker": "speaker", "corpus": "dataset"}
"""What features are taken relative to, and the column of samples that names it."""


def groups(samples: pd.DataFrame, method: str) -> np.ndarray | None:
    """What each sample is taken relative to; None for ``none``.

    Raises
    ------
    UsageError
        A sample has no speaker (or corpus).
    """
    column = METHODS[method]
    if column is None:
        return None
    if column not in samples or samples[column].isna().any():
        lacking = samples.index[samples[column].isna()][0] if column in samples else samples.index[0]
        raise UsageError(
            f"features are taken relative to their {method}: every sample needs a {column}, {str(lacking)!r} has none"
        )
    return samples[column].astype("str").to_numpy()


def normalised(block: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Columns with zero mean and unit variance within each group.

    Parameters
    ----------
    block : float array, shape=(n, columns)
        NaN where there is no value; NaN stays NaN and counts for nothing.
    groups : array, shape=(n,), or None
        None: the block as it is.

    Returns
    -------
    float32 array, shape=(n, columns)
        A column without variance in a group (one sample, say) is zero there.
    """
    if groups is None:
        return block
    codes = np.unique(groups, return_inverse=True)[1]
    out = np.empty(block.shape, dtype=np.float32)
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        x = block[rows].astype(np.float64)
        known = ~np.isnan(x)
        n = np.maximum(known.sum(axis=0), 1)
        x -= np.where(known, x, 0).sum(axis=0) / n
        deviation = np.sqrt((np.where(known, x, 0) ** 2).sum(axis=0) / n)
        # Rounding leaves a trace of variance in columns that have none.
        scale = np.abs(block[rows]).max(axis=0, initial=0, where=known)
        flat = deviation <= 1e-6 * scale
        out[rows] = np.where(flat, np.where(known, 0, np.nan), x / np.where(flat, 1, deviation))
    return out
