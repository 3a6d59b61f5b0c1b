"""The same plain functions as Prefect flows: runs, tasks, artifacts and schedules."""

from affectlake.flows.settings import configure

configure()

from collections.abc import Iterator  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

from prefect import flow, task  # noqa: E402
from prefect.artifacts import create_markdown_artifact, create_table_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.futures import as_completed  # noqa: E402
from prefect.task_runners import ThreadPoolTaskRunner  # noqa: E402

from affectlake.features.compute import Chunk  # noqa: E402
from affectlake.flows.progress import silent, to_stderr  # noqa: E402
from affectlake.flows.refresh import RefreshOptions, RefreshResult, refresh  # noqa: E402

if TYPE_CHECKING:
    import pyarrow as pa

    from affectlake.features.workers import Workers


@task(name="compute shard", cache_policy=NO_CACHE, persist_result=False)
def compute_shard(shard: list[Chunk], workers: "Workers") -> list[dict[str, "pa.Table"]]:
    """One shard: a thread that waits for the worker processes, which do the work."""
    return [tables for _, tables in workers.run(shard)]


def run_as_tasks(shards: list[list[Chunk]], options: RefreshOptions) -> Iterator[dict[str, "pa.Table"]]:
    """Compute shards as tasks of the current flow run, results in order of completion."""
    if not shards:
        return
    from affectlake.features.workers import Workers

    names = sorted({n for shard in shards for c in shard for n in c.extractors})
    with Workers(options.workers, options.timeout, names) as workers:
        futures = [compute_shard.submit(shard, workers) for shard in shards]
        for future in as_completed(futures):
            yield from future.result()


@flow(name="refresh", validate_parameters=False, persist_result=False)
def refresh_flow(options: RefreshOptions, show_progress: bool = False) -> RefreshResult:
    """Refresh one dataset, with a table of counts as an artifact."""
    result = refresh(options, run_as_tasks, to_stderr() if show_progress else silent)
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
    """Run `refresh_flow` with as many task threads as workers, so that every worker always has a shard."""
    runner = ThreadPoolTaskRunner(max_workers=options.workers + 1)
    return refresh_flow.with_options(task_runner=runner)(options, show_progress=True)


def _key(name: str) -> str:
    """An artifact key holds only lower-case letters, digits and dashes."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())

