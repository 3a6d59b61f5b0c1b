"""The page of a night: one HTML file that opens offline and says what changed since the night before."""

from pathlib import Path
from urllib.parse import quote

from affectlake.flows.history import History, replace, stem
from affectlake.flows.record import Earlier, Record
from affectlake.flows.report import template
from affectlake.flows.summary import describe_entry, describe_reason

SHOWN = 100
"""Items of each list on the page; the record has more."""

NIGHTS = 30
"""Earlier nights that the newest page links."""


def write_pages(record: Record, history: History, reports: Path) -> Path:
    """Write ``runs/<time>.html`` for good and ``index.html`` for the newest night; returns the latter's path."""
    earlier: list[Earlier] = []
    for other in history:
        if other["run"] != record["run"]:
            earlier.append({"name": stem(other), "started": other["started"], "state": other["state"]})
        if len(earlier) == NIGHTS:
            break
    page = history.folder / f"{stem(record)}.html"
    replace(page, html(record, reports, "..", earlier))
    replace(reports / "index.html", html(record, reports, ".", earlier))
    return reports / "index.html"


def html(record: Record, reports: Path, up: str, earlier: list[Earlier]) -> str:
    """The page as a string; ``up`` leads from it to the reports folder."""
    return template("night.html").render(
        record,
        up=up,
        earlier=earlier,
        shown=SHOWN,
        describe_entry=describe_entry,
        describe_reason=describe_reason,
        link=lambda path: f"{up}/{quote(Path(path).relative_to(reports.absolute()).as_posix())}",
    )
