"""What a snapshot is: its tables, of features what was computed how, and what changed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Self

from affectlake.data.windows import keys_of

FEATURES, SERIES = "features.", "series."
"""How a snapshot calls tables of features, a row per sample, and of series, several rows per sample."""


@dataclass(frozen=True)
class TableRef:
    """A table as a snapshot names it.

    Attributes
    ----------
    path : str
        Relative to the store.
    version : int >= 0
        Of the Delta table.
    """

    path: str
    version: int

    @property
    def key(self) -> tuple[str, int]:
        """By which the same state of the same table is known, whatever else is said of it."""
        return self.path, self.version

    def to_json(self) -> dict[str, object]:
        return {"path": self.path, "version": self.version}


@dataclass(frozen=True)
class FeatureTable(TableRef):
    """A table of features as a snapshot names it.

    Attributes
    ----------
    fingerprint, extractor_version : str
        Of what computed it; the version "put" says that it was computed elsewhere.
    parameters : mapping
    weights : mapping of file name to sha256
    rows, wanted : int
        Samples with values, and all that have what the extractor reads.
    columns : int
    failed, not_applicable : int
        The rest of ``wanted``, by outcome.
    reads, source : str
        See `FeatureSpec`; empty where an older version did not say.
    texts : tuple of str
        Columns of words beside the values.
    other : mapping
        What a later version says besides: kept as it is.
    """

    fingerprint: str
    extractor_version: str
    parameters: Mapping[str, Any]
    weights: Mapping[str, str]
    rows: int = 0
    wanted: int = 0
    columns: int = 0
    failed: int = 0
    not_applicable: int = 0
    reads: str = ""
    texts: tuple[str, ...] = ()
    source: str = ""
    other: Mapping[str, Any] = field(default_factory=dict)

    @property
    def coverage(self) -> float | None:
        """Share of the wanted samples that have values [0 to 1]; None where none is wanted."""
        return self.rows / self.wanted if self.wanted else None

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns that tell the rows of a sample apart; none where a row is a sample."""
        return keys_of(self.path.partition("~")[0])

    def to_json(self) -> dict[str, object]:
        known = asdict(self)
        del known["other"]
        stated = {k: v for k, v in known.items() if k not in _NOT_ALWAYS or v}
        return stated | ({"texts": list(self.texts)} if self.texts else {}) | dict(self.other)

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> Self:
        """Raises KeyError where the JSON lacks something."""
        names = {f.name for f in fields(cls)} - {"other"}
        known = {n: said[n] for n in names if n in said or n not in _NOT_ALWAYS}
        known["texts"] = tuple(said.get("texts", ()))
        return cls(**known, other={k: v for k, v in said.items() if k not in names})


_NOT_ALWAYS = ("reads", "texts", "source")


@dataclass(frozen=True)
class Counts:
    """Rows of a feature table that a snapshot brought, and outcomes of those that have no values."""

    new: int = 0
    recomputed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: int = 0
    not_applicable: int = 0


@dataclass(frozen=True)
class Snapshot:
    """One published (or, by the quality gate, held) state of one dataset.

    Attributes
    ----------
    id : str
        ``s000001``, counted through all datasets of the store: order never depends on a clock.
    time : datetime
        UTC; never before that of the snapshot before.
    dataset, author, code_version : str
    published : bool
        Whether readers see it unless they ask for it by its id.
    samples : int
    counts : mapping of extractor to Counts
    problems : list of str
        What the quality gate found.
    tables : mapping of table to TableRef
        Those of features (``features.<extractor>``) are `FeatureTable`; see also `features`.
    """

    id: str
    time: datetime
    dataset: str
    author: str
    code_version: str
    published: bool
    samples: int
    counts: Mapping[str, Counts]
    problems: list[str]
    tables: Mapping[str, TableRef]

    @property
    def number(self) -> int:
        return int(self.id[1:])

    @property
    def features(self) -> dict[str, FeatureTable]:
        """The feature tables by extractor, in alphabetical order."""
        return features_of(self.tables)

    @property
    def series(self) -> dict[str, FeatureTable]:
        """The tables of series by extractor, see `affectlake.data.windows`."""
        return series_of(self.tables)

    @property
    def computed(self) -> dict[str, FeatureTable]:
        """Features and series."""
        return computed_of(self.tables)


def features_of(tables: Mapping[str, TableRef]) -> dict[str, FeatureTable]:
    """The feature tables among others by extractor, in alphabetical order."""
    return _those(tables, FEATURES)


def series_of(tables: Mapping[str, TableRef]) -> dict[str, FeatureTable]:
    """The same of series."""
    return _those(tables, SERIES)


def computed_of(tables: Mapping[str, TableRef]) -> dict[str, FeatureTable]:
    """Both."""
    return features_of(tables) | series_of(tables)


def _those(tables: Mapping[str, TableRef], kind: str) -> dict[str, FeatureTable]:
    found = ((t, e) for t, e in sorted(tables.items()) if t.startswith(kind))
    return {t.removeprefix(kind): e for t, e in found if isinstance(e, FeatureTable)}


def table_of(extractor: str) -> str:
    """What a snapshot calls the table of an extractor.

    >>> table_of("audio.prosody"), table_of("audio.prosody@window")
    ('features.audio.prosody', 'series.audio.prosody@window')
    """
    return (SERIES if keys_of(extractor) else FEATURES) + extractor


def extractor_of(table: str) -> str | None:
    """The extractor of a table of features or series; None of another table."""
    kind = next((kind for kind in (FEATURES, SERIES) if table.startswith(kind)), None)
    return table.removeprefix(kind) if kind else None
