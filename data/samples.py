"""The samples frame: the one shape in which every loader and manifest hands its samples on."""

import datetime as dt
import os
import re
from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from affectlake.data import remote
from affectlake.data._table import FROM_ONE, SPACE, Rows, check_header
from affectlake.data.errors import BadManifest
from affectlake.data.lookup import Positions
from affectlake.data.spill import column_on_disk as _kept
from affectlake.data.spill import parts, spilled

CORE = (
    "sample_id",
    "dataset",
    "speaker",
    "split",
    "language",
    "text",
    "text_source",
    "audio",
    "image",
    "video",
    "start",
    "end",
    "channel",
    "dialogue",
    "turn",
)
"""Columns of every samples frame, in this order; labels and attributes follow."""

ADDED = ("content.", "print.", "copies.", "segment.", "audio.recording.")
"""What names of columns begin with that are added to samples on the way: none of a manifest is in their way."""

SHARED = ("split", "language", "speaker", "channel", "dialogue")
"""Columns of `CORE` that say what several samples have in common."""

MEDIA = ("audio", "image", "video")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_UNTIDY = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")
_ODD = re.compile(rf"^/|://|{_UNTIDY.pattern}")
_SHOWN = 3  # offenders named in a message


def samples_frame(
    df: pd.DataFrame, dataset: str, base: str | Path | None = None, readable: bool = True, rows: Rows = FROM_ONE
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
        with a scheme (``s3://…``) stay as they are, but for passwords and signatures, which no table keeps.
    readable : bool
        Whether there must be something to read; not where features come from elsewhere.
    rows : Rows
        Where the rows are in their file; default: counted from 1.

    Returns
    -------
    pd.DataFrame
        `CORE`, then labels and attributes in their order; text columns of dtype ``str`` (missing: NaN), ``start`` and
        ``end`` float64 seconds, ``channel`` as `CHANNEL` has it or missing for the mean of all, ``turn`` Int64. Whether
        files exist is not looked at.

    Raises
    ------
    BadManifest
        No ``sample_id`` column; empty or duplicate ids; neither media nor text in any row; ``start``, ``end`` or
        ``turn`` that are not numbers; no such ``channel``; an end that is not after its start; a column of a type that
        cannot be kept exactly (nested values, bytes, durations, integers beyond 64 bits, times finer than a
        microsecond).

    Examples
    --------
    >>> rows = [("a", "a.wav", "Oh!", "up"), ("b", "", "Well.", "down")]
    >>> table = pd.DataFrame(rows, columns=["sample_id", "audio", "text", "mood"])
    >>> samples = samples_frame(table, "calls", base="/corpus")
    >>> samples[["dataset", "audio", "text", "mood"]].to_csv(index=False).splitlines()
    ['dataset,audio,text,mood', 'calls,/corpus/a.wav,Oh!,up', 'calls,,Well.,down']
    >>> samples_frame(pd.DataFrame({"id": ["a"], "text": ["Oh!"]}), "calls")
    Traceback (most recent call last):
    affectlake.data.errors.BadManifest: ...
    """
    df = df.reset_index(drop=True)
    df.columns = [str(c) for c in df.columns]
    _check_columns(df, dataset)
    text = [c for c in CORE if c not in ("start", "end", "turn")]
    out = {c: _kept(as_text(df[c], c)) if c in text and c in df else _nothing(len(df)) for c in CORE}
    _check_ids(out["sample_id"], dataset, rows)
    _check_dataset(out["dataset"], dataset, rows)
    out["dataset"] = _kept(pd.Series(dataset, index=df.index, dtype="str"))
    root = _root(base)
    for name in MEDIA:
        out[name] = _kept(_absolute(out[name], root))
    if readable and all(out[name].isna().all() for name in (*MEDIA, "text")):
        raise BadManifest(_nothing_to_read(df, dataset))
    for name in ("start", "end"):
        out[name] = _seconds(df[name], name, out["sample_id"], rows) if name in df else _no_numbers(len(df))
    _check_segments(out, rows)
    out["channel"] = _channels(out["channel"], out["sample_id"], rows)
    out["turn"] = _whole(df["turn"], out["sample_id"], rows) if "turn" in df else _no_numbers(len(df)).astype("Int64")
    others = {c: _kept(_without_secrets(_attribute(df[c], c))) for c in df.columns if c not in out}
    return pd.DataFrame(out | others, copy=False)


def without(frame: pd.DataFrame, ids: set[str]) -> pd.DataFrame:
    """The rows of other samples, of any frame with a column sample_id; the frame itself where none is named."""
    return spilled(part[~part["sample_id"].isin(ids)] for part in parts(frame)) if ids else frame


def attributes(columns: Iterable[str]) -> list[str]:
    """Labels and attributes among a table's columns: all that are not of `CORE`."""
    return [c for c in columns if c not in CORE]


def shared(columns: Iterable[str]) -> list[str]:
    """Columns by whose values samples can be grouped: labels, attributes and `SHARED`; none that a benchmark adds."""
    return [c for c in columns if (c not in CORE or c in SHARED) and not c.startswith(ADDED)]


def _without_secrets(values: pd.Series) -> pd.Series:
    """Texts, of which no address has a password or a signature."""
    if values.dtype != "str" or not (has := values.str.contains("://", regex=False, na=False)).any():
        return values
    return values.where(~has, values[has].map(remote.hidden).reindex(values.index)).astype("str")


def _check_columns(df: pd.DataFrame, dataset: str) -> None:
    check_header(list(df.columns), dataset)
    if "sample_id" not in df:
        near = _nearest("sample_id", df.columns) or next((c for c in df.columns if c.lower().endswith("id")), None)
        hint = f"; is {near!r} the one to rename?" if near else ""
        raise BadManifest(f"{dataset}: no column 'sample_id'{hint} found: {_listed(df.columns)}")
    if df.empty:
        raise BadManifest(f"{dataset}: no samples (a header and no rows)")


def _check_ids(ids: pd.Series, dataset: str, rows: Rows) -> None:
    empty = np.flatnonzero(ids.isna() | (ids.str.strip() == ""))
    if len(empty):
        raise BadManifest(f"{dataset}: {len(empty)} empty sample_id(s), in {rows.named(empty)}")
    if len(Positions(ids)) < len(ids):
        repeated = ids[ids.duplicated(keep=False)]
        first = repeated.drop_duplicates()
        shown = "; ".join(f"{i!r} in {rows.named(np.flatnonzero(ids == i))}" for i in first[:_SHOWN])
        raise BadManifest(f"{dataset}: {len(first)} sample_id(s) are not unique: {shown}")


def _check_dataset(given: pd.Series, dataset: str, rows: Rows) -> None:
    other = np.flatnonzero(given.notna() & (given != dataset))
    if len(other):
        raise BadManifest(
            f"{dataset}: column 'dataset' says {given[other[0]]!r} in {rows.named(other)}; "
            "rename it to keep it as a label"
        )


def _check_segments(out: dict[str, pd.Series], rows: Rows) -> None:
    start, end = out["start"].to_numpy(), out["end"].to_numpy()
    begin = np.where(np.isnan(start), 0.0, start)
    bad = np.flatnonzero((begin < 0) | (end <= begin) | np.isinf(start) | np.isinf(end))
    if len(bad):
        i = bad[0]
        raise BadManifest(
            f"sample {out['sample_id'][i]!r}: a segment needs 0 <= start < end in seconds, got start={start[i]:g}, "
            f"end={end[i]:g} ({rows.named(bad)})"
        )


CHANNEL = re.compile(r"left|right|[1-9]\d{0,2}")
"""How one channel of a recording is called; the first two have names."""


def channel_number(name: str) -> int:
    """Number of a channel, from 1 on.

    Examples
    --------
    >>> [channel_number(name) for name in ("left", "right", "3")]
    [1, 2, 3]
    """
    return {"left": 1, "right": 2}.get(name) or int(name)


def _channels(values: pd.Series, ids: pd.Series, rows: Rows) -> pd.Series:
    if values.isna().all():
        return values
    names = values.str.strip(SPACE).str.lower().replace(["l", "r"], ["left", "right"])
    names = names.mask(names.isin(["mix", ""]))
    bad = np.flatnonzero(names.notna() & ~names.str.fullmatch(CHANNEL).fillna(True).astype(bool))
    if len(bad):
        raise BadManifest(
            f"sample {ids[bad[0]]!r}: channel is {values[bad[0]]!r}, allowed are mix, left, right, 1, 2, … "
            f"({rows.named(bad)}); rename the column if it is a label"
        )
    return names


def _nothing_to_read(df: pd.DataFrame, dataset: str) -> str:
    wanted = (*MEDIA, "text")
    near = next((c for w in wanted for c in [_nearest(w, df.columns.difference(list(CORE)))] if c), None)
    hint = f"; is {near!r} the one to rename?" if near else ""
    return f"{dataset}: no sample has any of {', '.join(wanted)}{hint} found: {_listed(df.columns)}"


def as_text(values: pd.Series, name: str) -> pd.Series:
    """Values as they are written, nothing as NaN: ``7``, never ``7.0`` where floats only made room for missing ones.

    Raises
    ------
    BadManifest
        Values that have no one way to be written, or floats that no longer tell one id from the next.
    """
    if values.dtype == "str":
        return values.mask(values == "")
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        far = values[values.abs() >= _EXACT]
        if len(far):
            raise BadManifest(
                f"column {name!r} holds {far.iloc[0]:.0f} as a float, which keeps 15 digits: save it as text"
            )
        values = values.astype("Int64")
    if values.dtype == object:
        _refuse(values, name)
        values = values.map(lambda v: _written(v, name), na_action="ignore")
    text = values.astype("str")
    return text.mask(text == "")


def _written(value: Any, name: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        if hasattr(value, "text"):  # of a JSON text
            return str(value.text)
        if value.is_integer():
            if abs(value) >= _EXACT:
                raise BadManifest(
                    f"column {name!r} holds {value:.0f} as a float, which keeps 15 digits: save it as text"
                )
            return str(int(value))
    return str(value)


_EXACT = 2.0**53
"""From here on not every whole number is a float."""


def _attribute(values: pd.Series, name: str) -> pd.Series:
    """Numbers, dates and truth values as they are, everything else as strings."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype if values.notna().all() else object)
    if values.dtype == object:
        _refuse(values, name)
        values = _plain(values)
    kind = values.dtype.kind
    if kind == "u":
        if values.max() > np.iinfo(np.int64).max:
            raise BadManifest(
                f"column {name!r} holds {values.max()} (uint64), which 64-bit integers cannot hold; save it as text"
            )
        values = values.astype("Int64")
    if isinstance(values.dtype, pd.Int64Dtype | pd.Int32Dtype | pd.Int16Dtype | pd.Int8Dtype):
        return _integers(values)
    if isinstance(values.dtype, pd.BooleanDtype):
        return values.astype(bool) if values.notna().all() else values
    if kind == "M":
        return _times(values, name)
    if (kind == "f" and getattr(values.dtype, "itemsize", 8) > 8) or (kind not in "biufOTU" and values.dtype != "str"):
        raise BadManifest(
            f"column {name!r} is of type {values.dtype}, which cannot be kept; save it as numbers or text"
        )
    return values


def _plain(values: pd.Series) -> pd.Series:
    """Python's values as one type."""
    given = values.dropna()
    kinds = {type(v) for v in given}
    if kinds == {bool}:
        return values.astype("boolean")
    if kinds == {Decimal}:
        if all(len(v.as_tuple().digits) <= 15 for v in given):
            return values.astype("float64")  # exact: a float keeps fifteen digits
        return values.map(str, na_action="ignore").astype("str")
    if kinds == {int} and all(abs(v) < 2**63 for v in given):
        return values.astype("Int64")
    plain = values.infer_objects()
    return plain if plain.dtype != object else values.astype("str")


def _integers(values: pd.Series) -> pd.Series:
    if values.notna().all():
        return values.astype("int64")
    # Where one is missing they are read back as floats, which are exact up to here; beyond, text is.
    return values.astype("float64" if (values.abs().max() < _EXACT) else "str")


def _times(values: pd.Series, name: str) -> pd.Series:
    coarse = values.dt.as_unit("us")
    if not (coarse.isna() | (coarse.dt.as_unit("ns") == values)).all() if values.dt.unit == "ns" else False:
        at = values[values != coarse.dt.as_unit("ns")].iloc[0]
        raise BadManifest(
            f"column {name!r} holds {at} ({values.dtype}); times are kept to the microsecond, save it as text"
        )
    return coarse


def _refuse(values: pd.Series, name: str) -> None:
    """Raises BadManifest for a value that is no text, number, truth or date."""
    for kind in values.dropna().map(type).unique():
        what = next((w for kinds, w in _NOT_KEPT if issubclass(kind, kinds)), None)
        if what:
            raise BadManifest(
                f"column {name!r} holds {what} ({kind.__name__}); a sample has one string or number per column, "
                "several labels as happy|sad"
            )


_NOT_KEPT = (
    ((list, tuple, dict, set, np.ndarray), "nested values"),
    ((bytes, bytearray, memoryview), "bytes"),
    ((dt.timedelta,), "durations"),
    ((complex,), "complex numbers"),
)


def _numbers(values: pd.Series, name: str, ids: pd.Series, rows: Rows, wanted: str = "a number") -> pd.Series:
    missing = values.isna() | (values.astype("str") == "")
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    bad = np.flatnonzero(numbers.isna() & ~missing)
    if len(bad):
        raise BadManifest(f"sample {ids[bad[0]]!r}: {name} is {values[bad[0]]!r}, not {wanted} ({rows.named(bad)})")
    return numbers


def _seconds(values: pd.Series, name: str, ids: pd.Series, rows: Rows) -> pd.Series:
    """Seconds of numbers, durations, and times of day or of a recording such as ``00:01:02.5`` or ``62,5``."""
    if values.dtype.kind == "m":
        return values.dt.total_seconds()
    if values.dtype in (object, "str"):
        values = values.map(_clock, na_action="ignore")
    numbers = _numbers(values, name, ids, rows, "a number of seconds, or a time such as 00:01:02.5")
    far = np.flatnonzero(np.isfinite(numbers) & (numbers.abs() >= _LONGEST))
    if len(far):
        raise BadManifest(
            f"sample {ids[far[0]]!r}: {name} is {numbers[far[0]]:g} s, longer than any recording ({rows.named(far)})"
        )
    return numbers


_CLOCK = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:[.,]\d*)?|[.,]\d+)")
_LONGEST = 1e9  # s: thirty years


def _clock(value: Any) -> Any:
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, dt.time):
        return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6
    if isinstance(value, bool) or not isinstance(value, str) or not (match := _CLOCK.fullmatch(value.strip(SPACE))):
        return value if not isinstance(value, bool | bytes | dt.date) else repr(value)
    hours, minutes, seconds = match.groups()
    number = float(seconds.replace(",", "."))
    if minutes is None:
        return number
    return int(hours or 0) * 3600 + int(minutes) * 60 + number if number < 60 else value


def _whole(values: pd.Series, ids: pd.Series, rows: Rows) -> pd.Series:
    numbers = _numbers(values, "turn", ids, rows)
    bad = np.flatnonzero(numbers.notna() & ((numbers % 1 != 0) | (numbers.abs() >= _EXACT)))
    if len(bad):
        raise BadManifest(
            f"sample {ids[bad[0]]!r}: turn is {numbers[bad[0]]:g}, not a whole number ({rows.named(bad)})"
        )
    return numbers.astype("Int64")


def _root(base: str | Path | None) -> str:
    if base is not None and _SCHEME.match(str(base)):
        return str(base).rstrip("/")
    return os.path.abspath(base or ".").rstrip("/")


def _absolute(uris: pd.Series, root: str) -> pd.Series:
    if uris.isna().all():
        return uris
    base_is_remote = remote.is_remote(root)

    def resolve(uri: str) -> str:
        if _SCHEME.match(uri):
            return remote.hidden(uri)
        if base_is_remote and not uri.startswith("/"):
            return remote.join(root, uri.removeprefix("./"))
        path = uri if uri.startswith("/") else f"{root}/{uri}"
        return os.path.normpath(path) if _UNTIDY.search(uri[1:]) else path

    # Most paths of most tables are plain and relative to the root: those are joined all at once.
    odd = uris.str.contains(_ODD.pattern, regex=True, na=False) if not base_is_remote else uris.notna()
    joined = (root + "/" + uris).astype("str")
    joined[odd] = uris[odd].map(resolve).astype("str")
    return joined


def _nothing(n: int) -> pd.Series:
    return _kept(pd.Series(np.nan, index=range(n), dtype="str"))


def _no_numbers(n: int) -> pd.Series:
    return _kept(pd.Series(np.nan, index=range(n), dtype="float64"))


def _listed(columns: pd.Index) -> str:
    return ", ".join(repr(c) for c in columns[:12]) + (", …" if len(columns) > 12 else "")


def _nearest(name: str, columns: Iterable[str]) -> str | None:
    by_lower = {c.lower().strip(): c for c in columns}
    close = get_close_matches(name, by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None
