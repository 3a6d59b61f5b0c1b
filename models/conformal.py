"""Sets of classes that hold the truth as often as they say, for people who were never heard before.

Split conformal prediction (Papadopoulos et al. 2002; Vovk et al. 2005) by the probability of the truth in out-of-fold
answers of inner folds. Samples of one speaker are no independent draws: each speaker counts once, and one more is
allowed for of whom nothing is known (hierarchical conformal prediction, Lee et al. 2023).
"""

from dataclasses import dataclass

import numpy as np

from affectlake.models import intervals, metrics
from affectlake.models.abstention import single_classes
from affectlake.models.document import Score
from affectlake.models.scores import Entry, Scorer
from affectlake.models.subgroups import grouped

LEVELS = (0.8, 0.9, 0.95)
"""How often sets are to hold the truth."""


@dataclass(frozen=True)
class Group:
    """Coverage in a group of samples.

    Attributes
    ----------
    attribute, group : str
        ``class`` is the truth itself.
    n : int
    coverage : Score
        Share of sets that hold the truth.
    size : float
        Classes of a set on average.
    """

    attribute: str
    group: str
    n: int
    coverage: Score
    size: float


@dataclass(frozen=True)
class Level:
    """Sets of one level.

    Attributes
    ----------
    level : float, 0 to 1
        How often they are to hold the truth.
    coverage : Score
        How often they do.
    size : float
        Classes of a set on average.
    single : float, 0 to 1
        Share of sets of one class.
    reason : str or None
        Why some sets have to hold all classes.
    groups : list of Group
        Of each class and of each group of the attributes asked for.
    """

    level: float
    coverage: Score
    size: float
    single: float
    reason: str | None
    groups: list[Group]


def levels(scorer: Scorer, entry: Entry, attributes: tuple[str, ...] = ()) -> list[Level]:
    """Sets of a row at each of `LEVELS`, and how often they hold the truth; none where no sample has one class.

    ``attributes``: columns of the samples by whose groups coverage is measured.
    """
    if not single_classes(scorer.target):
        return []
    return [_level(level, scorer, entry, attributes) for level in LEVELS]


def least(truth: np.ndarray, p: np.ndarray, groups: np.ndarray, level: float) -> float:
    """Probability from which a class belongs to the set.

    Parameters
    ----------
    truth : int array, shape=(n,)
    p : float array, shape=(n, classes)
        Answers about samples that their model was not trained on.
    groups : array, shape=(n,)
        Speakers, each of whom counts once however many samples there are.
    level : float, 0 to 1
        How often a set is to hold the truth about a sample of a new speaker, on average over speakers.

    Returns
    -------
    float
        0, so that a set has all classes, where there are fewer than ``level / (1 - level)`` speakers.

    Examples
    --------
    >>> own = np.linspace(0.1, 0.9, 9)
    >>> p = np.column_stack([own, 1 - own])
    >>> truth = np.zeros(9, dtype=int)
    >>> round(least(truth, p, np.arange(9), 0.8), 2), least(truth, p, np.zeros(9), 0.8)
    (0.2, 0.0)
    """
    _, who = np.unique(groups, return_inverse=True)
    sizes = np.bincount(who)
    own = p[np.arange(len(p)), truth]
    order = np.argsort(-own, kind="stable")
    held = np.cumsum(1 / ((len(sizes) + 1) * sizes[who[order]]))
    at = int(np.searchsorted(held, level - 1e-9))
    return float(own[order][at]) if at < len(own) else 0.0


def speakers_for(level: float) -> int:
    """How many speakers sets take that are not those of all classes.

    Examples
    --------
    >>> [speakers_for(level) for level in LEVELS]
    [4, 9, 19]
    """
    return int(np.ceil(level / (1 - level) - 1e-9))


def sets(p: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Which classes belong to each sample's set [shape=(n, classes)], the most probable one in any case.

    ``p`` [shape=(n, classes)]; ``least`` [shape=(n,)].
    """
    found: np.ndarray = p >= least[:, None]
    found[np.arange(len(p)), p.argmax(axis=1)] = True
    return found


def _level(level: float, scorer: Scorer, entry: Entry, attributes: tuple[str, ...]) -> Level:
    y, folds = scorer.target.y, scorer.folds
    bounds = [
        least(y[f.train], p, scorer.everyone[f.train], level) for f, p in zip(folds, entry.candidate.inner, strict=True)
    ]
    inside = sets(entry.answers, np.repeat(bounds, [len(f.test) for f in folds]))
    held, size = inside[np.arange(len(inside)), scorer.truth], inside.sum(axis=1)
    named = {"class": np.array(scorer.classes, dtype=object)[scorer.truth]}
    named |= {a: grouped(scorer.samples[a]).to_numpy()[scorer.at] for a in attributes}
    groups = [
        Group(
            attribute,
            str(g),
            int((names == g).sum()),
            _coverage(scorer, held, names == g),
            float(size[names == g].mean()),
        )
        for attribute, names in named.items()
        for g in sorted({n for n in names if isinstance(n, str)})
    ]
    everyone = np.ones(len(held), dtype=bool)
    fewest, needed = min(len(np.unique(scorer.everyone[f.train])) for f in folds), speakers_for(level)
    reason = f"{fewest} speakers in a training part: sets of {level:.0%} take {needed}" if fewest < needed else None
    return Level(
        level, _coverage(scorer, held, everyone), float(size.mean()), float((size == 1).mean()), reason, groups
    )


def _coverage(scorer: Scorer, held: np.ndarray, mask: np.ndarray) -> Score:
    """Share of the sets of some samples that hold the truth, with its interval over their speakers."""
    draws = metrics.Draws.of(scorer.groups[mask], seed=scorer.seed)
    sums = draws.sums(np.column_stack([held[mask], np.ones(mask.sum())]).astype(np.float64))
    return intervals.interval(sums[:, 0] / sums[:, 1], "accuracy", inflation=scorer.inflation)
