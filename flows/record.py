"""The shape of a night's record, as it is kept, shown and sent to hooks; its keys are explained in docs/nightly.md."""

from typing import Generic, Literal, NotRequired, TypedDict, TypeVar

from affectlake.models.document import Score

T = TypeVar("T")

VERSION = 2
"""Of the record's shape; raised when a key changes its meaning or goes."""


class Drifted(TypedDict):
    """A column, an extractor's coverage (no column) or a score that moved by more than it may."""

    extractor: str
    column: str | None
    kind: Literal["mean", "spread", "coverage", "band", "score"]
    before: float
    now: float
    size: float
    low: NotRequired[float]
    """Of a score: the lower end of the interval that it had before."""


class Outcomes(TypedDict):
    """Sample-extractor pairs of one extractor."""

    rows: int
    wanted: int
    failed: int
    not_applicable: int


class BestScore(Score):
    """That of the best row, and which one it is."""

    row: str


class Benchmarked(TypedDict):
    """The newest benchmark of a dataset; ``ran`` where it was this night's."""

    ran: bool
    label: str
    metric: str
    snapshot: str
    best: BestScore
    before: Score | None


class Listed(TypedDict, Generic[T]):
    """Items of one kind: all of them counted, the first thousand listed."""

    count: int
    items: list[T]


class Sample(TypedDict):
    """A sample that came or went; ``uri`` is its first medium, empty for text alone."""

    sample_id: str
    uri: str


class OtherContent(Sample):
    """A sample whose parts, such as audio or text, are others under the same id."""

    what: list[str]


Renamed = TypedDict("Renamed", {"sample_id": str, "was": NotRequired[str], "from": str, "to": str})
"""Equal content in another place, or under another id than it ``was``."""

Folder = TypedDict("Folder", {"from": str, "to": str, "files": int})


class RenamedSamples(Listed[Renamed]):
    """With the folders that make the difference, the fullest first."""

    folders: list[Folder]


class Edited(TypedDict):
    """A sample of which labels or attributes are others."""

    sample_id: str
    columns: list[str]


class EditedSamples(Listed[Edited]):
    """With the number of samples by column."""

    columns: dict[str, int]


class Column(TypedDict):
    """A label or attribute that came or left as a whole."""

    column: str
    what: Literal["gone", "new"]
    values: int


class Reason(TypedDict):
    """What makes the difference between two fingerprints."""

    what: Literal["added", "removed", "version", "parameter", "weights", "columns", "decoding"]
    name: NotRequired[str]
    before: NotRequired[object]
    now: NotRequired[object]


class ExtractorChange(TypedDict):
    """An extractor of which values changed, and how many samples' ones."""

    extractor: str
    why: list[Reason]
    recomputed: int
    content: int
    gained: int
    lost: int


class BadFile(Sample):
    """A sample that extractors failed on for one reason."""

    reason: str
    extractors: list[str]


class Bad(TypedDict):
    """Failures that are new, that mended, and that stand."""

    new: Listed[BadFile]
    mended: Listed[BadFile]
    standing: Listed[BadFile]


class Samples(TypedDict):
    """Numbers of samples."""

    before: int
    now: int


class SampleChanges(TypedDict):
    """What differs between two tables of samples."""

    new: Listed[Sample]
    removed: Listed[Sample]
    renamed: RenamedSamples
    content: Listed[OtherContent]
    edited: EditedSamples
    columns: NotRequired[Listed[Column]]  # nights of earlier versions have none


class Changes(SampleChanges):
    """What differs between two snapshots; see `affectlake.flows.changes.changes`."""

    since: str | None
    to: str
    samples: Samples
    extractors: list[ExtractorChange]
    bad: Bad
    computed: NotRequired[dict[str, int]]


class Refreshed(TypedDict):
    """What nights read of a `affectlake.flows.refresh.RefreshResult` as JSON, which has more."""

    snapshot: str
    published: bool
    samples: int
    problems: list[str]
    extractors: dict[str, dict[str, int]]
    computed: dict[str, int]
    erased: NotRequired[int]  # earlier versions erased nobody


class Entry(TypedDict):
    """What a night did with one dataset. ``refresh`` and ``changes`` are None where it failed before."""

    dataset: str
    state: Literal["done", "held", "failed"]
    error: str | None
    attempts: int
    refresh: Refreshed | None
    changes: Changes | None
    drift: list[Drifted]
    tables: dict[str, Outcomes]
    benchmark: Benchmarked | None
    report: str | None
    stages: dict[str, float]
    last_success: str | None


class Earlier(TypedDict):
    """A night before, as its successors link to it."""

    name: str
    started: str
    state: str


class Notification(TypedDict):
    """A hook that was called."""

    hook: str
    events: list[str]
    delivered: bool
    attempts: int
    error: str | None


class Record(TypedDict):
    """One night; times are ISO 8601 in UTC, those that are yet to come None."""

    version: int
    run: str
    name: str
    store: str
    code_version: str
    started: str
    finished: str | None
    seconds: float | None
    state: Literal["running", "done", "held", "failed", "interrupted"]
    text: str
    interrupted: list[str]
    before: dict[str, str | None]
    datasets: list[Entry]
    notifications: list[Notification]
