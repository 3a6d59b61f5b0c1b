"""Progress on stderr: a bar on a terminal, a line every 30 seconds elsewhere."""

import atexit
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

from affectlake.flows.shown import shown as visible

if TYPE_CHECKING:
    import rich.progress

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
    def track(self, items: Iterable[T], title: str, total: int, size: Callable[[T], int]) -> Iterator[T]:
        return iter(items)

    def bar(self, title: str) -> Callable[[int, int], None]:
        return lambda done, total: None


silent: Progress = _Silent()


class Lines:
    """One line per `EVERY_SECONDS`, for logs."""

    def track(self, items: Iterable[T], title: str, total: int, size: Callable[[T], int]) -> Iterator[T]:
        report, done = self.bar(title), 0
        for item in items:
            done += size(item)
            report(done, total)
            yield item

    def bar(self, title: str) -> Callable[[int, int], None]:
        last = time.monotonic()

        def report(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= EVERY_SECONDS:
                last = time.monotonic()
                print(f"{visible(title)}: {done} of {total}", file=sys.stderr, flush=True)

        return report


def _bars(auto_refresh: bool = True) -> "rich.progress.Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), auto_refresh=auto_refresh, transient=True)


class Bars:
    """Bars with the time left, for terminals."""

    def track(self, items: Iterable[T], title: str, total: int, size: Callable[[T], int]) -> Iterator[T]:
        with _bars() as shown:
            task = shown.add_task(visible(title), total=total or None)
            for item in items:
                shown.advance(task, size(item))
                yield item

    def bar(self, title: str) -> Callable[[int, int], None]:
        # Redrawn by the reports themselves: a thread of its own would outlive work that fails half-way.
        shown = _bars(auto_refresh=False)
        task = shown.add_task(visible(title), total=None)

        def report(done: int, total: int) -> None:
            if not shown.live.is_started and done < total:
                shown.start()
                atexit.register(shown.stop)  # gives the cursor back where the work ends in an error
            shown.update(task, completed=done, total=total, refresh=shown.live.is_started)
            if done >= total:
                shown.stop()
                atexit.unregister(shown.stop)

        return report


def to_stderr() -> Progress:
    """What suits this process's stderr."""
    return Bars() if sys.stderr.isatty() else Lines()
