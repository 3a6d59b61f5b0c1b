"""Shapes of a benchmark's JSON, whose keys are promised: docs/models.md tells what they mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, Required, TypedDict, cast


class Score(TypedDict):
    """A score, or a difference, with its 95 % interval; ``reason`` says why there is none."""

    value: float
    low: float | None
    high: float | None
    reason: NotRequired[str | None]


class RowName(TypedDict):
    """By which a row is known: how modalities are fused, which, and by what model."""

    fusion: str
    modalities: list[str]
    model: str | None


class RowJson(RowName):
    """A row of the table, which has a `Score` by each metric's name besides: see `score`."""

    p_value: float | None
    difference: Score | None
    seconds: float
    inner: float | None
    repeats: NotRequired[list[float]]


@dataclass
class Row:
    """A scored row.

    Attributes
    ----------
    name : RowName
    scores : dict of metric to Score
    seconds : float
        Of training and answering.
    p_value : float or None
        That it is as good as the best.
    difference : Score or None
        From the best.
    inner : float or None
        The ranking metric on inner folds, on average over the training parts; None of the dummy.
    repeats : list of float or None
        The ranking metric of each repetition, where there are several.
    """

    name: RowName
    scores: dict[str, Score]
    seconds: float
    p_value: float | None = None
    difference: Score | None = None
    inner: float | None = None
    repeats: list[float] | None = None

    def to_json(self) -> RowJson:
        rest = {"p_value": self.p_value, "difference": self.difference, "seconds": self.seconds, "inner": self.inner}
        repeats = {} if self.repeats is None else {"repeats": self.repeats}
        return cast("RowJson", {**self.name, **self.scores, **rest, **repeats})


def score(row: Mapping[str, object], metric: str) -> Score:
    """The score of a row, or of the selected, by one of its metrics."""
    return cast("Score", row[metric])


def scores(row: Mapping[str, object]) -> dict[str, Score]:
    """All scores of a row, or of the selected, by their metrics."""
    no_metrics = ("difference", "row")
    return {k: cast("Score", v) for k, v in row.items() if isinstance(v, dict) and k not in no_metrics}


class ChosenInFold(RowName):
    """What the inner folds of a training part chose, and its score on them."""

    inner: float


class ChosenRow(RowName):
    """A row, and in how many folds it was chosen."""

    times: int


class Selected(TypedDict):
    """What inner folds chose, see `affectlake.models.selection`; it has a `Score` by each metric's name besides."""

    rule: str
    folds: list[ChosenInFold]
    chosen: list[ChosenRow]
    row: RowName
    p_dummy: float | None


class Ceiling(TypedDict):
    """What the raters' votes allow."""

    soft_accuracy: float
    cross_entropy: float
    rater: float | None


class Facts(TypedDict, total=False):
    """What a task knows of its labels."""

    ceiling: Ceiling
    votes_per_sample: float
    labels_per_sample: float
    without_label: int


class TargetJson(Facts):
    """What a label was taken for, and why."""

    task: Required[str]
    why: Required[str]
    labels: Required[list[str]]


class Answer(TypedDict):
    """What is said of one sample: its label, or labels, or number, and the classes' probabilities."""

    label: object
    expected: NotRequired[float]
    probabilities: dict[str, float]


class AnswerOfAll(Answer):
    """The same with what each modality alone says, and those whose features lie far from the training's.

    ``prediction_set``: classes of which one is the truth as often as the model's card says; ``abstain``: whether it
    would rather not answer. Both are None of a model that has no bounds, see `affectlake.models.bounds`.
    """

    modalities: dict[str, Answer]
    far: list[str]
    prediction_set: list[str] | None
    abstain: bool | None


class SharePoint(Score):
    """A score at a share [0 to 1]; on a learning curve see `affectlake.models.learning.Point`."""

    share: float


class Curve(RowName):
    """A row's scores by shares."""

    points: list[SharePoint]


class DistortionPoint(Score):
    """A score under a distortion."""

    distortion: str


class DistortionCurve(RowName):
    """A row's scores by distortions."""

    points: list[DistortionPoint]


class Curves(TypedDict):
    """Curves over shares of missing modalities, or of what was learned from."""

    metric: str
    model: str
    unit: NotRequired[str]
    shares: list[float]
    curves: list[Curve]


class DistortionCurves(TypedDict):
    """Curves over distortions."""

    metric: str
    model: str
    samples: int
    distortions: list[str]
    curves: list[DistortionCurve]


class GroupScore(Score):
    """The ranking metric in a group of samples."""

    group: str
    n: int
    speakers: int


class Gap(Score):
    """The best group less the worst."""

    worst: str
    best: str
    p: float | None


class Subgroups(TypedDict):
    """Scores by the groups of an attribute, the worst first."""

    attribute: str
    metric: str
    unknown: int
    groups: list[GroupScore]
    gap: Gap | None


class AbstentionPoint(TypedDict):
    """See `affectlake.models.abstention.Point`."""

    aimed: float
    coverage: float
    accuracy: Score
    speakers: int


class ReliabilityBin(TypedDict):
    """See `affectlake.models.reliability.Bin`."""

    confidence: float
    accuracy: Score
    n: int
    speakers: int


class ConformalGroup(TypedDict):
    """See `affectlake.models.conformal.Group`."""

    attribute: str
    group: str
    n: int
    coverage: Score
    size: float


class ConformalLevel(TypedDict):
    """See `affectlake.models.conformal.Level`."""

    level: float
    coverage: Score
    size: float
    single: float
    reason: str | None
    groups: list[ConformalGroup]


class BestOf(TypedDict):
    """From how many rows the best one was chosen, and by how much that makes it say too much."""

    of: int
    value: float | None
    bias: float | None
    corrected: float | None
    method: str


class Leakage(TypedDict):
    """What training and test parts share: numbers of tested samples, and sentences."""

    leaks: bool
    speakers: int
    dialogues: int
    recordings: int
    duplicates: int
    near_duplicates: int
    texts: int
    near_texts: int
    not_searched: list[str]
    findings: list[str]


class AblationRow(RowName, Score):
    """The best row of a set of modalities."""


class ClassGain(Score):
    """What fusion adds to the recall of a class."""

    label: str
    fused: float
    unimodal: float


class FusionGain(TypedDict):
    """What the best fused row has over the best single modality."""

    fused: RowName
    unimodal: RowName
    metric: str
    overall: Score
    classes: list[ClassGain]


class Shuffled(Score):
    """What the score loses when columns are shuffled."""

    name: str
    modality: str


class Importance(TypedDict):
    """What the best row loses by modality, extractor and column."""

    row: RowName
    metric: str
    repeats: int
    modalities: list[Shuffled]
    extractors: list[Shuffled]
    columns: list[Shuffled]


class ContrastRow(RowName):
    """A row in two tables, and the gap between them."""

    value: Score
    against: Score
    gap: Score


class Contrast(TypedDict):
    """The table beside the one that it must be seen with."""

    of: str
    against: str
    note: str
    metric: str
    rows: list[ContrastRow]


class Confusion(TypedDict):
    """Numbers of samples by true class (rows) and answer."""

    labels: list[str]
    matrix: list[list[int]]


class ClassScores(TypedDict):
    """Scores of one class."""

    label: str
    recall: float
    precision: float
    f1: float
    n: int
    recall_low: float | None
    recall_high: float | None


class SpeakerScore(Score):
    """The score of one speaker's samples."""

    speaker: str
    n: int


class Details(TypedDict):
    """Scores of the best row by class, quantity and speaker."""

    confusion: Confusion | None
    per_class: list[ClassScores]
    per_output: Sequence[Mapping[str, object]]
    per_speaker: list[SpeakerScore]
    speaker_score: NotRequired[str]


class Sureness(TypedDict):
    """How far the probabilities of the selected can be trusted."""

    abstention: list[AbstentionPoint]
    conformal: list[ConformalLevel]
    reliability: list[ReliabilityBin]


class About(Details, Sureness):
    """A benchmark's result but its rows."""

    label: str
    task: str
    target: TargetJson
    metric: str
    prior: str
    protocol: str
    group_by: str | None
    copies_together: bool
    folds: int
    repeats: int
    seed: int
    normalise: str
    transductive: bool
    n_samples: int
    n_tested: int
    n_speakers: int
    classes: list[str]
    interval: str
    inflation: float
    units: int
    reason: str | None
    selected: Selected | None
    by: list[Subgroups]
    chance: float
    best_of: BestOf
    leakage: Leakage
    ablation: list[AblationRow]
    fusion_gain: FusionGain | None
    importance: Importance | None
    contrast: Contrast | None
    missing: Curves | None
    learning: Curves | None
    remarks: list[str]
    distort: DistortionCurves | None


class ResultJson(About):
    """A benchmark's result."""

    rows: list[RowJson]


class Transfer(TypedDict):
    """What crossing corpora means: numbers of samples, and classes that are not in both."""

    train_on: list[str]
    trained: int
    tested: int
    left_out: dict[str, int]
