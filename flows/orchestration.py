"""The same plain functions as Prefect flows: runs, tasks, artifacts and schedules."""

from affectlake.flows.settings import configure

configure()

import logging  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import signal  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import contextmanager, nullcontext  # noqa: E402
from datetime import UTC, datetime, timedelta  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402
from threading import current_thread, main_thread  # noqa: E402
from types import FrameType  # noqa: E402
from typing import TYPE_CHECKING, Literal  # noqa: E402

from prefect import flow, task  # noqa: E402
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.client.orchestration import SyncPrefectClient, get_client  # noqa: E402
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter  # noqa: E402
from prefect.client.schemas.objects import FlowRun, StateType  # noqa: E402
from prefect.exceptions import ObjectNotFound  # noqa: E402
from prefect.flows import EntrypointType  # noqa: E402
from prefect.futures import as_completed  # noqa: E402
from prefect.logging.handlers import APILogHandler  # noqa: E402
from prefect.runtime import flow_run  # noqa: E402
from prefect.schedules import Cron  # noqa: E402
from prefect.states import Cancelled, Crashed, Failed, State  # noqa: E402
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner  # noqa: E402

from affectlake.data.errors import AffectlakeError, UsageError  # noqa: E402
from affectlake.data.progress import silent  # noqa: E402
from affectlake.flows import engines  # noqa: E402
from affectlake.flows import nightly as night  # noqa: E402
from affectlake.flows.benchmark import Benchmark, BenchOptions, benchmark  # noqa: E402
from affectlake.flows.config import Config, load_config  # noqa: E402
from affectlake.flows.history import Busy, History, is_running  # noqa: E402
from affectlake.flows.options import RefreshOptions  # noqa: E402
from affectlake.flows.progress import to_stderr  # noqa: E402
from affectlake.flows.record import Entry, Record  # noqa: E402
from affectlake.flows.refresh import RefreshResult, check, refresh  # noqa: E402
from affectlake.flows.server import api  # noqa: E402
from affectlake.flows.shown import shown  # noqa: E402
from affectlake.flows.summary import describe_entry  # noqa: E402
from affectlake.models.document import score  # noqa: E402

if TYPE_CHECKING:
    from affectlake.features.plan import Plan
    from affectlake.features.results import Results


@task(name="compute shard", cache_policy=NO_CACHE, persist_result=False)
def compute_shard(work: Callable[[], "Results"]) -> "Results":
    """One shard: a thread that waits for processes, here or on a cluster, which do the work and may die of it."""
    return work()


TASKS = 512
"""Shards that become tasks at a time: all of a large archive would fill the memory of Prefect, and ours."""


def run_as_tasks(work: "Plan", options: RefreshOptions, places: engines.Places) -> "Iterator[Results]":
    """Compute what is left as tasks of the current flow run, results in order of completion."""
    if not work.chunks:
        return
    with engines.start(work, options, places) as compute:
        for first in range(0, len(work.shards), TASKS):
            # Prefect looks for futures in whatever it is given, sample by sample; it does not look into a partial.
            shards = work.shards[first : first + TASKS]
            futures = [compute_shard.submit(partial(compute, shard)) for shard in shards]
            for future in as_completed(futures):
                yield future.result()


def task_runner(options: RefreshOptions) -> TaskRunner:
    """Threads that wait; raises UsageError where the engine's package is not installed."""
    engines.check(options.engine)
    return ThreadPoolTaskRunner(max_workers=engines.in_flight(options))


@contextmanager
def _quiet_when_told_to_end() -> Iterator[None]:
    """Without the pages that Prefect logs of each task and the flow when they are interrupted: who did it knows.

    Log lines stay off afterwards, for Prefect writes them when the flow's function is over: see `_alone`.
    """
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    previous = {int(s): handler for s, handler in handlers.items() if callable(handler)}

    def quietly(number: int, frame: FrameType | None) -> None:
        logging.disable(logging.CRITICAL)
        previous[number](number, frame)

    ours = current_thread() is main_thread()
    for s in previous if ours else ():
        signal.signal(s, quietly)
    try:
        yield
    finally:
        for s, handler in previous.items() if ours else ():
            signal.signal(s, handler)


@contextmanager
def _alone() -> Iterator[None]:
    """What a run that somebody waits for at a terminal needs around it: an API, and an end without noise."""
    try:
        with api(), _quiet_when_told_to_end():
            yield
    finally:
        logging.disable(logging.NOTSET)


@flow(name="refresh", validate_parameters=False, persist_result=False)
def refresh_flow(options: RefreshOptions, show_progress: bool = False) -> RefreshResult:
    """Refresh one dataset, with a table of counts as an artifact."""
    try:
        with _quiet_when_told_to_end() if show_progress else nullcontext():
            result = refresh(options, run_as_tasks, to_stderr() if show_progress else silent)
    except AffectlakeError as error:
        return _failed(error)
    create_table_artifact(
        table=[{"extractor": name, **counts} for name, counts in result.extractors.items()],
        key=f"refresh-{_key(options.dataset)}",
        description=f"{options.dataset}: snapshot {result.snapshot}, {result.samples} samples",
    )
    if result.failed:
        create_markdown_artifact(
            f"{result.failed} in quarantine: `affectlake failures {options.dataset} --store {options.store}`",
            key=f"quarantine-{_key(options.dataset)}",
        )
    return result


def run_refresh(options: RefreshOptions) -> RefreshResult:
    """Run `refresh_flow` on the engine that the options name, with progress on stderr."""
    check(options)  # a typing error should not have to wait for a server to start
    with _alone():
        return refresh_flow.with_options(task_runner=task_runner(options))(options, show_progress=True)


@flow(name="benchmark", validate_parameters=False, persist_result=False)
def benchmark_flow(options: BenchOptions, show_progress: bool = False) -> Benchmark:
    """Benchmark one dataset, with the leaderboard as an artifact."""
    try:
        with _quiet_when_told_to_end() if show_progress else nullcontext():
            done = benchmark(options, progress=to_stderr() if show_progress else silent)
    except AffectlakeError as error:
        return _failed(error)
    document = done.to_json()
    create_table_artifact(
        table=[
            {
                "fusion": row["fusion"],
                "modalities": "+".join(row["modalities"]),
                "model": row["model"] or "",
                **{
                    m: f"{score(row, m)['value']:.3f}"
                    for m in dict.fromkeys((document["metric"], "uar", "accuracy", "ccc"))
                    if m in row
                },
            }
            for row in document["rows"]
        ],
        key=f"leaderboard-{_key(options.dataset)}",
        description=f"{options.dataset}: {options.labelled}, {document['protocol']}, snapshot {document['snapshot']}",
    )
    return done


def run_benchmark(options: BenchOptions) -> Benchmark:
    """Run `benchmark_flow` with progress on stderr."""
    with _alone():
        return benchmark_flow(options, show_progress=True)


@flow(name="nightly", validate_parameters=False, persist_result=False)
def nightly_flow(config: str, log: Literal["text", "json"] | None = None) -> Record:
    """One night by the configuration file ``config``; a dataset that fails makes the run fail, after all had a turn.

    Runs of the same configuration that are still said to be running, but whose process is gone, are marked as crashed
    first. Where one really is running, this one is cancelled. A service runs the configuration that it was started
    with and no other: whoever may ask the server for a run could name a file whose hooks run a command.
    """
    served = os.environ.get(SERVED)
    if served is not None and os.path.realpath(config) != served:
        return _failed(AffectlakeError(f"{config} is not the configuration that this service was started with"))
    settings = load_config(config)
    if log is not None:
        settings = settings.model_copy(update={"log": log})
    run = flow_run.id
    try:
        if not is_running(Path(settings.reports)):
            crash_zombies(config, run)
        with _logged_by_prefect():
            record = night.night(settings, steps(), run)
    except Busy as error:
        return Cancelled(message=str(error))
    except AffectlakeError as error:
        return _failed(error)
    _artifacts(record, settings)
    if record["state"] != "done":
        return _failed(AffectlakeError("; ".join(f"{e['dataset']}: {e['error'] or e['state']}" for e in _bad(record))))
    return record


@contextmanager
def _logged_by_prefect() -> Iterator[None]:
    """Send our log lines to the server as well, as those of this run.

    Prefect's own setting for that, ``logging.extra_loggers``, would also print each of them a second time.
    """
    logger, handler = logging.getLogger("affectlake"), APILogHandler()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def once(config: str, log: Literal["text", "json"] | None = None) -> Record:
    """Run `nightly_flow` now and return the record also of a night that failed."""
    with _alone():
        state = nightly_flow(config, log, return_state=True)
    run = str(state.state_details.flow_run_id)
    for record in History(Path(load_config(config).reports)):
        if record["run"] == run:
            return record
    raise AffectlakeError(state.message)


def steps() -> night.Steps:
    """A night's parts as flow runs and Prefect blocks."""
    return night.Steps(_refresh_on_engine, benchmark_flow, send_block)


def _refresh_on_engine(options: RefreshOptions) -> RefreshResult:
    return refresh_flow.with_options(task_runner=task_runner(options))(options)


def send_block(name: str, subject: str, body: str) -> None:
    """Send a message through the notification block ``type/name`` of the Prefect server."""
    from prefect.blocks.core import Block

    Block.load(name).notify(body=body, subject=subject)


def _bad(record: Record) -> list[Entry]:
    return [e for e in record["datasets"] if e["state"] != "done"]


def _artifacts(record: Record, settings: Config) -> None:
    key = _key(settings.name)
    rows = []
    for entry in record["datasets"]:
        found = entry["changes"]
        row: dict[str, str | float | None] = {
            "dataset": entry["dataset"],
            "state": entry["state"],
            "samples": found["samples"]["now"] if found else None,
        }
        for kind in ("new", "removed", "renamed", "content"):
            row[kind] = found[kind]["count"] if found else None
        row |= {
            "bad": found["bad"]["new"]["count"] + found["bad"]["standing"]["count"] if found else None,
            "computed": sum(found["computed"].values()) if found else None,
            "seconds": entry["stages"].get("refresh"),
        }
        rows.append(row)
    create_table_artifact(table=rows, key=f"{key}-counts", description=f"Night of {record['started']}")
    create_markdown_artifact(_markdown(record), key=key)
    page = settings.reports_url or Path(settings.reports).absolute().as_uri()
    create_link_artifact(
        f"{page.rstrip('/')}/index.html", key=f"{key}-report", link_text="What changed since the night before"
    )


def _markdown(record: Record) -> str:
    lines = [f"# {record['name']} of {record['started']}: {record['state']}", ""]
    for entry in record["datasets"]:
        lines += [f"## {_escaped(entry['dataset'])}: {_escaped(entry['error'] or entry['state'])}", ""]
        lines += [f"- {_escaped(line)}" for line in describe_entry(entry)]
        if entry["report"]:
            lines.append(f"- report: {_escaped(entry['report'])}")
        lines.append("")
    for said in record["notifications"]:
        if not said["delivered"]:
            lines.append(f"**{_escaped(said['hook'])} could not be told:** {_escaped(said['error'])}")
    return "\n".join(lines)


def _escaped(text: str | None) -> str:
    """Names of files are no markup."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", shown(text or ""))


STARTING_SECONDS = 300
"""A run may be pending for so long before its process counts as gone."""


def crash_zombies(config: str, keep: str | None = None) -> list[str]:
    """Mark runs of a configuration as crashed that are said to be running; the caller knows that none is.

    A process that dies by SIGKILL cannot tell the server, whose record would say `Running` for good and hold the
    deployment's concurrency slot. Forced, so that the slot is freed also where its lease was lost with the server.
    Runs that were missed meanwhile are cancelled but for the last: one night makes up for all of them.

    Parameters
    ----------
    config : str
        The ``config`` parameter of the runs.
    keep : str, optional
        Id of the run that asks.

    Returns
    -------
    list of str
        Names of the runs that were marked as crashed.
    """
    with get_client(sync_client=True) as client:
        found = _runs(client, config, [StateType.RUNNING, StateType.CANCELLING, StateType.PENDING], keep)
        young = datetime.now(UTC) - timedelta(seconds=STARTING_SECONDS)
        dead = [r for r in found if r.state_type != StateType.PENDING or r.state.timestamp < young]
        gone = Crashed(message="its process is gone")
        for run in dead:
            below = FlowRunFilter(
                parent_flow_run_id={"any_": [run.id]}, state={"type": {"any_": ["RUNNING", "PENDING"]}}
            )
            for child in client.read_flow_runs(flow_run_filter=below):
                client.set_flow_run_state(child.id, gone, force=True)
            client.set_flow_run_state(run.id, gone, force=True)
        late = [r for r in _runs(client, config, [StateType.SCHEDULED], keep) if r.state.timestamp and _due(r)]
        for run in sorted(late, key=lambda r: r.expected_start_time)[: None if keep else -1]:
            client.set_flow_run_state(run.id, Cancelled(message="missed; a later night makes up for it"), force=True)
    return [r.name for r in dead]


def _due(run: FlowRun) -> bool:
    return run.expected_start_time is not None and run.expected_start_time < datetime.now(UTC)


def _runs(client: SyncPrefectClient, config: str, states: list[StateType], keep: str | None) -> list[FlowRun]:
    found: list[FlowRun] = []
    page = None
    while page is None or page:
        page = client.read_flow_runs(
            flow_filter=FlowFilter(name={"any_": [nightly_flow.name]}),
            flow_run_filter=FlowRunFilter(state={"type": {"any_": states}}),
            offset=len(found),
            limit=200,
        )
        found += page
    return [r for r in found if r.parameters.get("config") == config and str(r.id) != str(keep)]


def recover(config: str) -> list[str]:
    """`crash_zombies`, unless a night of the configuration is running."""
    return [] if is_running(Path(load_config(config).reports)) else crash_zombies(config)


SERVED = "AFFECTLAKE_SERVED_CONFIG"
"""Environment variable of a service and its runs: the one configuration that they may run."""


def serve_nightly(
    config: str, name: str, cron: str, timezone: str, accepted: Callable[[], None] = lambda: None
) -> None:
    """Serve `nightly_flow` on a schedule until the process is told to stop; one run at a time.

    ``accepted`` is called when nothing stands in the way any more.

    Raises
    ------
    UsageError
        The server knows the name as that of another configuration, which is still there.
    """
    _check_owner(name, config)
    recover(config)
    os.environ[SERVED] = os.path.realpath(config)
    accepted()
    # Prefect's runner, told to end by SIGTERM, forgets to wait for its own `astop`: it ends as it should all the same.
    warnings.filterwarnings("ignore", "coroutine 'Runner.astop' was never awaited", RuntimeWarning)
    nightly_flow.serve(
        name=name,
        schedule=Cron(cron, timezone=timezone),
        parameters={"config": config},
        limit=1,
        entrypoint_type=EntrypointType.MODULE_PATH,
        print_starting_message=False,
    )


def _check_owner(name: str, config: str) -> None:
    with get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(f"{nightly_flow.name}/{name}")
        except ObjectNotFound:
            return
    other = found.parameters.get("config")
    if other and os.path.realpath(other) != os.path.realpath(config) and os.path.exists(other):
        raise UsageError(
            f"the deployment {name!r} of this Prefect server belongs to {other}: give {config} another name = …, "
            "or a server of its own, PREFECT_HOME"
        )


def _failed(error: AffectlakeError) -> State:
    """A failed state that says why in one line: raised inside a flow, the log would show it as a crash."""
    return Failed(message=str(error), data=error)


def _key(name: str) -> str:
    """An artifact key holds only lower-case letters, digits and dashes."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())
