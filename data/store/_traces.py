"""Takes people out of what was made from a dataset: recorded results and exports."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from affectlake.data.store import (
    _attributes,
    _catalog,
    _checksums,
    _export,
    _identity,
    _search,
    _spelling,
    _statistics,
)
from affectlake.data.store._answers import Left
from affectlake.data.store._export import EXPORTS
from affectlake.data.store._names import FILE, SAMPLE, SPEAKER, Plain, Traces, kind_of, scrubbed_text
from affectlake.data.store._search import SearchResult
from affectlake.data.store._table_store import CommitConflict, TableStore

RECORDS = "records"
TRAINING = "training"
"""Records of which samples a saved model was fitted on: path, run, created, dataset, sample_id."""


def models(store: TableStore, dataset: str, ids: frozenset[str]) -> list[Left]:
    """Saved models that were fitted on samples: a model cannot forget."""
    table = _checksums.compared(store, f"{RECORDS}/{TRAINING}")
    if table is None:
        return []
    frame = table.to_pandas()
    fitted = frame[(frame["dataset"] == dataset) & frame["sample_id"].isin(ids)]
    why = "a model keeps what it was fitted on: train it again, or delete it"
    return [
        Left(what="model", where=str(path), why=why, run=str(run), trained=str(created), samples=len(rows))
        for (path, run, created), rows in fitted.groupby(["path", "run", "created"])
    ]


def records(store: TableStore, dataset: str, traces: Plain) -> int:
    """Take people out of recorded results: predictions of their samples, and their lines in documents."""
    return sum(_record(store, f"{RECORDS}/{name}", dataset, traces) for name in store.list_tables(RECORDS))


def _record(store: TableStore, path: str, dataset: str, traces: Plain) -> int:
    while True:
        table = _checksums.compared(store, path)
        if table is None:
            return 0
        frame = table.to_pandas()
        if "dataset" not in frame:
            return 0
        kept, removed = _kept(frame, dataset, traces)
        if kept is frame:
            return 0
        schema = table.to_pyarrow_dataset().schema
        try:
            # Whoever adds a row meanwhile keeps it: the swap is refused then.
            store.swap(path, pa.Table.from_pandas(kept, schema=schema, preserve_index=False), table.version())
        except CommitConflict:
            continue
        store.open(path).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
        return removed


def _kept(frame: pd.DataFrame, dataset: str, traces: Plain) -> tuple[pd.DataFrame, int]:
    """The rows that may stay, their texts scrubbed; the frame itself where all is as it should be."""
    concerned = frame["dataset"] == dataset
    if "train_on" in frame:  # a benchmark that trained on this dataset may name its people too
        concerned |= frame["train_on"].fillna("").str.split("+").map(lambda names: dataset in names)
    drop = pd.Series(False, index=frame.index)
    for column in frame.columns.drop("dataset"):
        names = {SAMPLE: traces.target.ids, SPEAKER: traces.target.speakers, FILE: traces.target.files}.get(
            kind_of(column)
        )
        if names and frame[column].dtype in (object, "str", "string"):
            drop |= concerned & frame[column].isin(names)
    kept = frame[~drop]
    removed = int(drop.sum())
    for column in ("document", "configuration", "text", "findings"):
        if column in kept:
            clean = [
                scrubbed_text(v, traces) if m and isinstance(v, str) else v
                for v, m in zip(kept[column], concerned[kept.index], strict=True)
            ]
            changed = sum(a != b for a, b in zip(clean, kept[column], strict=True) if isinstance(a, str))
            if changed:
                kept, removed = kept.assign(**{column: clean}), removed + changed
    return (kept, removed) if removed else (frame, 0)


def exports(store: TableStore, dataset: str, traces: Plain) -> tuple[int, list[Left], SearchResult]:
    """Take people out of the exports that we made, where they are: also of snapshots that were forgotten since.

    Returns
    -------
    done : int
        Exports that were cleaned.
    left : list of Left
        Those that could not be.
    found : SearchResult
        What a search of the cleaned ones gave.
    """
    done, found = 0, SearchResult()
    left: list[Left] = []
    for out in _exported(store):
        try:
            state = _whose(store, out, dataset)
            if state is None:
                continue
            if state:
                left.append(Left(what="export", where=str(out), why=state))
                continue
            done += _clean_export(out, traces, _identity.make(store))
            found += _search.search_folder(out, dataset, traces)
        except (OSError, ValueError, pa.ArrowException) as error:
            why = f"could not be cleaned: {' '.join(str(error).split())[:200]}"
            left.append(Left(what="export", where=str(out), why=why))
    return done, left, found


def search_exports(store: TableStore, dataset: str, traces: Traces) -> SearchResult:
    """Look for people in the exports that are where they were written."""
    found = SearchResult()
    for out in _exported(store):
        try:
            if _whose(store, out, dataset) == "":
                found += _search.search_folder(out, dataset, traces)
        except (OSError, pa.ArrowException):
            found.unread.append(str(out))
    return found


def _exported(store: TableStore) -> list[Path]:
    table = _checksums.compared(store, f"{RECORDS}/{EXPORTS}")
    return [Path(p) for p in sorted(set(table.to_pandas()["path"]))] if table is not None else []


def _whose(store: TableStore, out: Path, dataset: str) -> str | None:
    """Why an export cannot be cleaned, empty where it can; None where it is another dataset's or store's."""
    if not out.exists():
        return "is no longer there: if it was moved, delete it or export again"
    try:
        mark = json.loads((out / _export.MARK).read_text(encoding="utf-8"))
        identity = _identity.find(store)
        # We made one here, or it would not be on our list; older marks do not say whether another store did since.
        ours = "identity" not in mark or (identity is not None and mark["identity"] == identity.store)
        return "" if ours and mark["dataset"] == dataset else None
    except (ValueError, KeyError, TypeError, FileNotFoundError):
        # The mark is damaged or gone: what is in the folder says whose it is.
        samples = out / "samples.parquet"
        if not samples.is_file():
            return "its mark cannot be read, and it has no samples.parquet: look at it and delete it"
        names = pq.read_table(samples, columns=["dataset"])["dataset"].unique().to_pylist()
        return "" if names == [dataset] else None


def _clean_export(out: Path, traces: Plain, identity: _identity.Identity) -> bool:
    touched, ids = [], set(traces.target.ids)
    if (out / "samples.parquet").is_file():  # which may know samples of theirs that the store has long forgotten
        known = pq.read_table(out / "samples.parquet", columns=["sample_id", "speaker"]).to_pandas()
        ids |= set(known.loc[known["speaker"].isin(traces.target.speakers), "sample_id"])
    for path in sorted(out.rglob("*.parquet")):
        table = pq.read_table(path)
        if "sample_id" not in table.column_names:
            continue
        kept = table.filter(pc.invert(pc.is_in(table["sample_id"], pa.array(sorted(ids), pa.string()))))
        kept = _attributes.without(kept, traces, identity)
        if not kept.equals(table):
            _replace(path, kept)
            touched.append(path)
    if touched and (out / "columns.parquet").is_file():
        _describe_anew(out)
    return bool(touched)


def _describe_anew(out: Path) -> None:
    """An extreme in the catalogue may have been theirs."""
    catalogue = pq.read_table(out / "columns.parquet").to_pandas()
    parts = []
    for name, _ in catalogue.groupby("extractor", sort=False):
        path = out / f"{name}.parquet"
        if path.is_file():
            here = set(pq.read_schema(path).names)
            documented = [
                d for d in _catalog.documented(catalogue, str(name)) if {d["name"], _spelling.kept(d["name"])} & here
            ]
            inside = [_spelling.kept(d["name"]) for d in documented]
            names = [k if k in here else d["name"] for k, d in zip(inside, documented, strict=True)]
            table = pq.read_table(path, columns=names).select(names).rename_columns(inside)
            moments = {0: _statistics.statistics(table)} if table.num_rows else {}
            parts.append(_catalog.describe(str(name), documented, moments))
    # What was not exported has no values here to describe it by.
    if parts:
        _replace(out / "columns.parquet", pa.Table.from_pandas(pd.concat(parts), preserve_index=False))


def _replace(path: Path, table: pa.Table) -> None:
    beside = path.with_name(f".{path.name}.new")
    pq.write_table(table, beside, use_dictionary=["sample_id"] if "sample_id" in table.column_names else False)
    beside.replace(path)
