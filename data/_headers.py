"""Sound files that state in a header where their samples are and how many: what it says, and what is there.

Recorders write the size last, so that a crash leaves 0 or the largest number; some count a few bytes too many; copies
stop half-way; files are joined end to end. Decoders believe the header, so it is read here first.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from affectlake.data._raw import Positioned

_NEGLIGIBLE = 0.02  # s that may be missing, or left over, without a word: sizes are often wrong by a header's length
_LEAST = 64  # bytes that are as negligible
_HEAD = 1 << 16  # bytes in which the header of one part ends
_MOST_PARTS = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """One sound inside a file; most files are one.

    Attributes
    ----------
    begins, at, ends : int
        Bytes of the file: of its header, of its first sample, after its last sample that is there.
    missing : int
        Bytes of samples that are stated and not there.
    per_second : float
        Bytes; 0 where they say nothing of time.
    patches : tuple of (int, bytes)
        What the header must say so that a decoder reads all samples and no more: position in file, bytes.
    intact : bool
        It says so already, and the file is this part alone.
    """

    begins: int
    at: int
    ends: int
    missing: int
    per_second: float
    patches: tuple[tuple[int, bytes], ...]
    intact: bool

    @property
    def lacks(self) -> bool:
        """Whether more is missing than a careless writer counts too many."""
        return self.missing > max(_LEAST, _NEGLIGIBLE * self.per_second)


@dataclass(frozen=True, slots=True)
class _Stated:
    at: int
    size: int | None  # None: the writer never said
    per_second: float
    fields: tuple[tuple[int, str, int], ...]  # position, struct format, what is added to the bytes of samples
    chunks: str = ""  # struct format of the sizes in what follows; empty where nothing may follow
    frames: tuple[int, str, int] | None = None  # position, struct format, bytes per frame


def parts(file: BinaryIO) -> list[Part]:
    """The sounds that are joined in a file, in order; empty where it is of another kind."""
    total = file.seek(0, os.SEEK_END)
    file.seek(0)
    magic = file.read(8)
    file.seek(0)
    if magic[:4] in _WHOLE:
        return _joined(file, magic if magic[:4] == b"fLaC" else magic[:4], total)
    found: list[Part] = []
    at = 0
    while at < total and len(found) < _MOST_PARTS:
        file.seek(at)
        head = file.read(_HEAD)
        read = _READERS.get(head[:4])
        stated = None
        with contextlib.suppress(struct.error, ValueError, OverflowError):  # what is broken, decoders judge
            stated = read(head, file, at, total) if read else None
        if stated is None or not stated.per_second > 0:
            break
        part = _measured(stated, file, at, total)
        found.append(part)
        at = _next(file, part, total)
    file.seek(0)
    return found if len(found) < 2 else [replace(part, intact=False) for part in found]


_WHOLE = (b"fLaC", b"TTA1")  # begin a file and nothing else, and say nothing of its bytes


def _joined(file: BinaryIO, magic: bytes, total: int) -> list[Part]:
    at: list[int] = []
    begin, kept = 0, b""
    while read := file.read(1 << 20):
        block = kept + read
        at += [begin - len(kept) + found.start() for found in re.finditer(re.escape(magic), block)]
        begin, kept = begin + len(read), block[1 - len(magic) :]
    file.seek(0)
    return [Part(a, a, b, 0, 0.0, (), False) for a, b in zip(at, [*at[1:], total], strict=True)] if len(at) > 1 else []


def _measured(stated: _Stated, file: BinaryIO, begins: int, total: int) -> Part:
    available = total - stated.at
    size = available if stated.size is None else min(stated.size, available)
    left = available - size
    if stated.size is None and _read(file, stated.at, 4).lower() in _CHUNKS:
        size = 0
    elif left > max(_LEAST, _NEGLIGIBLE * stated.per_second) and not _known(stated, file, stated.at + size, total):
        size = available
    patches = tuple((at, struct.pack(form, _fitting(form, size + more))) for at, form, more in stated.fields)
    if stated.frames:
        at, form, width = stated.frames
        patches += ((at, struct.pack(form, _fitting(form, size // width))),)
    missing = 0 if stated.size is None else max(0, stated.size - available)
    intact = begins == 0 and all(_read(file, at, len(new)) == new for at, new in patches)
    return Part(begins, stated.at, stated.at + size, missing, stated.per_second, patches, intact)


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _fitting(form: str, value: int) -> int:
    return min(value, (1 << 8 * struct.calcsize(form)) - 1)


def _known(stated: _Stated, file: BinaryIO, at: int, total: int) -> bool:
    """Whether what follows the samples is something else than samples."""
    file.seek(at)
    head = file.read(_HEAD)
    for skip in (0, 1):  # a chunk of odd length should be filled up, and often is not
        name = head[skip : skip + 4]
        if (
            name in _READERS
            or name.lower() in _CHUNKS
            or name[:3] in (b"TAG", b"ID3")
            or head[skip:][:8] == b"APETAGEX"
        ):
            return True
        if stated.chunks and re.fullmatch(rb"[A-Za-z_][A-Za-z0-9_ ]{3}", name):
            size = struct.unpack_from(stated.chunks, head[skip + 4 :].ljust(8, b"\xff"))[0]
            if at + skip + 4 + struct.calcsize(stated.chunks) + size <= total:
                return True
    return not head.strip(b"\0") and total - at <= _HEAD


# In lower case.
_CHUNKS = frozenset(
    (
        b"list id3  bext cue  smpl fact peak junk pad  ixml cart inst plst axml chna umid disp acid levl afsp _pmx "
        b"fllr anno auth name mark comt appl midi basc trns info free edct strg uuid comm (c)  note"
    )[i : i + 4]
    for i in range(0, 5 * 39, 5)
)


def _next(file: BinaryIO, part: Part, total: int) -> int:
    """Where another sound begins after this one; the end of the file where none does."""
    file.seek(part.ends)
    follows = file.read(1 << 20)
    # The second of two files that were joined begins right after the first, or after its last chunks.
    found = _BEGINS.search(follows)
    return part.ends + found.start() if found else total


_BEGINS = re.compile(
    rb"RIFF.{4}WAVEfmt |RIFX.{4}WAVE|(RF|BW)64.{4}WAVE|riff\x2e\x91\xcf\x11|FORM.{4}AIF[FC]|caff\x00\x01|NIST_1A\n"
    rb"|\.snd\x00",
    re.DOTALL,
)


def _riff(head: bytes, file: BinaryIO, begins: int, total: int) -> _Stated | None:
    if head[8:12] != b"WAVE":
        return None
    order = ">" if head[:4] == b"RIFX" else "<"
    at, width, per_second, long = 12, 0, 0.0, None
    while at + 8 <= len(head):
        name, size = struct.unpack_from(f"{order}4sI", head, at)
        if name == b"ds64":
            long = (begins + at + 16, struct.unpack_from("<Q", head, at + 16)[0])
        elif name == b"fmt ":
            tag, channels, rate, average, width, bits = struct.unpack_from(f"{order}HHIIHH", head, at + 8)
            width = width or channels * (bits + 7) // 8
            # The average is what compressed codecs are counted by, and nonsense in many files of the others.
            per_second = float(width * rate if tag in (1, 3, 6, 7, 0xFFFE) else average)
        elif name == b"data":
            samples = begins + at + 8
            if long is not None and head[:4] != b"RIFF":
                # A recorder that died leaves the long size as it was at first, 0 or the largest number.
                stated = long[1] if 0 < long[1] < 1 << 62 else None
                return _Stated(samples, stated, per_second, ((long[0], "<Q", 0),), "<I")
            # Whoever writes to a pipe cannot know the size and leaves 0 or a value near 2^31 or 2^32.
            known = 0 < size < 0x7FFFF000
            if not known and size and samples + size <= total:
                known = True
            if not size and total - samples <= 8:
                known = True  # a file of no samples at all
            return _Stated(
                samples, size if known else None, per_second, ((begins + at + 4, f"{order}I", 0),), f"{order}I"
            )
        at += 8 + size + size % 2
    return None


_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


def _w64(head: bytes, file: BinaryIO, begins: int, total: int) -> _Stated | None:
    at, per_second = 40, 0.0
    while at + 24 <= len(head):
        size = struct.unpack_from("<Q", head, at + 16)[0]
        if head[at : at + 4] == b"fmt ":
            tag, _, rate, average, width = struct.unpack_from("<HHIIH", head, at + 24)
            per_second = float(width * rate if tag in (1, 3, 6, 7, 0xFFFE) else average)
        elif head[at : at + 16] == _W64_DATA:
            stated = size - 24 if 24 < size < 1 << 62 else None
            return _Stated(begins + at + 24, stated, per_second, ((begins + at + 16, "<Q", 24),))
        at += max(24, (size + 7) // 8 * 8)
    return None


def _aiff(head: bytes, file: BinaryIO, begins: int, total: int) -> _Stated | None:
    if head[8:12] not in (b"AIFF", b"AIFC"):
        return None
    at, width, rate, frames, count = 12, 0, 0.0, None, 0
    while at + 8 <= len(head):
        name, size = struct.unpack_from(">4sI", head, at)
        if name == b"COMM":
            channels, count, bits, exponent, mantissa = struct.unpack_from(">HIHHQ", head, at + 8)
            rate = mantissa * 2.0 ** ((exponent & 0x7FFF) - 16383 - 63)
            kind = head[at + 26 : at + 30] if head[8:12] == b"AIFC" else b"NONE"
            if kind not in (
                b"NONE",
                b"sowt",
                b"twos",
                b"fl32",
                b"FL32",
                b"fl64",
                b"FL64",
                b"alaw",
                b"ulaw",
                b"ALAW",
                b"ULAW",
            ):
                return None
            width = channels * ({b"al": 1, b"ul": 1}.get(kind[:2].lower()) or (bits + 7) // 8)
            frames = (begins + at + 10, ">I", width)
        elif name == b"SSND":
            offset = struct.unpack_from(">I", head, at + 8)[0]
            samples = begins + at + 16 + offset
            # Two places state the length; the frames decide where the recorder wrote only one of them.
            known = 8 < size < 0xFFFFFF00
            stated = size - 8 - offset if known else count * width if 0 < count < 0xFFFFFF00 else None
            if not known and not count and total - samples <= 8:
                stated = 0
            if known and width and count * width > size - 8 - offset and count < 0xFFFFFF00:
                stated = count * width
            return _Stated(samples, stated, width * rate, ((begins + at + 4, ">I", 8 + offset),), ">I", frames)
        at += 8 + size + size % 2
    return None


_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}


def _au(head: bytes, file: BinaryIO, begins: int, total: int) -> _Stated | None:
    order = ">" if head[:4] == b".snd" else "<"
    offset, size, coding, rate, channels = struct.unpack_from(f"{order}IIIII", head, 4)
    if coding not in _AU_BYTES:
        return None
    samples = begins + offset
    # The format's own word for an unknown length is the largest number.
    stated = size if 0 < size < 0xFFFFFF00 or total - samples <= 8 else None
    return _Stated(samples, stated, float(_AU_BYTES[coding] * rate * channels), ((begins + 8, f"{order}I", 0),))


def _caf(head: bytes, file: BinaryIO, begins: int, total: int) -> _Stated | None:
    at, per_second = 8, 0.0
    while at + 12 <= len(head):
        name, size = struct.unpack_from(">4sQ", head, at)
        if name == b"desc":
            rate, kind, _, packet, frames = struct.unpack_from(">d4sIII", head, at + 12)
            if kind not in (b"lpcm", b"alaw", b"ulaw"):
                return None
            per_second = packet / max(1, frames) * rate
        elif name == b"data":
            samples = begins + at + 16
            stated = size - 4 if 4 < size < 1 << 62 or total - samples <= 8 else None
            return _Stated(samples, stated, per_second, ((begins + at + 4, ">Q", 4),), ">Q")
        at += 12 + size
    return None


def _sphere(head: bytes, file: BinaryIO, begins: int, total: int) -> _Stated | None:
    if not head.startswith(b"NIST_1A\n"):
        return None
    length = int(head[8:16])
    fields = {m[1]: m[2] for m in re.finditer(rb"^(\w+) -\S+ (\S+)", head[:length], re.MULTILINE)}
    if fields.get(b"sample_coding", b"pcm").split(b",")[0] not in (b"pcm", b"ulaw", b"alaw", b"mu-law"):
        return None
    if b"," in fields.get(b"sample_coding", b""):
        return None  # packed by shorten: bytes say nothing of time
    width = int(fields.get(b"sample_n_bytes", b"1")) * int(fields.get(b"channel_count", b"1"))
    count = int(fields.get(b"sample_count", b"0"))
    stated = count * width if 0 < count < 0xFFFFFF00 else None
    return _Stated(begins + length, stated, float(width * int(fields[b"sample_rate"])), ())


_READERS: dict[bytes, Callable[[bytes, BinaryIO, int, int], _Stated | None]] = {
    b"RIFF": _riff,
    b"RIFX": _riff,
    b"RF64": _riff,
    b"BW64": _riff,
    b"riff": _w64,
    b"FORM": _aiff,
    b".snd": _au,
    b"dns.": _au,
    b"caff": _caf,
    b"NIST": _sphere,
}


class PartFile(Positioned):
    """One part of a file as a file of its own, with its header put right."""

    def __init__(self, file: BinaryIO, part: Part):
        super().__init__(part.ends - part.begins)
        self._file, self._part = file, part

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        begin = self._part.begins + self.position
        self._file.seek(begin)
        data = bytearray(self._file.read(max(0, min(len(buffer), self.size - self.position))))
        for at, new in self._part.patches:
            for i, byte in enumerate(new, at - begin):
                if 0 <= i < len(data):
                    data[i] = byte
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)


def pages_are_whole(file: BinaryIO) -> bool:
    """Whether an Ogg file ends with a whole page: a recorder stops at any, a copy that stops leaves a part of one."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - (1 << 17)))
    tail = file.read()
    file.seek(0)
    for found in reversed(list(re.finditer(b"OggS", tail))):
        page = tail[found.start() :]
        if len(page) < 27:
            return False
        table = page[27 : 27 + page[26]]
        length = 27 + len(table) + sum(table)
        return len(table) == page[26] and len(page) >= length
    return False


def _frames_of_mp3(head: bytes) -> Iterator[tuple[int, int]]:
    for found in re.finditer(rb"Xing|Info", head):
        flags, frames = struct.unpack_from(">II", head[found.start() + 4 :].ljust(8, b"\0"))
        if flags & 1 and flags < 16:
            yield found.start(), frames
    for found in re.finditer(rb"VBRI", head):
        yield found.start(), struct.unpack_from(">I", head[found.start() + 14 :].ljust(4, b"\0"))[0]


def mp3_seconds(file: BinaryIO) -> float | None:
    """What the first frame of an MP3 states of its length (Xing, Info or VBRI header); None where there is none."""
    file.seek(0)
    head = file.read(10)
    at = 0
    while head[:3] == b"ID3":
        at += 10 + sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
        file.seek(at)
        head = file.read(10)
    file.seek(at)
    head = file.read(4096)
    file.seek(0)
    sync = re.search(rb"\xff[\xe2-\xff]", head)
    if not sync or sync.start() + 4 > len(head):
        return None
    frame = head[sync.start() : sync.start() + 220]
    version, rate = frame[1] >> 3 & 3, frame[2] >> 2 & 3
    if rate == 3 or version == 1:
        return None
    hertz = (44_100, 48_000, 32_000)[rate] / {3: 1, 2: 2, 0: 4}[version]
    for _, frames in _frames_of_mp3(frame):
        return frames * (1152 if version == 3 else 576) / hertz
    return None
