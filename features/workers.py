"""A pool of worker processes that outlives crashing and hanging decoders, and names the culprit."""

import atexit
import importlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from threading import Lock

import pyarrow as pa
from pebble import ProcessExpired, ProcessPool

from affectlake.features import registry
from affectlake.features.compute import Chunk, compute, failed, one_line

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
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "affectlake" / "numba"
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache))


def _import(modules: list[str]) -> None:
    for module in modules:
        # Only to be warm: what cannot be imported fails again, with its reason, where a sample needs it. Raised here
        # it would break the whole pool.
        with suppress(Exception):
            importlib.import_module(module)


class Workers:
    """Worker processes for `compute`; use as a context manager.

    Parameters
    ----------
    count : int > 0
        Processes.
    timeout : float > 0
        Seconds that one sample may take before its worker is killed and the sample is listed as failed.
    extractors : iterable of str
        What will be run; a worker imports what they need when it starts, outside any sample's time.
    """

    def __init__(self, count: int, timeout: float = 60.0, extractors: Iterable[str] = ()):
        self.count, self.timeout = count, timeout
        self.modules = sorted({m for name in extractors for m in registry.get(name).requires})

    def __enter__(self) -> "Workers":
        one_thread()
        # spawn, not fork: forked children inherit locks of the parent's threads, and hang.
        self._pool = ProcessPool(
            max_workers=self.count, context=get_context("spawn"), initializer=_import, initargs=[self.modules]
        )
        return self

    def __exit__(self, kind, value, trace) -> None:
        if kind is None and self._pool.active:
            self._pool.close()
        else:
            self._pool.stop()
        self._pool.join()

    def run(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, dict[str, pa.Table]]]:
        """Results chunk by chunk in order of completion; a chunk whose worker died comes back in pieces."""
        waiting: dict[Future, Chunk] = {self._submit(c): c for c in chunks}
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                chunk = waiting.pop(future)
                reason = self._reason(future)
                if reason is None:
                    yield chunk, future.result()
                elif len(chunk.requests) == len(chunk.extractors) == 1:
                    yield chunk, {n: failed(registry.get(n), chunk.requests, reason) for n in chunk.extractors}
                else:
                    waiting |= {self._submit(c): c for c in _split(chunk)}

    def _submit(self, chunk: Chunk) -> Future:
        return self._pool.schedule(compute, args=[chunk], timeout=self.timeout * min(len(chunk.requests), 10))

    def _reason(self, future: Future) -> str | None:
        error = future.exception()
        match error:
            case None:
                return None
            case TimeoutError():
                return f"took longer than {self.timeout:g} s"
            case ProcessExpired():
                return f"the worker process died while it worked on this sample (exit code {error.exitcode})"
            case _:
                return one_line(f"{type(error).__name__}: {error}")


def _split(chunk: Chunk) -> Iterator[Chunk]:
    """Sample by sample to find the one that kills, then extractor by extractor: the others may get on with it."""
    if len(chunk.requests) > 1:
        yield from (replace(chunk, requests=(r,)) for r in chunk.requests)
    else:
        yield from (replace(chunk, extractors=(name,)) for name in chunk.extractors)


_shared: dict[tuple, Workers] = {}
_sharing = Lock()


def shared(count: int, timeout: float, extractors: tuple[str, ...]) -> Workers:
    """This process's pool for these settings, started at the first call and kept warm until `close_shared` or exit.

    Several threads of one process, or tasks that follow each other on a remote worker, use the same processes.
    """
    key = (count, timeout, extractors)
    with _sharing:
        if key not in _shared:
            _shared[key] = Workers(count, timeout, extractors).__enter__()
        return _shared[key]


@atexit.register
def close_shared() -> None:
    """Stop the pools of this process."""
    with _sharing:
        for workers in _shared.values():
            workers.__exit__(None, None, None)
        _shared.clear()
