"""Modalities hidden at random, to see how each fusion bears their loss."""

from collections.abc import Mapping

import numpy as np

from affectlake.models.early import present

STEPS = 4
"""Points of the curve besides complete data."""


def shares(modalities: int) -> list[float]:
    """Shares of missing modalities, from complete data to one modality left per sample."""
    return [round(float(s), 4) for s in np.linspace(0, (modalities - 1) / modalities, STEPS + 1)]


def hidden(blocks: Mapping[str, np.ndarray], share: float, seed: int) -> dict[str, np.ndarray]:
    """Blocks of which a share of what samples have is gone (NaN), while every sample keeps one of its modalities.

    Parameters
    ----------
    blocks : mapping of modality to float array, shape=(n, columns)
    share : float, 0 to 1
        Of all sample × modality pairs that are there; fewer are hidden where each sample could not keep one.
    seed : int
        A larger share hides what a smaller one hides, and more.
    """
    names = list(blocks)
    has = np.column_stack([present(blocks[m]) for m in names])
    rng = np.random.default_rng(seed)
    luck = np.where(has, rng.random(has.shape), -1)
    kept = luck.argmax(axis=1)
    candidates = np.flatnonzero((has & (np.arange(len(names)) != kept[:, None])).ravel())
    count = min(round(share * has.sum()), len(candidates))
    gone = np.zeros(has.size, dtype=bool)
    gone[rng.permutation(candidates)[:count]] = True
    hidden_at = gone.reshape(has.shape)
    return {m: np.where(hidden_at[:, [i]], np.float32(np.nan), blocks[m]) for i, m in enumerate(names)}
