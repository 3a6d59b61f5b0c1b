"""From answers to the table: scores with intervals, comparisons, and what the report shows of the best row."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from affectlake.models import intervals, metrics
from affectlake.models.calibration import at_prior, prior_of
from affectlake.models.document import (
    AblationRow,
    BestOf,
    ClassScores,
    Confusion,
    ContrastRow,
    Details,
    FusionGain,
    Importance,
    Row,
    RowName,
    Score,
    Shuffled,
    SpeakerScore,
)
from affectlake.models.importance import Group
from affectlake.models.splits import Fold
from affectlake.models.tasks import Target


@dataclass(frozen=True)
class Candidate:
    """A row before it is scored.

    Attributes
    ----------
    fusion : str
    names : tuple of str
        Modalities.
    model : str or None
    answers : list of float array, shape=(tested samples of the fold, classes)
    seconds : float
    inner : list of float array, shape=(training samples of the fold, classes)
        Out-of-fold answers of inner folds, by which rows are chosen; empty for the dummy.
    """

    fusion: str
    names: tuple[str, ...]
    model: str | None
    answers: list[np.ndarray]
    seconds: float
    inner: list[np.ndarray]

    @property
    def key(self) -> tuple[str, tuple[str, ...], str | None]:
        return self.fusion, self.names, self.model

    @property
    def called(self) -> RowName:
        return {"fusion": self.fusion, "modalities": list(self.names), "model": self.model}


@dataclass(frozen=True)
class Entry:
    """A scored row.

    Attributes
    ----------
    candidate : Candidate
    row : Row
        What the table shows.
    answers : float array, shape=(tested samples, outputs)
    decided : array
        What is said of each sample, see `affectlake.models.tasks.Task`.
    cuts : float array, shape=(tested samples, outputs), or None
        Thresholds, from inner folds.
    draws : float array, shape=(1 + speakers,)
        The ranking metric, then without each speaker.
    """

    candidate: Candidate
    row: Row
    answers: np.ndarray
    decided: np.ndarray
    cuts: np.ndarray | None
    draws: np.ndarray


OVER_CLASSES = ("uar", "f1_macro")
"""Means over classes, which are another quantity where a class is missing."""

_BAGS = 300
"""Draws of speakers by which the optimism of the best row is estimated."""


class Scorer:
    """Scores candidates on the same samples and the same draws of speakers.

    Parameters
    ----------
    samples : DataFrame [index=sample_id]
    target : Target
    groups : array, shape=(n,)
        Speakers, who are left out one by one.
    folds : list of Fold
        Of all repetitions, one after another.
    repeats : int
    metric : str
        Ranks the rows.
    draws, seed : int
    prior : str
        Frequencies of classes at which probabilities are shown and scored; see `affectlake.models.calibration`.
    unit : str
        What the groups are, see `affectlake.models.splits.unit`.
    """

    def __init__(
        self,
        samples: pd.DataFrame,
        target: Target,
        groups: np.ndarray,
        folds: list[Fold],
        repeats: int,
        metric: str,
        draws: int,
        seed: int,
        prior: str = "training",
        unit: str = "speaker",
    ):
        self.samples, self.target, self.metric, self.folds, self.seed = samples, target, metric, folds, seed
        self.shown = None if prior == "training" else prior_of(prior, target.classes)
        self.classes = target.classes
        self.at = np.concatenate([f.test for f in folds])
        self.truth = target.y[self.at]
        self.everyone, self.unit = groups, unit
        self.groups = groups[self.at]
        self.draws = metrics.Draws.of(self.groups, seed=seed)
        self.units = len(np.unique(self.groups))
        per_repeat = len(folds) // repeats
        once = folds[:per_repeat]
        self.inflation = intervals.overlap([len(f.train) for f in once], [len(f.test) for f in once])
        self.repeat = np.concatenate([np.full(len(f.test), i // per_repeat) for i, f in enumerate(folds)])
        self.repeats, self.random = repeats, draws
        self.owners = metrics.speakers_of_classes(self.truth, self.draws.group, len(self.classes))

    def interval(self, values: np.ndarray, score: str = "", critical: float | None = None) -> Score:
        """Of a score by its name, or of a difference; see `affectlake.models.intervals.interval`."""
        df = intervals.freedom(self.owners) if score in OVER_CLASSES else None
        return intervals.interval(values, score, df, self.reason(score), critical, self.inflation)

    def reason(self, score: str = "") -> str | None:
        """Why there is no interval of a score, if there is none."""
        few = intervals.too_few(self.units, self.unit)
        if few is None and score in OVER_CLASSES and (self.owners == 1).any():
            alone = [repr(c) for c, n in zip(self.classes, self.owners, strict=True) if n == 1]
            more = f" (and {len(alone) - 3} more)" if len(alone) > 3 else ""
            shown = ", ".join(alone[:3]) + more
            return f"one tested {self.unit} alone has class {shown}: without it, it would be another score"
        return few

    def rank(self, candidates: Sequence[Candidate]) -> list[Entry]:
        """Best first, the dummy last among equals; all are compared with the best, which was chosen among them."""
        entries, seen = [], []
        for c in candidates:
            answers, cuts = np.concatenate(c.answers), self.cuts(c.inner)
            decided = self.decide(answers, cuts)
            scores = self.scores(answers, decided, self.draws)
            named = {name: self.interval(values, name) for name, values in scores.items()}
            repeats = self._by_repeat(answers, decided) if self.repeats > 1 else None
            row = Row(c.called, named, round(c.seconds, 3), repeats=repeats)
            entries.append(Entry(c, row, answers, decided, cuts, scores[self.metric]))
            seen.append(scores)
        order = sorted(
            range(len(entries)),
            key=lambda i: (
                -entries[i].draws[0],
                entries[i].candidate.fusion == "dummy",
                len(entries[i].candidate.names),
            ),
        )
        first, entries = seen[order[0]], [entries[i] for i in order]
        best = entries[0].draws
        found = self._compared(entries)
        if found.critical is not None:
            # The best of many, quoted as a single score, must hold although it was chosen for being high.
            entries[0].row.scores[self.metric] = self.interval(first[self.metric], self.metric, found.critical)
        for entry, p, reach in list(zip(entries, found.p, found.reach, strict=True))[1:]:
            entry.row.p_value = p
            entry.row.difference = self._difference(float(entry.draws[0] - best[0]), reach)
        return entries

    def best_of(self, entries: list[Entry]) -> BestOf:
        """How many rows the best one was chosen from, and by how much that makes it say too much."""
        rows = [e for e in entries if e.candidate.names]
        bias = None
        if len(rows) > 1 and self.reason(self.metric) is None:
            inside, outside = (
                np.stack(
                    [self.scores(e.answers, e.decided, metrics.Draws(self.draws.group, w))[self.metric] for e in rows]
                )
                for w in intervals.bagged(len(self.draws.weights) - 1, _BAGS, self.seed)
            )
            bias = intervals.optimism(inside, outside, float(rows[0].draws[0]))
        value = float(rows[0].draws[0]) if rows else None
        return {
            "of": len(rows),
            "value": value,
            "bias": bias,
            "corrected": None if bias is None or value is None else value - bias,
            "method": "bootstrap bias-corrected cross-validation",
        }

    def cuts(self, inner: Sequence[np.ndarray]) -> np.ndarray | None:
        """Thresholds of each tested sample, from the inner answers of its training part; None where nothing is cut."""
        found = [
            self.target.task.cuts(self.target.y[f.train], a, self.metric)
            for f, a in zip(self.folds, inner, strict=False)
        ]
        each = [np.tile(c, (len(f.test), 1)) for f, c in zip(self.folds, found, strict=False) if c is not None]
        return np.concatenate(each) if each else None

    def decide(self, answers: np.ndarray, cuts: np.ndarray | None) -> np.ndarray:
        return self.target.task.decide(self.target, answers, cuts)

    def scores(self, answers: np.ndarray, decided: np.ndarray, draws: metrics.Draws) -> dict[str, np.ndarray]:
        return self.target.task.scores(self.target, self.truth, self.shares(answers), decided, draws)

    def shares(self, answers: np.ndarray) -> np.ndarray:
        """Probabilities at the prior that was asked for."""
        return answers if self.shown is None else at_prior(answers, self._priors, self.shown)

    @cached_property
    def _priors(self) -> np.ndarray:
        """Frequencies in the training part of each tested sample [shape=(tested samples, classes)]."""
        k = len(self.classes)
        each = [np.bincount(self.target.y[f.train], minlength=k) / len(f.train) for f in self.folds]
        return np.repeat(each, [len(f.test) for f in self.folds], axis=0)

    def _by_repeat(self, answers: np.ndarray, decided: np.ndarray) -> list[float]:
        """The ranking metric of each repetition by itself."""
        found = []
        for r in range(self.repeats):
            tested = self.repeat == r
            once = metrics.Draws.of(self.groups[tested], 0)
            rest = (self.truth[tested], answers[tested], decided[tested], once)
            found.append(float(self.target.task.scores(self.target, *rest)[self.metric][0]))
        return found

    # What is shown of the best rows

    def ablation(self, entries: list[Entry]) -> list[AblationRow]:
        """The best row of every set of modalities."""
        best: dict[tuple[str, ...], Entry] = {}
        for e in entries:
            if e.candidate.names:
                best.setdefault(e.candidate.names, e)
        return [
            {
                "modalities": list(s),
                **e.row.scores[self.metric],
                "fusion": e.candidate.fusion,
                "model": e.candidate.model,
            }
            for s, e in sorted(best.items(), key=lambda b: (len(b[0]), b[0]))
        ]

    def fusion_gain(self, entries: list[Entry]) -> FusionGain | None:
        """What the best fused row has over the best single modality, in all and in the recall of each class."""
        fused = next((e for e in entries if len(e.candidate.names) > 1), None)
        alone = next((e for e in entries if len(e.candidate.names) == 1), None)
        if fused is None or alone is None:
            return None
        gain: FusionGain = {
            "fused": fused.candidate.called,
            "unimodal": alone.candidate.called,
            "metric": self.metric,
            "overall": self._chosen(entries, fused, alone),
            "classes": [],
        }
        if self.classes and self.truth.ndim == 1:
            ours = metrics.recalls(self.truth, fused.decided, len(self.classes), self.draws)
            theirs = metrics.recalls(self.truth, alone.decided, len(self.classes), self.draws)
            gain["classes"] = [
                {
                    "label": c,
                    "fused": float(ours[0, i]),
                    "unimodal": float(theirs[0, i]),
                    **self._of_class(ours[:, i] - theirs[:, i], i),
                }
                for i, c in enumerate(self.classes)
                if not np.isnan(ours[0, i])
            ]
        return gain

    def _compared(self, entries: list[Entry]) -> intervals.Comparison:
        stacked = np.stack([e.draws for e in entries])
        return intervals.compare(stacked, self.metric, self.random, self.seed, self.inflation)

    def _chosen(self, entries: list[Entry], one: Entry, other: Entry) -> Score:
        """Difference of two rows that were each chosen as the best of some: as wide as any two rows may differ."""
        return self._difference(float(one.draws[0] - other.draws[0]), self._compared(entries).reach[-1])

    def _difference(self, value: float, reach: float | None) -> Score:
        if reach is None:
            return {"value": value, "low": None, "high": None, "reason": self.reason(self.metric)}
        return {"value": value, "low": value - reach, "high": value + reach}

    def _of_class(self, values: np.ndarray, i: int, score: str = "") -> Score:
        """Of the recall of a class, or a difference of such, over the speakers that have it."""
        n = int(self.owners[i])
        reason = intervals.too_few(n, self.unit, " of this class")
        return intervals.interval(values, score, n - 1.0, reason, inflation=self.inflation)

    def details(self, best: Entry) -> Details:
        """Confusion, scores by class, quantity and speaker of a row."""
        speaker = self.samples["speaker"] if "speaker" in self.samples else pd.Series(index=self.samples.index)
        name, each = self.target.task.each(self.target, self.truth, best.decided)
        return {
            "confusion": self._confusion(best),
            "per_class": self._per_class(best),
            "per_output": self._per_output(best),
            "per_speaker": _by_speaker(speaker.to_numpy()[self.at], each),
            "speaker_score": name,
        }

    def _confusion(self, best: Entry) -> Confusion | None:
        if not self.classes or self.truth.ndim > 1:
            return None
        from sklearn.metrics import confusion_matrix

        every = list(range(len(self.classes)))
        matrix = confusion_matrix(self.truth, best.decided, labels=every).tolist()
        return {"labels": list(self.classes), "matrix": matrix}

    def _per_class(self, best: Entry) -> list[ClassScores]:
        if not self.classes or best.decided.ndim != self.truth.ndim:
            return []
        from sklearn.metrics import precision_recall_fscore_support

        every = list(range(len(self.classes)))
        p, r, f, n = precision_recall_fscore_support(self.truth, best.decided, labels=every, zero_division=0)
        bounds: list[Score] = [{"value": float("nan"), "low": None, "high": None}] * len(every)
        if self.truth.ndim == 1:
            recall = metrics.recalls(self.truth, best.decided, len(self.classes), self.draws)
            bounds = [self._of_class(recall[:, i], i, "accuracy") for i in every]
        return [
            {
                "label": c,
                "recall": float(r[i]),
                "precision": float(p[i]),
                "f1": float(f[i]),
                "n": int(n[i]),
                "recall_low": bounds[i]["low"],
                "recall_high": bounds[i]["high"],
            }
            for i, c in enumerate(self.classes)
        ]

    def _per_output(self, best: Entry) -> list[dict[str, str | Score]]:
        """Each of several quantities by itself."""
        if self.classes or self.truth.ndim == 1:
            return []
        each = [metrics.regression(t, a, self.draws) for t, a in zip(self.truth.T, best.answers.T, strict=True)]
        return [
            {"label": name, **{k: self.interval(v, k) for k, v in scores.items()}}
            for name, scores in zip(self.target.outputs, each, strict=True)
        ]

    def importance(self, best: Entry, wanted: list[Group], answers: list[tuple[np.ndarray, np.ndarray]]) -> Importance:
        """What the score loses when columns are shuffled in the tested parts; see `affectlake.models.importance`."""
        base = np.concatenate([b for b, _ in answers])
        changed = np.concatenate([c for _, c in answers], axis=2)
        draws = self.draws

        def score(answers: np.ndarray) -> np.ndarray:
            return self.scores(answers, self.decide(answers, best.cuts), draws)[self.metric]

        whole = score(base)
        by_kind: dict[str, list[Shuffled]] = {"modalities": [], "extractors": [], "columns": []}
        for group, each in zip(wanted, changed, strict=True):
            lost = whole - np.mean([score(a) for a in each], axis=0)
            by_kind[group.kind].append({"name": group.name, "modality": group.modality, **self.interval(lost)})
        for rows in by_kind.values():
            rows.sort(key=lambda r: -r["value"])
        return {
            "row": best.candidate.called,
            "metric": self.metric,
            "repeats": changed.shape[1],
            "modalities": by_kind["modalities"],
            "extractors": by_kind["extractors"],
            "columns": by_kind["columns"],
        }

    def predictions(self, entries: list[Entry]) -> pd.DataFrame:
        """Answers of every row but the dummy, see `affectlake.models.benchmark.Result`."""
        parts = []
        fold = np.concatenate([np.full(len(f.test), i) for i, f in enumerate(self.folds)])
        ids = self.samples.index.to_numpy()[self.at]
        for e in entries:
            if e.candidate.fusion == "dummy":
                continue
            frame = pd.DataFrame({"sample_id": ids, "fold": fold, "repeat": self.repeat})
            frame = frame.assign(fusion=e.candidate.fusion, modalities="+".join(e.candidate.names))
            frame = frame.assign(model=e.candidate.model or "")
            frame = frame.assign(truth=self._named(self.truth), predicted=self._named(e.decided))
            p = self.shares(e.answers)
            shares = {f"p_{c}": p[:, i].astype(np.float32) for i, c in enumerate(self.classes)}
            frame = frame.assign(**shares)
            parts.append(frame)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def _named(self, values: np.ndarray) -> np.ndarray | list[str]:
        """Labels or decisions as they are written: of votes the plurality, several labels or quantities with ``|``."""
        labels = np.array(self.classes)
        if values.ndim == 1:
            return labels[values] if self.classes else values
        if not self.classes:
            return values[:, 0] if values.shape[1] == 1 else ["|".join(f"{v:g}" for v in row) for row in values]
        if values.dtype.kind == "f":
            return labels[values.argmax(axis=1)]
        return ["|".join(labels[row == 1]) for row in values]


def contrast(ours: list[Entry], theirs: list[Entry], scorer: Scorer) -> list[ContrastRow]:
    """The same rows under two protocols, and the gap between them, paired by draws of the same speakers."""
    other = {e.candidate.key: e for e in theirs}
    return [
        {
            **e.candidate.called,
            "value": e.row.scores[scorer.metric],
            "against": other[e.candidate.key].row.scores[scorer.metric],
            "gap": scorer.interval(e.draws - other[e.candidate.key].draws),
        }
        for e in ours
    ]


def _by_speaker(speaker: np.ndarray, values: np.ndarray) -> list[SpeakerScore]:
    """Accuracy with Wilson's interval, or the mean error, of each speaker, lowest first."""
    frame = pd.DataFrame({"speaker": speaker, "value": values.astype(float)}).dropna(subset="speaker")
    grouped = frame.groupby("speaker")["value"].agg(["mean", "size", "sum"]).sort_values("mean")
    shares = values.dtype == bool
    found: list[SpeakerScore] = []
    for s, r in grouped.iterrows():
        low, high = intervals.share_interval(int(r["sum"]), int(r["size"])) if shares else (None, None)
        found.append({"speaker": str(s), "value": float(r["mean"]), "n": int(r["size"]), "low": low, "high": high})
    return found
