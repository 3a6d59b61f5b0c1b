"""A pool of worker processes that outlives crashing and hanging decoders, and names the culprit."""

import importlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import replace
from multiprocessing import current_process, get_context
from multiprocessing.util import Finalize
from pathlib import Path
from socket import gethostname
from threading import local

import pyarrow as pa
from pebble import ProcessExpired, ProcessPool

from affectlake.data.errors import AffectlakeError
from affectlake.features import registry, settings
from affectlake.features.compute import Chunk, compute, failed, one_line
from affectlake.features.inputs import decoding
from affectlake.features.protocol import fingerprint

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
            self._pool.join()
        else:
            self.stop()

    def stop(self) -> None:
        """End the processes without waiting for what they do."""
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
                    with settings.use(dict(chunk.settings)):
                        said = {n: failed(registry.get(n), chunk.requests, reason) for n in chunk.extractors}
                    yield chunk, said
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


def fingerprints(names: Iterable[str]) -> dict[str, str]:
    """Fingerprint of each extractor as it is installed here, under the settings in force."""
    chosen = map(registry.get, names)
    return {e.name: fingerprint(e, decoding(e.reads)) for e in chosen}


_mine = local()


def compute_shard(shard: Sequence[Chunk], timeout: float, expected: Mapping[str, str]) -> list[dict[str, pa.Table]]:
    """Results of each chunk; what a cluster's worker is asked to run.

    The samples are given to a process of the calling thread's own, which may die of them, and which stays warm for the
    shards that follow.

    Parameters
    ----------
    shard : sequence of Chunk
    timeout : float > 0
        Seconds that one sample may take.
    expected : mapping of extractor to fingerprint
        What the results will be kept under.

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
    return [tables for _, tables in _mine.workers.run(shard)]
