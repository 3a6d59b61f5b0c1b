"""What every reader of tables hands on, and what all tables are held to."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from affectlake.data.errors import BadManifest

SPACE = (
    " \t\r\n\v\f\xa0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u202f\u205f\u3000\ufeff"
)
"""What stands around cells without being seen."""

MOST_COLUMNS = 16_384
"""As many as Excel has; wider tables are refused before they are read."""

_SHOWN = 3  # offenders named in a message

_LITTLE = 256 << 20  # bytes that any file may unpack to
_RATIO = 100  # times its size that a larger one may: tables of text seldom shrink to a thirtieth
_MOST = 8 << 30


@dataclass(frozen=True)
class TableOptions:
    """How to read a table, where its file does not tell.

    Attributes
    ----------
    encoding : str or None
        Of a text file; default: see `affectlake.data.encodings.read_text`.
    missing_values : tuple of str or None
        Words that mean that there is no value; default: `affectlake.data.manifest.MISSING`.
    sheet : str or None
        Of an Excel file; default: the first that is not empty.
    """

    encoding: str | None = None
    missing_values: tuple[str, ...] | None = None
    sheet: str | None = None


AS_IT_IS = TableOptions()


@dataclass(frozen=True)
class Rows:
    """Where rows are in their file, for messages.

    Attributes
    ----------
    unit : str
        ``line`` of a text file, ``row`` of a sheet.
    numbers : callable
        The number of each row, counted as editors do; asked for only where a message needs it.
    """

    unit: str = "row"
    numbers: Callable[[], Sequence[int]] | None = None

    @cached_property
    def _known(self) -> Sequence[int] | None:
        return self.numbers() if self.numbers else None

    def named(self, positions: Sequence[int] | np.ndarray) -> str:
        """``rows 3, 9, …``: those at these positions."""
        first = [int(p) for p in positions[:_SHOWN]]
        known = self._known
        shown = ", ".join(str(p + 1 if known is None else known[p]) for p in first)
        return f"{self.unit}{'s' * (len(positions) > 1)} {shown}{', …' * (len(positions) > _SHOWN)}"


FROM_ONE = Rows()


@dataclass(frozen=True)
class Table:
    """A table as its file holds it.

    Attributes
    ----------
    frame : DataFrame
        Of a text file every cell as a string, empty ones as ``""``; else values of the file's own types.
    rows : Rows
    written : bool
        Whether every cell is text: then columns of numbers have yet to become numbers.
    decimal_comma : bool
        Whether ``0,5`` can only be a number: commas do not separate cells.
    encoding : str or None
        That the text was read in.
    notes : tuple of str
        What its reader should know.
    """

    frame: pd.DataFrame
    rows: Rows = field(default_factory=Rows)
    written: bool = False
    decimal_comma: bool = False
    encoding: str | None = None
    notes: tuple[str, ...] = ()


def check_header(names: Sequence[str], path: object) -> None:
    """Raises BadManifest where two columns have one name, or names that differ only in case, or there are too many."""
    if len(names) > MOST_COLUMNS:
        raise BadManifest(f"{path} has {len(names)} columns; a table has at most {MOST_COLUMNS}")
    seen: dict[str, tuple[str, int]] = {}
    for i, name in enumerate(names, 1):
        if not name:
            continue
        key = unicodedata.normalize("NFC", name).casefold()
        other, at = seen.setdefault(key, (name, i))
        if at == i:
            continue
        if other == name:
            raise BadManifest(f"{path}: column {name!r} is there {names.count(name)} times (columns {at} and {i})")
        raise BadManifest(f"{path}: columns {other!r} and {name!r} differ only in case (columns {at} and {i})")


def without_index(table: Table) -> Table:
    """Without the columns that programs write beside a table: its index, and empty ones without a name."""
    frame, notes, names = table.frame, list(table.notes), {}
    drop = []
    for at, name in enumerate(frame.columns):
        plain = str(name)
        if plain and not plain.startswith(("Unnamed: ", "__index_level_")):
            continue
        values = frame.iloc[:, at]
        if _nothing(values):
            drop.append(at)
        elif _counts_up(values):
            drop.append(at)
            notes.append(f"column {at + 1} {f'({plain}) ' if plain else ''}is a row number and left out")
        elif not plain:
            names[at] = f"Unnamed: {at}"
            notes.append(f"column {at + 1} has no name and is kept as {names[at]!r}")
    if not drop and not names:
        return table
    columns = [names.get(i, c) for i, c in enumerate(frame.columns)]
    kept = [i for i in range(len(columns)) if i not in drop]
    frame = frame.set_axis(columns, axis=1).iloc[:, kept]
    return Table(frame, table.rows, table.written, table.decimal_comma, table.encoding, tuple(notes))


def _nothing(values: pd.Series) -> bool:
    given = values.dropna()
    return bool((given.astype("str").str.strip(SPACE) == "").all())


def _counts_up(values: pd.Series) -> bool:
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any() or not len(numbers):
        return False
    first = numbers.iloc[0]
    return first in (0, 1) and bool((numbers.to_numpy() == np.arange(len(numbers)) + first).all())


def most_bytes(packed: int) -> int:
    """Bytes that a file of so many may unpack to."""
    return min(max(_LITTLE, _RATIO * packed), _MOST)
