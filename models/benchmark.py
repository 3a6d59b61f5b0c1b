"""The baseline table: every modality alone, every fusion of every subset, on the same folds, each with its interval."""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from affectlake.data.errors import UnknownName, UsageError
from affectlake.models import leakage, metrics, splits, training, zoo
from affectlake.models.calibration import METHODS as CALIBRATIONS
from affectlake.models.early import View
from affectlake.models.member import Settings
from affectlake.models.splits import Fold
from affectlake.models.training import Data

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
HEADS = {"mlp-head": "projected", "mlp-dense": "dense"}
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
    protocol : "grouped" | "official" | "loso" | "kfold" | "random"
        See `affectlake.models.splits.folds`.
    folds, repeats, seed : int
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

    def __post_init__(self):
        for kind, given, valid in (
            ("model", self.models, zoo.NAMES),
            ("fusion", self.fusions, _ALL_FUSIONS),
            ("protocol", [self.protocol], splits.PROTOCOLS),
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
        """label, protocol, folds, n_samples, n_speakers, rows, leakage, ablation, confusion, per_class, per_speaker."""
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
    folds = splits.folds(samples, target.y, plan.protocol, plan.folds, plan.repeats, plan.seed)
    _check_folds(folds, target)
    data = Data(aligned(samples, blocks), target.y, splits.groups(samples).to_numpy())
    settings = settings_of(plan, target)
    names = tuple(data.blocks)
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), data, folds)
        jobs = _jobs(folder, plan, names, len(folds), settings)
        outputs = {}
        for done, (job, output) in enumerate(zip(jobs, map(_work, jobs), strict=True), 1):
            outputs[job.kind, job.names, job.model, job.fold] = output
            if progress:
                progress(done, len(jobs))
    scored = _Scored(samples, data, target, folds, plan, settings)
    rows = scored.rows(_candidates(outputs, data, folds, plan, settings, names))
    return scored.result(rows)


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


def _jobs(folder: str, plan: Plan, names: tuple[str, ...], n_folds: int, settings: Settings) -> list[_Job]:
    common = (settings, plan.calibrate, plan.inner)
    jobs = []
    for model in plan.models:
        if any(f == "unimodal" or f.startswith("late") for f in plan.fusions):
            jobs += [_Job(folder, "unimodal", (m,), model, f, *common) for m in names for f in range(n_folds)]
        if "early" in plan.fusions:
            jobs += [_Job(folder, "early", s, model, f, *common) for s in _subsets(plan, names) for f in range(n_folds)]
    for fusion in HEADS:
        if fusion in plan.fusions:
            sets = [*((m,) for m in names), *_subsets(plan, names)]
            jobs += [_Job(folder, fusion, s, "", f, *common) for s in sets for f in range(n_folds)]
    # Fold by fold, so that what its jobs share is prepared once; in each the longest first.
    cost = {"xgboost": 4, "random-forest": 3, "extra-trees": 2, "mlp": 3}
    return sorted(jobs, key=lambda j: (j.fold, -cost.get(j.model, 1), -len(j.names)))


def _subsets(plan: Plan, names: tuple[str, ...]) -> list[tuple[str, ...]]:
    if len(names) < 2:
        return []
    sizes = range(2, len(names) + 1) if plan.subsets == "all" else [len(names)]
    return [s for k in sizes for s in combinations(names, k)]


def _write(folder: Path, data: Data, folds: list[Fold]) -> None:
    for m, block in data.blocks.items():
        np.save(folder / f"block-{m}.npy", block)
    np.save(folder / "y.npy", data.y)
    np.save(folder / "groups.npy", np.unique(data.groups, return_inverse=True)[1])
    for i, fold in enumerate(folds):
        np.savez(folder / f"fold-{i}.npz", train=fold.train, test=fold.test)
    (folder / "names.json").write_text(json.dumps(list(data.blocks)))


@lru_cache(maxsize=1)
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


# Candidates: every row of the table with its answers.


@dataclass(frozen=True)
class _Candidate:
    fusion: str
    names: tuple[str, ...]
    model: str | None
    answers: list[np.ndarray]
    seconds: float


def _candidates(outputs, data: Data, folds: list[Fold], plan: Plan, settings: Settings, names) -> list[_Candidate]:
    every = range(len(folds))

    def of(kind: str, fusion: str, s: tuple[str, ...], model: str) -> _Candidate:
        found = [outputs[kind, s, model, f] for f in every]
        return _Candidate(
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
        found.append(_Candidate("dummy", (), None, answers, 0.0))
    return found


def _late(outputs, data, folds, fusion, method, names, model, settings) -> _Candidate:
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
    return _Candidate(fusion, names, zoo.called(model, settings.task), answers, spent + time.perf_counter() - start)


# Scores.


class _Scored:
    """Turns candidates into rows: all are scored on the same samples and the same draws of speakers."""

    def __init__(self, samples, data: Data, target: Target, folds: list[Fold], plan: Plan, settings: Settings):
        self.samples, self.target, self.folds, self.plan, self.settings = samples, target, folds, plan, settings
        self.at = np.concatenate([f.test for f in folds])
        self.truth = target.y[self.at]
        self.draws = metrics.Draws.of(data.groups[self.at], plan.draws, plan.seed)
        self.metric = plan.metric if target.task == "classification" else "ccc"

    def rows(self, candidates: list[_Candidate]) -> list[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
        """(row, answers, score in each draw), best first, the dummy last among equals."""
        found = []
        for c in candidates:
            answers = np.concatenate(c.answers)
            scores = self._scores(answers)
            row: dict[str, Any] = {"fusion": c.fusion, "modalities": list(c.names), "model": c.model}
            row |= {name: metrics.interval(values) for name, values in scores.items()}
            found.append((row | {"p_value": None, "seconds": round(c.seconds, 3)}, answers, scores[self.metric]))
        found.sort(key=lambda f: (-f[0][self.metric]["value"], f[0]["fusion"] == "dummy", len(f[0]["modalities"])))
        best = found[0][2]
        for (row, _, _), p in zip(
            found[1:], metrics.holm([metrics.paired_p(best, s) for _, _, s in found[1:]]), strict=True
        ):
            row["p_value"] = p
        return found

    def _scores(self, answers: np.ndarray) -> dict[str, np.ndarray]:
        if self.target.task == "regression":
            return metrics.regression(self.truth, answers[:, 0], self.draws)
        return metrics.classification(self.truth, answers, self.draws)

    def result(self, found) -> Result:
        rows = [row for row, _, _ in found]
        _, answers, _ = next(f for f in found if f[0]["fusion"] != "dummy")
        who = self.samples["speaker"] if "speaker" in self.samples else pd.Series(dtype="str")
        about = {
            "label": self.plan.label,
            "task": self.target.task,
            "metric": self.metric,
            "protocol": self.plan.protocol,
            "folds": len(self.folds) // self.plan.repeats if self.plan.protocol != "official" else 1,
            "repeats": self.plan.repeats,
            "seed": self.plan.seed,
            "n_samples": len(self.samples),
            "n_tested": len(np.unique(self.at)),
            "n_speakers": int(who.nunique()),
            "classes": list(self.target.classes),
            "leakage": leakage.audit(self.samples, self.folds),
            "ablation": self._ablation(rows),
            **self._details(answers),
        }
        return Result(rows, self._predictions(found), about)

    def _ablation(self, rows) -> list[dict[str, Any]]:
        """The best row of every set of modalities."""
        best: dict[tuple[str, ...], dict[str, Any]] = {}
        for row in rows:
            if row["modalities"]:
                best.setdefault(tuple(row["modalities"]), row)
        return [
            {"modalities": list(s), "value": r[self.metric]["value"], "fusion": r["fusion"], "model": r["model"]}
            for s, r in sorted(best.items(), key=lambda e: (len(e[0]), e[0]))
        ]

    def _details(self, answers: np.ndarray) -> dict[str, Any]:
        """Confusion, recall by class and score by speaker of the best row."""
        speaker = (
            self.samples["speaker"].to_numpy()[self.at] if "speaker" in self.samples else np.full(len(self.at), "")
        )
        if self.target.task == "regression":
            error = np.abs(answers[:, 0] - self.truth)
            return {"confusion": None, "per_class": [], "per_speaker": _by_speaker(speaker, error)}
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

        predicted, classes = answers.argmax(axis=1), range(len(self.target.classes))
        p, r, f, n = precision_recall_fscore_support(self.truth, predicted, labels=list(classes), zero_division=0)
        return {
            "confusion": {
                "labels": list(self.target.classes),
                "matrix": confusion_matrix(self.truth, predicted, labels=list(classes)).tolist(),
            },
            "per_class": [
                {"label": c, "recall": float(r[i]), "precision": float(p[i]), "f1": float(f[i]), "n": int(n[i])}
                for i, c in enumerate(self.target.classes)
            ],
            "per_speaker": _by_speaker(speaker, predicted == self.truth),
        }

    def _predictions(self, found) -> pd.DataFrame:
        parts = []
        fold = np.concatenate([np.full(len(f.test), i) for i, f in enumerate(self.folds)])
        names = self.target.classes
        for row, answers, _ in found:
            if row["fusion"] == "dummy":
                continue
            frame = pd.DataFrame({"sample_id": self.samples.index.to_numpy()[self.at], "fold": fold})
            frame = frame.assign(fusion=row["fusion"], modalities="+".join(row["modalities"]), model=row["model"] or "")
            if names:
                labels = np.array(names)
                frame = frame.assign(truth=labels[self.truth], predicted=labels[answers.argmax(axis=1)])
                frame = frame.assign(**{f"p_{c}": answers[:, i].astype(np.float32) for i, c in enumerate(names)})
            else:
                frame = frame.assign(truth=self.truth, predicted=answers[:, 0])
            parts.append(frame)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _by_speaker(speaker: np.ndarray, values: np.ndarray) -> list[dict[str, Any]]:
    frame = pd.DataFrame({"speaker": speaker, "value": values.astype(float)}).dropna(subset="speaker")
    grouped = frame.groupby("speaker")["value"].agg(["mean", "size"]).sort_values("mean")
    return [{"speaker": str(s), "value": float(r["mean"]), "n": int(r["size"])} for s, r in grouped.iterrows()]
