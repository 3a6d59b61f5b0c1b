"""A map of samples: an extractor's columns brought down to two dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from affectlake.data.errors import NotApplicable, UnknownName
from affectlake.flows.explore.lake import numbers, spread

if TYPE_CHECKING:
    from affectlake.flows.explore.lake import Lake

POINTS = 5_000
"""Samples on a map at most, evenly spread over the dataset."""


LEAST = 3
"""Samples below which there is nothing to see on a map."""


@dataclass(frozen=True)
class Map:
    """Samples as points.

    Attributes
    ----------
    ids : list of str
    xy : float array, shape=(samples, 2)
    explained : tuple of float
        Share of the variance that each axis keeps; empty where that has no meaning.
    of : int
        Samples that have the extractor's values, of which these are some.
    """

    ids: list[str]
    xy: np.ndarray
    explained: tuple[float, ...]
    of: int


def ways() -> list[str]:
    """Ways of drawing a map that are installed."""
    found = find_spec("umap")
    return ["pca", "umap"] if found and found.origin else ["pca"]  # a folder of this name has no origin


def extractors(lake: Lake, dataset: str) -> list[str]:
    """Those of which there is a map."""
    return [t["extractor"] for t in lake.tables(dataset) if t["columns"] > 1 and t["rows"] >= LEAST]


def drawn(lake: Lake, dataset: str, extractor: str, way: str) -> Map:
    """The map of an extractor's columns at mean 0 and standard deviation 1; what is missing counts as the mean.

    Raises
    ------
    UnknownName
        No such dataset, extractor or way.
    NotApplicable
        Fewer than `LEAST` samples.
    """
    if way not in ways():
        raise UnknownName("map", way, ways())
    if extractor not in lake.snapshot(dataset).features:
        raise UnknownName("extractor", extractor, lake.snapshot(dataset).features)
    return lake.once(dataset, ("map", extractor, way), lambda: _drawn(lake, dataset, extractor, way))


def _drawn(lake: Lake, dataset: str, extractor: str, way: str) -> Map:
    samples = lake.contents(dataset)
    known = samples.index[samples[extractor].notna()]
    if len(known) < LEAST:
        raise NotApplicable(f"{extractor} has values for {len(known)} sample(s): no map of fewer than {LEAST}")
    frame = numbers(lake.store.load(dataset, [extractor], ids=spread(known, POINTS)))
    x = frame.to_numpy(np.float64)
    x = x[:, np.isfinite(x).any(axis=0)]
    x = np.where(np.isfinite(x), x, np.nan)
    x = np.nan_to_num(x - np.nanmean(x, axis=0))
    spreads = x.std(axis=0)
    x = x[:, spreads > 0] / spreads[spreads > 0]
    if x.shape[1] < 2:  # all on a line, or in one place
        return Map(list(frame.index), np.pad(x, ((0, 0), (0, 2 - x.shape[1]))), (), len(known))
    xy, explained = (_pca if way == "pca" else _umap)(x)
    return Map(list(frame.index), xy, explained, len(known))


def _pca(x: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
    from sklearn.decomposition import PCA

    pca = PCA(2, random_state=0)
    return pca.fit_transform(x), tuple(pca.explained_variance_ratio_.tolist())


def _umap(x: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
    from umap import UMAP

    return UMAP(random_state=0, n_jobs=1).fit_transform(x), ()
