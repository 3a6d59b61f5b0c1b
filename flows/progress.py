"""Progress on stderr: a bar that moves by itself on a terminal, a line every ten seconds elsewhere."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from affectlake.data.progress import Progress, Report
from affectlake.flows.shown import shown as visible

PATIENCE = 1.0
"""Seconds that a stage may take before `lines` says that it goes on: most take no longer."""

EVERY_SECONDS = 10.0


@contextmanager
def lines(title: str) -> Iterator[Report]:
    """A line where a stage takes longer than `PATIENCE`, and another each `EVERY_SECONDS`, for logs."""
    begin, over, known = time.monotonic(), Event(), ""

    def report(done: int, total: int) -> None:
        nonlocal known
        known = f"{done} of {total}, " if total else f"{done}, "

    def tell() -> None:
        wait = PATIENCE
        while not over.wait(wait):
            print(f"{visible(title)}: {known}{time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
            wait = EVERY_SECONDS

    thread = Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield report
    finally:
        over.set()
        thread.join()


@contextmanager
def bars(title: str) -> Iterator[Report]:
    """A bar that a thread keeps moving, with the time passed and left, for terminals."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[known]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # stdout may be a pipe, which gets data and nothing of a screen.
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as shown:
        task = shown.add_task(visible(title), total=None, known="")

        def report(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total or None, known=f"{done}/{total or '?'}")

        yield report


def to_stderr() -> Progress:
    """What suits this process's stderr."""
    return bars if sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown") else lines
