"""Commands that change a store: refresh, put, erase, verify, repair, tidy."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from affectlake.flows.cli.options import Json, PrefectOption, StoreOption
from affectlake.flows.cli.output import as_json, as_table, note
from affectlake.flows.options import RefreshOptions, TableReading

if TYPE_CHECKING:
    from affectlake.flows.refresh import RefreshResult
    from affectlake.flows.server import Mode

DEFAULT_READING = TableReading()


def refresh(
    options: Annotated[RefreshOptions, Parameter(name="*", negative_iterable=(), consume_multiple=True)],
    *,
    set: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    prefect: PrefectOption = "auto",
    dry_run: bool = False,
    json: Json = False,
) -> int:
    """Bring a dataset's features up to date and publish them as one snapshot.

    Only what is new or changed is computed. Exit code 3: finished, with samples in quarantine.

    Parameters
    ----------
    options
        What to refresh and how.
    set
        NAME=VALUE, such as video.frames=8 (`affectlake show settings` lists them); what it changes is computed anew.
    prefect
        Run as a Prefect flow: auto does where an API is configured, or a nightly service of the same account runs.
    dry_run
        Say what would be computed, and stop.
    json
        Counts as JSON on stdout.
    """
    from affectlake.features import settings
    from affectlake.flows import refresh as plain
    from affectlake.flows.cli.app import DONE
    from affectlake.flows.progress import to_stderr
    from affectlake.flows.sources import absolute

    options = replace(options, root=absolute(options.root), settings={**options.settings, **settings.parsed(set)})
    if dry_run:
        with to_stderr()("planning"):
            counts = plain.dry_run(options)
        if json:
            as_json(counts)
        else:
            as_table([{"extractor": n, "to compute": c} for n, c in counts.items()])
        return DONE
    return _run(options, prefect, json)


def _run(options: RefreshOptions, prefect: "Mode | None", json: bool) -> int:
    """Refresh, print what came of it, and say what there is to know."""
    from affectlake.flows import refresh as plain
    from affectlake.flows.cli.app import DONE, FAILED, QUARANTINED
    from affectlake.flows.server import wanted

    note(f"{options.dataset}: refresh begins")
    if wanted(prefect):
        from affectlake.flows.orchestration import run_refresh

        result = run_refresh(options)
    else:
        from affectlake.flows.progress import to_stderr

        result = plain.refresh(options, progress=to_stderr())
    if json:
        as_json(result.to_json())
    else:
        as_table([{"extractor": n, **c} for n, c in result.extractors.items()], title=_title(result))
    for name, reason in result.skipped.items():
        note(f"skipped {name}: {reason}")
    for problem in result.problems:
        note(f"gate: {problem}")
    if result.transcribed:
        note(f"{result.transcribed} of {result.samples} samples have a text that was written by a machine")
    if result.erased:
        note(f"{result.erased} samples were erased and are not taken; `affectlake erase` has --forget-erasure")
    if not result.published:
        note(f"snapshot {result.snapshot} was not published; look at it with as_of={result.snapshot!r}")
        return FAILED
    if result.failed:
        note(f"{result.failed} in quarantine: affectlake failures {options.dataset} --store {options.store}")
        return QUARANTINED
    return DONE


def transcribe(
    dataset: str,
    /,
    *,
    language: str | None = None,
    store: StoreOption = "lake",
    workers: int | None = None,
    timeout: float = 60.0,
    retry_failed: Annotated[bool, Parameter(negative=())] = False,
    prefect: PrefectOption = "auto",
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Give samples that have sound and no text one by machine, and refresh what is computed from texts.

    Refreshes the dataset from where it was last refreshed, by the same extractors and settings. Only what is new is
    heard; a text that was given stays. Exit code 3: finished, with samples in quarantine.

    Parameters
    ----------
    dataset
        Name of a dataset that was refreshed before; for a new one, `affectlake refresh … --transcribe`.
    language
        ISO 639-1 code of what is spoken where the samples do not say, such as de; default: it is detected.
    store
        Folder or object-store URI.
    workers
        Worker processes; default: one per core.
    timeout
        Seconds that one sample may take for features; ten times that for its transcript.
    retry_failed
        Try remembered failures again.
    prefect
        Run as a Prefect flow: auto does where an API is configured, or a nightly service of the same account runs.
    json
        Counts as JSON on stdout.
    """
    from affectlake.features import settings
    from affectlake.flows.machine import cores
    from affectlake.flows.options import RefreshOptions
    from affectlake.flows.sources import again

    options = RefreshOptions(
        dataset=dataset,
        store=store,
        workers=workers or cores(),
        timeout=timeout,
        retry_failed=retry_failed,
        settings=settings.parsed({} if language is None else {"speech.language": language}),
    )
    return _run(again(dataset, options), prefect, json)


def _title(result: "RefreshResult") -> str:
    return f"{result.dataset}: {result.samples} samples, snapshot {result.snapshot}, {result.seconds:.1f} s"


def put(
    dataset: str,
    extractor: str,
    file: Path,
    /,
    *,
    columns: Annotated[tuple[str, ...], Parameter(negative=())] = ("*",),
    reading: Annotated[TableReading, Parameter(name="*", negative_iterable=())] = DEFAULT_READING,
    store: StoreOption = "lake",
    json: Json = False,
) -> int:
    """Bring in features that were computed elsewhere.

    Of a dataset that the store does not hold yet, the file's other columns become the samples: speaker, split, text
    and the other names of a manifest, and labels.

    Parameters
    ----------
    dataset
        Dataset that the samples belong to.
    extractor
        modality.name under which the features will be found, such as face.au.
    file
        Table (CSV, TSV, Excel, JSON lines or Parquet) with a sample_id column and numeric columns.
    columns
        Globs over the file's columns that are features, such as 'au_*'.
    reading
        How to read the file where it does not tell itself.
    store
        Folder or object-store URI.
    json
        Counts as JSON on stdout.
    """
    from fnmatch import filter as matching

    from affectlake.data.errors import UnknownName, UsageError
    from affectlake.data.manifest import read_any, without_features
    from affectlake.data.samples import samples_frame
    from affectlake.data.store import Store

    modality, dot, name = extractor.partition(".")
    if not dot:
        raise UsageError(f"{extractor!r} is not an extractor name: expected modality.name, such as face.au")
    frame = read_any(file, reading.table)
    if "sample_id" not in frame:
        raise UsageError(f"{file} has no column sample_id; it has {', '.join(frame.columns[:10])}")
    for pattern in columns:
        if not matching(frame.columns, pattern):
            raise UnknownName("column", pattern, frame.columns)
    chosen = [c for c in frame.columns.drop("sample_id") if any(matching([c], pattern) for pattern in columns)]
    about, _ = without_features(frame.drop(columns=chosen))
    lake = Store(store, create=True)
    known = dataset in {d["dataset"] for d in lake.status()["datasets"]}
    samples = None if known else samples_frame(about, dataset, base=file.absolute().parent, readable=False)
    snapshot = lake.put(dataset, modality, name, frame.set_index("sample_id")[chosen], samples=samples)
    others = about.columns.drop("sample_id")
    if len(others):
        shown = ", ".join(others[:10]) + (f", … ({len(others)} in all)" if len(others) > 10 else "")
        note(f"not taken, {dataset} has its samples already: {shown}" if known else f"about the samples: {shown}")
    if json:
        as_json(
            {
                "dataset": dataset,
                "snapshot": snapshot.id,
                "extractors": {n: asdict(c) for n, c in snapshot.counts.items()},
            }
        )
    else:
        as_table([{"extractor": n, **asdict(c)} for n, c in snapshot.counts.items() if n == extractor])
    return 0


def erase(
    dataset: str | None = None,
    /,
    *,
    speaker: str | None = None,
    ids: Annotated[tuple[str, ...], Parameter(negative=(), consume_multiple=True)] = (),
    store: StoreOption = "lake",
    reports: Annotated[tuple[Path, ...], Parameter(negative=(), consume_multiple=True)] = (),
    yes: Annotated[bool, Parameter(negative=())] = False,
    forget_erasure: Annotated[bool, Parameter(negative=())] = False,
    check: Path | None = None,
) -> int:
    """Remove a person or samples from every table, every old version and whatever was made from them.

    Prints a receipt as JSON, which names nobody. Exit code 3: done, but something could not be reached: the receipt
    lists it. Erased people do not come back by a refresh.

    Parameters
    ----------
    dataset
        Dataset to erase from.
    speaker
        Everything of this speaker.
    ids
        Exactly these samples.
    store
        Folder or object-store URI.
    reports
        Folders of nightly reports besides those that the store knows of.
    yes
        Required: an erasure cannot be undone.
    forget_erasure
        Let those of --speaker or --ids (without either, all of the dataset) come back with the next refresh.
    check
        Receipt of an earlier erasure: look again whether anything is left.
    """
    from affectlake.data.errors import UsageError
    from affectlake.flows import erasure
    from affectlake.flows.cli.app import DONE, QUARANTINED

    if check is not None:
        checked = erasure.check(store, check)
        as_json(checked)
        return QUARANTINED if checked["still_found_in"] or checked["unread"] else DONE
    if dataset is None:
        raise UsageError("name the dataset to erase from, or a receipt: --check FILE")
    if forget_erasure:
        from affectlake.data.store import Store

        as_json({"forgotten": Store(store).forget_erasure(dataset, speaker=speaker, ids=list(ids) or None)})
        return DONE
    if (speaker is None) == (not ids):
        raise UsageError("say whom to erase: either --speaker NAME or --ids ID …")
    if not yes:
        raise UsageError("an erasure cannot be undone; add --yes to go on")
    receipt = erasure.erase(store, dataset, speaker, list(ids) or None, reports)
    as_json(receipt)
    for left in receipt["left"]:
        note(f"left: {left['what']} {left['where']}: {left['why']}")
    for other in erasure.also_in(store, dataset, speaker) if speaker else ():
        note(f"dataset {other} has samples of this speaker too: affectlake erase {other} erases them there")
    return QUARANTINED if receipt["left"] or receipt["still_found_in"] else DONE


def verify(
    dataset: str | None = None,
    /,
    *,
    store: StoreOption = "lake",
    json: Json = False,
) -> int:
    """Compare every file with the checksum that was noted when it was written. Exit code 3: something is damaged.

    Parameters
    ----------
    dataset
        Only this dataset.
    store
        Folder or object-store URI.
    json
        JSON on stdout.
    """
    from affectlake.data.store import Store
    from affectlake.flows.cli.app import DONE, QUARANTINED
    from affectlake.flows.progress import to_stderr

    with to_stderr()("comparing files"):
        verified = Store(store).verify(dataset)
    if json:
        as_json(verified)
    else:
        rows = [{"file": d["file"], "why": d["why"], "remedy": d["remedy"]} for d in verified["damaged"]]
        as_table(rows, empty="no damage")
    note(f"{verified['files']} files compared, {verified['unrecorded']} have no checksum and were only read")
    return QUARANTINED if verified["damaged"] else DONE


def repair(dataset: str, /, *, store: StoreOption = "lake") -> int:
    """Take damaged files out of all snapshots, so that the next refresh computes what they held.

    Prints what was done as JSON. Exit code 3: something is lost that no refresh brings back.

    Parameters
    ----------
    dataset
        Dataset to mend.
    store
        Folder or object-store URI.
    """
    from affectlake.data.store import Store
    from affectlake.flows.cli.app import DONE, QUARANTINED
    from affectlake.flows.progress import to_stderr

    with to_stderr()("repairing"):
        done = Store(store).repair(dataset)
    as_json(done)
    return QUARANTINED if done["lost"] else DONE


def tidy(
    dataset: str,
    /,
    *,
    keep: int | None = None,
    store: StoreOption = "lake",
) -> int:
    """Delete files that no snapshot names and put small ones together; safe beside readers.

    Prints what was done as JSON.

    Parameters
    ----------
    dataset
        Dataset to tidy.
    keep
        Forget all but so many of the newest snapshots first; tagged ones stay.
    store
        Folder or object-store URI.
    """
    from affectlake.data.store import Store
    from affectlake.flows.progress import to_stderr

    with to_stderr()("tidying"):
        done = Store(store).tidy(dataset, keep)
    as_json(done)
    return 0
