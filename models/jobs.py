"""Jobs: independent pieces of work on the folds of a benchmark, done wherever its `map` sends them."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.models import importance, prepared, training, zoo
from affectlake.models.early import View
from affectlake.models.importance import Group
from affectlake.models.member import Settings
from affectlake.models.parts import Part
from affectlake.models.plan import Plan
from affectlake.models.splits import Fold
from affectlake.models.training import HEADS, Data

Row = tuple[str, tuple[str, ...]]
"""Kind and modalities."""


@dataclass(frozen=True)
class Job:
    """Rows of one model on one fold.

    Attributes
    ----------
    rows : tuple of Row
        Several of a model of trees: some may come out the same, see `affectlake.models.training.offered`.
    """

    folder: str
    rows: tuple[Row, ...]
    model: str
    fold: int
    settings: Settings
    calibrate: str
    inner: int


_COST = {"xgboost": 4, "random-forest": 3, "extra-trees": 2, "mlp": 3}
"""Seconds of a fit, roughly and relative to a linear model."""


def cost(job: Job) -> int:
    return _COST.get(job.model, 1) * sum(len(names) for _, names in job.rows)


def jobs_of(folder: str, part: Part, settings: Settings) -> list[Job]:
    plan, names = part.plan, part.names
    wanted: list[tuple[tuple[Row, ...], str]] = []
    for model in plan.models:
        rows: list[Row] = []
        if "early" in plan.fusions:
            rows += [("early", s) for s in reversed(subsets(plan, names))]
        if any(f == "unimodal" or f.startswith("late") for f in plan.fusions):
            rows += [("unimodal", (m,)) for m in names]
        wanted += [(tuple(rows), model)] if zoo.get(model).reads == "prepared" else [((r,), model) for r in rows]
    for fusion in HEADS:
        if fusion in plan.fusions:
            wanted += [(((fusion, s),), "") for s in [*((m,) for m in names), *subsets(plan, names)]]
    return [
        Job(folder, rows, model, f, part.settings(settings, f), plan.calibrate, plan.inner)
        for rows, model in wanted
        if rows
        for f in range(len(part.folds))
    ]


def subsets(plan: Plan, names: tuple[str, ...]) -> list[tuple[str, ...]]:
    if len(names) < 2:
        return []
    sizes = range(2, len(names) + 1) if plan.subsets == "all" else [len(names)]
    return [s for k in sizes for s in combinations(names, k)]


def write(folder: Path, part: Part, like: Path | None = None) -> Part:
    """Write what workers read; ``like``: a folder that has the same features and folds.

    Returns
    -------
    Part
        The same, whose features are mapped from there.
    """
    folder.mkdir()
    data = part.data
    for m, block in data.blocks.items():
        if like is None:
            np.save(folder / f"block-{m}.npy", block[:])
        else:
            (folder / f"block-{m}.npy").symlink_to(like / f"block-{m}.npy")
    if like is None:
        (folder / prepared.FOLDER).mkdir()
    else:
        (folder / prepared.FOLDER).symlink_to(like / prepared.FOLDER)
    np.save(folder / "y.npy", data.y)
    np.save(folder / "groups.npy", np.unique(data.groups, return_inverse=True)[1])
    for i, fold in enumerate(part.folds):
        np.savez(folder / f"fold-{i}.npz", train=fold.train, test=fold.test)
    (folder / "names.json").write_text(json.dumps(list(data.blocks)))
    return replace(part, data=replace(data, blocks=_blocks(folder)))


def _blocks(folder: Path) -> dict[str, np.ndarray]:
    """Mapped, not read: processes share the pages."""
    names = json.loads((folder / "names.json").read_text())
    return {m: np.load(folder / f"block-{m}.npy", mmap_mode="r") for m in names}


@lru_cache(maxsize=8)
def _read(folder: str) -> Data:
    root = Path(folder)
    return Data(_blocks(root), np.load(root / "y.npy"), np.load(root / "groups.npy"))


@lru_cache(maxsize=1)
def _halves(folder: str, number: int) -> tuple[Data, Callable[[str], View]]:
    """The training part of a fold, and its tested part by modality."""
    fold = np.load(Path(folder) / f"fold-{number}.npz")
    return prepared.halves(Path(folder), number, _read(folder), Fold(fold["train"], fold["test"]))


def work(job: Job) -> dict[Row, dict[str, Any]]:
    """Answers of each row about the tested part (``test``) and, out of fold, the training part (``oof``)."""
    train, view = _halves(job.folder, job.fold)
    found: dict[Row, dict[str, Any]] = {}
    same: dict[Any, Row] = {}
    for row in job.rows:
        kind, names = row
        tested = {m: view(m) for m in names}
        offered = None
        if len(job.rows) > 1 and all(v.there.all() for v in tested.values()):
            offered = training.offered(train, kind, names, job.model, job.settings, job.inner)
        twin = row if offered is None else same.setdefault(offered, row)
        found[row] = _answers(job, row, train, tested) if twin == row else found[twin]
    return found


def _answers(job: Job, row: Row, train: Data, tested: dict[str, View]) -> dict[str, Any]:
    start = time.perf_counter()
    kind, names = row
    if kind == "unimodal":
        alone = training.fit_unimodal(train, names[0], job.model, job.settings, job.calibrate, job.inner)
        out = {"test": alone.predict(tested[names[0]]), "oof": alone.oof, "known": alone.known}
    else:
        fused: training.Early | training.HeadFusion
        if kind == "early":
            fused = training.fit_early(train, names, job.model, job.settings, job.calibrate, job.inner)
        else:
            fused = training.fit_head(train, names, HEADS[kind], job.settings, job.inner)
        out = {"test": fused.predict(tested), "oof": np.asarray(fused.oof)}
    return out | {"seconds": time.perf_counter() - start}


@dataclass(frozen=True)
class Explain:
    folder: str
    fusion: str
    names: tuple[str, ...]
    model: str | None
    wanted: list[Group]
    fold: int
    settings: Settings
    calibrate: str
    inner: int


def explain(job: Explain) -> tuple[np.ndarray, np.ndarray]:
    train, view = _halves(job.folder, job.fold)
    row = (job.fusion, job.names, job.model)
    tested = {m: view(m) for m in job.names}
    return importance.shuffled(train, tested, row, job.wanted, job.settings, job.calibrate, job.inner)
