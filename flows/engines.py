"""Where shards are computed: worker processes of this machine, or a Dask or Ray cluster. No prefect here.

A cluster's workers run `affectlake.features.workers.compute_shard`, `affectlake.data.store.assemble` and nothing else
of ours: they need affectlake with the extractors' extras and a way to the store, and neither prefect nor a way to its
server. (prefect-dask and prefect-ray would run prefect's task engine on every worker: seconds of imports in each, and
an API that every worker can reach.)
"""

import importlib.util
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache, partial
from itertools import islice
from threading import Event, Lock
from typing import Any

from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.store import Assemblers, Job, Place, Shards, assemble
from affectlake.features.compute import Chunk
from affectlake.features.plan import Plan
from affectlake.features.results import Results, results
from affectlake.flows.options import Engine, RefreshOptions

MODULES: dict[Engine, str] = {"dask": "distributed", "ray": "ray"}

AHEAD = 128
"""Shards that a cluster is given at a time: enough to keep it busy, few enough for its scheduler's memory."""

ASSEMBLED = 16
"""Groups of shards that a cluster puts together at a time."""

ATTEMPTS = 4
"""Times that a shard is handed in; each time the cluster itself already tries several workers."""

_log = logging.getLogger("affectlake.engines")

Compute = Callable[[list[Chunk]], Results]
Call = Callable[..., Any]
"""Calls a function with what it is to be given, on some worker, and waits for what it returns."""

Places = Callable[[], AbstractContextManager[Place]]
"""`affectlake.data.store.Writer.place`"""


def check(engine: Engine) -> None:
    """Raise UsageError where the engine's package is not installed."""
    module = MODULES.get(engine)
    if module and importlib.util.find_spec(module) is None:
        raise UsageError(f"the engine {engine!r} needs pip install 'affectlake[{engine}]'")


def in_flight(options: RefreshOptions) -> int:
    """Shards to ask for at a time; here one more than workers, so that every worker always finds one waiting."""
    return options.processes + 1 if options.engine == "local" else AHEAD


@contextmanager
def start(work: Plan, options: RefreshOptions, places: Places) -> Iterator[Compute]:
    """A function that computes a shard of the work and waits for it; made to be called by many threads.

    Raises
    ------
    UsageError
        The engine's package is not installed.
    AffectlakeError
        Nobody answers at ``options.address``; later, a shard that was lost again and again with its workers, or a
        worker that does not have the same extractors.
    """
    check(options.engine)
    prints = {name: work.fingerprints[name] for name, left in sorted(work.to_compute.items()) if left}
    if options.engine == "local":
        with _local(options, prints) as compute:
            yield compute
        return
    from affectlake.features.workers import compute_shard

    with places() as place, _cluster(options) as call:
        yield _telling(lambda shard: call(compute_shard, shard, options.timeout, prints, place), options)


def _telling(compute: Compute, options: RefreshOptions) -> Compute:
    """The same, that says once where workers cannot write to the store."""
    tell = _once(options, "their results travel through this process")

    def computed(shard: list[Chunk]) -> Results:
        found = compute(shard)
        if found.unwritten:
            tell(found.unwritten)
        return found

    return computed


def _once(options: RefreshOptions, so: str) -> Callable[[object], None]:
    """Says what becomes of work where workers cannot write to the store."""
    said = Event()

    def tell(why: object) -> None:
        if not said.is_set():
            said.set()
            _log.warning("not every worker can write to the store at %s (%s): %s", options.store, why, so)

    return tell


@contextmanager
def assembling(options: RefreshOptions, places: Places) -> Iterator[Assemblers | None]:
    """Workers that write the shards of tables; None: this machine does it, whose cores a cluster of its own shares."""
    if options.engine == "local" or not options.address:
        yield None
        return
    tell, opening = _once(options, "this process writes its tables"), Lock()
    opened: list[tuple[Place, Call]] = []
    with ExitStack() as stack:

        def write(job: Job) -> Shards | None:
            with opening:
                if not opened:  # most nights nothing changed
                    opened.append((stack.enter_context(places()), stack.enter_context(_cluster(options))))
            ((place, call),) = opened
            found: Shards | str = call(assemble, place, job)
            if isinstance(found, str):
                tell(found)
                return None
            return found

        yield Assemblers(write, ASSEMBLED)


def run(work: Plan, options: RefreshOptions, places: Places) -> Iterator[Results]:
    """Compute what is left on the engine that the options name, results in order of completion."""
    if not work.chunks:
        return
    with start(work, options, places) as compute, ThreadPoolExecutor(in_flight(options)) as threads:
        futures = (threads.submit(compute, shard) for shard in work.shards)
        waiting = set(islice(futures, 2 * in_flight(options)))  # shards are made as they are asked for
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= set(islice(futures, len(done)))
            yield from (future.result() for future in done)


@contextmanager
def _local(options: RefreshOptions, prints: Mapping[str, str]) -> Iterator[Compute]:
    from affectlake.features.workers import Workers

    with Workers(options.processes, options.timeout, prints) as workers:
        yield lambda shard: results(shard, (tables for _, tables in workers.run(shard)))


def _cluster(options: RefreshOptions) -> AbstractContextManager[Call]:
    return {"dask": _dask, "ray": _ray}[options.engine](options)


@contextmanager
def _dask(options: RefreshOptions) -> Iterator[Call]:
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "error")  # read when dask is imported; here and in its workers
    import distributed

    from affectlake.features.workers import one_thread

    one_thread()
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

    def attempt(function: Callable[..., Any], *given: Any) -> Any:
        return client.submit(function, *given, pure=False).result()

    try:
        with client:
            yield partial(_until_done, attempt, lost)
    finally:
        if not options.address:
            cluster.close()


@contextmanager
def _ray(options: RefreshOptions) -> Iterator[Call]:
    import ray

    from affectlake.features.workers import one_thread

    one_thread()
    mine = not ray.is_initialized()
    if mine:
        here = {} if options.address else {"num_cpus": options.processes, "include_dashboard": False}
        try:
            ray.init(options.address or "local", log_to_driver=False, logging_level=logging.ERROR, **here)
        except (ConnectionError, ValueError) as error:
            raise AffectlakeError(f"no Ray cluster answers at {options.address}: {error}") from None
    task = cache(ray.remote)

    def attempt(function: Callable[..., Any], *given: Any) -> Any:
        try:
            return ray.get(task(function).remote(*given))
        except ray.exceptions.RayTaskError as error:
            raise error.cause or error from None

    lost = (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.ObjectLostError,
        ray.exceptions.OutOfMemoryError,
    )
    try:
        yield partial(_until_done, attempt, lost)
    finally:
        if mine:
            ray.shutdown()


def _until_done(attempt: Call, lost: tuple[type[Exception], ...], function: Callable[..., Any], *given: Any) -> Any:
    """A worker that dies takes its shard along: that says nothing about the samples, so the shard is done again."""
    for number in range(1, ATTEMPTS + 1):
        try:
            return attempt(function, *given)
        except lost as error:
            _log.warning("a shard was lost with its worker (attempt %d of %d): %s", number, ATTEMPTS, error)
        except ModuleNotFoundError as error:
            raise AffectlakeError(f"a worker of the cluster cannot run our extractors: {error}") from error
    raise AffectlakeError(f"a shard was lost with its worker {ATTEMPTS} times: are the workers short of memory?")
