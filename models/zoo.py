"""The models: by name, with defaults that suit frozen features of some hundred columns and a thousand samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from affectlake.data.errors import UnknownName

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Model:
    """A model of the zoo.

    Attributes
    ----------
    name : str
    make : callable(task, seed, balanced, **parameters)
        An unfitted scikit-learn estimator for scaled features without gaps.
    grid : mapping of str to list
        What ``tune`` searches.
    margins : bool
        Its scores are no probabilities, so that it is calibrated even where that costs further fits.
    boosted : bool
        Takes a held-out part to stop on.
    most : int or None
        Columns that it is offered at most, see `affectlake.models.member.Selected`.
    """

    name: str
    make: Callable[..., Any]
    grid: Mapping[str, list[Any]] = field(default_factory=dict)
    margins: bool = False
    boosted: bool = False
    most: int | None = None


def _logreg(task: Task, seed: int, balanced: bool, C: float = 0.02):
    if task == "regression":
        from sklearn.linear_model import Ridge

        return Ridge(alpha=1 / C, random_state=seed)
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=2000, class_weight="balanced" if balanced else None)


def _svm_rbf(task: Task, seed: int, balanced: bool, C: float = 5.0, gamma: Any = "scale"):
    from sklearn.svm import SVC, SVR

    if task == "regression":
        return SVR(C=C, gamma=gamma)
    return SVC(C=C, gamma=gamma, class_weight="balanced" if balanced else None, random_state=seed)


def _svm_linear(task: Task, seed: int, balanced: bool, C: float = 0.002):
    from sklearn.svm import LinearSVC, LinearSVR

    if task == "regression":
        return LinearSVR(C=C, random_state=seed, max_iter=20_000)
    return LinearSVC(C=C, class_weight="balanced" if balanced else None, random_state=seed, max_iter=20_000)


def _lda(task: Task, seed: int, balanced: bool):
    if task == "regression":
        from sklearn.linear_model import BayesianRidge

        return BayesianRidge()
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")


def _knn(task: Task, seed: int, balanced: bool, n_neighbors: int = 15):
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    kind = KNeighborsRegressor if task == "regression" else KNeighborsClassifier
    return kind(n_neighbors=n_neighbors, weights="distance", algorithm="brute")


def _random_forest(task: Task, seed: int, balanced: bool, min_samples_leaf: int = 2):
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    common = {"n_estimators": 300, "min_samples_leaf": min_samples_leaf, "random_state": seed, "n_jobs": 1}
    if task == "regression":
        return RandomForestRegressor(max_features=0.1, **common)
    return RandomForestClassifier(class_weight="balanced" if balanced else None, **common)


def _extra_trees(task: Task, seed: int, balanced: bool, min_samples_leaf: int = 2):
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    common = {"n_estimators": 300, "min_samples_leaf": min_samples_leaf, "random_state": seed, "n_jobs": 1}
    if task == "regression":
        return ExtraTreesRegressor(max_features=0.1, **common)
    return ExtraTreesClassifier(class_weight="balanced" if balanced else None, **common)


def _xgboost(task: Task, seed: int, balanced: bool, max_depth: int = 3, learning_rate: float = 0.1):
    from xgboost import XGBClassifier, XGBRegressor

    kind = XGBRegressor if task == "regression" else XGBClassifier
    return kind(
        n_estimators=ROUNDS,
        max_depth=max_depth,
        learning_rate=learning_rate,
        subsample=0.8,
        colsample_bytree=0.1,
        max_bin=64,
        tree_method="hist",
        n_jobs=1,
        random_state=seed,
    )


def _mlp(task: Task, seed: int, balanced: bool, alpha: float = 1.0):
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    kind = MLPRegressor if task == "regression" else MLPClassifier
    # Stops as soon as the training loss gains less than a hundredth in five epochs: longer would only overfit.
    return kind(hidden_layer_sizes=(128,), alpha=alpha, max_iter=2000, tol=1e-2, n_iter_no_change=5, random_state=seed)


ROUNDS = 300
"""Most rounds of boosting; a held-out inner fold stops it earlier."""

COLUMNS = 256
"""Columns that models of trees are offered at most."""

MODELS = {
    m.name: m
    for m in (
        Model("logreg", _logreg, {"C": [0.002, 0.02, 0.2]}),
        Model("svm-rbf", _svm_rbf, {"C": [1.0, 5.0, 20.0]}, margins=True),
        Model("random-forest", _random_forest, {"min_samples_leaf": [1, 2, 5]}, most=COLUMNS),
        Model("xgboost", _xgboost, {"max_depth": [2, 3, 5]}, boosted=True, most=COLUMNS),
        Model("svm-linear", _svm_linear, {"C": [0.0002, 0.002, 0.02]}, margins=True),
        Model("lda", _lda),
        Model("knn", _knn, {"n_neighbors": [5, 15, 45]}),
        Model("extra-trees", _extra_trees, {"min_samples_leaf": [1, 2, 5]}, most=COLUMNS),
        Model("mlp", _mlp, {"alpha": [0.1, 1.0, 10.0]}),
    )
}
DEFAULT = ("logreg", "svm-rbf", "random-forest", "xgboost")


def get(name: str) -> Model:
    """The model called ``name``; raises UnknownName."""
    if name not in MODELS:
        raise UnknownName("model", name, MODELS)
    return MODELS[name]
