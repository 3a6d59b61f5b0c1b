"""Every face of a film is followed: which box is whose, and a row for each face in the store."""

import importlib.util
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectlake.data import Store
from affectlake.data.demo_face import Look, draw, person_look
from affectlake.data.errors import NotApplicable
from affectlake.features import registry
from affectlake.features.face import _blaze, _xception
from affectlake.features.face.detect import find_faces, overlap
from affectlake.features.face.tracks import followed, read_tracks
from affectlake.features.inputs import Request
from affectlake.flows.refresh import RefreshOptions, refresh

av = pytest.importorskip("av")
needs_weights = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in (_blaze.PACKAGE, _xception.PACKAGE)),
    reason="the weights of faces are not installed",
)


@pytest.fixture(scope="module")
def looks() -> list[Look]:
    return [person_look(np.random.default_rng(seed), style=seed % 3) for seed in (3, 4)]


def write(path, frames) -> None:
    """Frames, four a second."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=4)
        stream.height, stream.width = frames[0].shape[:2]
        stream.bit_rate = 4_000_000
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        out.mux(stream.encode())


def scene(looks, shown: str, shift: int) -> np.ndarray:
    """Who is shown (L, R, or both), moved to the right by so many pixels; the one on the left is larger."""
    frame = np.full((240, 480, 3), 128, np.uint8)
    for side, look, at, size in (("L", looks[0], 20, 192), ("R", looks[1], 280, 160)):
        if side in shown:
            face = draw(np.random.default_rng(shift), look, "happy" if side == "L" else "sad", 1.0)[:size, :size]
            frame[20 : 20 + size, at + shift : at + shift + size] = face
    return frame


@pytest.fixture(scope="module")
def film(tmp_path_factory, looks):
    """Four seconds: both, but for the second one in the first second and a frame later."""
    path = tmp_path_factory.mktemp("films") / "two.mp4"
    write(path, [scene(looks, "L" if i < 4 or i == 9 else "LR", i) for i in range(16)])
    return path


@needs_weights
def test_two_faces_are_two_tracks(film):
    first, second = sorted(read_tracks(Request("x", str(film))), key=lambda track: track.start)
    assert (first.start, first.end) == (0.0, 4.0) and (second.start, second.end) == (1.0, 4.0)
    assert len(first.faces.crops) == 16 and len(second.faces.crops) == 11
    assert len(first.faces.counts) == 16 and len(second.faces.counts) == 12 and second.faces.counts[5] == 1


@needs_weights
def test_who_is_alone_is_the_main_face(tmp_path, looks):
    frames = [scene(looks, "L", i) for i in range(4)]
    write(tmp_path / "one.mp4", frames)
    (track,) = read_tracks(Request("x", str(tmp_path / "one.mp4")))
    from affectlake.data.pictures import read_frames

    main = find_faces(read_frames(tmp_path / "one.mp4", None, None, 16))
    assert np.median(np.abs(track.faces.mesh - main.mesh)) < 0.02


@needs_weights
def test_rows_of_every_face_on_request(film, tmp_path):
    write(tmp_path / "none.mp4", [np.full((64, 64, 3), 128, np.uint8)] * 4)
    table = {"sample_id": ["f", "part", "n"], "video": [str(film), str(film), "none.mp4"], "start": [None, 0.0, None]}
    pd.DataFrame(table | {"end": [None, 1.0, None]}).to_csv(tmp_path / "m.csv", index=False)
    asked = RefreshOptions(
        dataset="d", manifest=str(tmp_path / "m.csv"), store=str(tmp_path / "lake"), only=("face.geometry",), workers=1,
        settings={"video.faces": "all"},
    )  # fmt: skip
    done = refresh(asked)
    store = Store(tmp_path / "lake")
    frame = store.series("d", ["f", "part"], "face.geometry", by="track")
    assert frame.index.tolist() == [("f", 0.0, 4.0, 1), ("f", 1.0, 4.0, 2), ("part", 0.0, 1.0, 1)]
    smile = frame["face.geometry." + next(c for c in store.load("d") if "corner" in c).removeprefix("face.geometry.")]
    assert smile.notna().all() and smile.iloc[0] != smile.iloc[1]
    assert store.load("d", "face.geometry").index.tolist() == ["f", "part", "n"]  # the main face, as without
    not_applicable = store.failures("d", "face.geometry@track", not_applicable=True)
    assert not_applicable["sample_id"].tolist() == ["n"] and "no face" in not_applicable["reason"].iloc[0]
    assert done.extractors["face.geometry@track"]["not_applicable"] == 1
    assert refresh(asked).computed == {}
    flat = pd.read_parquet(tmp_path / "lake" / "current" / "d" / "face.geometry@track")
    assert flat["track"].tolist() == [1, 2, 1] and flat["track"].dtype == np.int32


@needs_weights
def test_a_picture_has_faces_and_no_time(tmp_path, looks):
    from PIL import Image

    Image.fromarray(scene(looks, "LR", 0)).save(tmp_path / "p.png")
    tracks = read_tracks(Request("x", str(tmp_path / "p.png")))
    assert [(t.start, t.end) for t in tracks] == [(None, None)] * 2
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "n.png")
    with pytest.raises(NotApplicable, match="no face in 1 frame$"):
        read_tracks(Request("x", str(tmp_path / "n.png")))


def test_the_main_face_is_the_default():
    extractor = registry.get("face.geometry@track")
    assert extractor.name == "face.geometry@track" and extractor.parameters["overlap"] == 0.2


def test_those_who_cross_are_told_by_their_boxes():
    def box(x: float) -> np.ndarray:
        return np.array([x, 0.0, x + 10, 10.0])

    near = [[box(0), box(9)], [box(3), box(8)], [box(5), box(7)]]
    assert followed(near) == [[(0, 0), (1, 0), (2, 0)], [(0, 1), (1, 1), (2, 1)]]
    assert followed([[box(0)], [], [box(1)], [box(40)]]) == [[(0, 0), (2, 0)], [(3, 0)]]
    assert followed([]) == [] == followed([[], []])


@given(st.lists(st.lists(st.integers(0, 60), max_size=4), max_size=6))
def test_each_box_is_of_one_track_and_a_track_has_one_box_a_frame(places):
    boxes = [[np.array([x, 0, x + 10, 10]) for x in here] for here in places]
    tracks = followed(boxes)
    assert sorted(p for t in tracks for p in t) == [(i, j) for i, here in enumerate(boxes) for j in range(len(here))]
    for track in tracks:
        frames = [i for i, _ in track]
        assert frames == sorted(set(frames))
        assert all(overlap(boxes[a][b], boxes[c][d]) >= 0.2 for (a, b), (c, d) in pairwise(track))


@needs_weights
def test_sound_and_face_of_a_film_share_their_windows(tmp_path, looks):
    """Picture of 2 s, sound of 2.03 s: the last window is the same for both."""
    path = tmp_path / "said.mp4"
    tone = 0.2 * np.sin(2 * np.pi * 200 * np.arange(32_480) / 16_000)
    with av.open(str(path), "w") as out:
        video, audio = out.add_stream("mpeg4", rate=4), out.add_stream("aac", rate=16_000, layout="mono")
        video.height, video.width, video.bit_rate = 240, 480, 4_000_000
        for i in range(8):
            out.mux(video.encode(av.VideoFrame.from_ndarray(scene(looks, "L", i))))
        sound = av.AudioFrame.from_ndarray(tone.astype(np.float32)[None], format="fltp", layout="mono")
        sound.sample_rate = 16_000
        out.mux(audio.encode(sound))
        for stream in (video, audio):
            out.mux(stream.encode())
    pd.DataFrame({"sample_id": ["f"], "video": [str(path)]}).to_csv(tmp_path / "m.csv", index=False)
    asked = RefreshOptions(
        dataset="d", manifest=str(tmp_path / "m.csv"), store=str(tmp_path / "lake"), workers=1,
        only=("face.geometry", "audio.spectral"),
        settings={"series.window": 1.0, "series.hop": 0.75, "video.frames": 4},
    )  # fmt: skip
    refresh(asked)
    frame = Store(tmp_path / "lake").series("d", "f")
    assert frame.index.tolist()[:2] == [(0.0, 1.0), (0.75, 1.75)] and frame.index.is_unique
    assert frame.index.tolist()[2] == (1.5, 2.5)
    assert frame.iloc[:3][["face.geometry.mouth_open_mean", "audio.spectral.centroid_mean"]].notna().all(axis=None)
