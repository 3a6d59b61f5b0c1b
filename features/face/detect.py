"""From frames to the face that they show: found, chosen, turned upright and cut out, once for all face extractors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from affectlake.data.errors import NotApplicable

CROP = 96
"""Pixels of a crop's side."""

WIDTH = 1.1
"""Side of a crop in units of the face's box."""

MARGINS = (0.15, 0.32)
"""Tried in this order until a face is found: pictures that were cut tightly around a face need the wider one."""


@dataclass(frozen=True)
class Faces:
    """The one face of a sample, in every frame in which it was found; n such frames.

    Attributes
    ----------
    crops : uint8 array, shape=(n, CROP, CROP, 3)
        RGB, eyes level.
    landmarks : float32 array, shape=(n, 5, 2)
        x, y of left eye, right eye, nose, left and right mouth corner (sides of the picture), in units of the crop's
        side, turned as the crop is.
    confidence : float32 array, shape=(n,)
        The detector's, in [0, 1].
    size : float32 array, shape=(n,)
        Share of the frame's area that the face's box covers.
    roll : float32 array, shape=(n,)
        Turn of the eye line in the frame, in degrees, positive where the right eye of the picture is lower.
    counts : int array, shape=(frames,)
        Faces found in each frame, those without one included.
    """

    crops: np.ndarray
    landmarks: np.ndarray
    confidence: np.ndarray
    size: np.ndarray
    roll: np.ndarray
    counts: np.ndarray


def find_faces(frames: Sequence[np.ndarray]) -> Faces:
    """Find the face in frames of one sample.

    Of several faces in a frame the largest counts, and of similar ones the more central.

    Parameters
    ----------
    frames : sequence of uint8 array, shape=(height, width, 3)
        RGB.

    Raises
    ------
    NotApplicable
        No frame shows a face.
    """
    found, counts = [], []
    for frame in frames:
        boxes, confidence, landmarks = _detect(frame)
        counts.append(len(boxes))
        if len(boxes):
            i = _main(boxes, frame.shape)
            found.append(_cut(frame, boxes[i], confidence[i], landmarks[i]))
    if not found:
        raise NotApplicable(f"no face in {len(frames)} frame{'s' * (len(frames) != 1)}")
    crops, landmarks, confidence, size, roll = (np.stack(part) for part in zip(*found, strict=True))
    return Faces(
        crops,
        landmarks.astype(np.float32),
        confidence.astype(np.float32),
        size.astype(np.float32),
        roll.astype(np.float32),
        np.array(counts),
    )


def _detect(frame: np.ndarray):
    from affectlake.features.face._centerface import detect

    for margin in MARGINS:
        found = detect(frame, margin)
        if len(found[0]):
            break
    return found


def _main(boxes: np.ndarray, shape: tuple[int, ...]) -> int:
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    height, width = shape[:2]
    off = np.hypot(middle[:, 0] / width - 0.5, middle[:, 1] / height - 0.5)
    return int(np.argmax(area * (1 - 0.5 * off)))


def _cut(frame: np.ndarray, box: np.ndarray, confidence: float, landmarks: np.ndarray):
    import cv2

    dx, dy = landmarks[1] - landmarks[0]
    roll = float(np.degrees(np.arctan2(dy, dx)))
    # Beyond that the landmarks are wrong more often than the head is tilted.
    turn = roll if abs(roll) <= 45 else 0.0
    centre = (box[:2] + box[2:]) / 2
    side = WIDTH * max(box[2] - box[0], box[3] - box[1])
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), turn, CROP / side)
    matrix[:, 2] += CROP / 2 - centre
    crop = cv2.warpAffine(frame, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    marks = (landmarks @ matrix[:, :2].T + matrix[:, 2]) / CROP
    share = float(np.prod(box[2:] - box[:2]) / (frame.shape[0] * frame.shape[1]))
    return crop, marks, confidence, min(share, 1.0), roll
