"""What all pages share: how one is put together, and parts of long tables."""

from dataclasses import dataclass
from typing import Any

from affectlake.flows.explore.ask import Ask, Links
from affectlake.flows.report import METRIC_NAMES, template

PER_PAGE = 50
"""Rows of a long table on a page."""


@dataclass(frozen=True)
class Part:
    """A part of a long table: its number from 1 on, how many there are, and how many rows in all."""

    number: int
    parts: int
    rows: int

    @property
    def first(self) -> int:
        """Position of the part's first row."""
        return (self.number - 1) * PER_PAGE

    @property
    def rows_of_it(self) -> slice:
        """The part's rows among all."""
        return slice(self.first, self.first + PER_PAGE)


def part(rows: int, ask: Ask) -> Part:
    """The part that is asked for; the last one where there are fewer."""
    parts = max(1, -(-rows // PER_PAGE))
    return Part(min(ask.page(), parts), parts, rows)


def page(name: str, to: Links, title: str, dataset: str | None = None, **context: Any) -> str:
    """A page of ours, filled."""
    return template(f"explore/{name}.html").render(
        to=to, title=title, dataset=dataset, metric_names=METRIC_NAMES, number=number, **context
    )


def number(value: float | None) -> str:
    """A number with four digits that count; nothing where there is none.

    Examples
    --------
    >>> number(1234.56), number(0.000123456), number(2.0), number(None), number(float("nan"))
    ('1235', '0.0001235', '2', '', '')
    """
    return "" if value is None or value != value else f"{value:.4g}"
