"""Reads a table as a snapshot names it, its files compared with their checksums."""

import pyarrow as pa
import pyarrow.compute as pc

from affectlake.data.store import _checksums
from affectlake.data.store._snapshot import TableRef
from affectlake.data.store._spelling import KEYS
from affectlake.data.store._table_store import TableStore


def read(
    store: TableStore, entry: TableRef, columns: list[str] | None = None, filter: pc.Expression | None = None
) -> pa.Table:
    """A table at the version that a snapshot names; raises FileNotFoundError where it is gone."""
    table = store.load_version(entry)
    if columns is None or not set(columns) <= set(KEYS):  # for ids and hashes alone not all values are read
        _checksums.compare(store, entry.path, table)
    return table.to_pyarrow_dataset().to_table(columns=columns, filter=filter)


def read_or_none(store: TableStore, entry: TableRef | None, columns: list[str] | None = None) -> pa.Table | None:
    """The same where a snapshot may have no such table."""
    return None if entry is None else read(store, entry, columns)
