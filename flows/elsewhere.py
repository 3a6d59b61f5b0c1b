"""A job of a benchmark on a cluster's worker: in a process of its own, on files that may have come with it."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import current_process, get_context
from multiprocessing.util import Finalize
from pathlib import Path
from socket import gethostname
from tempfile import TemporaryDirectory
from threading import Lock, Timer
from typing import Any

import numpy as np

from affectlake.data.errors import AffectlakeError

IDLE = 300.0
"""Seconds after its last job in which a worker keeps a benchmark's files and processes."""


class Died(AffectlakeError):
    """The process that did a job was killed."""


@dataclass(frozen=True)
class Lacking:
    """Where a job's files are not to be seen."""

    host: str


def there(work: Callable[[Any], Any], job: Any, names: Sequence[str], *contents: np.ndarray) -> Any:
    """What ``work`` makes of a job; what a cluster's worker is asked to run.

    Parameters
    ----------
    work : callable(job)
    job : dataclass
        Its ``folder`` is where the machine that asks has written what the job reads.
    names : sequence of str
        Of the folder's files; may be empty.
    contents : uint8 arrays
        Theirs.

    Returns
    -------
    What ``work`` returns, or `Lacking`: the folder is not to be seen from here, and no files came along.

    Raises
    ------
    Died
        The process was killed; another one takes its place.
    """
    with _lock:
        bench = _kept.setdefault(os.path.dirname(job.folder), _Bench())
        bench.begin()
    try:
        if not os.path.isdir(job.folder):
            if not names:
                return Lacking(gethostname())
            job = replace(job, folder=bench.unpacked(job.folder, names, contents))
        return bench.run(work, job)
    finally:
        with _lock:
            bench.end()


class _Bench:
    """Processes and files of one benchmark on this worker."""

    def __init__(self) -> None:
        self._files: TemporaryDirectory[str] | None = None
        self.running, self._writing = 0, Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._timer: Timer | None = None
        # Not atexit, which worker processes of Dask never come to.
        self.close = Finalize(self, _closed, [vars(self)], exitpriority=100)

    def begin(self) -> None:
        self.running += 1
        if self._timer is not None:
            self._timer.cancel()

    def end(self) -> None:
        self.running -= 1
        if not self.running:
            self._timer = Timer(IDLE, _forget, [self])
            self._timer.daemon = True
            self._timer.start()

    def unpacked(self, folder: str, names: Sequence[str], contents: Sequence[np.ndarray]) -> str:
        """Where the files are here, which all processes map."""
        with self._writing:
            if self._files is None:
                self._files = TemporaryDirectory(prefix="affectlake-bench-")
            to = Path(self._files.name, os.path.basename(folder))
            if not to.exists():
                part = to.with_name(f"{to.name}.part")
                part.mkdir()
                for name, content in zip(names, contents, strict=True):
                    content.tofile(part / name)
                part.rename(to)
            return str(to)

    def run(self, work: Callable[[Any], Any], job: Any) -> Any:
        """In a process of its own: seeds of torch are a process', and threads of a worker would share them."""
        with self._writing:
            if self._pool is None:
                self._pool = _processes()
            pool = self._pool
        try:
            return pool.submit(work, job).result()
        except BrokenProcessPool as error:
            with self._writing:
                if self._pool is pool:
                    self._pool = None
            raise Died(f"the process of a job on {gethostname()} was killed") from error


_kept: dict[str, _Bench] = {}
_lock = Lock()


def _processes() -> ProcessPoolExecutor:
    """As many as there are jobs at a time, each with one thread, that end with this process."""
    from affectlake.features._guard import die_with_parent
    from affectlake.features.workers import one_thread

    one_thread()
    # Dask's nanny starts its workers as daemons, to which multiprocessing forbids children, because they would
    # outlive a daemon that is killed. Ours do not.
    current_process().daemon = False
    return ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"), initializer=die_with_parent)


def _forget(bench: _Bench) -> None:
    with _lock:
        if not bench.running:
            for folder in [f for f, b in _kept.items() if b is bench]:
                del _kept[folder]
            bench.close()


def _closed(parts: dict[str, Any]) -> None:
    if parts["_pool"] is not None:
        parts["_pool"].shutdown(wait=False, cancel_futures=True)
    if parts["_files"] is not None:
        parts["_files"].cleanup()
