"""Some rows of a matrix, copied in pieces as they are asked for: who needs them prepared keeps only that."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Taken:
    """Rows of a matrix that may lie in a file; `of` makes it.

    Attributes
    ----------
    array : array, shape=(samples, columns)
    rows : int array, shape=(n,)

    Examples
    --------
    >>> some = Taken.of(np.arange(8.0).reshape(4, 2), np.array([3, 0]))
    >>> some.shape, some[:1].tolist(), some[:, 1:].tolist()
    ((2, 2), [[6.0, 7.0]], [[7.0], [1.0]])
    """

    array: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, x: "np.ndarray | Taken", rows: Any) -> "np.ndarray | Taken":
        """Rows (positions, a mask, or a slice) of a matrix, or of rows of one."""
        if isinstance(rows, slice) and rows == slice(None):
            return x
        if isinstance(x, Taken):
            return cls(x.array, x.rows[rows])
        return cls(x, np.arange(len(x))[rows])

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), self.array.shape[1]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> np.ndarray:
        """A copy of rows (a slice or a mask), or of some columns of all (``[:, …]``)."""
        if isinstance(key, tuple):
            rows, columns = key
            return np.ascontiguousarray(self.array[self.rows[rows], columns])
        return np.asarray(self.array[self.rows[key]])
