"""Trains the parts of a fused model on a training set: what a fold of the benchmark does, and what a saved model is.

A part sees only the rows that it is given, so nothing can be fitted on a test sample.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from affectlake.models import early, head, late, member, zoo
from affectlake.models.calibration import Line, Temperature, at_prior, even, probabilities, refined, sample_weights
from affectlake.models.calibration import fitted as calibrated
from affectlake.models.early import Matrix, Table, View, present
from affectlake.models.member import Settings
from affectlake.models.splits import Fold, bounded, inner_folds
from affectlake.models.taken import Taken

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

    blocks: Mapping[str, Matrix]
    y: np.ndarray
    groups: np.ndarray

    def present(self, modality: str) -> np.ndarray:
        """Which samples have the modality."""
        if modality not in self._there:
            known = self._views.get(modality)
            self._there[modality] = present(self.blocks[modality]) if known is None else known.there
        return self._there[modality]

    @cached_property
    def _there(self) -> dict[str, np.ndarray]:
        return {}

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


def released(p: np.ndarray, base: np.ndarray, settings: Settings) -> np.ndarray:
    """Answers of a model that weighs classes as the settings say, at the training's prior ``base``."""
    if settings.task == "regression" or not settings.balanced:
        return p
    return at_prior(p, even(base), base)


@dataclass(frozen=True)
class Unimodal:
    """A model on one modality, with calibrated out-of-fold probabilities of its training samples.

    Probabilities are everywhere those at the frequencies of the training; what a metric makes of them is decided by
    `affectlake.models.calibration.decided`.

    Attributes
    ----------
    block : early.Block
    estimator, calibrator : fitted objects
    oof : float array, shape=(n, classes)
        Of all training samples; the prior's where the modality is missing. Empty in a model that was read from a file.
    prior : float array, shape=(classes,)
    settings : Settings
    known : bool array, shape=(n,)
        Of which training samples the class was known to whoever answered out of fold; empty as `oof` is.
    """

    block: early.Block
    estimator: Any
    calibrator: Any
    oof: np.ndarray
    prior: np.ndarray
    settings: Settings
    known: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))

    def predict(self, x: Matrix | View) -> np.ndarray:
        """Probabilities [shape=(n, classes)] (numbers: [shape=(n, 1)]) for raw features with NaN."""
        view = _view(self.block, x)
        out = np.tile(self.prior, (len(view.there), 1))
        if view.there.any():
            found = self.estimator.scores(Table({"": view}, {"": False}, view.there), self.settings)
            out[view.there] = released(probabilities(found, self.calibrator), self.prior, self.settings)
        return out


def fit_unimodal(data: Data, modality: str, model: str, settings: Settings, calibrate: str, n_inner: int) -> Unimodal:
    """Fit a model on the samples that have a modality."""
    view = data.view(modality)
    there = view.there
    y, groups = data.y[there], data.groups[there]
    base = prior(data.y, settings)
    inner = _inner(groups, y, n_inner, settings)
    fitted = member.fit(model, Table({"": view}, {"": False}, there), y, inner, settings)
    calibration = calibrated(fitted.oof[fitted.known], y[fitted.known], calibrate, settings.balanced)
    oof = np.tile(base, (len(data.y), 1))
    oof[there] = released(probabilities(fitted.oof, calibration), base, settings)
    known = np.ones(len(data.y), dtype=bool)
    known[there] = fitted.known
    return Unimodal(view.block, fitted.estimator, calibration, oof, base, settings, known)


def offered(
    data: Data, kind: str, names: Sequence[str], model: str, settings: Settings, n_inner: int
) -> tuple[Any, ...] | None:
    """What a row's model of trees would be trained on: rows in which it is the same come out the same.

    None where nobody can tell beforehand. Columns of all modalities compete for a place among those that tell most, and
    a modality that wins none changes nothing.
    """
    views = {m: data.view(m) for m in names}
    there = views[names[0]].there if kind == "unimodal" else np.ones(len(data.y), dtype=bool)
    gaps = {m: kind != "unimodal" and not bool(v.there.all()) for m, v in views.items()}
    y, groups = data.y[there], data.groups[there]
    inner = _inner(groups, y, n_inner, settings)
    table = Table(views, gaps, there)
    found = member.offered(model, table, y, inner, settings)
    return None if found is None else (() if there.all() else tuple(names), found)


def _inner(groups: np.ndarray, y: np.ndarray, number: int, settings: Settings) -> list[Fold]:
    """Inner folds of a model, whose training parts have an upper bound."""
    return bounded(inner_folds(groups, y, number, settings.seed), settings.seed)


def _view(block: early.Block, x: Matrix | View) -> View:
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
    prior: np.ndarray
    settings: Settings
    oof: np.ndarray | None = None

    def predict(self, blocks: Mapping[str, Matrix | View]) -> np.ndarray:
        """Probabilities [shape=(n, classes)], or numbers [shape=(n, 1)]."""
        table = Table({m: _view(self.blocks[m], blocks[m]) for m in self.names}, self.gaps)
        found = probabilities(self.estimator.scores(table, self.settings), self.calibrator)
        return released(found, self.prior, self.settings)


def fit_early(data: Data, names: Sequence[str], model: str, settings: Settings, calibrate: str, n_inner: int) -> Early:
    """Fit a model on modalities side by side; samples that lack some take part."""
    views = {m: data.view(m) for m in names}
    gaps = {m: not bool(v.there.all()) for m, v in views.items()}
    inner = _inner(data.groups, data.y, n_inner, settings)
    fitted = member.fit(model, Table(views, gaps), data.y, inner, settings)
    known = fitted.known
    calibration = calibrated(fitted.oof[known], data.y[known], calibrate, settings.balanced)
    base = prior(data.y, settings)
    oof = released(probabilities(fitted.oof, calibration), base, settings)
    prepared = {m: v.block for m, v in views.items()}
    return Early(tuple(names), prepared, gaps, fitted.estimator, calibration, base, settings, oof)


@dataclass(frozen=True)
class HeadFusion:
    """The MLP fusion head with the preparation of its blocks, and a calibration of its own.

    Attributes
    ----------
    oof : float array, shape=(n, classes), or None
        Out-of-fold answers about its training samples; None in a model that was read from a file.
    """

    names: tuple[str, ...]
    blocks: dict[str, early.Block]
    head: head.Head
    prior: np.ndarray
    settings: Settings
    refinement: Line | Temperature | None = None
    oof: np.ndarray | None = None

    def predict(self, blocks: Mapping[str, Matrix | View]) -> np.ndarray:
        """Probabilities [shape=(n, classes)], or numbers [shape=(n, 1)]."""
        views = {m: _view(self.blocks[m], blocks[m]) for m in self.names}
        return self._refined(self.head.predict(*_leading(views, self.head.widths)))

    def _refined(self, p: np.ndarray) -> np.ndarray:
        return released(p if self.refinement is None else self.refinement(p), self.prior, self.settings)


def fit_head(data: Data, names: Sequence[str], kind: str, settings: Settings, n_inner: int) -> HeadFusion:
    """Train a head; samples that lack modalities take part."""
    views = {m: data.view(m) for m in names}
    widths = {m: min(v.components.shape[1], zoo.COMPONENTS) for m, v in views.items()}
    blocks, there = _leading(views, widths)
    inner = inner_folds(data.groups, data.y, n_inner, settings.seed)
    fitted = head.fit(blocks, there, data.y, inner, settings.classes, settings.balanced, settings.seed, kind)
    said, known = np.asarray(fitted.oof), member.classes_known(data.y, inner, settings)
    refinement = refined(said[known], data.y[known], settings.balanced)
    prepared = {m: v.block for m, v in views.items()}
    found = HeadFusion(tuple(names), prepared, fitted, prior(data.y, settings), settings, refinement)
    return replace(found, oof=found._refined(said))


def _leading(
    views: Mapping[str, View], widths: Mapping[str, int]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Leading components of each modality, scaled to the same variance, and which samples have it."""
    blocks = {m: v.components[:, : widths[m]] * v.scale(early.VARIANCE) for m, v in views.items()}
    return blocks, {m: v.there for m, v in views.items()}


@dataclass(frozen=True)
class Late:
    """How the probabilities of single modalities are put together.

    Where classes count alike they are put together at an even prior, whichever they hold at: it counts once.

    Attributes
    ----------
    method : "mean" | "weighted" | "product" | "stacking"
    names : tuple of str
    prior : float array, shape=(classes,)
    settings : Settings
    weights : float array, shape=(modalities,), or None
    stacker : scikit-learn estimator or None
    refinement : Line, Temperature or None
        A calibration of its own.
    oof : float array, shape=(n, classes), or None
        Answers about its training samples, none by what was fitted on them; None in a model that was read from a file.
    """

    method: str
    names: tuple[str, ...]
    prior: np.ndarray
    settings: Settings
    weights: np.ndarray | None = None
    stacker: Any = None
    refinement: Line | Temperature | None = None
    oof: np.ndarray | None = None

    def predict(self, p: Mapping[str, np.ndarray], there: Mapping[str, np.ndarray]) -> np.ndarray:
        """Fused probabilities [shape=(n, classes)] from each modality's."""
        return self.finished(self.fused(p, there), there)

    @property
    def base(self) -> np.ndarray:
        """The prior [shape=(classes,)] at which modalities are put together."""
        moved = self.settings.task == "classification" and self.settings.balanced
        return even(self.prior) if moved else self.prior

    def stacked(self, p: Mapping[str, np.ndarray]) -> np.ndarray:
        """Each modality's answers at `base` [shape=(modalities, n, classes)]."""
        given = [p[m] for m in self.names]
        if self.base is not self.prior:
            given = [at_prior(q, self.prior, self.base) for q in given]
        return np.stack(given)

    def fused(self, p: Mapping[str, np.ndarray], there: Mapping[str, np.ndarray]) -> np.ndarray:
        """Put together, but not calibrated, at `base`."""
        stacked, known, base = self.stacked(p), late.stack(self.names, there), self.base
        match self.method:
            case "mean":
                return late.mean(stacked, known, base)
            case "product":
                return late.product(stacked, known, base)
            case "weighted":
                pool = late.pooled if self.settings.task == "classification" else late.weighted_mean
                return pool(stacked, known, base, np.asarray(self.weights))
        if len(base) == 1:
            x = late.stacking_features(stacked, known, base)
            return np.asarray(self.stacker.predict(x)).reshape(-1, 1)
        # Of a class that it could not learn it takes over what the modalities say on average.
        learned, out = self.stacker.classes_, late.mean(stacked, known, base)
        x = late.stacking_features(late.among(stacked, learned), known, late.among(base, learned))
        others = out.sum(axis=1) - out[:, learned].sum(axis=1)
        out[:, learned] = self.stacker.predict_proba(x) * (1 - others)[:, None]
        return out

    def finished(self, fused: np.ndarray, there: Mapping[str, np.ndarray]) -> np.ndarray:
        """Calibrated, at the training's prior, which answers about a sample without any modality."""
        known = np.any(late.stack(self.names, there), axis=0)[:, None]
        refined = fused if self.refinement is None else self.refinement(fused)
        return np.where(known, released(refined, self.prior, self.settings), self.prior)


def fit_late(
    method: str,
    names: Sequence[str],
    oof: Mapping[str, np.ndarray],
    there: Mapping[str, np.ndarray],
    informed: Mapping[str, np.ndarray],
    data: Data,
    settings: Settings,
    n_inner: int,
) -> Late:
    """Fit the fusion on out-of-fold probabilities of the training samples.

    ``informed``: see `Unimodal.known`. A sample whose class was unknown to whoever answered about it says nothing of
    how answers are to be put together, and with a weight of its class' own it would say it loudly.

    A mean and a product fit nothing, and powers are so few that they cannot learn their samples; stacking is fitted
    again without each inner fold, for its own answers about them.
    """
    start = Late(method, tuple(names), prior(data.y, settings), settings)
    knew = np.logical_and.reduce([informed[m] for m in names])
    if settings.task == "classification" and len(np.unique(data.y[knew])) < 2:
        knew = np.ones(len(data.y), dtype=bool)
    fitted = _fitted_late(start, oof, there, data.y, np.flatnonzero(knew))
    if method == "stacking":
        found = np.zeros((len(data.y), settings.classes))
        for fold in inner_folds(data.groups, data.y, n_inner, settings.seed):
            found[fold.test] = _without(start, oof, there, data.y, knew, fold)
    else:
        found = fitted.fused(oof, there)
    known = late.stack(names, there).any(axis=0) & knew
    refinement = refined(found[known], data.y[known], settings.balanced)
    fitted = replace(fitted, refinement=refinement)
    return replace(fitted, oof=fitted.finished(found, there))


def _without(
    start: Late,
    oof: Mapping[str, np.ndarray],
    there: Mapping[str, np.ndarray],
    y: np.ndarray,
    knew: np.ndarray,
    fold: Fold,
) -> np.ndarray:
    """Answers about a fold's tested samples by a fusion that is fitted on the others."""
    fitted = _fitted_late(start, oof, there, y, fold.train[knew[fold.train]])
    return fitted.fused({m: p[fold.test] for m, p in oof.items()}, {m: t[fold.test] for m, t in there.items()})


def _fitted_late(
    start: Late, oof: Mapping[str, np.ndarray], there: Mapping[str, np.ndarray], y: np.ndarray, rows: np.ndarray
) -> Late:
    if start.method not in ("weighted", "stacking"):
        return start
    settings, base, truth = start.settings, start.base, y[rows]
    stacked, known = start.stacked(oof)[:, rows], late.stack(start.names, there)[:, rows]
    if start.method == "stacking":
        learned = np.unique(truth) if settings.task == "classification" else np.arange(len(base))
        x = late.stacking_features(late.among(stacked, learned), known, late.among(base, learned))
        return replace(start, stacker=late.fit_stacking(x, truth, len(base), settings.balanced))
    if settings.task == "regression":
        return replace(start, weights=late.fit_weights(stacked, known, base, truth))
    weights = sample_weights(truth, settings.balanced)
    return replace(start, weights=late.fit_powers(stacked, known, base, truth, weights))


@dataclass(frozen=True)
class _Rows(Mapping[str, Matrix]):
    """Some rows of blocks, see `affectlake.models.taken`."""

    blocks: Mapping[str, Matrix]
    rows: np.ndarray

    def __getitem__(self, modality: str) -> Matrix:
        return Taken.of(self.blocks[modality], self.rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.blocks)

    def __len__(self) -> int:
        return len(self.blocks)


def subset(data: Data, rows: np.ndarray) -> Data:
    """Some of the samples."""
    return Data(_Rows(data.blocks, rows), data.y[rows], data.groups[rows])
