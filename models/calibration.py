"""From scores to probabilities, by scikit-learn's calibrators on out-of-fold scores."""

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin

METHODS = ("temperature", "sigmoid", "isotonic")


class Scores(ClassifierMixin, BaseEstimator):
    """A classifier whose decision function is its input: lets scores that exist already be calibrated."""

    def __init__(self, classes: int = 2):
        self.classes = classes

    def fit(self, x, y=None, sample_weight=None):
        self.classes_ = np.arange(self.classes)
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return x[:, 1] - x[:, 0] if self.classes == 2 else x

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.argmax(axis=1)


def calibrator(scores: np.ndarray, truth: np.ndarray, method: str = "temperature", balanced: bool = False):
    """A fitted calibrator; ``predict_proba(scores)`` of it gives probabilities.

    Parameters
    ----------
    scores : float array, shape=(n, classes)
        Of samples that the scoring model was not trained on: margins or log-probabilities.
    truth : int array, shape=(n,)
    method : "temperature" (Guo et al. 2017) | "sigmoid" (Platt 1999) | "isotonic" (Zadrozny & Elkan 2002)
    balanced : bool
        Weight classes inversely to their frequency, as models do that are ranked by a score that counts classes alike:
        otherwise a calibration of each class by itself would give rare classes back their small prior.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.utils.class_weight import compute_sample_weight

    classes = scores.shape[1]
    weights = compute_sample_weight("balanced", truth) if balanced else np.ones(len(truth))
    absent = np.setdiff1d(np.arange(classes), truth)
    if len(absent):
        # scikit-learn wants a sample of every class: of one that is not there, one of no weight that is told rightly.
        scores = np.vstack([scores, np.eye(classes)[absent]])
        truth, weights = np.concatenate([truth, absent]), np.concatenate([weights, np.full(len(absent), 1e-9)])
    everything = np.arange(len(truth))  # the scores are out of fold already
    calibrated = CalibratedClassifierCV(Scores(classes), method=method, cv=[(everything, everything)], ensemble=False)
    return calibrated.fit(scores, truth, sample_weight=weights)


def fitted(scores: np.ndarray, truth: np.ndarray, method: str, balanced: bool):
    """A `calibrator`; None where there is nothing to calibrate, or too little: a single class."""
    if scores.shape[1] == 1 or len(np.unique(truth)) < 2:
        return None
    return calibrator(scores, truth, method, balanced)


def probabilities(scores: np.ndarray, calibrator) -> np.ndarray:
    """Calibrated probabilities [shape=(n, classes)]; numbers [shape=(n, 1)] as they are."""
    if scores.shape[1] == 1:
        return scores
    return softmax(scores, axis=1) if calibrator is None else calibrator.predict_proba(scores)


def log_probabilities(p: np.ndarray) -> np.ndarray:
    """Logarithms that stay finite."""
    return np.log(np.clip(p, 1e-7, 1.0))
