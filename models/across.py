"""Ways of fusing compared over several datasets: mean ranks and what difference of them counts (Demšar 2006)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from affectlake.data.errors import UsageError
from affectlake.models.intervals import holm

TELLING = 6
"""Datasets from which a signed-rank test can reach p < .05: with five it is .0625 even where all agree."""


@dataclass(frozen=True)
class Placed:
    """A row over all datasets.

    Attributes
    ----------
    name : str
    rank : float, 1 and more
        Mean of its ranks, the best being 1 and equals sharing theirs.
    ranks, scores : list of float
        In each dataset.
    as_good : bool
        Its mean rank is within the critical difference of the first one's.
    p : float or None
        Wilcoxon's signed-rank test of its scores against the first row's, by Holm's correction; None of fewer than
        `TELLING` datasets, and of the first itself.
    """

    name: str
    rank: float
    ranks: list[float]
    scores: list[float]
    as_good: bool
    p: float | None


@dataclass(frozen=True)
class Ranking:
    """Rows over datasets, the lowest mean rank first.

    Attributes
    ----------
    rows : list of Placed
    critical : float
        Difference of mean ranks that is unlikely (5 %) between any two of as many equal rows (Nemenyi 1963).
    friedman : float or None
        p that no row differs from any other; None of two rows.
    """

    rows: list[Placed]
    critical: float
    friedman: float | None


def ranking(names: Sequence[str], scores: np.ndarray, lower: Sequence[bool] = ()) -> Ranking:
    """Rank rows in every dataset, and average.

    Parameters
    ----------
    names : sequence of str
    scores : float array, shape=(rows, datasets)
        In each dataset by a metric of its own.
    lower : sequence of bool, optional
        Of which less is better.

    Raises
    ------
    UsageError
        Fewer than two rows or two datasets.

    Examples
    --------
    >>> found = ranking(["early", "late"], np.array([[0.7, 0.6, 0.8], [0.6, 0.5, 0.7]]))
    >>> [(r.name, r.rank) for r in found.rows], round(found.critical, 3)
    ([('early', 1.0), ('late', 2.0)], 1.132)
    """
    from scipy.stats import friedmanchisquare, rankdata

    k, n = scores.shape
    if k < 2 or n < 2:
        raise UsageError(f"{k} row(s) that {n} dataset(s) have in common: ranks take two of each at least")
    better = np.where(lower or np.zeros(n, dtype=bool), -scores, scores)
    ranks = rankdata(-better, axis=0)
    mean = ranks.mean(axis=1)
    order = np.lexsort((-better.mean(axis=1), mean))
    critical = critical_difference(k, n)
    p = _against_first(better[order])
    rows = [
        Placed(
            names[i],
            float(mean[i]),
            ranks[i].tolist(),
            scores[i].tolist(),
            bool(mean[i] - mean[order[0]] < critical),
            p[place],
        )
        for place, i in enumerate(order)
    ]
    varies = bool(np.ptp(ranks, axis=0).any())
    friedman = float(friedmanchisquare(*scores).pvalue) if k > 2 and varies else None
    return Ranking(rows, critical, friedman)


def critical_difference(rows: int, datasets: int) -> float:
    """Of mean ranks, by the studentised range (Nemenyi 1963).

    Examples
    --------
    >>> round(critical_difference(4, 14), 2)  # Demšar (2006), section 3.2.4
    1.25
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(0.95, rows, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(rows * (rows + 1) / (6 * datasets)))


def _against_first(scores: np.ndarray) -> list[float | None]:
    """Of each row [shape=(rows, datasets)], the first one's being None."""
    from scipy.stats import wilcoxon

    if scores.shape[1] < TELLING:
        return [None] * len(scores)
    differences = scores[0] - scores[1:]
    return [None, *holm([float(wilcoxon(d).pvalue) if d.any() else 1.0 for d in differences])]
