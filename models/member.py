"""One model on one matrix: fitted, tuned and scored out of fold on grouped inner folds."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectlake.models import zoo
from affectlake.models.calibration import log_probabilities
from affectlake.models.splits import Fold


@dataclass(frozen=True)
class Settings:
    """What all members of a benchmark share.

    Attributes
    ----------
    task : "classification" | "regression"
    classes : int
        1 for regression.
    seed : int
    balanced : bool
        Weight classes inversely to their frequency.
    tune : bool
        Choose parameters from the model's grid on the inner folds.
    """

    task: zoo.Task
    classes: int
    seed: int = 0
    balanced: bool = True
    tune: bool = False


class Selected:
    """An estimator that sees the columns only that tell most, one by one, about the target in its training samples.

    Trees cost in proportion to the columns they are offered, and among thousands of correlated ones little is lost.
    """

    def __init__(self, estimator: Any, columns: np.ndarray):
        self.estimator, self.columns = estimator, columns

    @classmethod
    def fit(cls, estimator: Any, x: np.ndarray, y: np.ndarray, most: int, task: zoo.Task) -> "Selected":
        """Choose columns by the F statistic; the estimator is fitted by the caller, on `seen`."""
        from sklearn.feature_selection import f_classif, f_regression

        varies = np.flatnonzero(x.min(axis=0) < x.max(axis=0))
        told = np.full(x.shape[1], -1.0)
        with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
            # scikit-learn calls a column "constant" that tells the classes apart without any error.
            warnings.simplefilter("ignore", UserWarning)
            if len(varies):
                told[varies] = (f_regression if task == "regression" else f_classif)(x[:, varies], y)[0]
        order = np.argsort(-np.nan_to_num(told, posinf=np.finfo(float).max), kind="stable")
        return cls(estimator, np.sort(order[:most]))

    def seen(self, x: np.ndarray) -> np.ndarray:
        return x[:, self.columns]

    @property
    def classes_(self):
        return _classes(self.estimator)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.estimator.predict(self.seen(x))

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return self.estimator.predict_proba(self.seen(x))


@dataclass(frozen=True)
class Member:
    """A fitted model.

    Attributes
    ----------
    estimator : scikit-learn estimator
    oof : float array, shape=(n, classes), or None
        Scores of the training samples, each by a model that had not seen its group; None where nobody asked.
    parameters : dict
        Chosen from the grid.
    """

    estimator: Any
    oof: np.ndarray | None
    parameters: dict[str, Any]


def fit(
    name: str, x: np.ndarray, y: np.ndarray, inner: list[Fold], settings: Settings, out_of_fold: bool = True
) -> Member:
    """Fit a model of the zoo.

    Parameters
    ----------
    name : str
    x : float array, shape=(n, columns)
        Without gaps, see `affectlake.models.early.Block`.
    y : array, shape=(n,)
        Class indices (each class at least once) or numbers.
    inner : list of Fold
        Grouped folds of these samples.
    settings : Settings
    out_of_fold : bool
        Whether `Member.oof` is wanted.
    """
    model = zoo.get(name)
    candidates = _candidates(model.grid) if settings.tune else [{}]
    best: tuple[float, dict[str, Any], np.ndarray | None, list[int]] | None = None
    if out_of_fold or model.margins or len(candidates) > 1:
        for parameters in candidates:
            oof, rounds = _out_of_fold(model, parameters, x, y, inner, settings)
            loss = _loss(oof, y, settings) if len(candidates) > 1 else 0.0
            if best is None or loss < best[0]:
                best = (loss, parameters, oof, rounds)
    elif model.boosted:
        best = (0.0, {}, None, [_fitted(model, {}, x, y, settings, inner[0])[1]])
    _, parameters, oof, rounds = best or (0.0, {}, None, [])
    fixed = int(np.median(rounds)) if model.boosted else None
    return Member(_fitted(model, parameters, x, y, settings, rounds=fixed)[0], oof, parameters)


def scores(estimator: Any, x: np.ndarray, settings: Settings) -> np.ndarray:
    """Margins or log-probabilities [shape=(n, classes)]; predictions [shape=(n, 1)] of a regressor.

    A class that was absent from the estimator's training samples gets the lowest score.
    """
    if settings.task == "regression":
        return estimator.predict(x).reshape(-1, 1).astype(np.float64)
    if hasattr(estimator, "predict_proba"):
        found = log_probabilities(estimator.predict_proba(x))
    else:
        found = estimator.decision_function(x)
        found = np.column_stack([-found, found]) / 2 if found.ndim == 1 else found
    if found.shape[1] == settings.classes:
        return found.astype(np.float64)
    full = np.full((len(x), settings.classes), min(found.min(), np.log(1e-7)))
    full[:, np.asarray(_classes(estimator), dtype=int)] = found
    return full


def _classes(estimator: Any) -> np.ndarray:
    """Classes that an estimator was trained on; boosting was given them without holes."""
    return getattr(estimator, "present_", estimator.classes_)


def _candidates(grid) -> list[dict[str, Any]]:
    from sklearn.model_selection import ParameterGrid

    return list(ParameterGrid(dict(grid)))


def _out_of_fold(model, parameters, x, y, inner, settings) -> tuple[np.ndarray, list[int]]:
    found, rounds = np.zeros((len(y), settings.classes)), []
    for fold in inner:
        estimator, n = _fitted(model, parameters, x, y, settings, fold)
        rounds.append(n)
        found[fold.test] = scores(estimator, x[fold.test], settings)
    return found, rounds


def _fitted(model, parameters, x, y, settings, fold: Fold | None = None, rounds: int | None = None) -> tuple[Any, int]:
    """An estimator fitted on the training part of a fold (or on everything), and its number of boosting rounds.

    Boosting stops early on the fold's test part, unless ``rounds`` says how many there are.
    """
    estimator = model.make(settings.task, settings.seed, settings.balanced, **parameters)
    train = np.arange(len(y)) if fold is None else fold.train
    offered = x[train]
    if model.most and x.shape[1] > model.most:
        estimator = Selected.fit(estimator, offered, y[train], model.most, settings.task)
        offered = estimator.seen(offered)
    inner = estimator.estimator if isinstance(estimator, Selected) else estimator
    if not model.boosted:
        inner.fit(offered, y[train])
        return estimator, 0
    if rounds:
        inner.set_params(n_estimators=rounds)
        _boost(inner, offered, y[train], settings)
        return estimator, rounds
    watched = fold.test
    if settings.task == "classification":
        watched = watched[np.isin(y[watched], y[train])]
    seen = estimator.seen(x[watched]) if isinstance(estimator, Selected) else x[watched]
    if not len(watched):
        _boost(inner, offered, y[train], settings)
        return estimator, inner.n_estimators
    inner.set_params(early_stopping_rounds=20)
    _boost(inner, offered, y[train], settings, (seen, y[watched]))
    return estimator, inner.best_iteration + 1


def _boost(estimator, x, y, settings: Settings, watched=None) -> None:
    options: dict[str, Any] = {}
    if settings.task == "classification":
        from sklearn.utils.class_weight import compute_sample_weight

        options["sample_weight"] = compute_sample_weight("balanced" if settings.balanced else None, y)
        # xgboost wants classes 0 … k-1 without holes: a fold may lack one.
        estimator.present_, y = np.unique(y, return_inverse=True)
        if watched is not None:
            watched = watched[0], np.searchsorted(estimator.present_, watched[1])
    if watched is not None:
        options["eval_set"] = [watched]
    estimator.fit(x, y, verbose=False, **options)


def _loss(found: np.ndarray, y: np.ndarray, settings: Settings) -> float:
    """What tuning minimises: the error in the metric's own terms, balanced over classes where they are weighted."""
    if settings.task == "regression":
        return float(np.abs(found[:, 0] - y).mean())
    hit = found.argmax(axis=1) == y
    if not settings.balanced:
        return 1 - float(hit.mean())
    return 1 - float(np.mean([hit[y == c].mean() for c in np.unique(y)]))
