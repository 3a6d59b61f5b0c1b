"""Support vector machines with all kernel values from one matrix product.

libsvm computes them itself, pair by pair and again for every pair of classes: of a thousand samples with a thousand
columns six times as slow. What comes out is the same to rounding.
"""

from typing import Any

import numpy as np

MOST = 64 * 2**20
"""Bytes of kernel values between training samples from which on libsvm computes them as it needs them."""

_AT_ONCE = 4096  # samples that are asked about


def radial(estimator: Any) -> bool:
    """Whether it is scikit-learn's SVC or SVR of an RBF kernel."""
    return getattr(estimator, "kernel", None) == "rbf" and hasattr(estimator, "_impl")


def fit(svm: Any, x: np.ndarray, y: np.ndarray) -> None:
    """Fit scikit-learn's SVC or SVR of an RBF kernel.

    Parameters
    ----------
    svm : SVC or SVR
        ``gamma`` is a number.
    x : float array, shape=(n, columns)
    y : array, shape=(n,)
    """
    from sklearn.base import clone

    if 8 * len(x) ** 2 > MOST:
        svm.fit(x, y)
        return
    x = x.astype(np.float64)
    machine = clone(svm).set_params(kernel="precomputed").fit(_rbf(x, x, svm.gamma), y)
    # From here on it is what fitting by itself would have made of it.
    vars(svm).update({k: v for k, v in vars(machine).items() if k not in svm.get_params()})
    svm.support_vectors_, svm.shape_fit_, svm.n_features_in_ = x[machine.support_], x.shape, x.shape[1]
    svm._gamma = svm.gamma


def scores(svm: Any, x: np.ndarray) -> np.ndarray:
    """Margins of an SVC [shape=(n,) or (n, classes)], or numbers of an SVR [shape=(n,)]."""
    from sklearn.base import clone

    machine = clone(svm).set_params(kernel="precomputed")
    vars(machine).update({k: v for k, v in vars(svm).items() if k not in svm.get_params()})
    n = len(svm.support_vectors_)
    machine.support_, machine.support_vectors_ = np.arange(n, dtype=np.int32), np.empty((0, 0))
    machine.shape_fit_, machine.n_features_in_ = (n, n), n
    vectors = np.ascontiguousarray(svm.support_vectors_, dtype=np.float64)
    answer = getattr(machine, "decision_function", machine.predict)
    parts = [x[i : i + _AT_ONCE].astype(np.float64) for i in range(0, len(x), _AT_ONCE)]
    return np.concatenate([answer(_rbf(part, vectors, svm.gamma)) for part in parts])


def _rbf(a: np.ndarray, b: np.ndarray, gamma: float) -> np.ndarray:
    from sklearn.metrics.pairwise import rbf_kernel

    return np.asarray(rbf_kernel(a, b, gamma=gamma))
