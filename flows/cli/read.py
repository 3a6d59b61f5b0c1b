"""Commands that read a store: status, failures, load, sql, export."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from affectlake.flows.cli.options import Json, StoreOption
from affectlake.flows.cli.output import as_frame, as_json, as_table, check_out, note


def status(*, store: StoreOption = "lake", json: Json = False) -> int:
    """Datasets, tables, rows, coverage and the newest snapshot.

    Parameters
    ----------
    store
        Folder or object-store URI.
    json
        JSON on stdout.
    """
    from affectlake.data.store import Store

    found = Store(store).status()
    if json:
        as_json(found)
        return 0
    for dataset in found["datasets"]:
        title = (
            f"{dataset['dataset']}: {dataset['samples']} samples, snapshot {dataset['snapshot']} of {dataset['time']}"
        )
        shown = ("extractor", "columns", "rows", "failed", "not_applicable", "coverage")
        rows = [{k.replace("_", " "): v for k, v in t.items() if k in shown} for t in dataset["tables"]]
        as_table(rows, title=title)
    if not found["datasets"]:
        note(f"{store} holds no dataset yet: affectlake refresh …")
    return 0


def failures(
    dataset: str,
    /,
    *,
    store: StoreOption = "lake",
    not_applicable: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
) -> int:
    """Samples in quarantine, each with its reason.

    Parameters
    ----------
    dataset
        Name of the dataset.
    store
        Folder or object-store URI.
    not_applicable
        List also where an extractor had nothing to say (no face, silence, empty text).
    json
        JSON on stdout.
    """
    from affectlake.data.store import Store

    rows = Store(store).failures(dataset, not_applicable=not_applicable).to_dict("records")
    if json:
        as_json(rows)
    else:
        keys = ("sample_id", "extractor", "outcome", "reason")
        as_table([{k: row[k] for k in keys} for row in rows], empty="no failures")
    return 0


def load(
    dataset: str,
    features: tuple[str, ...] = (),
    /,
    *,
    label: str | None = None,
    split: str | None = None,
    as_of: str | None = None,
    missing: Literal["keep", "drop", "error"] = "keep",
    out: Path | None = None,
    excel_safe: Json = False,
    store: StoreOption = "lake",
    json: Json = False,
) -> int:
    """Features of a dataset as a table: to a file, or as CSV on stdout.

    Parameters
    ----------
    dataset
        Name of the dataset.
    features
        Globs over extractors or columns, such as audio.prosody or 'text.*'; default: all.
    label
        Label column to put first.
    split
        Only this split.
    as_of
        Snapshot id, time or tag.
    missing
        What to do with samples that lack a feature.
    out
        .csv or .parquet file to write instead of stdout.
    excel_safe
        CSV for spreadsheets: text that they would take for a formula begins with an apostrophe, and all text is quoted.
    store
        Folder or object-store URI.
    json
        A JSON list of records on stdout.
    """
    from affectlake.data.store import Store

    check_out(out, excel_safe, json)
    frame = Store(store).load(dataset, list(features) or None, label=label, split=split, as_of=as_of, missing=missing)
    as_frame(frame, out, excel_safe, json)
    if out is not None:
        from affectlake.flows.erasure import remember

        remember(store, "features", out, dataset)
    note(f"{len(frame)} samples × {frame.shape[1]} columns")
    return 0


def sql(query: str, /, *, store: StoreOption = "lake", allow_files: Json = False, json: Json = False) -> int:
    """Query the newest snapshot with DuckDB: one view per table, such as "ravdess.audio.prosody", and per dataset.

    A query only reads, and only the store.

    Parameters
    ----------
    query
        A SELECT statement.
    store
        Folder or object-store URI.
    allow_files
        Let the query read and write files, and load extensions.
    json
        A JSON list of records on stdout.
    """
    from affectlake.data.store import Store

    found = Store(store).sql(query, allow_files=allow_files).to_dict("records")
    rows = [{str(name): value for name, value in row.items()} for row in found]
    if json:
        as_json(rows)
    else:
        as_table(rows, empty="no rows")
    return 0


def export(
    dataset: str,
    out: Path,
    features: tuple[str, ...] = (),
    /,
    *,
    as_of: str | None = None,
    feast: Annotated[bool, Parameter(negative=())] = False,
    store: StoreOption = "lake",
) -> int:
    """Write a dataset as plain Parquet files that need no library of ours.

    Parameters
    ----------
    dataset
        Name of the dataset.
    out
        Folder to write to.
    features
        Globs over extractors or columns; default: all.
    as_of
        Snapshot id, time or tag.
    feast
        Write definitions for Feast beside it, ready for `feast apply`.
    store
        Folder or object-store URI.
    """
    from affectlake.data.store import Store

    Store(store).export(out, dataset, list(features) or None, as_of=as_of, feast=feast)
    note(f"written to {out}")
    return 0
