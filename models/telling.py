"""Which columns tell most about the target, one by one."""

import warnings

import numpy as np

from affectlake.models.taken import Taken
from affectlake.models.zoo import Task

_WIDTH = 512  # columns at a time, of more than some thousand samples fewer:
_VALUES = 2**22  # scikit-learn copies what it is given, class by class


def told(x: np.ndarray | Taken, y: np.ndarray, task: Task) -> np.ndarray:
    """F statistics of columns without gaps [shape=(n, columns) to shape=(columns,)]; -1 for one that never varies.

    A column that tells the classes apart without any error has the largest number that there is.
    """
    from sklearn.feature_selection import f_classif, f_regression

    statistic = f_regression if task == "regression" else f_classif
    out = np.full(x.shape[1], -1.0)
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        # scikit-learn calls such a column "constant", and ours have different widths.
        warnings.simplefilter("ignore", UserWarning)
        width = min(_WIDTH, max(8, _VALUES // len(x)))
        for start in range(0, x.shape[1], width):
            some = x[:, start : start + width]
            varies = np.flatnonzero(some.min(axis=0) < some.max(axis=0))
            if len(varies):
                out[start + varies] = statistic(some[:, varies], y)[0]
    return np.nan_to_num(out, posinf=float(np.finfo(np.float32).max))


def most_telling(statistics: np.ndarray, most: int) -> np.ndarray:
    """Positions of the ``most`` columns that tell most, in order; of equal ones the first.

    Trees cost in proportion to the columns they are offered, and among thousands of correlated ones little is lost.
    """
    return np.sort(np.argsort(-statistics, kind="stable")[:most])
