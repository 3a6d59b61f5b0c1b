"""Pictures, still and animated, by Pillow; HEIC by libheif (pillow-heif)."""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from os import SEEK_CUR
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from affectlake.data._frame import LONGEST, MAX_MEMORY, capped, fitting, over_white, plausible_aspect
from affectlake.data.errors import BadMedia
from affectlake.data.media import check_segment, open_file, reason, shown

if TYPE_CHECKING:
    from PIL import Image

# Pillow also knows formats that run other programs (EPS), that have no signature (TGA) or that hold several files of
# other formats (ICO, ICNS); FFmpeg reads most of them.
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "JPEG2000")
_ANIMATED = {"GIF", "PNG", "WEBP", "AVIF"}  # TIFF and JPEG may hold pages or other sizes, which are no film

_MAX_BYTES = 256 << 20
_MAX_PIXELS = 200_000_000
_GROWN = 16_000_000
# Bytes that decoding takes per pixel of the whole picture, by format; else by mode. libwebp holds two canvases, and
# Pillow two copies of what it gives; AVIF and JPEG 2000 are decoded to planes first.
_OF_FORMAT = {"WEBP": 16, "AVIF": 14, "JPEG2000": 20, "HEIC": 6}
_SEQUENCES = (b"msf1", b"hevc", b"hevx")  # brands of films in the container of HEIC
_NESTED = {"AVIF", "HEIC", "JPEG2000"}  # a codec with a size of its own in a container with another
_OF_MODE = {"1": 1, "L": 1, "P": 5, "I;16": 8, "I;16B": 8, "I": 12, "F": 12}
_OF_COLOUR = 4
_ALPHA = 4  # more for the copy that is reduced
_JPEG = ("JPEG", "MPO")
_ORIENTATION = 0x0112  # of EXIF; the values are Pillow's transpositions
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
_SHOWN = 0.1  # s that a frame without a duration is shown for, as browsers do


class Unknown(Exception):
    """Pillow does not know what it is: FFmpeg has its turn."""


def read_still(path: Path) -> np.ndarray:
    """The picture, or the first frame of an animated one, RGB uint8 [shape=(h, w, 3)].

    Raises
    ------
    BadMedia
        It is truncated, damaged, or too large.
    Unknown
        It is of a kind that is not known here.
    """
    with _opened(path) as picture:
        return picture.rgb() if isinstance(picture, _Heic) else _rgb(picture)


def read_animation(path: Path, start: float | None, end: float | None, count: int) -> list[np.ndarray]:
    """Frames at even distances of time, as `affectlake.data.pictures.read_frames`; of a still just itself."""
    with _opened(path) as picture:
        if isinstance(picture, _Heic):
            return [picture.rgb()]
        if picture.format not in _ANIMATED or not getattr(picture, "is_animated", False):
            return [_rgb(picture)]
        check_segment(path, start, end)
        begins, seconds = _timeline(picture)
        first, last = start or 0.0, min(seconds, math.inf if end is None else end)
        if first >= seconds:
            raise BadMedia(f"{shown(path)}: segment starts at {first} s, the film ends at {seconds:.3f} s")
        times = [first + (i + 0.5) * (last - first) / count for i in range(count)]
        wanted = dict.fromkeys(int(np.searchsorted([b for b, _ in begins], t, side="right")) - 1 for t in times)
        frames = []
        for i in wanted:
            picture.seek(begins[i][1])
            frames.append(_rgb(picture))
        return frames


def _timeline(picture: Any) -> tuple[list[tuple[float, int]], float]:
    """When each frame begins, its number in the file, and when the last one ends."""
    begins, now = [], 0.0
    # A PNG may hold a picture for those who cannot show the film, which is no part of it.
    for i in range(int(getattr(picture, "default_image", False)), picture.n_frames):
        picture.seek(i)
        picture.load()
        begins.append((now, i))
        now += float(picture.info.get("duration") or 0) / 1000 or _SHOWN
    return begins, now


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The picture with its header read and its size checked; whatever goes wrong later is named too."""
    from PIL import Image, UnidentifiedImageError

    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise BadMedia(f"{shown(path)}: {size >> 20} MB, a picture may have {_MAX_BYTES >> 20} MB")
    with open_file(path) as file, _own_limit() as limit, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        try:
            picture = _known(path, file)
            _check_memory(path, size, picture)
            # Frames of a GIF may lie outside of what its header says, and make it grow.
            limit(max(picture.width * picture.height, _GROWN))
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with capped(MAX_MEMORY) if picture.format in _NESTED else nullcontext():
                yield picture
        except (BadMedia, Unknown):
            raise
        except UnidentifiedImageError:
            raise Unknown from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise BadMedia(
                f"{shown(path)}: grows beyond the {picture.width}x{picture.height} pixels it states"
            ) from None
        except Exception as error:  # decoders raise anything, from SyntaxError to struct.error
            raise BadMedia(f"{shown(path)}: {_trouble(error)}") from None


def _trouble(error: Exception) -> str:
    message = reason(error) or type(error).__name__
    if isinstance(error, MemoryError):
        return f"takes more than {MAX_MEMORY >> 20} MB to decode"
    if isinstance(error, EOFError | struct.error) or "truncated" in message.lower() or "end of file" in message.lower():
        return f"truncated, the end of the picture is missing ({message})"
    return f"cannot be decoded, truncated or damaged ({message})"


@contextmanager
def _own_limit() -> Iterator[Callable[[int], None]]:
    """Gives what sets Pillow's limit of pixels, a global below the 200 million of a phone; none until it is set."""
    from PIL import Image

    def set_to(pixels: int | None) -> None:
        Image.MAX_IMAGE_PIXELS = pixels

    before = Image.MAX_IMAGE_PIXELS
    set_to(None)
    try:
        yield set_to
    finally:
        set_to(before)


def _known(path: Path, file: BinaryIO) -> Any:
    from PIL import Image, UnidentifiedImageError

    head = file.read(32)
    file.seek(0)
    stated = int.from_bytes(head[4:8], "little") + 8
    if head.startswith(b"RIFF") and path.stat().st_size < stated - 1:
        raise BadMedia(f"{shown(path)}: truncated, the end of the picture is missing ({stated} bytes stated)")
    try:
        picture = Image.open(file, formats=_FORMATS)
        if picture.format == "GIF" and head[12]:
            picture.info["aspect"] = head[12] + 15, 64
        return picture
    except UnidentifiedImageError:
        if head[4:8] != b"ftyp" or head[8:12] in _SEQUENCES:
            raise
    return _Heic(path, file)


def _check_memory(path: Path, size: int, picture: Any) -> None:
    width, height = picture.width, picture.height
    if width * height > _MAX_PIXELS:
        most = _MAX_PIXELS // 1_000_000
        raise BadMedia(f"{shown(path)}: {width}x{height} pixels, at most {most} million are decoded")
    needed = size + round(width * height * _bytes_each(picture))
    if picture.format not in (*_JPEG, "HEIC") and max(width, height) > LONGEST:
        needed += _OF_COLOUR * LONGEST * height  # it is reduced line by line first, then column by column
    if needed > MAX_MEMORY:
        raise BadMedia(
            f"{shown(path)}: {width}x{height} pixels of this kind take {needed >> 20} MB to decode, "
            f"at most {MAX_MEMORY >> 20} MB are given"
        )


def _bytes_each(picture: Any) -> float:
    if picture.format in _JPEG:
        # One that is read in several scans is whole in memory, as coefficients of 16 bits, before its first pixel.
        scans = 6 if "progressive" in picture.info or "progression" in picture.info else 0
        return _OF_COLOUR / _jpeg_reduction(max(picture.size)) ** 2 + scans
    each = _OF_FORMAT.get(picture.format) or _OF_MODE.get(picture.mode, _OF_COLOUR)
    animated = picture.format in _ANIMATED and getattr(picture, "is_animated", False)
    return float(each + _ALPHA * picture.has_transparency_data + 2 * _OF_COLOUR * animated)


def _jpeg_reduction(longest: int) -> int:
    """Part of its resolution in which a JPEG is decoded, which costs a fraction of decoding all of it."""
    return next((part for part in (8, 4, 2) if longest >= part * LONGEST), 1)


def _rgb(picture: Image.Image) -> np.ndarray:
    """Upright, square pixels, transparency over white."""
    from PIL.Image import Resampling, Transpose

    # Pillow turns a TIFF while it loads it; densities are those of the picture as it is stored.
    on_its_side = picture.format == "TIFF" and picture.getexif().get(_ORIENTATION, 1) >= 5
    if picture.format in _JPEG:
        part = _jpeg_reduction(max(picture.size))
        picture.draft(None, (-(-picture.width // part), -(-picture.height // part)))
    picture.load()
    small = _eight_bits(picture)
    width, height = picture.size[::-1] if on_its_side else picture.size
    size = fitting(width, height, _pixel_aspect(picture))
    size = size[::-1] if on_its_side else size
    if size != small.size:
        smaller = size[0] <= small.width and size[1] <= small.height
        small = small.resize(size, Resampling.BOX if smaller else Resampling.BILINEAR)
    orientation = picture.getexif().get(_ORIENTATION, 1)
    upright = np.asarray(small.transpose(Transpose(_TURNS[orientation])) if orientation in _TURNS else small)
    return over_white(upright) if small.mode == "RGBA" else np.ascontiguousarray(upright)


def _pixel_aspect(picture: Image.Image) -> float:
    """From the densities that JPEG, PNG, TIFF and BMP state, of whatever unit, and the aspects of PNG and GIF."""
    info = picture.info
    unit = "aspect" if "aspect" in info else "jfif_density" if info.get("jfif_unit") == 0 else "dpi"
    stated = info.get(unit) or info.get("resolution")
    if stated is None:
        return 1.0
    across, down = (float(n) for n in stated)
    # Densities are dots per length: the more there are, the narrower each is.
    return (
        plausible_aspect(across, down)
        if unit == "aspect" and picture.format == "GIF"
        else plausible_aspect(down, across)
    )


def _eight_bits(picture: Image.Image) -> Image.Image:
    """RGB, or RGBA where something is transparent, of 8 bits; greys of more bits are scaled, not cut."""
    from PIL import Image

    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        values = np.asarray(picture)
        if picture.mode in ("I", "F"):
            values = np.nan_to_num(values.astype(np.float32))
        grey = np.clip(np.round(values * np.float32(255 / _white(picture.mode, values))), 0, 255).astype(np.uint8)
        picture = Image.fromarray(grey)
    elif picture.mode == "LAB":
        from PIL import ImageCms

        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, ImageCms.createProfile("LAB"), srgb, outputMode="RGB")
        return picture if converted is None else converted
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)


def _white(mode: str, values: np.ndarray) -> float:
    """The value that is white: pictures of real numbers and of 32 bits do not say."""
    if mode.startswith("I;16"):
        return 65535.0
    most = float(values.max(initial=0.0))
    return next((white for white in (1.0, 255.0, 65535.0) if most <= white and (mode == "F" or white > 1)), most)


class _Heic:
    """A picture of HEIC, with as much of Pillow's face as is needed here.

    Not through Pillow: its copy of the picture would take a phone's 48 million pixels beyond what may be taken.
    """

    format = "HEIC"
    is_animated = False
    info: Mapping[str, Any] = {}

    def __init__(self, path: Path, file: BinaryIO):
        try:
            import pillow_heif
        except ImportError:
            raise BadMedia(f"{shown(path)}: HEIC is read with pillow-heif: pip install 'affectlake[vision]'") from None

        options = pillow_heif.options
        options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
        options.DECODE_THREADS = 1
        self._picture = pillow_heif.open_heif(file, convert_hdr_to_8bit=True)
        self._turned = _states_turn(file)
        self.size: tuple[int, int] = self._picture.size
        self.width, self.height = self.size
        self.mode: str = self._picture.mode
        self.has_transparency_data = self.mode.endswith("A") or self.mode.endswith("a")

    def rgb(self) -> np.ndarray:
        """Upright: libheif has turned it already, but where only EXIF says how."""
        import cv2
        from PIL import Image

        pixels = np.asarray(self._picture)[:, : self.size[0]]
        if pixels.dtype != np.uint8:
            pixels = (pixels >> (8 * (pixels.itemsize - 1))).astype(np.uint8)
        size = fitting(*self.size)
        if size != self.size:
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        exif = Image.Exif()
        exif.load(self._picture.info.get("exif") or b"")
        orientation = 1 if self._turned else exif.get(_ORIENTATION, 1)
        if orientation in _TURNS:
            pixels = np.asarray(Image.fromarray(pixels).transpose(Image.Transpose(_TURNS[orientation])))
        return over_white(pixels) if pixels.shape[2] == 4 else np.ascontiguousarray(pixels)


def _states_turn(file: BinaryIO) -> bool:
    """Whether a HEIC's own header turns or mirrors a picture: then EXIF repeats it, and would turn it twice."""
    file.seek(0)
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[:4], "big")
        if head[4:] == b"meta":
            properties = file.read(max(size - 8, 0))
            return b"irot" in properties or b"imir" in properties
        if size == 1:
            size = int.from_bytes(file.read(8), "big") - 8
        if size < 8:
            break
        file.seek(size - 8, SEEK_CUR)
    return False
