"""Brings every table of a dataset up to date and publishes them as one snapshot. Plain functions: no prefect here."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.data.progress import Progress, silent
from affectlake.features import registry
from affectlake.features import settings as given
from affectlake.features.protocol import Extractor, texts, weights
from affectlake.features.windowed import with_series
from affectlake.flows.options import RefreshOptions
from affectlake.flows.record import Refreshed
from affectlake.flows.sources import remember
from affectlake.flows.version import code_version

if TYPE_CHECKING:
    import pandas as pd

    from affectlake.data.manifest import Manifest
    from affectlake.data.store import Assemblers, ColumnDoc, FeatureSpec, Store
    from affectlake.data.store._writer import Writer
    from affectlake.features.plan import Plan
    from affectlake.features.results import Results
    from affectlake.flows.engines import Places


_log = logging.getLogger("affectlake.refresh")


@dataclass(frozen=True)
class RefreshResult:
    """What a refresh did; `to_json` is the shape of ``refresh --json``.

    ``extractors`` maps each extractor to its counts: new, recomputed, unchanged, removed, failed, not_applicable;
    ``computed`` to the contents that it was run on, which is less where contents are equal or a result was kept.
    ``encoding`` is what a manifest's text was read in, ``notes`` what its reader should know.
    ``erased`` is the number of samples that were left out because somebody erased them, ``transcribed`` that of those
    whose text was written by a machine.
    """

    dataset: str
    snapshot: str
    published: bool
    samples: int
    extractors: dict[str, dict[str, int]]
    skipped: dict[str, str]
    problems: list[str]
    seconds: float
    stages: dict[str, float] = field(default_factory=dict)
    computed: dict[str, int] = field(default_factory=dict)
    encoding: str | None = None
    notes: tuple[str, ...] = ()
    erased: int = 0
    transcribed: int = 0

    @property
    def failed(self) -> int:
        """Sample × extractor pairs in quarantine."""
        return sum(c.get("failed", 0) for c in self.extractors.values())

    def to_json(self) -> Refreshed:
        return cast("Refreshed", asdict(self))


Run = Callable[["Plan", RefreshOptions, "Places"], Iterable["Results"]]
"""Computes a plan somewhere, results as they come; workers that can write to the store have put theirs there."""


def refresh(options: RefreshOptions, run: Run | None = None, progress: Progress = silent) -> RefreshResult:
    """Refresh one dataset.

    Parameters
    ----------
    options : RefreshOptions
    run : callable, optional
        Where shards are computed; default: worker processes of this machine.
    progress : Progress, optional

    Raises
    ------
    UsageError
        Unknown dataset or extractor, or a manifest that cannot be understood.
    AffectlakeError
        More than ``max_missing`` of the samples or files are gone (a missing mount): nothing is changed.
    """
    with given.use(options.settings):
        return _refresh(options, run, progress)


def _refresh(options: RefreshOptions, run: Run | None, progress: Progress) -> RefreshResult:
    from affectlake.data.samples import without
    from affectlake.data.store import Store
    from affectlake.features import scan
    from affectlake.features.transcripts import machine_made
    from affectlake.flows import parties, transcripts

    clock = _Stages(options.dataset)
    check(options)
    with progress("reading what there is"):
        loaded = load(options)
    samples = loaded.samples
    with clock("lock"):
        store = Store(options.store, create=True)
        writer = store.writer(options.dataset)
    with writer as w:
        with clock("scan"):
            w.check(samples)
            before, listed = w.file_index(), len(samples)
            samples = without(samples, w.erased(samples))  # their files are not even read
            stats = _scan(samples, before, w, options, progress)
            samples = without(samples, w.erased(samples, stats))
            if len(samples) < listed:
                _log.info("%s: %d samples were erased and are not taken", options.dataset, listed - len(samples))
                stats = stats[stats["uri"].isin(scan.media_uris(samples))].reset_index(drop=True)
            _all_there(store, samples, before, stats, options)
        steps = _Steps(options, run or run_here, progress, clock, w)
        chosen, skipped = registry.choose(transcripts.asked(options))
        speech, rest = transcripts.first(chosen)
        wanted: dict[str, FeatureSpec] = {}
        if speech:
            wanted, stats = steps.brought(samples, stats, speech, "transcribe")
        samples = transcripts.worded(samples, stats, w, wanted)
        others, stats = steps.brought(samples, stats, with_series(rest), "compute")
        with clock("publish"), progress("publishing"), _assembling(options, w) as by:
            snapshot = w.publish(
                samples=samples,
                features=wanted | others,
                file_index=stats,
                author=options.author,
                code_version=code_version(),
                gate=options.gate,
                by=by,
            )
    remember(store, options)
    notes = loaded.notes
    if steps.computed["audio.recording"] and (said := parties.hint(store, snapshot)):
        _log.warning("%s: %s", options.dataset, said, extra={"dataset": options.dataset})
        notes = (*notes, said)
    return RefreshResult(
        dataset=options.dataset,
        snapshot=snapshot.id,
        published=snapshot.published,
        samples=len(samples),
        extractors={name: asdict(counts) for name, counts in snapshot.counts.items()},
        skipped=skipped,
        problems=list(snapshot.problems),
        seconds=round(clock.total, 3),
        stages=clock.seconds,
        computed=dict(steps.computed),
        encoding=loaded.encoding,
        notes=notes,
        erased=listed - len(samples),
        transcribed=int(machine_made(samples).sum()),
    )


PATIENCE = 10
"""Times the seconds of other samples that one may take to transcribe: ten minutes of speech cost one or two."""


@dataclass(frozen=True)
class _Steps:
    """What bringing extractors up to date takes, whichever they are."""

    options: RefreshOptions
    run: Run
    progress: Progress
    clock: "_Stages"
    writer: "Writer"
    computed: Counter[str] = field(default_factory=Counter)

    def brought(
        self, samples: "pd.DataFrame", stats: "pd.DataFrame", chosen: list[Extractor], stage: str
    ) -> "tuple[dict[str, FeatureSpec], pd.DataFrame]":
        """What the extractors' tables should hold, all of it computed and kept, and what the files are by then."""
        from affectlake.features import learning, scan
        from affectlake.features.steady import settled

        options = self.options
        if stage == "transcribe":
            options = replace(options, timeout=options.timeout * PATIENCE)
        with self.clock("plan"), self.progress("planning"):
            work = _plan(samples, stats, chosen, self.writer.known, options)

        def again(stats: "pd.DataFrame") -> "Plan":
            retried = replace(options, retry_failed=False)
            return _plan(samples, stats, chosen, self.writer.known, retried, retry_unread=False)

        learnt: dict[str, str] = {}

        def compute(work: "Plan", given_up: bool) -> list[str]:
            how = _give_up if given_up else self.run
            changed = self._computed(work, how, options, learnt)
            if changed:
                _log.warning("%d files of %s changed while they were read", len(changed), options.dataset)
            return changed

        with self.clock(stage):
            if unread := learning.to_be_read(stats, (r for c in work.chunks for r in c.requests)):
                compute(work, False)
                stats = learning.with_learnt(stats, learnt)
                stats = scan.rescan(stats, [uri for uri in learning.still_unlearnt(stats) if uri in unread])
                work = again(stats)
            work, stats = settled(work, stats, again, compute)
        return {e.name: _wanted(e, work) for e in chosen}, stats

    def _computed(self, work: "Plan", run: Run, options: RefreshOptions, learnt: dict[str, str]) -> list[str]:
        """Compute and keep what is to be done; returns the files that are not those that were hashed.

        ``learnt`` takes what objects turned out to be.
        """
        changed: dict[str, None] = {}
        done, total = 0, work.chunks.contents
        with self.progress("computing") as report:
            for results in run(work, options, self.writer.place):
                done += results.samples
                report(done, total)
                changed |= dict.fromkeys(results.changed)
                learnt |= results.learnt
                self.writer.learn(results.learnt)
                for name, table in results.tables.items():
                    self.writer.keep(name, work.fingerprints[name], table)
                for file in results.files:
                    self.writer.keep_file(file)
                self.computed.update(results.counts)
        return list(changed)


def _assembling(options: RefreshOptions, writer: "Writer") -> "AbstractContextManager[Assemblers | None]":
    """Who writes the shards of tables: None, this process, where no cluster does."""
    if options.engine == "local":
        return nullcontext()
    from affectlake.flows.engines import assembling

    return assembling(options, writer.place)


def _give_up(work: "Plan", options: RefreshOptions, places: "Places") -> "Iterator[Results]":
    from affectlake.features.results import results
    from affectlake.features.steady import given_up

    for chunk, tables in given_up(work.chunks, "the next refresh tries again"):
        yield results([chunk], [tables])


def dry_run(options: RefreshOptions) -> dict[str, int]:
    """Sample × extractor pairs that a refresh would compute, by extractor; writes nothing.

    Texts that are still to be transcribed are not counted for what reads text.
    """
    from affectlake.data.samples import without
    from affectlake.data.store import Store
    from affectlake.flows import transcripts

    with given.use(options.settings):
        check(options)
        samples = load(options).samples
        w = Store(options.store, create=True).writer(options.dataset)  # not entered: it only reads
        samples = without(samples, w.erased(samples))
        stats = _scan(samples, w.file_index(), w, options, silent)
        samples = without(samples, w.erased(samples, stats))
        speech, rest = transcripts.first(registry.choose(transcripts.asked(options))[0])
        to_hear = _plan(samples, stats, speech, w.known, options).to_compute
        samples = transcripts.worded(samples, stats, w, {})
        return to_hear | _plan(samples, stats, with_series(rest), w.known, options).to_compute


_NO_SOURCE = "name the data: either --root FOLDER or --manifest FILE"


def check(options: RefreshOptions) -> None:
    """Find what is wrong with the options themselves, before anything is started; raises UsageError."""
    from affectlake.data import remote
    from affectlake.data.manifest import check_manifest, check_named
    from affectlake.flows import transcripts

    with given.use(options.settings):
        registry.choose(transcripts.asked(options))
    if (options.root is None) == (options.manifest is None):
        raise UsageError(_NO_SOURCE)
    if options.manifest is not None:
        remote.check(options.manifest, "--manifest")
        if not remote.is_remote(options.manifest):
            check_manifest(Path(options.manifest))
    if options.root is not None:
        from affectlake.data import datasets

        datasets.get(options.dataset)
        remote.check(options.root, "--root")
        if remote.is_remote(options.root):
            return
        if not Path(options.root).is_dir():
            raise UsageError(f"no folder {options.root}")
        check_named(Path(options.root))


def load(options: RefreshOptions) -> "Manifest":
    """The samples that the options name, many of them on disk; what is to be said of a manifest is logged."""
    from affectlake.data import spill

    found = _loaded(options)
    return replace(found, samples=spill.on_disk(found.samples))


def _loaded(options: RefreshOptions) -> "Manifest":
    from affectlake.data import remote
    from affectlake.data.manifest import Manifest, load_manifest

    if options.manifest is not None:
        found = load_manifest(options.manifest, options.dataset, options.table)
        for note in found.notes:
            _log.warning("%s: %s", remote.name_of(options.manifest), note, extra={"dataset": options.dataset})
        return found
    from affectlake.data import datasets

    if options.root is None:
        raise UsageError(_NO_SOURCE)
    return Manifest(datasets.get(options.dataset).load(options.root), None, ())


def run_here(work: "Plan", options: RefreshOptions, places: "Places") -> "Iterator[Results]":
    """Compute on the engine that the options name, without prefect."""
    if not work.chunks:
        return
    if options.engine != "local":
        from affectlake.flows.engines import run

        yield from run(work, options, places)
        return
    from affectlake.features.results import results
    from affectlake.features.workers import Workers

    names = [name for name, left in work.to_compute.items() if left]
    with Workers(min(options.processes, len(work.chunks)), options.timeout, names) as workers:
        for chunk, tables in workers.run(work.chunks):
            yield results([chunk], [tables])


def _scan(
    samples: "pd.DataFrame", before: "pd.DataFrame", writer: "Writer", options: RefreshOptions, progress: Progress
) -> "pd.DataFrame":
    from affectlake.features import learning, scan

    uris = scan.media_uris(samples)
    elsewhere = scan.any_remote(uris)
    learn = elsewhere and writer.must_know()
    with progress("reading files") as report:
        stats = scan.scan(uris, before, options.verify, report, learn)
    if elsewhere and not learn:
        stats = learning.with_learnt(stats, writer.learnt())
    if len(uris) > 1 and (stats["sha256"] == scan.ABSENT).all():
        raise AffectlakeError(
            f"none of the {len(uris)} files of {options.dataset!r} can be read, the first being {uris.iloc[0]}: "
            "is a mount missing? nothing was changed"
        )
    return stats


def _all_there(
    store: "Store",
    samples: "pd.DataFrame",
    before: "pd.DataFrame",
    stats: "pd.DataFrame",
    options: RefreshOptions,
) -> None:
    """Raises where so much is gone that a mount is likelier to be missing than the data to have shrunk."""
    from affectlake.features.scan import ABSENT

    try:
        known = store.snapshot(options.dataset).samples
    except UnknownName:
        return
    readable = [int((s["sha256"] != ABSENT).sum()) if len(s) else 0 for s in (before, stats)]
    for kind, (was, now) in {"samples": (known, len(samples)), "readable files": readable}.items():
        if now < was * (1 - options.max_missing):
            raise AffectlakeError(
                f"{options.dataset!r} had {was} {kind} and has {now} now: is a mount missing? nothing was changed; "
                f"if so many are meant to go, allow it with max_missing (now {options.max_missing:g})"
            )


def _plan(
    samples: "pd.DataFrame",
    stats: "pd.DataFrame",
    chosen: Sequence[Extractor],
    known: "Callable[[str, str], pd.DataFrame]",
    options: RefreshOptions,
    retry_unread: bool = True,
) -> "Plan":
    from affectlake.features.plan import plan

    return plan(samples, stats, chosen, known, options.retry_failed, retry_unread)


def _wanted(extractor: Extractor, work: "Plan") -> "FeatureSpec":
    from affectlake.data.store import FeatureSpec

    return FeatureSpec(
        fingerprint=work.fingerprints[extractor.name],
        columns=[cast("ColumnDoc", asdict(c)) for c in extractor.columns],
        version=extractor.version,
        parameters=dict(extractor.parameters) | given.of_decoding(extractor.reads),
        rows=work.wanted[extractor.name],
        weights=dict(weights(extractor)),
        reads=extractor.reads,
        source=registry.source(extractor),
        texts=texts(extractor),
    )


class _Stages:
    """Wall-clock seconds by stage of a dataset's refresh."""

    def __init__(self, dataset: str):
        self.dataset, self.start = dataset, time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str) -> "_Stage":
        return _Stage(self, name)

    @property
    def total(self) -> float:
        return time.perf_counter() - self.start


class _Stage:
    def __init__(self, stages: _Stages, name: str):
        self.stages, self.name = stages, name

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *exception: object) -> None:
        seconds = round(time.perf_counter() - self.start, 3)
        self.stages.seconds[self.name] = round(self.stages.seconds.get(self.name, 0.0) + seconds, 3)
        about = {"dataset": self.stages.dataset, "stage": self.name, "seconds": seconds}
        _log.info("%s: %s took %.1f s", self.stages.dataset, self.name, seconds, extra=about)
