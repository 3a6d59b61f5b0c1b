"""What every reader of media files shares: names, checks, and one way to open a file without following it elsewhere."""

from __future__ import annotations

import errno
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal
from urllib.parse import unquote, urlsplit

from affectlake.data._standing import other
from affectlake.data.errors import BadMedia
from affectlake.data.remote.addresses import redacted

if TYPE_CHECKING:
    from av.container import InputContainer

# What a name promises, for tables and folders that say nothing else of a file; readers look at the content alone.
AUDIO = (
    *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".mp3", ".mp2", ".ogg", ".oga", ".opus", ".spx"),
    *(".m4a", ".m4b", ".aac", ".ac3", ".eac3", ".wma", ".amr", ".awb", ".3ga", ".mka", ".weba"),
    *(".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".sph", ".voc", ".gsm", ".ape", ".tta", ".wv"),
)
VIDEO = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".flv", ".f4v", ".mpg", ".mpeg", ".vob"),
    *(".ts", ".mts", ".m2ts", ".wmv", ".asf", ".ogv", ".dv", ".mxf"),
)
IMAGE = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"),
    *(".pgm", ".ppm", ".pbm", ".pnm", ".heic", ".heif", ".avif", ".jp2"),
)

Kind = Literal["audio", "image", "video"]
SUFFIXES: dict[Kind, tuple[str, ...]] = {"audio": AUDIO, "image": IMAGE, "video": VIDEO}

# FFmpeg also reads playlists, lists of files to join, sequences of numbered pictures, scripts and screens. None of
# these holds what was recorded: they name other files or addresses, so only what is listed here is opened.
_FORMATS = (
    "3g2 3gp aac ac3 ac4 act adx aea aiff amr amrnb amrwb ape apng apv asf asf_o ast au av1 avi avr avs2 avs3 bink "
    "binka bmp_pipe bonk caf cavsvideo codec2 dds_pipe dhav dirac dnxhd dpx_pipe dsf dss dts dtshd dv eac3 epaf evc "
    "exr_pipe film_cpk flac flic flv gif gif_pipe gsm gxf h261 h263 h264 hca hcom hdr_pipe hevc iamf ico iff ilbc "
    "ircam ivf j2k_pipe jpeg_pipe jpegls_pipe jpegxl_anim jpegxl_pipe jpegxs_pipe kux laf lc3 live_flv loas lxf m4v "
    "matroska mjpeg mlp mov mp3 mp4 mpc mpc8 mpeg mpegts mpegvideo mpjpeg mtv mxf nistsphere nsv nut nuv obu ogg "
    "oma osq paf pam_pipe pbm_pipe pcx_pipe pfm_pipe pgm_pipe pgmyuv_pipe png_pipe ppm_pipe psd_pipe pva pvf qcp "
    "qoa qoi_pipe rka rm roq rso sbc sds sgi_pipe shn smjpeg smk sol sox spdif sunrast_pipe svs swf tak thp "
    "tiff_pipe truehd tta vc1 vc1test vivo voc vqf vvc w64 wav wavarc webm webp_pipe wsd wtv wv wve xa xbm_pipe "
    "xpm_pipe xwd_pipe xwma yuv4mpegpipe"
)

MAX_PIXELS = 40_000_000
"""Of a frame that FFmpeg may decode, which it does while it opens a file already; 8K has 35 million."""

_OPTIONS = {
    "format_whitelist": _FORMATS.replace(" ", ","),
    "protocol_whitelist": "none",
    "max_pixels": str(MAX_PIXELS),
}
_LIST = re.compile(
    rb"#EXTM3U|ffconcat |\[playlist\]|v=0\r?\n|(<\?xml[^>]*>\s*)?<(MPD|smil|asx|playlist)\b", re.IGNORECASE
)
_PICTURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|BM.{4}\0{4}|RIFF.{4}WEBP|II[*+]\0|MM\0[*+]|P[1-7][ \t\r\n#]"
    rb"|.{4}ftyp(hei[cxms]|he[vx][cxms]|mif1|msf1|avi[fs])|\0\0\0\x0cjP  |\xff\x4f\xff\x51|\0\0\0\x0cJXL |\xff\x0a",
    re.DOTALL,
)
_BUFFER = 1 << 16  # bytes that FFmpeg asks for at a time
_PROBED = 200 << 20  # bytes that are read to find out what a file holds: a few frames, and lists and fonts before them
_AT_ONCE = 1 << 20  # bytes
_SPARSE = 1 << 26  # bytes from which a file must be there: an endless one of zeros takes no room on the disk


POINTER = b"version https://git-lfs.github.com/spec/"
"""What a file begins with that Git LFS has not fetched."""


def local_name(uri: str) -> str | None:
    """What a local address calls a file, letter for letter; None for an address on another system."""
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    # A name need not be UTF-8: its bytes come back as they went in.
    return unquote(parts.path, errors="surrogateescape") if parts.scheme == "file" else None


def local_path(uri: str | Path) -> Path:
    """Path behind a local address; raises BadMedia for an address on another system."""
    name = local_name(str(uri))
    if name is None:
        raise BadMedia(
            f"cannot read {redacted(str(uri))!r} here: what is elsewhere is fetched first (affectlake.data.remote), "
            "from s3://, gs://, az:// or https://"
        )
    return Path(name)


def shown(path: Path) -> str:
    """Name of a file for messages: what is not UTF-8 in it is escaped."""
    return path.name.encode("utf-8", "backslashreplace").decode()


def check_segment(path: Path, start: float | None, end: float | None) -> None:
    """Raises BadMedia where a segment is none."""
    for name, value in (("start", start), ("end", end)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise BadMedia(f"{shown(path)}: {name}={value} is not a time in seconds >= 0")
    if start is not None and end is not None and start >= end:
        raise BadMedia(f"{shown(path)}: segment starts at {start} s but ends at {end} s")


def descriptor(file: BinaryIO) -> int | None:
    """The number by which the system knows an open file; None where it knows nothing of it."""
    try:
        return file.fileno()
    except OSError:
        return None


def open_file(path: Path) -> BinaryIO:
    """An ordinary file, open for reading.

    Raises
    ------
    BadMedia
        There is none, it may not be read, it is empty, or it is a folder, pipe, device or socket.
    """
    if meant := other(path):
        return meant()
    try:
        # Opening a pipe waits for its writer or wakes it, and opening a device may do anything.
        _check(path, os.stat(path))
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise BadMedia(f"{_whole(path)}: no such file") from None
    except (OSError, ValueError) as error:
        # A socket cannot be opened at all.
        raise BadMedia(f"{shown(path)}: cannot be opened ({reason(error)})") from None
    try:
        _check(path, os.fstat(descriptor))
        head = os.read(descriptor, len(POINTER))
        os.lseek(descriptor, 0, os.SEEK_SET)
        if head == POINTER:
            raise BadMedia(f"{shown(path)} is a Git LFS pointer, not the file itself: git lfs pull fetches it")
        return open(descriptor, "rb", buffering=_BUFFER)
    except BaseException:
        os.close(descriptor)
        raise


def check_file(path: Path) -> None:
    """Raises what `open_file` would, without opening the file."""
    if other(path):
        return
    try:
        _check(path, path.stat())
    except (FileNotFoundError, NotADirectoryError):
        raise BadMedia(f"{_whole(path)}: no such file") from None
    except (OSError, ValueError) as error:
        raise BadMedia(f"{shown(path)}: cannot be opened ({reason(error)})") from None


def _whole(path: Path) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode()


_STRANGE = "something special"
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def special(path: Path) -> str:
    """What lies at a path if it is no file: ``a pipe``, ``a folder``, …; empty for files and where nothing is."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return ""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), _STRANGE)


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise BadMedia(f"{shown(path)}: {_KINDS.get(stat.S_IFMT(found.st_mode), _STRANGE)}, not a file")
    if found.st_size == 0:
        raise BadMedia(f"{shown(path)}: file is empty (0 bytes)")
    held = getattr(found, "st_blocks", math.inf) * 512
    if found.st_size > _SPARSE and held < found.st_size / 100:
        raise BadMedia(f"{shown(path)}: says {found.st_size >> 20} MB, of which {int(held) >> 20} MB are on the disk")


@contextmanager
def open_container(path: Path, file: BinaryIO | None = None) -> Iterator[InputContainer]:
    """A file of sound or pictures, opened by FFmpeg (PyAV); ``file`` is what to read in its stead.

    FFmpeg is handed the open file, never its name, and only formats that hold what was recorded: a name with ``%d`` is
    no sequence of pictures, a playlist is not followed, nothing is fetched from anywhere.

    Raises
    ------
    BadMedia
        As `open_file`, or it is a list of other files.
    av.FFmpegError, ValueError
        FFmpeg does not know what it is.
    """
    import av

    with nullcontext(file) if file is not None else open_file(path) as file:
        head = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n")
        if _LIST.match(head):
            raise BadMedia(f"{shown(path)}: a list of other files, which is not followed; name those files instead")
        file.seek(0)
        handed = _Handed(path, file)
        with av.open(handed, mode="r", options=_OPTIONS, buffer_size=_BUFFER, metadata_errors="replace") as container:
            handed.left = math.inf
            yield container


class _Handed:
    """A file as FFmpeg wants it: without a name, and a jump out of the file is an answer, not an exception.

    What is read until the file is open, before anyone can look at sizes, is bounded.
    """

    def __init__(self, path: Path, file: BinaryIO):
        self.path, self.left = path, float(_PROBED)
        self.tell, self._read, self._seek = file.tell, file.read, file.seek

    def read(self, size: int) -> bytes:
        # FFmpeg asks for a whole frame at once, as large as its header says.
        found = self._read(min(size, _AT_ONCE))
        self.left -= len(found)
        if self.left < 0:
            raise BadMedia(f"{shown(self.path)}: no frame within the first {_PROBED >> 20} MB, or a larger one")
        return found

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            # PyAV would print a traceback and go on; FFmpeg's own files answer with the negative error.
            return -errno.EINVAL


def tracks(container: InputContainer, kind: Literal["audio", "video"]) -> list[Any]:
    """Its streams of sound or of moving pictures, without cover art; the one that players choose comes first."""
    import av

    # FFmpeg takes any text for the drawing of a text terminal; what has no decoder cannot be read.
    found = [
        s
        for s in container.streams
        if s.type == kind
        and s.codec_context is not None
        and s.codec_context.name != "ansi"
        and not s.disposition & av.stream.Disposition.attached_pic
    ]
    return sorted(found, key=lambda s: not s.disposition & av.stream.Disposition.default)


def zero(container: InputContainer) -> float:
    """Seconds on the container's own clock at which its recording begins: the one zero for its sound and picture.

    A segment's ``start`` counts from here, so frame times minus this are comparable between tracks. It is where the
    earliest track begins (transport streams begin anywhere, often at 1.4 s), and 0 where that is earlier: what comes
    before 0 is what encoders put there to settle.
    """
    starts = [
        float(s.start_time * s.time_base)
        for kind in ("audio", "video")
        for s in tracks(container, kind)
        if s.start_time is not None
    ]
    if container.format.name == "mpegts":
        starts = [s - WRAP if s - min(starts) > WRAP / 2 else s for s in starts]
    first = min(starts, default=0.0)
    return 0.0 if -_PRIMING < first < 0 else first


_PRIMING = 0.2  # s
WRAP = 2**33 / 90_000
"""Seconds after which the clock of a transport stream begins anew; what lies before its zero counts from there."""


def kind_of(path: Path) -> Kind | None:
    """What a file or folder holds, by its content; None where nothing tells. A folder is a film's frames."""
    import av

    if os.path.isdir(path):  # unlike the path's own, no error where a name is too long or a folder closed
        return "video"
    try:
        with open_file(path) as file:
            if is_picture(file.read(32)):
                return "image"
        with open_container(path) as container:
            return "video" if tracks(container, "video") else "audio" if tracks(container, "audio") else None
    except (BadMedia, av.FFmpegError, ValueError):
        return None


def is_picture(head: bytes) -> bool:
    """Whether a file that begins like this (32 bytes) is a picture, of one or more frames; its name says nothing."""
    return _PICTURE.match(head) is not None


def reason(error: Exception) -> str:
    """What a decoder says, on one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split()).rstrip(".")
