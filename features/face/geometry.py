"""How brows, eyes, nose, mouth and chin are drawn: distances between landmarks that stand for Action Units."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.face import _mesh
from affectlake.features.face._pool import grey, pool, pooled_columns
from affectlake.features.face.detect import PARAMETERS, FaceMeasures, Faces
from affectlake.features.protocol import Column

INF = float("inf")
STATISTICS = ("mean", "std", "min", "max", "change")
EYES = "distance between the outer corners of the eyes"
MARKS = f"{_mesh.SOURCE}, head turned to the front, over the {EYES}; Action Units of Ekman & Friesen (1978)"

_Measure = Callable[[np.ndarray], np.ndarray]  # of landmarks [shape=(n, 468, 3)], to [shape=(n,)]


def _between(*pairs: tuple[int, int]) -> _Measure:
    """Mean distance of pairs of points."""
    a, b = np.array(pairs).T
    return lambda p: np.linalg.norm(p[:, a] - p[:, b], axis=2).mean(axis=1)


def _above(upper: Sequence[int], lower: Sequence[int]) -> _Measure:
    """How much higher the middle of some points lies than that of others; negative where it lies lower."""
    return lambda p: p[:, lower, 1].mean(axis=1) - p[:, upper, 1].mean(axis=1)


def _over(numerator: _Measure, denominator: _Measure) -> _Measure:
    return lambda p: np.clip(numerator(p) / np.maximum(denominator(p), 1e-3), -10, 10)


def _less(one: _Measure, other: _Measure) -> _Measure:
    return lambda p: np.abs(one(p) - other(p))


def _nearer(points: Sequence[int], others: Sequence[int]) -> _Measure:
    return lambda p: p[:, others, 2].mean(axis=1) - p[:, points, 2].mean(axis=1)


# Numbers of the mesh's points; left and right as in the picture.
_LEFT_LIDS, _RIGHT_LIDS = ((160, 144), (159, 145), (158, 153)), ((385, 380), (386, 374), (387, 373))
_LEFT_OPEN = _over(_between(*_LEFT_LIDS), _between((33, 133)))
_RIGHT_OPEN = _over(_between(*_RIGHT_LIDS), _between((263, 362)))
_LEFT_BROW, _RIGHT_BROW = _above([107, 105, 70], [33, 133]), _above([336, 334, 300], [263, 362])
_LEFT_CORNER, _RIGHT_CORNER = _above([61], [13, 14]), _above([291], [13, 14])
_MOUTH_WIDTH = _between((61, 291))

_DISTANCES: dict[str, tuple[str, _Measure]] = {
    "brow_inner": ("Height of the brows' inner ends above the eyes (AU 1, 4)", _above([107, 336], [133, 362])),
    "brow_middle": ("Height of the brows' middles above the upper lids (AU 1, 2, 4)", _above([105, 334], [159, 386])),
    "brow_outer": ("Height of the brows' outer ends above the eyes (AU 2)", _above([70, 300], [33, 263])),
    "brow_slope": ("Inner ends of the brows above (+) or below (-) the outer ones (AU 1, 4)",
                   _above([107, 336], [70, 300])),
    "brow_gap": ("Distance between the brows (AU 4)", _between((107, 336), (55, 285))),
    "brow_asymmetry": ("Difference of the brows' heights", _less(_LEFT_BROW, _RIGHT_BROW)),
    "eye_open_left": ("Opening of the left eye over its width (AU 5, 7, 43, 45)", _LEFT_OPEN),
    "eye_open_right": ("Opening of the right eye over its width (AU 5, 7, 43, 45)", _RIGHT_OPEN),
    "eye_asymmetry": ("Difference of the eyes' openings (AU 46)", _less(_LEFT_OPEN, _RIGHT_OPEN)),
    "cheek": ("From the lower lids to the cheeks (AU 6)", _between((145, 50), (374, 280))),
    "nose_to_eyes": ("From the wings of the nose to the inner corners of the eyes (AU 9)",
                     _between((129, 133), (358, 362))),
    "nose_width": ("Width of the nose (AU 9, 38)", _between((129, 358))),
    "nose_to_lip": ("From the base of the nose to the upper lip (AU 9, 10)", _between((2, 0))),
    "lip_upper": ("Thickness of the upper lip (AU 10, 23, 24)", _between((0, 13), (37, 82), (267, 312))),
    "lip_lower": ("Thickness of the lower lip (AU 16, 23, 24)", _between((14, 17), (84, 87), (314, 317))),
    "lips_forward": ("How far the lips stand out before the mouth's corners (AU 18, 22)", _nearer([0, 17], [61, 291])),
    "mouth_width": ("Width of the mouth (AU 12, 18, 20)", _MOUTH_WIDTH),
    "mouth_open": ("Distance between the lips (AU 25, 26, 27)", _between((13, 14), (82, 87), (312, 317))),
    "mouth_shape": ("Opening of the mouth over its width (AU 25, 27)", _over(_between((13, 14)), _MOUTH_WIDTH)),
    "corners_up": ("Mouth's corners above (+) or below (-) its middle (AU 12, 15)", _above([61, 291], [13, 14])),
    "corners_over_lip": ("Mouth's corners above (+) or below (-) the edge of the lower lip (AU 12, 15)",
                         _above([61, 291], [17])),
    "corner_to_eye": ("From the mouth's corners to the outer corners of the eyes (AU 12, 15)",
                      _between((61, 33), (291, 263))),
    "corner_asymmetry": ("Difference of the heights of the mouth's corners (AU 14)",
                         _less(_LEFT_CORNER, _RIGHT_CORNER)),
    "chin": ("From the lower lip to the chin (AU 17)", _between((17, 152))),
    "jaw": ("From the nose to the chin (AU 26, 27)", _between((1, 152))),
    "face_height": ("From the forehead to the chin", _between((10, 152))),
    "face_width": ("Width of the face", _between((234, 454))),
}  # fmt: skip

_POSE = (
    Column("yaw", "deg", -180.0, 180.0, "Head turned to the picture's left (-) or right (+)", _mesh.SOURCE),
    Column("pitch", "deg", -180.0, 180.0, "Head bent up (-) or down (+)", _mesh.SOURCE),
    Column("roll", "deg", -180.0, 180.0, "Tilt of the eyes in the frame", _mesh.SOURCE),
)
_QUALITY = (
    Column("confidence", "1", 0.0, 1.0, "How sure the detector is", "BlazeFace (Bazarevsky et al. 2019)"),
    Column("presence", "1", 0.0, 1.0, "How sure the landmarks' network is that this is a face", _mesh.SOURCE),
    Column("size", "1", 0.0, 1.0, "Share of the frame that the face covers", "BlazeFace (Bazarevsky et al. 2019)"),
    Column("log_pixels", "1", -INF, INF, "Resolution of the face", "ln of the pixels along the crop's side"),
    Column("log_sharpness", "1", 0.0, INF, "Sharpness of the crop: variance of its Laplacian (luma 0-255)",
           "ln(1 + variance), Pech-Pacheco et al. (2000)"),
    Column("brightness", "1", 0.0, 1.0, "Mean luma of the crop", "ITU-R BT.601"),
    Column("contrast", "1", 0.0, 0.5, "Standard deviation of the crop's luma", "Peli (1990)"),
)  # fmt: skip
_FRAMES = (
    Column("found", "1", 0.0, 1.0, "Share of frames with a face", "count over frames"),
    Column("faces", "1", 0.0, INF, "Faces per frame, mean", "count over frames"),
    Column("frames", "1", 1.0, INF, "Frames looked at", "count"),
)


_SIGNED = {"brow_inner", "brow_middle", "brow_outer", "brow_slope", "lips_forward", "corners_up", "corners_over_lip"}
_RATIOS = {"eye_open_left", "eye_open_right", "eye_asymmetry", "mouth_shape"}


def _column(name: str, what: str) -> Column:
    return Column(name, "1", -INF if name in _SIGNED else 0.0, INF, what, _mesh.SOURCE if name in _RATIOS else MARKS)


class Geometry(FaceMeasures):
    """See `affectlake.features.protocol.Extractor`; measures, it does not classify Action Units."""

    name = "face.geometry"
    version = "1"
    parameters: Mapping[str, object] = PARAMETERS
    columns: Sequence[Column] = (
        *pooled_columns([_column(name, what) for name, (what, _) in _DISTANCES.items()] + list(_POSE), STATISTICS),
        *pooled_columns(_QUALITY, ("mean", "min")),
        *_FRAMES,
    )
    cost = 0.2
    summary = "Brows, eyes, nose, mouth and chin in terms of Action Units; pose of the head; quality of the picture"

    def extract(self, batch: Sequence[Faces]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(len(columns),)] per sample."""
        return [_row(faces) for faces in batch]


def _row(faces: Faces) -> np.ndarray:
    points, angles = _frontal(faces.mesh.astype(np.float64))
    measured = np.column_stack([*(measure(points) for _, measure in _DISTANCES.values()), *angles, faces.roll])
    found = [np.mean(faces.counts > 0), np.mean(faces.counts), len(faces.counts)]
    return np.concatenate([pool(measured, STATISTICS), pool(_quality(faces), ("mean", "min")), found], dtype=np.float32)


def _frontal(mesh: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Landmarks of a head turned to the front, the eyes' outer corners a distance of 1 apart; its yaw and pitch."""
    across, down = mesh[:, 263] - mesh[:, 33], mesh[:, 152] - mesh[:, 10]
    unit = np.maximum(np.linalg.norm(across, axis=1), 1e-3)
    x = across / unit[:, None]
    down = down - (down * x).sum(axis=1, keepdims=True) * x
    y = down / np.maximum(np.linalg.norm(down, axis=1, keepdims=True), 1e-3)
    axes = np.stack([x, y, np.cross(x, y)], axis=2)
    middle = (mesh[:, 263] + mesh[:, 33]) / 2
    yaw, pitch = np.arctan2(x[:, 2], x[:, 0]), np.arctan2(y[:, 2], y[:, 1])
    return (mesh - middle[:, None]) @ axes / unit[:, None, None], (np.degrees(yaw), np.degrees(pitch))


def _quality(faces: Faces) -> np.ndarray:
    import cv2

    pictures = grey(faces.crops)
    sharpness = [np.log1p(cv2.Laplacian(picture, cv2.CV_32F).var()) for picture in pictures]
    light = pictures.reshape(len(pictures), -1) / 255
    return np.column_stack(
        [
            faces.confidence,
            faces.presence,
            faces.size,
            np.log(faces.pixels),
            sharpness,
            light.mean(axis=1),
            light.std(axis=1),
        ]
    )


extractor = Geometry()
