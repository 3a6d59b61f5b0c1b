"""Frames that lie on disk: written once into temporary files, mapped into memory, and used as any frame is.

What is worked on is a part of a frame at a time; of the others the system keeps in memory what it has room for.
"""

import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from threading import Lock
from typing import IO, Any
from weakref import WeakSet, finalize

import numpy as np
import pandas as pd
import pyarrow as pa

from affectlake.data.errors import AffectlakeError

ROWS = 2**17
"""Rows that are worked on at a time; shorter frames stay in memory."""

_mapped: WeakSet[mmap.mmap] = WeakSet()
_mapping = Lock()


def parts(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """A frame `ROWS` rows at a time, in order; at least one part."""
    for a in range(0, max(len(frame), 1), ROWS):
        yield frame.iloc[a : a + ROWS]
        release()


def release() -> None:
    """Take what was read of mapped frames out of this process's memory; it is read again where it is asked for."""
    if not hasattr(mmap, "MADV_DONTNEED"):
        return
    with _mapping:
        mapped = list(_mapped)
    for pages in mapped:
        pages.madvise(mmap.MADV_DONTNEED)


def on_disk(frame: pd.DataFrame) -> pd.DataFrame:
    """The same frame out of memory, its rows counted from 0; a short one as it is."""
    return spilled(parts(frame)) if len(frame) > ROWS else frame.reset_index(drop=True)


def column_on_disk(values: pd.Series) -> pd.Series:
    """The same of a column."""
    if len(values) <= ROWS:
        return values
    found = on_disk(values.to_frame("x"))["x"]
    found.name = values.name
    return found


def spilled(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """What the frames are together, out of memory; their columns must be of the same types, at least one frame."""
    spill = Spill()
    for frame in frames:
        spill.add(frame)
    return spill.frame()


def taken(frame: pd.DataFrame, at: np.ndarray) -> pd.DataFrame:
    """Rows by position, of which there are few; `DataFrame.take` for frames that are not to be in memory."""
    if len(at) and at[-1] - at[0] + 1 == len(at) and (np.diff(at) == 1).all():
        return frame.iloc[at[0] : at[-1] + 1]
    if len(frame) <= ROWS:
        return frame.take(at)
    order = np.argsort(at, kind="stable")
    bounds = np.searchsorted(at[order], np.arange(0, len(frame) + ROWS, ROWS))
    found = [
        frame.iloc[i * ROWS : (i + 1) * ROWS].take(at[order[a:b]] - i * ROWS)
        for i, (a, b) in enumerate(pairwise(bounds))
        if b > a
    ]
    if not found:
        return frame.iloc[:0]
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    together = pd.concat(found)
    return together if (order[:-1] < order[1:]).all() else together.take(back)


class Spill:
    """Takes a frame part by part, and keeps it out of memory from `ROWS` rows on.

    Raises
    ------
    AffectlakeError
        The folder of temporary files is full, or cannot be written.
    """

    def __init__(self) -> None:
        self._waiting: list[pd.DataFrame] = []
        self._columns: dict[Any, _Column] = {}
        self.rows = self._written = 0

    def add(self, part: pd.DataFrame) -> None:
        self._waiting.append(part)
        self.rows += len(part)
        if self.rows - self._written > ROWS:
            self._write()

    def _write(self) -> None:
        part = _together(self._waiting)
        with _told():
            self._columns = self._columns or {n: _column(kind) for n, kind in part.dtypes.items()}
            for name, column in self._columns.items():
                column.add(part[name])
        self._waiting, self._written = [], self.rows

    def frame(self) -> pd.DataFrame:
        """All of it, its rows counted from 0."""
        if not self._columns:
            return _together(self._waiting).reset_index(drop=True)
        if self._waiting:
            self._write()
        index = pd.RangeIndex(self.rows)
        with _told():
            columns = {n: pd.Series(c.array(), index=index, copy=False) for n, c in self._columns.items()}
        return pd.DataFrame(columns, index=index, copy=False)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
        raise AffectlakeError(
            f"temporary files cannot be written in {tempfile.gettempdir()}: {why}; TMPDIR names another folder"
        ) from error


def _together(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [f for f in frames if len(f)] or list(frames[:1])
    return filled[0] if len(filled) == 1 else pd.concat(filled)


class _File:
    """Bytes that are appended, and mapped in the end."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(prefix="affectlake-", buffering=2**20)
        finalize(self, self.file.close)

    def mapped(self) -> mmap.mmap:
        self.file.flush()
        pages = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        self.file.close()
        with _mapping:
            _mapped.add(pages)
        return pages


class _Column:
    def add(self, values: pd.Series) -> None:
        raise NotImplementedError

    def array(self) -> Any:
        raise NotImplementedError


class _Numbers(_Column):
    """Of a type of NumPy's."""

    def __init__(self, dtype: np.dtype):
        self.dtype, self.file, self.rows = dtype, _File(), 0

    def add(self, values: pd.Series) -> None:
        self.append(values.to_numpy())

    def append(self, values: np.ndarray) -> None:
        self.rows += len(values)
        self.file.file.write(np.ascontiguousarray(values).tobytes())

    def array(self) -> np.ndarray:
        return np.frombuffer(self.file.mapped(), self.dtype) if self.rows else np.empty(0, self.dtype)


class _Masked(_Column):
    """Of a nullable type of pandas."""

    def __init__(self, dtype: Any):
        self.dtype = dtype
        self.values, self.missing = _Numbers(dtype.numpy_dtype), _Numbers(np.dtype(bool))

    def add(self, values: pd.Series) -> None:
        self.missing.append(values.isna().to_numpy())
        self.values.append(values.fillna(self.dtype.type(0)).to_numpy(self.dtype.numpy_dtype))

    def array(self) -> Any:
        return self.dtype.construct_array_type()(self.values.array(), self.missing.array())


class _Strings(_Column):
    def __init__(self) -> None:
        self.file, self.kept = _File(), list[pa.Array | None]()
        self.writer = pa.ipc.new_file(self.file.file, pa.schema([("x", pa.large_string())]))

    def add(self, values: pd.Series) -> None:
        array = pa.array(values, pa.large_string())
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        if array.null_count == len(array):
            nothing = next((k for k in self.kept if k is not None and len(k) == len(array)), None)
            self.kept.append(pa.nulls(len(array), pa.large_string()) if nothing is None else nothing)
            return
        self.writer.write_batch(pa.record_batch([array], names=["x"]))
        self.kept.append(None)

    def array(self) -> Any:
        self.writer.close()
        written = iter(pa.ipc.open_file(pa.py_buffer(self.file.mapped())).read_all()["x"].chunks)
        chunks = [next(written) if k is None else k for k in self.kept]
        return pd.array(pa.chunked_array(chunks, pa.large_string()), dtype="str")


def _column(dtype: Any) -> _Column:
    if dtype == "str":
        return _Strings()
    if isinstance(dtype, np.dtype) and dtype.kind != "O":
        return _Numbers(dtype)
    if isinstance(dtype, pd.api.extensions.ExtensionDtype) and hasattr(dtype, "numpy_dtype"):
        return _Masked(dtype)
    return _Others()


class _Others(_Column):
    """Of types that are kept in memory: times with zones, Python's objects."""

    def __init__(self) -> None:
        self.parts: list[pd.Series] = []

    def add(self, values: pd.Series) -> None:
        self.parts.append(values)

    def array(self) -> Any:
        return pd.concat(self.parts, ignore_index=True).array
