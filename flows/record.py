"""The shape of a night's record, as it is kept, shown and sent to hooks; its keys are explained in docs/nightly.md."""

from typing import Any, Literal, NotRequired, TypedDict

VERSION = 2
"""Of the record's shape; raised when a key changes its meaning or goes."""


class Drifted(TypedDict):
    """A column, an extractor's coverage (no column) or a score that moved by more than it may."""

    extractor: str
    column: str | None
    kind: Literal["mean", "spread", "coverage", "score"]
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


class Benchmarked(TypedDict):
    """The newest benchmark of a dataset; ``ran`` where it was this night's."""

    ran: bool
    label: str
    metric: str
    snapshot: str
    best: dict[str, Any]
    before: dict[str, Any] | None


class Entry(TypedDict):
    """What a night did with one dataset. ``refresh`` and ``changes`` are None where it failed before."""

    dataset: str
    state: Literal["done", "held", "failed"]
    error: str | None
    attempts: int
    refresh: dict[str, Any] | None
    changes: dict[str, Any] | None
    drift: list[Drifted]
    tables: dict[str, Outcomes]
    benchmark: Benchmarked | None
    report: str | None
    stages: dict[str, float]
    last_success: str | None


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
