"""468 landmarks of a face by MediaPipe Face Mesh (Kartynnik et al. 2019, arXiv:1907.06724), run by OpenCV."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.features.face import _blaze

SOURCE = "MediaPipe Face Mesh (Kartynnik et al. 2019)"
SIDE = 192
POINTS = 468
CONTEXT = 1.5
"""Side of what the network sees, in units of the detector's box."""


def file() -> Path:
    """The weights; raises FileNotFoundError."""
    return _blaze.file("face_landmark")


def landmarks(picture: np.ndarray, box: np.ndarray, left_eye: np.ndarray, right_eye: np.ndarray) -> tuple[Any, float]:
    """Landmarks of the face in a box.

    Parameters
    ----------
    picture : np.ndarray [shape=(h, w, 3)], uint8
        RGB.
    box : np.ndarray [shape=(4,)]
        Left, top, right, bottom in pixels, of `affectlake.features.face._blaze.detect`.
    left_eye, right_eye : np.ndarray [shape=(2,)]
        x, y in pixels, sides as in the picture; the face is turned upright by them.

    Returns
    -------
    points : np.ndarray [shape=(468, 3)], float64
        x and y in pixels of ``picture``, depth in the same scale (smaller is nearer).
    presence : float
        Probability in [0, 1] that this is a face.
    """
    import cv2

    across = right_eye - left_eye
    turn = float(np.degrees(np.arctan2(across[1], across[0])))
    centre = (box[:2] + box[2:]) / 2
    scale = SIDE / (CONTEXT * max(box[2] - box[0], box[3] - box[1], 1e-3))
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), turn, scale)
    matrix[:, 2] += SIDE / 2 - centre
    view = cv2.warpAffine(picture, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    network = _network()
    network.setInput(cv2.dnn.blobFromImage(view, 1 / 255))
    presence, points = network.forward(["conv2d_30", "conv2d_20"])
    seen = points.reshape(POINTS, 3).astype(np.float64)
    back = cv2.invertAffineTransform(matrix)
    xy = seen[:, :2] @ back[:, :2].T + back[:, 2]
    return np.column_stack([xy, seen[:, 2] / scale]), float(1 / (1 + np.exp(-float(presence.ravel()[0]))))


@cache
def _network() -> Any:
    import cv2

    cv2.setNumThreads(1)
    return cv2.dnn.readNetFromTFLite(str(_blaze.WEIGHTS["face_landmark"].checked()))
