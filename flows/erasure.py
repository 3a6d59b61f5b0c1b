"""Erasing people beyond the store: nights' records and pages, reports of benchmarks, and what Prefect remembers."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.store._names import Beyond, ErasureTarget, Plain, scrubbed, scrubbed_text
from affectlake.flows import erasure_prefect
from affectlake.flows.history import History, replace, stem

FILES = "files"
"""Records of what was written outside of the store: kind, path, dataset, time."""


def remember(store: str, kind: str, path: Path, dataset: str = "") -> None:
    """Note in the store that something was written elsewhere, once for each path."""
    import pandas as pd

    from affectlake.data.store import Store

    lake, where = Store(store, create=True), str(path.absolute())
    if "://" not in lake.uri and not os.access(lake.uri, os.W_OK):
        return  # who may only read the store cannot note it either
    known = lake.records(FILES)
    if not len(known) or not ((known["kind"] == kind) & (known["path"] == where) & (known["dataset"] == dataset)).any():
        row = {"kind": kind, "path": where, "dataset": dataset, "time": datetime.now(UTC).isoformat()}
        lake.record(FILES, pd.DataFrame([row]))


def erase(
    store: str, dataset: str, speaker: str | None, ids: Sequence[str] | None, reports: Sequence[Path] = ()
) -> dict[str, Any]:
    """`Store.erase`, and the same for all else that we know of; returns the receipt.

    Parameters
    ----------
    reports : sequence of Path
        Folders of nightly reports besides those that the store knows of.
    """
    from affectlake.data.store import Store

    lake = Store(store)
    known = lake.records(FILES)
    folders = {str(p.absolute()) for p in reports}
    single: list[str] = []
    if len(known):
        folders |= set(known.loc[known["kind"] == "reports", "path"])
        single = sorted(set(known.loc[(known["kind"] != "reports") & (known["dataset"] == dataset), "path"]))
    beyond: list[Beyond] = [partial(_reports, lake, dataset, sorted(folders)), erasure_prefect.forget]
    beyond.append(lambda target: [_file(path) for path in single if Path(path).exists()])
    return lake.erase(dataset, speaker=speaker, ids=list(ids) if ids else None, beyond=beyond)


def check(store: str, path: Path) -> dict[str, Any]:
    """Look again for those whom a receipt is about.

    Raises
    ------
    UsageError
        The file is no receipt.
    """
    from affectlake.data.store import Store

    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
        {k: receipt[k] for k in ("dataset", "time", "store", "hashes", "left")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no receipt of an erasure: {error}") from None
    return Store(store).check_receipt(receipt)


def _file(path: str) -> dict[str, Any]:
    return _left("file", path, "was written from this dataset and may be anything by now: look at it, or delete it")


def _left(what: str, where: str, why: str) -> dict[str, Any]:
    return {"what": what, "where": where, "why": why}


def _reports(store, dataset: str, folders: Sequence[str], target: ErasureTarget) -> list[dict[str, Any]]:
    """Take people out of the nights' records, their pages, and reports of benchmarks."""
    left, traces = [], Plain(target)
    for folder in folders:
        if not Path(folder).is_dir():
            left.append(_left("reports", folder, "are no longer there: if they were moved, name them by --reports"))
            continue
        for path in sorted(Path(folder).glob("runs/*.json")):
            try:
                _night(Path(folder), path, dataset, traces)
            except (OSError, ValueError, KeyError, TypeError) as error:
                left.append(_left("night", str(path), f"could not be cleaned: {' '.join(str(error).split())[:200]}"))
        try:
            _benchmark(store, dataset, Path(folder))
        except OSError as error:
            left.append(_left("report", folder, f"could not be written anew: {error.strerror}"))
        left += _still(Path(folder), dataset, traces)
    return left


def _night(reports: Path, path: Path, dataset: str, traces: Plain) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    if not any(entry["dataset"] == dataset for entry in record["datasets"]):
        return
    clean = record | {
        "datasets": [scrubbed(e, traces) if e["dataset"] == dataset else e for e in record["datasets"]],
        "text": scrubbed_text(record["text"], traces, mark=""),
        "notifications": scrubbed(record["notifications"], traces),
    }
    if clean == record:
        return
    from affectlake.flows import night_page

    replace(path, json.dumps(clean, indent=2, ensure_ascii=False))
    history = History(reports)
    page = path.with_suffix(".html")
    newest = next(iter(history), None)
    if page.exists():
        replace(page, night_page.html(clean, reports, "..", []))
    if newest is not None and stem(newest) == path.stem:
        night_page.write_pages(clean, history, reports)


def _benchmark(store, dataset: str, reports: Path) -> None:
    """The report of the newest benchmark, from its cleaned record."""
    from affectlake.flows.benchmark import newest_result
    from affectlake.flows.report import write_html

    page = reports / f"{dataset}.html"
    if not page.exists():
        return
    try:
        document = newest_result(store.uri, dataset)
    except AffectlakeError:
        page.unlink()
        return
    write_html(document, page)


def _still(reports: Path, dataset: str, traces: Plain) -> list[dict[str, Any]]:
    """Pages and records that name somebody all the same."""
    from affectlake.data.store._names import holds, says

    left = []
    for path in sorted(p for p in reports.rglob("*") if p.suffix in (".html", ".json", ".prom") and p.is_file()):
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".json":
            try:
                entries = [e for e in json.loads(text).get("datasets", ()) if e.get("dataset") == dataset]
                hit = holds(entries, traces)
            except (ValueError, AttributeError):
                hit = says(text, traces)
        else:
            hit = any(traces.worded(word) for word in _visible(text))
        if hit:
            left.append(_left("page", str(path), "still names somebody"))
    return left


def _visible(page: str) -> list[str]:
    """Words of a page, its markup apart."""
    import html
    import re

    text = html.unescape(re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL))
    return [word.strip(".,:;()[]'\"") for word in text.split()]
