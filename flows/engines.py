"""Where work is done: worker processes of this machine, or a Dask or Ray cluster. No prefect here.

A cluster's workers run `affectlake.features.workers.compute_shard`, `affectlake.data.store.assemble`,
`affectlake.flows.elsewhere.there` and nothing else of ours: they need affectlake with the extractors' extras and a way
to the store (jobs of a benchmark need neither), and neither prefect nor a way to its server.
(prefect-dask and prefect-ray would run prefect's task engine on every worker: seconds of imports in each, and an API
that every worker can reach.)
"""

import importlib.util
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from threading import Event, Lock
from typing import Any

from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.store import Assemblers, Job, Place, Shards, assemble
from affectlake.features.compute import Chunk
from affectlake.features.plan import Plan
from affectlake.features.results import Results, results
from affectlake.flows.elsewhere import Died, Lacking, there
from affectlake.flows.machine import Map
from affectlake.flows.machine import Mapping as Processes
from affectlake.flows.options import Engine, OnEngine, RefreshOptions

MODULES: dict[Engine, str] = {"dask": "distributed", "ray": "ray"}

AHEAD = 128
"""Shards or jobs that a cluster is given at a time: enough to keep it busy, few enough for its scheduler's memory."""

ASSEMBLED = 16
"""Groups of shards that a cluster puts together at a time."""

ATTEMPTS = 4
"""Times that work is handed in; each time the cluster itself already tries several workers."""

_log = logging.getLogger("affectlake.engines")

Compute = Callable[[list[Chunk]], Results]


@dataclass(frozen=True)
class Cluster:
    """Workers on other machines, or on this one.

    Attributes
    ----------
    attempt : callable(function, *given)
        Has a function called on some worker, once, and waits for what it returns.
    lost : tuple of exception types
        What it raises where a worker died, or the process that did the work: that says nothing about the work.
    put : callable(object)
        Sends an object there; what comes back stands for it among what work is given, as long as the cluster has it.
    """

    attempt: Callable[..., Any]
    lost: tuple[type[Exception], ...]
    put: Callable[[Any], Any]

    def call(self, function: Callable[..., Any], *given: Any) -> Any:
        """Do work, again where it was lost with its worker."""
        return self.again(function, lambda: given)

    def again(self, function: Callable[..., Any], given: Callable[[], tuple[Any, ...]]) -> Any:
        """The same with what each attempt is given anew."""
        for number in range(1, ATTEMPTS + 1):
            try:
                return self.attempt(function, *given())
            except self.lost as error:
                _log.warning("work was lost with its worker (attempt %d of %d): %s", number, ATTEMPTS, error)
            except ModuleNotFoundError as error:
                raise AffectlakeError(f"a worker of the cluster cannot run our work: {error}") from error
        raise AffectlakeError(f"work was lost with its worker {ATTEMPTS} times: are the workers short of memory?")


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

    with places() as place, _cluster(options) as cluster:
        yield _telling(lambda shard: cluster.call(compute_shard, shard, options.timeout, prints, place), options)


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
    opened: list[tuple[Place, Cluster]] = []
    with ExitStack() as stack:

        def write(job: Job) -> Shards | None:
            with opening:
                if not opened:  # most nights nothing changed
                    opened.append((stack.enter_context(places()), stack.enter_context(_cluster(options))))
            ((place, cluster),) = opened
            found: Shards | str = cluster.call(assemble, place, job)
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


@contextmanager
def mapping(options: OnEngine) -> Iterator[Map]:
    """A `map` over the engine that the options name, for jobs of a benchmark; results in order.

    Raises
    ------
    UsageError
        The engine's package is not installed.
    AffectlakeError
        Nobody answers at ``options.address``; later, a job that was lost again and again with its worker.
    """
    check(options.engine)
    if options.engine == "local":
        with Processes(options.processes, None) as mapped:
            yield mapped
        return
    with _cluster(options) as cluster:
        send = _Sender(cluster)

        def mapped(work: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterable[Any]:
            threads = ThreadPoolExecutor(AHEAD)
            try:
                yield from threads.map(partial(send, work), jobs)
            finally:
                threads.shutdown(cancel_futures=True)

        yield mapped


class _Sender:
    """Hands jobs in, and what they read where a worker does not see the files: once, whichever jobs share it."""

    def __init__(self, cluster: Cluster):
        self._cluster, self._lock, self._needed = cluster, Lock(), False
        self._sent: dict[str, Any] = {}

    def __call__(self, work: Callable[[Any], Any], job: Any) -> Any:
        used: dict[str, Any] = {}

        def given() -> tuple[Any, ...]:
            """What the work is given; anew where it was lost with all workers that had it."""
            with self._lock:
                for file, what in used.items():
                    if self._sent.get(file) is what:
                        del self._sent[file]
                used.clear()
                files = sorted(f for f in Path(job.folder).iterdir() if f.is_file()) if self._needed else []
                for file in (str(f.resolve()) for f in files):  # tables may share their features
                    if file not in self._sent:
                        self._sent[file] = self._cluster.put(_bytes(file))
                    used[file] = self._sent[file]
                return work, job, [f.name for f in files], *used.values()

        found = self._cluster.again(there, given)
        if isinstance(found, Lacking):
            self._needed = True
            found = self._cluster.again(there, given)
        return found


def _bytes(file: str) -> Any:
    """Content of a file [shape=(bytes,)], mapped: what is sent is not read twice."""
    import numpy as np

    return np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))


def _cluster(options: OnEngine) -> AbstractContextManager[Cluster]:
    return {"dask": _dask, "ray": _ray}[options.engine](options)


@contextmanager
def _dask(options: OnEngine) -> Iterator[Cluster]:
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
    lost = (
        Died,
        distributed.scheduler.KilledWorker,
        distributed.client.FutureCancelledError,
        distributed.comm.CommClosedError,  # while something was sent to it
        TimeoutError,  # there was nobody left to send it to
    )

    def attempt(function: Callable[..., Any], *given: Any) -> Any:
        return client.submit(function, *given, pure=False).result()

    try:
        with client:
            yield Cluster(attempt, lost, partial(client.scatter, hash=False))
    finally:
        if not options.address:
            cluster.close()


@contextmanager
def _ray(options: OnEngine) -> Iterator[Cluster]:
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
        Died,
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.ObjectLostError,
        ray.exceptions.OutOfMemoryError,
    )
    try:
        yield Cluster(attempt, lost, ray.put)
    finally:
        if mine:
            ray.shutdown()
