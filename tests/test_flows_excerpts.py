"""Objects of which the rows ask for little are read in parts."""

import shutil
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import soundfile
from elsewhere import Front
from here import here

from affectlake.data import remote
from affectlake.data.pictures import read_frames
from affectlake.data.store import Store
from affectlake.flows.options import RefreshOptions
from affectlake.flows.refresh import refresh

SECONDS, RATE = 300, 16000


def wav(seed: int) -> bytes:
    """5 minutes of noise that rises and falls: 9.6 MB."""
    out, n = BytesIO(), SECONDS * RATE
    y = np.random.default_rng(seed).standard_normal(n) * (1 + np.sin(np.arange(n) / 9000)) / 20
    soundfile.write(out, y, RATE, format="WAV")
    return out.getvalue()


@pytest.fixture(scope="module")
def sounds():
    return wav(1), wav(2)


def film() -> bytes:
    """40 s of changing grey, 25 frames of noise a second: 5 MB and more, its index last."""
    out, rng = BytesIO(), np.random.default_rng(0)
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 192, 160, "yuv420p", 4_000_000
        for i in range(1000):
            picture = (rng.integers(0, 90, (160, 192, 3)) + i // 8).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return out.getvalue()


@pytest.fixture(autouse=True)
def place(cloud, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFFECTLAKE_MEDIA_FOLDER", str(tmp_path / "affectlake-media-test"))
    cloud.fault, cloud.asked, cloud.sent = (lambda method, path, time: None), [], 0


def night(rows: dict, store: str = "lake", only: str = "audio.spectral", **options):
    pd.DataFrame(rows).to_csv("m.csv", index=False)
    return refresh(RefreshOptions("d", manifest="m.csv", store=store, only=(only,), **options), here)


def values(store: str = "lake") -> pd.DataFrame:
    frame = Store(store).load("d")
    return frame[[c for c in frame if c.startswith("audio.")]]


def content(sample: str, store: str = "lake") -> str:
    return Store(store).explain("d", sample, "audio.spectral.level_mean")["content"]


def segment(uri: str, start: float = 100.25, end: float = 103.5) -> dict:
    return {"sample_id": ["a"], "audio": [uri], "start": [start], "end": [end]}


def test_a_segment_fetches_about_what_it_needs(cloud, sounds):
    """Its values are those of the whole file; what it is called by does not pretend to be a hash of bytes."""
    cloud.put("calls", "one.wav", sounds[0])
    Path("one.wav").write_bytes(sounds[0])
    assert night(segment("s3://calls/one.wav")).failed == 0
    assert cloud.sent < 1_000_000 < len(sounds[0]) and cloud.count("GET", "one.wav") <= 3
    night(segment("one.wav"), "here")
    pd.testing.assert_frame_equal(values(), values("here"))
    assert content("a").startswith("object ") and len(content("a", "here")) == 64
    cloud.sent, cloud.asked = 0, []
    again = night(segment("s3://calls/one.wav"))
    assert again.extractors["audio.spectral"]["unchanged"] == 1 and cloud.count("GET", "one.wav") == 0
    cloud.put("calls", "moved.wav", sounds[0])  # of the same ETag
    assert night(segment("s3://calls/moved.wav")).computed.get("audio.spectral", 0) == 0
    before = values()
    cloud.put("calls", "moved.wav", sounds[1])
    assert night(segment("s3://calls/moved.wav")).extractors["audio.spectral"]["recomputed"] == 1
    assert not before.equals(values())


def test_who_asks_for_much_reads_all_of_it(cloud, sounds):
    """Then all of its segments are known by its bytes, and later ones are fetched by parts all the same."""
    cloud.put("calls", "much.wav", sounds[0])
    rows = segment("s3://calls/much.wav")
    night(rows)
    both = {k: [*v, w] for (k, v), w in zip(rows.items(), ("b", "s3://calls/much.wav", 5.0, 290.0), strict=True)}
    night(both)
    assert len(content("a")) == len(content("b")) == 64 and cloud.count("GET", "much.wav") > 2
    known = content("a")
    shutil.rmtree("affectlake-media-test")  # another night
    cloud.sent = 0
    night({**rows, "start": [20.0], "end": [22.0]})
    assert cloud.sent < 1_000_000
    assert night(rows).computed["audio.spectral"] == 1 and content("a") == known


def test_another_object_in_its_place_is_never_mixed_with_it(cloud, sounds):
    """Replaced after it was listed, it is read anew, and the value is that of one of them."""
    cloud.put("calls", "swap.wav", sounds[0])

    def swapping(*asked):
        cloud.put("calls", "swap.wav", sounds[1])
        return here(*asked)

    pd.DataFrame(segment("s3://calls/swap.wav")).to_csv("m.csv", index=False)
    refresh(RefreshOptions("d", manifest="m.csv", only=("audio.spectral",)), swapping)
    Path("new.wav").write_bytes(sounds[1])
    night(segment("new.wav"), "here")
    pd.testing.assert_frame_equal(values(), values("here"))


def test_what_does_not_arrive_is_no_end_of_a_file(cloud, sounds):
    """A part that cannot be had is not silence: the whole is asked for, and where that cannot be had, it fails."""
    cloud.put("calls", "lost.wav", sounds[0])
    Path("lost.wav").write_bytes(sounds[0])
    cloud.fault = lambda method, path, time: 403 if "lost.wav" in path and time == 2 else None
    assert night(segment("s3://calls/lost.wav")).failed == 0
    night(segment("lost.wav"), "here")
    pd.testing.assert_frame_equal(values(), values("here"))
    cloud.put("calls", "closed.wav", sounds[0])
    cloud.fault = lambda method, path, time: 403 if "closed.wav" in path and time > 1 else None
    assert night(segment("s3://calls/closed.wav"), "other").failed == 1


@pytest.mark.parametrize("parts", [True, False])
def test_servers_of_the_web(sounds, parts):
    web = Front()
    web.parts, web.objects = parts, {"/a.wav": sounds[0]}
    Path("a.wav").write_bytes(sounds[0])
    try:
        assert night(segment(f"{web.url}/a.wav")).failed == 0
        assert (web.sent < 1_000_000) == parts
    finally:
        web.close()
    night(segment("a.wav"), "here")
    pd.testing.assert_frame_equal(values(), values("here"))


def test_a_film(cloud):
    """Its index lies at its end, its frames where they are."""
    made = film()
    assert len(made) > 5_000_000
    cloud.put("calls", "film.mp4", made)
    Path("film.mp4").write_bytes(made)
    with remote.in_parts("s3://calls/film.mp4", len(made), lambda found: True) as path:
        parts = read_frames(path, 20.0, 21.0, 4)
    assert np.array_equal(parts, read_frames("film.mp4", 20.0, 21.0, 4)) and cloud.sent < len(made) / 3


def test_who_was_erased_stays_away(cloud, sounds):
    """Whether what is left of them is asked for in part or as a whole, under another name and place."""
    for i in (0, 1):
        cloud.put("calls", f"who{i}.wav", sounds[i])
    two = [{**segment(f"s3://calls/who{i}.wav"), "sample_id": [f"s{i}"], "speaker": [w]} for i, w in enumerate("xy")]
    night({k: two[0][k] + two[1][k] for k in two[0]})
    assert Store("lake").erase("d", speaker="x")["still_found_in"] == []
    cloud.put("calls", "back.wav", sounds[0])
    for times in ((100.25, 103.5), (0.0, 299.0)):
        back = {**segment("s3://calls/back.wav", *times), "sample_id": ["s2"], "speaker": ["z"]}
        assert night({k: two[1][k] + back[k] for k in back}).erased == 1
    assert list(values().index) == ["s1"]
