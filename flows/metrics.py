"""A night's figures in Prometheus' text format, for node_exporter's textfile collector or any other scraper."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from affectlake.flows.record import Record

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

CHANGES = ("new", "recomputed", "unchanged", "removed")


def write_metrics(record: Record, path: Path) -> None:
    """Write the figures of a record; a scraper sees the old file or the new one."""
    from prometheus_client import write_to_textfile

    write_to_textfile(str(path), registry(record))


def registry(record: Record) -> "CollectorRegistry":
    """The figures of a record as a `prometheus_client.CollectorRegistry`; their names: docs/nightly.md."""
    from prometheus_client import CollectorRegistry, Gauge

    found = CollectorRegistry()

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"affectlake_{name}", text, labels, registry=found)

    samples = gauge("samples", "Samples in the newest snapshot.", "dataset")
    rows = gauge("rows", "Sample-extractor pairs of the last night by what was done.", "dataset", "extractor", "change")
    outcomes = gauge("outcomes", "Sample-extractor pairs by outcome.", "dataset", "extractor", "outcome")
    coverage = gauge("coverage_ratio", "Share of samples with values, of those that apply.", "dataset", "extractor")
    computed = gauge("computed", "Contents computed in the last night.", "dataset", "extractor")
    seconds = gauge("stage_seconds", "Duration of a stage of the last night.", "dataset", "stage")
    failed = gauge("failed", "1 if the dataset's last night failed or was held back.", "dataset")
    success = gauge("last_success_timestamp_seconds", "End of the dataset's last good night.", "dataset")
    gate = gauge("gate_problems", "Problems that the quality gate found.", "dataset")
    drifted = gauge("drifted", "Columns, extractors and scores that drifted.", "dataset")
    score = gauge("best_score", "Best score of the newest benchmark.", "dataset", "label", "metric")
    gauge("finished_timestamp_seconds", "End of the last night.").set(_timestamp(record["finished"] or _NEVER))
    gauge("night_seconds", "Duration of the last night.").set(record["seconds"] or 0)
    undelivered = gauge("notifications_failed", "Hooks that could not be told.")
    undelivered.set(sum(not n["delivered"] for n in record["notifications"]))
    for entry in record["datasets"]:
        name = entry["dataset"]
        failed.labels(name).set(entry["state"] != "done")
        drifted.labels(name).set(len(entry["drift"]))
        if entry["last_success"]:
            success.labels(name).set(_timestamp(entry["last_success"]))
        for stage, value in entry["stages"].items():
            seconds.labels(name, stage).set(value)
        if entry["refresh"]:
            samples.labels(name).set(entry["refresh"]["samples"])
            gate.labels(name).set(len(entry["refresh"]["problems"]))
            for extractor, counts in entry["refresh"]["extractors"].items():
                for change in CHANGES:
                    rows.labels(name, extractor, change).set(counts.get(change, 0))
            for extractor, count in entry["refresh"]["computed"].items():
                computed.labels(name, extractor).set(count)
        for extractor, table in entry["tables"].items():
            outcomes.labels(name, extractor, "ok").set(table["rows"])
            for outcome in ("failed", "not_applicable"):
                outcomes.labels(name, extractor, outcome).set(table[outcome])
            applies = table["wanted"] - table["not_applicable"]
            if applies:
                coverage.labels(name, extractor).set(table["rows"] / applies)
        if entry["benchmark"]:
            bench = entry["benchmark"]
            score.labels(name, bench["label"], bench["metric"]).set(bench["best"]["value"])
    return found


_NEVER = "1970-01-01T00:00:00+00:00"


def _timestamp(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
