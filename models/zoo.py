"""The models: by name, with defaults that suit frozen features of some hundred columns and a thousand samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from affectlake.data.errors import UnknownName

Task = Literal["classification", "regression"]
Reads = Literal["prepared", "components", "columns"]
"""What models are offered of a table: columns as they were prepared, principal components scaled so that modalities
have the same variance, or (models that were saved before) columns scaled so."""


def _none(*args: Any, **parameters: Any) -> Any:
    raise TypeError("an ensemble is made of its parts")


@dataclass(frozen=True)
class Model:
    """A model of the zoo.

    Attributes
    ----------
    name : str
    path : mapping of str to list
        A grid that is always searched, of strengths by which fits lead to each other, the strongest first.
    fewer : mapping of str to value
        Parameters of the fits on inner folds, where less will do.
    make : callable(task, seed, balanced, **parameters)
        An unfitted scikit-learn estimator for scaled features without gaps.
    grid : mapping of str to list
        What ``tune`` searches; ``keep`` is not for ``make`` but replaces `keep`.
    reads : "prepared" | "components"
        What it is offered of a table, see `affectlake.models.early.Table`: trees look at columns one by one, all else
        at inner products, which are the same along principal axes and cost less.
    keep : int or None
        How many columns: those that tell most by themselves; or how many of each modality's leading components.
        None: all.
    stretch : int
        Rounds of boosting on everything for each on an inner fold, where steps are so many times as long.
    boosted : bool
        Takes a held-out part to stop on.
    balance : "classes" | "samples" | "offset"
        How it weighs classes alike: by itself, by weights of samples, or by taking the classes' frequencies out of its
        probabilities (Menon et al. 2021).
    numbers : str or None
        What it is called where the label is a quantity.
    parts : tuple of str
        Models of which it is the mean.
    """

    name: str
    make: Callable[..., Any] = _none
    grid: Mapping[str, list[Any]] = field(default_factory=dict)
    path: Mapping[str, list[Any]] = field(default_factory=dict)
    fewer: Mapping[str, Any] = field(default_factory=dict)
    stretch: int = 1
    reads: Reads = "components"
    keep: int | None = None
    boosted: bool = False
    balance: Literal["classes", "samples", "offset"] = "classes"
    numbers: str | None = None
    parts: tuple[str, ...] = ()


def _logreg(task: Task, seed: int, balanced: bool, C: float = 0.5) -> Any:
    if task == "regression":
        from sklearn.linear_model import Ridge

        return Ridge(alpha=1 / C, random_state=seed)
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=2000, class_weight="balanced" if balanced else None, warm_start=True)


def _svm_rbf(task: Task, seed: int, balanced: bool, C: float = 5.0, gamma: float = 1 / 64) -> Any:
    from sklearn.svm import SVC, SVR

    if task == "regression":
        return SVR(C=C, gamma=gamma)
    return SVC(C=C, gamma=gamma, class_weight="balanced" if balanced else None, random_state=seed)


def _svm_linear(task: Task, seed: int, balanced: bool, C: float = 0.02) -> Any:
    from sklearn.svm import LinearSVC, LinearSVR

    if task == "regression":
        return LinearSVR(C=C, random_state=seed, max_iter=20_000)
    return LinearSVC(C=C, class_weight="balanced" if balanced else None, random_state=seed, max_iter=20_000)


def _lda(task: Task, seed: int, balanced: bool) -> Any:
    if task == "regression":
        from sklearn.linear_model import BayesianRidge

        return BayesianRidge()
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")


def _knn(task: Task, seed: int, balanced: bool, n_neighbors: int = 15) -> Any:
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    kind = KNeighborsRegressor if task == "regression" else KNeighborsClassifier
    return kind(n_neighbors=n_neighbors, weights="distance", algorithm="brute")


def _random_forest(task: Task, seed: int, balanced: bool, min_samples_leaf: int = 2, n_estimators: int = 200) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    common = {"n_estimators": n_estimators, "min_samples_leaf": min_samples_leaf, "random_state": seed, "n_jobs": 1}
    if task == "regression":
        return RandomForestRegressor(max_features=0.1, **common)
    return RandomForestClassifier(class_weight="balanced" if balanced else None, **common)


def _extra_trees(task: Task, seed: int, balanced: bool, min_samples_leaf: int = 2, n_estimators: int = 200) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    common = {"n_estimators": n_estimators, "min_samples_leaf": min_samples_leaf, "random_state": seed, "n_jobs": 1}
    if task == "regression":
        return ExtraTreesRegressor(max_features=0.1, **common)
    return ExtraTreesClassifier(class_weight="balanced" if balanced else None, **common)


def _xgboost(task: Task, seed: int, balanced: bool, max_depth: int = 3, learning_rate: float = 0.1) -> Any:
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


def _mlp(task: Task, seed: int, balanced: bool, alpha: float = 1.0) -> Any:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    kind = MLPRegressor if task == "regression" else MLPClassifier
    return kind(hidden_layer_sizes=(128,), alpha=alpha, max_iter=2000, tol=1e-3, random_state=seed)


ROUNDS = 300
"""Most rounds of boosting; held-out inner folds stop it earlier."""

COLUMNS = 256
"""Columns that models of trees are offered at most."""

COMPONENTS = 256
"""Leading components of each modality that networks are offered at most."""

_FEWER = [64, COLUMNS]
_REDUCED = [16, 64, COMPONENTS]
_TREES: dict[str, Any] = {"reads": "prepared", "keep": COLUMNS}
_FORESTS: dict[str, Any] = _TREES | {"fewer": {"n_estimators": 40}}

MODELS = {
    m.name: m
    for m in (
        Model("logreg", _logreg, path={"C": [0.01, 0.03, 0.1, 0.3, 1.0]}, numbers="ridge"),
        Model(
            "svm-rbf",
            _svm_rbf,
            {"gamma": [1 / 128, 1 / 64, 1 / 32], "keep": [64, None]},
            numbers="svr-rbf",
        ),
        Model("random-forest", _random_forest, {"min_samples_leaf": [1, 2, 5], "keep": _FEWER}, **_FORESTS),
        Model(
            "xgboost",
            _xgboost,
            {"max_depth": [2, 3, 5], "keep": _FEWER},
            fewer={"learning_rate": 0.2},
            stretch=2,
            boosted=True,
            **_TREES,
        ),
        Model("svm-linear", _svm_linear, path={"C": [0.001, 0.005, 0.02, 0.1]}, numbers="svr-linear"),
        Model("lda", _lda, {"keep": [32, 64, 128]}, keep=64, balance="offset", numbers="bayesian-ridge"),
        Model("knn", _knn, {"n_neighbors": [5, 15, 45], "keep": _REDUCED}, balance="offset"),
        Model("extra-trees", _extra_trees, {"min_samples_leaf": [1, 2, 5], "keep": _FEWER}, **_FORESTS),
        Model("mlp", _mlp, {"alpha": [0.1, 1.0, 10.0], "keep": _REDUCED}, keep=COMPONENTS, balance="samples"),
        Model("ensemble", parts=("lda", "mlp", "xgboost")),
    )
}
DEFAULT = ("logreg", "svm-rbf", "random-forest", "xgboost")

_NUMBERS = {m.numbers: m for m in MODELS.values() if m.numbers}
NAMES = (*MODELS, *_NUMBERS)
"""Whatever `get` knows."""


def get(name: str) -> Model:
    """The model called ``name``, or called so where the label is a quantity; raises UnknownName."""
    if name in _NUMBERS:
        return _NUMBERS[name]
    if name not in MODELS:
        raise UnknownName("model", name, NAMES)
    return MODELS[name]


def called(name: str, task: Task) -> str:
    """What a model is called in a table of a task: logistic regression is ridge where the label is a quantity."""
    model = get(name)
    return model.numbers if task == "regression" and model.numbers else model.name
