"""What users choose about a refresh, a prediction, a table: names, defaults and allowed values, written once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from affectlake.features.cutting import By
from affectlake.features.settings import Value
from affectlake.flows.machine import cores

if TYPE_CHECKING:
    from affectlake.data.tables import TableOptions

StoreOption = Annotated[str, Parameter(env_var="AFFECTLAKE_STORE")]
Gate = Literal["warn", "fail"]
Engine = Literal["local", "dask", "ray"]


@dataclass(frozen=True, kw_only=True)
class TableReading:
    """How to read a table of samples or features where it does not tell itself.

    Attributes
    ----------
    encoding : str or None
        Of the table's text, such as gbk or cp1251; default: told by the text itself.
    missing_values : tuple of str
        Word that means in the table that there is no value; may be repeated, and replaces the usual ones
        (NA, NaN, n/a, null, - …).
    sheet : str or None
        Of an Excel file; default: the first that is not empty.
    """

    encoding: str | None = None
    missing_values: tuple[str, ...] = ()
    sheet: str | None = None

    @property
    def table(self) -> "TableOptions":
        """The same for `affectlake.data.tables`."""
        from affectlake.data.tables import TableOptions

        return TableOptions(self.encoding, self.missing_values or None, self.sheet)


@dataclass(frozen=True)
class OfDataset:
    """What is about one dataset; first, so that commands take its name without an option."""

    dataset: str


@dataclass(frozen=True, kw_only=True)
class OnEngine:
    """Where work is done.

    Attributes
    ----------
    workers : int or None
        Worker processes; default: one per core.
    engine : Engine
        Where the work is done: this machine, or a Dask or Ray cluster.
    address : str or None
        Of a running Dask scheduler or Ray cluster; without it one is started here.
    """

    workers: int | None = None
    engine: Engine = "local"
    address: str | None = None

    @property
    def processes(self) -> int:
        """Worker processes on this machine."""
        return self.workers or cores()


@dataclass(frozen=True, kw_only=True)
class RefreshOptions(TableReading, OnEngine, OfDataset):
    """What to refresh and how; the command takes it whole, and this is its help.

    Attributes
    ----------
    dataset : str
        Name of a known dataset (see `affectlake datasets`), or any name together with a manifest.
    root : str or None
        Folder that holds the dataset in its official layout; also in a bucket: s3://, gs://, az://.
    manifest : str or None
        Table of samples: CSV, TSV, Excel, JSON lines or Parquet; also s3://, gs://, az://, https://, and so the media
        that it names (credentials by the environment).
    store : str
        Folder or object-store URI.
    only : tuple of str
        Globs over extractor names, such as 'audio.*'.
    timeout : float
        Seconds that one sample may take before it is given up.
    verify : bool
        Read every file again instead of trusting its size and time.
    retry_failed : bool
        Compute remembered failures again.
    transcribe : bool
        First give samples that have sound and no text one by machine (see `affectlake transcribe`).
    gate : Gate
        What a problem found by the quality gate does: warn, or keep the snapshot unpublished.
    max_missing : float
        Share of the last snapshot's samples or readable files that may be gone; more looks like a missing mount, and
        nothing is changed. 1 allows all.
    settings : mapping
        Of `affectlake.features.settings`, by name; those not named are at their default.
    author : str
        Recorded in the snapshot.
    """

    root: str | None = None
    manifest: str | None = None
    store: StoreOption = "lake"
    only: tuple[str, ...] = ("*",)
    timeout: float = 60.0
    verify: bool = False
    retry_failed: bool = False
    transcribe: Annotated[bool, Parameter(negative=())] = False
    gate: Gate = "warn"
    max_missing: float = 0.5
    settings: Annotated[Mapping[str, Value], Parameter(parse=False)] = field(default_factory=dict)
    author: Annotated[str, Parameter(parse=False)] = "refresh"


@dataclass(frozen=True)
class _OfModel:
    model: Path
    files: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PredictOptions(TableReading, _OfModel):
    """What to label and with which model; the command takes it whole, and this is its help.

    Attributes
    ----------
    model : Path
        Model saved by `affectlake bench --save`.
    files : tuple of str
        Audio, video or image files, each a sample of its own; also s3://, gs://, az://, https://.
    files_from : Path or None
        A file that names them, one a line, read as they come: /dev/stdin takes them from a pipe.
    manifest : str or None
        Table of samples (CSV, TSV, Excel, JSON lines or Parquet), for samples of several files.
    text : str or None
        What is said in the file, when there is one file.
    transcribe : bool
        First give files and samples that have sound and no text one by machine; the answer says what was heard.
    timeline : bool
        The files are recordings: label each window of them, or each turn.
    by : By
        How recordings are cut; see `affectlake segment`.
    window : float
        Seconds of a window.
    hop : float
        Seconds from a window's beginning to the next one's.
    each_channel : bool
        Of a timeline: cut every channel for itself, as of two people on a telephone.
    speakers : "auto", int or None
        Of a timeline by speech, silence or transcript: tell apart who speaks, by the voice; see `affectlake segment`.
    features : Path or None
        Parquet or CSV of features by their full names with a column sample_id, as `affectlake load --out` writes.
    dataset : str or None
        A dataset of the store, whose features are taken as they are.
    as_of : str or None
        Snapshot id, time or tag of that dataset.
    store : str
        Folder or object-store URI.
    workers : int or None
        Worker processes; default: one per core.
    """

    files_from: Path | None = None
    manifest: str | None = None
    text: str | None = None
    transcribe: Annotated[bool, Parameter(negative=())] = False
    timeline: Annotated[bool, Parameter(negative=())] = False
    by: By = "windows"
    window: float = 3.0
    hop: float = 1.0
    each_channel: Annotated[bool, Parameter(negative=())] = False
    speakers: Literal["auto"] | int | None = None
    features: Path | None = None
    dataset: str | None = None
    as_of: str | None = None
    store: StoreOption = "lake"
    workers: int | None = None

    @property
    def processes(self) -> int:
        """Worker processes on this machine."""
        return self.workers or cores()
