"""One model on one table: fitted, tuned and scored out of fold on grouped inner folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import logsumexp

from affectlake.models import calibration, kernel, zoo
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


_AT_ONCE = 2**16  # samples that a model is asked about


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

    def scores(
        self, table: Table, settings: Settings, rows: np.ndarray | None = None, rounds: int | None = None
    ) -> np.ndarray:
        """Margins or log-probabilities [shape=(n, classes)]; predictions [shape=(n, 1)] of a regressor.

        A class that was absent from the estimator's training samples gets the lowest score.

        Parameters
        ----------
        table : Table
        settings : Settings
        rows : int array, optional
            Positions among the table's samples; by default all.
        rounds : int, optional
            By the first rounds of boosting only.
        """
        only = {"iteration_range": (0, rounds)} if rounds else {}
        asked = np.arange(len(table)) if rows is None else rows
        parts = [asked[i : i + _AT_ONCE] for i in range(0, max(len(asked), 1), _AT_ONCE)]
        found = np.concatenate([self._said(table.read(self.reads, self.columns, p), settings, only) for p in parts])
        if settings.task == "regression":
            return found
        if found.shape[1] < settings.classes:
            full = np.full((len(found), settings.classes), min(found.min(), np.log(1e-7)))
            full[:, np.asarray(_classes(self.estimator), dtype=int)] = found
            found = full
        found = found.astype(np.float64)
        return found if self.offset is None else found - self.offset

    def _said(self, x: np.ndarray, settings: Settings, only: dict[str, Any]) -> np.ndarray:
        estimator = self.estimator
        if settings.task == "regression":
            numbers = kernel.scores(estimator, x) if kernel.radial(estimator) else estimator.predict(x, **only)
            return np.asarray(numbers.reshape(-1, 1).astype(np.float64))
        if hasattr(estimator, "predict_proba"):
            return log_probabilities(estimator.predict_proba(x, **only))
        found = kernel.scores(estimator, x) if kernel.radial(estimator) else estimator.decision_function(x)
        return np.column_stack([-found, found]) / 2 if found.ndim == 1 else found


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


@dataclass(frozen=True)
class Member:
    """A fitted model.

    Attributes
    ----------
    estimator : Selected or Ensemble
    oof : float array, shape=(n, classes)
        Scores of the training samples, each by a model that had not seen its group, nor stopped on it.
    parameters : dict
        Chosen from the grid.
    known : bool array, shape=(n,)
        Whether that model knew the sample's class; one that a single speaker has is unknown when he is held out.
    """

    estimator: Selected | Ensemble
    oof: np.ndarray
    parameters: dict[str, Any]
    known: np.ndarray


def fit(name: str, table: Table, y: np.ndarray, inner: list[Fold], settings: Settings) -> Member:
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
    """
    model = zoo.get(name)
    if model.parts:
        return _ensemble(model, table, y, inner, settings)
    tried = _along_path(model, table, y, inner, settings) if model.path else []
    if not tried:
        for parameters in _candidates(model.grid) if settings.tune else [{}]:
            tried.append((parameters, *_out_of_fold(model, parameters, table, y, inner, settings)))
    known = classes_known(y, inner, settings)
    parameters, oof, rounds = tried[0]
    if len(tried) > 1:
        measure = _cross_entropy if model.path and settings.task == "classification" else _loss
        parameters, oof, rounds = min(tried, key=lambda t: measure(t[1][known], y[known], settings))
    fixed = min(zoo.ROUNDS, model.stretch * int(np.median(rounds))) if model.boosted else None
    return Member(_fitted(model, parameters, table, y, settings, rounds=fixed)[0], oof, parameters, known)


def classes_known(y: np.ndarray, inner: list[Fold], settings: Settings) -> np.ndarray:
    """Samples [shape=(n,)] whose class was known to the inner model that scored them."""
    known = np.ones(len(y), dtype=bool)
    if settings.task == "classification":
        for fold in inner:
            known[fold.test] = np.isin(y[fold.test], y[fold.train])
    return known if known.any() else ~known


Tried = tuple[dict[str, Any], np.ndarray, list[int]]
"""Parameters, out-of-fold scores by them, and rounds of boosting on each inner fold."""


def _along_path(model: zoo.Model, table: Table, y: np.ndarray, inner: list[Fold], settings: Settings) -> list[Tried]:
    """Out-of-fold scores by each strength of a model's path; each fit begins where the stronger one ended."""
    candidates = _candidates(model.path)
    found = [np.zeros((len(y), settings.classes)) for _ in candidates]
    for fold in inner:
        x = table.read(model.reads, None, fold.train)
        estimator = model.make(settings.task, settings.seed, settings.balanced)
        for scores, parameters in zip(found, candidates, strict=True):
            fresh = model.make(settings.task, settings.seed, settings.balanced, **parameters)
            estimator.set_params(**fresh.get_params())
            estimator.fit(x, y[fold.train])
            scores[fold.test] = Selected(estimator, model.reads).scores(table, settings, fold.test)
    return [(p, s, []) for p, s in zip(candidates, found, strict=True)]


def _ensemble(model: zoo.Model, table: Table, y: np.ndarray, inner: list[Fold], settings: Settings) -> Member:
    found = [fit(part, table, y, inner, settings) for part in model.parts]
    known = found[0].known
    calibrators = [calibration.fitted(m.oof[known], y[known], "temperature", settings.balanced) for m in found]
    oof = averaged([m.oof for m in found], calibrators)
    parameters = {name: m.parameters for name, m in zip(model.parts, found, strict=True) if m.parameters}
    parts = tuple(m.estimator for m in found if isinstance(m.estimator, Selected))
    return Member(Ensemble(parts, tuple(calibrators)), oof, parameters, known)


def _classes(estimator: Any) -> np.ndarray:
    """Classes that an estimator was trained on; boosting was given them without holes."""
    return getattr(estimator, "present_", estimator.classes_)


def _candidates(grid: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    from sklearn.model_selection import ParameterGrid

    return list(ParameterGrid(dict(grid)))


def _out_of_fold(
    model: zoo.Model,
    parameters: Mapping[str, Any],
    table: Table,
    y: np.ndarray,
    inner: list[Fold],
    settings: Settings,
) -> tuple[np.ndarray, list[int]]:
    found, rounds = np.zeros((len(y), settings.classes)), []
    given = {**model.fewer, **parameters}
    for fold in inner:
        seen = _seen(model, given.get("keep", model.keep), table, fold)
        estimator, n = _fitted(model, given, seen, y, settings, fold)
        rounds.append(n)
        for half, stopped in _stops(estimator.estimator, fold):
            found[fold.test[half]] = estimator.scores(seen, settings, fold.test[half], stopped)
    return found, rounds


def _seen(model: zoo.Model, keep: int | None, table: Table, fold: Fold) -> Table:
    """The table as its training samples alone would have it, for a model that is offered the first components.

    The first axes of all samples hold what sets those apart that are held out. All axes together lose nothing.
    """
    if model.reads != "components" or keep is None or keep >= table.width("components"):
        return table
    return table.turned(fold.train, keep)


def _stops(estimator: Any, fold: Fold) -> list[tuple[np.ndarray, int | None]]:
    """Parts of a fold's tested samples, and after how many rounds boosting is asked about each.

    Each half is scored where the other half says to stop: a score of samples that were stopped on would say too much.
    """
    everything = np.ones(len(fold.test), dtype=bool)
    if fold.half is None or not hasattr(estimator, "halves_"):
        return [(everything, None)]
    logs = [next(iter(log.values())) for log in estimator.evals_result().values()]
    first, second = (int(np.argmin(log)) + 1 for log in logs[:2])
    return [(fold.half, first), (~fold.half, second)]


def _fitted(
    model: zoo.Model,
    parameters: Mapping[str, Any],
    table: Table,
    y: np.ndarray,
    settings: Settings,
    fold: Fold | None = None,
    rounds: int | None = None,
) -> tuple[Selected, int]:
    """An estimator fitted on the training part of a fold (or on everything), and its number of boosting rounds.

    Boosting stops early on the fold's test part, unless ``rounds`` says how many there are.
    """
    rest = dict(parameters)
    keep = rest.pop("keep", model.keep)
    estimator = model.make(settings.task, settings.seed, settings.balanced, **rest)
    train = np.arange(len(y)) if fold is None else fold.train
    chosen = _chosen(model, keep, table, y, settings, train)
    selected = Selected(estimator, model.reads, chosen)
    offered = table.read(model.reads, chosen, train)
    if kernel.radial(estimator):
        kernel.fit(estimator, offered, y[train])
        return selected, 0
    if not model.boosted:
        weights = _sample_weights(y[train], settings) if model.balance == "samples" else None
        estimator.fit(offered, y[train], **({} if weights is None else {"sample_weight": weights}))
        if model.balance == "offset" and settings.task == "classification" and settings.balanced:
            share = np.bincount(y[train], minlength=settings.classes) / len(train)
            selected = replace(selected, offset=np.log(np.where(share > 0, share, 1.0)))
        return selected, 0
    if fold is None:
        estimator.set_params(n_estimators=rounds or estimator.n_estimators)
        _boost(estimator, offered, y[train], settings)
        return selected, estimator.n_estimators
    watched: np.ndarray = np.ones(len(fold.test), dtype=bool)
    if settings.task == "classification":
        watched = np.isin(y[fold.test], y[train])
    if not watched.any():
        _boost(estimator, offered, y[train], settings)
        return selected, estimator.n_estimators
    parts = [fold.test[watched]]
    if fold.half is not None and (watched & fold.half).any() and (watched & ~fold.half).any():
        # The last is what training itself stops on; the halves are told apart afterwards.
        parts = [fold.test[watched & ~fold.half], fold.test[watched & fold.half], *parts]
        estimator.halves_ = True
    estimator.set_params(early_stopping_rounds=20 // model.stretch)
    _boost(estimator, offered, y[train], settings, [(table.read(model.reads, chosen, part), y[part]) for part in parts])
    return selected, estimator.best_iteration + 1


def _chosen(
    model: zoo.Model, keep: int | None, table: Table, y: np.ndarray, settings: Settings, train: np.ndarray
) -> np.ndarray | None:
    """Positions of what a model is offered that is fitted on some samples; None for all there is."""
    if keep is None or keep >= table.width(model.reads):
        return None
    return table.leading(keep) if model.reads == "components" else table.telling(y[train], keep, settings.task, train)


def offered(
    name: str, table: Table, y: np.ndarray, inner: list[Fold], settings: Settings
) -> tuple[tuple[tuple[str, int], ...], ...] | None:
    """Which columns `fit` would offer to a model of trees, on each inner fold and on all samples.

    Of tables in which these are the same, all that comes of the model is the same. None for other models.
    """
    model = zoo.get(name)
    if model.reads != "prepared":
        return None
    every = np.arange(table.width(model.reads))
    chosen = [
        _chosen(model, model.keep, table, y, settings, train)
        for train in (*(f.train for f in inner), np.arange(len(y)))
    ]
    return tuple(table.named(every if at is None else at) for at in chosen)


def _sample_weights(y: np.ndarray, settings: Settings) -> np.ndarray | None:
    if settings.task == "regression" or not settings.balanced:
        return None
    from sklearn.utils.class_weight import compute_sample_weight

    return compute_sample_weight("balanced", y)


def _boost(
    estimator: Any,
    x: np.ndarray,
    y: np.ndarray,
    settings: Settings,
    watched: Sequence[tuple[np.ndarray, np.ndarray]] = (),
) -> None:
    options: dict[str, Any] = {}
    if settings.task == "classification":
        options["sample_weight"] = _sample_weights(y, settings)
        # xgboost wants classes 0 … k-1 without holes: a fold may lack one.
        estimator.present_, y = np.unique(y, return_inverse=True)
        watched = [(a, np.searchsorted(estimator.present_, b)) for a, b in watched]
    if watched:
        options["eval_set"] = list(watched)
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


_TEMPERATURES = 2.0 ** np.arange(-4, 5)


def _cross_entropy(found: np.ndarray, y: np.ndarray, settings: Settings) -> float:
    """Of scores at the temperature that suits them best: strengths differ in it, and it is fitted afterwards anyway.

    Steadier than the error, which is a step function of the strength.
    """
    weights = _sample_weights(y, settings)
    weights = np.ones(len(y)) if weights is None else weights
    own = np.arange(len(y)), y
    losses = [(weights * (logsumexp(found * t, axis=1) - (found * t)[own])).sum() for t in _TEMPERATURES]
    return float(min(losses) / weights.sum())
