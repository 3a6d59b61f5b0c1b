"""Pages about benchmarks: their rows, confusions, the samples behind them, and runs beside each other."""

from dataclasses import dataclass

import pandas as pd

from affectlake.data.errors import UnknownName
from affectlake.flows.compare import SELECTED, row_name
from affectlake.flows.compare import compare as compared
from affectlake.flows.explore.ask import Ask, Links
from affectlake.flows.explore.lake import Lake
from affectlake.flows.explore.page import page, part
from affectlake.flows.mistakes import LISTED, answer, mistakes

SHOWN = 25
"""Rows of a comparison."""

BOARD = 15
"""Rows of a leaderboard."""

SHADES = 5


def run(lake: Lake, ask: Ask, to: Links) -> str:
    """One benchmark: its rows, and of one of them the confusions and the surest errors."""
    document = lake.run(ask.one("run"))
    rows = lake.rows(document)
    row = _row(ask, rows)
    answers = rows[row] if row else pd.DataFrame()
    known = set(lake.samples(document["dataset"]).index) if lake.holds(document["dataset"]) else set()
    confusion = document.get("confusion")
    return page(
        "run",
        to,
        f"{document['label']} of {document['dataset']}",
        document["dataset"],
        document=document,
        board=[(r, row_name(r) if row_name(r) in rows else "") for r in document["rows"][:BOARD]],
        row=row,
        selectable=SELECTED in rows,
        confusion=_confusion(answers, confusion["labels"]) if row and confusion else [],
        errors=mistakes(answers)[:LISTED] if confusion and row else [],
        known=known,
    )


def _row(ask: Ask, rows: dict[str, pd.DataFrame]) -> str | None:
    """The row that is asked for, else the first; raises UnknownName where it was not recorded."""
    row = ask.maybe("row")
    if row is None:
        return next(iter(rows), None)
    if row not in rows:
        raise UnknownName("row", row, rows)
    return row


@dataclass(frozen=True)
class Line:
    """A true class: how often each class was said (name, number, shade), and of how many samples."""

    truth: str
    cells: list[tuple[str, int, int]]
    n: int


def _confusion(answers: pd.DataFrame, classes: list[str]) -> list[Line]:
    """A line for each true class: how often each class was said, and how dark that is drawn."""
    names = [str(c) for c in classes]
    counts = pd.crosstab(answers["truth"], answers["predicted"]).reindex(index=names, columns=names, fill_value=0)
    lines = []
    for name in names:
        line = counts.loc[[name]].to_numpy()[0].tolist()
        n = sum(line)
        cells = [(said, v, -(-SHADES * v // n) if n else 0) for said, v in zip(names, line, strict=True)]
        lines.append(Line(name, cells, n))
    return lines


def answers(lake: Lake, ask: Ask, to: Links) -> str:
    """The samples behind a cell of a confusion matrix."""
    document = lake.run(ask.one("run"))
    rows = lake.rows(document)
    row = _row(ask, rows)
    truth, predicted = ask.maybe("truth"), ask.maybe("predicted")
    found = rows[row] if row else pd.DataFrame({"truth": [], "predicted": []})
    for name, value in (("truth", truth), ("predicted", predicted)):
        found = found if value is None else found[found[name] == value]
    listed = sorted(map(answer, found.itertuples(index=False)), key=lambda a: -(a["probability"] or 0.0))
    here = part(len(listed), ask)
    asked = {k: v for k, v in (("run", document["run"]), ("row", row), ("truth", truth), ("predicted", predicted)) if v}
    return page(
        "answers",
        to,
        f"{truth or 'any'} taken for {predicted or 'any'}",
        document["dataset"],
        document=document,
        row=row,
        rows=listed[here.rows_of_it],
        part=here,
        asked=asked,
    )


def compare(lake: Lake, ask: Ask, to: Links) -> str:
    """Benchmarks beside each other; see `affectlake.flows.compare`."""
    found = compared(lake.store.uri, ask.many("run"))
    datasets = {r["dataset"] for r in found.runs}
    return page(
        "compare",
        to,
        f"{len(found.runs)} benchmarks beside each other",
        datasets.pop() if len(datasets) == 1 else None,
        found=found,
        shown=SHOWN,
    )
