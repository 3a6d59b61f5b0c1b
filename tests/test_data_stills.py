"""Pictures of every kind: upright, with square pixels, known by content, whole or named, never beyond a limit."""

from __future__ import annotations

import io
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from affectlake.data import _frame, pictures, stills
from affectlake.data.errors import BadMedia
from affectlake.data.pictures import read_frames, read_image

Image = pytest.importorskip("PIL.Image")
heif = pytest.importorskip("pillow_heif")

WIDTH, HEIGHT = 80, 60
TURNED_BY = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""Orientation of EXIF: what Pillow must do to an upright picture to store it so."""


def cornered(size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """Grey with a blue lower left corner."""
    picture = Image.new("RGB", size, (100, 100, 100))
    picture.paste((0, 0, 255), (0, size[1] * 5 // 8, size[0] * 3 // 8, size[1]))
    return picture


def assert_upright(picture: np.ndarray, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    assert picture.dtype == np.uint8 and picture.shape == (size[1], size[0], 3)
    for y, x, colour in (
        (0.9, 0.1, (0, 0, 255)),
        (0.1, 0.1, (100,) * 3),
        (0.1, 0.9, (100,) * 3),
        (0.9, 0.9, (100,) * 3),
    ):
        found = picture[int(y * size[1]), int(x * size[0])]
        np.testing.assert_allclose(found, colour, atol=12)


def both(path: Path) -> list[np.ndarray]:
    """The picture as `image.*` and as `face.*` are given it."""
    (frame,) = read_frames(path)
    return [read_image(path), frame]


def save(path: Path, picture: Image.Image, orientation: int = 1, **options: object) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    if orientation != 1:
        picture = picture.transpose(TURNED_BY[orientation])
    if path.suffix == ".heic":
        heif.from_pillow(picture).save(path, quality=95, exif=exif.tobytes())
    elif path.suffix == ".tif":
        picture.save(path, tiffinfo={0x0112: orientation}, **options)
    else:
        picture.save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "suffix, mode, options",
    [
        (".jpg", "RGB", {"quality": 95}),
        (".png", "RGB", {}),
        (".png", "RGBA", {}),
        (".png", "P", {}),
        (".webp", "RGB", {"quality": 95}),
        (".webp", "RGBA", {"lossless": True}),
        (".avif", "RGB", {"quality": 95, "speed": 10}),
        (".avif", "RGBA", {"quality": 95, "speed": 10}),
        (".tif", "RGB", {}),
        (".tif", "RGBA", {"compression": "tiff_lzw"}),
        (".heic", "RGB", {}),
        (".heic", "RGBA", {}),
    ],
)
def test_all_eight_orientations_are_upright(tmp_path, suffix, mode, options, orientation):
    for picture in both(save(tmp_path / f"a{suffix}", cornered().convert(mode), orientation, **options)):
        assert_upright(picture)


def test_a_heic_that_turns_itself_is_not_turned_twice(tmp_path):
    """Phones state the turn in the header, which libheif follows, and repeat it in EXIF."""
    path = save(tmp_path / "a.heic", cornered())
    raw = path.read_bytes()
    assert not stills._states_turn(io.BytesIO(raw))
    box = struct.pack(">I4sI4s", 16, b"free", 8, b"irot")
    at = raw.index(b"meta") + 8
    size = struct.unpack(">I", raw[at - 12 : at - 8])[0]
    assert stills._states_turn(io.BytesIO(raw[: at - 12] + struct.pack(">I", size + 16) + raw[at - 8 : at] + box))


@pytest.mark.parametrize(
    "mode, expected", [("CMYK", None), ("L", 100), ("LA", 100), ("1", None), ("P", None), ("RGBA", None), ("I;16", 100)]
)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_every_mode_becomes_rgb_of_8_bits(tmp_path, suffix, mode, expected):
    grey = np.asarray(cornered().convert("L"))
    picture = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else cornered().convert(mode)
    try:
        picture.save(tmp_path / f"a{suffix}", **({"quality": 95} if suffix == ".jpg" else {}))
    except OSError:
        pytest.skip(f"{suffix} holds no {mode}")
    for found in both(tmp_path / f"a{suffix}"):
        assert found.shape == (HEIGHT, WIDTH, 3) and found.dtype == np.uint8
        if expected:
            np.testing.assert_allclose(found, np.repeat(grey[..., None], 3, axis=2), atol=8)
        elif mode != "1":
            assert_upright(found)


@pytest.mark.parametrize("values, white", [(np.float32, 1.0), (np.float32, 255.0), (np.int32, 65535)])
def test_numbers_without_a_stated_white_are_read_in_their_range(tmp_path, values, white):
    ramp = (np.tile(np.linspace(0, white, WIDTH), (HEIGHT, 1))).astype(values)
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    np.testing.assert_allclose(read_image(tmp_path / "a.tif")[0, :, 0], np.linspace(0, 255, WIDTH), atol=1)


def test_a_transparent_colour_of_a_palette_or_of_grey_is_white(tmp_path):
    palette = cornered().convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "a.png", transparency=palette.getpixel((70, 5)))
    cornered().convert("L").save(tmp_path / "b.png", transparency=100)
    cornered().save(tmp_path / "c.png", transparency=(100, 100, 100))
    for name in ("a.png", "b.png", "c.png"):
        picture = read_image(tmp_path / name)
        assert (picture[5, 70] == 255).all() and (picture[55, 5] < 255).any()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
@pytest.mark.parametrize(
    "density, size",
    [
        ((100, 200), (160, 60)),  # of two dots down for each across, so each is twice as wide as high
        ((204, 98), (38, 60)),
        ((72, 72), (80, 60)),
        ((3779, 3780), (80, 60)),
        ((1, 300), (80, 60)),  # nobody can mean it
    ],
)
def test_unequal_densities_make_pixels_square(tmp_path, suffix, density, size):
    cornered().save(tmp_path / f"a{suffix}", dpi=density)
    picture = read_image(tmp_path / f"a{suffix}")
    assert picture.shape[1::-1] == size


@pytest.mark.parametrize("orientation, size", [(1, (160, 60)), (3, (160, 60)), (6, (80, 120)), (5, (80, 120))])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_densities_are_those_of_the_picture_as_it_is_stored(tmp_path, suffix, orientation, size):
    assert_upright(read_image(save(tmp_path / f"a{suffix}", cornered(), orientation, dpi=(100, 200))), size)


def test_an_aspect_without_a_unit_counts_too(tmp_path):
    raw = io.BytesIO()
    cornered((72, 72)).save(raw, "JPEG")
    jpeg = bytearray(raw.getvalue())
    jpeg[13:18] = struct.pack(">BHH", 0, 15, 16)  # JFIF: dots across and down
    (tmp_path / "a.jpg").write_bytes(jpeg)
    cornered((72, 72)).save(raw := io.BytesIO(), "GIF")
    gif = bytearray(raw.getvalue())
    gif[12] = 64 * 16 // 15 - 15
    (tmp_path / "a.gif").write_bytes(gif)
    png = io.BytesIO()
    cornered((72, 72)).save(png, "PNG")
    data = struct.pack(">IIB", 15, 16, 0)
    chunk = struct.pack(">I", 9) + b"pHYs" + data + struct.pack(">I", zlib.crc32(b"pHYs" + data))
    (tmp_path / "a.png").write_bytes(png.getvalue()[:33] + chunk + png.getvalue()[33:])
    for name, width in (("a.jpg", 77), ("a.gif", 76), ("a.png", 77)):
        assert read_image(tmp_path / name).shape == (72, width, 3)


KINDS = {
    "JPEG": {"quality": 95},
    "PNG": {},
    "GIF": {},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95, "speed": 10},
    "TIFF": {},
    "BMP": {},
    "PPM": {},
    "JPEG2000": {},
    "QOI": {},
    "PCX": {},
    "HEIF": {"quality": 95},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a", "a.jpg", "a.png", "a.mp4", "a.wav", "seq%d.txt"])
def test_a_picture_is_known_by_content_alone(tmp_path, kind, name):
    if kind == "HEIF":
        heif.from_pillow(cornered()).save(tmp_path / "made.heic", quality=95)
        shutil.move(tmp_path / "made.heic", tmp_path / name)
    else:
        cornered().save(tmp_path / name, format=kind, **KINDS[kind])
    for picture in both(tmp_path / name):
        assert_upright(picture)


ANIMATED = {".gif": {}, ".webp": {"lossless": True}, ".png": {}, ".avif": {"quality": 95, "speed": 10}}


def animate(path: Path) -> Path:
    """Black for 1 s, grey for 3 s, white for 6 s."""
    films = [Image.new("RGB", (WIDTH, HEIGHT), (level,) * 3) for level in (0, 128, 255)]
    films[0].save(path, save_all=True, append_images=films[1:], duration=[1000, 3000, 6000], **ANIMATED[path.suffix])
    return path


@pytest.mark.parametrize("suffix", ANIMATED)
def test_what_is_animated_is_a_film(tmp_path, suffix):
    path = animate(tmp_path / f"a{suffix}").rename(tmp_path / "a")
    frames = read_frames(path)
    assert [round(f.mean()) for f in frames] == pytest.approx([0, 128, 255], abs=3)
    assert [round(f.mean()) for f in read_frames(path, 1.0, 3.5)] == pytest.approx([128], abs=3)
    assert [round(f.mean()) for f in read_frames(path, count=1)] == pytest.approx([255], abs=3)
    assert read_image(path).mean() == pytest.approx(0, abs=3)
    with pytest.raises(BadMedia, match=r"segment starts at 11.0 s, the film ends at 10\.000 s"):
        read_frames(path, 11.0, 12.0)


def test_a_picture_for_those_who_cannot_show_the_film_is_no_part_of_it(tmp_path):
    red, *film = (Image.new("RGB", (8, 8), c) for c in ("red", "black", "white"))
    red.save(tmp_path / "a.png", save_all=True, append_images=film, default_image=True, duration=1000)
    assert [tuple(f[0, 0]) for f in read_frames(tmp_path / "a.png")] == [(0, 0, 0), (255, 255, 255)]


def test_frames_without_a_duration_are_shown_as_browsers_show_them(tmp_path):
    films = [Image.new("L", (8, 8), level) for level in (0, 128, 255)]
    films[0].save(tmp_path / "a.gif", save_all=True, append_images=films[1:])
    assert read_frames(tmp_path / "a.gif", 0.1, 0.2)[0].mean() == pytest.approx(128, abs=2)


def test_pages_are_no_film(tmp_path):
    cornered().save(tmp_path / "a.tif", save_all=True, append_images=[Image.new("RGB", (9, 9))])
    for picture in both(tmp_path / "a.tif"):
        assert_upright(picture)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("kind", [*sorted(KINDS.keys() - {"QOI"}), "progressive"])
def test_what_was_cut_says_so(tmp_path, kind, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    raw = io.BytesIO()
    if kind == "HEIF":
        heif.from_pillow(noise).save(raw, quality=95)
    elif kind == "progressive":
        noise.save(raw, "JPEG", progressive=True)
    else:
        noise.save(raw, kind, **KINDS[kind])
    path = tmp_path / "a.jpg"
    path.write_bytes(raw.getvalue()[: int(share * len(raw.getvalue()))])
    for read in (read_image, read_frames):
        with pytest.raises(BadMedia, match=r"a\.jpg: .*truncated"):
            read(path)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bombs() -> dict[str, bytes]:
    """Small files that would take gigabytes."""
    raw = {kind: io.BytesIO() for kind in ("JPEG", "BMP", "HEIF", "AVIF", "JPEG2000")}
    for kind, file in raw.items():
        picture = Image.new("RGB", (64, 64), "red")
        if kind == "HEIF":
            heif.from_pillow(picture).save(file)
        else:
            picture.save(file, kind, **({"progressive": True} if kind == "JPEG" else {}))
    jpeg = raw["JPEG"].getvalue()
    at = jpeg.index(b"\xff\xc2")
    large = jpeg[:at] + jpeg[at : at + 5] + struct.pack(">HH", 14_000, 14_000) + jpeg[at + 9 :]
    bmp = bytearray(raw["BMP"].getvalue())
    bmp[18:26] = struct.pack("<ii", 30_000, 30_000)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x02\x44\x01\0;"
    palette = b"\0\0\0\xff\xff\xff"
    png = struct.pack(">IIBBBBB", 30_000, 30_000, 16, 6, 0, 0, 0)
    sizes = {
        kind: raw[kind].getvalue().replace(struct.pack(">II", 64, 64), struct.pack(">II", 40_000, 40_000))
        for kind in ("HEIF", "AVIF", "JPEG2000")
    }
    return {
        "jpeg": large,
        "jpeg after garbage": large[:at] + b"\x12\x34 garbage" * 9 + large[at:],
        "jpeg after fill bytes": large[:at] + b"\xff" * 99 + large[at:],
        "jpeg after a comment with another": jpeg[:at] + b"\xff\xfe\0\x15" + jpeg[at : at + 19] + large[at:],
        "bmp": bytes(bmp),
        "png": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", png) + chunk(b"IDAT", b"x") + chunk(b"IEND", b""),
        "gif": b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 128, 0, 0) + palette + frame,
        "gif that grows": b"GIF89a" + struct.pack("<HHBBB", 9, 9, 128, 0, 0) + palette + frame,
        "ppm": b"P6 60000 60000 255 " + bytes(99),
        **sizes,
    }


@pytest.mark.parametrize("name", bombs())
@pytest.mark.parametrize("file", ["a", "%d.jpg", "frame%03d.png"])
def test_what_would_take_gigabytes_is_refused_before_it_is_decoded(tmp_path, name, file):
    (tmp_path / file).write_bytes(bombs()[name])
    before = _frame.resident()
    for read in (read_image, read_frames):
        with pytest.raises(BadMedia) as error:
            read(tmp_path / file)
        assert str(error.value).startswith(file) and "\n" not in str(error.value)
    assert _frame.resident() - before < 100 << 20


def test_a_frame_that_grows_beyond_the_first_is_refused(tmp_path):
    still = b"," + struct.pack("<HHHHB", 0, 0, 9, 9, 0) + b"\x02\x02\x44\x01\0"
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x02\x44\x01\0;"
    head = b"GIF89a" + struct.pack("<HHBBB", 9, 9, 128, 0, 0) + b"\0\0\0\xff\xff\xff"
    (tmp_path / "a.gif").write_bytes(head + still + frame)
    with pytest.raises(BadMedia, match="grows beyond the 9x9 pixels|65535x65535|truncated"):
        read_frames(tmp_path / "a.gif")


def test_a_codec_that_takes_more_than_its_container_states_is_stopped(tmp_path, monkeypatch):
    """The container says 64x64, its picture is of 5000x5000."""
    Image.new("RGB", (5000, 5000)).save(tmp_path / "a.avif", speed=10)
    raw = (tmp_path / "a.avif").read_bytes()
    (tmp_path / "a.avif").write_bytes(raw.replace(struct.pack(">II", 5000, 5000), struct.pack(">II", 64, 64)))
    monkeypatch.setattr(stills, "MAX_MEMORY", 8 << 20)
    with pytest.raises(BadMedia, match="a.avif: "):
        read_image(tmp_path / "a.avif")


def test_pillows_own_limit_and_warnings_are_left_as_they_were(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    read_image(save(tmp_path / "a.png", cornered()))
    with pytest.raises(BadMedia):
        read_image(tmp_path / "none.png")
    assert before == Image.MAX_IMAGE_PIXELS


def test_heic_without_its_package_says_what_is_wanted(tmp_path, monkeypatch):
    path = save(tmp_path / "a.heic", cornered())
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(BadMedia, match="pip install 'affectlake"):
        read_image(path)


def test_a_folder_is_its_pictures_by_content(tmp_path):
    for i in range(1, 12):
        Image.new("L", (8, 8), i * 10).save(tmp_path / f"frame{i}", format="PNG")
    (tmp_path / "notes.txt").write_text("no frame")
    (tmp_path / "empty.log").touch()
    (tmp_path / "._frame1.png").write_bytes(b"left by a system")
    (tmp_path / "inside").mkdir()
    assert [int(f[0, 0, 0]) for f in read_frames(tmp_path)] == [i * 10 for i in range(1, 12)]
    (tmp_path / "frame12.png").write_text("damaged")
    with pytest.raises(BadMedia, match="frame12.png"):
        read_frames(tmp_path)


def test_only_ordinary_files_are_opened(tmp_path):
    import os

    os.mkfifo(tmp_path / "a.png")
    for path in (tmp_path / "a.png", Path("/dev/zero")):
        for read in (read_image, read_frames):
            with pytest.raises(BadMedia, match="not a file"):
                read(path)
    assert pictures.is_picture.__doc__


@pytest.mark.parametrize(
    "text", ["#EXTM3U\n/etc/hosts\n", "ffconcat version 1.0\nfile a.png\n", "<svg/>", "<MPD></MPD>"]
)
def test_lists_of_files_are_not_followed(tmp_path, text):
    save(tmp_path / "a.png", cornered())
    for name in ("list.m3u8", "list.mp4", "list.png"):
        (tmp_path / name).write_text(text)
        for read in (read_image, read_frames):
            with pytest.raises(BadMedia, match=name):
                read(tmp_path / name)
