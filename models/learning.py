"""Learning curves: the same folds with fewer speakers to learn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from affectlake.data.errors import UsageError
from affectlake.models.splits import Fold

if TYPE_CHECKING:
    from affectlake.models.scores import Entry, Scorer


@dataclass(frozen=True)
class Point:
    """A score at one size.

    Attributes
    ----------
    share : float, 0 to 1
        Of the speakers of each training part.
    speakers, samples : float
        That were learned from, on average over the folds.
    value : float
    low, high : float or None
    """

    share: float
    speakers: float
    samples: float
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Curve:
    """A row at every size; ``selected`` is what inner folds choose among the curves' rows.

    Attributes
    ----------
    fusion, model : str, str or None
    modalities : list of str
    points : list of Point
    """

    fusion: str
    modalities: list[str]
    model: str | None
    points: list[Point]


def sizes_of(text: str) -> tuple[float, ...]:
    """What ``--sizes`` means: shares of the training part, in order, the whole being the last.

    Raises
    ------
    UsageError
        Something is no number above 0 and up to 1.

    Examples
    --------
    >>> sizes_of("0.3,0.1")
    (0.1, 0.3, 1.0)
    """
    if not text:
        return ()
    try:
        found = {float(v) for v in text.split(",")}
    except ValueError:
        found = {-1.0}
    if not all(0 < v <= 1 for v in found):
        raise UsageError(f"sizes {text!r}: expected numbers above 0 and up to 1 with commas between them, as 0.1,0.3,1")
    return tuple(sorted(found | {1.0}))


def smaller(folds: Sequence[Fold], groups: np.ndarray, share: float, seed: int) -> list[Fold]:
    """Folds of which a share of the training part's speakers is left; a larger share has all of a smaller one's.

    Raises
    ------
    UsageError
        Fewer than two would be left.
    """
    found = []
    for i, fold in enumerate(folds):
        names = np.unique(groups[fold.train])
        n = round(share * len(names))
        if n < 2:
            raise UsageError(
                f"sizes: {share:g} of the {len(names)} speakers in the training part of fold {i + 1} leaves {n}, "
                f"expected two or more: {2 / len(names):.2g} at least"
            )
        kept = np.random.default_rng([seed, i]).permutation(names)[:n]
        found.append(Fold(fold.train[np.isin(groups[fold.train], kept)], fold.test))
    return found


def curves(
    ranked: Mapping[float, Sequence["Entry"]], folds: Mapping[float, Sequence[Fold]], scorer: "Scorer"
) -> list[Curve]:
    """A curve for every row that is there at every size.

    Parameters
    ----------
    ranked : mapping of share to sequence of Entry
    folds : mapping of share to sequence of Fold
    scorer : Scorer
        Of the whole training parts: what training sets share is most there, so that its intervals hold for fewer.
    """
    found = {share: {e.candidate.key: e for e in entries} for share, entries in ranked.items()}
    smallest = next(iter(found))
    return [
        Curve(
            fusion,
            list(names),
            model,
            [
                _point(share, folds[share], scorer, entries[fusion, names, model].draws)
                for share, entries in found.items()
            ],
        )
        for fusion, names, model in found[smallest]
        if all((fusion, names, model) in entries for entries in found.values())
    ]


def _point(share: float, folds: Sequence[Fold], scorer: "Scorer", draws: np.ndarray) -> Point:
    speakers = float(np.mean([len(np.unique(scorer.everyone[f.train])) for f in folds]))
    at_size = scorer.interval(draws, scorer.metric)
    samples = float(np.mean([len(f.train) for f in folds]))
    return Point(share, speakers, samples, at_size["value"], at_size["low"], at_size["high"])
