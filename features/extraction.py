"""Features of files that belong to no store: the same extractors, settings and rules for what is bad."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from affectlake.data import media
from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.samples import samples_frame
from affectlake.features import registry
from affectlake.features import settings as given
from affectlake.features.compute import Chunk, compute
from affectlake.features.plan import Plan, plan
from affectlake.features.protocol import Extractor
from affectlake.features.scan import media_uris, scan


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
) -> pd.DataFrame:
    """Features of media files, a row each.

    Parameters
    ----------
    files : path or sequence of path
        Sound, pictures or films, of any kind that `affectlake refresh` reads.
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

    Returns
    -------
    DataFrame [index=file, columns=<extractor>.<column>], float32
        In the order given, with the columns of every extractor that reads something that the files have. NaN where an
        extractor failed or does not apply: ``attrs["failures"]`` lists each as file, extractor and reason, and a
        warning names the first.

    Raises
    ------
    UsageError
        No file, a file of an unknown kind, an unknown extractor or setting, or extractors that read nothing of this.
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
    names = [str(f) for f in ([files] if isinstance(files, str | Path) else files)]
    if not names:
        raise UsageError("name at least one file")
    if text is not None and len(names) > 1:
        raise UsageError(f"a text goes with one file, and there are {len(names)}")
    chosen, _ = registry.choose([only] if isinstance(only, str) else only)
    samples = samples_of(names, text)
    with given.use(given.parsed(settings or {})):
        work = planned(samples, chosen)
        if not work.chunks:
            reads = ", ".join(sorted({e.reads for e in chosen}))
            raise UsageError(f"nothing to extract: the extractors read {reads or 'nothing'}, which no file has")
        if workers:
            from affectlake.features.workers import Workers

            with Workers(workers, extractors=[e.name for e in chosen]) as pool:
                tables, failures = collected(work, pool.run(work.chunks))
        else:
            tables, failures = collected(work, ((chunk, compute(chunk)) for chunk in work.chunks))
    if not any(len(values) for values in tables.values()):
        first = failures[0]
        raise AffectlakeError(f"nothing could be read, of {names[int(first.sample_id)]} because of {first.reason}")
    frame = pd.concat([values.reindex(samples["sample_id"]) for values in tables.values()], axis=1)
    frame.index = pd.Index(names, name="file")
    return _told(frame, [replace(f, sample_id=names[int(f.sample_id)]) for f in failures])


def samples_of(files: Sequence[str], text: str | None = None, first: int = 0) -> pd.DataFrame:
    """Files as samples in normal form, called by their number from ``first`` on.

    Raises
    ------
    UsageError
        A file of a kind that is not known.
    """
    frame = pd.DataFrame([{"sample_id": str(i), kind_of(file): file} for i, file in enumerate(files, first)])
    if text is not None:
        frame["text"] = text
    return samples_frame(frame, "files", base=Path.cwd())


def kind_of(file: str) -> str:
    """``audio``, ``image`` or ``video``, by the suffix or else by the content; raises UsageError."""
    path = Path(file)
    suffix = path.suffix.lower()
    kind = next((kind for kind, suffixes in media.SUFFIXES.items() if suffix in suffixes), None) or media.kind_of(path)
    if kind is None:
        known = ", ".join(sorted(s for suffixes in media.SUFFIXES.values() for s in suffixes))
        raise UsageError(
            f"{file}: no kind of media is known by {suffix or 'no suffix'!r} or by its content; known are {known}"
        )
    return kind


def planned(samples: pd.DataFrame, chosen: Sequence[Extractor]) -> Plan:
    """What is to be computed of samples of which nothing is known."""
    stats = scan(media_uris(samples), pd.DataFrame())
    return plan(samples, stats, chosen, lambda name, fingerprint: pd.DataFrame({"content": [], "outcome": []}))


def collected(
    work: Plan, results: Iterable[tuple[Chunk, dict[str, pa.Table]]]
) -> tuple[dict[str, pd.DataFrame], list[Failure]]:
    """Results by sample.

    Returns
    -------
    dict of extractor to DataFrame [index=sample_id, columns=<extractor>.<column>], float32
        Samples that it has values for.
    list of Failure
        What failed and where an extractor does not apply.
    """
    tables: dict[str, list[pd.DataFrame]] = {}
    for _, computed in results:
        for name, table in computed.items():
            tables.setdefault(name, []).append(table.to_pandas())
    values: dict[str, pd.DataFrame] = {}
    failures = []
    for name, parts in tables.items():
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
