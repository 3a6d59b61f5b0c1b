"""Early fusion: blocks of features, one per modality, each filled, scaled and weighted, then put side by side."""

from collections.abc import Mapping, Sequence

import numpy as np


class Block:
    """Preparation of one modality's features, fitted on training samples only.

    Gaps become the training median, columns get zero mean and unit variance, outliers are cut at `CLIP` standard
    deviations, and the block as a whole is scaled so that each modality has the same say whatever its width.
    """

    CLIP = 5.0

    def __init__(self):
        self.pipeline = None
        self.weight = 1.0

    def fit(self, x: np.ndarray) -> "Block":
        """Fit on features [shape=(n, columns)], NaN where there is no value."""
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self.pipeline = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
        self.pipeline.fit(x)
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Prepared features [shape=(n, columns)], float32."""
        return np.clip(self.pipeline.transform(x), -self.CLIP, self.CLIP).astype(np.float32)


def side_by_side(
    blocks: Mapping[str, np.ndarray], present: Mapping[str, np.ndarray], gaps: Mapping[str, bool], names: Sequence[str]
) -> np.ndarray:
    """One matrix of several prepared blocks.

    Parameters
    ----------
    blocks : mapping of modality to float array, shape=(n, columns)
    present : mapping of modality to bool array, shape=(n,)
    gaps : mapping of modality to bool
        Whether the training samples lack the modality somewhere; then a column says where it is there.
    names : sequence of str
        Modalities in order.

    Returns
    -------
    float array, shape=(n, all columns)
        Each block is scaled to the same total variance; a missing modality is all zeros, its mean.
    """
    mean_width = np.mean([blocks[m].shape[1] for m in names])
    parts = []
    for m in names:
        scale = np.float32(np.sqrt(mean_width / max(blocks[m].shape[1], 1)))
        parts.append(np.where(present[m][:, None], blocks[m] * scale, np.float32(0)))
        if gaps[m]:
            parts.append(present[m][:, None].astype(np.float32))
    return np.hstack(parts)
