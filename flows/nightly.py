"""One night: refresh every dataset, say what changed, benchmark, report, tell somebody. No prefect here."""

import logging
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from affectlake.data.errors import AffectlakeError, UnknownName
from affectlake.flows import logs
from affectlake.flows.benchmark import Benchmark, BenchOptions, benchmark
from affectlake.flows.changes import changes, equal_data
from affectlake.flows.config import ELSEWHERE, Bench, Config, Dataset
from affectlake.flows.drift import features_drift, score_drift
from affectlake.flows.erasure import remember
from affectlake.flows.history import History, alone, stem
from affectlake.flows.metrics import write_metrics
from affectlake.flows.night_page import write_pages
from affectlake.flows.notify import SendBlock, notify
from affectlake.flows.options import RefreshOptions
from affectlake.flows.record import VERSION, Entry, Outcomes, Record
from affectlake.flows.refresh import RefreshResult, refresh
from affectlake.flows.report import write_html
from affectlake.flows.summary import describe_changes, summary
from affectlake.flows.version import code_version
from affectlake.models.document import score

if TYPE_CHECKING:
    from affectlake.data.store import Snapshot, Store
    from affectlake.flows.document import Document

T = TypeVar("T")
_log = logging.getLogger("affectlake.nightly")

WORST_WAIT = 600.0
"""Seconds; the longest pause between two attempts at a storage that does not answer."""


@dataclass(frozen=True)
class Steps:
    """How the parts of a night are done: plain functions here, flows where Prefect runs it."""

    refresh: Callable[[RefreshOptions], RefreshResult] = refresh
    benchmark: Callable[[BenchOptions], Benchmark] = benchmark
    send_block: SendBlock | None = None


def night(config: Config, steps: Steps = Steps(), run: str | None = None) -> Record:
    """Run one night and return its record; a dataset that fails does not keep the others from their turn.

    The record (its shape: docs/nightly.md) is also ``<reports>/runs/<time>-<run>.json``; ``<reports>/index.html`` shows
    it, and ``<reports>/affectlake.prom`` has its figures. It is written as the night goes on: one that is killed leaves
    what it had done, and the next marks it as interrupted.

    Parameters
    ----------
    run : str, optional
        Identity of the run in log and record; a new one by default.

    Raises
    ------
    Busy
        Another night of this reports folder is running.
    """
    reports, started = Path(config.reports), time.perf_counter()
    run = run or uuid.uuid4().hex
    with logs.to_stderr(config.log, run), alone(reports):
        history = History(reports)
        interrupted = history.close_interrupted()
        for killed in interrupted:
            _log.warning("night %s was interrupted; what it had computed is kept", killed)
        record: Record = {
            "version": VERSION,
            "run": run,
            "name": config.name,
            "store": config.store,
            "code_version": code_version(),
            "started": _now(),
            "finished": None,
            "seconds": None,
            "state": "running",
            "text": "",
            "interrupted": interrupted,
            "before": _heads(config),
            "datasets": [],
            "notifications": [],
        }
        history.save(record)
        _remember(config.store, reports)
        for dataset in config.dataset:
            record["datasets"].append(_one(dataset, config, steps, history, record["before"].get(dataset.name)))
            history.save(record)
        states = {d["state"] for d in record["datasets"]}
        record["state"] = next((s for s in ("failed", "held") if s in states), "done")
        record["finished"], record["seconds"] = _now(), round(time.perf_counter() - started, 3)
        for entry in record["datasets"]:
            if entry["state"] == "done":
                entry["last_success"] = record["finished"]
        record["text"] = "\n".join(summary(record))
        record["notifications"] = notify(config.notify, record, steps.send_block)
        write_metrics(record, reports / "affectlake.prom")
        history.save(record)
        write_pages(record, history, reports)
        history.prune(config.keep)
        _log.info("night %s: %s", stem(record), record["state"], extra={"seconds": record["seconds"]})
    return record


def _remember(store: str, reports: Path) -> None:
    """Note in the store where its nights are told of: an erasure looks there."""
    with suppress(Exception):  # a store that does not answer is each dataset's own failure, and is recorded
        remember(store, "reports", reports)


def _one(dataset: Dataset, config: Config, steps: Steps, history: History, head: str | None) -> Entry:
    before = history.last(dataset.name)
    entry: Entry = {
        "dataset": dataset.name,
        "state": "failed",
        "error": None,
        "attempts": 0,
        "refresh": None,
        "changes": None,
        "drift": [],
        "tables": {},
        "benchmark": None,
        "report": None,
        "stages": {},
        "last_success": before and before["last_success"],
    }
    try:
        _stages(dataset, config, steps, [history.reference(dataset.name, head), head], entry)
    except AffectlakeError as error:
        entry["error"] = str(error)
    except Exception as error:  # the other datasets still have their turn, and the record says what happened
        entry["error"] = " ".join(f"{type(error).__name__}: {error}".split())
        _log.exception("%s failed", dataset.name, extra={"dataset": dataset.name})
    else:
        entry["state"] = "done" if entry["refresh"] and entry["refresh"]["published"] else "held"
    if entry["error"]:
        _log.error("%s: %s", dataset.name, entry["error"], extra={"dataset": dataset.name})
    return entry


def _stages(dataset: Dataset, config: Config, steps: Steps, before: list[str | None], entry: Entry) -> None:
    from affectlake.data.store import Store

    def once_refreshed() -> RefreshResult:
        entry["attempts"] += 1
        return steps.refresh(refresh_options(dataset, config))

    stages = entry["stages"]
    earlier = _earlier(config.store, dataset.name, before)
    with _timed(stages, "refresh", dataset.name):
        result = _persistently(once_refreshed, config, dataset.name)
    entry["refresh"] = result.to_json()
    stages |= result.stages
    store = Store(config.store)
    now = store.snapshot(dataset.name, result.snapshot)
    entry["tables"] = {
        n: Outcomes(rows=e.rows, wanted=e.wanted, failed=e.failed, not_applicable=e.not_applicable)
        for n, e in now.features.items()
    }
    with _timed(stages, "changes", dataset.name):
        changed = changes(store, dataset.name, earlier, now)
        changed["computed"] = result.computed
        entry["changes"] = changed
        reference = store.snapshot(dataset.name, dataset.drift.against) if dataset.drift.against else earlier
        entry["drift"] = features_drift(store, dataset.name, reference, now, dataset.drift)
    for line in describe_changes(changed):
        _log.info("%s: %s", dataset.name, line, extra={"dataset": dataset.name, "stage": "changes"})
    if dataset.benchmark and result.published:
        _benchmarked(dataset, dataset.benchmark, config, steps, store, now, entry)


def _heads(config: Config) -> dict[str, str | None]:
    """The newest snapshot of each dataset, None where there is none yet; empty where the store does not answer."""
    from affectlake.data.store import Store

    try:
        found = _persistently(lambda: Store(config.store, create=True).status(), config, "the store")
    except Exception as error:  # each dataset's own attempt says the same, and is recorded
        _log.error("the store cannot be read: %s", error)
        return {}
    state = {d["dataset"]: d["snapshot"] for d in found["datasets"]}
    return {d.name: state.get(d.name) for d in config.dataset}


def _earlier(uri: str, dataset: str, names: list[str | None]) -> "Snapshot | None":
    """The first of the snapshots that is not forgotten; None where the first is None, for nothing was before."""
    from affectlake.data.store import Store

    for name in names:
        if name is None:
            break
        with suppress(UnknownName):
            return Store(uri).snapshot(dataset, name)
    return None


def refresh_options(dataset: Dataset, config: Config) -> RefreshOptions:
    """A dataset's part of the configuration as options of a refresh."""
    own = {f.name: getattr(dataset, f.name) for f in fields(RefreshOptions) if f.name not in ELSEWHERE}
    return RefreshOptions(
        dataset=dataset.name,
        store=config.store,
        workers=config.workers,
        engine=config.engine,
        address=config.address,
        author=config.name,
        **own | {"settings": {**config.settings, **dataset.settings}},
    )


def _benchmarked(
    dataset: Dataset,
    wanted: Bench,
    config: Config,
    steps: Steps,
    store: "Store",
    now: "Snapshot",
    entry: Entry,
) -> None:
    """Benchmark if there is no result of these options on these data yet, and write the newest result's report.

    Results are looked for in the store, not in the last record: a night that was killed between the two is made up for.
    """
    options = BenchOptions(
        dataset.name,
        store=config.store,
        workers=config.workers,
        engine=config.engine,
        address=config.address,
        **wanted.model_dump(),
    )
    last = _last_result(store, options)
    if last is not None and _still_true(store, dataset.name, last["snapshot"], now):
        document, due = last, False
    else:
        due = True
        with _timed(entry["stages"], "benchmark", dataset.name):
            document = _persistently(lambda: steps.benchmark(options), config, dataset.name).to_json()
        fallen = score_drift(last, document)
        entry["drift"] += [fallen] if fallen else []
    best, metric = document["rows"][0], document["metric"]
    row = " ".join([best["fusion"], "+".join(best["modalities"]), best["model"] or ""]).strip()
    entry["benchmark"] = {
        "ran": due,
        "label": document["label"],
        "metric": metric,
        "snapshot": document["snapshot"],
        "best": {"row": row, **score(best, metric)},
        "before": score(last["rows"][0], metric) if due and last and last["metric"] == metric else None,
    }
    with _timed(entry["stages"], "report", dataset.name):
        entry["report"] = str(write_html(document, Path(config.reports) / f"{dataset.name}.html"))


def _last_result(store: "Store", options: BenchOptions) -> "Document | None":
    import json

    records = store.records("benchmarks")
    if not len(records):
        return None
    mine = records[(records["dataset"] == options.dataset) & (records["label"] == options.labelled)]
    for text in mine.sort_values("created", ascending=False)["document"]:
        document: Document = json.loads(text)
        if document["command"] == options.command:
            return document
    return None


def _still_true(store: "Store", dataset: str, snapshot: str, now: "Snapshot") -> bool:
    try:
        return equal_data(store, dataset, store.snapshot(dataset, snapshot), now)
    except UnknownName:  # forgotten since
        return False


def _persistently(action: Callable[[], T], config: Config, dataset: str) -> T:
    """Try again, after longer and longer pauses, where a storage fails; all else is raised at once.

    Whatever was computed before the failure is kept, so that another attempt only does what is left.
    """
    for attempt in range(config.retries + 1):
        try:
            return action()
        except Exception as error:
            if attempt == config.retries or not _of_storage(error):
                raise
            pause = min(config.retry_seconds * 2**attempt, WORST_WAIT) * random.uniform(0.75, 1.25)
            _log.warning(
                "%s: %s; attempt %d follows in %.0f s", dataset, error, attempt + 2, pause, extra={"dataset": dataset}
            )
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _of_storage(error: BaseException) -> bool:
    from deltalake.exceptions import DeltaError

    return isinstance(error, OSError | DeltaError) or isinstance(error.__cause__, OSError | DeltaError)


@contextmanager
def _timed(stages: dict[str, float], stage: str, dataset: str) -> Iterator[None]:
    _log.info("%s: %s begins", dataset, stage, extra={"dataset": dataset, "stage": stage})
    start = time.perf_counter()
    yield
    stages[stage] = round(time.perf_counter() - start, 3)
    _log.info(
        "%s: %s took %.1f s", dataset, stage, stages[stage],
        extra={"dataset": dataset, "stage": stage, "seconds": stages[stage]},
    )  # fmt: skip


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
