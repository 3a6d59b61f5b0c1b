"""Early fusion: blocks of features, one per modality, each filled, scaled, reduced and weighted, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

VARIANCE = 32.0
"""Of everything that a model is offered, summed over columns: strengths of regularisation, widths of kernels and rates
of learning then mean the same for 35 columns and for 3,500."""


def present(block: np.ndarray) -> np.ndarray:
    """Which rows have any value."""
    return ~np.isnan(block).all(axis=1)


@dataclass(frozen=True)
class Rotation:
    """The principal axes of a block's training samples.

    All of them together lose nothing: whatever is learned from inner products of samples comes out as from the columns,
    but thousands of correlated columns become at most as many components as there are training samples.

    Attributes
    ----------
    mean : float32 array, shape=(columns,)
    axes : float32 array, shape=(columns, components)
        By falling variance.
    """

    mean: np.ndarray
    axes: np.ndarray

    SMALLEST = 1e-6
    """Variance, relative to that of the first component, below which a component is rounding."""

    @classmethod
    def fit(cls, z: np.ndarray) -> "Rotation":
        """Fit on scaled columns [shape=(n, columns)], by the smaller of their two matrices of inner products."""
        mean = z.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = (z - mean).astype(np.float64)
        wide = centred.shape[1] > centred.shape[0]
        values, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
        values, vectors = values[::-1], vectors[:, ::-1]
        kept = max(1, int((values > cls.SMALLEST * max(values[0], 1e-12)).sum()))
        values, vectors = np.maximum(values[:kept], 1e-12), vectors[:, :kept]
        axes = centred.T @ vectors / np.sqrt(values) if wide else vectors
        return cls(mean, axes.astype(np.float32))

    def __call__(self, z: np.ndarray) -> np.ndarray:
        return (z - self.mean) @ self.axes


class Block:
    """Preparation of one modality's features, fitted on training samples only.

    Gaps become the training median, columns get zero mean and unit variance, and outliers are cut at `CLIP` standard
    deviations.

    Attributes
    ----------
    pipeline : fitted scikit-learn pipeline
    variance : float
        Of the prepared training samples, over all columns.
    rotation : Rotation or None
        None where nobody asked for components.
    usual : float
        Share of columns that are cut in all but one of 200 training samples.
    """

    CLIP = 5.0
    FAR = 0.05
    """Share of columns that are cut from which on a sample may be called far from the training's."""

    def __init__(
        self, pipeline: Any = None, variance: float = 1.0, rotation: Rotation | None = None, usual: float = 0.0
    ):
        self.pipeline, self.variance, self.rotation, self.usual = pipeline, variance, rotation, usual

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


class View:
    """Features of some samples in one modality, prepared once for all that read them.

    Attributes
    ----------
    there : bool array, shape=(n,)
        Which samples have the modality.
    """

    def __init__(self, block: Block, x: np.ndarray):
        self.block, self._x, self.there = block, x, present(x)

    @classmethod
    def fitted(cls, x: np.ndarray) -> "View":
        """Training samples [shape=(n, columns)], with a block that is fitted on those that have the modality."""
        has = present(x)
        view = cls(Block().fit(x[has]), x)
        view.block.variance = max(float(view.columns[has].var(axis=0, dtype=np.float64).sum()), 1e-12)
        view.block.usual = float(np.quantile(view.cut[has], 0.995))
        return view

    @property
    def cut(self) -> np.ndarray:
        """Share of each sample's columns that were cut as outliers [shape=(n,)]."""
        return np.asarray((np.abs(self.columns) >= self.block.CLIP).mean(axis=1))

    @property
    def far(self) -> np.ndarray:
        """Samples [shape=(n,)] of which many more columns are outliers than of those that the block was fitted on."""
        return np.asarray(self.cut > max(self.block.FAR, 2 * self.block.usual))

    @cached_property
    def columns(self) -> np.ndarray:
        """Prepared columns [shape=(n, columns)], float32; zeros where a sample lacks the modality."""
        out = np.zeros(self._x.shape, dtype=np.float32)
        if self.there.any():
            out[self.there] = self.block.transform(self._x[self.there])
        return out

    @cached_property
    def components(self) -> np.ndarray:
        """The same along the block's principal axes [shape=(n, components)], which a training view fits."""
        if self.block.rotation is None:
            self.block.rotation = Rotation.fit(self.columns[self.there])
        out = self.block.rotation(self.columns)
        out[~self.there] = 0
        return out

    def scale(self, variance: float) -> np.float32:
        """What gives the training samples' block this variance."""
        return np.float32(np.sqrt(variance / self.block.variance))


@dataclass(frozen=True)
class Table:
    """Modalities side by side, as models read them.

    Each block is scaled to the same variance, so that each modality has the same say whatever its width, and all
    together to `VARIANCE`. A missing modality is all zeros, its mean.

    Attributes
    ----------
    views : dict of modality to View
        In order.
    gaps : dict of modality to bool
        Whether the training samples lack the modality somewhere; then a last column says where it is there.
    rows : bool array, shape=(n,), or None
        Only these samples.
    """

    views: Mapping[str, View]
    gaps: Mapping[str, bool]
    rows: np.ndarray | None = None

    @cached_property
    def columns(self) -> np.ndarray:
        """[shape=(n, all columns)], float32: for what looks at one column at a time."""
        return self._side_by_side([v.columns for v in self.views.values()])

    @cached_property
    def components(self) -> np.ndarray:
        """[shape=(n, all components)], float32: for what looks at inner products."""
        return self._side_by_side([v.components for v in self.views.values()])

    def leading(self, most: int) -> np.ndarray:
        """Positions in `components` of each modality's first ``most``, and of the marks."""
        parts: list[np.ndarray] = []
        start = 0
        for m, view in self.views.items():
            width = view.components.shape[1]
            parts.append(np.arange(start, start + min(most, width)))
            start += width
            if self.gaps[m]:
                parts.append(np.array([start]))
                start += 1
        return np.concatenate(parts)

    def _side_by_side(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        share = VARIANCE / len(self.views)
        parts = []
        for (m, view), block in zip(self.views.items(), blocks, strict=True):
            parts.append(block * view.scale(share))
            if self.gaps[m]:
                parts.append(view.there[:, None].astype(np.float32))
        found = np.hstack(parts)
        return found if self.rows is None or self.rows.all() else found[self.rows]
