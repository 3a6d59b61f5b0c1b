"""What a user chooses about a benchmark: names, defaults and allowed values, written once and quick to import."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal

Protocol = Literal["auto", "official", "loso", "grouped", "kfold", "random"]
TaskName = Literal["auto", "class", "ordinal", "number", "multilabel", "votes"]
Metric = Literal[
    "auto",
    "uar",
    "accuracy",
    "f1_macro",
    "f1_weighted",
    "auc",
    "ap",
    "qwk",
    "within_one",
    "ccc",
    "pearson",
    "acc2",
    "acc7",
    "f1_micro",
    "exact",
    "soft_accuracy",
]
Calibration = Literal["temperature", "sigmoid", "isotonic"]
Normalisation = Literal["none", "speaker", "corpus"]
Subsets = Literal["all", "full"]


@dataclass(frozen=True)
class PlanOptions:
    """What is compared, and how: the options of ``affectlake bench`` that are about models.

    Attributes
    ----------
    label : str or tuple of str
        Label column to predict; several where a sample has several labels, quantities or votes.
    task : TaskName
        What the label is: names of classes, ratings with an order, numbers, several labels at once (a column of 0 and 1
        each, or happy|sad, or a JSON list), or votes of raters (a column of counts each, or happy|happy|sad). auto
        takes it from the values and says so.
    protocol : Protocol
        auto is the official split where the dataset has one, else folds grouped by speaker. random leaks speakers, is
        refused unless named here, and is shown beside the grouped score.
    folds : int
        Number of folds.
    repeats : int
        Times that the folds, and the models' own chance, are drawn anew.
    group_by : str or None
        Column whose samples stay on one side of every fold, such as a conversation that two speakers share.
    copies_together : bool
        Keep samples that share a medium, byte for byte or as a copy in another encoding, on one side of every fold.
    normalise : Normalisation
        Take features relative to their speaker or corpus, the tested samples included: transductive, and marked so.
    by : tuple of str
        Attributes of samples, such as gender or language: the selected's score in each of their groups, and the gap.
    missing : bool
        Also score every fusion while more and more modalities are hidden.
    sizes : str
        Also train every fusion on these shares of each training part's speakers, such as 0.1,0.3,1: learning curves.
    explain : bool
        Permutation importance of the best row's columns and modalities.
    models : tuple of str
        Base models; default: logistic regression, RBF-SVM, random forest, xgboost.
    fusions : tuple of str
        Fusion methods; default: all.
    subsets : Subsets
        Fuse every subset of modalities, or the full set only.
    metric : Metric
        Ranks the rows; auto is uar for classes, qwk for ratings, ccc for numbers, f1_macro for several labels,
        soft_accuracy for votes. With uar models weight rare classes up, with f1_macro inner folds say how far answers
        do; with the others neither.
    tune : bool
        Choose models' parameters from small grids on inner folds grouped by speaker.
    calibrate : Calibration
        How scores become probabilities.
    prior : str
        At which frequencies of the classes probabilities hold: those of the training, balanced, or numbers with commas
        between them, in the classes' alphabetical order. Which class is answered is the metric's matter.
    seed : int
        Seed of folds, models and intervals.
    """

    label: tuple[str, ...] | str
    _: KW_ONLY
    task: TaskName = "auto"
    protocol: Protocol = "auto"
    folds: int = 5
    repeats: int = 1
    group_by: str | None = None
    copies_together: bool = False
    normalise: Normalisation = "none"
    by: tuple[str, ...] = ()
    missing: bool = False
    sizes: str = ""
    explain: bool = True
    models: tuple[str, ...] = ()
    fusions: tuple[str, ...] = ()
    subsets: Subsets = "all"
    metric: Metric = "auto"
    tune: bool = False
    calibrate: Calibration = "temperature"
    prior: str = "training"
    seed: int = 0

    @property
    def labels(self) -> tuple[str, ...]:
        """The label columns."""
        return (self.label,) if isinstance(self.label, str) else self.label

    @property
    def labelled(self) -> str:
        """The label columns as one name."""
        return "+".join(self.labels)
