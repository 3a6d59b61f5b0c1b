"""Where shards are computed: worker processes of this machine, or a Dask or Ray cluster. No prefect here.

A cluster's workers run `affectlake.features.workers.compute_shard` and nothing else of ours: they need affectlake with
the extractors' extras, and neither prefect nor a way to its server. (prefect-dask and prefect-ray would run prefect's
task engine on every worker: seconds of imports in each, and an API that every worker can reach.)
"""

import importlib.util
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.features.compute import Chunk
from affectlake.flows.options import Engine, RefreshOptions

if TYPE_CHECKING:
    import pyarrow as pa

MODULES: dict[Engine, str] = {"dask": "distributed", "ray": "ray"}

AHEAD = 128
"""Shards that a cluster is given at a time: enough to keep it busy, few enough for its scheduler's memory."""

ATTEMPTS = 4
"""Times that a shard is handed in; each time the cluster itself already tries several workers."""

_log = logging.getLogger("affectlake.engines")

Results = list[dict[str, "pa.Table"]]
Compute = Callable[[list[Chunk]], Results]


def check(engine: Engine) -> None:
    """Raise UsageError where the engine's package is not installed."""
    module = MODULES.get(engine)
    if module and importlib.util.find_spec(module) is None:
        raise UsageError(f"the engine {engine!r} needs pip install 'affectlake[{engine}]'")


def in_flight(options: RefreshOptions) -> int:
    """Shards to ask for at a time; here one more than workers, so that every worker always finds one waiting."""
    return options.processes + 1 if options.engine == "local" else AHEAD


@contextmanager
def start(options: RefreshOptions, shards: Iterable[list[Chunk]]) -> Iterator[Compute]:
    """A function that computes one of the shards and waits for it; made to be called by many threads.

    Raises
    ------
    UsageError
        The engine's package is not installed.
    AffectlakeError
        Nobody answers at ``options.address``; later, a shard that was lost again and again with its workers, or a
        worker that does not have the same extractors.
    """
    check(options.engine)
    names = tuple(sorted({n for shard in shards for c in shard for n in c.extractors}))
    engine = {"local": _local, "dask": _dask, "ray": _ray}[options.engine]
    with engine(options, names) as compute:
        yield compute


def run(shards: Sequence[list[Chunk]], options: RefreshOptions) -> Iterator[dict[str, "pa.Table"]]:
    """Compute shards on the engine that the options name, results in order of completion."""
    if not shards:
        return
    with start(options, shards) as compute, ThreadPoolExecutor(in_flight(options)) as threads:
        for future in as_completed([threads.submit(compute, shard) for shard in shards]):
            yield from future.result()


@contextmanager
def _local(options: RefreshOptions, names: tuple[str, ...]) -> Iterator[Compute]:
    from affectlake.features.workers import Workers

    with Workers(options.processes, options.timeout, names) as workers:
        yield lambda shard: [tables for _, tables in workers.run(shard)]


@contextmanager
def _dask(options: RefreshOptions, names: tuple[str, ...]) -> Iterator[Compute]:
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "error")  # read when dask is imported; here and in its workers
    import distributed

    from affectlake.features.workers import compute_shard, fingerprints, one_thread

    one_thread()
    prints = fingerprints(names)
    try:
        # Its own port for its pages would be taken where another such cluster runs, and open to the network.
        cluster: Any = options.address or distributed.LocalCluster(
            n_workers=options.processes, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        )
        client = distributed.Client(cluster, set_as_default=False)
    except (OSError, ValueError) as error:
        raise AffectlakeError(f"no Dask scheduler answers at {options.address}: {error}") from None
    if not client.scheduler_info(n_workers=-1)["workers"]:
        _log.warning("no worker has joined the Dask scheduler at %s yet: waiting for one", options.address)
    lost = (distributed.scheduler.KilledWorker, distributed.client.FutureCancelledError)

    def attempt(shard: list[Chunk]) -> Results:
        return client.submit(compute_shard, shard, options.timeout, prints, pure=False).result()

    try:
        with client:
            yield lambda shard: _until_done(attempt, shard, lost)
    finally:
        if not options.address:
            cluster.close()


@contextmanager
def _ray(options: RefreshOptions, names: tuple[str, ...]) -> Iterator[Compute]:
    import ray

    from affectlake.features.workers import compute_shard, fingerprints, one_thread

    one_thread()
    prints = fingerprints(names)
    mine = not ray.is_initialized()
    if mine:
        here = {} if options.address else {"num_cpus": options.processes, "include_dashboard": False}
        try:
            ray.init(options.address or "local", log_to_driver=False, logging_level=logging.ERROR, **here)
        except (ConnectionError, ValueError) as error:
            raise AffectlakeError(f"no Ray cluster answers at {options.address}: {error}") from None
    task = ray.remote(compute_shard)

    def attempt(shard: list[Chunk]) -> Results:
        try:
            return ray.get(task.remote(shard, options.timeout, prints))
        except ray.exceptions.RayTaskError as error:
            raise error.cause or error from None

    lost = (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.ObjectLostError,
        ray.exceptions.OutOfMemoryError,
    )
    try:
        yield lambda shard: _until_done(attempt, shard, lost)
    finally:
        if mine:
            ray.shutdown()


def _until_done(attempt: Compute, shard: list[Chunk], lost: tuple[type[Exception], ...]) -> Results:
    """A worker that dies takes its shard along: that says nothing about the samples, so the shard is done again."""
    for number in range(1, ATTEMPTS + 1):
        try:
            return attempt(shard)
        except lost as error:
            _log.warning("a shard was lost with its worker (attempt %d of %d): %s", number, ATTEMPTS, error)
        except ModuleNotFoundError as error:
            raise AffectlakeError(f"a worker of the cluster cannot run our extractors: {error}") from error
    raise AffectlakeError(f"a shard was lost with its worker {ATTEMPTS} times: are the workers short of memory?")
