"""Hostile media and manifests, made here, read as a worker reads them: `python benchmarks/hostile.py`.

Each is read in a process of its own with a worker's limit of memory. A row tells how it ended, the most memory that the
process took beyond what it had imported, the seconds, and the reason that was given. Below the table: how many ended
otherwise than by being read or refused, or took 1 GiB or more.
"""

import gzip
import io
import os
import signal
import struct
import sys
import tempfile
import time
import wave
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from PIL import Image

from affectlake.data.errors import AffectlakeError
from affectlake.data.manifest import load_manifest
from affectlake.data.pictures import read_frames, read_image
from affectlake.data.sound import read_audio
from affectlake.features._guard import limit_memory

SECONDS = 60
MOST = 1 << 30

Read = Callable[[Path], object]


def read_manifest(path: Path) -> object:
    return load_manifest(path, "d")


@dataclass(frozen=True)
class Ending:
    """How a read ended: ``read``, ``refused``, ``raw`` (another exception), ``hung`` or ``died``."""

    how: str
    reason: str
    peak: int
    seconds: float


# Files ---------------------------------------------------------------------------------------------------------------


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, bits: int = 16) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, 6, 0, 0, 0)
    data = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def picture(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, kind, **options)
    return file.getvalue()


def jpeg(before: bytes = b"") -> bytes:
    """One that says 14000x14000, with something before that."""
    raw = picture("JPEG", progressive=True)
    at = raw.index(b"\xff\xc2")
    return raw[:at] + before + raw[at : at + 5] + struct.pack(">HH", 14_000, 14_000) + raw[at + 9 :]


def gif(width: int, first: int) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, width, 0) + b"\x02\x02\x44\x01\0;"
    return b"GIF89a" + struct.pack("<HHBBB", first, first, 128, 0, 0) + b"\0\0\0\xff\xff\xff" + frame


def tiff(width: int, tile: int | None = None) -> bytes:
    tags = [(256, width), (257, width), (258, 16), (259, 1), (262, 1), (277, 1)]
    tags += [(322, tile), (323, tile), (324, 200), (325, 99)] if tile else [(273, 200), (278, width), (279, 99)]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return (b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(4)).ljust(400, b"\0")


def webp() -> bytes:
    raw = picture("WEBP", lossless=True)
    at = raw.index(b"VP8L") + 9
    return raw[:at] + struct.pack("<I", 16_382 | 16_382 << 14) + raw[at + 4 :]


def bmp() -> bytes:
    raw = bytearray(picture("BMP"))
    raw[18:26] = struct.pack("<ii", 30_000, 30_000)
    return bytes(raw)


def film(codec: str, form: str, pixels: str, width: int, height: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=form) as out:
        stream = out.add_stream(codec, rate=Fraction(5), width=width, height=height, pix_fmt=pixels)
        frame = av.VideoFrame(width, height, pixels)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        out.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def sound(kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(16_000, np.float32), 16_000, format=kind)
    return file.getvalue()


def wav(channels: int = 1, rate: int = 16_000, size: int = 0x7FFFFFF0) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(bytes(32_000))
    raw = bytearray(file.getvalue())
    raw[22:28], raw[40:44] = struct.pack("<HI", channels, rate), struct.pack("<I", size)
    return bytes(raw)


def flac(samples: int = (1 << 36) - 1, rate: int = 16_000) -> bytes:
    raw = bytearray(sound("FLAC"))
    word = int.from_bytes(raw[18:26], "big")
    word = rate << 44 | word >> 36 << 36 & ((1 << 44) - 1) | samples
    raw[18:26] = word.to_bytes(8, "big")
    return bytes(raw)


def mp3(frames: int) -> bytes:
    raw = sound("MP3")
    for mark in (b"Xing", b"Info"):
        if (at := raw.find(mark)) >= 0:
            return raw[: at + 8] + struct.pack(">I", frames) + raw[at + 12 :]
    return b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + raw


def media() -> dict[str, tuple[str, bytes]]:
    """Name of each file, and what is in it."""
    files = {
        "GIF of 35 bytes, 65535x65535": ("a.gif", gif(65_535, 65_535)),
        "GIF that grows": ("grows.gif", gif(65_535, 9)),
        "FFV1, 7900x7900 of 16 bits": ("a.mkv", film("ffv1", "matroska", "gbrp16le", 7900, 7900)),
        "FFV1, 16000x4000": ("wide.mkv", film("ffv1", "matroska", "yuv420p", 16_000, 4000)),
        "PNG in MOV, 8000x8000": ("a.mov", film("png", "mov", "rgb24", 8000, 8000)),
        "PNG in MOV, 7000x5000 of 16 bits": ("deep.mov", film("png", "mov", "rgba64be", 7000, 5000)),
        "JPEG, 14000x14000": ("a.jpg", jpeg()),
        "JPEG, garbage before its marker": ("garbage.jpg", jpeg(b"\x12\x34 garbage" * 9)),
        "JPEG, fill bytes before its marker": ("fill.jpg", jpeg(b"\xff" * 99)),
        "JPEG called %d.jpg": ("%d.jpg", jpeg()),
        "JPEG called frame%03d.png": ("frame%03d.png", jpeg(b"\x12\x34 garbage" * 9)),
        "PNG, 30000x30000 of 16 bits": ("a.png", png(30_000, 30_000)),
        "PNG, 2147483647x1": ("line.png", png(2**31 - 1, 1)),
        "PNG called %d.png": ("%d.png", png(30_000, 30_000)),
        "TIFF, 60000x60000": ("a.tif", tiff(60_000)),
        "TIFF, a tile of 3 GB": ("tile.tif", tiff(64, 40_000)),
        "WebP, 16383x16383": ("a.webp", webp()),
        "BMP, 30000x30000": ("a.bmp", bmp()),
        "PPM, 60000x60000": ("a.ppm", b"P6 60000 60000 255 " + bytes(99)),
        "WAV, says 2 GB": ("a.wav", wav()),
        "WAV, 65535 channels": ("channels.wav", wav(channels=65_535)),
        "WAV, 4294967295 Hz": ("rate.wav", wav(rate=2**32 - 1)),
        "WAV, 1 Hz": ("slow.wav", wav(rate=1)),
        "FLAC, says 2^36 samples": ("a.flac", flac()),
        "FLAC, 1 Hz": ("slow.flac", flac(rate=1)),
        "MP3, says 2^32 frames": ("a.mp3", mp3(2**32 - 1)),
        "MP3, a tag of 256 MB": ("tag.mp3", b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + sound("MP3")),
        "Ogg, cut in its header": ("a.ogg", sound("OGG")[:60]),
        "SVG": ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg' width='1e9' height='1e9'/>"),
    }
    lists = {"m3u8": b"#EXTM3U\n#EXTINF:1,\n../../etc/hosts\n", "ffconcat": b"ffconcat version 1.0\nfile /etc/hosts\n"}
    for kind, content in lists.items():
        files |= {f"{kind} called {name}": (name, content) for name in (f"{kind}.mp4", f"{kind}.wav", f"{kind}.png")}
    return files


def parquet_bomb() -> bytes:
    """Two columns of two billion characters each, all rows the same."""
    word = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2_000_000, np.int32)), pa.array(["x" * 1000]))
    file = io.BytesIO()
    pq.write_table(pa.table({"sample_id": word, "text": word}), file, compression="zstd")
    return file.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(name, content)
    return file.getvalue()


def workbook_bomb() -> bytes:
    """A sheet that unpacks to 600 MB."""
    main, made = "http://schemas.openxmlformats.org/spreadsheetml/2006/main", "http://schemas.openxmlformats.org"
    of = f"{made}/officeDocument/2006/relationships"
    link = (
        f'<Relationships xmlns="{made}/package/2006/relationships"><Relationship Id="r1" Type="{of}/%s" Target="%s"/>'
    )
    sheet = b"<row><c t='inlineStr'><is><t>sample_id</t></is></c></row>" + b"<row/>" * 100_000_000
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("[Content_Types].xml", f'<Types xmlns="{made}/package/2006/content-types"></Types>')
        out.writestr("_rels/.rels", link % ("officeDocument", "xl/workbook.xml") + "</Relationships>")
        out.writestr("xl/_rels/workbook.xml.rels", link % ("worksheet", "worksheets/sheet1.xml") + "</Relationships>")
        sheets = '<sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets>'
        book = f'<workbook xmlns="{main}" xmlns:r="{of}">{sheets}</workbook>'
        out.writestr("xl/workbook.xml", book)
        whole = f'<worksheet xmlns="{main}"><sheetData>'.encode() + sheet + b"</sheetData></worksheet>"
        out.writestr("xl/worksheets/sheet1.xml", whole)
    return file.getvalue()


def manifests() -> dict[str, tuple[str, bytes]]:
    many = [f"c{i}" for i in range(100_000)]
    wide = pa.table({"sample_id": ["a"], "text": ["x"]} | {c: [1] for c in many})
    file = io.BytesIO()
    pq.write_table(wide, file)
    row = b"a," + b"x" * 1000 + b"\n"
    return {
        "CSV, 1e5 columns": ("wide.csv", ",".join(["sample_id", *many]).encode() + b"\n" + b"1," * 100_000 + b"1\n"),
        "Parquet, 1e5 columns": ("wide.parquet", file.getvalue()),
        "Parquet, 4 GB of text": ("bomb.parquet", parquet_bomb()),
        "gzip, 600 MB": ("bomb.csv.gz", gzip.compress(b"sample_id,text\n" + row * 600_000)),
        "zip, 600 MB": ("bomb.zip", zipped("m.csv", b"sample_id,text\n" + row * 600_000)),
        "xlsx, 600 MB": ("bomb.xlsx", workbook_bomb()),
    }


def special(folder: Path) -> dict[str, Path]:
    """Files that are none."""
    paths = {
        n: folder / f for n, f in (("FIFO", "pipe.wav"), ("link to a device", "zero.png"), ("link loop", "loop.mp4"))
    }
    os.mkfifo(paths["FIFO"])
    paths["link to a device"].symlink_to("/dev/zero")
    paths["link loop"].symlink_to(paths["link loop"])
    paths["sparse file of 1 TiB"] = folder / "sparse.wav"
    with open(paths["sparse file of 1 TiB"], "wb") as file:
        file.truncate(1 << 40)
    return paths


# Reading -------------------------------------------------------------------------------------------------------------


def memory(what: str) -> int:
    """Bytes that this process has now (VmRSS) or had at most (VmHWM)."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(what))
    return int(line.split()[1]) << 10


def attempt(read: Read, path: Path) -> tuple[str, str]:
    try:
        read(path)
        return "read", ""
    except AffectlakeError as error:
        return "refused", str(error)
    except Exception as error:  # whatever a decoder may raise
        return "raw", f"{type(error).__name__}: {error}"


def in_child(read: Read, path: Path, out: int) -> None:
    limit_memory()
    signal.alarm(SECONDS)  # ends the process, whatever it is doing
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is what there is now
    how, reason = attempt(read, path)
    os.write(out, f"{how}\n{max(0, memory('VmHWM') - before)}\n{' '.join(reason.split())[:300]}".encode())


def ending(read: Read, path: Path) -> Ending:
    """Read a file in a process of its own."""
    reader, out = os.pipe()
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            in_child(read, path, out)
        finally:
            os._exit(0)
    os.close(out)
    with open(reader, "rb") as said:
        how, _, rest = said.read().decode().partition("\n")
    _, status = os.waitpid(pid, 0)
    seconds = time.monotonic() - start
    if not how:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return Ending("hung" if number == signal.SIGALRM else "died", f"signal {number}", 0, seconds)
    peak, _, reason = rest.partition("\n")
    return Ending(how, reason, int(peak), seconds)


def readers(name: str) -> list[Read]:
    kind = Path(name).suffix
    if kind in (".wav", ".flac", ".mp3", ".ogg"):
        return [read_audio]
    return [read_image, read_frames, *([read_audio] if kind in (".mp4", ".mkv", ".mov") else [])]


def made(folder: Path) -> list[tuple[str, Path, list[Read]]]:
    """Write all files; each with its readers."""
    found = [
        (name, folder / file, readers(file))
        for name, (file, content) in media().items()
        if written(folder / file, content)
    ]
    every: list[Read] = [read_audio, read_image, read_frames, read_manifest]
    found += [(name, path, every) for name, path in special(folder).items()]
    tables = manifests().items()
    return found + [
        (name, folder / file, [read_manifest]) for name, (file, content) in tables if written(folder / file, content)
    ]


def written(path: Path, content: bytes) -> bool:
    return path.write_bytes(content) > 0


def main() -> None:
    print("| file | bytes | by | outcome | MiB | s | reason |\n|---|---|---|---|---|---|---|")
    tried = bad = 0
    with tempfile.TemporaryDirectory() as folder:
        with get_context("fork").Pool(1) as pool:  # what making them takes is no memory that a reader finds
            files = pool.apply(made, [Path(folder)])
        for name, path, every in files:
            size = path.lstat().st_size
            for read in every:
                end = ending(read, path)
                tried += 1
                bad += end.how not in ("read", "refused") or end.peak >= MOST
                reason = end.reason.replace(folder, "").replace("|", " ")[:100]
                row = (name, size, read.__name__, end.how, end.peak >> 20, f"{end.seconds:.1f}", reason)
                print("| " + " | ".join(map(str, row)) + " |", flush=True)
    print(f"\n{tried} reads, {bad} of them neither read nor refused below {MOST >> 20} MiB")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
