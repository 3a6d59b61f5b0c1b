"""The tables of a benchmark: the main one and those that it is compared with, each with its features and folds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from affectlake.data.errors import UsageError
from affectlake.models import learning, missing, normalise, splits, transfer
from affectlake.models.member import Settings
from affectlake.models.plan import Plan
from affectlake.models.scores import Scorer
from affectlake.models.splits import Fold
from affectlake.models.tasks import Problem, Target, metric_of
from affectlake.models.training import Data


@dataclass(frozen=True)
class Part:
    """A table of its own: the main one, or one to compare it with.

    Attributes
    ----------
    rows : int array, shape=(n,), or None
        Which sample each row is of; None where each has one, in order.
    """

    name: str
    data: Data
    folds: list[Fold]
    plan: Plan
    rows: np.ndarray | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.data.blocks)

    @property
    def repeats(self) -> int:
        return self.plan.repeats if self.plan.protocol in splits.REPEATED else 1

    def settings(self, settings: Settings, fold: int) -> Settings:
        """Those of a fold: each repetition has a seed of its own."""
        return replace(settings, seed=settings.seed + fold // (len(self.folds) // self.repeats))

    def of(self, problem: Problem) -> "Part":
        """What is trained for one of the label's problems: samples stand there as often as it wants them."""
        y = problem.y
        if self.rows is not None:
            y = y.reshape(-1, problem.copies)[self.rows].ravel()
        if problem.copies == 1:
            return replace(self, data=Data(self.data.blocks, y, self.data.groups))
        each = np.arange(problem.copies)
        rows = np.repeat(np.arange(len(self.data.groups)), problem.copies)
        blocks = {m: b[rows] for m, b in self.data.blocks.items()}
        folds = [Fold((f.train[:, None] * problem.copies + each).ravel(), f.test * problem.copies) for f in self.folds]
        return replace(self, data=Data(blocks, y, self.data.groups[rows]), folds=folds)

    def scorer(self, samples: pd.DataFrame, target: Target) -> Scorer:
        unit = splits.unit(samples, self.plan.group_by, self.plan.copies_together)
        rest = (metric_of(target, self.plan.metric), self.plan.draws, self.plan.seed, self.plan.prior, unit)
        return Scorer(samples, target, self.data.groups, self.folds, self.repeats, *rest)


def parts_of(samples: pd.DataFrame, blocks: Mapping[str, pd.DataFrame], target: Target, plan: Plan) -> list[Part]:
    """The main table, and those that the plan wants beside it."""
    raw = aligned(samples, blocks)
    whose = splits.groups(samples, plan.group_by, plan.copies_together)
    who = (splits.alike(samples, whose) if plan.protocol == "kfold" else whose).to_numpy()

    def part(name: str, plan: Plan, folds: list[Fold], blocks: Mapping[str, np.ndarray]) -> Part:
        relative = normalise.groups(samples, plan.normalise)
        ready = {m: normalise.normalised(b, relative) for m, b in blocks.items()}
        return Part(name, Data(ready, target.y, who), folds, plan)

    folds = _folds(samples, target, plan)
    parts = [part("main", plan, folds, raw)]
    if plan.protocol == "random" and splits.has_speakers(samples) and len(np.unique(who)) > 1:
        fair = replace(plan, protocol="grouped", folds=min(plan.folds, len(np.unique(who))))
        parts.append(part("grouped", fair, _folds(samples, target, fair), raw))
    elif plan.protocol == "cross-corpus" and plan.normalise == "none":
        parts.append(part("corpus", replace(plan, normalise="corpus"), folds, raw))
    for share in learning.sizes_of(plan.sizes)[:-1]:
        fewer = learning.smaller(folds, who, share, plan.seed)
        _check_folds(fewer, target)
        parts.append(part(f"size-{share:g}", reduced(plan), fewer, raw))
    if plan.missing:
        for i, share in enumerate(missing.shares(len(raw))[1:], 1):
            parts.append(part(f"missing-{i}", reduced(plan), folds, missing.hidden(raw, share, plan.seed)))
    return parts


def reduced(plan: Plan) -> Plan:
    """What is drawn as a curve: the first model, alone and fused with all modalities."""
    less = tuple(f for f in plan.fusions if f != "dummy")
    return replace(plan, subsets="full", models=plan.models[:1], fusions=less)


def _folds(samples: pd.DataFrame, target: Target, plan: Plan) -> list[Fold]:
    if plan.protocol == "cross-corpus":
        folds = [transfer.fold(samples, str(plan.test_on))]
    else:
        drawn = (plan.protocol, plan.folds, plan.repeats, plan.seed)
        folds = splits.folds(samples, target.strata, *drawn, plan.group_by, plan.copies_together)
    _check_folds(folds, target)
    return folds


def _check_folds(folds: list[Fold], target: Target) -> None:
    for i, fold in enumerate(folds, 1):
        for j, problem in enumerate(target.problems):
            known = np.unique(problem.y.reshape(-1, problem.copies)[fold.train])
            if problem.kind == "classification" and len(known) < 2:
                one = target.classes[known[0]] if problem.classes == len(target.classes) else target.classes[j]
                raise UsageError(
                    f"the training part of fold {i} knows only the class {one!r}: classes and speakers coincide, no "
                    "protocol that keeps speakers apart can tell them from each other"
                    if target.y.ndim == 1
                    else f"in the training part of fold {i} {one!r} is there always or never: fewer --folds, or leave "
                    "it out"
                )


def aligned(samples: pd.DataFrame, blocks: Mapping[str, pd.DataFrame]) -> dict[str, np.ndarray]:
    """Blocks as float32 arrays in the samples' order, rows of NaN where a sample lacks the modality."""
    return {m: b.reindex(samples.index).to_numpy(dtype=np.float32) for m, b in sorted(blocks.items())}
