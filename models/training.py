"""Trains the parts of a fused model on a training set: what a fold of the benchmark does, and what a saved model is.

A part sees only the rows that it is given, so nothing can be fitted on a test sample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from affectlake.models import early, head, late, member
from affectlake.models.calibration import calibrator
from affectlake.models.member import Settings
from affectlake.models.splits import inner_folds


@dataclass(frozen=True)
class Data:
    """Samples as arrays.

    Attributes
    ----------
    blocks : mapping of modality to float array, shape=(n, columns)
        NaN where there is no value; a row without any value lacks the modality.
    y : array, shape=(n,)
        Class indices or numbers.
    groups : array, shape=(n,)
        What inner folds keep together.
    """

    blocks: Mapping[str, np.ndarray]
    y: np.ndarray
    groups: np.ndarray

    def present(self, modality: str) -> np.ndarray:
        return present(self.blocks[modality])


def present(block: np.ndarray) -> np.ndarray:
    """Which rows have any value."""
    return ~np.isnan(block).all(axis=1)


def prior(y: np.ndarray, settings: Settings) -> np.ndarray:
    """What is answered about a sample of which nothing is known: class frequencies, or the mean."""
    if settings.task == "regression":
        return np.array([y.mean()])
    return np.bincount(y, minlength=settings.classes) / len(y)


@dataclass(frozen=True)
class Unimodal:
    """A model on one modality, with calibrated out-of-fold probabilities of its training samples.

    Attributes
    ----------
    block : early.Block
    estimator, calibrator : fitted objects; the calibrator is None for numbers
    oof : float array, shape=(n, classes)
        Of all training samples; the prior's where the modality is missing.
    prior : float array, shape=(classes,)
    settings : Settings
    """

    block: early.Block
    estimator: Any
    calibrator: Any
    oof: np.ndarray | None
    prior: np.ndarray
    settings: Settings

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities [shape=(n, classes)] (numbers: [shape=(n, 1)]) for raw features with NaN."""
        there = present(x)
        out = np.tile(self.prior, (len(x), 1))
        if there.any():
            found = member.scores(self.estimator, self.block.transform(x[there]), self.settings)
            out[there] = _probabilities(found, self.calibrator, self.settings)
        return out


def fit_unimodal(data: Data, modality: str, model: str, settings: Settings, calibrate: str, n_inner: int) -> Unimodal:
    """Fit a model on the samples that have a modality."""
    there = np.flatnonzero(data.present(modality))
    x, y, groups = data.blocks[modality][there], data.y[there], data.groups[there]
    block = early.Block().fit(x)
    base = prior(data.y, settings)
    inner = inner_folds(groups, y, n_inner, settings.seed)
    fitted = member.fit(model, block.transform(x), y, inner, settings)
    calibration = _calibrator(fitted.oof, y, calibrate, settings)
    oof = np.tile(base, (len(data.y), 1))
    oof[there] = _probabilities(fitted.oof, calibration, settings)
    return Unimodal(block, fitted.estimator, calibration, oof, base, settings)


def _calibrator(scores: np.ndarray, y: np.ndarray, method: str, settings: Settings) -> Any:
    """None where there is nothing to calibrate, or too little: a class that was never seen has no calibration."""
    if settings.task == "regression" or len(np.unique(y)) < settings.classes:
        return None
    return calibrator(scores, y, method)


def _probabilities(scores: np.ndarray, calibration: Any, settings: Settings) -> np.ndarray:
    if settings.task == "regression":
        return scores
    if calibration is not None:
        return calibration.predict_proba(scores)
    return softmax(scores, axis=1)


@dataclass(frozen=True)
class Early:
    """One model over several modalities side by side."""

    names: tuple[str, ...]
    blocks: dict[str, early.Block]
    gaps: dict[str, bool]
    estimator: Any
    calibrator: Any
    settings: Settings

    def predict(self, blocks: Mapping[str, np.ndarray]) -> np.ndarray:
        """Probabilities [shape=(n, classes)], or numbers [shape=(n, 1)]."""
        x = early.side_by_side(*_transformed(self.blocks, blocks), self.gaps, self.names)
        return _probabilities(member.scores(self.estimator, x, self.settings), self.calibrator, self.settings)


def fit_early(data: Data, names: Sequence[str], model: str, settings: Settings, calibrate: str, n_inner: int) -> Early:
    """Fit a model on modalities side by side; samples that lack some take part."""
    from affectlake.models import zoo

    prepared = _prepared(data, names)
    blocks, there = _transformed(prepared, data.blocks)
    gaps = {m: not bool(there[m].all()) for m in names}
    x = early.side_by_side(blocks, there, gaps, names)
    inner = inner_folds(data.groups, data.y, n_inner, settings.seed)
    margins = zoo.get(model).margins
    fitted = member.fit(model, x, data.y, inner, settings, out_of_fold=margins)
    calibration = _calibrator(fitted.oof, data.y, calibrate, settings) if margins else None
    return Early(tuple(names), prepared, gaps, fitted.estimator, calibration, settings)


def _prepared(data: Data, names: Sequence[str]) -> dict[str, early.Block]:
    """Preparations fitted on the samples that have each modality."""
    return {m: early.Block().fit(data.blocks[m][data.present(m)]) for m in names}


def _transformed(
    prepared: Mapping[str, early.Block], blocks: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Prepared blocks, zeros where a sample lacks the modality, and which samples have it."""
    out, there = {}, {}
    for m, block in prepared.items():
        there[m] = present(blocks[m])
        out[m] = np.zeros(blocks[m].shape, dtype=np.float32)
        if there[m].any():
            out[m][there[m]] = block.transform(blocks[m][there[m]])
    return out, there


@dataclass(frozen=True)
class Headed:
    """The MLP fusion head with the preparation of its blocks."""

    names: tuple[str, ...]
    blocks: dict[str, early.Block]
    head: head.Head

    def predict(self, blocks: Mapping[str, np.ndarray]) -> np.ndarray:
        """Probabilities [shape=(n, classes)], or numbers [shape=(n, 1)]."""
        return self.head.predict(*_transformed(self.blocks, blocks))


def fit_head(data: Data, names: Sequence[str], kind: str, settings: Settings, n_inner: int) -> Headed:
    """Train a head; samples that lack modalities take part."""
    prepared = _prepared(data, names)
    blocks, there = _transformed(prepared, data.blocks)
    inner = inner_folds(data.groups, data.y, n_inner, settings.seed)
    fitted = head.fit(blocks, there, data.y, inner, settings.classes, settings.balanced, settings.seed, kind)
    return Headed(tuple(names), prepared, fitted)


@dataclass(frozen=True)
class Late:
    """How the probabilities of single modalities are put together.

    Attributes
    ----------
    method : "mean" | "weighted" | "product" | "stacking"
    names : tuple of str
    prior : float array, shape=(classes,)
    weights : float array, shape=(modalities,), or None
    stacker : scikit-learn estimator or None
    """

    method: str
    names: tuple[str, ...]
    prior: np.ndarray
    weights: np.ndarray | None = None
    stacker: Any = None

    def predict(self, p: Mapping[str, np.ndarray], there: Mapping[str, np.ndarray]) -> np.ndarray:
        """Fused probabilities [shape=(n, classes)] from each modality's."""
        stacked, known = late.stack(self.names, p), late.stack(self.names, there)
        match self.method:
            case "mean":
                return late.mean(stacked, known, self.prior)
            case "weighted":
                return late.weighted(stacked, known, self.prior, self.weights)
            case "product":
                return late.product(stacked, known, self.prior)
        x = late.stacking_features(stacked, known, self.prior)
        if len(self.prior) == 1:
            return self.stacker.predict(x).reshape(-1, 1)
        out = np.zeros((len(x), len(self.prior)))
        out[:, self.stacker.classes_] = self.stacker.predict_proba(x)
        return out


def fit_late(
    method: str,
    names: Sequence[str],
    oof: Mapping[str, np.ndarray],
    there: Mapping[str, np.ndarray],
    y: np.ndarray,
    base: np.ndarray,
    balanced: bool,
) -> Late:
    """Fit the fusion on out-of-fold probabilities of the training samples."""
    stacked, known = late.stack(names, oof), late.stack(names, there)
    if method == "weighted":
        return Late(method, tuple(names), base, weights=late.fit_weights(stacked, known, base, y))
    if method == "stacking":
        x = late.stacking_features(stacked, known, base)
        return Late(method, tuple(names), base, stacker=late.fit_stacking(x, y, len(base), balanced))
    return Late(method, tuple(names), base)


def subset(data: Data, rows: np.ndarray) -> Data:
    return Data({m: b[rows] for m, b in data.blocks.items()}, data.y[rows], data.groups[rows])
