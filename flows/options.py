"""What a user chooses about a refresh: names, defaults and allowed values, written once and quick to import."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from affectlake.features.settings import Value
from affectlake.flows.machine import cores

if TYPE_CHECKING:
    from affectlake.data.tables import TableOptions

Gate = Literal["warn", "fail"]
Engine = Literal["local", "dask", "ray"]


@dataclass(frozen=True)
class RefreshOptions:
    """What to refresh and how; the command takes it whole, and this is its help.

    Attributes
    ----------
    dataset : str
        Name of a known dataset (see `affectlake datasets`), or any name together with a manifest.
    root : str or None
        Folder that holds the dataset in its official layout.
    manifest : str or None
        Table of samples: CSV, TSV, Excel, JSON lines or Parquet.
    store : str
        Folder or object-store URI.
    only : tuple of str
        Globs over extractor names, such as 'audio.*'.
    workers : int or None
        Worker processes; default: one per core.
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
    engine : Engine
        Where the work is done: this machine, or a Dask or Ray cluster.
    address : str or None
        Of a running Dask scheduler or Ray cluster; without it one is started here.
    encoding : str or None
        Of the manifest's text, such as gbk or cp1251; default: told by the text itself.
    missing_values : tuple of str
        Word that means in the manifest that there is no value; may be repeated, and replaces the usual ones
        (NA, NaN, n/a, null, - …).
    sheet : str or None
        Of an Excel manifest; default: the first that is not empty.
    settings : mapping
        Of `affectlake.features.settings`, by name; those not named are at their default.
    author : str
        Recorded in the snapshot.
    """

    dataset: str
    _: KW_ONLY
    root: str | None = None
    manifest: str | None = None
    store: Annotated[str, Parameter(env_var="AFFECTLAKE_STORE")] = "lake"
    only: tuple[str, ...] = ("*",)
    workers: int | None = None
    timeout: float = 60.0
    verify: bool = False
    retry_failed: bool = False
    transcribe: Annotated[bool, Parameter(negative=())] = False
    gate: Gate = "warn"
    max_missing: float = 0.5
    engine: Engine = "local"
    address: str | None = None
    encoding: str | None = None
    missing_values: tuple[str, ...] = ()
    sheet: str | None = None
    settings: Annotated[Mapping[str, Value], Parameter(parse=False)] = field(default_factory=dict)
    author: Annotated[str, Parameter(parse=False)] = "refresh"

    @property
    def processes(self) -> int:
        """Worker processes on this machine."""
        return self.workers or cores()

    @property
    def table(self) -> "TableOptions":
        """How to read the manifest."""
        from affectlake.data.tables import TableOptions

        return TableOptions(self.encoding, self.missing_values or None, self.sheet)
