"""Reading tables: what kind a file is by its content, unpacked where it is packed, and never larger than memory."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Protocol

from affectlake.data._table import AS_IT_IS, Rows, Table, TableOptions, most_bytes, without_index
from affectlake.data.errors import BadManifest, BadMedia
from affectlake.data.media import POINTER

__all__ = ["SUFFIXES", "Rows", "Table", "TableOptions", "read_table_file"]

TEXT = (".csv", ".tsv", ".tab", ".txt")
JSON = (".jsonl", ".ndjson", ".json")
EXCEL = (".xlsx", ".xlsm", ".xls")
PARQUET = (".parquet", ".pq")
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
SUFFIXES = (*TEXT, *JSON, *EXCEL, *PARQUET)
"""Kinds of tables; those in text, each also with one of `PACKED` behind it."""

_STEP = 1 << 20


def read_table_file(path: str | Path, options: TableOptions = AS_IT_IS, names: Sequence[str] | None = None) -> Table:
    """Read a table of any kind in `SUFFIXES`.

    Parameters
    ----------
    path : str or Path
    options : TableOptions
    names : sequence of str, optional
        Headers, where a text file has none.

    Raises
    ------
    BadManifest
        No such file, no table, two columns of one name, or so large once unpacked that it looks like an attack.
    """
    path = Path(path)
    raw, suffix = _unpacked(_content(path), path, path.suffix.lower())
    return without_index(_read(raw, suffix, path, options, names))


def kind_of_name(path: str | PurePath) -> str:
    """The suffix that tells a table's kind: ``.csv`` of ``a.csv.gz``."""
    suffixes = [s.lower() for s in PurePath(path).suffixes]
    while len(suffixes) > 1 and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _read(raw: bytes, suffix: str, path: Path, options: TableOptions, names: Sequence[str] | None) -> Table:
    from affectlake.data import _typed
    from affectlake.data._delimited import read_delimited
    from affectlake.data.encodings import read_text

    if raw[:4] == b"PAR1" or suffix in PARQUET:
        return _typed.read_parquet(raw, path)
    if raw[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" or raw[:2] == b"PK" or suffix in (".xlsx", ".xlsm"):
        return _typed.read_excel(raw, path, options.sheet)
    found = read_text(raw, path, options.encoding)
    # Programs give the name .xls to text between tabs, too.
    return _typed.read_json(found, path) if suffix in JSON else read_delimited(found, path, suffix, names)


def _content(path: Path) -> bytes:
    from affectlake.data.media import open_file

    try:
        with open_file(path) as file:
            raw = file.read()
    except BadMedia as error:
        raise BadManifest(str(error)) from None
    except OSError as error:
        raise BadManifest(f"{path} cannot be read: {error.strerror}") from None
    check_pointer(raw, path)
    return raw


def check_pointer(raw: bytes, path: object) -> None:
    """Raises BadManifest where a file's content was left with Git LFS."""
    if raw.startswith(POINTER):
        raise BadManifest(f"{path} is a Git LFS pointer, not the file itself: git lfs pull fetches it")


def _unpacked(raw: bytes, path: Path, suffix: str) -> tuple[bytes, str]:
    """Content of what may be packed, and the suffix of its name."""
    most = most_bytes(len(raw))
    inner = kind_of_name(path)
    try:
        if raw[:2] == b"\x1f\x8b":
            return _some(gzip.GzipFile(fileobj=io.BytesIO(raw)), most, path), inner
        if raw[:3] == b"BZh":
            return _some(bz2.BZ2File(io.BytesIO(raw)), most, path), inner
        if raw[:6] == b"\xfd7zXZ\0":
            return _some(lzma.LZMAFile(io.BytesIO(raw)), most, path), inner
        if raw[:4] == b"\x28\xb5\x2f\xfd":
            import pyarrow as pa

            return _some(pa.CompressedInputStream(pa.BufferReader(raw), "zstd"), most, path), inner
        if raw[:4] == b"PK\x03\x04" and not _is_workbook(raw):
            return _member(raw, most, path, inner)
    except (
        OSError,
        EOFError,
        lzma.LZMAError,
        zipfile.BadZipFile,
        ValueError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        if isinstance(error, BadManifest):
            raise
        raise BadManifest(f"{path} cannot be unpacked: {' '.join(str(error).split())}") from None
    return raw, suffix


def _is_workbook(raw: bytes) -> bool:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return any(name.startswith("xl/") for name in archive.namelist())


def _member(raw: bytes, most: int, path: Path, inner: str) -> tuple[bytes, str]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        names = [n for n in archive.namelist() if not n.startswith("__MACOSX") and not n.endswith("/")]
        tables = [n for n in names if PurePath(n).suffix.lower() in SUFFIXES]
        if len(tables) != 1:
            held = ", ".join(names[:5]) or "nothing"
            raise BadManifest(f"{path} holds {len(tables)} tables, not one: {held}")
        with archive.open(tables[0]) as file:
            return _some(file, most, path), PurePath(tables[0]).suffix.lower()


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _some(file: _Readable, most: int, path: Path) -> bytes:
    """All that a stream gives, unless it gives too much."""
    parts = list(_parts(file, most, path))
    return b"".join(parts)


def _parts(file: _Readable, most: int, path: Path) -> Iterator[bytes]:
    total = 0
    while part := file.read(_STEP):
        total += len(part)
        if total > most:
            raise BadManifest(
                f"{path} unpacks to more than {most >> 20} MB, far more than its own size; unpack it first"
            )
        yield part
