"""The samples frame: the one shape in which every loader and manifest hands its samples on."""

import os
import re
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from affectlake.data.errors import BadManifest

CORE = (
    "sample_id",
    "dataset",
    "speaker",
    "split",
    "language",
    "text",
    "audio",
    "image",
    "video",
    "start",
    "end",
    "dialogue",
    "turn",
)
"""Columns of every samples frame, in this order; labels and attributes follow."""

MEDIA = ("audio", "image", "video")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_UNTIDY = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")
_ODD = re.compile(rf"^/|://|{_UNTIDY.pattern}")
_SHOWN = 3  # offenders named in a message


def samples_frame(
    df: pd.DataFrame, dataset: str, base: str | Path | None = None, readable: bool = True
) -> pd.DataFrame:
    """Bring a table of samples into normal form.

    Parameters
    ----------
    df : pd.DataFrame
        One row per sample with a column ``sample_id`` and at least one of ``audio``, ``image``, ``video``, ``text``;
        further columns of `CORE` as far as known; every other column is a label or an attribute. Empty strings in
        `CORE` columns count as missing.
    dataset : str
        Name of the dataset.
    base : str or Path, optional
        Folder (or URI of one) that relative paths start from; default: the current folder. Absolute paths and URIs
        with a scheme (``s3://…``) stay as they are.
    readable : bool
        Whether there must be something to read; not where features come from elsewhere.

    Returns
    -------
    pd.DataFrame
        `CORE`, then labels and attributes in their order; text columns of dtype ``str`` (missing: NaN), ``start`` and
        ``end`` float64 seconds, ``turn`` Int64. Whether files exist is not looked at.

    Raises
    ------
    BadManifest
        No ``sample_id`` column; empty or duplicate ids; neither media nor text in any row; ``start``, ``end`` or
        ``turn`` that are not numbers; an end that is not after its start; a column of nested values.
    """
    df = df.reset_index(drop=True)
    df.columns = [str(c) for c in df.columns]
    _check_columns(df, dataset)
    out = {name: _strings(df[name], name) if name in df else _nothing(len(df)) for name in CORE}
    _check_ids(out["sample_id"], dataset)
    _check_dataset(out["dataset"], dataset)
    out["dataset"] = pd.Series(dataset, index=df.index, dtype="str")
    root = _root(base)
    for name in MEDIA:
        out[name] = _absolute(out[name], root)
    if readable and all(out[name].isna().all() for name in (*MEDIA, "text")):
        raise BadManifest(_nothing_to_read(df, dataset))
    for name in ("start", "end"):
        out[name] = _numbers(df[name], name, out["sample_id"]) if name in df else _no_numbers(len(df))
    _check_segments(out)
    out["turn"] = _whole(df["turn"], out["sample_id"]) if "turn" in df else _no_numbers(len(df)).astype("Int64")
    return pd.DataFrame(out | {c: _attribute(df[c], c) for c in df.columns if c not in out})


def _check_columns(df: pd.DataFrame, dataset: str) -> None:
    twice = df.columns[df.columns.duplicated()]
    if len(twice):
        raise BadManifest(f"{dataset}: column {twice[0]!r} is there {(df.columns == twice[0]).sum()} times")
    if "sample_id" not in df:
        near = _nearest("sample_id", df.columns) or next((c for c in df.columns if c.lower().endswith("id")), None)
        hint = f"; is {near!r} the one to rename?" if near else ""
        raise BadManifest(f"{dataset}: no column 'sample_id'{hint} found: {_listed(df.columns)}")
    if df.empty:
        raise BadManifest(f"{dataset}: no samples (a header and no rows)")


def _check_ids(ids: pd.Series, dataset: str) -> None:
    empty = np.flatnonzero(ids.isna() | (ids.str.strip() == ""))
    if len(empty):
        raise BadManifest(f"{dataset}: {len(empty)} empty sample_id(s), in {_rows(empty)}")
    repeated = ids[ids.duplicated(keep=False)]
    if len(repeated):
        first = repeated.drop_duplicates()
        shown = "; ".join(f"{i!r} in {_rows(np.flatnonzero(ids == i))}" for i in first[:_SHOWN])
        raise BadManifest(f"{dataset}: {len(first)} sample_id(s) are not unique: {shown}")


def _check_dataset(given: pd.Series, dataset: str) -> None:
    other = np.flatnonzero(given.notna() & (given != dataset))
    if len(other):
        raise BadManifest(
            f"{dataset}: column 'dataset' says {given[other[0]]!r} in {_rows(other)}; rename it to keep it as a label"
        )


def _check_segments(out: dict[str, pd.Series]) -> None:
    start, end = out["start"].to_numpy(), out["end"].to_numpy()
    begin = np.where(np.isnan(start), 0.0, start)
    bad = np.flatnonzero((begin < 0) | (end <= begin) | np.isinf(start) | np.isinf(end))
    if len(bad):
        i = bad[0]
        raise BadManifest(
            f"sample {out['sample_id'][i]!r}: a segment needs 0 <= start < end in seconds, got start={start[i]:g}, "
            f"end={end[i]:g} ({_rows(bad)})"
        )


def _nothing_to_read(df: pd.DataFrame, dataset: str) -> str:
    wanted = (*MEDIA, "text")
    near = next((c for w in wanted for c in [_nearest(w, df.columns.difference(CORE))] if c), None)
    hint = f"; is {near!r} the one to rename?" if near else ""
    return f"{dataset}: no sample has any of {', '.join(wanted)}{hint} found: {_listed(df.columns)}"


def _strings(values: pd.Series, name: str) -> pd.Series:
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")  # whole numbers that became floats beside missing ones: '7', never '7.0'
    _refuse_nested(values, name)
    text = values.astype("str")
    return text.mask(text == "")


def _attribute(values: pd.Series, name: str) -> pd.Series:
    """Numbers, dates and truth values as they are, everything else as strings."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if values.dtype != object:
        return values
    _refuse_nested(values, name)
    plain = values.infer_objects()
    return plain if plain.dtype != object else values.astype("str")


def _refuse_nested(values: pd.Series, name: str) -> None:
    if values.dtype == object and values.map(lambda v: isinstance(v, list | tuple | dict | set | np.ndarray)).any():
        raise BadManifest(f"column {name!r} holds nested values; a sample has one string or number per column")


def _numbers(values: pd.Series, name: str, ids: pd.Series) -> pd.Series:
    missing = values.isna() | (values.astype("str") == "")
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    bad = np.flatnonzero(numbers.isna() & ~missing)
    if len(bad):
        raise BadManifest(f"sample {ids[bad[0]]!r}: {name} is {values[bad[0]]!r}, not a number ({_rows(bad)})")
    return numbers


def _whole(values: pd.Series, ids: pd.Series) -> pd.Series:
    numbers = _numbers(values, "turn", ids)
    bad = np.flatnonzero(numbers.notna() & (numbers % 1 != 0))
    if len(bad):
        raise BadManifest(f"sample {ids[bad[0]]!r}: turn is {numbers[bad[0]]:g}, not a whole number ({_rows(bad)})")
    return numbers.astype("Int64")


def _root(base: str | Path | None) -> str:
    if base is not None and _SCHEME.match(str(base)):
        return str(base).rstrip("/")
    return os.path.abspath(base or ".").rstrip("/")


def _absolute(uris: pd.Series, root: str) -> pd.Series:
    if uris.isna().all():
        return uris
    remote = bool(_SCHEME.match(root))

    def resolve(uri: str) -> str:
        if _SCHEME.match(uri):
            return uri
        if remote and not uri.startswith("/"):
            return f"{root}/{uri.removeprefix('./')}"
        path = uri if uri.startswith("/") else f"{root}/{uri}"
        return os.path.normpath(path) if _UNTIDY.search(uri[1:]) else path

    # Most paths of most tables are plain and relative to the root: those are joined all at once.
    odd = uris.str.contains(_ODD.pattern, regex=True, na=False) if not remote else uris.notna()
    joined = (root + "/" + uris).astype("str")
    joined[odd] = uris[odd].map(resolve).astype("str")
    return joined


def _nothing(n: int) -> pd.Series:
    return pd.Series(np.nan, index=range(n), dtype="str")


def _no_numbers(n: int) -> pd.Series:
    return pd.Series(np.nan, index=range(n), dtype="float64")


def _rows(positions: np.ndarray) -> str:
    """``rows 3, 9, …``: counted from 1 below the header."""
    shown = ", ".join(str(p + 1) for p in positions[:_SHOWN]) + (", …" if len(positions) > _SHOWN else "")
    return f"row{'s' * (len(positions) > 1)} {shown}"


def _listed(columns) -> str:
    return ", ".join(repr(c) for c in columns[:12]) + (", …" if len(columns) > 12 else "")


def _nearest(name: str, columns) -> str | None:
    by_lower = {c.lower().strip(): c for c in columns}
    close = get_close_matches(name, by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None
