"""How commands print: JSON or a table on stdout, everything else on stderr."""

import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from affectlake.flows.values import plain


def note(message: str) -> None:
    """A line for people, on stderr."""
    print(message, file=sys.stderr)


def as_json(value: Any) -> None:
    """``value`` as JSON on stdout; NaN, which JSON does not have, becomes null."""
    json.dump(plain(value), sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    print()


def as_lines(rows: Iterable[Any]) -> None:
    """Each of ``rows`` as a line of JSON on stdout, at once."""
    for row in rows:
        print(json.dumps(plain(row), ensure_ascii=False, allow_nan=False))
    sys.stdout.flush()


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

    rows = list(rows)
    if not rows:
        note(empty)
        return
    table = Table(title=title, header_style="bold", title_justify="left")
    for name, value in rows[0].items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(v) for v in row.values()))
    Console(width=None if sys.stdout.isatty() else _width()).print(table)


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
