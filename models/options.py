"""What a user chooses about a benchmark: names, defaults and allowed values, written once and quick to import."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal

Protocol = Literal["auto", "official", "loso", "grouped", "kfold", "random"]
Metric = Literal["uar", "accuracy", "f1_macro", "f1_weighted"]
Calibration = Literal["temperature", "sigmoid", "isotonic"]
Normalisation = Literal["none", "speaker", "corpus"]
Subsets = Literal["all", "full"]


@dataclass(frozen=True)
class PlanOptions:
    """What is compared, and how: the options of ``affectlake bench`` that are about models.

    Attributes
    ----------
    label : str
        Label column to predict.
    protocol : Protocol
        auto is the official split where the dataset has one, else folds grouped by speaker. random leaks speakers, is
        refused unless named here, and is shown beside the grouped score.
    folds : int
        Number of folds.
    repeats : int
        Times that the folds, and the models' own chance, are drawn anew.
    normalise : Normalisation
        Take features relative to their speaker or corpus, the tested samples included: transductive, and marked so.
    missing : bool
        Also score every fusion while more and more modalities are hidden.
    explain : bool
        Permutation importance of the best row's columns and modalities.
    models : tuple of str
        Base models; default: logistic regression, RBF-SVM, random forest, xgboost.
    fusions : tuple of str
        Fusion methods; default: all.
    subsets : Subsets
        Fuse every subset of modalities, or the full set only.
    metric : Metric
        Ranks the rows. With uar and f1_macro models weight rare classes up; with the others they do not.
    tune : bool
        Choose models' parameters from small grids on inner folds grouped by speaker.
    calibrate : Calibration
        How scores become probabilities.
    seed : int
        Seed of folds, models and intervals.
    """

    label: str
    _: KW_ONLY
    protocol: Protocol = "auto"
    folds: int = 5
    repeats: int = 1
    normalise: Normalisation = "none"
    missing: bool = False
    explain: bool = True
    models: tuple[str, ...] = ()
    fusions: tuple[str, ...] = ()
    subsets: Subsets = "all"
    metric: Metric = "uar"
    tune: bool = False
    calibrate: Calibration = "temperature"
    seed: int = 0
