"""Every row of the table with its answers, from what the jobs computed."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectlake.models import training, zoo
from affectlake.models.jobs import subsets
from affectlake.models.member import Settings
from affectlake.models.parts import Part
from affectlake.models.scores import Candidate
from affectlake.models.training import HEADS, Data

Outputs = Mapping[tuple[str, tuple[str, ...], str, int], Mapping[str, Any]]
"""What `affectlake.models.jobs.work` gave, by kind, modalities, model and fold."""


def candidates_of(outputs: Outputs, part: Part, settings: Settings) -> list[Candidate]:
    """Rows of a table, unscored, from what its jobs gave."""
    plan, names = part.plan, part.names
    every = range(len(part.folds))

    def of(kind: str, fusion: str, s: tuple[str, ...], model: str) -> Candidate:
        found = [outputs[kind, s, model, f] for f in every]
        return Candidate(
            fusion,
            s,
            zoo.called(model, settings.task) if model else None,
            [o["test"] for o in found],
            sum(o["seconds"] for o in found),
            [o["oof"] for o in found],
        )

    found = []
    for model in plan.models:
        if "unimodal" in plan.fusions:
            found += [of("unimodal", "unimodal", (m,), model) for m in names]
        if "early" in plan.fusions:
            found += [of("early", "early", s, model) for s in subsets(plan, names)]
        for fusion in plan.fusions:
            method = fusion.removeprefix("late-")
            if fusion == method or (method == "product" and settings.task == "regression"):
                continue
            for s in subsets(plan, names):
                found.append(_late(outputs, part, fusion, s, model, settings))
    for fusion in HEADS:
        if fusion in plan.fusions:
            found += [of(fusion, fusion, s, "") for s in [*((m,) for m in names), *subsets(plan, names)]]
    if "dummy" in plan.fusions:
        found.append(dummy_of(part, settings))
    return found


def dummy_of(part: Part, settings: Settings) -> Candidate:
    """What knows the frequencies of the classes, or the mean, and nothing else."""
    answers = [np.tile(training.prior(part.data.y[f.train], settings), (len(f.test), 1)) for f in part.folds]
    return Candidate("dummy", (), None, answers, 0.0, [])


def _late(
    outputs: Outputs, part: Part, fusion: str, names: tuple[str, ...], model: str, settings: Settings
) -> Candidate:
    start, answers, inner, spent = time.perf_counter(), [], [], 0.0
    method = fusion.removeprefix("late-")
    data, folds = part.data, part.folds
    has = {m: data.present(m) for m in names}
    for f, fold in enumerate(folds):
        parts = {m: outputs["unimodal", (m,), model, f] for m in names}
        spent += sum(p["seconds"] for p in parts.values())
        oof = {m: p["oof"] for m, p in parts.items()}
        there = {m: t[fold.train] for m, t in has.items()}
        informed = {m: p["known"] for m, p in parts.items()}
        train = Data({}, data.y[fold.train], data.groups[fold.train])
        rest = (train, part.settings(settings, f), part.plan.inner)
        fitted = training.fit_late(method, names, oof, there, informed, *rest)
        test = {m: t[fold.test] for m, t in has.items()}
        answers.append(fitted.predict({m: p["test"] for m, p in parts.items()}, test))
        inner.append(np.asarray(fitted.oof))
    spent += time.perf_counter() - start
    return Candidate(fusion, names, zoo.called(model, settings.task), answers, spent, inner)
