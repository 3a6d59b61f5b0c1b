"""The feature store: Delta tables, snapshots across them, and what analysts ask of them."""

from affectlake.data.store._answers import (
    ColumnDoc,
    DamagedFile,
    DatasetStatus,
    Diff,
    Explanation,
    Left,
    LostFile,
    Receipt,
    ReceiptCheck,
    Repair,
    Status,
    TableDiff,
    TableStatus,
    Verification,
)
from affectlake.data.store._arrow import index_in, is_in
from affectlake.data.store._assemble import Assemblers, Job, Shards
from affectlake.data.store._feature_spec import FeatureSpec
from affectlake.data.store._place import HeldFile, Place, Unreachable, assemble
from affectlake.data.store._snapshot import Counts, FeatureTable, Snapshot, TableRef
from affectlake.data.store._spelling import kept
from affectlake.data.store._store import Store
from affectlake.data.store._writer import Writer

__all__ = [
    "Assemblers",
    "ColumnDoc",
    "Counts",
    "DamagedFile",
    "DatasetStatus",
    "Diff",
    "Explanation",
    "FeatureSpec",
    "FeatureTable",
    "HeldFile",
    "Job",
    "Left",
    "LostFile",
    "Place",
    "Receipt",
    "ReceiptCheck",
    "Repair",
    "Shards",
    "Snapshot",
    "Status",
    "Store",
    "TableDiff",
    "TableRef",
    "TableStatus",
    "Unreachable",
    "Verification",
    "Writer",
    "assemble",
    "index_in",
    "is_in",
    "kept",
]
