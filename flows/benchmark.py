"""From the store to the leaderboard: plain functions, no prefect here."""

import json
import re
import shlex
import sys
import uuid
from collections import abc
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.data.groups import RECORDING, recordings
from affectlake.data.progress import Progress, silent
from affectlake.flows.columns import left_out, usual
from affectlake.flows.machine import Map
from affectlake.flows.mistakes import of_benchmark
from affectlake.flows.options import OfDataset, OnEngine, StoreOption
from affectlake.flows.shown import shown
from affectlake.flows.version import code_version
from affectlake.models.options import PlanOptions

if TYPE_CHECKING:
    import pandas as pd

    from affectlake.data.store import Snapshot, Store, TableStatus
    from affectlake.features.settings import Value
    from affectlake.flows.document import Document, LeftOut, PastRun, Provenance
    from affectlake.models.benchmark import Plan, Result
    from affectlake.models.distortion import Distorted
    from affectlake.models.document import Transfer

    Corpora = tuple[pd.DataFrame, dict[str, pd.DataFrame]]
    """Samples, and features by modality, both indexed by sample_id."""

PRINTS = ".fingerprint"
"""Extractors of this name tell copies apart, and so know every recording by heart: nothing is trained on them."""


_WHERE = tuple(f.name for f in fields(OnEngine))  # no result depends on them


@dataclass(frozen=True, kw_only=True)
class BenchOptions(OnEngine, PlanOptions, OfDataset):
    """What to benchmark and how; empty tuples mean the defaults of `affectlake.models.benchmark.Plan`.

    The command takes it whole: what is written here and in `affectlake.models.options.PlanOptions` is its help.

    Attributes
    ----------
    dataset : str
        Name of a dataset in the store.
    store : str
        Folder or object-store URI.
    features : tuple of str
        Globs over extractors or columns, which then say exactly what goes in; default: all that the store holds but
        what follows the recording's level or band.
    as_of : str or None
        Snapshot id, time or tag.
    train_on : tuple of str
        Other datasets of the store to train on: all of DATASET is tested on then (cross-corpus).
    distort : tuple of str
        Spoil the sound of some tested samples and extract it anew, to see what is lost: telephone, noise:DB (the voice
        is DB louder), codec:opus or codec:mp3.
    without_duplicates : bool
        Of samples that share a medium, byte for byte or as a copy in another encoding, only the first takes part.
    """

    store: StoreOption = "lake"
    features: tuple[str, ...] = ()
    as_of: str | None = None
    train_on: tuple[str, ...] = ()
    distort: tuple[str, ...] = ()
    without_duplicates: bool = False

    def plan(self, official: bool) -> "Plan":
        """What the models are to do; ``official``: whether the samples have splits of their own.

        Raises
        ------
        UsageError
            A name or number that there is not.
        """
        from affectlake.models.benchmark import Plan

        chosen = {f.name: getattr(self, f.name) for f in fields(PlanOptions)}
        chosen = {name: value for name, value in chosen.items() if value != ()}
        if self.train_on:
            return Plan(**chosen | {"protocol": "cross-corpus", "test_on": self.dataset})
        if self.protocol == "auto":
            chosen["protocol"] = "official" if official else "grouped"
        return Plan(**chosen)

    @property
    def command(self) -> str:
        """The command that runs this benchmark again."""
        words = ["affectlake", "bench", self.dataset]
        for label in self.labels:
            words += ["--label", label]
        words += ["--store", self.store]
        for field in fields(self):
            value, option = getattr(self, field.name), field.name.replace("_", "-")
            if field.name in ("dataset", "label", "store", *_WHERE) or value == field.default:
                continue
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                words += [f"--{option}", *(value if isinstance(value, tuple) else [str(value)])]
        return shlex.join(words)


@dataclass(frozen=True)
class Benchmark:
    """A finished benchmark: the result of the models, and where its features came from."""

    result: "Result"
    about: "Provenance"

    def to_json(self) -> "Document":
        """The shape of ``bench --json``, with what the report shows besides."""
        return {**self.about, **self.result.to_json()}


def benchmark(options: BenchOptions, map: Map | None = None, progress: Progress = silent) -> Benchmark:
    """Run the baselines of one dataset and record the scores in its store.

    Parameters
    ----------
    options : BenchOptions
    map : callable(function, jobs), optional
        Where jobs run; default: the engine that the options name.
    progress : Progress, optional

    Raises
    ------
    UsageError
        Unknown dataset or label, fewer than two classes, or a random split that was not asked for by name.
    """
    with progress(f"reading {options.dataset}"):
        from affectlake.data.store import Store
        from affectlake.features.transcripts import machine_made
        from affectlake.flows import distort, engines
        from affectlake.flows.benchmark_records import records
        from affectlake.models import splits
        from affectlake.models.benchmark import run

        options.plan(official=False)  # a typing error is told before anything is read
        engines.check(options.engine)
        store = Store(options.store)
        snapshot = store.snapshot(options.dataset, options.as_of)
        extractors = _extractors(store, options.dataset, snapshot.id)
        if options.normalise == "corpus" and not options.train_on:
            raise UsageError("features relative to their corpus need a second one: --train-on DATASET")
        if options.distort:
            distort.check(options.distort, options.normalise)
        samples, blocks, crossing = corpora(store, options, snapshot.id)
        said = _unlabelled(snapshot.samples, samples, options)
        samples, blocks, without = _without_duplicates(samples, blocks, options)
    names = [e["extractor"] for e in extractors if not e["extractor"].endswith(PRINTS)]
    plan = options.plan(splits.has_official(samples))
    worse = _distorted(store, options, snapshot, samples, blocks, plan, progress) if options.distort else None
    with nullcontext(map) if map else engines.mapping(options) as mapped:
        result = run(samples, blocks, plan, map=mapped, progress=progress, remark=_remark, distorted=worse)
    result.about["remarks"] = [*said, *result.about["remarks"]]
    done = Benchmark(
        result,
        {
            "run": uuid.uuid4().hex[:12],
            "dataset": options.dataset,
            "snapshot": snapshot.id,
            "synthetic": "synthetic" in samples and bool(samples["synthetic"].fillna(False).astype(bool).any()),
            "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "code_version": code_version(),
            "command": options.command,
            "configuration": _configuration(options),
            "extractors": extractors,
            "transfer": crossing,
            "nuisances": {} if options.features else left_out(names, {str(c) for b in blocks.values() for c in b}),
            "transcribed": int(machine_made(samples).sum()) if "text" in blocks else 0,
            "without_duplicates": without,
        },
    )
    with progress("recording"):
        done.about["errors"] = of_benchmark(done.to_json(), result.predictions)
        for name, rows in records(done.to_json(), result.predictions).items():
            store.record(name, rows)
    return done


def _distorted(
    store: "Store",
    options: BenchOptions,
    snapshot: "Snapshot",
    samples: "pd.DataFrame",
    blocks: "abc.Mapping[str, pd.DataFrame]",
    plan: "Plan",
    progress: Progress,
) -> "Distorted":
    """Some of the tested samples with their sound spoiled; raises UsageError where there is none."""
    from affectlake.features.settings import parsed
    from affectlake.flows.distort import Sounds

    if "audio" not in blocks:
        raise UsageError("--distort spoils sound, and no features of sound take part")
    tested = samples[samples["split"] == "test"] if plan.protocol == "official" else samples
    tested = tested[tested["dataset"] == options.dataset] if options.train_on else tested
    sounds = Sounds(store, options.dataset, snapshot, parsed(settings_of(snapshot)), blocks["audio"])
    return sounds.distorted(tested.index, options.distort, plan.seed, options.processes, progress)


def _configuration(options: BenchOptions) -> dict[str, Any]:
    """As recorded: addresses within a network are nobody's matter who reads a result."""
    return asdict(options) | {"address": None} | ({"label": options.labelled} if len(options.labels) == 1 else {})


def _unlabelled(n: int, samples: "pd.DataFrame", options: BenchOptions) -> list[str]:
    """Say how many samples have no label, if some have none; what was said."""
    lacking, names = n - int((samples["dataset"] == options.dataset).sum()), " or ".join(map(repr, options.labels))
    lines = [f"{lacking} of {n} samples have no value in {names} and take no part"] if lacking else []
    for line in lines:
        _remark(line)
    return lines


def _remark(line: str) -> None:
    print(f"affectlake: {shown(line)}", file=sys.stderr, flush=True)


def corpora(
    store: "Store", options: BenchOptions, as_of: str
) -> "tuple[pd.DataFrame, dict[str, pd.DataFrame], Transfer | None]":
    """Samples and features of the tested dataset and of those that are trained on, and what crossing them means.

    Raises
    ------
    UsageError
        The dataset is to be trained on as well, or two corpora have nothing in common.
    AffectlakeError
        An extractor has another fingerprint in one of them.
    """
    from affectlake.models.copies import found
    from affectlake.models.transfer import together

    tested = features(store, options, as_of)
    if not options.train_on:
        return found(tested[0]), tested[1], None
    mine = {t["extractor"]: t for t in _extractors(store, options.dataset, as_of)}
    trained = {}
    for name in options.train_on:
        if name == options.dataset:
            raise UsageError(f"{name!r} is tested on: train on other datasets")
        theirs = store.snapshot(name, options.as_of)
        for table in _extractors(store, name, theirs.id):
            ours = mine.get(table["extractor"])
            if ours and ours["fingerprint"] != table["fingerprint"]:
                raise AffectlakeError(
                    f"{table['extractor']} has another fingerprint in {name} than in {options.dataset}: refresh both, "
                    "or choose other --features"
                )
        trained[name] = features(store, replace(options, dataset=name), theirs.id)
    if len(options.labels) > 1:
        raise UsageError("--train-on takes one label, of one class or number each")
    samples, blocks, crossing = together(tested, trained, options.labelled)
    return found(samples), blocks, crossing


def _without_duplicates(
    samples: "pd.DataFrame", blocks: "dict[str, pd.DataFrame]", options: BenchOptions
) -> "tuple[pd.DataFrame, dict[str, pd.DataFrame], LeftOut | None]":
    """Samples and features without the copies, if they are not wanted, and which those are."""
    if not options.without_duplicates:
        return samples, blocks, None
    from affectlake.models.copies import without

    samples, dropped = without(samples, options.labels)
    return samples, {m: b[b.index.isin(samples.index)] for m, b in blocks.items()}, cast("LeftOut", asdict(dropped))


def features(store: "Store", options: BenchOptions, as_of: str) -> "Corpora":
    """The labelled samples, and per modality the features of those that have it, all indexed by sample_id."""
    import pandas as pd

    from affectlake.models import band

    samples = store.samples(options.dataset, as_of=as_of).set_index("sample_id")
    for label in options.labels:
        if label not in samples:
            raise UnknownName("label", label, _labels(samples))
    samples = samples[samples[list(options.labels)].notna().all(axis=1)]
    if samples.empty:
        raise UsageError(f"no sample of {options.dataset!r} has a value in {options.labelled!r}")
    tables = _extractors(store, options.dataset, as_of)
    prints = [t["extractor"] for t in tables if t["extractor"].endswith(PRINTS)]
    frame = store.load(options.dataset, list(options.features) or _usual(store, options.dataset, as_of), as_of=as_of)
    frame = frame[[c for c in frame.columns if str(c).rsplit(".", 1)[0] not in prints]]
    if not options.features:
        frame = frame[usual(frame.columns)]
    blocks: dict[str, pd.DataFrame] = {}
    for modality in sorted({c.split(".", 1)[0] for c in frame.columns if c.count(".") >= 2}):
        block = frame[[c for c in frame.columns if c.startswith(f"{modality}.")]].dropna(how="all")
        block = block[block.index.isin(samples.index)]
        block = block.loc[:, block.notna().any()]  # what applies to nobody is nothing to ask new samples for
        if len(block):
            blocks[modality] = block
    contents = store.contents(options.dataset, as_of)
    # Few imported numbers are often equal by chance; and equal texts are no duplicates: people do say the same.
    put = {t["extractor"] for t in tables if t["version"] == "put" and t["columns"] < 20}
    for modality in blocks:
        mine = contents[[c for c in contents.columns if str(c).startswith(f"{modality}.") and c not in put]]
        if modality != "text" and mine.shape[1]:
            first = reduce(pd.Series.combine_first, (mine[c] for c in mine))
            samples[f"content.{modality}"] = first.reindex(samples.index)
    for name in prints:
        known = store.load(options.dataset, [name], as_of=as_of).filter(regex=rf"^{re.escape(name)}\.").dropna()
        rows = pd.Series(list(known.to_numpy("float32")), index=known.index, dtype="object")
        samples[f"print.{name.split('.')[0]}"] = rows.reindex(samples.index)
    if band.COLUMN.rsplit(".", 1)[0] in {t["extractor"] for t in tables}:
        heard = store.load(options.dataset, [band.COLUMN], as_of=as_of)
        samples[band.COLUMN] = heard[band.COLUMN].reindex(samples.index)
    # Segments of one recording belong together even where nobody says who speaks.
    samples[RECORDING] = recordings(samples)
    if not blocks:
        raise AffectlakeError(f"the store holds no features of {options.dataset!r} that match: affectlake refresh …")
    return samples, blocks


def _labels(samples: "pd.DataFrame") -> list[str]:
    """Columns that somebody could want to predict: labels and attributes that differ from sample to sample."""
    from affectlake.data.samples import attributes

    return [c for c in attributes(samples.columns) if samples[c].nunique() > 1]


def _usual(store: "Store", dataset: str, as_of: str) -> list[str]:
    """Extractors that are taken where none is named: not what a transcriber says of itself, which only some have."""
    return [name for name, entry in store.snapshot(dataset, as_of).features.items() if entry.reads != "speech"]


def _extractors(store: "Store", dataset: str, as_of: str) -> "list[TableStatus]":
    return next(d for d in store.status(as_of=as_of)["datasets"] if d["dataset"] == dataset)["tables"]


def history(store: str, dataset: str, label: str | None = None) -> "list[PastRun]":
    """Past benchmarks of a dataset, oldest first: the best row of each, and how it moved against the run before it
    of the same label, protocol and metric.

    Raises
    ------
    AffectlakeError
        None was run.
    """
    from affectlake.data.store import Store
    from affectlake.models.document import score as score_of

    before: dict[tuple[str, ...], float] = {}
    found: list[PastRun] = []
    for about in _documents(Store(store), dataset):
        if label not in (None, about["label"]):
            continue
        metric, best = about["metric"], about["rows"][0]
        score, selected = score_of(best, metric), about.get("selected")
        transfer = about.get("transfer")
        trained = "+".join(transfer["train_on"]) if transfer else ""
        relative = about.get("normalise", "none")
        same = (about["label"], about["protocol"], metric, relative, trained)
        found.append(
            {
                "created": about["created"],
                "run": about.get("run", ""),
                "label": about["label"],
                "protocol": about["protocol"],
                "train_on": trained,
                "normalise": relative,
                "snapshot": about["snapshot"],
                "code_version": about["code_version"],
                "samples": about["n_samples"],
                "fusion": best["fusion"],
                "modalities": best["modalities"],
                "model": best["model"],
                "metric": metric,
                "value": score["value"],
                "low": score["low"],
                "high": score["high"],
                "selected": score_of(selected, metric) if selected else None,
                "change": score["value"] - before[same] if same in before else None,
                "leaks": about["leakage"]["leaks"],
            }
        )
        before[same] = score["value"]
    if not found:
        raise AffectlakeError(f"no benchmark of {dataset!r} by {label!r} was run on this store")
    return found


def _documents(store: "Store", dataset: str) -> "list[Document]":
    """Documents of all benchmarks of a dataset, oldest first; raises AffectlakeError where there is none."""
    runs = store.records("benchmarks")
    mine = runs[runs["dataset"] == dataset] if len(runs) else runs
    if not len(mine):
        raise AffectlakeError(
            f"no benchmark of {dataset!r} was run on this store: affectlake bench {dataset} --label …"
        )
    return [json.loads(d) for d in mine.sort_values("created", kind="stable")["document"]]


def newest_result(store: str, dataset: str) -> "Document":
    """The document of the last benchmark of ``dataset``; raises AffectlakeError where there is none."""
    from affectlake.data.store import Store

    return _documents(Store(store), dataset)[-1]


def save_best(options: BenchOptions, done: Benchmark, to: Path) -> Path:
    """Fit the row that inner folds chose over all training parts on all labelled samples, and save it.

    The model carries the fingerprints of the features that it was trained on; its card has the scores of the
    selected, in which the choice is paid for.
    """
    from affectlake.data.store import Store
    from affectlake.flows.band import trained_band
    from affectlake.models import splits
    from affectlake.models.bounds import measured
    from affectlake.models.document import scores
    from affectlake.models.fit import fit
    from affectlake.models.persistence import save

    store = Store(options.store)
    samples, blocks, _ = corpora(store, options, done.about["snapshot"])
    samples, blocks, _ = _without_duplicates(samples, blocks, options)
    if options.train_on:
        # What was measured is a model of the other corpora alone.
        samples = samples[samples["dataset"] != options.dataset]
        blocks = {m: b[b.index.isin(samples.index)] for m, b in blocks.items()}
    selected = done.result.about["selected"]
    if selected is None:
        raise UsageError("there is no model to save: the table holds the dummy only")
    best = selected["row"]
    used = {m: blocks[m] for m in best["modalities"]}
    fingerprints = {e["extractor"]: e["fingerprint"] for e in done.about["extractors"]}
    plan = replace(options.plan(splits.has_official(samples)), protocol="grouped", test_on=None)
    about = done.to_json()
    by_name: abc.Mapping[str, object] = about
    keys = ("dataset", "snapshot", "created", "code_version", "protocol", "synthetic", "command")
    card: dict[str, Any] = {k: by_name[k] for k in keys}
    card |= {
        "transcribed": about["transcribed"],
        "train_on": list(options.train_on),
        "leaks": about["leakage"]["leaks"],
        "settings": settings_of(store.snapshot(options.dataset, done.about["snapshot"])),
        "scores": scores(selected),
        "selected": selected["rule"],
        "measured": measured(about),
        "no_better_than_chance": no_better_than_chance(about),
        "store": store.identity,
    }
    card |= trained_band(samples, used, fingerprints, _remark)
    fitted = fit(samples, used, plan, best["fusion"], best["model"], fingerprints, card)
    path = save(fitted, to)
    _remember_training(store, path, samples, used, card | {"run": about.get("run", "")})
    return path


def _remember_training(
    store: "Store",
    path: Path,
    samples: "pd.DataFrame",
    blocks: "abc.Mapping[str, pd.DataFrame]",
    card: abc.Mapping[str, Any],
) -> None:
    """Note in the store whom a model was fitted on: a model cannot forget, so an erasure must be able to say it."""
    import pandas as pd

    fitted_on = samples[samples.index.isin({i for b in blocks.values() for i in b.index})]
    # Samples of several corpora are told apart by their dataset's name before the id.
    ids = [
        str(i).removeprefix(f"{d}:") if card.get("train_on") else str(i)
        for i, d in zip(fitted_on.index, fitted_on["dataset"], strict=True)
    ]
    store.record(
        "training",
        pd.DataFrame(
            {
                "path": str(path),
                "run": card["run"],
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "dataset": fitted_on["dataset"].to_numpy(),
                "sample_id": ids,
            }
        ),
    )


def no_better_than_chance(about: "Document") -> bool:
    """Whether the selected scores no higher than what only knows the classes' frequencies, or the mean."""
    from affectlake.models.document import score

    selected = about["selected"]
    return selected is not None and score(selected, about["metric"])["value"] <= about["chance"]


def settings_of(snapshot: "Snapshot") -> "dict[str, Value]":
    """How the snapshot's media were read, where that is not the default."""
    from affectlake.features.settings import SETTINGS

    found = [entry.parameters for entry in snapshot.features.values()]
    return {name: value for parameters in found for name, value in parameters.items() if name in SETTINGS}
