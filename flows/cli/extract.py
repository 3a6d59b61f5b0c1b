"""The command that extracts features of files into a table, without a store."""

from pathlib import Path

from affectlake.flows.cli.options import Json, Patterns
from affectlake.flows.cli.output import as_frame, check_out, note


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

    from affectlake.features import extraction, settings
    from affectlake.flows.cli.app import DONE, QUARANTINED
    from affectlake.flows.machine import cores
    from affectlake.flows.progress import to_stderr

    check_out(out, excel_safe, json)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what it warns of is listed below, whole
        frame = extraction.extract(
            files,
            only,
            text=text,
            settings=settings.parsed(set),
            workers=min(workers or cores(), len(files)),
            progress=to_stderr(),
        )
    failures = frame.attrs.pop("failures")
    as_frame(frame, out, excel_safe, json)
    for failure in failures:
        note(f"{failure['file']}: {failure['extractor']}: {failure['reason']}")
    note(f"{len(frame)} files × {frame.shape[1]} columns")
    return QUARANTINED if failures else DONE
