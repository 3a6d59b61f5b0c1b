"""Every row of the table with its answers, from what the jobs computed."""

import time

import numpy as np

from affectlake.models import training, zoo
from affectlake.models.jobs import subsets
from affectlake.models.member import Settings
from affectlake.models.parts import Part
from affectlake.models.scores import Candidate
from affectlake.models.training import HEADS


def candidates_of(outputs, part: Part, settings: Settings) -> list[Candidate]:
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
                found.append(_late(outputs, part, fusion, method, s, model, settings))
    for fusion in HEADS:
        if fusion in plan.fusions:
            found += [of(fusion, fusion, s, "") for s in [*((m,) for m in names), *subsets(plan, names)]]
    if "dummy" in plan.fusions:
        answers = [np.tile(training.prior(data.y[f.train], settings), (len(f.test), 1)) for f in folds]
        found.append(Candidate("dummy", (), None, answers, 0.0, []))
    return found


def _late(outputs, part: Part, fusion, method, names, model, settings: Settings) -> Candidate:
    start, answers, inner, spent = time.perf_counter(), [], [], 0.0
    data, folds = part.data, part.folds
    there = {m: data.present(m) for m in names}
    for f, fold in enumerate(folds):
        parts = {m: outputs["unimodal", (m,), model, f] for m in names}
        spent += sum(p["seconds"] for p in parts.values())
        oof = {m: p["oof"] for m, p in parts.items()}
        known = {m: t[fold.train] for m, t in there.items()}
        y, groups = data.y[fold.train], data.groups[fold.train]
        mine, base = part.settings(settings, f), training.prior(y, settings)
        fitted = training.fit_late(method, names, oof, known, y, base, settings.balanced)
        test = {m: t[fold.test] for m, t in there.items()}
        answers.append(fitted.predict({m: p["test"] for m, p in parts.items()}, test))
        inner.append(training.late_out_of_fold(fitted, oof, known, y, groups, mine, part.plan.inner))
    spent += time.perf_counter() - start
    return Candidate(fusion, names, zoo.called(model, settings.task), answers, spent, inner)
