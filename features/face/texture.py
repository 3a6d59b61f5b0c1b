"""Texture of the face: local binary patterns and histograms of oriented gradients on a grid."""

from collections.abc import Mapping, Sequence

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.face._pool import grey
from affectlake.features.face.detect import CROP, PARAMETERS, FaceMeasures, Faces
from affectlake.features.image._patterns import ROTATED, gradients, patterns, rotated
from affectlake.features.protocol import Column

GRID = 4
CELLS, ORIENTATIONS = 6, 8

_LBP = tuple(
    Column(f"lbp_{y}{x}_{n}", "1", 0.0, 1.0, f"Share of pattern {n} in cell ({y}, {x}), mean over frames",
           "uniform LBP, Ojala et al. (2002)")
    for y in range(GRID) for x in range(GRID) for n in range(ROTATED)
)  # fmt: skip
_HOG = tuple(
    Column(f"hog_{y}{x}_{o}", "1", 0.0, 1.0,
           f"Gradient at {180 * o // ORIENTATIONS} degrees in cell ({y}, {x}), mean over frames",
           "HOG, Dalal & Triggs (2005)")
    for y in range(CELLS) for x in range(CELLS) for o in range(ORIENTATIONS)
)  # fmt: skip
_CHANGE = tuple(
    Column(f"{kind}_{y}{x}_change", "1", 0.0, 2.0**0.5, f"Change of cell ({y}, {x}) from frame to frame, mean", source)
    for kind, source, side in (("lbp", _LBP[0].source, GRID), ("hog", _HOG[0].source, CELLS))
    for y in range(side) for x in range(side)
)  # fmt: skip


class Texture(FaceMeasures):
    """See `affectlake.features.protocol.Extractor`."""

    name = "face.texture"
    version = "2"
    parameters: Mapping[str, object] = {**PARAMETERS, "grid": GRID, "cells": CELLS, "orientations": ORIENTATIONS}
    columns: Sequence[Column] = (*_LBP, *_HOG, *_CHANGE)
    cost = 0.5
    summary = "Local binary patterns and oriented gradients of the face on a grid, and where they change"

    def extract(self, batch: Sequence[Faces]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(len(columns),)] per sample."""
        return [_row(np.stack([_frame(g) for g in grey(f.crops)])) for f in batch]


def _row(frames: np.ndarray) -> np.ndarray:
    """Of values per frame [shape=(frames, len(_LBP) + len(_HOG))]."""
    parts = ((frames[:, : len(_LBP)], ROTATED), (frames[:, len(_LBP) :], ORIENTATIONS))
    cells = np.concatenate([_change(part, size) for part, size in parts])
    return np.concatenate([frames.mean(axis=0), cells]).astype(np.float32)


def _change(frames: np.ndarray, size: int) -> np.ndarray:
    """Mean Euclidean distance from frame to frame of each cell of ``size`` values; 0 for a single frame."""
    steps = np.diff(frames.reshape(len(frames), -1, size), axis=0)
    return np.linalg.norm(steps, axis=2).mean(axis=0) if len(steps) else np.zeros(frames.shape[1] // size)


def _frame(picture: np.ndarray) -> np.ndarray:
    import cv2

    even = cv2.equalizeHist(picture)
    kinds = rotated()[patterns(even)]
    cells = [c for row in np.array_split(kinds, GRID) for c in np.array_split(row, GRID, axis=1)]
    shares = [np.bincount(c.ravel(), minlength=ROTATED) / c.size for c in cells]
    return np.concatenate([*shares, _hog(even)])


def _hog(picture: np.ndarray) -> np.ndarray:
    strength, direction = gradients(picture)
    at = np.arange(CROP) * CELLS // CROP
    bins = np.minimum((direction / np.pi * ORIENTATIONS).astype(np.int64), ORIENTATIONS - 1)
    where = (at[:, None] * CELLS + at) * ORIENTATIONS + bins
    total = np.bincount(where.ravel(), strength.ravel(), CELLS * CELLS * ORIENTATIONS)
    # L2-Hys over the picture: without the cut a single strong edge would silence all others.
    total = np.minimum(total / (np.linalg.norm(total) + 1e-6), 0.2)
    return total / (np.linalg.norm(total) + 1e-6)


extractor = Texture()
