"""From scores to probabilities, by scikit-learn's calibrators on out-of-fold scores, and from one prior to another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.base import BaseEstimator, ClassifierMixin

METHODS = ("temperature", "sigmoid", "isotonic")


class Scores(ClassifierMixin, BaseEstimator):
    """A classifier whose decision function is its input: lets scores that exist already be calibrated."""

    def __init__(self, classes: int = 2):
        self.classes = classes

    def fit(self, x: np.ndarray, y: Any = None, sample_weight: Any = None) -> "Scores":
        self.classes_ = np.arange(self.classes)
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return x[:, 1] - x[:, 0] if self.classes == 2 else x

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.argmax(axis=1)


@dataclass(frozen=True)
class Line:
    """Numbers with the mean and the spread that they should have: ``slope * x + intercept``.

    What a regressor says out of fold varies less than the truth, as the mean error wants it, and the concordance
    correlation counts that as disagreement.
    """

    slope: float
    intercept: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.slope * x + self.intercept

    @classmethod
    def fit(cls, x: np.ndarray, truth: np.ndarray) -> "Line":
        """From numbers about samples that their model was not trained on; what does not go with the truth stays."""
        spread = float(x.std())
        if not truth.std() or spread < 1e-9 * max(1.0, float(np.abs(x).max())) or np.corrcoef(x, truth)[0, 1] <= 0:
            return cls(1.0, 0.0)
        slope = float(truth.std()) / spread
        return cls(slope, float(truth.mean()) - slope * float(x.mean()))


@dataclass(frozen=True)
class Temperature:
    """Probabilities made more or less sure (Guo et al. 2017): a softmax of their logarithms by ``of``."""

    of: float

    def __call__(self, p: np.ndarray) -> np.ndarray:
        return softmax(log_probabilities(p) / self.of, axis=1)

    @classmethod
    def fit(cls, p: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> "Temperature":
        """The one that makes the truth most likely; a convex function of its inverse."""
        from scipy.optimize import minimize_scalar

        logs = log_probabilities(p)
        own = logs[np.arange(len(truth)), truth]

        def loss(inverse: float) -> float:
            return float(weights @ (logsumexp(inverse * logs, axis=1) - inverse * own))

        found = minimize_scalar(loss, bounds=(0.05, 20.0), method="bounded", options={"xatol": 1e-3})
        return cls(1 / float(found.x))


def refined(answers: np.ndarray, truth: np.ndarray, balanced: bool) -> Line | Temperature:
    """What fused answers lack: a temperature of their own, or numbers a line.

    Parameters
    ----------
    answers : float array, shape=(n, classes)
        Out of fold.
    truth : array, shape=(n,)
    balanced : bool
        See `calibrator`.
    """
    if answers.shape[1] == 1:
        return Line.fit(answers[:, 0], truth)
    return Temperature.fit(answers, truth, sample_weights(truth, balanced))


def sample_weights(truth: np.ndarray, balanced: bool) -> np.ndarray:
    """Ones, or what lets classes count alike [shape=(n,)]."""
    from sklearn.utils.class_weight import compute_sample_weight

    found = compute_sample_weight("balanced", truth) if balanced else np.ones(len(truth))
    return np.asarray(found, dtype=np.float64)


def calibrator(scores: np.ndarray, truth: np.ndarray, method: str = "temperature", balanced: bool = False) -> Any:
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

    classes = scores.shape[1]
    weights = sample_weights(truth, balanced)
    absent = np.setdiff1d(np.arange(classes), truth)
    if len(absent):
        # scikit-learn wants a sample of every class: of one that is not there, one of no weight that is told rightly.
        scores = np.vstack([scores, np.eye(classes)[absent]])
        truth, weights = np.concatenate([truth, absent]), np.concatenate([weights, np.full(len(absent), 1e-9)])
    everything = np.arange(len(truth))  # the scores are out of fold already
    calibrated = CalibratedClassifierCV(Scores(classes), method=method, cv=[(everything, everything)], ensemble=False)
    return calibrated.fit(scores, truth, sample_weight=weights)


def fitted(scores: np.ndarray, truth: np.ndarray, method: str, balanced: bool) -> Any:
    """A `calibrator`, of numbers a `Line`; None where there is too little to calibrate: a single class."""
    if scores.shape[1] == 1:
        return Line.fit(scores[:, 0], truth)
    if len(np.unique(truth)) < 2:
        return None
    return calibrator(scores, truth, method, balanced)


def probabilities(scores: np.ndarray, calibrator: Any) -> np.ndarray:
    """Calibrated probabilities [shape=(n, classes)], or numbers [shape=(n, 1)]."""
    if scores.shape[1] == 1:
        return scores if calibrator is None else calibrator(scores)
    found = softmax(scores, axis=1) if calibrator is None else calibrator.predict_proba(scores)
    return np.asarray(found, dtype=np.float64)


def log_probabilities(p: np.ndarray) -> np.ndarray:
    """Logarithms that stay finite."""
    return np.asarray(np.log(np.clip(p, 1e-7, 1.0)))


# Priors

PRIORS = ("training", "balanced")


def even(prior: np.ndarray) -> np.ndarray:
    """The prior [shape=(classes,)] of classes that count alike, those that there are."""
    return (prior > 0) / max(int((prior > 0).sum()), 1)


def at_prior(p: np.ndarray, given: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Probabilities where classes have other frequencies (Saerens et al. 2002).

    Parameters
    ----------
    p : float array, shape=(n, classes)
    given, wanted : float array, shape=(classes,) or (n, classes)
        Frequencies of the classes where the probabilities come from, and where they are to hold.

    Examples
    --------
    >>> at_prior(np.array([[0.5, 0.5]]), np.array([0.5, 0.5]), np.array([0.9, 0.1])).round(2).tolist()
    [[0.9, 0.1]]
    """
    ratio = np.divide(wanted, given, out=np.zeros(np.broadcast_shapes(wanted.shape, given.shape)), where=given > 0)
    moved = p * ratio
    total = moved.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, moved / np.where(total > 0, total, 1), wanted))


def prior_of(name: str, classes: Sequence[str]) -> np.ndarray | None:
    """What ``--prior`` means: None of the training's own, else the frequencies [shape=(classes,)].

    Raises
    ------
    UsageError
        Neither ``training`` nor ``balanced`` nor a positive number for each class.

    Examples
    --------
    >>> prior_of("3,1", ("calm", "angry")).tolist()
    [0.75, 0.25]
    """
    from affectlake.data.errors import UsageError

    if name == "training":
        return None
    if name == "balanced":
        return np.full(len(classes), 1 / len(classes))
    try:
        found = np.array([float(v) for v in name.split(",")])
    except ValueError:
        found = np.zeros(0)
    if len(found) != len(classes) or not (np.isfinite(found) & (found > 0)).all():
        raise UsageError(
            f"prior {name!r}: expected training, balanced, or {len(classes)} positive numbers with commas between "
            f"them, of {', '.join(classes)}"
        )
    return found / found.sum()


WEIGHS = {"uar": (1.0,), "f1_macro": (0.0, 0.5)}
"""How much of the classes' frequencies decisions by a metric leave out; where there are several, inner folds say."""


def weigh_for(metric: str, p: np.ndarray, truth: np.ndarray, prior: np.ndarray) -> float:
    """How much of the frequencies to leave out: what is best by out-of-fold probabilities of training samples."""
    choices = WEIGHS.get(metric, (0.0,))
    if len(choices) == 1 or not len(truth):
        return choices[0]
    from sklearn.metrics import f1_score

    return max(choices, key=lambda w: f1_score(truth, decided(p, prior, w), average="macro", zero_division=0))


def decided(p: np.ndarray, prior: np.ndarray, weigh: float | np.ndarray) -> np.ndarray:
    """The class that is answered [shape=(n,)]: the most probable one, classes counting alike as far as ``weigh`` says.

    Parameters
    ----------
    p : float array, shape=(n, classes)
    prior : float array, shape=(classes,) or (n, classes)
        At which the probabilities hold.
    weigh : float, 0 to 1, or array, shape=(n, 1)
        0: the most probable class, which is right most often; 1: the class for which the sample speaks most, which
        has the highest average recall.
    """
    return np.asarray((p / divisors(prior, weigh)).argmax(axis=1))


def divisors(prior: np.ndarray, weigh: float | np.ndarray) -> np.ndarray:
    """What probabilities are divided by before the largest is taken; see `decided`."""
    known = prior > 0
    # Where nothing is known of a sample, all that is left are frequencies: they decide between equals.
    return np.where(known, np.where(known, prior, 1) ** weigh / (1 + 1e-9 * prior), 1e300)
