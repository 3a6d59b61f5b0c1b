"""From frames to the face that they show: found, confirmed, turned upright and cut out, once for all extractors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.face import _blaze, _mesh
from affectlake.features.protocol import Reads

CROP = 96
"""Pixels of a crop's side."""

WIDTH = 2.7
"""Side of a crop, in units of the distance between the eyes, or of that from eyes to mouth where it is greater."""


class Look(NamedTuple):
    """One attempt at finding faces: see `affectlake.features.face._blaze.detect`."""

    model: _blaze.Model
    margin: float = 0.0
    side: int = 0
    threshold: float = _blaze.THRESHOLD


LOOKS = (
    Look(_blaze.NEAR),
    Look(_blaze.FAR),
    Look(_blaze.NEAR, 0.25),
    Look(_blaze.NEAR, 0.5),
    # Thousands of places are looked at here: nearer to chance, more of them would be taken for a face.
    Look(_blaze.NEAR, side=256, threshold=0.7),
    Look(_blaze.NEAR, side=640, threshold=0.7),
)
"""Tried in this order until a face is found: first the quick one, then that which sees faces farther away, then with
borders, because neither sees a face that fills the picture; then larger copies, for small faces."""

MAGNIFIED = 2
"""A copy is at most so much larger than the picture: a face of fewer pixels says nothing of an expression."""

PRESENCE = 0.5
"""Probability from which the landmarks' network confirms a face."""

PARAMETERS: Mapping[str, object] = {
    "crop": CROP,
    "width": WIDTH,
    "looks": [[look.model.name, *look[1:]] for look in LOOKS],
    "magnified": MAGNIFIED,
    "presence": PRESENCE,
}
REQUIRES = ("cv2",)
INSTALL = f"pip install 'affectlake[vision]' && {_blaze.REMEDY}"

# Numbers of the mesh's points; left and right as in the picture.
LEFT_EYE, RIGHT_EYE = (33, 133), (362, 263)
NOSE, LEFT_CORNER, RIGHT_CORNER = 1, 61, 291


@dataclass(frozen=True)
class Faces:
    """The one face of a sample, in every frame in which it was found; n such frames.

    Attributes
    ----------
    crops : np.ndarray [shape=(n, CROP, CROP, 3)], uint8
        RGB, eyes level.
    mesh : np.ndarray [shape=(n, 468, 3)], float32
        Landmarks of MediaPipe Face Mesh: x, y and depth in units of the crop's side, turned as the crop is.
    confidence, presence : np.ndarray [shape=(n,)], float32
        How sure the detector and the landmarks' network are, in [0, 1].
    size : np.ndarray [shape=(n,)], float32
        Share of the frame's area that the detector's box covers.
    roll : np.ndarray [shape=(n,)], float32
        Turn of the eye line in the frame, in degrees, positive where the eye on the picture's right is lower.
    pixels : np.ndarray [shape=(n,)], float32
        Pixels of the frame that one side of the crop covers.
    counts : np.ndarray [shape=(frames,)], int
        Faces in each frame, those without one included.
    """

    crops: np.ndarray
    mesh: np.ndarray
    confidence: np.ndarray
    presence: np.ndarray
    size: np.ndarray
    roll: np.ndarray
    pixels: np.ndarray
    counts: np.ndarray

    @property
    def landmarks(self) -> np.ndarray:
        """Eyes, nose and corners of the mouth, float32 [shape=(n, 5, 2)], left to right in the picture."""
        return np.stack([_five(points) for points in self.mesh])


def weights() -> tuple[Path, ...]:
    """Files that decide which face is found where; raises FileNotFoundError."""
    return _blaze.file(_blaze.NEAR.name), _blaze.file(_blaze.FAR.name), _mesh.file()


class FaceMeasures:
    """What extractors share that measure found faces by formulas: no weights but the detector's."""

    reads: Reads = "face"
    windowed = True
    requires = REQUIRES
    install = INSTALL
    licence = "Apache-2.0"

    def weights(self) -> Sequence[Path]:
        return weights()


def find_faces(frames: Sequence[np.ndarray]) -> Faces:
    """Find the face in frames of one sample.

    Of several faces in a frame the largest counts, and of similar ones the more central.

    Parameters
    ----------
    frames : sequence of np.ndarray [shape=(h, w, 3)], uint8
        RGB.

    Raises
    ------
    NotApplicable
        No frame shows a face.
    """
    found, counts = [], []
    for frame in frames:
        face, faces = _main(frame)
        counts.append(faces)
        if face is not None:
            found.append(face)
    if not found:
        raise NotApplicable(f"no face in {len(frames)} frame{'s' * (len(frames) != 1)}")
    return faces_of(found, counts)


def _main(frame: np.ndarray) -> tuple[tuple[Any, ...] | None, int]:
    """The face that counts and the number of faces."""
    for look in LOOKS:
        if look.side > MAGNIFIED * max(frame.shape[:2]):
            continue
        boxes, confidence, eyes = _blaze.detect(frame, look.margin, look.model, look.side, look.threshold)
        for refuted, i in enumerate(_by_weight(boxes, frame.shape)):
            face = _confirmed(frame, boxes[i], confidence[i], eyes[i])
            if face is not None:
                return face, len(boxes) - refuted
    return None, 0


def _confirmed(frame: np.ndarray, box: np.ndarray, confidence: float, eyes: np.ndarray) -> tuple[Any, ...] | None:
    """What `Faces` holds of a face in one frame; None where the landmarks' network sees none."""
    points, presence = _mesh.landmarks(frame, box, *eyes[:2])
    if presence < PRESENCE:
        return None
    share = float(np.prod(box[2:] - box[:2]) / (frame.shape[0] * frame.shape[1]))
    crop, mesh, roll, side = _cut(frame, points)
    return crop, mesh, confidence, presence, min(share, 1.0), roll, side


def every_face(frame: np.ndarray) -> list[tuple[np.ndarray, tuple[Any, ...]]]:
    """Box and what `Faces` holds of every face in a frame, by all looks at the whole of it, the surest first.

    Larger copies are looked at only where these find nobody.
    """
    found: list[tuple[np.ndarray, tuple[Any, ...]]] = []
    for look in LOOKS:
        if look.side and (found or look.side > MAGNIFIED * max(frame.shape[:2])):
            continue
        boxes, confidence, eyes = _blaze.detect(frame, look.margin, look.model, look.side, look.threshold)
        for box, sure, points in zip(boxes, confidence, eyes, strict=True):
            if any(overlap(box, other) > _blaze.OVERLAP for other, _ in found):
                continue
            if (face := _confirmed(frame, box, sure, points)) is not None:
                found.append((box, face))
    return found


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection of two boxes over their union [0 to 1].

    >>> overlap(np.array([0, 0, 2, 2]), np.array([1, 0, 3, 2]))
    0.3333333333333333
    """
    inner = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return float(inner / max((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inner, 1e-9))


def faces_of(found: Sequence[tuple[Any, ...]], counts: Sequence[int]) -> Faces:
    """One face of what was confirmed of it frame by frame, and the number of faces in each frame."""
    crops, *rest = (np.stack(part) for part in zip(*found, strict=True))
    mesh, confidence, presence, size, roll, pixels = (part.astype(np.float32) for part in rest)
    return Faces(crops, mesh, confidence, presence, size, roll, pixels, np.array(counts))


def _by_weight(boxes: np.ndarray, shape: tuple[int, ...]) -> Iterator[int]:
    height, width = shape[:2]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    x, y = ((boxes[:, :2] + boxes[:, 2:]) / 2).T
    return iter(np.argsort(-area * (1 - 0.5 * np.hypot(x / width - 0.5, y / height - 0.5)), kind="stable"))


def _five(points: np.ndarray) -> np.ndarray:
    xy = points[:, :2]
    eyes = [xy[list(eye)].mean(axis=0) for eye in (LEFT_EYE, RIGHT_EYE)]
    return np.stack([*eyes, xy[NOSE], xy[LEFT_CORNER], xy[RIGHT_CORNER]])


def _cut(frame: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Crop, landmarks in it, roll and side; eyes and mouth come to lie where a network of expressions expects them."""
    import cv2

    left, right, _, *corners = _five(points)
    eyes, mouth = (left + right) / 2, np.mean(corners, axis=0)
    roll = float(np.degrees(np.arctan2(*(right - left)[::-1])))
    side = WIDTH * max(float(np.hypot(*(right - left))), float(np.hypot(*(mouth - eyes))), 1.0)
    centre = eyes + 0.45 * (mouth - eyes)
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), roll, CROP / side)
    matrix[:, 2] += CROP / 2 - centre
    # Plain interpolation would alias a large face: first the frame's part is averaged down.
    crop = _warped(frame, matrix, side / CROP)
    xy = (points[:, :2] @ matrix[:, :2].T + matrix[:, 2]) / CROP
    return crop, np.column_stack([xy, points[:, 2] / side]), roll, side


def _warped(frame: np.ndarray, matrix: np.ndarray, shrink: float) -> np.ndarray:
    import cv2

    factor = max(1, int(shrink))
    if factor > 1:
        height, width = (max(1, n // factor) for n in frame.shape[:2])
        scale = np.array([frame.shape[1] / width, frame.shape[0] / height])
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        # Centres of pixels, not their corners, are what the matrix counts from.
        matrix = np.column_stack([matrix[:, :2] * scale, matrix[:, 2] + matrix[:, :2] @ ((scale - 1) / 2)])
    return cv2.warpAffine(frame, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
