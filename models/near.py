"""Which rows may lie near each other: a few principal axes tell of most pairs that they do not, for certain.

A row is no nearer than along any orthonormal axes. Rows are put into boxes by halves along the widest of the leading
axes (a k-d tree: Friedman, Bentley & Finkel 1977), and each box meets only those rows that lie near enough to it there.
"""

from collections.abc import Iterator

import numpy as np

AXES = 16
"""Leading principal axes that are asked."""

BOX = 256
"""Rows that are compared with others at a time."""

OTHERS = 16_384
"""With how many."""

_ENOUGH = 4096  # rows from which the axes are learned
_ROUNDING = 1e-5  # of the longest row: what sums of 32 bits may be wrong by


def blocks(x: np.ndarray, radius: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows beside those that may lie within a distance of them.

    Parameters
    ----------
    x : float32 array, shape=(n, d)
    radius : float

    Yields
    ------
    rows : int array, shape=(at most `BOX`,)
    others : int array, shape=(at most `OTHERS`,)
        ``rows`` itself first, then others that were not beside these before: each pair within the distance comes once.

    Examples
    --------
    >>> x = np.repeat(np.eye(4, dtype=np.float32), 256, axis=0)
    >>> [(len(rows), len(others)) for rows, others in blocks(x, 0.1)]
    [(256, 256), (256, 256), (256, 256), (256, 256)]
    """
    head = _head(x)
    reach = (radius + _ROUNDING * float(np.sqrt(np.einsum("ij,ij->i", x, x).max(initial=0.0)))) ** 2
    order = _boxes(head, np.arange(len(x)))
    whole = np.concatenate([np.empty(0, dtype=np.int64), *order])
    ordered, end = head[whole], 0
    for rows in order:
        begin, end = end, end + len(rows)
        low, high = ordered[begin:end].min(axis=0), ordered[begin:end].max(axis=0)
        rest = ordered[end:]
        beyond = np.maximum(rest - high, 0) + np.maximum(low - rest, 0)
        close = whole[end:][np.einsum("ij,ij->i", beyond, beyond) <= reach]
        yield rows, rows
        for at in range(0, len(close), OTHERS):
            yield rows, close[at : at + OTHERS]


def _head(x: np.ndarray) -> np.ndarray:
    """Rows along the leading principal axes [shape=(n, axes)]."""
    from sklearn.utils.extmath import randomized_svd

    some = x[np.linspace(0, len(x) - 1, min(len(x), _ENOUGH)).astype(np.int64)] if len(x) else x
    if min(some.shape) < 2:
        return np.zeros((len(x), 1), dtype=np.float32)
    _, _, axes = randomized_svd(some - some.mean(axis=0), min(AXES, *some.shape), random_state=0)
    return np.asarray(x @ axes.T.astype(np.float32))


def _boxes(head: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    if len(rows) <= BOX:
        return [rows] if len(rows) else []
    values = head[rows]
    along = values[:, int(values.std(axis=0).argmax())]
    half = len(rows) // 2
    parted = rows[np.argpartition(along, half)]
    return [*_boxes(head, parted[:half]), *_boxes(head, parted[half:])]
