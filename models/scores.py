"""From answers to the table: scores with intervals, comparisons, and what the report shows of the best row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from affectlake.models import metrics
from affectlake.models.importance import Group
from affectlake.models.splits import Fold


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
    """

    fusion: str
    names: tuple[str, ...]
    model: str | None
    answers: list[np.ndarray]
    seconds: float

    @property
    def key(self) -> tuple[str, tuple[str, ...], str | None]:
        return self.fusion, self.names, self.model

    @property
    def called(self) -> dict[str, Any]:
        return {"fusion": self.fusion, "modalities": list(self.names), "model": self.model}


@dataclass(frozen=True)
class Entry:
    """A scored row: what the table shows, the answers behind it, and the ranking metric in each draw."""

    candidate: Candidate
    row: dict[str, Any]
    answers: np.ndarray
    draws: np.ndarray


class Scorer:
    """Scores candidates on the same samples and the same draws of speakers.

    Parameters
    ----------
    samples : DataFrame [index=sample_id]
    y : array, shape=(n,)
    classes : tuple of str
        Empty for numbers.
    groups : array, shape=(n,)
        What the bootstrap draws: speakers.
    folds : list of Fold
        Of all repetitions, one after another.
    repeats : int
    metric : str
        Ranks the rows.
    draws, seed : int
    """

    def __init__(self, samples, y, classes, groups, folds: list[Fold], repeats: int, metric: str, draws: int, seed):
        self.samples, self.classes, self.metric, self.folds, self.seed = samples, classes, metric, folds, seed
        self.at = np.concatenate([f.test for f in folds])
        self.truth = y[self.at]
        self.groups = groups[self.at]
        self.draws = metrics.Draws.of(self.groups, draws, seed)
        per_repeat = len(folds) // repeats
        self.repeat = np.concatenate([np.full(len(f.test), i // per_repeat) for i, f in enumerate(folds)])
        self.repeats = repeats

    def rank(self, candidates: Sequence[Candidate]) -> list[Entry]:
        """Best first, the dummy last among equals; all are compared with the best, corrected for their number."""
        entries = []
        for c in candidates:
            answers = np.concatenate(c.answers)
            scores = self.scores(answers, self.draws)
            row = c.called | {name: metrics.interval(values) for name, values in scores.items()}
            row |= {"p_value": None, "difference": None, "seconds": round(c.seconds, 3)}
            if self.repeats > 1:
                row["repeats"] = self._by_repeat(answers)
            entries.append(Entry(c, row, answers, scores[self.metric]))
        entries.sort(key=lambda e: (-e.draws[0], e.candidate.fusion == "dummy", len(e.candidate.names)))
        best = entries[0].draws
        corrected = metrics.holm([metrics.paired_p(best, e.draws) for e in entries[1:]])
        for entry, p in zip(entries[1:], corrected, strict=True):
            entry.row["p_value"] = p
            entry.row["difference"] = metrics.interval(entry.draws - best)
        return entries

    def scores(self, answers: np.ndarray, draws: metrics.Draws) -> dict[str, np.ndarray]:
        if not self.classes:
            return metrics.regression(self.truth, answers[:, 0], draws)
        return metrics.classification(self.truth, answers, draws)

    def _by_repeat(self, answers: np.ndarray) -> list[float]:
        """The ranking metric of each repetition by itself."""
        found = []
        for r in range(self.repeats):
            mine = self.repeat == r
            once = metrics.Draws.of(self.groups[mine], 0, self.seed)
            if self.classes:
                scores = metrics.classification(self.truth[mine], answers[mine], once)
            else:
                scores = metrics.regression(self.truth[mine], answers[mine, 0], once)
            found.append(float(scores[self.metric][0]))
        return found

    # What is shown of the best rows

    def ablation(self, entries: list[Entry]) -> list[dict[str, Any]]:
        """The best row of every set of modalities."""
        best: dict[tuple[str, ...], Entry] = {}
        for e in entries:
            if e.candidate.names:
                best.setdefault(e.candidate.names, e)
        return [
            {
                "modalities": list(s),
                **e.row[self.metric],
                "fusion": e.candidate.fusion,
                "model": e.candidate.model,
            }
            for s, e in sorted(best.items(), key=lambda b: (len(b[0]), b[0]))
        ]

    def fusion_gain(self, entries: list[Entry]) -> dict[str, Any] | None:
        """What the best fused row has over the best single modality, in all and in the recall of each class."""
        fused = next((e for e in entries if len(e.candidate.names) > 1), None)
        alone = next((e for e in entries if len(e.candidate.names) == 1), None)
        if fused is None or alone is None:
            return None
        about = {
            "fused": fused.candidate.called,
            "unimodal": alone.candidate.called,
            "metric": self.metric,
            "overall": metrics.interval(fused.draws - alone.draws),
            "classes": [],
        }
        if self.classes:
            ours = metrics.recalls(self.truth, fused.answers, self.draws)
            theirs = metrics.recalls(self.truth, alone.answers, self.draws)
            about["classes"] = [
                {"label": c, "fused": float(ours[0, i]), "unimodal": float(theirs[0, i])}
                | metrics.interval(ours[:, i] - theirs[:, i])
                for i, c in enumerate(self.classes)
                if not np.isnan(ours[0, i])
            ]
        return about

    def details(self, best: Entry) -> dict[str, Any]:
        """Confusion, scores by class and by speaker of a row."""
        speaker = self.samples["speaker"] if "speaker" in self.samples else pd.Series(index=self.samples.index)
        speaker = speaker.to_numpy()[self.at]
        if not self.classes:
            error = np.abs(best.answers[:, 0] - self.truth)
            return {"confusion": None, "per_class": [], "per_speaker": _by_speaker(speaker, error)}
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

        predicted, every = best.answers.argmax(axis=1), list(range(len(self.classes)))
        p, r, f, n = precision_recall_fscore_support(self.truth, predicted, labels=every, zero_division=0)
        recall = metrics.recalls(self.truth, best.answers, self.draws)
        bounds = [metrics.interval(recall[:, i]) if n[i] else {"low": None, "high": None} for i in every]
        return {
            "confusion": {
                "labels": list(self.classes),
                "matrix": confusion_matrix(self.truth, predicted, labels=every).tolist(),
            },
            "per_class": [
                {"label": c, "recall": float(r[i]), "precision": float(p[i]), "f1": float(f[i]), "n": int(n[i])}
                | {"recall_low": bounds[i]["low"], "recall_high": bounds[i]["high"]}
                for i, c in enumerate(self.classes)
            ],
            "per_speaker": _by_speaker(speaker, predicted == self.truth),
        }

    def importance(self, best: Entry, wanted: list[Group], answers: list[tuple[np.ndarray, np.ndarray]], seed: int):
        """What the score loses when columns are shuffled in the tested parts; see `affectlake.models.importance`."""
        base = np.concatenate([b for b, _ in answers])
        changed = np.concatenate([c for _, c in answers], axis=2)
        draws = metrics.Draws.of(self.groups, min(1000, len(self.draws.weights) - 1), seed)
        whole = self.scores(base, draws)[self.metric]
        found: dict[str, list[dict[str, Any]]] = {"modalities": [], "extractors": [], "columns": []}
        for group, each in zip(wanted, changed, strict=True):
            lost = whole - np.mean([self.scores(a, draws)[self.metric] for a in each], axis=0)
            found[group.kind].append({"name": group.name, "modality": group.modality} | metrics.interval(lost))
        for rows in found.values():
            rows.sort(key=lambda r: -r["value"])
        return {"row": best.candidate.called, "metric": self.metric, "repeats": changed.shape[1], **found}

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
            if self.classes:
                labels = np.array(self.classes)
                frame = frame.assign(truth=labels[self.truth], predicted=labels[e.answers.argmax(axis=1)])
                shares = {f"p_{c}": e.answers[:, i].astype(np.float32) for i, c in enumerate(self.classes)}
                frame = frame.assign(**shares)
            else:
                frame = frame.assign(truth=self.truth, predicted=e.answers[:, 0])
            parts.append(frame)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def contrast(ours: list[Entry], theirs: list[Entry], metric: str) -> list[dict[str, Any]]:
    """The same rows under two protocols, and the gap between them, paired by draws of the same speakers."""
    other = {e.candidate.key: e for e in theirs}
    return [
        e.candidate.called
        | {
            "value": e.row[metric],
            "against": other[e.candidate.key].row[metric],
            "gap": metrics.interval(e.draws - other[e.candidate.key].draws),
        }
        for e in ours
    ]


def _by_speaker(speaker: np.ndarray, values: np.ndarray) -> list[dict[str, Any]]:
    """Accuracy with Wilson's interval, or the mean error, of each speaker, lowest first."""
    frame = pd.DataFrame({"speaker": speaker, "value": values.astype(float)}).dropna(subset="speaker")
    grouped = frame.groupby("speaker")["value"].agg(["mean", "size", "sum"]).sort_values("mean")
    shares = values.dtype == bool
    found = []
    for s, r in grouped.iterrows():
        low, high = metrics.share_interval(int(r["sum"]), int(r["size"])) if shares else (None, None)
        found.append({"speaker": str(s), "value": float(r["mean"]), "n": int(r["size"]), "low": low, "high": high})
    return found
