"""Reads a table as a snapshot names it, its files compared with their checksums."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from affectlake.data import spill
from affectlake.data.store import _checksums
from affectlake.data.store._damaged import Damaged
from affectlake.data.store._delta import Table
from affectlake.data.store._snapshot import FeatureTable, TableRef
from affectlake.data.store._spelling import KEYS
from affectlake.data.store._table_store import PARTITION, TableStore

THREADS = min(os.cpu_count() or 1, 4)
"""Files that are read, or groups of shards that are written, at a time."""

Given = TypeVar("Given")
Made = TypeVar("Made")


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


def read_parts(store: TableStore, entry: TableRef, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The same a part at a time, in order; at least one part."""
    table = store.load_version(entry)
    _checksums.compare(store, entry.path, table)
    # Read ahead as is the custom, a file of any size would be in memory as a whole.
    ahead = pads.ParquetFragmentScanOptions(pre_buffer=not store.local)
    rows = table.to_pyarrow_dataset().scanner(
        columns=columns,
        batch_size=spill.ROWS,
        use_threads=False,
        batch_readahead=1,
        fragment_readahead=1,
        fragment_scan_options=ahead,
    )
    yield rows.projected_schema.empty_table()
    for batch in rows.to_batches():
        yield pa.Table.from_batches([batch])


def read_on_disk(store: TableStore, entry: TableRef, columns: list[str] | None = None) -> pd.DataFrame:
    """The same as a frame, much of it out of memory (see `affectlake.data.spill`)."""
    return spill.spilled(part.to_pandas() for part in read_parts(store, entry, columns))


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


@dataclass(frozen=True)
class StoredFile:
    """A file of a table, relative to the store, and its sum where it is to be compared."""

    path: str
    sha256: str | None = None


def files_by_shard(store: TableStore, entry: TableRef) -> dict[int, list[StoredFile]]:
    """Files of a table that is dealt out by shard."""
    found: dict[int, list[StoredFile]] = {}
    actions = pa.table(store.load_version(entry).get_add_actions(flatten=True))
    paths = [f"{entry.path}/{path}" for path in actions["path"].to_pylist()]
    sums = _checksums.sums(store, entry.path, paths)
    for path, shard in zip(paths, actions[f"partition.{PARTITION}"].to_pylist(), strict=True):
        found.setdefault(shard, []).append(StoredFile(path, sums.get(path) if sums else None))
    return found


def keys_by_shard(store: TableStore, entry: FeatureTable) -> Iterator[pd.DataFrame]:
    """Ids, contents and shards [columns=(sample_id, content, shard)] in parts, shard by shard; see `read_keys`."""
    yield pd.DataFrame({n: pd.Series([], dtype=t) for n, t in zip(KEYS, ("str", "str", "int32"), strict=True)})

    def keys(of: tuple[int, Sequence[StoredFile]]) -> pd.DataFrame:
        parts = [read_file(store, StoredFile(f.path), KEYS[:2]).to_pandas() for f in of[1]]
        return pd.concat(parts).assign(shard=np.int32(of[0]))

    for shard in in_turn(keys, sorted(files_by_shard(store, entry).items())):
        yield shard.drop_duplicates("sample_id") if entry.keys else shard


def in_turn(action: Callable[[Given], Made], given: Iterable[Given], number: int = THREADS) -> Iterator[Made]:
    """What an action makes of each, by some threads, in order; no more is begun than they can take."""
    with ThreadPoolExecutor(number) as threads:
        begun: deque[Future[Made]] = deque()
        for one in given:
            begun.append(threads.submit(action, one))
            if len(begun) > number:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def read_file(store: TableStore, file: StoredFile, columns: list[str]) -> pa.Table:
    """Columns of one file of a table; raises FileNotFoundError where it is gone, Damaged where it is."""
    if file.sha256 is not None:
        _checksums.compare_file(store, file.path, file.sha256)
    try:
        with store.files.open_input_file(file.path) as stream:
            # One thread: several files are read at a time.
            return pq.ParquetFile(stream, pre_buffer=not store.local).read(columns, use_threads=False).select(columns)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise Damaged(store.root, file.path, f"it cannot be read ({' '.join(str(error).split())[:120]})") from error
