"""How commands print: JSON or a table on stdout, everything else on stderr."""

import csv
import shutil
import sys
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from affectlake.data.errors import UsageError
from affectlake.flows.shown import json_text, shown, without_formulas

if TYPE_CHECKING:
    import pandas as pd


def note(message: object) -> None:
    """A line for people, on stderr; control characters are shown, not sent."""
    print(shown(message), file=sys.stderr)


def as_json(value: Any) -> None:
    """``value`` as JSON on stdout, whole or not at all; NaN and infinity, which JSON does not have, become null."""
    print(_encodable(json_text(value, indent=2)))


def as_lines(rows: Iterable[Any]) -> None:
    """Each of ``rows`` as a line of JSON on stdout, at once."""
    for row in rows:
        print(_encodable(json_text(row)))
    sys.stdout.flush()


def _encodable(json: str) -> str:
    """JSON for a stdout of any encoding: letters that it does not have stand only in strings, and can be escaped."""
    try:
        json.encode(sys.stdout.encoding or "utf-8")
        return json
    except UnicodeEncodeError:
        pairs = (c.encode("utf-16-be").hex() for c in json)
        return "".join(
            c if c.isascii() else "".join(f"\\u{p[i : i + 4]}" for i in range(0, len(p), 4))
            for c, p in zip(json, pairs, strict=True)
        )


def as_csv(frame: "pd.DataFrame", out: str | Path | None = None, excel_safe: bool = False) -> None:
    """A frame and its index as CSV, to a file or to stdout.

    On a terminal control characters are shown, not sent; a pipe or a file gets the values as they are.

    Parameters
    ----------
    frame : DataFrame
    out : path, optional
    excel_safe : bool
        Put ``'`` before text that a spreadsheet would take for a formula, in cells and names, and quote all text, so
        that no separator of another country's begins a cell.
    """
    if excel_safe:
        frame = frame.rename(columns=without_formulas, index=without_formulas)
        frame = frame.rename_axis(index=without_formulas(frame.index.name))
        text = frame.select_dtypes(exclude=["number", "bool"]).columns
        frame = frame.assign(**{c: frame[c].astype(object).map(without_formulas) for c in text})
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if excel_safe else csv.QUOTE_MINIMAL
    if out is not None:
        frame.to_csv(out, quoting=quoting)
    elif sys.stdout.isatty():
        buffer = StringIO()
        frame.to_csv(buffer, quoting=quoting)
        sys.stdout.write(shown(buffer.getvalue(), lines=True))
    else:
        frame.to_csv(sys.stdout, quoting=quoting)


def check_out(out: Path | None, excel_safe: bool, json: bool) -> None:
    """Raises UsageError where a table cannot be written as it is asked for; see `as_frame`."""
    if excel_safe and (json or (out is not None and out.suffix == ".parquet")):
        raise UsageError("--excel-safe is about CSV: leave it out for JSON and Parquet")
    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise UsageError(f"cannot write {out.name!r}: expected a name that ends in .csv or .parquet")


def as_frame(frame: "pd.DataFrame", out: Path | None, excel_safe: bool, json: bool) -> None:
    """A frame and its index to a file, or else to stdout: as records of JSON, or as CSV."""
    if out is None and json:
        as_json(frame.reset_index().to_dict("records"))
    elif out is None or out.suffix == ".csv":
        as_csv(frame, out, excel_safe)
    else:
        frame.to_parquet(out)


def fitting(rows: list[dict[str, Any]], expendable: Iterable[str]) -> list[dict[str, Any]]:
    """Rows without as many of the ``expendable`` columns, the first first, as do not fit the terminal."""
    gone: set[str] = set()
    for name in expendable:
        shown = [{k: v for k, v in row.items() if k not in gone} for row in rows]
        widths = [max(len(k), *(len(_cell(r[k])) for r in shown)) for k in shown[0]] if shown else []
        if sum(widths) + 3 * len(widths) + 1 <= _width():
            break
        gone.add(name)
    return [{k: v for k, v in row.items() if k not in gone} for row in rows]


def _width() -> int:
    # Elsewhere than on a terminal nobody folds: a pipe gets lines as long as they need to be.
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 200


def as_table(rows: Iterable[Mapping[str, Any]], title: str | None = None, empty: str = "nothing") -> None:
    """Rows as a table on stdout that folds to the terminal's width."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    if not rows:
        note(empty)
        return
    # As Text, not as str: rich reads markup and names of emoji in strings, and titles, names and cells come from data.
    named = None if title is None else Text(shown(title), style="table.title")
    table = Table(title=named, header_style="bold", title_justify="left")
    for name, value in rows[0].items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        table.add_column(Text(shown(name)), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(v)) for v in row.values()))
    Console(width=None if sys.stdout.isatty() else _width()).print(table)


def _cell(value: Any) -> str:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    if value is None or value != value or str(value) == "<NA>":
        return ""
    return f"{value:.4g}" if isinstance(value, float) else shown(value)
