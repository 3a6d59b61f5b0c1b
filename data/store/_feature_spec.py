"""What a feature table should hold after a refresh."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from affectlake.data.store._answers import ColumnDoc
from affectlake.data.store._snapshot import FeatureTable, TableRef

_logger = logging.getLogger("affectlake.store")


@dataclass(frozen=True)
class FeatureSpec:
    """What a feature table should hold after a refresh.

    Attributes
    ----------
    fingerprint : str
    columns : list of ColumnDoc
        In order.
    version : str
        Of the extractor.
    parameters : mapping
    rows : DataFrame [columns=(sample_id, content, uri)]
        Every sample that has what the extractor reads.
    weights : mapping of file name to sha256
    reads : str
        What the extractor reads: of "dialogue" an erasure drops the values of those who spoke after.
    source : str
        Hash of a plug-in's code, by which one is told that it changed while its version did not.
    texts : tuple of str
        Columns of words beside the values, which are no features.
    """

    fingerprint: str
    columns: list[ColumnDoc]
    version: str
    parameters: Mapping[str, Any]
    rows: pd.DataFrame
    weights: Mapping[str, str] = field(default_factory=dict)
    reads: str = ""
    source: str = ""
    texts: tuple[str, ...] = ()

    def table(self, at: TableRef) -> FeatureTable:
        """The table that is made after it, as yet without its numbers of rows."""
        return FeatureTable(
            path=at.path,
            version=at.version,
            fingerprint=self.fingerprint,
            extractor_version=self.version,
            parameters=dict(self.parameters),
            weights=dict(self.weights),
            reads=self.reads,
            texts=self.texts,
            source=self.source,
        )


def source_of(name: str, wanted: FeatureSpec, known: FeatureTable | None) -> str:
    """What to remember of an extractor's code; says so where it changed under one version."""
    was = known.source if known is not None else ""
    if wanted.source and was and was != wanted.source:
        _logger.warning(
            "the code of %s changed, its version (%s) did not: what it computed before is kept; where its values are "
            "others now, raise the version",
            name,
            wanted.version,
        )
    return wanted.source or was
