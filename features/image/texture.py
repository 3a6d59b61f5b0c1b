"""Texture of a picture: edges and their directions, grey-level co-occurrence, local binary patterns, sharpness."""

from collections.abc import Mapping, Sequence

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.image._measures import PictureMeasures
from affectlake.features.image._patterns import ROTATED, gradients, patterns, rotated
from affectlake.features.protocol import Column

INF = float("inf")
SIDE = 256
"""Pixels of the longest side that texture is measured on, so that it means the same at any resolution."""

LEVELS = 16
DISTANCES = (1, 4)
ANGLES = 8
BANDS = 4
EDGE = 0.08  # luma per pixel from which a gradient is an edge
STEP = 0.02  # luma by which a neighbour must be brighter: above the noise of cameras and JPEG

HARALICK = "Haralick, Shanmugam & Dinstein (1973), mean of four directions"
OJALA = "Ojala, Pietikäinen & Mäenpää (2002), LBP riu2 8,1"
GRADIENT = "central differences"
LAPLACE = "Pech-Pacheco et al. (2000)"

_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
_COOCCURRENCE = {
    "contrast": (0.0, (LEVELS - 1.0) ** 2, "Squared difference of grey levels"),
    "homogeneity": (0.0, 1.0, "Closeness of grey levels"),
    "energy": (0.0, 1.0, "Regularity: 1 for a flat picture"),
    "correlation": (-1.0, 1.0, "Correlation of grey levels (1 for a flat picture)"),
    "entropy": (0.0, 1.0, "Disorder of grey levels, over its greatest value"),
}


def _columns() -> list[Column]:
    return [
        Column("gradient_mean", "1", 0.0, 1.0, "Luma gradient per pixel, mean", GRADIENT),
        Column("gradient_std", "1", 0.0, 1.0, "Luma gradient per pixel, standard deviation", GRADIENT),
        Column("gradient_p95", "1", 0.0, 1.0, "Luma gradient per pixel, 95th percentile", GRADIENT),
        Column("edge_density", "1", 0.0, 1.0, f"Share of pixels with a gradient of {EDGE} and more", GRADIENT),
        Column("edge_centre", "1", 0.0, 1.0, "Share of the gradients that lies in the middle half", GRADIENT),
        *(Column(f"direction_{i}", "1", 0.0, 1.0,
                 f"Share of gradients at {180 * i / ANGLES:g} to {180 * (i + 1) / ANGLES:g} degrees (0 across)",
                 "histogram weighted by gradient") for i in range(ANGLES)),
        Column("direction_entropy", "1", 0.0, 1.0, "Spread of directions, over its greatest value", "Shannon (1948)"),
        Column("log_sharpness", "1", 0.0, INF, "Sharpness: variance of the Laplacian of the luma (0-255)",
               f"ln(1 + variance), {LAPLACE}"),
        *(Column(f"band_{i}", "1", 0.0, 1.0, f"Share of the variance of luma in octave {i + 1}, finest first",
                 "Burt & Adelson (1983), Laplacian pyramid") for i in range(BANDS)),
        *(Column(f"glcm_{name}_{distance}", "1", low, high, f"{what} at {distance} px", HARALICK)
          for distance in DISTANCES for name, (low, high, what) in _COOCCURRENCE.items()),
        *(Column(f"lbp_{i}", "1", 0.0, 1.0,
                 f"Share of pixels with {i} brighter neighbours in a row" if i < ROTATED - 1
                 else "Share of pixels without such a pattern", OJALA) for i in range(ROTATED)),
        Column("entropy", "1", 0.0, 1.0, "Entropy of the luma's histogram, over its greatest value", "Shannon (1948)"),
        Column("symmetry", "1", -1.0, 1.0, "Correlation of luma with the mirrored picture (0 for a flat one)",
               "Pearson correlation"),
    ]  # fmt: skip


class Texture(PictureMeasures):
    """See `affectlake.features.protocol.Extractor`; a formula for every column, nothing learned."""

    name = "image.texture"
    version = "1"
    parameters: Mapping[str, object] = {
        "side": SIDE,
        "levels": LEVELS,
        "distances": list(DISTANCES),
        "angles": ANGLES,
        "edge": EDGE,
        "step": STEP,
    }
    columns: Sequence[Column] = tuple(_columns())
    cost = 3.0
    summary = "Edges, directions, co-occurrence, local binary patterns and sharpness of the picture"

    def measure(self, picture: np.ndarray) -> np.ndarray | NotApplicable:
        return _row(picture)


def _row(picture: np.ndarray) -> np.ndarray | NotApplicable:
    import cv2

    height, width = picture.shape[:2]
    if min(height, width) < 8:
        return NotApplicable(f"a picture of {width}x{height} pixels has no texture (8x8 at least)")
    scale = min(1.0, SIDE / max(height, width))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    if scale < 1:
        size = max(8, round(width * scale)), max(8, round(height * scale))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    luma = grey.astype(np.float32) / 255
    strength, direction = gradients(luma)
    share = _shares(np.histogram(direction, ANGLES, (0, np.pi), weights=strength)[0])
    values = [
        strength.mean(),
        strength.std(),
        np.percentile(strength, 95),
        (strength >= EDGE).mean(),
        _in_the_middle(strength),
        *share,
        _entropy(share),
        np.log1p(cv2.Laplacian(grey, cv2.CV_32F).var()),
        *_bands(luma),
        *(value for distance in DISTANCES for value in _cooccurrence(grey, distance)),
        *_shares(np.bincount(rotated()[patterns(luma, STEP)].ravel(), minlength=ROTATED)),
        _entropy(_shares(np.bincount(grey.ravel(), minlength=256))),
        _symmetry(luma),
    ]
    return np.array(values, dtype=np.float32)


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts / counts.sum() if counts.sum() > 0 else np.zeros(len(counts))


def _entropy(share: np.ndarray) -> float:
    """In [0, 1]."""
    present = share[share > 0]
    return abs(float((present * np.log(present)).sum())) / np.log(share.size)


def _in_the_middle(strength: np.ndarray) -> float:
    height, width = strength.shape
    middle = strength[height // 4 : height - height // 4, width // 4 : width - width // 4]
    total = float(strength.sum(dtype=np.float64))
    return float(middle.sum(dtype=np.float64)) / total if total else 0.0


def _bands(luma: np.ndarray) -> np.ndarray:
    import cv2

    energy, finer = [], luma
    for _ in range(BANDS):
        coarser = cv2.pyrDown(finer)
        energy.append(float((finer - cv2.pyrUp(coarser, dstsize=finer.shape[::-1])).var()))
        finer = coarser
    return _shares(np.array([*energy, float(finer.var())]))[:BANDS]


def _cooccurrence(grey: np.ndarray, distance: int) -> np.ndarray:
    """The values of `_COOCCURRENCE`."""
    level = grey // (256 // LEVELS)
    height, width = level.shape
    i, j = np.mgrid[:LEVELS, :LEVELS]
    found = []
    for dy, dx in _DIRECTIONS:
        y, x = dy * distance, dx * distance
        pixels = level[: height - y, max(0, -x) : width - max(0, x)]
        neighbours = level[y:, max(0, x) : width + min(0, x)]
        pairs = np.bincount((pixels * LEVELS + neighbours).ravel(), minlength=LEVELS**2).reshape(LEVELS, LEVELS)
        p = (pairs + pairs.T) / (2 * pairs.sum())
        mean = (i * p).sum()
        variance = ((i - mean) ** 2 * p).sum()
        correlation = ((i - mean) * (j - mean) * p).sum() / variance if variance > 0 else 1.0
        contrast, homogeneity = ((i - j) ** 2 * p).sum(), (p / (1 + (i - j) ** 2)).sum()
        found.append((contrast, homogeneity, np.sqrt((p**2).sum()), correlation, _entropy(p)))
    return np.mean(found, axis=0)


def _symmetry(luma: np.ndarray) -> float:
    centred = luma - luma.mean(dtype=np.float64)
    power = float((centred**2).sum())
    return float((centred * centred[:, ::-1]).sum()) / power if power > 1e-9 * luma.size else 0.0


extractor = Texture()
