"""What is compared and how, and the label as numbers."""

from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd

from affectlake.data.errors import UnknownName, UsageError
from affectlake.models import splits, zoo
from affectlake.models.member import Settings
from affectlake.models.options import Calibration, Metric, Normalisation, PlanOptions, Subsets

FUSIONS = (
    "unimodal",
    "early",
    "late-mean",
    "late-weighted",
    "late-product",
    "late-stacking",
    "mlp-head",
    "dummy",
)
_ALL_FUSIONS = (*FUSIONS, "mlp-dense")
METRICS: tuple[str, ...] = get_args(Metric)
_NUMBERS_FROM = 10  # a numeric label with more values than this is a quantity, not a class


@dataclass(frozen=True, kw_only=True)
class Plan(PlanOptions):
    """What is compared, and how.

    Attributes
    ----------
    protocol : "grouped" | "official" | "loso" | "kfold" | "random" | "cross-corpus"
        See `affectlake.models.splits.folds`; ``cross-corpus`` trains on all corpora but ``test_on``. What is random
        is also run grouped by speaker, and what crosses corpora also with features relative to their corpus, so that
        both scores and the gap are shown.
    models : tuple of str
        See `affectlake.models.zoo`.
    fusions : tuple of str
        ``unimodal``, ``early``, ``late-…``, ``mlp-head`` (``mlp-dense`` is the simplest head), ``dummy``.
    explain : bool
        Permutation importance of the best row.
    inner : int
        Grouped folds inside each training set: for calibration, late fusion, early stopping and tuning.
    draws : int
        Random draws of the rows' joint deviations, by which rows are compared with the best.
    test_on : str or None
        Value of the samples' column ``dataset``, for ``cross-corpus``.
    """

    protocol: str = "grouped"  # type: ignore[assignment]  # that of crossing corpora is none that a user names
    models: tuple[str, ...] = zoo.DEFAULT
    fusions: tuple[str, ...] = FUSIONS
    explain: bool = False
    inner: int = 3
    draws: int = 5000
    test_on: str | None = None

    def __post_init__(self) -> None:
        for kind, given, valid in (
            ("model", self.models, zoo.NAMES),
            ("fusion", self.fusions, _ALL_FUSIONS),
            ("protocol", [self.protocol], (*splits.PROTOCOLS, *(["cross-corpus"] if self.test_on else []))),
            ("normalisation", [self.normalise], get_args(Normalisation)),
            ("subsets", [self.subsets], get_args(Subsets)),
            ("metric", [self.metric], METRICS),
            ("calibration", [self.calibrate], get_args(Calibration)),
        ):
            for name in given:
                if name not in valid:
                    raise UnknownName(kind, name, valid)
        for name, value, least in (("folds", self.folds, 2), ("repeats", self.repeats, 1), ("draws", self.draws, 2)):
            if value < least:
                raise UsageError(f"{name} must be at least {least}, got {value}")


@dataclass(frozen=True)
class Target:
    """The label as numbers.

    Attributes
    ----------
    task : "classification" | "regression"
    y : int or float array, shape=(n,)
    classes : tuple of str
        In the order of class indices; empty for regression.
    """

    task: zoo.Task
    y: np.ndarray
    classes: tuple[str, ...]

    @classmethod
    def of(cls, label: pd.Series) -> "Target":
        """Read a label column: numbers of many different values are a quantity, everything else is classes.

        Raises
        ------
        UsageError
            Fewer than two classes, or a class with a single sample.
        """
        numeric = pd.api.types.is_numeric_dtype(label) and not pd.api.types.is_bool_dtype(label)
        if numeric and label.nunique() > _NUMBERS_FROM:
            return cls("regression", label.to_numpy(dtype=np.float64), ())
        names = label.astype("str")
        counts = names.value_counts()
        if len(counts) < 2:
            raise UsageError(f"label {label.name!r} has {len(counts)} class(es): {', '.join(counts.index)}")
        classes = tuple(sorted(counts.index))
        return cls("classification", names.map({c: i for i, c in enumerate(classes)}).to_numpy(dtype=np.int64), classes)


def settings_of(plan: Plan, target: Target) -> Settings:
    balanced = plan.metric in ("uar", "f1_macro")
    return Settings(target.task, max(len(target.classes), 1), plan.seed, balanced, plan.tune)
