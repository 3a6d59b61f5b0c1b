"""Permutation importance on held-out folds: what the score loses when a column, or a whole modality, is shuffled."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from affectlake.models import training
from affectlake.models.early import Exchanged, Matrix, View, steps
from affectlake.models.member import Settings
from affectlake.models.splits import Fold
from affectlake.models.taken import Taken
from affectlake.models.telling import told
from affectlake.models.training import Data
from affectlake.models.zoo import Task

REPEATS = 3
"""Times that each group of columns is shuffled in each fold."""

COLUMNS = 40
"""Single columns that are shuffled: those that tell most, one by one, in the training parts."""

_BYTES = 32 * 2**20  # of copies of the tested features at a time


@dataclass(frozen=True)
class Group:
    """Columns that are shuffled together.

    Attributes
    ----------
    kind : "modalities" | "extractors" | "columns"
    name, modality : str
    columns : tuple of int
        Positions in the modality's block.
    """

    kind: str
    name: str
    modality: str
    columns: tuple[int, ...]


def groups(columns: Mapping[str, Sequence[str]], data: Data, folds: list[Fold], task: Task) -> list[Group]:
    """What to shuffle: every modality, every extractor, and the most telling columns.

    Parameters
    ----------
    columns : mapping of modality to sequence of str
        Full names, of the modalities that the model reads.
    data : Data
    folds : list of Fold
        Columns are chosen by their F statistic in the training parts, averaged as ranks.
    task : "classification" | "regression"
    """
    found = [Group("modalities", m, m, tuple(range(len(cs)))) for m, cs in columns.items()]
    telling: list[tuple[float, str, int]] = []
    for m, cs in columns.items():
        by_extractor: dict[str, list[int]] = {}
        for i, c in enumerate(cs):
            by_extractor.setdefault(".".join(c.split(".")[:2]), []).append(i)
        found += [Group("extractors", e, m, tuple(at)) for e, at in by_extractor.items()]
        mean = np.mean([_told(Taken.of(data.blocks[m], f.train), data.y[f.train], task) for f in folds], axis=0)
        telling += [(-float(t), m, i) for i, t in enumerate(mean)]
    for _, m, i in sorted(telling)[:COLUMNS]:
        found.append(Group("columns", columns[m][i], m, (i,)))
    return found


def _told(x: Matrix, y: np.ndarray, task: Task) -> np.ndarray:
    """F statistics of the columns [shape=(columns,)], gaps at the mean; 0 for a column that never varies."""
    found = []
    for some in steps(x.shape[1], len(x)):
        part = x[:, some]
        known = ~np.isnan(part)
        mean = np.where(known, part, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        filled = np.where(known, part, mean)
        found.append(np.where(np.ptp(filled, axis=0) > 1e-9, np.maximum(told(filled, y, task), 0), 0))
    return np.concatenate(found)


def shuffled(
    train: Data,
    test: Mapping[str, View],
    row: tuple[str, tuple[str, ...], str | None],
    wanted: list[Group],
    settings: Settings,
    calibrate: str,
    inner: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Answers about the tested part as it is [shape=(n, classes)] and shuffled [shape=(groups, repeats, n, classes)].

    ``test``: the tested part of the row's modalities.
    ``row``: fusion, modalities and model. Values are exchanged among the tested samples that have the modality.
    """
    fusion, names, model = row
    predict = _fitted(train, fusion, names, model, settings, calibrate, inner)
    base = predict(test, None)
    out = np.empty((len(wanted), REPEATS, *base.shape), dtype=np.float32)
    n = len(base)
    rng = np.random.default_rng([settings.seed, n])
    as_it_is = (np.empty(0, dtype=int), np.arange(n))
    # Many copies in one go: a call costs a forest as much as its answers do.
    step = max(1, _BYTES // max(1, sum(v.columns.nbytes for v in test.values())))
    for m in names:
        todo = [(g, r) for g, group in enumerate(wanted) if group.modality == m for r in range(REPEATS)]
        for at in range(0, len(todo), step):
            some = todo[at : at + step]
            changes = [(np.array(wanted[g].columns, dtype=int), _exchanged(rng, test[m].there)) for g, _ in some]
            copies = {k: Exchanged(v, changes if k == m else [as_it_is] * len(some)) for k, v in test.items()}
            said = predict(copies, m).reshape(len(some), *base.shape)
            for (g, r), answers in zip(some, said, strict=True):
                out[g, r] = answers
    return base, out


def _exchanged(rng: np.random.Generator, there: np.ndarray) -> np.ndarray:
    """From which row each row takes values: those that have the modality from one another."""
    rows, known = np.arange(len(there)), np.flatnonzero(there)
    rows[known] = rng.permutation(known)
    return rows


def _fitted(
    train: Data,
    fusion: str,
    names: tuple[str, ...],
    model: str | None,
    settings: Settings,
    calibrate: str,
    inner: int,
) -> Callable[[Mapping[str, View], str | None], np.ndarray]:
    """The row's model as a function of (views, which of them was changed)."""
    if fusion == "early":
        early = training.fit_early(train, names, model or "", settings, calibrate, inner)
        return lambda blocks, changed: early.predict(blocks)
    if not (fusion == "unimodal" or fusion.startswith("late-")):
        head = training.fit_head(train, names, training.HEADS[fusion], settings, inner)
        return lambda blocks, changed: head.predict(blocks)
    single = {m: training.fit_unimodal(train, m, model or "", settings, calibrate, inner) for m in names}
    if fusion == "unimodal":
        return lambda blocks, changed: single[names[0]].predict(blocks[names[0]])
    late = training.fit_late(
        fusion.removeprefix("late-"),
        names,
        {m: u.oof for m, u in single.items()},
        {m: train.present(m) for m in names},
        {m: u.known for m, u in single.items()},
        train,
        settings,
        inner,
    )
    said: dict[str, np.ndarray] = {}

    def predict(blocks: Mapping[str, View], changed: str | None) -> np.ndarray:
        if changed is None:
            said.update({m: u.predict(blocks[m]) for m, u in single.items()})
            return late.predict(said, {m: blocks[m].there for m in names})
        # Only the modality that was shuffled is asked again.
        new = single[changed].predict(blocks[changed])
        copies = len(new) // len(said[changed])
        answers = {m: new if m == changed else np.tile(p, (copies, 1)) for m, p in said.items()}
        return late.predict(answers, {m: blocks[m].there for m in names})

    return predict
