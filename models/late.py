"""Late fusion: probabilities of single modalities put together; each works with whatever modalities a sample has."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax

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
    return weighted_mean(p, present, prior, np.ones(len(p)))


def weighted_mean(p: np.ndarray, present: np.ndarray, prior: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average with a weight per modality [shape=(modalities,)]."""
    w = present * (np.asarray(weights)[:, None] + 1e-9)  # alone, a modality of no weight is better than nothing
    total = w.sum(axis=0)
    fused = np.einsum("mn,mnc->nc", w, np.where(present[..., None], p, 0)) / np.maximum(total, 1e-12)[:, None]
    return np.asarray(np.where((total > 0)[:, None], fused, prior))


def product(p: np.ndarray, present: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Product of what the modalities that are there add to the prior, which counts once (Kittler et al. 1998)."""
    return pooled(p, present, prior, np.ones(len(p)))


def pooled(p: np.ndarray, present: np.ndarray, prior: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The same with a power per modality [shape=(modalities,)]: a logarithmic opinion pool (Genest & Zidek 1986)."""
    evidence = np.einsum("m,mnc->nc", weights, _evidence(p, present, prior))
    return np.asarray(
        np.where(np.any(present, axis=0)[:, None], softmax(log_probabilities(prior) + evidence, axis=1), prior)
    )


def _evidence(p: np.ndarray, present: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """What each modality adds to the logarithm of the prior; nothing where it is missing [shape=p.shape]."""
    return np.asarray(np.where(present[..., None], log_probabilities(p) - log_probabilities(prior), 0))


MOST = 3.0
"""Power of a modality at most."""


def fit_powers(
    p: np.ndarray, present: np.ndarray, prior: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Powers [shape=(modalities,)] in `pooled` by which out-of-fold probabilities make the truth most likely.

    ``truth``: class indices; ``weights``: of the samples [shape=(n,) both]. A convex problem.
    """
    from scipy.optimize import minimize

    evidence = _evidence(p, present, prior)
    base, n = log_probabilities(prior), np.arange(p.shape[1])
    weights = weights / weights.sum()

    def loss(powers: np.ndarray) -> tuple[float, np.ndarray]:
        logs = base + np.einsum("m,mnc->nc", powers, evidence)
        whole = logsumexp(logs, axis=1, keepdims=True)
        off = np.exp(logs - whole)
        off[n, truth] -= 1
        slope = np.einsum("n,nc,mnc->m", weights, off, evidence)
        return float(weights @ (whole[:, 0] - logs[n, truth])), slope

    start = np.full(len(p), 1 / len(p))
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, MOST)] * len(p)).x)


def fit_weights(p: np.ndarray, present: np.ndarray, prior: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weights in `weighted_mean` of numbers [shape=(modalities, n, 1)] of the least squared error; they sum to one."""
    from scipy.optimize import minimize

    def loss(z: np.ndarray) -> float:
        fused = weighted_mean(p, present, prior, softmax(z))
        return float(((fused[:, 0] - truth) ** 2).mean())

    z = minimize(loss, np.zeros(len(p)), method="L-BFGS-B", bounds=[(-5, 5)] * len(p)).x
    return np.asarray(softmax(z))


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


def among(p: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Probabilities [shape=(…, classes)] among some classes, by their positions.

    Examples
    --------
    >>> among(np.array([0.2, 0.5, 0.3]), np.array([0, 2])).tolist()
    [0.4, 0.6]
    """
    if len(classes) == p.shape[-1]:
        return p
    some = p[..., classes]
    return np.asarray(some / np.maximum(some.sum(axis=-1, keepdims=True), 1e-12))


def fit_stacking(x: np.ndarray, truth: np.ndarray, classes: int, balanced: bool) -> Any:
    """A linear model on `stacking_features` of out-of-fold probabilities."""
    if classes == 1:
        from sklearn.linear_model import Ridge

        return Ridge(alpha=1.0).fit(x, truth)
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.1, max_iter=2000, class_weight="balanced" if balanced else None).fit(x, truth)


def stack(names: Sequence[str], by_modality: Mapping[str, np.ndarray]) -> np.ndarray:
    """What there is by modality as one array, in the order of the names."""
    return np.stack([by_modality[m] for m in names])
