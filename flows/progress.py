"""Progress on stderr: a bar on a terminal, a line every 30 seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")

EVERY_SECONDS = 30.0


class Progress(Protocol):
    """Where long work reports to."""

    def track(self, items: Iterable[T], title: str, total: int, size: Callable[[T], int]) -> Iterator[T]:
        """Hand items through; ``size(item)`` of ``total`` are done with each."""
        ...

    def bar(self, title: str) -> Callable[[int, int], None]:
        """A function of (done, total)."""
        ...


class _Silent:
    def track(self, items, title, total, size):
        return iter(items)

    def bar(self, title):
        return lambda done, total: None


silent: Progress = _Silent()


class Lines:
    """One line per `EVERY_SECONDS`, for logs."""

    def track(self, items, title, total, size):
        report, done = self.bar(title), 0
        for item in items:
            done += size(item)
            report(done, total)
            yield item

    def bar(self, title):
        last = time.monotonic()

        def report(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= EVERY_SECONDS:
                last = time.monotonic()
                print(f"{title}: {done} of {total}", file=sys.stderr, flush=True)

        return report


class Bars:
    """Bars with the time left, for terminals."""

    def track(self, items, title, total, size):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
            task = shown.add_task(title, total=total or None)
            for item in items:
                shown.advance(task, size(item))
                yield item

    def bar(self, title):
        # Reading files is short next to computing: one rewritten line is enough.
        last = 0.0

        def report(done: int, total: int) -> None:
            nonlocal last
            if done == total or time.monotonic() - last > 0.2:
                last = time.monotonic()
                print(f"\r{title}: {done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

        return report


def to_stderr() -> Progress:
    """What suits this process's stderr."""
    return Bars() if sys.stderr.isatty() else Lines()
