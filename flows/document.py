"""Shapes of what ``bench --json``, ``leaderboard --json``, ``predict --json`` and records of benchmarks hold."""

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from affectlake.models.document import AnswerOfAll, ResultJson, Score, Transfer

if TYPE_CHECKING:
    from affectlake.data.store import TableStatus
    from affectlake.features.protocol import Nuisance


class LeftOut(TypedDict):
    """Copies that did not take part, see `affectlake.models.copies`."""

    dropped: int
    groups: list[list[str]]
    labels_differ: int


class Mistake(TypedDict):
    """A wrong answer; ``probability`` is that of what was said, None where none was given."""

    sample_id: str
    truth: str
    predicted: str
    probability: float | None


class Provenance(TypedDict):
    """Where a benchmark's features came from, and how it is run again."""

    run: str
    dataset: str
    snapshot: str
    synthetic: bool
    created: str
    code_version: str
    command: str
    configuration: dict[str, Any]  # fields of the options, which versions do not share
    extractors: "list[TableStatus]"
    transfer: Transfer | None
    nuisances: "dict[Nuisance, dict[str, int]]"
    transcribed: int
    without_duplicates: LeftOut | None
    errors: NotRequired[list[Mistake]]  # of the selected, the surest first


class Document(Provenance, ResultJson):
    """A finished benchmark; records of older versions lack keys, see `affectlake.flows.report`."""


class AnsweredSample(AnswerOfAll):
    """An answer as ``predict --json`` gives it."""

    sample_id: str
    uri: str | None
    band: str | None


class TranscribedSample(AnsweredSample):
    """An answer about what was transcribed first: the text, and who wrote it where that was no person."""

    text: str | None
    text_source: str | None


class PlacedAnswer(AnsweredSample):
    """An answer about a part of a recording [s]; ``unsure`` where a model would rather not answer."""

    recording: str
    start: float
    end: float
    channel: str | None
    speaker: str | None
    text: str | None
    unsure: bool


class PastRun(TypedDict):
    """A line of the leaderboard."""

    created: str
    run: str
    label: str
    protocol: str
    train_on: str
    normalise: str
    snapshot: str
    code_version: str
    samples: int
    fusion: str
    modalities: list[str]
    model: str | None
    metric: str
    value: float
    low: float | None
    high: float | None
    selected: Score | None
    change: float | None
    leaks: bool
