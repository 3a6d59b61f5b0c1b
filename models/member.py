"""One model on one matrix: fitted, tuned and scored out of fold on grouped inner folds."""

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
    elif name == "xgboost":
        best = (0.0, {}, None, [_boosted(model, {}, x, y, inner[0], settings)[1]])
    _, parameters, oof, rounds = best or (0.0, {}, None, [])
    estimator = model.make(settings.task, settings.seed, settings.balanced, **parameters)
    if rounds:
        estimator.set_params(n_estimators=int(np.median(rounds)))
    _fit(estimator, name, x, y, settings)
    return Member(estimator, oof, parameters)


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
    full[:, np.asarray(getattr(estimator, "present_", estimator.classes_), dtype=int)] = found
    return full


def _candidates(grid) -> list[dict[str, Any]]:
    from sklearn.model_selection import ParameterGrid

    return list(ParameterGrid(dict(grid)))


def _out_of_fold(model, parameters, x, y, inner, settings) -> tuple[np.ndarray, list[int]]:
    found, rounds = np.zeros((len(y), settings.classes)), []
    for fold in inner:
        if model.name == "xgboost":
            estimator, n = _boosted(model, parameters, x, y, fold, settings)
            rounds.append(n)
        else:
            estimator = model.make(settings.task, settings.seed, settings.balanced, **parameters)
            _fit(estimator, model.name, x[fold.train], y[fold.train], settings)
        found[fold.test] = scores(estimator, x[fold.test], settings)
    return found, rounds


def _boosted(model, parameters, x, y, fold: Fold, settings) -> tuple[Any, int]:
    """Boosting stopped early on the fold's test part, and after how many rounds."""
    estimator = model.make(settings.task, settings.seed, settings.balanced, **parameters)
    known = np.isin(y[fold.test], y[fold.train]) if settings.task == "classification" else np.ones(len(fold.test), bool)
    watched = fold.test[known]
    if not len(watched):
        _fit(estimator, model.name, x[fold.train], y[fold.train], settings)
        return estimator, estimator.n_estimators
    estimator.set_params(early_stopping_rounds=20)
    _fit(estimator, model.name, x[fold.train], y[fold.train], settings, (x[watched], y[watched]))
    return estimator, estimator.best_iteration + 1


def _fit(estimator, name: str, x, y, settings: Settings, watched=None) -> None:
    if name != "xgboost":
        estimator.fit(x, y)
        return
    options: dict[str, Any] = {}
    if settings.task == "classification":
        from sklearn.utils.class_weight import compute_sample_weight

        # xgboost wants classes 0 … k-1 without holes: a fold may lack one.
        present, codes = np.unique(y, return_inverse=True)
        options["sample_weight"] = compute_sample_weight("balanced" if settings.balanced else None, y)
        if watched is not None:
            options["eval_set"] = [(watched[0], np.searchsorted(present, watched[1]))]
        estimator.fit(x, codes, verbose=False, **options)
        estimator.present_ = present
        return
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
