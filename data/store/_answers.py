"""Shapes of what the store answers with: JSON objects, whose keys are promised."""

from collections.abc import Mapping
from typing import Any, NotRequired, Required, TypedDict


class ColumnDoc(TypedDict, total=False):
    """What a column means; only its name must be said."""

    name: Required[str]
    unit: str
    low: float
    high: float
    description: str
    source: str


class Left(TypedDict):
    """Something that an erasure could not reach; of a model also when it was trained, and on how many of them."""

    what: str
    where: str
    why: str
    run: NotRequired[str]
    trained: NotRequired[str]
    samples: NotRequired[int]


class Receipt(TypedDict):
    """What `Store.erase` did."""

    dataset: str
    time: str
    erasure: str
    store: str
    samples: int
    snapshots: int
    rows: Mapping[str, int]
    recompute: Mapping[str, int]
    records: int
    exports: int
    files_checked: int
    still_found_in: list[str]
    left: list[Left]
    hashes: dict[str, list[str]]


class ReceiptCheck(TypedDict):
    """What `Store.check_receipt` found."""

    dataset: str
    erased: str
    files_checked: int
    still_found_in: list[str]
    unread: list[str]
    left: list[Left]


class DamagedFile(TypedDict):
    """A file that is not what was written, and what mends it."""

    dataset: str | None
    file: str
    why: str
    snapshots: list[str]
    remedy: str


class Verification(TypedDict):
    """What `Store.verify` found."""

    files: int
    unrecorded: int
    damaged: list[DamagedFile]


class LostFile(TypedDict):
    """What a repair cannot have back, and how to get it."""

    file: str
    why: str
    remedy: str


class Repair(TypedDict):
    """What `Store.repair` did."""

    dataset: str
    restored: list[str]
    rebuilt: list[str]
    dropped: list[str]
    lost: list[LostFile]


class TableDiff(TypedDict, total=False):
    """What differs between two versions of a feature table; one that was added or removed has its status alone."""

    status: Required[str]
    fingerprint: bool
    added: list[str]
    removed: list[str]
    changed: list[str]
    columns_added: list[str]
    columns_removed: list[str]


class Diff(TypedDict):
    """What differs between two snapshots: sample ids, and by extractor."""

    a: str
    b: str
    added: list[str]
    removed: list[str]
    changed: list[str]
    features: dict[str, TableDiff]


class Explanation(TypedDict):
    """Where a value comes from, see `Store.explain`.

    ``parts``: of a series, each part's start and end in seconds (and track) and its value.
    """

    sample_id: str
    column: str
    value: float | None
    outcome: str
    reason: str | None
    content: str | None
    source: dict[str, str | float]
    extractor: str
    extractor_version: str
    parameters: Mapping[str, Any]
    weights: Mapping[str, str]
    fingerprint: str
    unit: str
    description: str
    definition: str
    snapshot: str
    code_version: str
    parts: NotRequired[list[dict[str, float | None]]]
    transcript: NotRequired[Mapping[str, Any]]


class TableStatus(TypedDict):
    """A feature table in `Store.status`; ``coverage`` is a share of all samples [0 to 1]."""

    extractor: str
    columns: int
    rows: int
    failed: int
    not_applicable: int
    coverage: float
    version: str
    fingerprint: str


class DatasetStatus(TypedDict):
    """A dataset in `Store.status`."""

    dataset: str
    samples: int
    snapshot: str
    time: str
    author: str
    code_version: str
    problems: list[str]
    tables: list[TableStatus]


class Status(TypedDict):
    """What `Store.status` gives."""

    store: str
    datasets: list[DatasetStatus]
