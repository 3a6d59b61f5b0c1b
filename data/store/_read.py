"""Reads a table as a snapshot names it, its files compared with their checksums."""

import pyarrow as pa
import pyarrow.compute as pc

from affectlake.data.store import _checksums
from affectlake.data.store._damaged import Damaged
from affectlake.data.store._delta import Table
from affectlake.data.store._snapshot import TableRef
from affectlake.data.store._table_store import TableStore


def read(
    store: TableStore, entry: TableRef, columns: list[str] | None = None, filter: pc.Expression | None = None
) -> pa.Table:
    """A table at the version that a snapshot names; raises FileNotFoundError where it is gone, Damaged where it is."""
    table = store.load_version(entry)
    _checksums.compare(store, entry.path, table)
    return _rows(store, entry.path, table, columns, filter)


def read_or_none(store: TableStore, entry: TableRef | None, columns: list[str] | None = None) -> pa.Table | None:
    """The same where a snapshot may have no such table."""
    return None if entry is None else read(store, entry, columns)


def read_keys(store: TableStore, entry: TableRef, columns: list[str]) -> pa.Table:
    """Ids, hashes and shards alone, not compared, for that would take reading all values every night.

    Only for writers: a flipped bit in a hash is a content that nobody knows, and is computed again; before values are
    written anew they are compared.
    """
    return _rows(store, entry.path, store.load_version(entry), columns, None)


def _rows(
    store: TableStore, path: str, table: Table, columns: list[str] | None, filter: pc.Expression | None
) -> pa.Table:
    try:
        return table.to_pyarrow_dataset().to_table(columns=columns, filter=filter)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        if not store.local:
            raise
        _checksums.compare(store, path, table)  # which names the file
        raise Damaged(store.root, path, f"it cannot be read ({' '.join(str(error).split())[:120]})") from error
