"""What is compared and how."""

from dataclasses import dataclass
from typing import get_args

from affectlake.data.errors import UnknownName, UsageError
from affectlake.models import splits, zoo
from affectlake.models.member import Settings
from affectlake.models.options import Calibration, Metric, Normalisation, PlanOptions, Subsets, TaskName
from affectlake.models.tasks import Problem, Target, metric_of

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
            ("task", [self.task], get_args(TaskName)),
            ("metric", [self.metric], METRICS),
            ("calibration", [self.calibrate], get_args(Calibration)),
        ):
            for name in given:
                if name not in valid:
                    raise UnknownName(kind, name, valid)
        # Named twice, or by both its names (ridge is logreg's for numbers), a model would be counted twice as well.
        object.__setattr__(self, "models", tuple(dict.fromkeys(zoo.get(m).name for m in self.models)))
        object.__setattr__(self, "fusions", tuple(dict.fromkeys(self.fusions)))
        for name, value, least in (("folds", self.folds, 2), ("repeats", self.repeats, 1), ("draws", self.draws, 2)):
            if value < least:
                raise UsageError(f"{name} must be at least {least}, got {value}")


def settings_of(plan: Plan, target: Target, problem: Problem | None = None) -> Settings:
    """What all models share that are trained for one of the label's problems; by default its first.

    Raises
    ------
    UsageError
        The plan's metric does not rank what is predicted.
    """
    problem = problem or target.problems[0]
    balanced = target.task.balanced(metric_of(target, plan.metric))
    return Settings(problem.kind, problem.classes, plan.seed, balanced, plan.tune)
