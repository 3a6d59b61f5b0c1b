"""Erasing people beyond the store: nights' records and pages, reports of benchmarks, and what Prefect remembers."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

from affectlake.data import remote
from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.store import Left, Receipt, ReceiptCheck
from affectlake.data.store._names import ErasureTarget, Plain, Traces, holds, says, scrubbed, scrubbed_text
from affectlake.data.store._search import SearchResult
from affectlake.flows import erasure_prefect
from affectlake.flows.history import History, replace, stem

if TYPE_CHECKING:
    from affectlake.data.store import Store

FILES = "files"
"""Records of what was written outside of the store: kind ("reports", "report", "features"), path, dataset, time."""

_READABLE = (".html", ".json", ".prom")


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
) -> Receipt:
    """`Store.erase`, after noting folders of reports that the store does not know of; returns the receipt."""
    from affectlake.data.store import Store

    lake = Store(store)
    for folder in reports:
        remember(store, "reports", folder)
    return lake.erase(dataset, speaker=speaker, ids=list(ids) if ids else None)


def also_in(store: str, dataset: str, speaker: str) -> list[str]:
    """Other datasets of the store that have samples of a speaker of this name."""
    from affectlake.data.store import Store

    lake = Store(store)
    others = [d["dataset"] for d in lake.status()["datasets"] if d["dataset"] != dataset]
    return [other for other in others if (lake.samples(other)["speaker"] == speaker).any()]


def clean(store: "Store", dataset: str, target: ErasureTarget) -> list[Left]:
    """See `affectlake.data.store._beyond.Keeper`."""
    known = _known(store, dataset)
    left = _clean_reports(store, dataset, known.folders, Plain(target))
    for page, of in known.pages.items():
        left += _clean_page(store, of, Path(page), Plain(target))
    left += [_file(path) for path in known.files if Path(path).exists()]
    return left + erasure_prefect.forget(target)


def search(store: "Store", dataset: str, traces: Traces) -> SearchResult:
    """See `affectlake.data.store._beyond.Keeper`."""
    known = _known(store, dataset)
    paths = [p for f in known.folders for p in sorted(Path(f).rglob("*")) if p.suffix in _READABLE and p.is_file()]
    found = erasure_prefect.search(traces)
    for path in dict.fromkeys([*paths, *(Path(p) for p in known.pages if Path(p).is_file())]):
        try:
            hit = _names(path, dataset, traces)
        except OSError:
            found.unread.append(str(path))
            continue
        found.files += 1
        found.paths += [str(path)] if hit else []
    return found


@dataclass
class _Known:
    """What was written about a store: folders of nights, pages by the dataset that they are of, other files."""

    folders: list[str]
    pages: dict[str, str]
    files: list[str]


def _known(store: "Store", dataset: str) -> _Known:
    rows = store.records(FILES)
    folders = set(_nights_nearby(store))
    if not len(rows):
        return _Known(sorted(folders), {}, [])
    folders |= set(rows.loc[rows["kind"] == "reports", "path"])
    pages = rows[rows["kind"] == "report"]
    files = rows[~rows["kind"].isin(["reports", "report"]) & (rows["dataset"] == dataset)]
    return _Known(sorted(folders), dict(zip(pages["path"], pages["dataset"], strict=True)), sorted(set(files["path"])))


def _nights_nearby(store: "Store") -> Iterator[str]:
    """Folders of nights of this store beside it or beside a manifest: stores of earlier versions did not note them."""
    if "://" in store.uri:
        return
    sources = store.records("sources")
    manifests = sources.get("manifest", ())
    places = {Path(store.uri).parent, *(Path(m).parent for m in manifests if m and not remote.is_remote(m))}
    for runs in sorted(r for p in places for r in p.glob("*/runs") if r.is_dir()):
        first = next(iter(sorted(runs.glob("*.json"))), None)
        try:
            of = json.loads(first.read_text(encoding="utf-8"))["store"] if first else ""
            if of and os.path.samefile(of, store.uri):
                yield str(runs.parent)
        except (OSError, ValueError, KeyError, TypeError):
            continue


def check(store: str, path: Path) -> ReceiptCheck:
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


def _file(path: str) -> Left:
    why = "was written from this dataset and may be anything by now: look at it, or delete it"
    return Left(what="file", where=path, why=why)


def _clean_reports(store: "Store", dataset: str, folders: Sequence[str], traces: Plain) -> list[Left]:
    """Take people out of the nights' records, their pages, and reports of benchmarks."""
    left: list[Left] = []
    for folder in folders:
        if not Path(folder).is_dir():
            why = "are no longer there: if they were moved, name them by --reports"
            left.append(Left(what="reports", where=folder, why=why))
            continue
        for path in sorted(Path(folder).glob("runs/*.json")):
            try:
                _night(Path(folder), path, dataset, traces)
            except (OSError, ValueError, KeyError, TypeError) as error:
                why = f"could not be cleaned: {' '.join(str(error).split())[:200]}"
                left.append(Left(what="night", where=str(path), why=why))
        for page in sorted(Path(folder).glob("*.html")):
            if page.stem != "index":
                left += _clean_page(store, page.stem, page, traces)
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


def _clean_page(store: "Store", dataset: str, page: Path, traces: Plain) -> list[Left]:
    """Write the report of a benchmark anew, from its cleaned record, where it names somebody."""
    from affectlake.flows.benchmark import newest_result
    from affectlake.flows.report import write_html

    try:
        if not page.is_file() or not _names(page, dataset, traces):
            return []
        try:
            write_html(newest_result(store.uri, dataset), page)
        except AffectlakeError:
            page.unlink()
    except OSError as error:
        return [Left(what="report", where=str(page), why=f"could not be written anew: {error.strerror}")]
    return []


def _names(path: Path, dataset: str, traces: Traces) -> bool:
    """Whether a page or a record names somebody."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix != ".json":
        words = _visible(text)
        return any(traces.worded(word) for word in words) or traces.phrased(" ".join(words))
    try:
        entries = [e for e in json.loads(text).get("datasets", ()) if e.get("dataset") == dataset]
        return holds(entries, traces)
    except (ValueError, AttributeError):
        return says(text, traces)


def _visible(page: str) -> list[str]:
    """Words of a page, its markup apart."""
    text = unescape(re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL))
    return [word.strip(".,:;()[]'\"") for word in text.split()]
