"""The same plain functions as Prefect flows: runs, tasks, artifacts and schedules."""

from affectlake.flows.settings import configure

configure()

from collections.abc import Callable, Iterator  # noqa: E402
from functools import partial  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

from prefect import flow, task  # noqa: E402
from prefect.artifacts import create_markdown_artifact, create_table_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.flows import EntrypointType  # noqa: E402
from prefect.futures import as_completed  # noqa: E402
from prefect.schedules import Cron  # noqa: E402
from prefect.states import Failed, State  # noqa: E402
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner  # noqa: E402

from affectlake.data.errors import AffectlakeError  # noqa: E402
from affectlake.features.compute import Chunk  # noqa: E402
from affectlake.flows import engines  # noqa: E402
from affectlake.flows import nightly as night  # noqa: E402
from affectlake.flows.benchmark import Benchmark, BenchOptions, benchmark  # noqa: E402
from affectlake.flows.progress import silent, to_stderr  # noqa: E402
from affectlake.flows.refresh import RefreshOptions, RefreshResult, check, refresh  # noqa: E402

if TYPE_CHECKING:
    import pyarrow as pa


@task(name="compute shard", cache_policy=NO_CACHE, persist_result=False)
def compute_shard(work: Callable[[], list[dict[str, "pa.Table"]]]) -> list[dict[str, "pa.Table"]]:
    """One shard: a thread that waits for processes, here or on a cluster, which do the work and may die of it."""
    return work()


def run_as_tasks(shards: list[list[Chunk]], options: RefreshOptions) -> Iterator[dict[str, "pa.Table"]]:
    """Compute shards as tasks of the current flow run, results in order of completion."""
    if not shards:
        return
    with engines.start(options, shards) as compute:
        # Prefect looks for futures in whatever it is given, sample by sample; it does not look into a partial.
        futures = [compute_shard.submit(partial(compute, shard)) for shard in shards]
        for future in as_completed(futures):
            yield from future.result()


def task_runner(options: RefreshOptions) -> TaskRunner:
    """Threads that wait; raises UsageError where the engine's package is not installed."""
    engines.check(options.engine)
    return ThreadPoolTaskRunner(max_workers=engines.in_flight(options))


@flow(name="refresh", validate_parameters=False, persist_result=False)
def refresh_flow(options: RefreshOptions, show_progress: bool = False) -> RefreshResult:
    """Refresh one dataset, with a table of counts as an artifact."""
    try:
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
    return refresh_flow.with_options(task_runner=task_runner(options))(options, show_progress=True)


@flow(name="benchmark", validate_parameters=False, persist_result=False)
def benchmark_flow(options: BenchOptions, show_progress: bool = False) -> Benchmark:
    """Benchmark one dataset, with the leaderboard as an artifact."""
    try:
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
                **{m: f"{row[m]['value']:.3f}" for m in ("uar", "accuracy", "ccc") if m in row},
            }
            for row in document["rows"]
        ],
        key=f"leaderboard-{_key(options.dataset)}",
        description=f"{options.dataset}: {options.label}, {document['protocol']}, snapshot {document['snapshot']}",
    )
    return done


def run_benchmark(options: BenchOptions) -> Benchmark:
    """Run `benchmark_flow` with progress on stderr."""
    return benchmark_flow(options, show_progress=True)


@flow(name="nightly", validate_parameters=False, persist_result=False)
def nightly_flow(config: str) -> dict:
    """One night by the configuration file ``config``; a dataset that fails makes the run fail, after all had a turn."""
    record = night.night(night.load_config(config), refresh_flow, benchmark_flow)
    lines = [f"# Night of {record['started']}", ""]
    for entry in record["datasets"]:
        counts = (entry["refresh"] or {}).get("extractors", {})
        lines.append(f"## {entry['dataset']}: {entry['error'] or 'done'}")
        lines += [f"- {name}: " + ", ".join(f"{v} {k}" for k, v in c.items() if v) for name, c in counts.items()]
        if entry["report"]:
            lines.append(f"- report: {entry['report']}")
    create_markdown_artifact("\n".join(lines), key="nightly")
    if record["state"] == "failed":
        raise AffectlakeError("; ".join(f"{e['dataset']}: {e['error']}" for e in record["datasets"] if e["error"]))
    return record


def serve_nightly(config: str, cron: str, timezone: str) -> None:
    """Serve `nightly_flow` on a schedule until the process is told to stop; one run at a time."""
    nightly_flow.serve(
        name="nightly",
        schedule=Cron(cron, timezone=timezone),
        parameters={"config": config},
        limit=1,
        entrypoint_type=EntrypointType.MODULE_PATH,
        print_starting_message=False,
    )


def _failed(error: AffectlakeError) -> State:
    """A failed state that says why in one line: raised inside a flow, the log would show it as a crash."""
    return Failed(message=str(error), data=error)


def _key(name: str) -> str:
    """An artifact key holds only lower-case letters, digits and dashes."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())
