"""Late fusion: probabilities of single modalities put together; each works with whatever modalities a sample has."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import softmax

from affectlake.models.calibration import log_probabilities


def mean(p: np.ndarray, present: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Average of the probabilities that are there.

    Parameters
    ----------
    p : float array, shape=(modalities, n, classes)
    present : bool array, shape=(modalities, n)
    prior : float array, shape=(classes,)
        Answer for a sample that has none of the modalities.

    Returns
    -------
    float array, shape=(n, classes)
    """
    return weighted(p, present, prior, np.ones(len(p)))


def weighted(p: np.ndarray, present: np.ndarray, prior: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average with a weight per modality [shape=(modalities,)]."""
    w = present * (np.asarray(weights)[:, None] + 1e-9)  # alone, a modality of no weight is better than nothing
    total = w.sum(axis=0)
    fused = np.einsum("mn,mnc->nc", w, np.where(present[..., None], p, 0)) / np.maximum(total, 1e-12)[:, None]
    return np.where((total > 0)[:, None], fused, prior)


def product(p: np.ndarray, present: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Normalised product of the probabilities that are there (Kittler et al. 1998, without the priors)."""
    logs = np.where(present[..., None], log_probabilities(p), 0).sum(axis=0)
    return np.where(present.any(axis=0)[:, None], softmax(logs, axis=1), prior)


def fit_weights(p: np.ndarray, present: np.ndarray, prior: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weights that maximise the likelihood of out-of-fold probabilities; they sum to one.

    ``truth``: class indices [shape=(n,)], or numbers, for which the squared error is minimised.
    """
    from scipy.optimize import minimize

    n = np.arange(p.shape[1])

    def loss(z: np.ndarray) -> float:
        fused = weighted(p, present, prior, softmax(z))
        if fused.shape[1] == 1:
            return float(((fused[:, 0] - truth) ** 2).mean())
        return -float(np.log(np.clip(fused[n, truth], 1e-7, 1)).mean())

    z = minimize(loss, np.zeros(len(p)), method="L-BFGS-B", bounds=[(-5, 5)] * len(p)).x
    return softmax(z)


def stacking_features(p: np.ndarray, present: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """What the stacking model sees: log-probabilities by modality, the prior's where one is missing.

    Returns
    -------
    float array, shape=(n, modalities * classes + modalities)
        The last columns say which modalities are there.
    """
    regression = p.shape[2] == 1
    filled = np.where(present[..., None], p, prior)
    filled = filled if regression else log_probabilities(filled)
    return np.hstack([*filled, present.T.astype(np.float64)])


def fit_stacking(x: np.ndarray, truth: np.ndarray, classes: int, balanced: bool):
    """A linear model on `stacking_features` of out-of-fold probabilities."""
    if classes == 1:
        from sklearn.linear_model import Ridge

        return Ridge(alpha=1.0).fit(x, truth)
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.1, max_iter=2000, class_weight="balanced" if balanced else None).fit(x, truth)


def stack(names: Sequence[str], by_modality: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.stack([by_modality[m] for m in names])
