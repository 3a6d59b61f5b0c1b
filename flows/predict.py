"""Labels what is new with a saved model: media by the same extractors, or features that are there already.

Answers come batch by batch in the order of what was asked, so that a list of any length needs the memory of one batch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from affectlake.data import remote
from affectlake.data.errors import AffectlakeError, BadMedia, UsageError
from affectlake.data.media import check_file
from affectlake.data.progress import Progress, silent
from affectlake.features import extraction, registry, settings
from affectlake.features.cutting import Cutting
from affectlake.features.protocol import Extractor, modality
from affectlake.flows import timeline
from affectlake.flows.batches import BATCH, in_parts, listed, media
from affectlake.flows.document import AnsweredSample, TranscribedSample
from affectlake.models.document import AnswerOfAll

if TYPE_CHECKING:
    import pandas as pd

    from affectlake.data.manifest import TableOptions
    from affectlake.features.plan import Plan
    from affectlake.flows.options import PredictOptions
    from affectlake.models.band import Band
    from affectlake.models.fit import Fitted

RECORDING = "audio.recording"
BANDWIDTH = f"{RECORDING}.bandwidth"


@dataclass(frozen=True)
class Prediction:
    """Result of `predict`, or a batch of it.

    Attributes
    ----------
    rows : sequence of AnsweredSample
        Per sample: sample_id, label, probabilities (class to number), modalities (what each alone said: label and
        probabilities), far (modalities whose features lie far from those of the training), band (``narrower`` or
        ``wider`` where the sound's is another one than the training's), prediction_set (classes that hold the truth as
        often as the model's card says) and abstain (whether it would rather not answer), None where the model cannot
        promise it, uri. The label of a sample of which nothing could be read is None.
    failures : list of dict
        sample_id, extractor, reason of what could not be read.
    """

    rows: Sequence[AnsweredSample]
    failures: list[dict[str, str]]


def predict(
    model: Path, files: Sequence[str], manifest: str | None = None, text: str | None = None, workers: int = 1
) -> Prediction:
    """All answers of `stream` at once.

    Raises
    ------
    AffectlakeError
        As `stream`, or no sample could be read at all.
    """
    parts = list(stream(model, files, manifest, text, workers))
    found = Prediction([r for p in parts for r in p.rows], [f for p in parts for f in p.failures])
    if all(row["label"] is None for row in found.rows):
        raise AffectlakeError(f"nothing could be read of {len(found.rows)} sample(s): {_first(found.failures)}")
    return found


def answers(options: "PredictOptions", progress: Progress = silent) -> Iterator[Prediction]:
    """Label what the options name, be it media, a manifest, a file of features or what a store holds.

    Raises
    ------
    UsageError
        They name nothing, or more than one kind of it; and as `stream`, `from_features` and `from_store`.
    """
    named = (options.files_from, options.manifest, options.features, options.dataset)
    if bool(options.files) + sum(v is not None for v in named) != 1:
        raise UsageError(
            "name what to label: either files, --files-from FILE, --manifest FILE, --features FILE or --dataset NAME"
        )
    if options.transcribe and (options.features is not None or options.dataset is not None):
        raise UsageError("--transcribe hears files and samples of a manifest; a dataset: affectlake transcribe")
    if options.timeline and not options.files:
        raise UsageError("a timeline is one of recordings: name their files")
    if options.speakers is not None and not options.timeline:
        raise UsageError("speakers are told apart along a --timeline")
    if options.each_channel and not options.timeline:
        raise UsageError("channels are cut each for itself along a --timeline; else name one in a manifest's channel")
    if options.features is not None:
        return from_features(options.model, options.features, progress=progress)
    if options.dataset is not None:
        return from_store(options.model, options.store, options.dataset, options.as_of, progress=progress)
    return stream(
        options.model,
        options.files if options.files_from is None else listed(options.files_from),
        options.manifest,
        options.text,
        options.processes,
        table=options.table,
        transcribe=options.transcribe,
        cutting=_cutting(options) if options.timeline else None,
        progress=progress,
    )


def _cutting(options: "PredictOptions") -> Cutting:
    return Cutting(
        options.by, options.window, options.hop, each_channel=options.each_channel, speakers=options.speakers
    )


def stream(
    model: Path,
    files: Iterable[str] = (),
    manifest: str | None = None,
    text: str | None = None,
    workers: int = 1,
    batch: int = BATCH,
    table: "TableOptions | None" = None,
    transcribe: bool = False,
    cutting: "Cutting | None" = None,
    progress: Progress = silent,
) -> Iterator[Prediction]:
    """Label media files (which may come one by one) or the samples of a manifest, in their order.

    ``table`` says how to read the manifest, where it does not tell itself. With ``transcribe``, samples that have sound
    and no text get one by machine first; their rows say so (``text``, ``text_source``). With ``cutting`` the files are
    recordings, and each segment of them is a sample: see `affectlake.flows.timeline.placed` for what its row has more.

    Raises
    ------
    UsageError
        Neither files nor a manifest, no file of a kind that is known, or the model needs to know who speaks.
    BadModel
        The model file is corrupt or hostile.
    AffectlakeError
        The extractors here are not those that the model was trained with.
    """
    import pandas as pd

    from affectlake.features.transcripts import TRANSCRIBER, heard
    from affectlake.features.workers import Workers

    fitted = _loaded(model, progress)
    chosen = [_extractor(name) for name in fitted.extractors]
    chosen += [r for r in [registry.get(RECORDING)] if _band(fitted) and r.name not in fitted.extractors]
    batches = (
        media(fitted, files, manifest, text, batch, table)
        if cutting is None
        else timeline.batches(
            [remote.hidden(f) for f in files], cutting, lambda samples: in_parts(fitted, samples, batch), progress
        )
    )
    if transcribe:
        _extractor(TRANSCRIBER)
    hears = [TRANSCRIBER] if transcribe else []
    seconds = 600.0 if transcribe else 60.0
    with ExitStack() as stack:
        pool = stack.enter_context(Workers(workers, seconds, [*fitted.extractors, *hears]))
        for samples, unknown in batches:
            with settings.use(settings.parsed(fitted.card.get("settings", {}))), progress("computing") as report:
                run = extraction.counted(pool.run, report)
                samples, unheard = heard(samples, run) if transcribe else (samples, [])
                blocks, failures = _computed(fitted, chosen, samples, run, {f.sample_id for f in unknown})
                samples = samples.set_index("sample_id")
                uris = samples["audio"].fillna(samples["video"]).fillna(samples["image"])
                rows: Sequence[AnsweredSample] = _answers(fitted, samples.index, blocks, samples["speaker"], uris)
                rows = _banded(fitted, rows, blocks.get("audio", pd.DataFrame()).reindex(samples.index))
            if transcribe:
                rows = _worded(rows, samples)
            if cutting is not None:
                rows = timeline.placed(rows, samples)
            yield Prediction(rows, [asdict(f) for f in unknown + unheard + failures])
        with progress("ending"):
            stack.close()


def _loaded(model: Path, progress: Progress) -> "Fitted":
    with progress("loading the model"):
        from affectlake.models.persistence import load

        return load(model)


def _worded(rows: Sequence[AnsweredSample], samples: "pd.DataFrame") -> list[TranscribedSample]:
    """Answers with the text of each sample, and who wrote it where that was no person."""
    import numpy as np

    words = samples[["text", "text_source"]].astype(object).replace(np.nan, None).itertuples(index=False, name=None)
    return [{**row, "text": text, "text_source": by} for row, (text, by) in zip(rows, words, strict=True)]


def from_features(model: Path, path: Path, batch: int = BATCH, progress: Progress = silent) -> Iterator[Prediction]:
    """Label the rows of a Parquet or CSV file of features by their full names, in their order.

    A file carries no fingerprints: that its features are those of the training is for the caller to know.

    Raises
    ------
    UsageError
        The file is no table, has no ``sample_id``, lacks columns that the model reads, or its values are no numbers.
    BadModel
        The model file is corrupt or hostile.
    """
    fitted = _loaded(model, progress)
    wanted = {BANDWIDTH, *(c for cs in fitted.columns.values() for c in cs)}
    whole = fitted.normalise != "none"
    for frame in _tables(path, wanted, None if whole else batch):
        if "sample_id" not in frame:
            raise UsageError(f"{path} has no column sample_id; it has {', '.join(map(str, frame.columns[:10]))}")
        frame = frame.set_index(frame["sample_id"].astype("str")).drop(columns="sample_id")
        yield _of_frame(fitted, frame, str(path))


def from_store(
    model: Path,
    store: str,
    dataset: str,
    as_of: str | None = None,
    batch: int = BATCH,
    progress: Progress = silent,
) -> Iterator[Prediction]:
    """Label what a store holds of a dataset, in its order.

    Raises
    ------
    BadModel
        The model file is corrupt or hostile.
    AffectlakeError
        The store's features have another fingerprint than those of the training, or are not there.
    """
    from affectlake.data.store import Store

    fitted, lake = _loaded(model, progress), Store(store)
    snapshot = lake.snapshot(dataset, as_of)
    fitted.check({name: entry.fingerprint for name, entry in snapshot.features.items()})
    ids = lake.samples(dataset, as_of=snapshot.id)["sample_id"].tolist()
    columns = [c for cs in fitted.columns.values() for c in cs]
    if RECORDING in snapshot.features and BANDWIDTH not in columns:
        columns.append(BANDWIDTH)
    step = batch if fitted.normalise == "none" else max(len(ids), 1)
    for at in range(0, len(ids), step):
        with progress("answering"):
            answered = _of_frame(
                fitted, lake.load(dataset, columns, ids=ids[at : at + step], as_of=snapshot.id), dataset
            )
        yield answered


def _of_frame(fitted: "Fitted", frame: "pd.DataFrame", source: str) -> Prediction:
    import numpy as np
    import pandas as pd

    blocks = {}
    for m, columns in fitted.columns.items():
        if not any(c in frame for c in columns):
            continue
        try:
            # Columns that are missing are for the model to complain about, which knows their names.
            blocks[m] = frame[[c for c in columns if c in frame]].apply(pd.to_numeric).astype(np.float32)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{source}: the features of {m} are no numbers: {error}") from None
    if not blocks:
        first = next(c for cs in fitted.columns.values() for c in cs)
        raise UsageError(f"{source} has none of the columns that the model reads, such as {first}")
    speakers = frame.get("speaker")
    rows = _answers(fitted, frame.index, blocks, speakers, pd.Series(np.nan, index=frame.index, dtype="str"))
    return Prediction(_banded(fitted, rows, frame), [])


def _tables(path: Path, wanted: set[str], batch: int | None) -> Iterator["pd.DataFrame"]:
    """A file's rows, ``batch`` at a time (None: all at once), with the columns that count."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        check_file(path)
    except BadMedia as error:
        raise UsageError(str(error)) from None
    keep = wanted | {"sample_id", "speaker"}
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            file = pq.ParquetFile(path)
            names = [n for n in file.schema_arrow.names if n in keep]
            for part in file.iter_batches(batch or max(file.metadata.num_rows, 1), columns=names):
                frame = part.to_pandas()
                yield frame.reset_index() if "sample_id" not in frame and frame.index.name else frame
        else:
            text = {"sample_id": "str", "speaker": "str"}
            with pd.read_csv(path, usecols=lambda c: c in keep, dtype=text, chunksize=batch or 2**62) as reader:
                yield from reader
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UsageError(f"{path} is no table of features: {' '.join(str(error).split())[:200]}") from None


def _answers(
    fitted: "Fitted",
    ids: "pd.Index",
    blocks: "Mapping[str, pd.DataFrame]",
    speakers: "pd.Series | None",
    uris: "pd.Series",
) -> list[AnsweredSample]:
    import numpy as np
    import pandas as pd

    blocks = {m: b.reindex(ids) if not b.index.equals(ids) else b for m, b in blocks.items()}
    if not blocks:
        m, columns = next(iter(fitted.columns.items()))
        blocks = {m: pd.DataFrame(np.nan, index=ids, columns=columns, dtype=np.float32)}
    said = fitted.predict(blocks, speakers)
    return [
        {"sample_id": i, "uri": None if pd.isna(u) else u, **_known(row), "band": None}
        for i, u, row in zip(ids, uris, said.to_rows(), strict=True)
    ]


def _band(fitted: "Fitted") -> "Band | None":
    """What the model's training heard; None of one that hears nothing, or of which it is not known."""
    from affectlake.models.band import Band

    return Band.from_json(fitted.card.get("band"))


def _banded(fitted: "Fitted", rows: Sequence[AnsweredSample], frame: "pd.DataFrame") -> Sequence[AnsweredSample]:
    """Answers that say where the band of the sound [index as rows] is another one than the training's.

    Of these nothing is promised: models are surer of them than they should be.
    """
    import pandas as pd

    band = _band(fitted)
    if band is None or BANDWIDTH not in frame:
        return rows
    beside = band.beside(pd.to_numeric(frame[BANDWIDTH]).to_numpy(dtype="float64"))
    return [_beside(row, str(word)) if word else row for row, word in zip(rows, beside, strict=True)]


def _beside(row: AnsweredSample, band: str) -> AnsweredSample:
    return {**row, "band": band, "prediction_set": None, "abstain": None if row["abstain"] is None else True}


def _known(row: AnswerOfAll) -> AnswerOfAll:
    """No label where no modality was there: class frequencies say nothing about the sample."""
    nothing: AnswerOfAll = {**row, "label": None, "probabilities": {}, "prediction_set": None, "abstain": None}
    return row if row["modalities"] else nothing


def _computed(
    fitted: "Fitted", chosen: list[Extractor], samples: "pd.DataFrame", run: extraction.Run, unknown: set[str]
) -> tuple[dict[str, "pd.DataFrame"], list[extraction.Failure]]:
    import pandas as pd

    work, tables, failures = extraction.computed(samples, chosen, run, lambda work: fitted.check(work.fingerprints))
    blocks: dict[str, list[pd.DataFrame]] = {}
    for name, values in tables.items():
        if len(values):
            blocks.setdefault(modality(name), []).append(values)
    joined = {m: pd.concat(parts, axis=1) for m, parts in blocks.items()}
    # An extractor that applies to no sample of the batch says nothing, as one that fails does; it is not unknown.
    columns = {m: [f"{e.name}.{c.name}" for e in chosen if modality(e.name) == m for c in e.columns] for m in joined}
    failures = [f for f in failures if f.extractor != RECORDING or RECORDING in fitted.extractors]
    failures += _not_asked(work, samples[~samples["sample_id"].isin(unknown)])
    return {m: block.reindex(columns=columns[m]) for m, block in joined.items()}, failures


def _not_asked(work: "Plan", samples: "pd.DataFrame") -> list[extraction.Failure]:
    """Samples that have nothing that the model reads."""
    asked = {i for wanted in work.wanted.values() for i in wanted["sample_id"]}
    reads = " or ".join(sorted({registry.get(name).reads for name in work.wanted}))
    return [
        extraction.Failure(str(i), "every extractor of the model", f"it has no {reads}, which the model reads")
        for i in samples["sample_id"]
        if i not in asked
    ]


def _extractor(name: str) -> Extractor:
    if name not in registry.extractors():
        raise AffectlakeError(
            f"the model reads {name}, for which there is no extractor here: features that were brought in by `put` "
            "cannot be computed from media; bench with --features that can"
        )
    extractor = registry.get(name)
    reason = registry.unavailable(extractor)
    if reason:
        raise AffectlakeError(f"the model needs {name}, which is not available here: {reason}")
    return extractor


def _first(failures: list[dict[str, str]]) -> str:
    return f"{failures[0]['sample_id']}: {failures[0]['reason']}" if failures else "no modality that the model knows"
