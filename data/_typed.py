"""Tables whose cells have types: Excel workbooks, JSON and Parquet."""

import io
import json
import re
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from affectlake.data import spill
from affectlake.data._table import SPACE, Rows, Table, check_header, most_bytes
from affectlake.data.encodings import Text
from affectlake.data.errors import BadManifest

_CELLS = 40_000_000  # of a sheet: what lies between its outermost cells is held in memory, 24 bytes each
_CELL_TEXT = 1 << 20  # bytes: Excel holds 32,767 characters in a cell


class Number(float):
    """A number of a JSON text that remembers how it was written."""

    def __new__(cls, text: str) -> "Number":
        self = super().__new__(cls, text)
        self.text = text
        return self

    text: str


def read_excel(raw: bytes, path: str | Path, sheet: str | None = None) -> Table:
    """One sheet of a workbook (``.xlsx``, ``.xlsm``, ``.xls``), its first row that is not empty as header.

    Cells that hold an error (``#N/A``, ``#REF!``) are empty.

    Raises
    ------
    BadManifest
        No workbook, no such sheet, all empty, or far larger than its file.
    """
    import python_calamine as calamine

    if raw[:2] == b"PK":
        _check_workbook(raw, path)
    try:
        with calamine.CalamineWorkbook.from_filelike(io.BytesIO(raw)) as book:
            names = [s.name for s in book.sheets_metadata if s.typ == calamine.SheetTypeEnum.WorkSheet]
            if sheet is not None and sheet not in names:
                raise BadManifest(f"{path} has no sheet {sheet!r}; it has {', '.join(map(repr, names))}")
            for name in [sheet] if sheet is not None else names:
                found = book.get_sheet_by_name(name)
                cells = found.to_python()
                if any(_filled(row) for row in cells):
                    others = [n for n in names if n != name] if sheet is None else []
                    note = f"sheet {name!r} is read, the others are not: {', '.join(map(repr, others))}"
                    return _sheet(cells, (found.start or (0, 0))[0], path, (note,) if others else ())
    except calamine.PasswordError:
        raise BadManifest(f"{path} is locked by a password; save it without one") from None
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise BadManifest(f"{path} is no Excel file: {' '.join(str(error).split())}") from None
    raise BadManifest(f"{path} is empty")


def _filled(row: list[Any]) -> bool:
    return any(c != "" and not (isinstance(c, str) and not c.strip(SPACE)) for c in row)


def _sheet(cells: list[list[Any]], first: int, path: str | Path, notes: tuple[str, ...]) -> Table:
    kept = [i for i, row in enumerate(cells) if _filled(row)]
    top, *rows = kept
    header = [_shown(c).strip(SPACE) for c in cells[top]]
    check_header(header, path)
    columns = list(zip(*(cells[i] for i in rows), strict=True)) or [()] * len(header)
    frame = pd.concat(
        [pd.Series([None if c == "" else c for c in column], dtype=object) for column in columns], axis=1
    ).set_axis(header, axis=1)
    return Table(frame, Rows("row", lambda: [first + i + 1 for i in rows]), notes=notes)


def _shown(cell: Any) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _check_workbook(raw: bytes, path: str | Path) -> None:
    """Refuse what would take far more memory than its cells are worth."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            parts = archive.infolist()
            if sum(p.file_size for p in parts) > most_bytes(len(raw)):
                raise BadManifest(
                    f"{path} would unpack to more than {most_bytes(len(raw)) >> 20} MB from {len(raw)} bytes"
                )
            for part in parts:
                if part.filename.startswith("xl/worksheets/"):
                    _check_extent(archive.read(part), path)
                elif part.filename == "xl/sharedStrings.xml" and re.search(rb"[^<]{%d}" % 65535, archive.read(part)):
                    raise BadManifest(f"{path} holds a cell of more than 65,535 bytes, which Excel does not write")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadManifest(f"{path} is no Excel file: {error}") from None


def _check_extent(sheet: bytes, path: str | Path) -> None:
    width, height = 26, 1
    if re.search(rb'r="[A-Z]{2,3}\d', sheet):
        letters = max(set(re.findall(rb'r="([A-Z]{2,3})\d', sheet)), key=lambda x: (len(x), x))
        width = 0
        for letter in letters:
            width = width * 26 + letter - 64
    for match in re.finditer(rb'<(?:\w+:)?row [^>]*?\br="(\d{5,})"', sheet):
        height = max(height, int(match[1]))
    for match in re.finditer(rb'r="[A-Z]+(\d{5,})"', sheet[-(1 << 16) :]):
        height = max(height, int(match[1]))
    if width * height > _CELLS:
        raise BadManifest(f"{path} spans {height} rows and {width} columns; clear what lies far off, or save it as CSV")


def read_json(found: Text, path: str | Path) -> Table:
    """Objects, one a line (JSON lines), or a list of them; their keys are the columns.

    Raises
    ------
    BadManifest
        No JSON, or no objects.
    """
    text = found.text.removeprefix("\ufeff")
    if not text.strip():
        raise BadManifest(f"{path} is empty")
    records: list[dict[str, Any]] = []
    lines: list[int] = []
    if text.lstrip().startswith("["):
        records, rows = _object_list(text, path), Rows()
    else:
        load = partial(_loads, path=path)
        for at, line in enumerate(text.split("\n"), 1):
            if line.strip():
                records.append(load(line, line=at))
                lines.append(at)
        rows = Rows("line", lambda: lines)
    names = dict.fromkeys(name for record in records for name in record)
    check_header([n.strip(SPACE) for n in names], path)
    frame = pd.DataFrame(
        {n.strip(SPACE): pd.Series([r.get(n) for r in records], dtype=object) for n in names}, copy=False
    )
    return Table(frame, rows, encoding=found.encoding)


def _object_list(text: str, path: str | Path) -> list[dict[str, Any]]:
    found = _loads(text, path, None)
    for at, one in enumerate(found, 1):
        if not isinstance(one, dict):
            raise BadManifest(f"{path}: item {at} is no object but {json.dumps(one)[:40]}")
    return found


def _loads(text: str, path: str | Path, line: int | None) -> Any:
    where = f"{path}, line {line}" if line else str(path)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(k for k, _ in pairs if sum(k == other for other, _ in pairs) > 1)
            raise BadManifest(f"{where}: key {twice!r} is there twice")
        return found

    try:
        found = json.loads(text, parse_float=Number, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise BadManifest(f"{where} is no JSON: {error or 'nested too deeply'}") from None
    if line and not isinstance(found, dict):
        raise BadManifest(f'{where} is no object but {text.strip()[:40]}; a row is like {{"sample_id": "a"}}')
    return found


def read_parquet(raw: bytes, path: str | Path) -> Table:
    """Columns of a Parquet file; an index that pandas kept is one of them.

    Raises
    ------
    BadManifest
        No Parquet file, or far larger than its bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(raw))
        metadata = file.metadata
        names = file.schema_arrow.names
        check_header([n.strip(SPACE) for n in names], path)
        most = most_bytes(len(raw))
        stated = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        if max(stated, metadata.num_rows * len(names)) > most:
            raise BadManifest(f"{path} would unpack to more than {most >> 20} MB from {len(raw)} bytes")
        # Texts stay in their dictionaries until it is known how long they are all together.
        texts = [f.name for f in file.schema_arrow if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        file, columns, size = pq.ParquetFile(io.BytesIO(raw), read_dictionary=texts), [], 0
        for name in names:
            column = file.read(columns=[name])[name]
            size += _size(column)
            if size > most:
                raise BadManifest(f"{path} would unpack to more than {most >> 20} MB from {len(raw)} bytes")
            plain = pa.table([_without_dictionary(column)], names=["x"])
            values = plain.to_pandas(types_mapper=_exact().get, ignore_metadata=True)["x"]
            columns.append(spill.column_on_disk(values))
        frame = pd.DataFrame(dict(enumerate(columns)), copy=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, BadManifest):
            raise
        raise BadManifest(f"{path} is no Parquet file: {' '.join(str(error).split())}") from None
    return Table(frame.set_axis([n.strip(SPACE) for n in names], axis=1))


def _exact() -> dict[Any, Any]:
    """Types that hold what pandas would turn into floats or objects where a value is missing."""
    import pyarrow as pa

    whole = {
        getattr(pa, f"{u}int{n}")(): getattr(pd, f"{'U' if u else ''}Int{n}Dtype")()
        for u in ("", "u")
        for n in (8, 16, 32, 64)
    }
    return whole | {pa.bool_(): pd.BooleanDtype()}


def _size(column: Any) -> int:
    """Bytes of a column once its dictionary is resolved."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    total = 0
    for chunk in column.chunks:
        values = chunk.dictionary
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            lengths = np.append(pc.binary_length(values).fill_null(0).to_numpy(zero_copy_only=False), 0)
            at = chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            total += int(lengths[at].sum(dtype=np.int64)) + 8 * len(at)
    return total


def _without_dictionary(column: Any) -> Any:
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
