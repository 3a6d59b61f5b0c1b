"""Trains the parts of a fused model on a training set: what a fold of the benchmark does, and what a saved model is.

A part sees only the rows that it is given, so nothing can be fitted on a test sample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from affectlake.models import early, head, late, member, zoo
from affectlake.models.calibration import fitted as calibrated
from affectlake.models.calibration import probabilities
from affectlake.models.early import Table, View, present
from affectlake.models.member import Settings
from affectlake.models.splits import inner_folds

HEADS = {"mlp-head": "projected", "mlp-dense": "dense"}
"""Kind of network (`affectlake.models.head`) behind each fusion by a head."""


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

    @cached_property
    def _views(self) -> dict[str, View]:
        return {}

    def view(self, modality: str) -> View:
        """The modality prepared by a block that is fitted on these samples: once for all models that read it."""
        if modality not in self._views:
            self._views[modality] = View.fitted(self.blocks[modality])
        return self._views[modality]


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
        view = _view(self.block, x)
        out = np.tile(self.prior, (len(view.there), 1))
        if view.there.any():
            found = self.estimator.scores(Table({"": view}, {"": False}, view.there), self.settings)
            out[view.there] = probabilities(found, self.calibrator)
        return out


def fit_unimodal(data: Data, modality: str, model: str, settings: Settings, calibrate: str, n_inner: int) -> Unimodal:
    """Fit a model on the samples that have a modality."""
    view = data.view(modality)
    there = view.there
    y, groups = data.y[there], data.groups[there]
    base = prior(data.y, settings)
    inner = inner_folds(groups, y, n_inner, settings.seed)
    fitted = member.fit(model, Table({"": view}, {"": False}, there), y, inner, settings)
    calibration = calibrated(fitted.oof[fitted.known], y[fitted.known], calibrate, settings.balanced)
    oof = np.tile(base, (len(data.y), 1))
    oof[there] = probabilities(fitted.oof, calibration)
    return Unimodal(view.block, fitted.estimator, calibration, oof, base, settings)


def _view(block: early.Block, x: np.ndarray | View) -> View:
    """A modality of new samples, prepared; a view that a caller kept is taken as it is."""
    if isinstance(x, View):
        if x.block is not block:
            raise ValueError("a view that was prepared for another model")
        return x
    return View(block, x)


@dataclass(frozen=True)
class Early:
    """One model over several modalities side by side.

    Attributes
    ----------
    oof : float array, shape=(n, classes), or None
        Out-of-fold answers about its training samples; None in a model that was read from a file.
    """

    names: tuple[str, ...]
    blocks: dict[str, early.Block]
    gaps: dict[str, bool]
    estimator: Any
    calibrator: Any
    settings: Settings
    oof: np.ndarray | None = None

    def predict(self, blocks: Mapping[str, np.ndarray]) -> np.ndarray:
        """Probabilities [shape=(n, classes)], or numbers [shape=(n, 1)]."""
        table = Table({m: _view(self.blocks[m], blocks[m]) for m in self.names}, self.gaps)
        return probabilities(self.estimator.scores(table, self.settings), self.calibrator)


def fit_early(data: Data, names: Sequence[str], model: str, settings: Settings, calibrate: str, n_inner: int) -> Early:
    """Fit a model on modalities side by side; samples that lack some take part."""
    views = {m: data.view(m) for m in names}
    gaps = {m: not bool(v.there.all()) for m, v in views.items()}
    inner = inner_folds(data.groups, data.y, n_inner, settings.seed)
    fitted = member.fit(model, Table(views, gaps), data.y, inner, settings)
    known = fitted.known
    calibration = calibrated(fitted.oof[known], data.y[known], calibrate, settings.balanced)
    oof = probabilities(fitted.oof, calibration)
    prepared = {m: v.block for m, v in views.items()}
    return Early(tuple(names), prepared, gaps, fitted.estimator, calibration, settings, oof)


@dataclass(frozen=True)
class Headed:
    """The MLP fusion head with the preparation of its blocks."""

    names: tuple[str, ...]
    blocks: dict[str, early.Block]
    head: head.Head

    def predict(self, blocks: Mapping[str, np.ndarray]) -> np.ndarray:
        """Probabilities [shape=(n, classes)], or numbers [shape=(n, 1)]."""
        views = {m: _view(self.blocks[m], blocks[m]) for m in self.names}
        return self.head.predict(*_leading(views, self.head.widths))


def fit_head(data: Data, names: Sequence[str], kind: str, settings: Settings, n_inner: int) -> Headed:
    """Train a head; samples that lack modalities take part."""
    views = {m: data.view(m) for m in names}
    widths = {m: min(v.components.shape[1], zoo.COMPONENTS) for m, v in views.items()}
    blocks, there = _leading(views, widths)
    inner = inner_folds(data.groups, data.y, n_inner, settings.seed)
    fitted = head.fit(blocks, there, data.y, inner, settings.classes, settings.balanced, settings.seed, kind)
    return Headed(tuple(names), {m: v.block for m, v in views.items()}, fitted)


def _leading(
    views: Mapping[str, View], widths: Mapping[str, int]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Leading components of each modality, scaled to the same variance, and which samples have it."""
    blocks = {m: v.components[:, : widths[m]] * v.scale(early.VARIANCE) for m, v in views.items()}
    return blocks, {m: v.there for m, v in views.items()}


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


def late_out_of_fold(
    fitted: Late,
    oof: Mapping[str, np.ndarray],
    there: Mapping[str, np.ndarray],
    y: np.ndarray,
    groups: np.ndarray,
    settings: Settings,
    n_inner: int,
) -> np.ndarray:
    """Answers of a fusion about its training samples [shape=(n, classes)], none by what was fitted on them.

    A mean and a product fit nothing, and weights are so few that they cannot learn their samples; stacking is fitted
    again without each inner fold.
    """
    if fitted.method != "stacking":
        return fitted.predict(oof, there)
    out = np.zeros((len(y), len(fitted.prior)))
    for fold in inner_folds(groups, y, n_inner, settings.seed):
        (p, known), (asked, here) = (
            [{m: v[rows] for m, v in of.items()} for of in (oof, there)] for rows in (fold.train, fold.test)
        )
        part = fit_late(fitted.method, fitted.names, p, known, y[fold.train], fitted.prior, settings.balanced)
        out[fold.test] = part.predict(asked, here)
    return out


def subset(data: Data, rows: np.ndarray) -> Data:
    return Data({m: b[rows] for m, b in data.blocks.items()}, data.y[rows], data.groups[rows])
