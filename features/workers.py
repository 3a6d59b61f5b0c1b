"""A pool of worker processes that outlives crashing and hanging decoders, and names the culprit."""

import importlib
import logging
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import current_process, get_context
from multiprocessing.util import Finalize
from socket import gethostname
from threading import Event, Lock, Thread, local
from typing import Any

import pyarrow as pa
from pebble import ProcessExpired, ProcessPool
from platformdirs import user_cache_path

from affectlake.data.errors import AffectlakeError
from affectlake.data.remote.spool import reserve
from affectlake.data.store import Place
from affectlake.features import registry, settings
from affectlake.features._guard import MEMORY_VARIABLE, die_with_parent, limit_memory, memory_limit
from affectlake.features.compute import LONG, Chunk, compute, failed, one_line
from affectlake.features.inputs import decoding
from affectlake.features.protocol import fingerprint
from affectlake.features.results import Results, results, written

_log = logging.getLogger("affectlake.workers")

# One thread per worker: two threads on shared cores halve the speed of MiniLM and xgboost. The libraries read
# these once, when they are first imported, so they must be set before the workers start.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}


def one_thread() -> None:
    """Set the environment of this process and those it starts to one thread each; what the user set stays."""
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
    compiled_once()


def compiled_once() -> None:
    """Keep what numba compiles where all processes and environments of this user find it: librosa's takes 17 s."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(user_cache_path("affectlake") / "numba"))


def _prepare(modules: list[str]) -> None:
    die_with_parent()
    for module in modules:
        # Only to be warm: what cannot be imported fails again, with its reason, where a sample needs it. Raised here
        # it would break the whole pool.
        with suppress(Exception):
            importlib.import_module(module)
    limit_memory()


LIVES = 3
"""Times that a sample's own worker may be killed from outside, or the pool break under it, before it is blamed."""

FETCH_RATE = 2**20
"""Bytes per second of objects elsewhere for which a sample may take longer."""

RESTARTS = 8
"""Pools that may break one after another without a single result between them."""

AHEAD = 8
"""Chunks per process that wait for their turn; the others are not made yet."""

STALLED = 120.0
"""Seconds in which a pool must begin something, if anything waits."""


@dataclass(frozen=True)
class _Work:
    chunk: Chunk
    pool: "_Pool"
    lives: int = LIVES
    pieces: int = 1


class _Pool:
    """Processes, and a thread that started them: Linux ends them with the thread that they were started by."""

    def __init__(self, count: int, modules: list[str]):
        # spawn, not fork: forked children inherit locks of the parent's threads, and hang.
        self.processes = ProcessPool(
            max_workers=count, context=get_context("spawn"), initializer=_prepare, initargs=[modules]
        )
        self.seen = time.monotonic()
        self._started, self._over = Event(), Event()
        Thread(target=self._keep, name="worker pool", daemon=True).start()
        self._started.wait()

    def _keep(self) -> None:
        try:
            self.alive()
        finally:
            self._started.set()
        self._over.wait()

    def alive(self) -> bool:
        """Whether it still takes work; one that lost a process at a bad moment does not."""
        with suppress(OSError, RuntimeError):
            return bool(self.processes.active)
        return False

    def stalled(self) -> bool:
        """Whether nothing has run for long: a process that was killed while it took its work leaves the door shut."""
        tasks = list(self.processes._pool_manager.task_manager.tasks.values())
        now = time.time()
        if not tasks or any(t.started and now < t.timestamp + (t.timeout or 0) + 10 for t in tasks):
            self.seen = time.monotonic()
        return time.monotonic() - self.seen > STALLED

    def close(self) -> None:
        self.processes.close()  # type: ignore[no-untyped-call]
        self.processes.join()
        self._over.set()

    def stop(self) -> None:
        self.processes.stop()  # type: ignore[no-untyped-call]
        self.processes.join()
        self._over.set()


class Workers:
    """Worker processes for `compute`; use as a context manager.

    Parameters
    ----------
    count : int > 0
        Processes.
    timeout : float > 0
        Seconds that one sample (of a longer recording: 10 minutes of it) may take before its worker is killed and the
        sample is listed as failed.
    extractors : iterable of str
        What will be run; a worker imports what they need when it starts, outside any sample's time.
    """

    def __init__(self, count: int, timeout: float = 60.0, extractors: Iterable[str] = ()):
        self.count, self.timeout = count, timeout
        self.modules = sorted({m for name in extractors for m in registry.get(name).requires})
        self._changing, self._restarts, self._ended = Lock(), 0, False

    def __enter__(self) -> "Workers":
        memory_limit()  # a typing error is said here, not by every process
        one_thread()
        reserve()
        self._pool = _Pool(self.count, self.modules)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is None and self._pool.alive():
            self._ended = True
            self._pool.close()
        else:
            self.stop()

    @property
    def active(self) -> bool:
        """Whether there are processes that take work."""
        return not self._ended and self._pool.alive()

    def stop(self) -> None:
        """End the processes without waiting for what they do."""
        with self._changing:
            self._ended = True
            self._pool.stop()

    def run(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, dict[str, pa.Table]]]:
        """Results chunk by chunk in order of completion; a chunk whose worker died comes back in pieces.

        May be called by several threads at once.

        Raises
        ------
        AffectlakeError
            Worker processes die again and again before they do anything.
        """
        todo = iter(chunks)
        waiting: dict[Future[Any], _Work] = dict(self._submit(c) for c in islice(todo, AHEAD * self.count))
        while waiting:
            done, _ = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
            if not done and any(not w.pool.alive() or w.pool.stalled() for w in waiting.values()):
                # What such a pool had not begun would be waited for in vain.
                done = {f for f, w in waiting.items() if not w.pool.alive() or w.pool.stalled()}
            for future in done:
                work = waiting.pop(future)
                chunk, again = work.chunk, self._again(future, work)
                if again is not None:
                    waiting.update([again])
                    continue
                reason = self._reason(future)
                if reason is None:
                    self._restarts = 0
                    rest, tables, found = _long(chunk, future.result())
                    waiting |= dict(self._submit(c, pieces=count) for c, count in found)
                    if rest.requests:
                        yield rest, tables
                elif len(chunk.requests) == len(chunk.extractors) == 1:
                    with settings.use(dict(chunk.settings)):
                        failures = {n: failed(registry.get(n), chunk.requests, reason) for n in chunk.extractors}
                    yield chunk, failures
                else:
                    waiting |= dict(self._submit(c, pieces=work.pieces) for c in _split(chunk))
            waiting |= dict(self._submit(c) for c in islice(todo, max(AHEAD * self.count - len(waiting), 0)))

    def _submit(self, chunk: Chunk, lives: int = LIVES, pieces: int = 1) -> tuple[Future[Any], _Work]:
        seconds, given = self.timeout * min(len(chunk.requests), 10) * pieces, replace(chunk, pieces=pieces)
        seconds += sum(r.size for r in chunk.requests) / FETCH_RATE
        while True:
            pool = self._pool
            try:
                return pool.processes.schedule(compute, args=[given], timeout=seconds), _Work(
                    chunk, pool, lives, pieces
                )
            except (RuntimeError, OSError):
                self._renew(pool)

    def _again(self, future: Future[Any], work: _Work) -> tuple[Future[Any], _Work] | None:
        """The same work handed in once more, where its end says nothing about its samples."""
        broken = not future.done() or isinstance(future.exception(), BrokenProcessPool | CancelledError)
        if broken:
            self._renew(work.pool)
        killed = future.done() and _killed(future.exception()) and len(work.chunk.requests) == 1
        return self._submit(work.chunk, work.lives - 1, work.pieces) if (broken or killed) and work.lives > 1 else None

    def _renew(self, broken: _Pool) -> None:
        """Other processes instead of those of a pool that broke; raises AffectlakeError where that is of no use."""
        with self._changing:
            if self._ended:
                raise AffectlakeError("the worker processes were stopped")
            if self._pool is not broken:
                return
            self._restarts += 1
            if self._restarts > RESTARTS:
                raise AffectlakeError(
                    f"worker processes died {RESTARTS} times before they had done anything: is memory short, or "
                    f"{MEMORY_VARIABLE} ({memory_limit():g} GB) too low?"
                )
            _log.warning("the worker processes were lost: others go on (%d)", self._restarts)
            broken.stop()
            self._pool = _Pool(self.count, self.modules)

    def _reason(self, future: Future[Any]) -> str | None:
        error = future.exception(0) if future.done() else BrokenProcessPool("stopped answering")
        match error:
            case None:
                return None
            case TimeoutError():
                return f"took longer than {self.timeout:g} s"
            case ProcessExpired():
                return f"the worker process died while it worked on this sample ({_ending(error.exitcode)})"
            case _:
                return one_line(f"{type(error).__name__}: {error}")


def _killed(error: BaseException | None) -> bool:
    """Whether somebody else killed the worker: a person, or the system that ran out of memory."""
    return isinstance(error, ProcessExpired) and error.exitcode in (-signal.SIGKILL, -signal.SIGTERM)


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
        short = ": out of memory?" if name in ("SIGKILL", "SIGABRT") else ""
        return f"exit code {code}, {name}{short}"
    return f"exit code {code}"


def _long(chunk: Chunk, tables: dict[str, pa.Table]) -> tuple[Chunk, dict[str, pa.Table], list[tuple[Chunk, int]]]:
    """What was computed, and each recording that wants more time, with its number of pieces."""
    if chunk.reads not in ("audio", "speech", "face"):
        return chunk, tables, []
    outcome = next(iter(tables.values()))["outcome"].to_numpy(zero_copy_only=False)
    later = outcome == LONG
    if not later.any():
        return chunk, tables, []
    counts = next(iter(tables.values()))["reason"].to_pylist()
    asked = zip(chunk.requests, counts, later, strict=True)
    found = [(replace(chunk, requests=(r,)), int(count)) for r, count, wait in asked if wait]
    rest = tuple(r for r, wait in zip(chunk.requests, later, strict=True) if not wait)
    return replace(chunk, requests=rest), {n: t.filter(pa.array(~later)) for n, t in tables.items()}, found


def _split(chunk: Chunk) -> Iterator[Chunk]:
    """Sample by sample to find the one that kills, then extractor by extractor: the others may get on with it."""
    if len(chunk.requests) > 1:
        yield from (replace(chunk, requests=(r,)) for r in chunk.requests)
    else:
        yield from (replace(chunk, extractors=(name,)) for name in chunk.extractors)


def fingerprints(names: Iterable[str]) -> dict[str, str]:
    """Fingerprint of each extractor as it is installed here, under the settings in force."""
    chosen = map(registry.get, names)
    return {e.name: fingerprint(e, decoding(e.reads)) for e in chosen}


_mine = local()


def compute_shard(shard: Sequence[Chunk], timeout: float, expected: Mapping[str, str], place: Place) -> Results:
    """Results of a shard, in the store where that can be had from here; what a cluster's worker is asked to run.

    The samples are given to a process of the calling thread's own, which may die of them, and which stays warm for the
    shards that follow.

    Parameters
    ----------
    shard : sequence of Chunk
    timeout : float > 0
        Seconds that one sample may take.
    expected : mapping of extractor to fingerprint
        What the results are kept under.
    place : Place
        Where.

    Raises
    ------
    AffectlakeError
        An extractor is not installed here, or not the same one.
    """
    with settings.use(dict(shard[0].settings)):
        here = fingerprints(expected)
    for name, wanted in expected.items():
        if here[name] != wanted:
            raise AffectlakeError(
                f"{name} of the worker on {gethostname()} is not the one that was asked for (version "
                f"{registry.get(name).version} there): install the same affectlake and weights on every machine"
            )
    key = timeout, tuple(expected)
    if getattr(_mine, "key", None) != key:
        # Dask's nanny starts its workers as daemons, to which multiprocessing forbids children, because they would
        # outlive a daemon that is killed. Ours do not: they end when their pipe does.
        current_process().daemon = False
        if hasattr(_mine, "workers"):
            _mine.workers.__exit__(None, None, None)
        _mine.workers = Workers(1, timeout, expected).__enter__()
        _mine.key = key
        # Not atexit, which worker processes of Dask never come to.
        Finalize(None, _mine.workers.stop, exitpriority=100)
    return written(results(shard, (tables for _, tables in _mine.workers.run(shard))), place, expected)
