"""The baseline table: every modality alone, every fusion of every subset, on the same folds, each with its interval."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from affectlake.data.errors import UsageError
from affectlake.data.progress import Progress, silent
from affectlake.models import (
    abstention,
    band,
    checks,
    conformal,
    distortion,
    importance,
    intervals,
    leakage,
    learning,
    missing,
    prepared,
    reliability,
    scores,
    selection,
    subgroups,
)
from affectlake.models.candidates import candidates_of, dummy_of
from affectlake.models.document import (
    About,
    AbstentionPoint,
    ConformalLevel,
    Contrast,
    Curve,
    Curves,
    Details,
    DistortionCurves,
    ReliabilityBin,
    ResultJson,
    RowJson,
    Sureness,
)
from affectlake.models.importance import Group
from affectlake.models.jobs import Explain, Job, cost, explain, jobs_of, work, write
from affectlake.models.member import Settings
from affectlake.models.parts import Part, aligned, parts_of
from affectlake.models.plan import FUSIONS, METRICS, Plan, settings_of
from affectlake.models.scores import Candidate, Entry, Scorer
from affectlake.models.tasks import Problem, Target, target_of
from affectlake.models.training import HEADS

__all__ = ["FUSIONS", "HEADS", "METRICS", "Plan", "Result", "Target", "aligned", "run", "settings_of", "target_of"]


@dataclass(frozen=True)
class Result:
    """A finished benchmark; `to_json` gives what reports show.

    Attributes
    ----------
    rows : list of RowJson
        Best first: fusion, modalities, model, each metric as value, low, high; p_value, seconds.
    predictions : DataFrame [columns=(sample_id, fold, fusion, modalities, model, truth, predicted, p_<class>…)]
        Of every row but the dummy, each by models that had not seen the sample's speaker.
    about : About
        All else.
    """

    rows: list[RowJson]
    predictions: pd.DataFrame = field(repr=False)
    about: About = field(repr=False)

    def to_json(self) -> ResultJson:
        """What `affectlake.flows.report` shows: docs/models.md lists the keys."""
        return {**self.about, "rows": self.rows}

    def _repr_html_(self) -> str:
        return str(self.table().to_html())

    def table(self) -> pd.DataFrame:
        """The rows with the metrics' values as plain numbers."""
        return pd.DataFrame([{k: v["value"] if isinstance(v, dict) else v for k, v in r.items()} for r in self.rows])


Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


def run(
    samples: pd.DataFrame,
    blocks: Mapping[str, pd.DataFrame],
    plan: Plan,
    map: Map = map,
    progress: Progress = silent,
    remark: Callable[[str], None] | None = None,
    distorted: distortion.Distorted | None = None,
) -> Result:
    """Compare the baselines.

    Parameters
    ----------
    samples : DataFrame [index=sample_id]
        Columns ``plan.labels``, and speaker, dialogue, split, text, `RECORDING`, `band.COLUMN` as far as known.
    blocks : mapping of modality to DataFrame [index=sample_id]
        float32 features; samples without a row lack the modality.
    plan : Plan
    map : callable(function, jobs)
        Where jobs run: the built-in, or that of an executor (results in order).
    progress : Progress, optional
    remark : callable(line), optional
        Is told, before anything is trained, what the label is taken for and what is to be known of the folds;
        ``target`` and ``remarks`` of the result have it too.
    distorted : Distorted, optional
        Some samples with worse sound, of which ``distort`` of the result tells what models make.

    Raises
    ------
    UsageError
        See `affectlake.models.tasks.target_of` and `affectlake.models.splits.folds`.
    """
    for label in plan.labels:
        checks.check_label(samples[label])
    checks.check_features(blocks)
    target = target_of(samples[list(plan.labels)], plan.task)
    checks.check_rows(plan, sorted(blocks), target)
    checks.check_prior(plan, target)
    if len(target.y) < 10:
        raise UsageError(f"{len(target.y)} labelled samples are too few to compare anything")
    if plan.missing and len(blocks) < 2:
        raise UsageError("what happens when modalities are missing can only be asked where there are two or more")
    subgroups.check(samples, plan.by, plan.labels)
    problems = [_Problem(p, settings_of(plan, target, p)) for p in target.problems]
    with progress("preparing"):
        parts = parts_of(samples, blocks, target, plan)
    main = parts[0]
    for part in parts:
        if part is main or part.name.startswith("size-"):
            checks.check_folds(part.folds, target, part.data)
    remarks = checks.remarks(samples, main.folds, target, main.data, plan)
    if "audio" in blocks and band.COLUMN in samples:
        remarks += band.remarks(samples[band.COLUMN], main.folds)
    if remark:
        for line in (f"{', '.join(plan.labels)} taken as {target.task.name}: {target.why}", *remarks):
            remark(line)
    spoiled = [distortion.part(main, samples, distorted)] if distorted else []
    with tempfile.TemporaryDirectory() as folder:
        tables = [_tables(Path(folder), part, problems) for part in (*parts, *spoiled)]
        parts = [_kept(part, each) for part, each in zip(parts, tables, strict=False)]
        main = parts[0]
        jobs = [
            j
            for each in tables
            for q, (where, table) in zip(problems, each, strict=True)
            for j in jobs_of(str(where), table, q.settings)
        ]
        # Fold by fold, so that what its jobs share is prepared once and for a time; in each the longest first.
        jobs.sort(key=lambda j: (prepared.place(j.folder, j.fold), -cost(j)))
        outputs: dict[str, dict[Any, Any]] = {str(where): {} for each in tables for where, _ in each}
        for job, output in zip(jobs, _folds("training", map, work, jobs, progress), strict=True):
            outputs[job.folder] |= {(*row, job.model, job.fold): answers for row, answers in output.items()}
        ranked, lost = {}, None
        with progress("ranking"):
            for part, each in zip((*parts, *spoiled), tables, strict=True):
                found = [
                    candidates_of(outputs[str(where)], table, q.settings)
                    for q, (where, table) in zip(problems, each, strict=True)
                ]
                rows = _combined(found, target)
                if distorted and part in spoiled:
                    lost = distortion.curves(part, rows, list(distorted.blocks), samples, target)
                else:
                    ranked[part.name] = part.scorer(samples, target).rank(rows)
        best = next((e for e in ranked["main"] if e.candidate.names), None)
        wanted, shuffled = [], []
        if plan.explain and best is not None:
            columns = {m: [str(c) for c in blocks[m].columns] for m in best.candidate.names}
            first = tables[0][0][1]
            wanted = importance.groups(columns, first.data, first.folds, problems[0].settings.task)
            rest = (wanted, plan.calibrate, plan.inner)
            explains = [
                _explain(str(where), best, table.settings(q.settings, f), f, *rest)
                for f in range(len(main.folds))
                for q, (where, table) in zip(problems, tables[0], strict=True)
            ]
            explanations = list(_folds("importance", map, explain, explains, progress))
            for at in range(0, len(explanations), len(problems)):
                of_fold = explanations[at : at + len(problems)]
                base, changed = (target.task.combine([o[i] for o in of_fold]) for i in (0, 1))
                shuffled.append((base, changed))
    [dummy] = _combined(
        [[dummy_of(table, q.settings)] for q, (_, table) in zip(problems, tables[0], strict=True)], target
    )
    with progress("intervals"):
        return _result(samples, parts, ranked, plan, target, best, dummy, wanted, shuffled, remarks, lost)


@dataclass(frozen=True)
class _Problem:
    problem: Problem
    settings: Settings


def _tables(folder: Path, part: Part, problems: list[_Problem]) -> list[tuple[Path, Part]]:
    """A table for each problem, and where workers read it; those of the same samples share their features."""
    found: list[tuple[Path, Part]] = []
    for i, q in enumerate(problems):
        where, table = folder / f"{part.name}-{i}", part.of(q.problem)
        write(where, table, found[0][0] if found and q.problem.copies == problems[0].problem.copies else None)
        found.append((where, table))
    return found


def _combined(found: list[list[Candidate]], target: Target) -> list[Candidate]:
    """Rows of the label from those of its problems, which are the same in the same order."""
    copies, combine = target.problems[0].copies, target.task.combine
    return [
        replace(
            same[0],
            answers=[combine(answers) for answers in zip(*(c.answers for c in same), strict=True)],
            inner=[combine([a[::copies] for a in answers]) for answers in zip(*(c.inner for c in same), strict=True)],
            seconds=sum(c.seconds for c in same),
        )
        for same in zip(*found, strict=True)
    ]


def _explain(
    folder: str, best: Entry, settings: Settings, fold: int, wanted: list[Group], calibrate: str, inner: int
) -> Explain:
    return Explain(folder, *best.candidate.key, wanted, fold, settings, calibrate, inner)


def _kept(part: Part, tables: list[tuple[Path, Part]]) -> Part:
    """The same with the features that workers map, unless samples stand there several times."""
    blocks = tables[0][1].data.blocks
    same = all(len(b) == len(part.data.blocks[m]) for m, b in blocks.items())
    return replace(part, data=replace(part.data, blocks=blocks)) if same else part


def _folds(
    title: str, map: Map, work: Callable[[Any], Any], jobs: Sequence[Job | Explain], progress: Progress
) -> Iterator[Any]:
    """What ``work`` makes of each job, in order; what was prepared for a fold goes with its last."""
    places = [prepared.place(job.folder, job.fold) for job in jobs]
    with progress(title) as report:
        for i, output in enumerate(map(work, jobs), 1):
            yield output
            if places[i - 1] not in places[i:]:
                prepared.forget(places[i - 1])
            report(i, len(jobs))


# The result.


def _result(
    samples: pd.DataFrame,
    parts: list[Part],
    ranked: Mapping[str, list[Entry]],
    plan: Plan,
    target: Target,
    best: Entry | None,
    dummy: Candidate,
    wanted: list[importance.Group],
    shuffled: list[tuple[np.ndarray, np.ndarray]],
    remarks: list[str],
    distorted: DistortionCurves | None,
) -> Result:
    main, entries = parts[0], ranked["main"]
    scorer = main.scorer(samples, target)
    [without] = scorer.rank([dummy])
    chosen, entry = selection.selected(entries, scorer, without)
    who = samples["speaker"] if "speaker" in samples else pd.Series(dtype="str")
    about: About = {
        "label": plan.labelled,
        "task": target.task.kind,
        "target": {
            "task": target.task.name,
            "why": target.why,
            "labels": list(plan.labels),
            **target.task.facts(target),
        },
        "metric": scorer.metric,
        "prior": plan.prior,
        "protocol": plan.protocol,
        "group_by": plan.group_by,
        "copies_together": plan.copies_together,
        "folds": 1 if plan.protocol == "official" else len(main.folds) // main.repeats,
        "repeats": main.repeats,
        "seed": plan.seed,
        "normalise": plan.normalise,
        "transductive": plan.normalise != "none",
        "n_samples": len(samples),
        "n_tested": len(np.unique(scorer.at)),
        "n_speakers": int(who.nunique()),
        "classes": list(target.classes),
        "interval": intervals.METHOD,
        "inflation": scorer.inflation,
        "units": scorer.units,
        "reason": scorer.reason(scorer.metric),
        "selected": chosen,
        "by": [subgroups.by(name, scorer, entry) for name in plan.by] if entry else [],
        **_sureness(scorer, entry, plan.by),
        "chance": float(without.draws[0]),
        "best_of": scorer.best_of(entries),
        "leakage": leakage.audit(samples, main.folds, {m: b[:] for m, b in main.data.blocks.items()}),
        "ablation": scorer.ablation(entries),
        "fusion_gain": scorer.fusion_gain(entries),
        "importance": scorer.importance(best, wanted, shuffled) if wanted and best else None,
        "contrast": _contrast(parts, ranked, scorer),
        "missing": _missing(parts, ranked, scorer.metric),
        "learning": _learning(parts, ranked, scorer, samples, target, without),
        **(scorer.details(best) if best else _NOTHING),
        "remarks": remarks,
        "distort": distorted,
    }
    return Result([e.row.to_json() for e in entries], scorer.predictions(entries), about)


def _sureness(scorer: Scorer, entry: Entry | None, attributes: tuple[str, ...]) -> Sureness:
    """How far the probabilities of the selected can be trusted."""
    if entry is None:
        return {"abstention": [], "conformal": [], "reliability": []}
    return {
        "abstention": [cast("AbstentionPoint", asdict(p)) for p in abstention.points(scorer, entry)],
        "conformal": [cast("ConformalLevel", asdict(v)) for v in conformal.levels(scorer, entry, attributes)],
        "reliability": [cast("ReliabilityBin", asdict(b)) for b in reliability.bins(scorer, entry)],
    }


_NOTHING: Details = {"confusion": None, "per_class": [], "per_output": [], "per_speaker": []}

_CONTRASTS = {
    "grouped": ("random", "grouped by speaker", "the gap is leakage: folds at random know the tested speakers"),
    "corpus": ("as they are", "relative to their corpus", "features relative to their corpus are transductive"),
}


def _contrast(parts: list[Part], ranked: Mapping[str, list[Entry]], scorer: Scorer) -> Contrast | None:
    """The main table beside the one that it must be seen with."""
    name = next((p.name for p in parts if p.name in _CONTRASTS), None)
    if name is None:
        return None
    of, against, note = _CONTRASTS[name]
    rows = scores.contrast(ranked["main"], ranked[name], scorer)
    return {"of": of, "against": against, "note": note, "metric": scorer.metric, "rows": rows}


def _missing(parts: list[Part], ranked: Mapping[str, list[Entry]], metric: str) -> Curves | None:
    """Scores by share of missing modality: one curve for each fusion of all modalities and for each modality."""
    hidden = [p for p in parts if p.name.startswith("missing-")]
    if not hidden:
        return None
    found = [{e.candidate.key: e.row.scores[metric] for e in ranked[p.name]} for p in (parts[0], *hidden)]
    shares = missing.shares(len(parts[0].names))
    curves: list[Curve] = [
        {
            "fusion": fusion,
            "modalities": list(names),
            "model": model,
            "points": [{"share": s, **f[fusion, names, model]} for s, f in zip(shares, found, strict=True)],
        }
        for fusion, names, model in found[1]
    ]
    return {"metric": metric, "model": hidden[0].plan.models[0], "shares": shares, "curves": curves}


def _learning(
    parts: list[Part],
    ranked: Mapping[str, list[Entry]],
    scorer: Scorer,
    samples: pd.DataFrame,
    target: Target,
    dummy: Entry,
) -> Curves | None:
    """Scores by share of the training part's speakers, of each modality, of each fusion of all, and of the selected."""
    reduced = [p for p in parts if p.name.startswith("size-")]
    if not reduced:
        return None
    keys = {e.candidate.key for e in ranked[reduced[0].name]}
    entries, folds = {}, {}
    for part in (*reduced, parts[0]):
        share = float(part.name.removeprefix("size-")) if part is not parts[0] else 1.0
        rows = [e for e in ranked[part.name] if e.candidate.key in keys]
        _, chosen = selection.selected(rows, part.scorer(samples, target), dummy)
        entries[share], folds[share] = ([chosen, *rows] if chosen else rows), part.folds
    return {
        "metric": scorer.metric,
        "model": reduced[0].plan.models[0],
        "unit": scorer.unit,
        "shares": list(entries),
        "curves": [cast("Curve", asdict(c)) for c in learning.curves(entries, folds, scorer)],
    }
