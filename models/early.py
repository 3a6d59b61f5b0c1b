"""Early fusion: blocks of features, one per modality, each filled, scaled, reduced and weighted, side by side."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from affectlake.models.taken import Taken
from affectlake.models.telling import most_telling, told
from affectlake.models.zoo import Reads, Task

VARIANCE = 32.0
"""Of everything that a model is offered, summed over columns: strengths of regularisation, widths of kernels and rates
of learning then mean the same for 35 columns and for 3,500."""


Matrix = np.ndarray | Taken
"""Features [shape=(n, columns)], as they are or as they are asked for."""


def present(block: Matrix) -> np.ndarray:
    """Which rows have any value."""
    parts = [~np.isnan(block[some]).all(axis=1) for some in steps(*block.shape)]
    return np.concatenate(parts) if parts else np.empty(0, dtype=bool)


def steps(length: int, width: int) -> Iterator[slice]:
    """Slices of ``length`` by which a matrix is worked off in 8 MiB of doubles at a time: copies stay small."""
    step = max(1, 2**20 // max(1, width))
    return (slice(start, start + step) for start in range(0, length, step))


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

    MOST = 2**17
    """Samples at most by whose variance axes are found; of more, so many that stand evenly among them."""

    SMALLEST = 1e-6
    """Variance, relative to that of the first component, below which a component is rounding."""

    @classmethod
    def fit(cls, z: np.ndarray) -> "Rotation":
        """Fit on scaled columns [shape=(n, columns)], by the smaller of their two matrices of inner products."""
        if len(z) > cls.MOST:
            z = z[np.linspace(0, len(z) - 1, cls.MOST).astype(int)]
        mean = z.mean(axis=0, dtype=np.float64).astype(np.float32)

        def centred(rows: slice, columns: slice) -> np.ndarray:
            return (z[rows, columns] - mean[columns]).astype(np.float64)

        n, width = z.shape
        wide, whole = width > n, slice(None)
        products = np.zeros((min(n, width),) * 2)
        for some in steps(width, n) if wide else steps(n, width):
            part = centred(whole, some) if wide else centred(some, whole)
            products += part @ part.T if wide else part.T @ part
        values, vectors = np.linalg.eigh(products)
        values, vectors = values[::-1], vectors[:, ::-1]
        kept = max(1, int((values > cls.SMALLEST * max(values[0], 1e-12)).sum()))
        values, vectors = np.maximum(values[:kept], 1e-12), vectors[:, :kept]
        axes = np.empty((width, kept), dtype=np.float32)
        for some in steps(width, n):
            axes[some] = centred(whole, some).T @ vectors / np.sqrt(values) if wide else vectors[some]
        return cls(mean, axes)

    def __call__(self, z: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        out = np.empty((len(z), self.axes.shape[1]), dtype=np.float32) if out is None else out
        for some in steps(*z.shape):
            out[some] = (z[some] - self.mean) @ self.axes
        return out


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

    def fit(self, x: Matrix) -> "Block":
        """Fit on features [shape=(n, columns)], NaN where there is no value."""
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        def fresh() -> tuple[SimpleImputer, StandardScaler]:
            return SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()

        # Columns in pieces: fitted on all at once, medians alone take ten times the memory of what they are of.
        parts = []
        for some in steps(x.shape[1], len(x)):
            own, scale = fresh()
            scale.fit(own.fit_transform(x[:, some]))
            parts.append((own.statistics_, scale.mean_, scale.var_, scale.scale_))
        imputer, scaler = fresh()
        scaler.fit(imputer.fit_transform(x[:1]))
        imputer.statistics_, scaler.mean_, scaler.var_, scaler.scale_ = map(np.concatenate, zip(*parts, strict=True))
        scaler.n_samples_seen_ = scale.n_samples_seen_
        self.pipeline = make_pipeline(imputer, scaler)
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Prepared features [shape=(n, columns)], float32."""
        out = np.empty(x.shape, dtype=np.float32)
        for some in steps(*x.shape):
            out[some] = np.clip(self.pipeline.transform(x[some]), -self.CLIP, self.CLIP)
        return out


class View:
    """Features of some samples in one modality, prepared once for all that read them.

    Attributes
    ----------
    there : bool array, shape=(n,)
        Which samples have the modality.
    """

    def __init__(self, block: Block, x: Matrix, there: np.ndarray | None = None):
        self.block, self.there = block, present(x) if there is None else there
        self._raw, self._shape = [x], x.shape  # until it is prepared
        self._told: dict[bytes, np.ndarray] = {}

    @classmethod
    def fitted(cls, x: Matrix, *rest: Any) -> Self:
        """Training samples [shape=(n, columns)], with a block that is fitted on those that have the modality."""
        has = present(x)
        known = slice(None) if has.all() else has
        view = cls(Block().fit(Taken.of(x, known)), x, has, *rest)
        parts = [view.columns[known, s].var(axis=0, dtype=np.float64) for s in steps(x.shape[1], len(x))]
        view.block.variance = max(float(np.concatenate(parts).sum()), 1e-12)
        view.block.usual = float(np.quantile(view.cut[has], 0.995))
        return view

    @property
    def cut(self) -> np.ndarray:
        """Share of each sample's columns that were cut as outliers [shape=(n,)]."""
        clip, z = self.block.CLIP, self.columns
        return np.concatenate([np.empty(0), *((np.abs(z[s]) >= clip).mean(axis=1) for s in steps(*z.shape))])

    @property
    def far(self) -> np.ndarray:
        """Samples [shape=(n,)] of which many more columns are outliers than of those that the block was fitted on."""
        return np.asarray(self.cut > max(self.block.FAR, 2 * self.block.usual))

    @cached_property
    def columns(self) -> np.ndarray:
        """Prepared columns [shape=(n, columns)], float32; zeros where a sample lacks the modality."""
        out = np.empty(self._shape, dtype=np.float32)
        self._prepare(out)
        return out

    def _prepare(self, out: np.ndarray) -> None:
        x = self._raw.pop()
        for some in steps(*x.shape):
            known = self.there[some]
            out[some] = 0
            if known.any():
                out[some][known] = self.block.transform(x[some][known])

    @cached_property
    def components(self) -> np.ndarray:
        """The same along the block's principal axes [shape=(n, components)], which a training view fits."""
        rotation = self._rotation()
        out = np.empty((len(self.there), rotation.axes.shape[1]), dtype=np.float32)
        self._rotate(out)
        return out

    def _rotation(self) -> Rotation:
        if self.block.rotation is None:
            known = slice(None) if self.there.all() else self.there
            self.block.rotation = Rotation.fit(self.columns[known])
        return self.block.rotation

    def _rotate(self, out: np.ndarray) -> None:
        self._rotation()(self.columns, out)
        out[~self.there] = 0

    def told(self, samples: Any, y: np.ndarray, task: Task) -> np.ndarray:
        """F statistics of some samples' columns [shape=(columns,)]: taken once for all models that ask.

        ``samples``: positions, a mask, or a slice.
        """
        which = samples.tobytes() if isinstance(samples, np.ndarray) else repr(samples).encode()
        key = hashlib.blake2b(which + y.tobytes() + task.encode()).digest()
        if key not in self._told:
            self._told[key] = told(Taken.of(self.columns, samples), y, task)
        return self._told[key]

    def scale(self, variance: float) -> np.float32:
        """What gives the training samples' block this variance."""
        return np.float32(np.sqrt(variance / self.block.variance))


class Turned(View):
    """A view's samples along the first axes of some of them, as if the others had not been there."""

    def __init__(self, view: View, rows: np.ndarray, most: int):
        self.block, self.there, self._told = view.block, view.there, view._told
        self._view, self._rows, self._most = view, rows, most

    @cached_property
    def columns(self) -> np.ndarray:
        return self._view.columns

    @cached_property
    def components(self) -> np.ndarray:
        known = self._rows[self.there[self._rows]]
        if not len(known):
            return self._view.components[:, : self._most]
        rotation = Rotation.fit(self.columns[known])
        out = Rotation(rotation.mean, np.ascontiguousarray(rotation.axes[:, : self._most]))(self.columns)
        out[~self.there] = 0
        return out


Change = tuple[np.ndarray, np.ndarray]
"""Columns whose values are exchanged, and from which row each row takes them."""


class Exchanged(View):
    """Copies of a view's samples, one below the other, in each of which other values were exchanged.

    A value is prepared by itself, so nothing is prepared anew, and components move by what the changed columns add.
    """

    def __init__(self, view: View, changes: Sequence[Change]):
        self.block, self.there, self._told = view.block, np.tile(view.there, len(changes)), {}
        self._view, self._changes = view, changes

    @cached_property
    def columns(self) -> np.ndarray:
        whole = self._view.columns
        out = np.tile(whole, (len(self._changes), 1))
        for part, (columns, rows) in zip(np.split(out, len(self._changes)), self._changes, strict=True):
            part[:, columns] = whole[np.ix_(rows, columns)]
        return out

    @cached_property
    def components(self) -> np.ndarray:
        view, whole = self._view, self._view.columns
        out = np.tile(view.components, (len(self._changes), 1))
        axes = view.block.rotation.axes if view.block.rotation is not None else np.empty((0, 0))
        for part, (columns, rows) in zip(np.split(out, len(self._changes)), self._changes, strict=True):
            if len(columns) == whole.shape[1]:
                part[:] = view.components[rows]
            elif len(columns):
                some = whole[:, columns]
                part += (some[rows] - some) @ axes[columns]
        return out


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

    def __len__(self) -> int:
        there = next(iter(self.views.values())).there
        return len(there) if self.rows is None else int(self.rows.sum())

    def read(self, reads: Reads, at: np.ndarray | None = None, rows: np.ndarray | None = None) -> np.ndarray:
        """What a model reads [shape=(rows, positions)], float32.

        Parameters
        ----------
        reads : Reads
        at : int array, optional
            Positions in modalities side by side, see `leading` and `telling`; by default all.
        rows : int array, optional
            Positions among the table's samples; by default all.
        """
        samples, share, first = self._samples(rows), VARIANCE / len(self.views), 0
        samples = np.arange(len(next(iter(self.views.values())).there))[samples]
        out = np.empty((len(samples), self.width(reads) if at is None else len(at)), dtype=np.float32)
        for m, view, block, start in self._blocks(reads):
            end = start + block.shape[1]
            own = None if at is None else at[(at >= start) & (at < end)] - start
            into = out[:, first : first + (block.shape[1] if own is None else len(own))]
            for some in steps(len(samples), block.shape[1]):
                into[some] = block[samples[some]] if own is None else block[np.ix_(samples[some], own)]
                if reads != "prepared":
                    into[some] *= view.scale(share)
            first += into.shape[1]
            if self.gaps[m] and (at is None or end in at):
                out[:, first] = view.there[samples]
                first += 1
        return out

    def turned(self, rows: np.ndarray, most: int) -> "Table":
        """The same samples, each modality along the first ``most`` axes of some of them (positions) alone."""
        at = self._samples(rows)
        return replace(self, views={m: Turned(v, at, most) for m, v in self.views.items()})

    def leading(self, most: int) -> np.ndarray:
        """Positions in components of each modality's first ``most``, and of the marks."""
        parts: list[np.ndarray] = []
        for m, _, block, start in self._blocks("components"):
            parts.append(np.arange(start, start + min(most, block.shape[1])))
            if self.gaps[m]:
                parts.append(np.array([start + block.shape[1]]))
        return np.concatenate(parts)

    def telling(self, y: np.ndarray, most: int, task: Task, rows: np.ndarray | None = None) -> np.ndarray:
        """Positions in columns of those that tell most about ``y`` [shape=(rows,)]."""
        samples, found = self._samples(rows), []
        for m, view, _, _ in self._blocks("prepared"):
            found.append(view.told(samples, y, task))
            if self.gaps[m]:
                found.append(told(view.there[samples][:, None].astype(np.float32), y, task))
        return most_telling(np.concatenate(found), most)

    def named(self, at: np.ndarray) -> tuple[tuple[str, int], ...]:
        """Positions in columns, by modality and place in it, whichever modalities stand beside it."""
        found: list[tuple[str, int]] = []
        for m, _, block, start in self._blocks("prepared"):
            found += [(m, int(i) - start) for i in at if start <= i < start + block.shape[1] + self.gaps[m]]
        return tuple(found)

    def width(self, reads: Reads) -> int:
        """How many positions there are."""
        return sum(block.shape[1] + self.gaps[m] for m, _, block, _ in self._blocks(reads))

    def _blocks(self, reads: Reads) -> Iterator[tuple[str, View, np.ndarray, int]]:
        """Each modality's values, and the position of their first column; its mark stands behind its last."""
        start = 0
        for m, view in self.views.items():
            block = view.components if reads == "components" else view.columns
            yield m, view, block, start
            start += block.shape[1] + self.gaps[m]

    def _samples(self, rows: np.ndarray | None) -> Any:
        whole = self.rows is None or bool(self.rows.all())
        if rows is None:
            return slice(None) if whole else self.rows
        return rows if self.rows is None or whole else np.flatnonzero(self.rows)[rows]
