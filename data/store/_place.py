"""Where a store lives: a local folder or an object store, and the Delta tables in it."""

import os
import random
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.writer import ColumnProperties

from affectlake.data.errors import AffectlakeError

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_ATTEMPTS = 30

# Old versions are read by snapshots for as long as these are kept, so Delta may not tidy its log by itself. Statistics
# are off: nothing is looked up by them, on wide tables they outweigh the log, and they would repeat people's ids.
SETTINGS = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
    "delta.dataSkippingNumIndexedCols": "0",
}

# Floats hardly repeat: a dictionary would cost half as much space again, and eight times the time to write.
_WRITER = WriterProperties(
    default_column_properties=ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE")
)


class Moved(Exception):
    """Somebody else committed since the version that a change was based on."""


class Place:
    """The root of a store.

    Parameters
    ----------
    uri : str or Path
        Local folder, or ``s3://``, ``gs://``, ``az://`` (credentials by the usual environment variables).
    """

    def __init__(self, uri: str | Path):
        self.local = not _REMOTE.match(str(uri)) or str(uri).startswith("file://")
        self.root = os.path.abspath(str(uri).removeprefix("file://")) if self.local else str(uri).rstrip("/")

    def path(self, *parts: str) -> str:
        return "/".join((self.root, *parts))

    def create(self) -> None:
        if self.local:
            try:
                os.makedirs(self.root, exist_ok=True)
            except OSError as error:
                raise AffectlakeError(f"cannot make a store at {self.root}: {error.strerror}") from None

    def open(self, table: str, version: int | None = None) -> DeltaTable | None:
        """The Delta table at ``table`` (relative to the root), or None where there is none."""
        if self.local and not os.path.isdir(self.path(table, "_delta_log")):
            return None
        try:
            return DeltaTable(self.path(table), version=version)
        except TableNotFoundError:
            return None

    def at(self, entry: Mapping[str, Any]) -> DeltaTable:
        """The table and version that a snapshot's entry names; raises FileNotFoundError where it is gone."""
        table = self.open(entry["path"], entry["version"])
        if table is None:
            raise FileNotFoundError(self.path(entry["path"]))
        return table

    def delete(self, folder: str) -> None:
        """Remove a folder and all below it; no error where there is none."""
        if self.local:
            shutil.rmtree(self.path(folder), ignore_errors=True)
            return
        import pyarrow.fs as fs

        for info in self.listing(folder):
            if info.type == fs.FileType.File:
                self.files.delete_file(info.path)

    def listing(self, folder: str) -> list:
        """`pyarrow.fs.FileInfo` of everything below a folder; empty where there is none."""
        import pyarrow.fs as fs

        return self.files.get_file_info(fs.FileSelector(folder, allow_not_found=True, recursive=True))

    def below(self, folder: str) -> list[str]:
        """Names of the tables right below a folder."""
        if self.local:
            root = self.path(folder)
            return sorted(n for n in os.listdir(root) if os.path.isdir(f"{root}/{n}")) if os.path.isdir(root) else []
        depth = folder.count("/") + 1
        return sorted({i.path.split("/")[depth] for i in self.listing(folder) if i.path.count("/") > depth})

    @property
    def files(self):
        """The root as a `pyarrow.fs.FileSystem`."""
        import pyarrow.fs as fs
        from deltalake.fs import DeltaStorageHandler

        return fs.PyFileSystem(DeltaStorageHandler(self.root))

    def append(self, table: str, rows: pa.Table) -> None:
        """Add rows to a table of small things; creates it."""
        for attempt in range(_ATTEMPTS):
            try:
                write_deltalake(self.path(table), rows, mode="append", schema_mode="merge", configuration=SETTINGS)
                return
            except CommitFailedError:
                _wait(attempt)
        raise AffectlakeError(f"could not append to {table}: too many others write to it")

    def swap(self, table: str, rows: pa.Table, version: int | None) -> int:
        """Replace the whole table, which must still be at ``version`` (None: must not exist); the new version.

        Raises
        ------
        Moved
            It is not.
        """
        head = self.open(table)
        if (head.version() if head else None) != version:
            raise Moved(table)
        return self._commit(head, table, rows)

    def replace(self, table: str, rows: pa.Table, base: int | None, shards: Sequence[int] | None = None) -> int:
        """Commit ``rows`` on top of version ``base`` (None: as the whole content); the new version.

        Versions after ``base`` were written by refreshes that never got to publish, and count for nothing.

        Parameters
        ----------
        table : str
            Relative to the root; created where it is absent.
        rows : pa.Table
        base : int or None
        shards : sequence of int, optional
            Partitions that ``rows`` stand for; all others stay as they are. None: all are replaced.
        """
        for attempt in range(_ATTEMPTS):
            head = self.open(table)
            try:
                if head is not None and shards is not None and head.version() != base:
                    before = head.version()
                    head.restore(base, commit_properties=_ONCE)
                    head = self.open(table, before + 1)
                return self._commit(head, table, rows, shards)
            except (CommitFailedError, Moved):
                _wait(attempt)
        raise AffectlakeError(f"could not write {table}: too many others write to it")

    def _commit(self, head: DeltaTable | None, table: str, rows: pa.Table, shards: Sequence[int] | None = None) -> int:
        partitions = ["shard"] if "shard" in rows.schema.names else None
        if head is None:
            write_deltalake(
                self.path(table),
                rows,
                mode="error",
                partition_by=partitions,
                configuration=SETTINGS,
                writer_properties=_WRITER,
            )
            return 0
        version = head.version() + 1  # what a commit without a second attempt can only be
        predicate = None if shards is None else f"shard IN ({', '.join(map(str, sorted(shards)))})"
        try:
            write_deltalake(
                head,
                rows,
                mode="overwrite",
                predicate=predicate,
                schema_mode=None if predicate else "overwrite",
                partition_by=partitions,
                writer_properties=_WRITER,
                commit_properties=_ONCE,
            )
        except CommitFailedError:
            raise Moved(table) from None
        return version


_ONCE = CommitProperties(max_commit_retries=0)


def _wait(attempt: int) -> None:
    time.sleep(random.uniform(0, min(0.05 * 2**attempt, 2.0)))
