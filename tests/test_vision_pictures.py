"""Decoding of pictures, folders of pictures and videos."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from affectlake.data import films, stills
from affectlake.data.errors import BadMedia
from affectlake.data.pictures import LONGEST, read_frames, read_image

cv2 = pytest.importorskip("cv2")
av = pytest.importorskip("av")

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def four_corners(height: int = 60, width: int = 80) -> np.ndarray:
    """RGB with another colour in each corner: red, green, blue, white, row by row."""
    picture = np.zeros((height, width, 3), np.uint8)
    y, x = height // 2, width // 2
    picture[:y, :x], picture[:y, x:], picture[y:, :x], picture[y:, x:] = RED, GREEN, BLUE, WHITE
    return picture


def corners(picture: np.ndarray) -> list[tuple[int, ...]]:
    """Colours of the corners, row by row, rounded to full or none."""
    at = [(0.2, 0.2), (0.2, 0.8), (0.8, 0.2), (0.8, 0.8)]
    height, width = picture.shape[:2]
    return [tuple(int(255 * (c > 127)) for c in picture[int(y * height), int(x * width)]) for y, x in at]


def write(path: Path, pixels: np.ndarray) -> Path:
    """RGB, RGBA or grey, of 8 or 16 bits."""
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}
    shown = pixels[..., order[pixels.shape[2]]] if pixels.ndim == 3 else pixels
    path.write_bytes(cv2.imencode(path.suffix, np.ascontiguousarray(shown))[1].tobytes())
    return path


def write_video(path: Path, frames: list[np.ndarray], rate: int = 10, turn: int = 0, **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264" if options else "mpeg4", rate=rate, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.bit_rate, stream.time_base = "yuv420p", 2_000_000, Fraction(1, rate)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    if turn:
        path.write_bytes(turned_by_header(path.read_bytes()))
    return path


def turned_by_header(mp4: bytes) -> bytes:
    """The same video with a display matrix of a quarter turn clockwise."""
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    header = mp4.index(b"tkhd")
    at = mp4.index(upright, header)
    return mp4[:at] + quarter + mp4[at + len(upright) :]


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The same picture with an EXIF header."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp", ".ppm"])
def test_every_format_gives_rgb(tmp_path, suffix):
    picture = read_image(write(tmp_path / f"a{suffix}", four_corners()))
    assert picture.dtype == np.uint8 and picture.shape == (60, 80, 3)
    assert corners(picture) == [RED, GREEN, BLUE, WHITE]


def test_a_file_uri_is_a_path(tmp_path):
    path = write(tmp_path / "a face.png", four_corners())
    np.testing.assert_array_equal(read_image(path.as_uri()), read_image(str(path)))
    with pytest.raises(BadMedia, match="s3://"):
        read_image("s3://bucket/a.png")


@pytest.mark.parametrize(
    "orientation, expected",
    [(1, [RED, GREEN, BLUE, WHITE]), (3, [WHITE, BLUE, GREEN, RED]), (6, [BLUE, RED, WHITE, GREEN])],
)
def test_exif_turns_the_picture(tmp_path, orientation, expected):
    path = write(tmp_path / "a.jpg", four_corners())
    path.write_bytes(with_orientation(path.read_bytes(), orientation))
    picture = read_image(path)
    assert corners(picture) == expected
    assert picture.shape[:2] == ((80, 60) if orientation == 6 else (60, 80))


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    picture = read_image(write(tmp_path / "a.png", grey))
    assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
    assert (picture == picture[..., :1]).all()
    np.testing.assert_allclose(picture[..., 0], grey / 257, atol=1.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_lies_over_white(tmp_path, dtype):
    full = np.iinfo(dtype).max
    pixels = np.zeros((4, 4, 4), dtype)
    pixels[..., 0], pixels[:2, :, 3], pixels[2:, :, 3] = full, full, 0
    picture = read_image(write(tmp_path / "a.png", pixels))
    assert (picture[:2] == RED).all() and (picture[2:] == WHITE).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_large_picture_is_reduced(tmp_path, suffix):
    picture = read_image(write(tmp_path / f"a{suffix}", four_corners(2800, 5600)))
    assert picture.shape == (LONGEST // 2, LONGEST, 3)
    assert corners(picture) == [RED, GREEN, BLUE, WHITE]


def test_a_bomb_is_not_decoded(tmp_path):
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    data = zlib.compress(bytes(1 << 20))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    with pytest.raises(BadMedia, match="60000x60000"):
        read_image(path)


@pytest.mark.parametrize(
    ("suffix", "channels", "dtype", "options", "needed"),
    [
        (".png", 3, np.uint8, [], 4),
        (".png", 3, np.uint16, [], 4),
        (".png", 4, np.uint8, [], 8),
        (".png", 4, np.uint16, [], 8),
        (".bmp", 3, np.uint8, [], 4),
        (".webp", 3, np.uint8, [], 16),
        (".jpg", 3, np.uint8, [], 4),
        (".jpg", 3, np.uint8, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], 10),
    ],
)
def test_memory_is_bounded_by_what_decoding_takes(tmp_path, monkeypatch, suffix, channels, dtype, options, needed):
    path, pixels = tmp_path / f"a{suffix}", np.zeros((100, 200, channels), dtype)
    path.write_bytes(cv2.imencode(suffix, pixels, options)[1].tobytes())
    monkeypatch.setattr(stills, "MAX_MEMORY", path.stat().st_size + 20_000 * needed)
    assert read_image(path).shape == (100, 200, 3)
    monkeypatch.setattr(stills, "MAX_MEMORY", path.stat().st_size + 20_000 * needed - 1)
    with pytest.raises(BadMedia, match="200x100 pixels of this kind take 0 MB to decode"):
        read_image(path)


def test_a_file_of_many_bytes_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(stills, "_MAX_BYTES", 100)
    with pytest.raises(BadMedia, match="a picture may have"):
        read_image(write(tmp_path / "a.bmp", four_corners()))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_picture_is_bad(tmp_path, suffix, kept):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = write(tmp_path / f"a{suffix}", noise)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(BadMedia, match="truncated"):
        read_image(path)


@pytest.mark.parametrize("read", [read_image, read_frames])
def test_what_is_no_picture_says_so_in_one_line(tmp_path, read):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture at all\n" * 20)
    (tmp_path / "noise.jpg").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "text.mp4").write_text("no video at all\n" * 20)
    for name in ("missing.png", "empty.png", "text.png", "noise.jpg", "text.mp4"):
        with pytest.raises(BadMedia) as error:
            read(tmp_path / name)
        assert name in str(error.value) and "\n" not in str(error.value)


def test_a_picture_is_one_frame(tmp_path):
    path = write(tmp_path / "a.png", four_corners())
    (frame,) = read_frames(path)
    np.testing.assert_array_equal(frame, read_image(path))


def test_a_folder_is_a_video(tmp_path):
    for i in range(1, 13):
        write(tmp_path / f"{i}.png", np.full((8, 8, 3), i, np.uint8))
    (tmp_path / "notes.txt").write_text("no frame")
    assert [f[0, 0, 0] for f in read_frames(tmp_path)] == list(range(1, 13))
    assert [f[0, 0, 0] for f in read_frames(tmp_path, count=4)] == [2, 5, 8, 11]


def test_an_empty_folder_is_bad(tmp_path):
    with pytest.raises(BadMedia, match="no pictures"):
        read_frames(tmp_path)


@pytest.fixture(scope="module")
def fading(tmp_path_factory) -> Path:
    """8 s that brighten evenly from black to white."""
    levels = np.linspace(0, 255, 80).astype(np.uint8)
    frames = [np.full((64, 96, 3), level, np.uint8) for level in levels]
    return write_video(tmp_path_factory.mktemp("video") / "fading.mp4", frames)


@pytest.mark.parametrize("start, end", [(None, None), (2.0, None), (None, 3.0), (5.0, 6.5)])
def test_frames_are_even_in_time(fading, start, end):
    frames = read_frames(fading, start, end, count=5)
    first, last = start or 0.0, end or 8.0
    expected = (first + (np.arange(5) + 0.5) / 5 * (last - first)) / 8 * 255
    np.testing.assert_allclose([f.mean() for f in frames], expected, atol=8)


def test_a_frame_comes_once(fading):
    assert len(read_frames(fading, 1.0, 1.4, count=16)) == 4


def test_a_segment_outside_is_bad(fading):
    with pytest.raises(BadMedia, match="ends at 8.000 s"):
        read_frames(fading, 9.0, 10.0)
    with pytest.raises(BadMedia, match="starts at 2.0 s but ends at 1.0 s"):
        read_frames(fading, 2.0, 1.0)


def test_a_video_without_its_end_is_bad(tmp_path, fading):
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(fading.read_bytes()[: fading.stat().st_size // 2])
    with pytest.raises(BadMedia, match="cut.mp4"):
        read_frames(cut)


def test_a_video_that_states_no_length_is_read(tmp_path):
    path = write_video(tmp_path / "a.m4v", [np.full((32, 32, 3), v, np.uint8) for v in (0, 80, 160, 240)] * 5)
    assert len(read_frames(path, count=8)) == 8


@pytest.mark.parametrize("every", [15, 250])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_what_is_skipped_changes_no_frame(tmp_path, monkeypatch, suffix, every):
    """Of a long film few frames are wanted: what lies between is sought past, or left where nothing refers to it."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    frames = [np.roll(noise, 3 * i, axis=1) for i in range(400)]
    path = write_video(tmp_path / f"a{suffix}", frames, g=str(every), bf="3")
    decoded, upright = [], films._Film.upright
    monkeypatch.setattr(films._Film, "upright", lambda self, frame: decoded.append(frame.pts) or upright(self, frame))
    found = read_frames(path, count=8)
    with av.open(str(path)) as container:
        every_frame = list(container.decode(video=0))
        origin = float(every_frame[0].pts * every_frame[0].time_base)
        times = np.array([float(f.time) - origin for f in every_frame])
        wanted = [every_frame[np.flatnonzero(times <= (i + 0.5) * 40 / 8 + 1e-6)[-1]] for i in range(8)]
    assert decoded == [f.pts for f in wanted]
    for got, frame in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got, frame.to_ndarray(format="rgb24"))


def test_a_wanted_frame_just_before_a_key_frame_is_found(tmp_path):
    """Files list a key frame by when it is decoded, which is before it is shown: seeking must not overshoot."""
    levels = np.linspace(0, 255, 300)
    frames = [np.full((32, 32, 3), level, np.uint8) for level in levels]
    path = write_video(tmp_path / "a.mp4", frames, g="50", bf="3")
    for end in np.arange(29.0, 30.0, 0.05):
        shown = read_frames(path, 0.0, float(end), count=3)
        assert abs(shown[-1].mean() - levels[int(end * 5 / 6 * 10)]) < 3


def test_a_turned_video_is_upright(tmp_path):
    path = write_video(tmp_path / "a.mp4", [four_corners(64, 96)] * 4, turn=90)
    frame = read_frames(path, count=1)[0]
    assert frame.shape == (96, 64, 3)
    assert corners(frame) == [BLUE, RED, WHITE, GREEN]


def test_a_large_video_is_reduced(tmp_path):
    path = write_video(tmp_path / "a.mp4", [four_corners(1080, 1920)] * 2)
    assert [f.shape for f in read_frames(path)] == [(720, 1280, 3)] * 2


def test_a_real_video(shared_data):
    path = sorted((shared_data / "ravdess_actor01_video" / "mp4").glob("*.mp4"))[0]
    frames = read_frames(path)
    assert len(frames) == 16 and frames[0].shape == (720, 1280, 3)
    segment = read_frames(path, 1.0, 2.0, count=4)
    assert len(segment) == 4 and any(np.abs(segment[0].astype(int) - f).mean() < 3 for f in frames)
