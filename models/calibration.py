"""From scores to probabilities, by scikit-learn's calibrators on out-of-fold scores."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

METHODS = ("temperature", "sigmoid", "isotonic")


class Scores(ClassifierMixin, BaseEstimator):
    """A classifier whose decision function is its input: lets scores that exist already be calibrated."""

    def __init__(self, classes: int = 2):
        self.classes = classes

    def fit(self, x, y=None):
        self.classes_ = np.arange(self.classes)
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return x[:, 1] - x[:, 0] if self.classes == 2 else x

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.argmax(axis=1)


def calibrator(scores: np.ndarray, truth: np.ndarray, method: str = "temperature"):
    """A fitted calibrator; ``predict_proba(scores)`` of it gives probabilities.

    Parameters
    ----------
    scores : float array, shape=(n, classes)
        Of samples that the scoring model was not trained on: margins or log-probabilities.
    truth : int array, shape=(n,)
    method : "temperature" (Guo et al. 2017) | "sigmoid" (Platt 1999) | "isotonic" (Zadrozny & Elkan 2002)
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    frozen = FrozenEstimator(Scores(scores.shape[1]).fit(scores))
    everything = np.arange(len(truth))  # the scores are out of fold already
    fitted = CalibratedClassifierCV(frozen, method=method, cv=[(everything, everything)], ensemble=False)
    return fitted.fit(scores, truth)


def log_probabilities(p: np.ndarray) -> np.ndarray:
    """Logarithms that stay finite."""
    return np.log(np.clip(p, 1e-7, 1.0))
