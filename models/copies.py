"""Copies of a medium in another encoding, rate, size or tempo, by fingerprints that such changes leave alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from affectlake.models import near

LEAST = {"audio": 0.985, "image": 0.85}
"""Cosine from which two fingerprints are of one recording or picture: docs/measured/copies.md."""

MOST = 200_000
"""Samples among which copies are looked for."""

_EDGES = 1_000_000  # pairs that are remembered before they are joined


@dataclass(frozen=True)
class LeftOut:
    """What `without` left out.

    Attributes
    ----------
    dropped : int
        Samples.
    groups : list of list of str
        Ids of copies of one another: the first of each is kept.
    labels_differ : int
        Groups whose samples have different labels.
    """

    dropped: int
    groups: list[list[str]]
    labels_differ: int


def groups(prints: np.ndarray, least: float) -> np.ndarray:
    """Which fingerprints are of one thing, directly or through others.

    Parameters
    ----------
    prints : float array, shape=(n, columns)
        Of any length; rows of NaN are of samples that have none.
    least : float
        Cosine from which two are alike.

    Returns
    -------
    int array, shape=(n,)
        Position of the group's first member; -1 for what is like no other.

    Examples
    --------
    >>> groups(np.array([[1, 0], [0, 1], [2, 0.01]]), 0.9).tolist()
    [0, -1, 0]
    """
    rows = np.flatnonzero(~np.isnan(prints).any(axis=1))
    out = np.full(len(prints), -1)
    if len(rows) < 2:
        return out
    x = prints[rows].astype(np.float32)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    # Equal ones once: of a file that is there ten thousand times not all pairs are written down.
    codes, _ = pd.factorize(pd.Series([row.tobytes() for row in x]))
    _, first = np.unique(codes, return_index=True)
    label = np.arange(len(first))
    distinct = x[first]
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    # Unit vectors of a cosine are as far apart as it says.
    for some, others in near.blocks(distinct, float(np.sqrt(max(2 - 2 * least, 0.0)))):
        alike = distinct[some] @ distinct[others].T >= least
        if not alike.any():  # much faster told than where
            continue
        a, b = np.nonzero(alike)
        apart = some[a] != others[b]
        if apart.any():
            waiting.append((some[a[apart]], others[b[apart]]))
        if sum(len(found) for found, _ in waiting) > _EDGES:
            label, waiting = _joined(label, waiting), []
    group = _joined(label, waiting)[codes]
    sizes = np.bincount(group, minlength=len(label))
    _, begins = np.unique(group, return_index=True)
    firsts = np.full(len(label), -1)
    firsts[group[begins]] = rows[begins]
    out[rows] = np.where(sizes[group] > 1, firsts[group], -1)
    return out


def _joined(label: np.ndarray, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Labels [shape=(n,)], those of pairs made one: the position of the first of all that are joined."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(label)
    a, b = (np.concatenate([p[side] for p in pairs] + [own]) for side, own in ((0, np.arange(n)), (1, label)))
    _, joined = connected_components(coo_array((np.ones(len(a), bool), (a, b)), shape=(n, n)), directed=False)
    return np.asarray(np.unique(joined, return_index=True)[1][joined])


def found(samples: pd.DataFrame) -> pd.DataFrame:
    """Samples whose fingerprints (columns ``print.<medium>``, arrays or None) have become groups of copies.

    Columns ``copies.<medium>`` hold the id of the group's first sample, the sample's own where it is like no other, and
    nothing where it has no fingerprint or there are more samples than `MOST`.
    """
    prints = [str(c) for c in samples if str(c).startswith("print.")]
    out = samples.drop(columns=prints)
    for column in prints:
        medium = column.removeprefix("print.")
        known = samples[column].notna().to_numpy()
        names = pd.Series(None, index=samples.index, dtype="object")
        if 0 < known.sum() <= MOST:
            ids = samples.index[known]
            at = groups(np.stack(samples.loc[known, column].to_list()), LEAST[medium])
            names[known] = np.where(at < 0, ids, ids[at])
        out[f"copies.{medium}"] = names
    return out


def without(samples: pd.DataFrame, labels: Sequence[str]) -> tuple[pd.DataFrame, LeftOut]:
    """The first of every group of samples that share a medium, byte for byte or as a copy; and what was left out.

    Parameters
    ----------
    samples : DataFrame [index=sample_id]
        Columns ``content.<medium>`` and ``copies.<medium>``, as the leakage audit reads them.
    labels : sequence of str
        Columns of the labels.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    position = np.arange(len(samples))
    a, b = [position], [position]
    for column in [c for c in samples if str(c).startswith(("content.", "copies."))]:
        codes, _ = pd.factorize(samples[column])
        known = np.flatnonzero(codes >= 0)
        _, first, back = np.unique(codes[known], return_index=True, return_inverse=True)
        a.append(known)
        b.append(known[first][back])
    edges = coo_array((np.ones(sum(map(len, a)), bool), (np.concatenate(a), np.concatenate(b))), (len(samples),) * 2)
    _, group = connected_components(edges, directed=False)
    _, first = np.unique(group, return_index=True)
    several = np.bincount(group)[group] > 1
    together = samples[several].groupby(group[several], sort=False)
    listed = [[str(i) for i in ids] for ids in together.groups.values()]
    differ = int((together[list(labels)].nunique() > 1).any(axis=1).sum()) if listed else 0
    return samples.iloc[np.sort(first)], LeftOut(len(samples) - len(first), listed, differ)
