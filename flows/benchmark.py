"""From the store to the leaderboard: plain functions, no prefect here."""

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.flows.progress import Progress, silent
from affectlake.flows.values import plain
from affectlake.flows.version import code_version

if TYPE_CHECKING:
    import pandas as pd

    from affectlake.models.benchmark import Plan, Result


@dataclass(frozen=True)
class BenchOptions:
    """What to benchmark and how; empty tuples mean the defaults of `affectlake.models.benchmark.Plan`.

    Attributes
    ----------
    dataset, label : str
    store : str
    features : tuple of str
        Globs over extractors or columns; empty: all.
    protocol : str
        ``auto`` is official where the dataset has a split, else grouped by speaker.
    folds, repeats, seed : int
    models, fusions : tuple of str
    subsets : "all" | "full"
    metric, calibrate : str
    tune : bool
    as_of : str or None
    workers : int > 0
    """

    dataset: str
    label: str
    store: str = "lake"
    features: tuple[str, ...] = ()
    protocol: str = "auto"
    folds: int = 5
    repeats: int = 1
    models: tuple[str, ...] = ()
    fusions: tuple[str, ...] = ()
    subsets: str = "all"
    metric: str = "uar"
    tune: bool = False
    calibrate: str = "temperature"
    seed: int = 0
    as_of: str | None = None
    workers: int = 1

    def plan(self, samples: "pd.DataFrame") -> "Plan":
        from affectlake.models.benchmark import Plan

        protocol = self.protocol
        if protocol == "auto":
            protocol = "official" if samples["split"].notna().any() else "grouped"
        chosen = {k: getattr(self, k) for k in ("models", "fusions") if getattr(self, k)}
        return Plan(
            label=self.label,
            protocol=protocol,
            folds=self.folds,
            repeats=self.repeats,
            subsets=self.subsets,
            metric=self.metric,
            tune=self.tune,
            calibrate=self.calibrate,
            seed=self.seed,
            **chosen,
        )

    @property
    def command(self) -> str:
        """The command that runs this benchmark again."""
        words = ["affectlake bench", self.dataset, "--label", self.label, "--store", self.store]
        words += ["--protocol", self.protocol, "--folds", str(self.folds), "--seed", str(self.seed)]
        words += ["--metric", self.metric, *(["--tune"] if self.tune else [])]
        for name in ("features", "models", "fusions"):
            if getattr(self, name):
                words += [f"--{name}", *(f"'{v}'" for v in getattr(self, name))]
        return " ".join(words)


@dataclass(frozen=True)
class Benchmark:
    """A finished benchmark: the result of the models, and where its features came from."""

    result: "Result"
    about: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The shape of ``bench --json``, with what the report shows besides."""
        return self.about | self.result.to_json()


Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


def benchmark(options: BenchOptions, map: Map | None = None, progress: Progress = silent) -> Benchmark:
    """Run the baselines of one dataset and record the scores in its store.

    Parameters
    ----------
    options : BenchOptions
    map : callable(function, jobs), optional
        Where jobs run; default: worker processes of this machine.
    progress : Progress, optional

    Raises
    ------
    UsageError
        Unknown dataset or label, fewer than two classes, or a random split that was not asked for by name.
    """
    from affectlake.data.store import Store
    from affectlake.models.benchmark import run

    store = Store(options.store)
    snapshot = store.snapshot(options.dataset, options.as_of)
    samples, blocks = features(store, options, snapshot.id)
    with _mapping(options, map) as mapped:
        result = run(samples, blocks, options.plan(samples), map=mapped, progress=progress.bar("fitting"))
    done = Benchmark(
        result,
        {
            "dataset": options.dataset,
            "snapshot": snapshot.id,
            "synthetic": "synthetic" in samples and bool(samples["synthetic"].astype(bool).any()),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "code_version": code_version(),
            "command": options.command,
            "extractors": _extractors(store, options.dataset, snapshot.id),
        },
    )
    store.record("benchmarks", _record(done))
    store.record("predictions", _predictions(done))
    return done


def features(store, options: BenchOptions, as_of: str) -> tuple["pd.DataFrame", dict[str, "pd.DataFrame"]]:
    """The labelled samples, and per modality the features of those that have it, all indexed by sample_id."""
    samples = store.samples(options.dataset, as_of=as_of).set_index("sample_id")
    if options.label not in samples:
        raise UnknownName("label", options.label, samples.columns)
    samples = samples[samples[options.label].notna()]
    if samples.empty:
        raise UsageError(f"no sample of {options.dataset!r} has a value in {options.label!r}")
    frame = store.load(options.dataset, list(options.features) or None, as_of=as_of)
    blocks: dict[str, Any] = {}
    for modality in sorted({c.split(".", 1)[0] for c in frame.columns if c.count(".") >= 2}):
        block = frame[[c for c in frame.columns if c.startswith(f"{modality}.")]].dropna(how="all")
        block = block[block.index.isin(samples.index)]
        if len(block):
            blocks[modality] = block
    contents = store.contents(options.dataset, as_of)
    for modality in blocks:
        # Equal texts are no duplicates: people do say the same; the audit looks at texts by themselves.
        if modality != "text":
            mine = contents[[c for c in contents if c.startswith(f"{modality}.")]]
            samples[f"content.{modality}"] = mine.bfill(axis=1).iloc[:, 0].reindex(samples.index)
    if not blocks:
        raise AffectlakeError(f"the store holds no features of {options.dataset!r} that match: affectlake refresh …")
    return samples, blocks


def _extractors(store, dataset: str, as_of: str) -> list[dict[str, Any]]:
    found = next(d for d in store.status(as_of=as_of)["datasets"] if d["dataset"] == dataset)
    return found["tables"]


def _record(done: Benchmark):
    import pandas as pd

    about = done.to_json()
    row = {k: about[k] for k in ("dataset", "label", "protocol", "snapshot", "created", "code_version")}
    return pd.DataFrame([row | {"document": json.dumps(plain(about))}])


def _predictions(done: Benchmark):
    """Out-of-fold predictions of every row; probabilities in the order of the benchmark's ``classes``."""
    frame = done.result.predictions
    shares = [c for c in frame if c.startswith("p_")]
    rows = frame.drop(columns=shares).assign(
        truth=frame["truth"].astype("str"), predicted=frame["predicted"].astype("str")
    )
    if shares:
        rows["probabilities"] = list(frame[shares].to_numpy())
    return rows.assign(
        **{k: done.about[k] for k in ("dataset", "snapshot", "created")}, label=done.result.about["label"]
    )


def newest_result(store: str, dataset: str) -> dict[str, Any]:
    """The document of the last benchmark of ``dataset``; raises AffectlakeError where there is none."""
    from affectlake.data.store import Store

    records = Store(store).records("benchmarks")
    mine = records[records["dataset"] == dataset] if len(records) else records
    if not len(mine):
        raise AffectlakeError(
            f"no benchmark of {dataset!r} was run on this store: affectlake bench {dataset} --label …"
        )
    return json.loads(mine.sort_values("created")["document"].iloc[-1])


def save_best(options: BenchOptions, done: Benchmark, to: Path) -> Path:
    """Fit the best row that is a model on all labelled samples, and save it.

    The model carries the fingerprints of the features that it was trained on.
    """
    from affectlake.data.store import Store
    from affectlake.models.fit import fit
    from affectlake.models.persistence import save

    store = Store(options.store)
    samples, blocks = features(store, options, done.about["snapshot"])
    best = next(r for r in done.result.rows if r["fusion"] != "dummy")
    used = {m: blocks[m] for m in best["modalities"]}
    fingerprints = {e["extractor"]: e["fingerprint"] for e in done.about["extractors"]}
    card = {"settings": _settings(store.snapshot(options.dataset, done.about["snapshot"]))}
    fitted = fit(samples, used, options.plan(samples), best["fusion"], best["model"], fingerprints, card)
    return save(fitted, to)


def _settings(snapshot) -> dict[str, Any]:
    """How the snapshot's media were read, where that is not the default."""
    from affectlake.features.settings import SETTINGS

    found = [entry["parameters"] for entry in snapshot.features.values()]
    return {name: value for parameters in found for name, value in parameters.items() if name in SETTINGS}


class _mapping:
    """The caller's map, or one over worker processes that lives as long as the benchmark."""

    def __init__(self, options: BenchOptions, map: Map | None):
        self.options, self.map, self.pool = options, map, None

    def __enter__(self) -> Map:
        if self.map is not None:
            return self.map
        from affectlake.features.workers import one_thread

        one_thread()
        self.pool = ProcessPoolExecutor(self.options.workers, mp_context=get_context("spawn"))
        return self.pool.map

    def __exit__(self, *exception) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
