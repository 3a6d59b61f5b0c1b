"""Features of files that belong to no store: the same extractors, settings and rules for what is bad."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from affectlake.data import media, remote
from affectlake.data.errors import AffectlakeError, BadMedia, UsageError
from affectlake.data.progress import Progress, Report, silent
from affectlake.data.samples import samples_frame
from affectlake.features import registry
from affectlake.features import settings as given
from affectlake.features.compute import Chunk, compute, one_line
from affectlake.features.plan import Plan, plan
from affectlake.features.protocol import Extractor
from affectlake.features.scan import media_uris, scan
from affectlake.features.steady import given_up, settled, steady


@dataclass(frozen=True)
class Failure:
    """What an extractor could not say of a sample, and why."""

    sample_id: str
    extractor: str
    reason: str


def extract(
    files: str | Path | Sequence[str | Path],
    only: str | Sequence[str] = "*",
    *,
    text: str | None = None,
    settings: Mapping[str, given.Value] | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Features of media files, a row each.

    Parameters
    ----------
    files : path or sequence of path
        Sound, pictures or films, of any kind that `affectlake refresh` reads, here or elsewhere (``s3://``,
        ``https://``, …).
    only : str or sequence of str
        Extractors by name or by glob, such as ``audio.*``. Of those that globs name, what cannot run on this machine
        is left out, as by a refresh.
    text : str, optional
        What is said in the file, where there is one file.
    settings : mapping, optional
        Of `affectlake.features.settings`, by name.
    workers : int >= 0
        Processes to compute in. 0 is this process, which is quickest for a few files; only in processes of their own
        can a file that crashes or hangs its decoder be left out.
    progress : Progress, optional

    Returns
    -------
    DataFrame [index=file, columns=<extractor>.<column>], float32
        In the order given, with the columns of every extractor that reads something that the files have. NaN where an
        extractor failed or does not apply: ``attrs["failures"]`` lists each as file, extractor and reason, and a
        warning names the first.

    Raises
    ------
    UsageError
        No file, no file of a known kind, an unknown extractor or setting, or extractors that read nothing of this.
    AffectlakeError
        An extractor that is called by its name cannot run here, or no file could be read.

    Examples
    --------
    >>> import numpy as np, soundfile, tempfile
    >>> from affectlake.features import extract
    >>> path = tempfile.mkdtemp() + "/tone.wav"
    >>> soundfile.write(path, 0.1 * np.sin(2 * np.pi * 220 * np.arange(16000) / 16000), 16000)
    >>> frame = extract(path, "audio.prosody")
    >>> round(float(frame["audio.prosody.f0_hz_median"].iloc[0]))
    220
    """
    paths = [remote.hidden(str(f)) for f in ([files] if isinstance(files, str | Path) else files)]
    names = [spelt(name) for name in paths]
    if not names:
        raise UsageError("name at least one file")
    if text is not None and len(names) > 1:
        raise UsageError(f"a text goes with one file, and there are {len(names)}")
    chosen, _ = registry.choose([only] if isinstance(only, str) else only)
    samples, unknown = samples_of(paths, text)
    if len(unknown) == len(names):
        raise none_known(paths[0], unknown[0])

    def check(work: Plan) -> None:
        if not work.chunks:
            reads = ", ".join(sorted({e.reads for e in chosen}))
            raise UsageError(f"nothing to extract: the extractors read {reads or 'nothing'}, which no file has")

    with given.use(given.parsed(settings or {})), progress("computing") as report:
        from affectlake.features.workers import Workers, compiled_once

        compiled_once()
        if workers:
            with Workers(workers, extractors=[e.name for e in chosen]) as pool:
                _, tables, failures = computed(samples, chosen, counted(pool.run, report), check)
        else:
            _, tables, failures = computed(samples, chosen, counted(_here, report), check)
    failures = unknown + failures
    if not any(len(values) for values in tables.values()):
        first = failures[0]
        raise AffectlakeError(f"nothing could be read, of {names[int(first.sample_id)]} because of {first.reason}")
    frame = pd.concat([values.reindex(samples["sample_id"]) for values in tables.values()], axis=1)
    frame.index = pd.Index(names, name="file")
    return _told(frame, [replace(f, sample_id=names[int(f.sample_id)]) for f in failures])


def _here(chunks: Sequence[Chunk]) -> Iterator[tuple[Chunk, dict[str, pa.Table]]]:
    return ((chunk, compute(chunk)) for chunk in chunks)


def samples_of(files: Sequence[str], text: str | None = None, first: int = 0) -> tuple[pd.DataFrame, list[Failure]]:
    """Files as samples in normal form, called by their number from ``first`` on.

    Returns
    -------
    DataFrame
        A row each; of a file of a kind that is not known, without anything to read.
    list of Failure
        Those files, and why: there is none, it is something special, or no media.
    """
    rows: list[dict[str, str]] = []
    failures = []
    for number, file in enumerate(files, first):
        row = {"sample_id": str(number)}
        try:
            # A table holds no name that is not UTF-8; an address does.
            row[kind_of(file)] = file if spelt(file) == file else Path(file).absolute().as_uri()
        except BadMedia as error:
            reason = str(error).removeprefix(f"{spelt(file)}: ").removeprefix(f"{media.shown(Path(file))}: ")
            failures.append(Failure(str(number), "every extractor", one_line(reason)))
        rows.append(row)
    frame = pd.DataFrame(rows)
    if text is not None:
        frame["text"] = text
    return samples_frame(frame, "files", base=Path.cwd(), readable=False), failures


def kind_of(file: str) -> media.Kind:
    """``audio``, ``image`` or ``video``, by the suffix or else by the content; raises BadMedia where neither tells."""
    suffix = Path(remote.name_of(file)).suffix.lower()
    for kind, suffixes in media.SUFFIXES.items():
        if suffix in suffixes:
            return kind
    if remote.is_remote(file):
        with remote.fetched(file) as copy:
            return kind_of(str(copy.path))
    path = media.local_path(file)
    if found := media.kind_of(path):
        return found
    with media.open_file(path):  # what cannot be opened says why itself
        raise BadMedia(f"{_NONE} {suffix or 'no suffix'!r} or by its content")


_NONE = "no kind of media is known by"


def none_known(file: str, failure: Failure, hint: str = "") -> UsageError:
    """What is to be said where no file is of a known kind, this one among them; ``hint``: and what may be meant."""
    known = ", ".join(sorted(s for suffixes in media.SUFFIXES.values() for s in suffixes))
    reason = failure.reason
    if not reason.startswith(_NONE):
        reason = f"{_NONE} {Path(file).suffix.lower() or 'no suffix'!r} ({reason})"
    return UsageError(f"{spelt(file)}: {reason}; known are {known}{hint}")


def spelt(name: str) -> str:
    """A file's name as text: what is not UTF-8 in it is escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


Run = Callable[[Sequence[Chunk]], Iterable[tuple[Chunk, dict[str, pa.Table]]]]
"""Computes chunks somewhere."""


def counted(run: Run, report: Report) -> Run:
    """The same, which reports how many of its samples, each as often as it is read, are done."""

    def counting(chunks: Sequence[Chunk]) -> Iterator[tuple[Chunk, dict[str, pa.Table]]]:
        known = list(chunks)  # a plan makes them anew each time that it is asked
        done, total = 0, sum(len(c.requests) for c in known)
        report(done, total)
        for chunk, tables in run(known):
            done += len(chunk.requests)
            report(done, total)
            yield chunk, tables

    return counting


def computed(
    samples: pd.DataFrame, chosen: Sequence[Extractor], run: Run, check: Callable[[Plan], None] = lambda work: None
) -> tuple[Plan, dict[str, pd.DataFrame], list[Failure]]:
    """Results of samples of which nothing is known; a file that changes while it is read is tried again.

    Parameters
    ----------
    samples : DataFrame
        Normal form of `affectlake.data.samples.samples_frame`.
    chosen : sequence of Extractor
    run : callable
        Computes chunks somewhere.
    check : callable(plan), optional
        Raises what there is to say against the plan, before anything is computed.

    Returns
    -------
    Plan
        What was computed at last.
    dict of extractor to DataFrame [index=sample_id, columns=<extractor>.<column>], float32
        Samples that it has values for.
    list of Failure
        What failed and where an extractor does not apply.
    """
    done: dict[str, list[pd.DataFrame]] = {}

    def known(name: str, fingerprint: str) -> pd.DataFrame:
        parts = [table[["content", "outcome"]] for table in done.get(name, ())]
        return pd.concat(parts) if parts else pd.DataFrame({"content": [], "outcome": []})

    def again(stats: pd.DataFrame) -> Plan:
        return plan(samples, stats, chosen, known, retry_unread=False)

    def carried_out(work: Plan, stopped: bool) -> list[str]:
        changed: dict[str, None] = {}
        for _, tables in given_up(work.chunks, "try again when it is whole") if stopped else run(work.chunks):
            kept, files = steady(work.chunks, tables)
            changed |= dict.fromkeys(files)
            for name, table in kept.items():
                done.setdefault(name, []).append(table.to_pandas())
        return list(changed)

    stats = scan(media_uris(samples), pd.DataFrame())
    work = plan(samples, stats, chosen, known)
    check(work)
    work, _ = settled(work, stats, again, carried_out)
    return work, *_by_sample(work, done)


def _by_sample(work: Plan, done: dict[str, list[pd.DataFrame]]) -> tuple[dict[str, pd.DataFrame], list[Failure]]:
    values: dict[str, pd.DataFrame] = {}
    failures = []
    for name, parts in done.items():
        known = pd.concat(parts, ignore_index=True).drop_duplicates("content").set_index("content")
        wanted = work.wanted[name].set_index("sample_id")
        rows = known.reindex(wanted["content"]).set_axis(wanted.index)
        ok = rows["outcome"] == "ok"
        failures += [Failure(str(i), name, reason) for i, reason in rows.loc[~ok, "reason"].items()]
        values[name] = rows[ok].drop(columns=["outcome", "reason"]).add_prefix(f"{name}.")
    return values, failures


def _told(frame: pd.DataFrame, failures: list[Failure]) -> pd.DataFrame:
    frame.attrs["failures"] = [{"file": f.sample_id, "extractor": f.extractor, "reason": f.reason} for f in failures]
    if failures:
        first = failures[0]
        more = f" (and {len(failures) - 1} more: see attrs['failures'])" if failures[1:] else ""
        warnings.warn(f"{first.sample_id}: {first.extractor}: {first.reason}{more}", stacklevel=3)
    return frame
