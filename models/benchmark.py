"""The baseline table: every modality alone, every fusion of every subset, on the same folds, each with its interval."""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from affectlake.data.errors import UnknownName, UsageError
from affectlake.models import importance, leakage, missing, normalise, scores, splits, training, transfer, zoo
from affectlake.models.calibration import METHODS as CALIBRATIONS
from affectlake.models.early import View
from affectlake.models.importance import Group
from affectlake.models.member import Settings
from affectlake.models.scores import Candidate, Entry, Scorer
from affectlake.models.splits import Fold
from affectlake.models.training import HEADS, Data

FUSIONS = (
    "unimodal",
    "early",
    "late-mean",
    "late-weighted",
    "late-product",
    "late-stacking",
    "mlp-head",
    "dummy",
)
_ALL_FUSIONS = (*FUSIONS, "mlp-dense")
METRICS = ("uar", "accuracy", "f1_macro", "f1_weighted")
_NUMBERS_FROM = 10  # a numeric label with more values than this is a quantity, not a class


@dataclass(frozen=True)
class Plan:
    """What is compared, and how.

    Attributes
    ----------
    label : str
        Column of the samples frame.
    protocol : "grouped" | "official" | "loso" | "kfold" | "random" | "cross-corpus"
        See `affectlake.models.splits.folds`; ``cross-corpus`` trains on all corpora but ``test_on``. What is random
        is also run grouped by speaker, and what crosses corpora also with features relative to their corpus, so that
        both scores and the gap are shown.
    folds, repeats, seed : int
        Repetitions draw folds and the models' own chance anew.
    models : tuple of str
        See `affectlake.models.zoo`.
    fusions : tuple of str
        ``unimodal``, ``early``, ``late-…``, ``mlp-head`` (``mlp-dense`` is the simplest head), ``dummy``.
    subsets : "all" | "full"
        Which sets of two and more modalities are fused: every one, or that of all.
    metric : "uar" | "accuracy" | "f1_macro" | "f1_weighted"
        Ranks the rows. Models weight classes inversely to their frequency where it counts classes alike.
    tune : bool
        Choose parameters from small grids on grouped inner folds.
    calibrate : "temperature" | "sigmoid" | "isotonic"
    inner : int
        Grouped folds inside each training set: for calibration, late fusion, early stopping and tuning.
    draws : int
        Bootstrap samples of speakers behind each interval.
    normalise : "none" | "speaker" | "corpus"
        See `affectlake.models.normalise`.
    test_on : str or None
        Value of the samples' column ``dataset``, for ``cross-corpus``.
    missing : bool
        Also score every fusion of all modalities, with the first of the models, while more and more are hidden.
    explain : bool
        Permutation importance of the best row.
    """

    label: str
    protocol: str = "grouped"
    folds: int = 5
    repeats: int = 1
    seed: int = 0
    models: tuple[str, ...] = zoo.DEFAULT
    fusions: tuple[str, ...] = FUSIONS
    subsets: Literal["all", "full"] = "all"
    metric: str = "uar"
    tune: bool = False
    calibrate: str = "temperature"
    inner: int = 3
    draws: int = 5000
    normalise: str = "none"
    test_on: str | None = None
    missing: bool = False
    explain: bool = False

    def __post_init__(self):
        for kind, given, valid in (
            ("model", self.models, zoo.NAMES),
            ("fusion", self.fusions, _ALL_FUSIONS),
            ("protocol", [self.protocol], (*splits.PROTOCOLS, *(["cross-corpus"] if self.test_on else []))),
            ("normalisation", [self.normalise], normalise.METHODS),
            ("subsets", [self.subsets], ("all", "full")),
            ("metric", [self.metric], METRICS),
            ("calibration", [self.calibrate], CALIBRATIONS),
        ):
            for name in given:
                if name not in valid:
                    raise UnknownName(kind, name, valid)
        for name, value, least in (("folds", self.folds, 2), ("repeats", self.repeats, 1), ("draws", self.draws, 2)):
            if value < least:
                raise UsageError(f"{name} must be at least {least}, got {value}")


@dataclass(frozen=True)
class Target:
    """The label as numbers.

    Attributes
    ----------
    task : "classification" | "regression"
    y : int or float array, shape=(n,)
    classes : tuple of str
        In the order of class indices; empty for regression.
    """

    task: zoo.Task
    y: np.ndarray
    classes: tuple[str, ...]

    @classmethod
    def of(cls, label: pd.Series) -> "Target":
        """Read a label column: numbers of many different values are a quantity, everything else is classes.

        Raises
        ------
        UsageError
            Fewer than two classes, or a class with a single sample.
        """
        numeric = pd.api.types.is_numeric_dtype(label) and not pd.api.types.is_bool_dtype(label)
        if numeric and label.nunique() > _NUMBERS_FROM:
            return cls("regression", label.to_numpy(dtype=np.float64), ())
        names = label.astype("str")
        counts = names.value_counts()
        if len(counts) < 2:
            raise UsageError(f"label {label.name!r} has {len(counts)} class(es): {', '.join(counts.index)}")
        classes = tuple(sorted(counts.index))
        return cls("classification", names.map({c: i for i, c in enumerate(classes)}).to_numpy(dtype=np.int64), classes)


@dataclass(frozen=True)
class Result:
    """A finished benchmark; `to_json` gives what reports show.

    Attributes
    ----------
    rows : list of dict
        Best first: fusion, modalities, model, each metric as value, low, high; p_value, seconds.
    predictions : DataFrame [columns=(sample_id, fold, fusion, modalities, model, truth, predicted, p_<class>…)]
        Of every row but the dummy, each by models that had not seen the sample's speaker.
    about : dict
    """

    rows: list[dict[str, Any]]
    predictions: pd.DataFrame = field(repr=False)
    about: dict[str, Any] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """What `affectlake.flows.report` shows: docs/models.md lists the keys."""
        return self.about | {"rows": self.rows}

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def table(self) -> pd.DataFrame:
        """The rows with the metrics' values as plain numbers."""
        return pd.DataFrame([{k: v["value"] if isinstance(v, dict) else v for k, v in r.items()} for r in self.rows])


Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


def run(
    samples: pd.DataFrame,
    blocks: Mapping[str, pd.DataFrame],
    plan: Plan,
    map: Map = map,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Compare the baselines.

    Parameters
    ----------
    samples : DataFrame [index=sample_id]
        Column ``plan.label``, and speaker, dialogue, split, text as far as known.
    blocks : mapping of modality to DataFrame [index=sample_id]
        float32 features; samples without a row lack the modality.
    plan : Plan
    map : callable(function, jobs)
        Where jobs run: the built-in, or that of an executor (results in order).
    progress : callable(done, total), optional

    Raises
    ------
    UsageError
        See `Target.of` and `affectlake.models.splits.folds`.
    """
    target = Target.of(samples[plan.label])
    if len(target.y) < 10:
        raise UsageError(f"{len(target.y)} labelled samples are too few to compare anything")
    if plan.missing and len(blocks) < 2:
        raise UsageError("what happens when modalities are missing can only be asked where there are two or more")
    settings = settings_of(plan, target)
    parts = _parts(samples, blocks, target, plan)
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            _write(Path(folder) / part.name, part)
        jobs = [j for part in parts for j in _jobs(str(Path(folder) / part.name), part, settings)]
        # Fold by fold, so that what its jobs share is prepared once; in each the longest first.
        jobs.sort(key=lambda j: (j.folder, j.fold, -_COST.get(j.model, 1), -len(j.names)))
        explained = len(parts[0].folds) if plan.explain else 0
        count = _Count(progress, len(jobs) + explained)
        outputs: dict[str, dict[Any, Any]] = {part.name: {} for part in parts}
        for job, output in zip(jobs, map(_work, jobs), strict=True):
            outputs[Path(job.folder).name][job.kind, job.names, job.model, job.fold] = output
            count.one()
        ranked = {}
        for part in parts:
            ranked[part.name] = part.scorer(samples, target, settings).rank(
                _candidates(outputs[part.name], part, settings)
            )
        main = parts[0]
        best = next((e for e in ranked["main"] if e.candidate.names), None)
        wanted, shuffled = [], []
        if plan.explain and best is not None:
            columns = {m: [str(c) for c in blocks[m].columns] for m in best.candidate.names}
            wanted = importance.groups(columns, main.data, main.folds, target.task)
            every = range(len(main.folds))
            explains = [
                _Explain(
                    str(Path(folder) / "main"),
                    *best.candidate.key,
                    wanted,
                    f,
                    main.settings(settings, f),
                    plan.calibrate,
                    plan.inner,
                )
                for f in every
            ]
            for output in map(_explain, explains):
                shuffled.append(output)
                count.one()
    return _result(samples, parts, ranked, plan, target, settings, best, wanted, shuffled)


class _Count:
    """Tells the caller how many jobs are done."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int):
        self.progress, self.total, self.done = progress, total, 0

    def one(self) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)


@dataclass(frozen=True)
class _Part:
    """A table of its own: the main one, or one to compare it with."""

    name: str
    data: Data
    folds: list[Fold]
    plan: Plan

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.data.blocks)

    @property
    def repeats(self) -> int:
        return self.plan.repeats if self.plan.protocol in splits.REPEATED else 1

    def settings(self, settings: Settings, fold: int) -> Settings:
        """Those of a fold: each repetition has a seed of its own."""
        return replace(settings, seed=settings.seed + fold // (len(self.folds) // self.repeats))

    def scorer(self, samples: pd.DataFrame, target: "Target", settings: Settings) -> Scorer:
        metric = self.plan.metric if target.task == "classification" else "ccc"
        rest = (metric, self.plan.draws, self.plan.seed)
        return Scorer(samples, target.y, target.classes, self.data.groups, self.folds, self.repeats, *rest)


def _parts(samples, blocks, target: Target, plan: Plan) -> list[_Part]:
    raw = aligned(samples, blocks)
    who = splits.groups(samples).to_numpy()

    def part(name: str, plan: Plan, folds: list[Fold], blocks: Mapping[str, np.ndarray]) -> _Part:
        relative = normalise.groups(samples, plan.normalise)
        ready = {m: normalise.normalised(b, relative) for m, b in blocks.items()}
        return _Part(name, Data(ready, target.y, who), folds, plan)

    folds = _folds(samples, target, plan)
    parts = [part("main", plan, folds, raw)]
    if plan.protocol == "random" and splits.has_speakers(samples):
        fair = replace(plan, protocol="grouped", folds=min(plan.folds, len(np.unique(who))))
        parts.append(part("grouped", fair, _folds(samples, target, fair), raw))
    elif plan.protocol == "cross-corpus" and plan.normalise == "none":
        parts.append(part("corpus", replace(plan, normalise="corpus"), folds, raw))
    if plan.missing:
        less = tuple(f for f in plan.fusions if f != "dummy")
        reduced = replace(plan, subsets="full", models=plan.models[:1], fusions=less)
        for i, share in enumerate(missing.shares(len(raw))[1:], 1):
            parts.append(part(f"missing-{i}", reduced, folds, missing.hidden(raw, share, plan.seed)))
    return parts


def _folds(samples: pd.DataFrame, target: Target, plan: Plan) -> list[Fold]:
    if plan.protocol == "cross-corpus":
        folds = [transfer.fold(samples, str(plan.test_on))]
    else:
        folds = splits.folds(samples, target.y, plan.protocol, plan.folds, plan.repeats, plan.seed)
    _check_folds(folds, target)
    return folds


def _check_folds(folds: list[Fold], target: Target) -> None:
    for i, fold in enumerate(folds, 1):
        known = np.unique(target.y[fold.train])
        if target.task == "classification" and len(known) < 2:
            raise UsageError(
                f"the training part of fold {i} knows only the class {target.classes[known[0]]!r}: classes and "
                "speakers coincide, no protocol that keeps speakers apart can tell them from each other"
            )


def settings_of(plan: Plan, target: Target) -> Settings:
    balanced = plan.metric in ("uar", "f1_macro")
    return Settings(target.task, max(len(target.classes), 1), plan.seed, balanced, plan.tune)


def aligned(samples: pd.DataFrame, blocks: Mapping[str, pd.DataFrame]) -> dict[str, np.ndarray]:
    """Blocks as float32 arrays in the samples' order, rows of NaN where a sample lacks the modality."""
    return {m: b.reindex(samples.index).to_numpy(dtype=np.float32) for m, b in sorted(blocks.items())}


# Jobs: independent pieces of work, done wherever `map` sends them.


@dataclass(frozen=True)
class _Job:
    folder: str
    kind: str
    names: tuple[str, ...]
    model: str
    fold: int
    settings: Settings
    calibrate: str
    inner: int


_COST = {"xgboost": 4, "random-forest": 3, "extra-trees": 2, "mlp": 3}
"""Seconds of a fit, roughly and relative to a linear model."""


def _jobs(folder: str, part: _Part, settings: Settings) -> list[_Job]:
    plan, names = part.plan, part.names
    wanted: list[tuple[str, tuple[str, ...], str]] = []
    for model in plan.models:
        if any(f == "unimodal" or f.startswith("late") for f in plan.fusions):
            wanted += [("unimodal", (m,), model) for m in names]
        if "early" in plan.fusions:
            wanted += [("early", s, model) for s in _subsets(plan, names)]
    for fusion in HEADS:
        if fusion in plan.fusions:
            wanted += [(fusion, s, "") for s in [*((m,) for m in names), *_subsets(plan, names)]]
    return [
        _Job(folder, *row, f, part.settings(settings, f), plan.calibrate, plan.inner)
        for row in wanted
        for f in range(len(part.folds))
    ]


def _subsets(plan: Plan, names: tuple[str, ...]) -> list[tuple[str, ...]]:
    if len(names) < 2:
        return []
    sizes = range(2, len(names) + 1) if plan.subsets == "all" else [len(names)]
    return [s for k in sizes for s in combinations(names, k)]


def _write(folder: Path, part: _Part) -> None:
    folder.mkdir()
    data = part.data
    for m, block in data.blocks.items():
        np.save(folder / f"block-{m}.npy", block)
    np.save(folder / "y.npy", data.y)
    np.save(folder / "groups.npy", np.unique(data.groups, return_inverse=True)[1])
    for i, fold in enumerate(part.folds):
        np.savez(folder / f"fold-{i}.npz", train=fold.train, test=fold.test)
    (folder / "names.json").write_text(json.dumps(list(data.blocks)))


@lru_cache(maxsize=8)
def _read(folder: str) -> Data:
    root = Path(folder)
    names = json.loads((root / "names.json").read_text())
    # Mapped, not read: worker processes share the pages.
    blocks = {m: np.load(root / f"block-{m}.npy", mmap_mode="r") for m in names}
    return Data(blocks, np.load(root / "y.npy"), np.load(root / "groups.npy"))


@lru_cache(maxsize=2)
def _halves(folder: str, number: int) -> tuple[Data, Callable[[str], View]]:
    """The training part of a fold, and its tested part by modality: prepared once for the jobs of a worker."""
    data = _read(folder)
    fold = np.load(Path(folder) / f"fold-{number}.npz")
    train = training.subset(data, fold["train"])
    return train, cache(lambda m: View(train.view(m).block, data.blocks[m][fold["test"]]))


def _work(job: _Job) -> dict[str, Any]:
    start = time.perf_counter()
    train, view = _halves(job.folder, job.fold)
    test = {m: view(m) for m in job.names}
    out: dict[str, Any] = {}
    if job.kind == "unimodal":
        fitted = training.fit_unimodal(train, job.names[0], job.model, job.settings, job.calibrate, job.inner)
        out = {"test": fitted.predict(test[job.names[0]]), "oof": fitted.oof}
    elif job.kind == "early":
        fitted = training.fit_early(train, job.names, job.model, job.settings, job.calibrate, job.inner)
        out = {"test": fitted.predict(test)}
    else:
        fitted = training.fit_head(train, job.names, HEADS[job.kind], job.settings, job.inner)
        out = {"test": fitted.predict(test)}
    return out | {"seconds": time.perf_counter() - start}


@dataclass(frozen=True)
class _Explain:
    folder: str
    fusion: str
    names: tuple[str, ...]
    model: str | None
    wanted: list[Group]
    fold: int
    settings: Settings
    calibrate: str
    inner: int


def _explain(job: _Explain) -> tuple[np.ndarray, np.ndarray]:
    data = _read(job.folder)
    fold = np.load(Path(job.folder) / f"fold-{job.fold}.npz")
    mine = Data({m: data.blocks[m] for m in job.names}, data.y, data.groups)
    row = (job.fusion, job.names, job.model)
    return importance.shuffled(
        mine, Fold(fold["train"], fold["test"]), *row, job.wanted, job.settings, job.calibrate, job.inner
    )


# Candidates: every row of the table with its answers.


def _candidates(outputs, part: _Part, settings: Settings) -> list[Candidate]:
    data, folds, plan, names = part.data, part.folds, part.plan, part.names
    every = range(len(folds))

    def of(kind: str, fusion: str, s: tuple[str, ...], model: str) -> Candidate:
        found = [outputs[kind, s, model, f] for f in every]
        return Candidate(
            fusion,
            s,
            zoo.called(model, settings.task) if model else None,
            [o["test"] for o in found],
            sum(o["seconds"] for o in found),
        )

    found = []
    for model in plan.models:
        if "unimodal" in plan.fusions:
            found += [of("unimodal", "unimodal", (m,), model) for m in names]
        if "early" in plan.fusions:
            found += [of("early", "early", s, model) for s in _subsets(plan, names)]
        for fusion in plan.fusions:
            method = fusion.removeprefix("late-")
            if fusion == method or (method == "product" and settings.task == "regression"):
                continue
            for s in _subsets(plan, names):
                found.append(_late(outputs, data, folds, fusion, method, s, model, settings))
    for fusion in HEADS:
        if fusion in plan.fusions:
            found += [of(fusion, fusion, s, "") for s in [*((m,) for m in names), *_subsets(plan, names)]]
    if "dummy" in plan.fusions:
        answers = [np.tile(training.prior(data.y[f.train], settings), (len(f.test), 1)) for f in folds]
        found.append(Candidate("dummy", (), None, answers, 0.0))
    return found


def _late(outputs, data, folds, fusion, method, names, model, settings) -> Candidate:
    start, answers, spent = time.perf_counter(), [], 0.0
    there = {m: data.present(m) for m in names}
    for f, fold in enumerate(folds):
        parts = {m: outputs["unimodal", (m,), model, f] for m in names}
        spent += sum(p["seconds"] for p in parts.values())
        y = data.y[fold.train]
        fitted = training.fit_late(
            method,
            names,
            {m: p["oof"] for m, p in parts.items()},
            {m: t[fold.train] for m, t in there.items()},
            y,
            training.prior(y, settings),
            settings.balanced,
        )
        test = {m: t[fold.test] for m, t in there.items()}
        answers.append(fitted.predict({m: p["test"] for m, p in parts.items()}, test))
    return Candidate(fusion, names, zoo.called(model, settings.task), answers, spent + time.perf_counter() - start)


# The result.


def _result(
    samples, parts: list[_Part], ranked, plan: Plan, target: Target, settings, best, wanted, shuffled
) -> Result:
    main, entries = parts[0], ranked["main"]
    scorer = main.scorer(samples, target, settings)
    who = samples["speaker"] if "speaker" in samples else pd.Series(dtype="str")
    about = {
        "label": plan.label,
        "task": target.task,
        "metric": scorer.metric,
        "protocol": plan.protocol,
        "folds": 1 if plan.protocol == "official" else len(main.folds) // main.repeats,
        "repeats": main.repeats,
        "seed": plan.seed,
        "normalise": plan.normalise,
        "transductive": plan.normalise != "none",
        "n_samples": len(samples),
        "n_tested": len(np.unique(scorer.at)),
        "n_speakers": int(who.nunique()),
        "classes": list(target.classes),
        "leakage": leakage.audit(samples, main.folds, main.data.blocks),
        "ablation": scorer.ablation(entries),
        "fusion_gain": scorer.fusion_gain(entries),
        "importance": scorer.importance(best, wanted, shuffled, plan.seed) if wanted else None,
        "contrast": _contrast(parts, ranked, scorer.metric),
        "missing": _missing(parts, ranked, scorer.metric),
        **(scorer.details(best) if best else {"confusion": None, "per_class": [], "per_speaker": []}),
    }
    return Result([e.row for e in entries], scorer.predictions(entries), about)


_CONTRASTS = {
    "grouped": ("random", "grouped by speaker", "the gap is leakage: folds at random know the tested speakers"),
    "corpus": ("as they are", "relative to their corpus", "features relative to their corpus are transductive"),
}


def _contrast(parts: list[_Part], ranked: Mapping[str, list[Entry]], metric: str) -> dict[str, Any] | None:
    """The main table beside the one that it must be seen with."""
    name = next((p.name for p in parts if p.name in _CONTRASTS), None)
    if name is None:
        return None
    of, against, note = _CONTRASTS[name]
    rows = scores.contrast(ranked["main"], ranked[name], metric)
    return {"of": of, "against": against, "note": note, "metric": metric, "rows": rows}


def _missing(parts: list[_Part], ranked: Mapping[str, list[Entry]], metric: str) -> dict[str, Any] | None:
    """Scores by share of missing modality: one curve for each fusion of all modalities and for each modality."""
    hidden = [p for p in parts if p.name.startswith("missing-")]
    if not hidden:
        return None
    found = [{e.candidate.key: e.row[metric] for e in ranked[p.name]} for p in (parts[0], *hidden)]
    shares = missing.shares(len(parts[0].names))
    curves = [
        {
            "fusion": fusion,
            "modalities": list(names),
            "model": model,
            "points": [{"share": s} | f[fusion, names, model] for s, f in zip(shares, found, strict=True)],
        }
        for fusion, names, model in found[1]
    ]
    return {"metric": metric, "model": hidden[0].plan.models[0], "shares": shares, "curves": curves}
