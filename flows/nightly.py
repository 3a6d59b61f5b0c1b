"""One night: refresh every dataset, benchmark what changed, write reports, tell somebody. No prefect here."""

import json
import re
import subprocess
import tomllib
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.flows.benchmark import Benchmark, BenchOptions, benchmark
from affectlake.flows.machine import cores
from affectlake.flows.refresh import RefreshOptions, RefreshResult, refresh
from affectlake.flows.report import write_html


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bench(_Strict):
    """The benchmark of one dataset; keys as the options of ``affectlake bench``."""

    label: str
    protocol: Literal["auto", "official", "loso", "grouped", "kfold", "random"] = "auto"
    folds: int = Field(5, ge=2)
    models: tuple[str, ...] = ()
    fusions: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


class Dataset(_Strict):
    """One dataset: where it comes from and what to do with it."""

    name: str
    root: str | None = None
    manifest: str | None = None
    only: tuple[str, ...] = ("*",)
    gate: Literal["warn", "fail"] = "fail"
    timeout: float = Field(60.0, gt=0)
    benchmark: Bench | None = None

    @model_validator(mode="after")
    def _one_source(self):
        if (self.root is None) == (self.manifest is None):
            raise ValueError("give either root or manifest")
        return self


class Notify(_Strict):
    """Whom to tell: a command gets the record on standard input, a webhook gets it as a JSON POST."""

    command: tuple[str, ...] = ()
    webhook: str | None = None
    on: tuple[Literal["failure", "quarantine", "gate", "always"], ...] = ("failure", "quarantine", "gate")


class Config(_Strict):
    """What a night does. Paths are relative to the configuration file."""

    store: str = "lake"
    reports: str = "reports"
    workers: int | None = Field(None, gt=0)
    cron: str = "0 2 * * *"
    timezone: str = "UTC"
    dataset: tuple[Dataset, ...] = Field(min_length=1)
    notify: Notify | None = None


def load_config(path: Path | str) -> Config:
    """Read and check a configuration.

    Raises
    ------
    UsageError
        The file is missing, is not TOML, or has a wrong key or value; names file, line and key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        config = Config.model_validate(tomllib.loads(text))
    except OSError as error:
        raise UsageError(f"cannot read the configuration {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        raise UsageError(_explain(path, text, error)) from None
    return _absolute(config, path.absolute().parent)


def write_config(store: str, path: Path) -> Path:
    """Write a configuration that refreshes every dataset of a store from where it came from; returns its path.

    Raises
    ------
    UsageError
        The store remembers no dataset.
    """
    from affectlake.data.store import Store
    from affectlake.flows.refresh import sources

    found = sources(Store(store))
    if not found:
        raise UsageError(
            f"the store {store} holds no dataset that was refreshed: affectlake refresh …, or write {path}"
        )
    lines = [f"store = {json.dumps(store if '://' in store else str(Path(store).absolute()))}", ""]
    for source in found.values():
        lines += ["[[dataset]]", f"name = {json.dumps(source['dataset'])}"]
        lines += [f"{k} = {json.dumps(source[k])}" for k in ("root", "manifest") if source[k]]
        lines += [f"only = {json.dumps(source['only'].splitlines())}", ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _explain(path: Path, text: str, error: ValidationError) -> str:
    # A misspelt key is both unknown and, under its right name, missing: the first says more.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    keys = [str(k) for k in first["loc"] if isinstance(k, str)]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        model = Config
        for key in keys[:-1]:
            model = {"dataset": Dataset, "benchmark": Bench, "notify": Notify}[key]
        message = str(UnknownName("key", keys[-1], model.model_fields))
    line = _line_of(text, first["loc"])
    return f"{path}, line {line}, key {'.'.join(keys) or '(top)'}: {message}"


def _line_of(text: str, location: tuple) -> int:
    """Line of the key, or of the table that should hold it: tomllib keeps no positions."""
    lines, at = text.splitlines(), 0
    for part, after in zip(location, (*location[1:], None), strict=True):
        if isinstance(part, int):
            continue
        pattern = re.compile(rf"^\s*(\[+\s*([\w.]+\.)?{re.escape(part)}\s*\]+|{re.escape(part)}\s*=)")
        found = [i for i in range(at, len(lines)) if pattern.match(lines[i])]
        if found:
            at = found[min(after, len(found) - 1)] if isinstance(after, int) else found[0]
    return at + 1


def _absolute(config: Config, base: Path) -> Config:
    def place(value: str | None) -> str | None:
        return value if value is None or "://" in value else str(base / value)

    return config.model_copy(
        update={
            "store": place(config.store),
            "reports": place(config.reports),
            "dataset": tuple(
                d.model_copy(update={"root": place(d.root), "manifest": place(d.manifest)}) for d in config.dataset
            ),
        }
    )


def night(
    config: Config,
    run_refresh: Callable[[RefreshOptions], RefreshResult] = refresh,
    run_benchmark: Callable[[BenchOptions], Benchmark] = benchmark,
) -> dict:
    """Run one night and return its record; a dataset that fails does not keep the others from their turn.

    The record says per dataset what was new, recomputed, unchanged, removed and failed, and where the report is. It
    is also written to ``<reports>/runs/<time>.json``, and its figures to ``<reports>/affectlake.prom`` in Prometheus'
    text format.
    """
    record: dict = {"started": _now(), "store": config.store, "datasets": []}
    for dataset in config.dataset:
        record["datasets"].append(_one(dataset, config, run_refresh, run_benchmark))
    record["finished"] = _now()
    record["state"] = "failed" if any(d["error"] for d in record["datasets"]) else "done"
    _write(record, Path(config.reports))
    if config.notify:
        notify(config.notify, record)
    return record


def _one(dataset: Dataset, config: Config, run_refresh, run_benchmark) -> dict:
    entry: dict = {"dataset": dataset.name, "error": None, "refresh": None, "report": None}
    workers = config.workers or cores()
    try:
        result = run_refresh(
            RefreshOptions(
                dataset=dataset.name,
                root=dataset.root,
                manifest=dataset.manifest,
                store=config.store,
                only=dataset.only,
                workers=workers,
                timeout=dataset.timeout,
                gate=dataset.gate,
                author="nightly",
            )
        )
        entry["refresh"] = result.to_json()
        if dataset.benchmark and result.published and _changed(result, Path(config.reports) / f"{dataset.name}.html"):
            outcome = run_benchmark(
                BenchOptions(dataset.name, store=config.store, workers=workers, **dataset.benchmark.model_dump())
            )
            entry["report"] = str(write_html(outcome.to_json(), Path(config.reports) / f"{dataset.name}.html"))
            best = outcome.to_json()["rows"][0]
            entry["best"] = {k: best[k] for k in ("fusion", "modalities", "model", "uar", "ccc") if k in best}
    except AffectlakeError as error:
        entry["error"] = str(error)
    except Exception as error:  # the other datasets still have their turn, and the record says what happened
        entry["error"] = f"{type(error).__name__}: {error}"
    return entry


def _changed(result: RefreshResult, report: Path) -> bool:
    moved = any(c.get(k, 0) for c in result.extractors.values() for k in ("new", "recomputed", "removed"))
    return moved or not report.exists()


def _write(record: dict, reports: Path) -> None:
    runs = reports / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    name = record["started"].replace(":", "").replace("+0000", "Z")
    (runs / f"{name}.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
    # Scrapers may read at any moment: a rename shows them the old file or the new one.
    fresh = reports / "affectlake.prom.new"
    fresh.write_text(metrics(record), encoding="utf-8")
    fresh.replace(reports / "affectlake.prom")


def metrics(record: dict) -> str:
    """The record's figures in Prometheus' text exposition format."""
    lines = [
        "# HELP affectlake_rows Sample-extractor pairs of the last refresh by outcome.",
        "# TYPE affectlake_rows gauge",
    ]
    for entry in record["datasets"]:
        for extractor, counts in ((entry["refresh"] or {}).get("extractors") or {}).items():
            for outcome, count in counts.items():
                labels = f'dataset="{entry["dataset"]}",extractor="{extractor}",outcome="{outcome}"'
                lines.append(f"affectlake_rows{{{labels}}} {count}")
    lines += ["# HELP affectlake_refresh_seconds Duration.", "# TYPE affectlake_refresh_seconds gauge"]
    for entry in record["datasets"]:
        if entry["refresh"]:
            lines.append(f'affectlake_refresh_seconds{{dataset="{entry["dataset"]}"}} {entry["refresh"]["seconds"]}')
    lines += ["# HELP affectlake_failed 1 if the dataset's run failed.", "# TYPE affectlake_failed gauge"]
    for entry in record["datasets"]:
        lines.append(f'affectlake_failed{{dataset="{entry["dataset"]}"}} {int(bool(entry["error"]))}')
    finished = datetime.fromisoformat(record["finished"]).timestamp()
    lines += [
        "# HELP affectlake_finished_timestamp_seconds End of the last run.",
        "# TYPE affectlake_finished_timestamp_seconds gauge",
        f"affectlake_finished_timestamp_seconds {finished:.0f}",
    ]
    return "\n".join(lines) + "\n"


def events(record: dict) -> set[str]:
    """Which of the notification's occasions the record is."""
    found = {"always"}
    for entry in record["datasets"]:
        if entry["error"]:
            found.add("failure")
        if entry["refresh"] and any(c.get("failed", 0) for c in entry["refresh"]["extractors"].values()):
            found.add("quarantine")
        if entry["refresh"] and entry["refresh"]["problems"]:
            found.add("gate")
    return found


def notify(settings: Notify, record: dict) -> None:
    """Tell whoever the settings name; raises AffectlakeError where that fails, for a silent hook is no hook."""
    if not events(record) & set(settings.on):
        return
    body = json.dumps(record).encode()
    try:
        if settings.command:
            subprocess.run(settings.command, input=body, check=True, timeout=60)
        if settings.webhook:
            request = urllib.request.Request(settings.webhook, body, {"Content-Type": "application/json"})
            urllib.request.urlopen(request, timeout=30).close()
    except (OSError, subprocess.SubprocessError) as error:
        raise AffectlakeError(f"the notification could not be delivered: {error}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
