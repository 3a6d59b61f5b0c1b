"""Manifests: a CSV, TSV or Parquet table of samples, the general way in for data of one's own."""

import codecs
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from affectlake.data import media
from affectlake.data.errors import BadManifest
from affectlake.data.samples import CORE, MEDIA, samples_frame

SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".parquet", ".pq")
PATHS = ("path", "file", "filename", "file_name", "filepath", "file_path")
"""Headers of files that say nothing of their kind: the suffixes tell."""

# Neither 007 nor 1_000 nor nan: what looks like an identifier stays one. Sixteen digits no longer fit a float.
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,30})?([eE][+-]?\d{1,3})?")


def read_manifest(path: str | Path, dataset: str) -> pd.DataFrame:
    """Read a manifest into a samples frame.

    Parameters
    ----------
    path : str or Path
        ``.csv`` (comma or semicolon), ``.tsv``/``.tab``/``.txt`` (tab) or ``.parquet``. Text files in UTF-8 with or
        without byte-order mark, UTF-16 with one, or Windows-1252.
    dataset : str
        Name under which the samples are kept.

    Returns
    -------
    pd.DataFrame
        See `affectlake.data.samples.samples_frame`; relative paths start from the manifest's folder. Headers of the
        known columns may differ in case, ``audio_path``, ``image_path``, ``video_path`` stand for the plain names, and
        so does a column of `PATHS` all of whose files have suffixes of one kind, where no other column holds media.
        In text files only columns all of whose values are numbers become numbers, and never the known text columns:
        ``007`` and ``NA`` stay what they are.

    Raises
    ------
    BadManifest
        No such file, not a table, or no table of samples. Media files that do not exist are no error here: they
        cost their sample only.
    """
    path = Path(path)
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*") if p.suffix.lower() in SUFFIXES)[:5]
        beside = f"; beside it: {', '.join(near)}" if near else ""
        raise BadManifest(f"no manifest {path}{' (a folder)' if path.is_dir() else ''}{beside}")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadManifest(f"manifest {path}: unknown kind {suffix!r}, valid: {', '.join(SUFFIXES)}")
    return samples_frame(known_names(read_any(path, _TEXT)), dataset, base=path.absolute().parent)


def read_any(path: str | Path, keep: tuple[str, ...] = ("sample_id",)) -> pd.DataFrame:
    """A Parquet file as it is, or a delimited text file in which columns of numbers became numbers, but for ``keep``.

    Raises
    ------
    BadManifest
        No table.
    """
    path = Path(path)
    if not path.is_file():
        raise BadManifest(f"no file {path}")
    return _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else numbered(read_table(path), keep)


def read_table(path: str | Path, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Every cell of a delimited text file as a string, empty ones as ``""``; ``names`` where it has no header.

    Raises
    ------
    BadManifest
        Not text, or rows of unequal length.
    """
    path = Path(path)
    text = decode(path.read_bytes(), path)
    if not text.strip():
        raise BadManifest(f"{path} is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pandas only warns where it drops cells beyond the header
            return pd.read_csv(
                io.StringIO(text),
                sep=_separator(text, path),
                dtype=str,
                na_filter=False,
                index_col=False,
                header=0 if names is None else None,
                names=names,
            )
    except (ValueError, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise BadManifest(f"{path} is no table: {reason}") from None


def decode(raw: bytes, path: str | Path = "") -> str:
    """Text of a file: UTF-8 or UTF-16 by its mark, else UTF-8 in which stray bytes are read as Windows-1252.

    >>> decode(b"it\\x92s caf\\xc3\\xa9")
    'it’s café'
    """
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16")
    if b"\0" in raw:
        raise BadManifest(f"{path} is not a text file (it holds NUL bytes)")
    return raw.decode("utf-8-sig", errors="affectlake.cp1252")


def _as_cp1252(error: UnicodeError) -> tuple[str, int]:
    """Decode what is not UTF-8 by itself: whole files in Windows-1252, and UTF-8 files with a few pasted bytes."""
    assert isinstance(error, UnicodeDecodeError)
    bad = error.object[error.start : error.end]
    return bad.decode("cp1252", errors="replace"), error.end


codecs.register_error("affectlake.cp1252", _as_cp1252)


def numbered(table: pd.DataFrame, keep: tuple[str, ...] = ()) -> pd.DataFrame:
    """Turn columns of strings into numbers where every value is one; empty cells become missing values."""
    for name in table.columns:
        if str(name).strip().lower() in keep:
            continue
        values = table[name].mask(table[name] == "")
        given = values.dropna()
        if len(given) and given.str.fullmatch(_NUMBER).all():
            values = pd.to_numeric(values)
        table[name] = values
    return table


def known_names(table: pd.DataFrame) -> pd.DataFrame:
    """Spell the known columns as `CORE` does: ``Speaker``, ``audio_path``, ``path`` become ``speaker``, ``audio``, …"""
    names = [str(c).strip() for c in table.columns]
    present = set(names)
    for i, name in enumerate(names):
        plain = name.lower().removesuffix("_path") if name.lower().removesuffix("_path") in MEDIA else name.lower()
        if plain in CORE and plain not in present:
            names[i] = plain
            present.add(plain)
    table = table.set_axis(names, axis=1)
    return table if present & set(MEDIA) else table.rename(columns=_kind_of_paths(table))


def _kind_of_paths(table: pd.DataFrame) -> dict[str, str]:
    """``{"path": "image"}`` where all files of such a column are pictures."""
    for name in table.columns:
        if name.lower() not in PATHS:
            continue
        files = table[name].dropna().astype("str").str.lower()
        files = files[files != ""]
        for kind, suffixes in media.SUFFIXES.items():
            if len(files) and files.str.endswith(suffixes).all():
                return {name: kind}
    return {}


_TEXT = tuple(c for c in CORE if c not in ("start", "end", "turn"))


def _separator(text: str, path: Path) -> str:
    if path.suffix.lower() != ".csv":
        return "\t"
    header = text.split("\n", 1)[0]
    return ";" if header.count(";") > header.count(",") else ","


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise BadManifest(f"{path} is no Parquet file: {' '.join(str(error).split())}") from None
