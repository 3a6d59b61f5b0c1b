"""One model on one table: fitted, tuned and scored out of fold on grouped inner folds."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from affectlake.models import calibration, zoo
from affectlake.models.calibration import log_probabilities
from affectlake.models.early import Table
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
class Selected:
    """An estimator and what it reads of a table.

    Attributes
    ----------
    estimator : scikit-learn estimator
    reads : "columns" | "components"
    columns : int array or None
        Positions; None for all.
    offset : float array, shape=(classes,), or None
        Taken off the scores: logarithms of class frequencies, where the estimator cannot weight classes itself.
    """

    estimator: Any
    reads: zoo.Reads
    columns: np.ndarray | None = None
    offset: np.ndarray | None = None

    def seen(self, x: np.ndarray) -> np.ndarray:
        return x if self.columns is None else x[:, self.columns]

    def scores(self, table: Table, settings: Settings) -> np.ndarray:
        """Margins or log-probabilities [shape=(n, classes)]; predictions [shape=(n, 1)] of a regressor.

        A class that was absent from the estimator's training samples gets the lowest score.
        """
        return self.scores_of(getattr(table, self.reads), settings)

    def scores_of(self, x: np.ndarray, settings: Settings) -> np.ndarray:
        """The same for rows of what `reads` names."""
        x, estimator = self.seen(x), self.estimator
        if settings.task == "regression":
            return estimator.predict(x).reshape(-1, 1).astype(np.float64)
        if hasattr(estimator, "predict_proba"):
            found = log_probabilities(estimator.predict_proba(x))
        else:
            found = estimator.decision_function(x)
            found = np.column_stack([-found, found]) / 2 if found.ndim == 1 else found
        if found.shape[1] < settings.classes:
            full = np.full((len(x), settings.classes), min(found.min(), np.log(1e-7)))
            full[:, np.asarray(_classes(estimator), dtype=int)] = found
            found = full
        found = found.astype(np.float64)
        return found if self.offset is None else found - self.offset


@dataclass(frozen=True)
class Ensemble:
    """Several models whose calibrated probabilities (or numbers) are averaged.

    Attributes
    ----------
    parts : tuple of Selected
    calibrators : tuple
        One for each, see `affectlake.models.calibration`; None where there is nothing to calibrate.
    """

    parts: tuple[Selected, ...]
    calibrators: tuple[Any, ...]

    def scores(self, table: Table, settings: Settings) -> np.ndarray:
        """Log-probabilities [shape=(n, classes)], or numbers [shape=(n, 1)]."""
        return averaged([p.scores(table, settings) for p in self.parts], self.calibrators)


def averaged(scores: Sequence[np.ndarray], calibrators: Sequence[Any]) -> np.ndarray:
    """Scores [shape=(n, classes)] of an ensemble from those of its parts."""
    mean = np.mean([calibration.probabilities(s, c) for s, c in zip(scores, calibrators, strict=True)], axis=0)
    return mean if mean.shape[1] == 1 else log_probabilities(mean)


def telling(x: np.ndarray, y: np.ndarray, most: int, task: zoo.Task) -> np.ndarray:
    """Positions of the columns that tell most, one by one, about the target, by the F statistic.

    Trees cost in proportion to the columns they are offered, and among thousands of correlated ones little is lost.
    """
    from sklearn.feature_selection import f_classif, f_regression

    varies = np.flatnonzero(x.min(axis=0) < x.max(axis=0))
    told = np.full(x.shape[1], -1.0)
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        # scikit-learn calls a column "constant" that tells the classes apart without any error.
        warnings.simplefilter("ignore", UserWarning)
        if len(varies):
            told[varies] = (f_regression if task == "regression" else f_classif)(x[:, varies], y)[0]
    order = np.argsort(-np.nan_to_num(told, posinf=np.finfo(float).max), kind="stable")
    return np.sort(order[:most])


@dataclass(frozen=True)
class Member:
    """A fitted model.

    Attributes
    ----------
    estimator : Selected or Ensemble
    oof : float array, shape=(n, classes), or None
        Scores of the training samples, each by a model that had not seen its group; None where nobody asked.
    parameters : dict
        Chosen from the grid.
    """

    estimator: Selected | Ensemble
    oof: np.ndarray | None
    parameters: dict[str, Any]


def fit(
    name: str, table: Table, y: np.ndarray, inner: list[Fold], settings: Settings, out_of_fold: bool = True
) -> Member:
    """Fit a model of the zoo.

    Parameters
    ----------
    name : str
    table : Table
    y : array, shape=(n,)
        Class indices (each class at least once) or numbers.
    inner : list of Fold
        Grouped folds of these samples.
    settings : Settings
    out_of_fold : bool
        Whether `Member.oof` is wanted.
    """
    model = zoo.get(name)
    if model.parts:
        return _ensemble(model, table, y, inner, settings)
    candidates = _candidates(model.grid) if settings.tune else [{}]
    best: tuple[float, dict[str, Any], np.ndarray | None, list[int]] | None = None
    if out_of_fold or model.margins or len(candidates) > 1:
        for parameters in candidates:
            oof, rounds = _out_of_fold(model, parameters, table, y, inner, settings)
            loss = _loss(oof, y, settings) if len(candidates) > 1 else 0.0
            if best is None or loss < best[0]:
                best = (loss, parameters, oof, rounds)
    elif model.boosted:
        best = (0.0, {}, None, [_fitted(model, {}, table, y, settings, inner[0])[1]])
    _, parameters, oof, rounds = best or (0.0, {}, None, [])
    fixed = int(np.median(rounds)) if model.boosted else None
    return Member(_fitted(model, parameters, table, y, settings, rounds=fixed)[0], oof, parameters)


def _ensemble(model: zoo.Model, table: Table, y, inner, settings: Settings) -> Member:
    found = [fit(part, table, y, inner, settings) for part in model.parts]
    calibrators = [calibration.fitted(m.oof, y, "temperature", settings.balanced) for m in found]
    oof = averaged([m.oof for m in found], calibrators)
    parameters = {name: m.parameters for name, m in zip(model.parts, found, strict=True) if m.parameters}
    return Member(Ensemble(tuple(m.estimator for m in found), tuple(calibrators)), oof, parameters)


def _classes(estimator: Any) -> np.ndarray:
    """Classes that an estimator was trained on; boosting was given them without holes."""
    return getattr(estimator, "present_", estimator.classes_)


def _candidates(grid) -> list[dict[str, Any]]:
    from sklearn.model_selection import ParameterGrid

    return list(ParameterGrid(dict(grid)))


def _out_of_fold(model, parameters, table: Table, y, inner, settings) -> tuple[np.ndarray, list[int]]:
    found, rounds = np.zeros((len(y), settings.classes)), []
    for fold in inner:
        estimator, n = _fitted(model, parameters, table, y, settings, fold)
        rounds.append(n)
        found[fold.test] = estimator.scores_of(getattr(table, model.reads)[fold.test], settings)
    return found, rounds


def _fitted(
    model: zoo.Model, parameters, table: Table, y, settings: Settings, fold: Fold | None = None, rounds=None
) -> tuple[Selected, int]:
    """An estimator fitted on the training part of a fold (or on everything), and its number of boosting rounds.

    Boosting stops early on the fold's test part, unless ``rounds`` says how many there are.
    """
    rest = dict(parameters)
    keep = rest.pop("keep", model.keep)
    estimator = model.make(settings.task, settings.seed, settings.balanced, **rest)
    x = getattr(table, model.reads)
    train = np.arange(len(y)) if fold is None else fold.train
    chosen = None
    if keep is not None and keep < x.shape[1]:
        if model.reads == "components":
            chosen = table.leading(keep)
        else:
            chosen = telling(x[train], y[train], keep, settings.task)
    selected = Selected(estimator, model.reads, chosen)
    offered = selected.seen(x[train])
    if not model.boosted:
        weights = _sample_weights(y[train], settings) if model.balance == "samples" else None
        estimator.fit(offered, y[train], **({} if weights is None else {"sample_weight": weights}))
        if model.balance == "offset" and settings.task == "classification" and settings.balanced:
            share = np.bincount(y[train], minlength=settings.classes) / len(train)
            selected = replace(selected, offset=np.log(np.where(share > 0, share, 1.0)))
        return selected, 0
    if rounds:
        estimator.set_params(n_estimators=rounds)
        _boost(estimator, offered, y[train], settings)
        return selected, rounds
    watched = fold.test
    if settings.task == "classification":
        watched = watched[np.isin(y[watched], y[train])]
    if not len(watched):
        _boost(estimator, offered, y[train], settings)
        return selected, estimator.n_estimators
    estimator.set_params(early_stopping_rounds=20)
    _boost(estimator, offered, y[train], settings, (selected.seen(x[watched]), y[watched]))
    return selected, estimator.best_iteration + 1


def _sample_weights(y: np.ndarray, settings: Settings) -> np.ndarray | None:
    if settings.task == "regression" or not settings.balanced:
        return None
    from sklearn.utils.class_weight import compute_sample_weight

    return compute_sample_weight("balanced", y)


def _boost(estimator, x, y, settings: Settings, watched=None) -> None:
    options: dict[str, Any] = {}
    if settings.task == "classification":
        options["sample_weight"] = _sample_weights(y, settings)
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
        p = found[:, 0]
        ccc = 2 * np.cov(y, p, ddof=0)[0, 1] / max(y.var() + p.var() + (y.mean() - p.mean()) ** 2, 1e-12)
        return 1 - float(ccc)
    hit = found.argmax(axis=1) == y
    if not settings.balanced:
        return 1 - float(hit.mean())
    return 1 - float(np.mean([hit[y == c].mean() for c in np.unique(y)]))
