"""Tables in text files: cells between commas, semicolons, tabs or bars, as people and their programs write them."""

import csv
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd

from affectlake.data._table import SPACE, Rows, Table, check_header
from affectlake.data.encodings import Text
from affectlake.data.errors import BadManifest

_TOLD = re.compile(r'"?sep=(.)"?[,;\t|]*$', re.IGNORECASE)
_SEPARATORS = {"": ",;\t|", ".csv": ",;\t|"}
_TABBED = "\t,;|"

csv.field_size_limit(1 << 30)


def read_delimited(found: Text, path: str | Path, suffix: str, names: Sequence[str] | None = None) -> Table:
    """Cells of a delimited text as strings.

    Parameters
    ----------
    found : Text
    path : str or Path
        For messages.
    suffix : str
        Of its name: ``.csv`` prefers commas, all others tabs.
    names : sequence of str, optional
        Headers, where the text has none.

    Raises
    ------
    BadManifest
        Empty, or a row has more cells than the header.
    """
    text = found.text.removeprefix("\ufeff")
    if not text.strip(SPACE):
        raise BadManifest(f"{path} is empty")
    shape = _Shape.of(text, suffix, names is None)
    header = list(names) if names is not None else [h.strip(SPACE) for h in shape.header]
    check_header(header, path)
    frame = _quickly(text, shape, len(header))
    rows = Rows("line", partial(_lines, text, shape, None if frame is None else len(frame)))
    if frame is None:
        cells, lines = _by_hand(text, shape, len(header), path)
        frame = pd.DataFrame(cells, columns=range(len(header)), dtype="str")
        rows = Rows("line", lambda: lines)
    frame, rows = _without_empty(frame, rows)
    table = frame.set_axis(header, axis=1)
    return Table(table, rows, written=True, decimal_comma=shape.separator != ",", encoding=found.encoding)


class _Shape:
    """How a text is to be cut: its separator, its quotes, where its first row of cells begins."""

    def __init__(self, separator: str, quoted: bool, start: int, line: int, header: list[str]):
        self.separator, self.quoted, self.start, self.line = separator, quoted, start, line
        self.header = header

    @classmethod
    def of(cls, text: str, suffix: str, with_header: bool) -> "_Shape":
        buffer = io.StringIO(text, newline="")
        stated, at, line = "", 0, 0
        for first in iter(buffer.readline, ""):
            plain = first.strip(SPACE)
            if match := _TOLD.match(first.strip("\r\n")):
                stated = match[1]
            elif plain and not (plain.startswith("#") and with_header and _remark(plain)):
                break
            at, line = buffer.tell(), line + 1
        separator = stated or _separator(text, at, suffix)
        quoted = not (separator == "\t" and _quotes_are_letters(text, at))
        buffer.seek(at)
        if not with_header:
            return cls(separator, quoted, at, line, [])
        reader = csv.reader(iter(buffer.readline, ""), delimiter=separator, quoting=_quoting(quoted))
        header = next(reader)
        return cls(separator, quoted, buffer.tell(), line + reader.line_num, header)


def _remark(line: str) -> bool:
    return not re.search(r"sample_?id", line, re.IGNORECASE)


def _separator(text: str, at: int, suffix: str) -> str:
    """The one that cuts the first row into most cells."""
    head = text[at : at + (1 << 20)]

    def cells(separator: str) -> int:
        return len(next(csv.reader(io.StringIO(head, newline=""), delimiter=separator)))

    return max(_SEPARATORS.get(suffix, _TABBED), key=cells)


def _quotes_are_letters(text: str, at: int) -> bool:
    """Whether quotes would join lines that have as many tabs as all others: many programs quote nothing there."""
    if '"' not in text:
        return False
    lines = [line for line in text[at:].splitlines() if line.strip(" ")]
    if len({line.count("\t") for line in lines}) != 1:
        return False
    rows = csv.reader(io.StringIO(text[at:], newline=""), delimiter="\t")
    return sum(1 for row in rows if row) != len(lines)


def _quoting(quoted: bool) -> Literal[0, 3]:
    return csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE


def _quickly(text: str, shape: _Shape, width: int) -> pd.DataFrame | None:
    """All cells; None where rows are longer than they should be, or quotes do not end."""
    buffer = io.StringIO(text, newline="")
    buffer.seek(shape.start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pandas only warns where it drops cells beyond the header
            frame = pd.read_csv(
                buffer,
                sep=shape.separator,
                dtype=str,
                na_filter=False,
                index_col=False,
                header=None,
                names=list(range(width)),
                quoting=_quoting(shape.quoted),
            )
    except pd.errors.EmptyDataError:
        return pd.DataFrame({i: pd.Series([], dtype="str") for i in range(width)})
    except (ValueError, pd.errors.ParserWarning):
        return None
    return frame.fillna("")


def _records(text: str, shape: _Shape) -> Iterator[tuple[int, list[str]]]:
    """Rows and the lines that they begin on; those that are blank are passed over, as pandas does."""
    buffer = io.StringIO(text, newline="")
    buffer.seek(shape.start)
    reader = csv.reader(buffer, delimiter=shape.separator, quoting=_quoting(shape.quoted))
    begin = shape.line + 1
    for row in reader:
        if len(row) > 1 or (row and row[0].strip(" \t")):
            yield begin, row
        begin = shape.line + reader.line_num + 1


def _lines(text: str, shape: _Shape, expected: int | None) -> Sequence[int]:
    lines = [line for line, _ in _records(text, shape)]
    # Where the two readers disagree about quotes, a number that is nearly right beats none.
    return lines if expected in (None, len(lines)) else range(shape.line + 1, shape.line + 1 + (expected or 0))


def _by_hand(text: str, shape: _Shape, width: int, path: object) -> tuple[list[list[str]], list[int]]:
    cells, lines = [], []
    last = 0
    for line, row in _records(text, shape):
        while len(row) > width and not row[-1].strip(SPACE):
            row.pop()
        if len(row) > width:
            raise BadManifest(f"{path} is no table: Expected {width} fields in line {line}, saw {len(row)}")
        cells.append(row + [""] * (width - len(row)))
        lines.append(line)
        last = line
    if shape.quoted and _open_quote(text, last):
        raise BadManifest(f"{path} is no table: a quote that begins in line {last} does not end")
    return cells, lines


def _open_quote(text: str, line: int) -> bool:
    rest = text.splitlines(keepends=True)[line - 1 :]
    try:
        list(csv.reader(rest, strict=True))
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _without_empty(frame: pd.DataFrame, rows: Rows) -> tuple[pd.DataFrame, Rows]:
    """Without rows that have separators and nothing else."""
    if not len(frame):
        return frame, rows
    empty = frame.iloc[:, 0].str.strip(SPACE) == ""
    for i in range(1, frame.shape[1]):
        if not empty.any():
            return frame, rows
        empty &= frame.iloc[:, i].str.strip(SPACE) == ""
    kept = (~empty).to_numpy().nonzero()[0]
    if len(kept) == len(frame):
        return frame, rows
    numbers = rows.numbers
    assert numbers is not None
    return frame.iloc[kept].reset_index(drop=True), Rows(rows.unit, partial(_of, numbers, kept.tolist()))


def _of(numbers: Callable[[], Sequence[int]], kept: Sequence[int]) -> Sequence[int]:
    every = numbers()
    return [every[k] for k in kept]
