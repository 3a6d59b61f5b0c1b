"""The command that extracts features of files into a table, without a store."""

from pathlib import Path

from affectlake.flows.cli.options import Json, Patterns
from affectlake.flows.cli.output import as_csv, as_json, note


def extract(
    files: tuple[str, ...],
    /,
    *,
    only: Patterns = ("*",),
    text: str | None = None,
    set: Patterns = (),
    workers: int | None = None,
    out: Path | None = None,
    excel_safe: Json = False,
    json: Json = False,
) -> int:
    """Features of media files as a table: to a file, or as CSV on stdout. No store is needed, and none is written.

    Exit code 3: something could not be read or does not apply; it is listed on stderr.

    Parameters
    ----------
    files
        Sound, pictures or films, a row each.
    only
        Extractors by name or glob, such as audio.prosody or 'audio.*'.
    text
        What is said in the file, when there is one file.
    set
        NAME=VALUE, such as video.frames=8 (`affectlake show settings` lists them).
    workers
        Worker processes; default: one per core.
    out
        .csv or .parquet file to write instead of stdout.
    excel_safe
        CSV for spreadsheets: text that they would take for a formula begins with an apostrophe, and all text is quoted.
    json
        A JSON list of records on stdout.
    """
    import warnings

    from affectlake.data.errors import UsageError
    from affectlake.features import extraction, settings
    from affectlake.flows.cli.app import DONE, QUARANTINED
    from affectlake.flows.machine import cores

    if excel_safe and (json or (out is not None and out.suffix == ".parquet")):
        raise UsageError("--excel-safe is about CSV: leave it out for JSON and Parquet")
    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise UsageError(f"cannot write {out.name!r}: expected a name that ends in .csv or .parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what it warns of is listed below, whole
        frame = extraction.extract(
            files, only, text=text, settings=settings.parsed(set), workers=min(workers or cores(), len(files))
        )
    failures = frame.attrs.pop("failures")
    if json:
        as_json(frame.reset_index().to_dict("records"))
    elif out is None or out.suffix == ".csv":
        as_csv(frame, out, excel_safe)
    else:
        frame.to_parquet(out)
    for failure in failures:
        note(f"{failure['file']}: {failure['extractor']}: {failure['reason']}")
    note(f"{len(frame)} files × {frame.shape[1]} columns")
    return QUARANTINED if failures else DONE
