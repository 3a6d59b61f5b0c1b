"""Films: what is upright, when a frame is shown, how long a film is, and what may not be decoded."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from affectlake.data import films
from affectlake.data.errors import BadMedia
from affectlake.data.pictures import read_frames, read_image

av = pytest.importorskip("av")

GREY, BLUE = (128, 128, 128), (0, 0, 255)
HEIGHT, WIDTH = 48, 80


def cornered(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Grey with a blue lower left corner."""
    picture = np.full((height, width, 3), GREY, np.uint8)
    picture[height * 5 // 8 :, : width * 3 // 8] = BLUE
    return picture


def blue_corners(picture: np.ndarray) -> set[str]:
    height, width = picture.shape[:2]
    at = {"upper": 0.1, "lower": 0.9}, {"left": 0.1, "right": 0.9}
    return {
        f"{row} {column}"
        for row, y in at[0].items()
        for column, x in at[1].items()
        if int(picture[int(y * height), int(x * width), 2]) - int(picture[int(y * height), int(x * width), 0]) > 80
    }


def level(seconds: float) -> np.ndarray:
    """A grey that tells the time, up to 12 s."""
    return np.full((32, 48, 3), round(seconds * 20), np.uint8)


def moment(picture: np.ndarray) -> float:
    """What `level` told."""
    return float(picture.mean()) / 20


def write_film(
    path: Path,
    pictures: list[np.ndarray],
    times: list[float] | None = None,
    codec: str = "mpeg4",
    pixels: str = "yuv420p",
    aspect: Fraction | None = None,
    matrix: tuple[int, ...] | None = None,
    sound: tuple[float, float] | None = None,
) -> Path:
    """Pictures shown at ``times`` (s; else ten a second), with a tone from when to when."""
    times = times or [i / 10 for i in range(len(pictures))]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.time_base = pixels, Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "mpeg4":
            stream.bit_rate = 2_000_000
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if sound is not None:
            audio = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        packets = []
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgba" if picture.shape[2] == 4 else "rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            packets += stream.encode(frame.reformat(format=pixels))
        packets += stream.encode()
        if sound is not None:
            first, last = (round(16000 * s) for s in sound)
            for at in range(first, last, 1024):
                block = av.AudioFrame.from_ndarray(np.full((1, 1024), 500, np.int16), format="s16", layout="mono")
                block.pts, block.sample_rate, block.time_base = at, 16000, Fraction(1, 16000)
                packets += audio.encode(block)
            packets += audio.encode()
        for packet in sorted(packets, key=lambda p: float((p.dts or 0) * p.time_base)):
            container.mux(packet)
    return path


TURNS = {
    "none": ((1, 0, 0, 1), lambda p: p),
    "quarter clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, 1)),
    "half": ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
    "quarter counter-clockwise": ((0, -1, 1, 0), lambda p: np.rot90(p, -1)),
    "mirrored left to right": ((-1, 0, 0, 1), np.fliplr),
    "mirrored top to bottom": ((1, 0, 0, -1), np.flipud),
    "transposed": ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
    "transposed the other way": ((0, -1, -1, 0), lambda p: np.rot90(p.transpose(1, 0, 2), 2)),
}
"""What the file says of the picture, and how it must be stored to be upright then."""


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("turn", TURNS)
def test_all_eight_orientations_are_upright(tmp_path, turn, suffix):
    (a, b, c, d), stored = TURNS[turn]
    one = 1 << 16
    matrix = (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path = write_film(tmp_path / f"a{suffix}", [np.ascontiguousarray(stored(cornered()))] * 3, matrix=matrix)
    for picture in (*read_frames(path), read_image(path)):
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert blue_corners(picture) == {"lower left"}


@pytest.mark.parametrize(
    "aspect, size",
    [
        (Fraction(16, 15), (77, 72)),
        (Fraction(8, 9), (64, 72)),
        (Fraction(64, 45), (102, 72)),
        (Fraction(1, 1), (72, 72)),
        (Fraction(1001, 1000), (72, 72)),  # rounded
        (Fraction(50, 1), (72, 72)),  # nobody can mean it
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_pixels_that_are_not_square_become_so(tmp_path, suffix, aspect, size):
    path = write_film(tmp_path / f"a{suffix}", [cornered(72, 72)] * 3, aspect=aspect)
    picture = read_frames(path)[0]
    assert picture.shape[1::-1] == size
    assert blue_corners(picture) == {"lower left"}


def test_a_turned_film_of_wide_pixels_is_wide_after_the_turn_only(tmp_path):
    one = 1 << 16
    stored = np.ascontiguousarray(np.rot90(cornered(), 1))  # 48x80, to be turned clockwise
    path = write_film(
        tmp_path / "a.mp4", [stored] * 3, aspect=Fraction(3, 2), matrix=(0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    )
    assert read_frames(path)[0].shape == (72, 80, 3)


def test_transparency_lies_over_white(tmp_path):
    clear = np.dstack([cornered(), np.zeros((HEIGHT, WIDTH), np.uint8)])
    clear[HEIGHT * 5 // 8 :, : WIDTH * 3 // 8, 3] = 255
    path = write_film(tmp_path / "a.mov", [clear] * 2, codec="png", pixels="rgba")
    picture = read_frames(path)[0]
    assert (picture[2, -2] == 255).all() and tuple(picture[-2, 2]) == BLUE


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_sound_and_picture_have_one_clock(tmp_path, suffix):
    """The picture begins 2 s after the sound: a segment shows what was to be seen while that was to be heard."""
    times = [2 + i / 10 for i in range(40)]
    path = write_film(tmp_path / f"a{suffix}", [level(t) for t in times], times, sound=(0, 6))
    assert [moment(f) for f in read_frames(path, 4.0, 5.0, count=2)] == pytest.approx([4.2, 4.7], abs=0.15)
    assert [moment(f) for f in read_frames(path, count=4)] == pytest.approx([2.5, 3.5, 4.5, 5.5], abs=0.15)
    assert moment(read_frames(path, 1.0, 3.0, count=1)[0]) == pytest.approx(2.5, abs=0.15)
    with pytest.raises(BadMedia, match=r"segment ends at 1.5 s, the pictures begin at 2\.000 s"):
        read_frames(path, 0.5, 1.5)


def test_a_stream_that_begins_anywhere_counts_from_there(tmp_path):
    times = [100 + i / 10 for i in range(40)]
    path = write_film(tmp_path / "a.ts", [level(t - 100) for t in times], times)
    assert moment(read_frames(path, 2.0, 3.0, count=1)[0]) == pytest.approx(2.5, abs=0.15)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_variable_rate_is_told_by_times_not_numbers(tmp_path, suffix):
    """Ten frames in the first second, one a second after that."""
    times = [i / 10 for i in range(10)] + [float(i) for i in range(1, 9)]
    path = write_film(tmp_path / f"a{suffix}", [level(t) for t in times], times)
    for start in (0.0, 3.0, 6.0):
        assert moment(read_frames(path, start + 0.2, start + 0.8, count=1)[0]) == pytest.approx(
            start if start else 0.5, abs=0.1
        )


def test_tracks_of_unequal_length_are_read_whole(tmp_path):
    path = write_film(tmp_path / "a.mkv", [level(i / 10) for i in range(20)], sound=(0, 6))
    assert [moment(f) for f in read_frames(path, count=4)] == pytest.approx([0.2, 0.7, 1.2, 1.7], abs=0.1)
    with pytest.raises(BadMedia, match="segment starts at 4.0 s, the film ends at 2.000 s"):
        read_frames(path, 4.0, 5.0)


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4"])
def test_a_film_that_was_cut_is_truncated_where_it_is_wanted(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (80, 32, 48, 3), dtype=np.uint8)  # takes equal room in the file
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w", options={"movflags": "faststart"} if suffix == ".mp4" else {}) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for picture in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.raises(BadMedia, match=r"truncated, holds [345]\.\d+ s of the (8|7\.9\d*)"):
        read_frames(path)
    assert len(read_frames(path, 0.0, 2.0, count=4)) == 4


def test_a_header_that_was_never_completed_hides_nothing(tmp_path):
    """A recorder that dies leaves zero frames in the header of an AVI, and no index."""
    path = write_film(tmp_path / "a.avi", [level(i / 10) for i in range(40)])
    raw = bytearray(path.read_bytes())
    at = raw.index(b"avih") + 8
    raw[at + 16 : at + 20] = bytes(4)
    at = raw.index(b"strh") + 8
    raw[at + 32 : at + 36] = bytes(4)
    path.write_bytes(bytes(raw[: raw.rindex(b"idx1")]))
    assert [moment(f) for f in read_frames(path, count=4)] == pytest.approx([0.5, 1.5, 2.5, 3.5], abs=0.15)


@pytest.mark.parametrize("codec, suffix", [("libx264", ".h264"), ("mpeg4", ".m4v")])
def test_a_bare_stream_without_times_is_read_whole(tmp_path, codec, suffix):
    path = write_film(tmp_path / f"a{suffix}", [level(i / 10) for i in range(40)], codec=codec)
    moments = [moment(f) for f in read_frames(path, count=4)]
    assert moments == pytest.approx([0.5, 1.5, 2.5, 3.5], abs=0.3)


def test_a_film_in_place_of_a_picture_shows_its_middle(tmp_path):
    path = write_film(tmp_path / "a.jpg.mp4", [level(i / 10) for i in range(40)]).rename(tmp_path / "a.jpg")
    assert moment(read_image(path)) == pytest.approx(2.0, abs=0.15)
    assert len(read_frames(path)) == 16


def test_sound_alone_shows_nothing(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    for read in (read_image, read_frames):
        with pytest.raises(BadMedia, match="a.mp4: holds no pictures"):
            read(path)


def test_frames_of_many_bytes_are_refused_before_one_is_decoded(tmp_path, monkeypatch):
    path = write_film(tmp_path / "a.mov", [np.dstack([cornered()] * 2)[..., :4]] * 2, codec="png", pixels="rgba")
    monkeypatch.setattr(films, "_FRAME", WIDTH * HEIGHT * 4 - 1)
    monkeypatch.setattr(films._Film, "_decoded", lambda self: pytest.fail("decoded"))
    with pytest.raises(BadMedia, match="frames of 80x48 take"):
        read_frames(path)


def test_a_decoder_that_holds_too_much_is_stopped(tmp_path, monkeypatch):
    path = write_film(tmp_path / "a.mp4", [cornered()] * 8)
    taken = iter(range(0, 10**12, films.MAX_MEMORY // 3))
    monkeypatch.setattr(films, "resident", lambda: next(taken))
    with pytest.raises(BadMedia, match="of which decoding holds"):
        read_frames(path)


@pytest.mark.parametrize("suffix, name", [(".avi", b"strf"), (".mp4", b"mp4v")])
def test_a_size_that_the_codec_hides_from_the_container_is_refused(tmp_path, monkeypatch, suffix, name):
    """The frames are larger than the container says, and larger than may be."""
    from affectlake.data import media

    path = write_film(tmp_path / f"a{suffix}", [cornered()] * 2)
    raw = path.read_bytes()
    for order in "<II", ">HH":
        raw = raw.replace(struct.pack(order, WIDTH, HEIGHT), struct.pack(order, 16, 16))
    path.write_bytes(raw)
    assert read_frames(path)[0].shape == (HEIGHT, WIDTH, 3)
    monkeypatch.setattr(films, "MAX_PIXELS", 1000)
    monkeypatch.setitem(media._OPTIONS, "max_pixels", "1000")
    with pytest.raises(BadMedia, match=f"a{suffix}: "):
        read_frames(path)


def test_a_frame_larger_than_what_is_read_to_find_out_is_refused(tmp_path, monkeypatch):
    from affectlake.data import media

    path = write_film(tmp_path / "a.avi", [cornered()] * 2, codec="rawvideo", pixels="bgr24")
    assert len(read_frames(path)) == 2
    monkeypatch.setattr(media, "_PROBED", 2000)
    with pytest.raises(BadMedia, match="no frame within the first"):
        read_frames(path)
