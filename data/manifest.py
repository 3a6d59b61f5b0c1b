"""Manifests: a table of samples in any usual kind of file, the general way in for data of one's own."""

import logging
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from affectlake.data import _paths, remote, spill
from affectlake.data._table import AS_IT_IS, SPACE, Rows, Table, TableOptions
from affectlake.data.encodings import decode
from affectlake.data.errors import BadManifest, BadMedia
from affectlake.data.media import SUFFIXES as MEDIA_SUFFIXES
from affectlake.data.media import special
from affectlake.data.samples import CORE, MEDIA, as_text, samples_frame
from affectlake.data.tables import PACKED, SUFFIXES, kind_of_name, read_table_file

__all__ = ["MISSING", "Manifest", "TableOptions", "decode", "load_manifest", "read_any", "read_manifest", "read_table"]

log = logging.getLogger("affectlake.data")

PATHS = ("path", "file", "filename", "file_name", "filepath", "file_path")
"""Headers of files that say nothing of their kind: the suffixes tell."""

MISSING = (
    *("NA", "N/A", "n/a", "n.a.", "N.A.", "<NA>", "NaN", "nan", "-NaN", "-nan", "NaT", "NULL", "null", "None", "\\N"),
    *("#N/A", "#NA", "#N/A N/A", "#NULL!", "#REF!", "#DIV/0!", "#VALUE!", "#NAME?", "#NUM!"),
    *("1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN", "-", "--", "–", "—"),
)
"""What R, pandas, Excel and databases write where there is no value, besides nothing: in every column but sample_id."""

_TEXT = tuple(c for c in CORE if c not in ("start", "end", "turn"))
_TIDY = tuple(c for c in _TEXT if c != "text")

# Neither 007 nor 1_000 nor nan: what looks like an identifier stays one. Sixteen digits no longer fit a float.
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d{0,14})(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,3})?")
_COMMA = re.compile(r"[+-]?(?:0|[1-9]\d{0,14})(?:,\d{1,30})?(?:[eE][+-]?\d{1,3})?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_FEATURE = re.compile(r"(?:audio|face|image|text|video|both)\.[^.]+\..+")
_MOSTLY = 0.6  # of a column's values are numbers: then the others are likely to be slips
_CLASSES = 1000  # more distinct values than that are no classes
_NAMED = 5  # in a note


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read.

    Attributes
    ----------
    samples : DataFrame
        See `affectlake.data.samples.samples_frame`.
    encoding : str or None
        That its text was read in; None where the file is no text.
    notes : tuple of str
        What its reader should know: each is one line.
    """

    samples: pd.DataFrame
    encoding: str | None
    notes: tuple[str, ...]


def read_manifest(path: str | Path, dataset: str, options: TableOptions = AS_IT_IS) -> pd.DataFrame:
    """Read a manifest into a samples frame; what its reader should know is logged. See `load_manifest`."""
    found = load_manifest(path, dataset, options)
    for note in found.notes:
        log.warning("%s: %s", remote.name_of(str(path)), note)
    return found.samples


def check_manifest(path: Path) -> None:
    """Find whether a file is there that a manifest may be in, without opening it.

    Raises
    ------
    BadManifest
        No file, but something else or nothing, or its folder's path is not UTF-8.
    """
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    if what := special(path):
        raise BadManifest(f"no manifest {name}: {what}, not a file")
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*") if kind_of_name(p) in SUFFIXES)[:5]
        beside = f"; beside it: {', '.join(near)}" if near else ""
        raise BadManifest(f"no manifest {name}{beside}")
    check_named(path)


def check_named(path: Path) -> None:
    """Refuse a path that is not UTF-8: what lies beside or below it is known to a store by its path.

    Raises
    ------
    BadManifest
        It is not.
    """
    whole = os.path.abspath(path)
    if os.fsencode(whole).decode("utf-8", "replace") != whole:
        shown = os.fsencode(whole).decode("utf-8", "backslashreplace")
        raise BadManifest(f"{shown}: the path is not UTF-8, no table can keep it; a link of a plain name to it will do")


def load_manifest(path: str | Path, dataset: str, options: TableOptions = AS_IT_IS) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    path : str or Path
        Any of `affectlake.data.tables.SUFFIXES`: delimited text, Excel, JSON or Parquet; text also packed. May be
        elsewhere: ``s3://``, ``gs://``, ``az://``, ``https://``.
    dataset : str
        Name under which the samples are kept.
    options : TableOptions

    Returns
    -------
    Manifest
        Relative paths start from the manifest's folder, wherever that is. Headers of the known columns may differ in
        case, ``audio_path``, ``image_path``, ``video_path`` stand for the plain names, and so does a column of `PATHS`
        all of whose files have suffixes of one kind, where no other column holds media. Ids, speakers and the other
        known text columns are text exactly as written; of the others those are numbers all of whose values are. What is
        among the missing values counts as none, but for ``sample_id``.

    Raises
    ------
    BadManifest
        No such file, not a table, or no table of samples. Media files that do not exist are no error here: they
        cost their sample only.
    """
    if remote.is_remote(str(path)):
        return _elsewhere(str(path), dataset, options)
    return _loaded(Path(path), None, dataset, options)


def _elsewhere(uri: str, dataset: str, options: TableOptions) -> Manifest:
    uri = remote.hidden(uri)
    try:
        with remote.fetched(uri) as copy:
            return _loaded(copy.path, remote.parent(uri), dataset, options)
    except BadMedia as error:
        raise BadManifest(f"manifest {uri}: {error}") from None
    except BadManifest as error:
        raise BadManifest(str(error).replace(str(copy.path), uri)) from None


def _loaded(path: Path, elsewhere: str | None, dataset: str, options: TableOptions) -> Manifest:
    """A manifest in a file of this machine, a copy where its folder is elsewhere."""
    check_manifest(path)
    if kind_of_name(path) not in SUFFIXES and path.suffix.lower() not in PACKED:
        raise BadManifest(f"manifest {path}: unknown kind {path.suffix!r}, valid: {', '.join(SUFFIXES)}")
    table = read_table_file(path, options)
    frame, notes = _meant(table, options)
    frame, left_out = without_features(frame)
    if left_out:
        notes.append(f"{left_out} columns of features ({_FEATURE_NAMES}) are no part of a manifest and left out")
    base = path.absolute().parent
    for name in MEDIA:
        if name in frame and elsewhere is None:
            frame[name], said = _paths.found(frame[name], base, name)
            notes += said
    samples = samples_frame(frame, dataset, base=elsewhere or base, rows=table.rows)
    return Manifest(samples, table.encoding, (*_about_encoding(table), *table.notes, *notes))


_FEATURE_NAMES = "modality.name.column"


def _about_encoding(table: Table) -> list[str]:
    return [f"read as {table.encoding}"] if table.encoding not in (None, "utf-8") else []


def read_any(path: str | Path, options: TableOptions = AS_IT_IS) -> pd.DataFrame:
    """A table of any kind with the known columns spelt as `CORE` does; numbers where all values are, ids as text.

    Raises
    ------
    BadManifest
        No file but a folder or something special, or no table.
    """
    table = read_table_file(path, options)
    frame, notes = _meant(table, options)
    for note in [*_about_encoding(table), *table.notes, *notes]:
        log.warning("%s: %s", Path(path).name, note)
    return frame


def read_table(path: str | Path, names: Sequence[str] | None = None, options: TableOptions = AS_IT_IS) -> pd.DataFrame:
    """Every cell of a delimited text file as a string, empty ones as ``""``; ``names`` where it has no header.

    Raises
    ------
    BadManifest
        Not text, or rows of unequal length.
    """
    table = read_table_file(path, options, names)
    for note in _about_encoding(table):
        log.warning("%s: %s", Path(path).name, note)
    return table.frame


def without_features(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """A table without the numbers that are named as `Store.load` names features, and how many those are."""
    features = [c for c in frame if _FEATURE.fullmatch(str(c)) and pd.api.types.is_numeric_dtype(frame[c])]
    return frame.drop(columns=features), len(features)


def known_names(table: pd.DataFrame) -> pd.DataFrame:
    """Spell the known columns as `CORE` does: ``Speaker`` becomes ``speaker``, ``audio_path`` ``audio``."""
    names = [str(c).strip(SPACE) for c in table.columns]
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
        files = table[name].dropna().astype("str").str.strip(SPACE).str.lower()
        files = files[~files.isin({"", *(word.lower() for word in MISSING)})]
        for kind, suffixes in MEDIA_SUFFIXES.items():
            if len(files) and files.str.endswith(suffixes).all():
                return {name: kind}
    return {}


def _meant(table: Table, options: TableOptions) -> tuple[pd.DataFrame, list[str]]:
    """Values as they are meant, and what to say of them."""
    words = frozenset(MISSING if options.missing_values is None else options.missing_values)
    frame = known_names(table.frame)
    columns: dict[str, pd.Series] = {}
    notes: list[str] = []
    missing: dict[str, pd.Series] = {}
    for name in frame.columns:
        values = frame[name]
        if name in _TEXT:
            values = as_text(values, name)
            if name in _TIDY:
                values = values.str.strip(SPACE)
        if name != "sample_id" and values.dtype in (object, "str"):
            values, none = _without(values, words)
            if len(none):
                missing[name] = none
        if name not in CORE:
            values, said = _valued(values, table, name)
            notes += said
        if name not in CORE or name == "speaker":
            notes += _variants(values, name)
        columns[name] = spill.column_on_disk(values)
    return pd.DataFrame(columns, index=frame.index, copy=False), _about_missing(missing) + notes


def _without(values: pd.Series, words: frozenset[str]) -> tuple[pd.Series, pd.Series]:
    """Values but for missing ones, and how often each word that means so was there."""
    bare = values if values.dtype == "str" else values.where(values.map(lambda v: isinstance(v, str)))
    bare = bare.astype("str").str.strip(SPACE)
    empty = bare == ""
    none = bare.isin(words)
    found = bare[none].value_counts() if none.any() else pd.Series([], dtype="int64")
    return (values.mask(empty | none) if none.any() or empty.any() else values), found


def _about_missing(found: dict[str, pd.Series]) -> list[str]:
    said = [f"{word!r} ({n}) in {name!r}" for name, words in found.items() for word, n in words.items()]
    if not said:
        return []
    return [
        f"counted as missing: {', '.join(said[:_NAMED])}{', …' * (len(said) > _NAMED)}; --missing-values changes it"
    ]


def _valued(values: pd.Series, table: Table, name: str) -> tuple[pd.Series, list[str]]:
    """A label or attribute: numbers where all values are."""
    if values.dtype == object:
        values = _settled(values, name)
    if values.dtype != "str" or not values.notna().any():
        return values, []
    given = values.dropna()
    plain = given.str.strip(SPACE)
    numbers = plain.str.fullmatch(_NUMBER)
    if numbers.all():
        return (pd.to_numeric(values.str.strip(SPACE)) if table.written else values), []
    commas = plain.str.fullmatch(_COMMA)
    if commas.all() and not plain.str.fullmatch(_THOUSANDS)[~numbers].all() and table.decimal_comma and table.written:
        note = f"{name!r}: decimal commas are read as such"
        return pd.to_numeric(values.str.strip(SPACE).str.replace(",", ".")), [note]
    return values, _slips(given, numbers, commas, table.rows, name)


def _slips(given: pd.Series, numbers: pd.Series, commas: pd.Series, rows: Rows, name: str) -> list[str]:
    """What keeps a column that is mostly numbers from being one."""
    share = (numbers | commas).mean()
    if share < _MOSTLY:
        return []
    odd = given[~(numbers | commas)] if share < 1 else given[~numbers]
    shown = ", ".join(map(repr, pd.unique(odd)[:3]))
    what = f"{len(given) - len(odd)} numbers and {shown}" if share < 1 else f"numbers with commas such as {shown}"
    return [
        f"{name!r} is text, not a number: it holds {what} ({rows.named(odd.index.to_numpy())}); mend them, or "
        "name them by --missing-values"
    ]


def _settled(values: pd.Series, name: str) -> pd.Series:
    """Python's values as one type; a mixture of texts and numbers is text, as written."""
    given = values.dropna()
    kinds = {type(v) for v in given}
    if kinds <= {bool}:
        return values.astype("boolean") if kinds else values.astype("str")
    if all(issubclass(k, int | float) and k is not bool for k in kinds):
        if all(isinstance(v, int) or (type(v) is float and v.is_integer()) for v in given):
            whole = [None if pd.isna(v) else int(v) for v in values]
            if all(v is None or abs(v) < 2**63 for v in whole):
                return pd.Series(pd.array(whole, dtype="Int64"), index=values.index)
            return as_text(values, name)
        return values.astype("float64")
    if all(issubclass(k, str | int | float) for k in kinds):
        return as_text(values, name)
    return values.infer_objects()


def _variants(values: pd.Series, name: str) -> list[str]:
    """Classes that seem to be one: ``angry``, ``Angry``, ``happy `` beside ``happy``."""
    if values.dtype != "str":
        return []
    classes = values.value_counts()
    if not 1 < len(classes) <= _CLASSES:
        return []
    groups: dict[str, list[str]] = {}
    for one in sorted(classes.index):
        groups.setdefault(unicodedata.normalize("NFKC", one).strip(SPACE).casefold(), []).append(one)
    alike = [" and ".join(f"{one!r} ({classes[one]})" for one in some) for some in groups.values() if len(some) > 1]
    return [f"{name!r} holds values that differ only in case or spaces: {'; '.join(alike[:_NAMED])}"] if alike else []
