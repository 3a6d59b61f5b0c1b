"""Where a store lives: a local folder or an object store, and the Delta tables in it."""

import hashlib
import io
import json
import os
import random
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, create_table_with_add_actions

from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.store import _log_copies
from affectlake.data.store._damaged import Damaged
from affectlake.data.store._delta import Table, native, url
from affectlake.data.store._snapshot import TableRef

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_FILE = re.compile(r"file:(?://(?:localhost)?(?=/))?", re.IGNORECASE)
_ATTEMPTS = 30

# Old versions are read by snapshots for as long as these are kept, so Delta may not tidy its log by itself. Statistics
# are off: nothing is looked up by them, on wide tables they outweigh the log, and they would repeat people's ids.
SETTINGS = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
    "delta.dataSkippingNumIndexedCols": "0",
}


class CommitConflict(Exception):
    """Somebody else committed since the version that a change was based on."""


class TableStore:
    """The root of a store.

    Parameters
    ----------
    uri : str or Path
        Local folder of any name (``~`` is the home), ``file:`` URI, or ``s3://``, ``gs://``, ``az://`` (credentials by
        the usual environment variables).

    Raises
    ------
    UsageError
        An empty name, or one that no file system takes.
    """

    def __init__(self, uri: str | Path):
        given = str(uri)
        if not given or "\0" in given:
            raise UsageError(f"{given!r} names no store: a folder or the URI of one, please")
        file = _FILE.match(given) if isinstance(uri, str) else None
        self.local = not isinstance(uri, str) or file is not None or not _REMOTE.match(given)
        if self.local:
            # A URI is encoded, a path is what it is, `%20` too.
            self.root = os.path.abspath(unquote(given[file.end() :]) if file else os.path.expanduser(given))
        else:
            self.root = given.rstrip("/")
        self._check()

    def _check(self) -> None:
        real = os.path.realpath(self.root) if self.local else self.root
        if not real.isprintable() and real.encode("utf-8", "replace") != os.fsencode(real):
            raise UsageError(f"no store can be below {real!r}: the name is not UTF-8")
        if not self.local and unquote(real) != real:
            # Delta's library decodes keys once too often, and would look elsewhere than it wrote.
            raise UsageError(f"no store can be at {real}: a '%' before two digits or letters from A to F is no key")

    def path(self, *parts: str) -> str:
        return "/".join((self.root.removesuffix("/"), *parts))

    def url(self, table: str = "") -> str:
        """What Delta is told of the table at ``table`` (relative to the root)."""
        if self.local:
            return url(self.root, table)
        scheme, _, rest = self.path(table).partition("://")
        return f"{scheme}://{quote(rest)}"

    def create(self) -> None:
        """Make the folder: closed to others than the owner and, as far as the umask lets it, the group."""
        if self.local:
            try:
                os.makedirs(os.path.dirname(self.root), exist_ok=True)
                os.makedirs(self.root, mode=0o770, exist_ok=True)
            except OSError as error:
                raise AffectlakeError(f"cannot make a store at {self.root}: {error.strerror}") from None

    def open(self, table: str, version: int | None = None) -> Table:
        """The Delta table at ``table`` (relative to the root); raises FileNotFoundError where there is none."""
        found = self.open_or_none(table, version)
        if found is None:
            raise FileNotFoundError(self.path(table))
        return found

    def open_or_none(self, table: str, version: int | None = None) -> Table | None:
        """The same where there may be none.

        Raises
        ------
        Damaged
            Its log is not what was written, or cannot be read.
        """
        if self.local and not os.path.isdir(self.path(table, _log_copies.LOG)):
            return None
        self.compare_log(table, version)
        try:
            with native(f"{table} of the store at {self.root} cannot be read"):
                return Table(self.url(table), version, self.path(table) if self.local else None)
        except TableNotFoundError:
            return None
        except DeltaError as error:
            why = f"Delta cannot read it ({' '.join(str(error).split())[:120]})"
            raise Damaged(self.root, f"{table}/{_log_copies.LOG}", why) from error

    def compare_log(self, table: str, version: int | None = None, whole: bool = False) -> None:
        """Compare a table's log with its copies, as far as a version (None: the newest) or its history is read from it.

        Raises
        ------
        Damaged
            A file is not what was written.
        """
        if self.local and os.environ.get(VARIABLE) != "0":
            name = _log_copies.first_damaged(self.path(table), version, whole)
            if name is not None:
                raise Damaged(self.root, f"{table}/{_log_copies.LOG}/{name}")

    def copy_log(self, table: str) -> None:
        """Copy what a commit added to a table's log, by which damage is told; see `_log_copies`."""
        if self.local:
            _log_copies.note(self.path(table))

    def load_version(self, entry: TableRef) -> Table:
        """The table and version that a snapshot's entry names; raises FileNotFoundError where it is gone."""
        return self.open(entry.path, entry.version)

    def partitioned(self, table: str) -> bool:
        """Whether the table is dealt out by shard."""
        head = self.open_or_none(table)
        return head is not None and bool(head.metadata().partition_columns)

    def delete(self, folder: str) -> None:
        """Remove a folder and all below it; no error where there is none."""
        if self.local:
            shutil.rmtree(self.path(folder), ignore_errors=True)
            return
        import pyarrow.fs as fs

        for info in self.listing(folder):
            if info.type == fs.FileType.File:
                self.files.delete_file(info.path)

    def listing(self, folder: str) -> list[Any]:
        """`pyarrow.fs.FileInfo` of everything below a folder; empty where there is none."""
        import pyarrow.fs as fs

        return self.files.get_file_info(fs.FileSelector(folder, allow_not_found=True, recursive=True))

    def list_tables(self, folder: str) -> list[str]:
        """Names of the tables right below a folder."""
        if self.local:
            root = self.path(folder)
            return sorted(n for n in os.listdir(root) if os.path.isdir(f"{root}/{n}")) if os.path.isdir(root) else []
        depth = folder.count("/") + 1
        return sorted({i.path.split("/")[depth] for i in self.listing(folder) if i.path.count("/") > depth})

    @property
    def files(self) -> Any:
        """The root as a `pyarrow.fs.FileSystem`; see `parent` for writing."""
        import pyarrow.fs as fs

        if self.local:
            return fs.SubTreeFileSystem(self.root, fs.LocalFileSystem())
        from deltalake.fs import DeltaStorageHandler

        return fs.PyFileSystem(DeltaStorageHandler(self.url()))

    def parent(self, path: str) -> str:
        """``path`` (relative to the root), whose folder is there from now on; object stores have none."""
        if self.local:
            os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        return path

    def write(self, path: str, rows: pa.Table) -> str:
        """A Parquet file at ``path``, plain; its sha256.

        Floats hardly repeat, so that a dictionary would cost half as much space again, and statistics would repeat
        people's ids.
        """
        plain = partial(pq.write_table, rows, **_PLAIN)
        plain(buffer := pa.BufferOutputStream())
        content = buffer.getvalue()
        with self.files.open_output_stream(self.parent(path)) as out:
            out.write(content) if self.local else plain(out)  # streams to object stores take no buffer as a whole
        return hashlib.sha256(content).hexdigest()

    def write_parts(self, path: str, parts: Iterator[pa.Table]) -> str:
        """The same of a table that comes in parts, none of which stays in memory."""
        first = next(parts)
        # Streams to object stores take no buffer as a whole, but what lies between takes pieces.
        with self.files.open_output_stream(self.parent(path)) as file, pa.BufferedOutputStream(file, 2 * _PIECE) as out:
            hashed = _Hashed(out)
            with pq.ParquetWriter(pa.PythonFile(hashed, "w"), first.schema, **_PLAIN) as writer:
                for part in chain([first], parts):
                    writer.write_table(part)
        return hashed.digest.hexdigest()

    def append(self, table: str, rows: pa.Table) -> None:
        """Add rows to a table of small things; creates it, and gives it the columns that it lacks."""

        def add(head: Table | None) -> None:
            if head is not None:
                self._add(head, table, rows)
                return
            with self._added(table, rows) as added:
                self._commit(None, table, added, rows.schema)

        self._append(table, add)

    def append_files(self, table: str, added: Sequence["Added"], schema: pa.Schema) -> None:
        """Add files that `add` wrote, here or on another machine, to a table of their columns; creates it."""

        def add(head: Table | None) -> None:
            if head is None:
                self._commit(None, table, added, schema)
            else:
                self._commit_more(head, table, added)

        self._append(table, add)

    def _append(self, table: str, add: Callable[[Table | None], None]) -> None:
        """Call ``add`` with the table, if there is one, until nobody else was quicker."""
        with native(f"could not append to {table} of the store at {self.root}"):
            for attempt in range(_ATTEMPTS):
                try:
                    add(self.open_or_none(table))
                    return
                except (CommitFailedError, CommitConflict):
                    wait(attempt)
        raise AffectlakeError(f"could not append to {table}: too many others write to it")

    def compact(self, table: str) -> int:
        """Put the pieces of a table of small things together, and drop them; the number of files that went."""
        with native(f"could not write {table} of the store at {self.root}"):
            head = self.open(table)
            if len(head.paths()) > 1:
                rows = head.to_pyarrow_table()
                with suppress(CommitConflict), self._added(table, rows) as added:  # somebody adds to it: another time
                    self._commit(head, table, added, rows.schema)
            return len(self.open(table).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False))

    def _add(self, head: Table, table: str, rows: pa.Table) -> None:
        known = pa.schema(head.schema().to_arrow())
        lacking = [Schema.from_arrow(pa.schema([f])).fields[0] for f in rows.schema if f.name not in known.names]
        if lacking:
            head.alter.add_columns(lacking)
            head = self.open(table)
            known = pa.schema(head.schema().to_arrow())
        rows = rows.cast(pa.schema([f if f.name not in known.names else known.field(f.name) for f in rows.schema]))
        with self._added(table, rows) as added:
            self._commit_more(head, table, added)

    def _commit_more(self, head: Table, table: str, added: Sequence["Added"]) -> None:
        actions, said = _said(added)
        head.create_write_transaction(actions, "append", head.schema(), commit_properties=said)
        self.copy_log(table)

    def extend(self, table: str, rows: pa.Table, version: int | None) -> None:
        """Add rows to a table, which must still be at ``version`` (None: must not exist).

        Raises
        ------
        CommitConflict
            It is not.
        """
        with native(f"could not write {table} of the store at {self.root}"):
            head = self._still_at(table, version)
            if head is None:
                self.swap(table, rows, None)
            else:
                self._add(head, table, rows)

    def swap(self, table: str, rows: pa.Table, version: int | None) -> int:
        """Replace the whole table, which must still be at ``version`` (None: must not exist); the new version.

        Raises
        ------
        CommitConflict
            It is not.
        """
        with native(f"could not write {table} of the store at {self.root}"):
            head = self._still_at(table, version)
            with self._added(table, rows) as added:
                return self._commit(head, table, added, rows.schema)

    def _still_at(self, table: str, version: int | None) -> Table | None:
        head = self.open_or_none(table)
        if (head.version() if head else None) != version:
            raise CommitConflict(table)
        return head

    def replace(
        self,
        table: str,
        rows: pa.Table,
        base: int | None,
        shards: Sequence[int] | None = None,
        more: Iterator[pa.Table] | None = None,
    ) -> int:
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
        more : iterator over pa.Table, optional
            Further rows of a table without partitions, written as they come.
        """
        with native(f"could not write {table} of the store at {self.root}"):
            return self.commit(table, self._written(table, rows, more), rows.schema, base, shards)

    def commit(
        self,
        table: str,
        added: Sequence["Added"],
        schema: pa.Schema,
        base: int | None,
        shards: Sequence[int] | None = None,
    ) -> int:
        """`replace` by files that `add` wrote, here or on another machine; the new version."""
        with native(f"could not write {table} of the store at {self.root}"):
            for attempt in range(_ATTEMPTS):
                head = self.open_or_none(table)
                try:
                    if head is not None and shards is not None and head.version() != base:
                        before = head.version()
                        head.restore(cast("int", base), ignore_missing_files=True, commit_properties=_ONCE)
                        head = self.open(table, before + 1)
                    return self._commit(head, table, added, schema, shards)
                except (CommitFailedError, CommitConflict):
                    wait(attempt)
        self._drop(table, added)
        raise AffectlakeError(f"could not write {table}: too many others write to it")

    def _commit(
        self,
        head: Table | None,
        table: str,
        added: Sequence["Added"],
        schema: pa.Schema,
        shards: Sequence[int] | None = None,
    ) -> int:
        partitions = [PARTITION] if PARTITION in schema.names else []
        kinds, (actions, said) = Schema.from_arrow(schema), _said(added)
        if head is None:
            self._created(table, kinds, actions, partitions, said)
        else:
            chosen = None if shards is None else [(PARTITION, "in", [str(s) for s in sorted(shards)])]
            head.create_write_transaction(actions, "overwrite", kinds, partitions, chosen, commit_properties=said)
        self.copy_log(table)
        return head.version() + 1 if head else 0  # what a commit without a second attempt can only be

    def _created(
        self, table: str, schema: Schema, added: list[AddAction], partitions: list[str], once: CommitProperties
    ) -> None:
        self.parent(f"{table}/_delta_log/0")
        try:
            # Without a limit the library would, after another's first commit, add these rows to theirs.
            create_table_with_add_actions(
                self.url(table),
                schema,
                added,
                mode="error",
                partition_by=partitions,
                configuration=SETTINGS,
                commit_properties=once,
            )
        except DeltaError as error:
            if "already exists" in str(error):
                raise CommitConflict(table) from None
            raise

    @contextmanager
    def _added(self, table: str, rows: pa.Table) -> Iterator[list["Added"]]:
        """Files of ``rows``, one per shard (or one), that go where somebody else's commit was quicker."""
        added = self._written(table, rows)
        try:
            yield added
        except (CommitFailedError, CommitConflict):
            self._drop(table, added)
            raise CommitConflict(table) from None

    def _drop(self, table: str, added: Sequence["Added"]) -> None:
        for file in added:
            with suppress(OSError):
                self.files.delete_file(f"{table}/{file.action.path}")

    def _written(self, table: str, rows: pa.Table, more: Iterator[pa.Table] | None = None) -> list["Added"]:
        if not rows.num_rows:
            return []
        if PARTITION not in rows.schema.names:
            return [self.add(table, rows, None, more)]
        shards = rows[PARTITION].to_numpy()
        if (np.diff(shards) < 0).any():
            rows = rows.sort_by(PARTITION)
            shards = rows[PARTITION].to_numpy()
        values = rows.drop_columns([PARTITION])
        bounds = [*np.flatnonzero(np.diff(shards, prepend=-1)), len(shards)]
        return [self.add(table, values.slice(a, b - a), int(shards[a])) for a, b in pairwise(bounds)]

    def add(
        self, table: str, rows: pa.Table, shard: int | None = None, more: Iterator[pa.Table] | None = None
    ) -> "Added":
        """Write a file in the table's place that no version names yet: it counts for nothing until `commit` does."""
        folder = "" if shard is None else f"{PARTITION}={shard}/"
        path = f"{folder}part-{uuid.uuid4()}.parquet"
        place = f"{table}/{path}"
        sha256 = self.write(place, rows) if more is None else self.write_parts(place, chain([rows], more))
        size = self.files.get_file_info(place).size
        partition: dict[str, str | None] = {} if shard is None else {PARTITION: str(shard)}
        return Added(AddAction(path, size, partition, int(time.time() * 1000), True, "{}"), sha256)


class _Hashed(io.RawIOBase):
    """Hashes what is written to a stream."""

    def __init__(self, out: Any):
        self.out, self.digest = out, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.digest.update(content)
        for at in range(0, len(content), _PIECE):
            self.out.write(content[at : at + _PIECE])
        return len(content)


class Added(NamedTuple):
    """A file that was written for a commit, and its sum."""

    action: AddAction
    sha256: str


_PIECE = 2**21
_PLAIN: dict[str, Any] = {"compression": "none", "use_dictionary": False, "write_statistics": False}

PARTITION = "shard"
LONGEST = 200
"""Characters of a name that becomes a folder's, to which an erasure adds some."""
_ONCE = CommitProperties(max_commit_retries=0)
VARIABLE = "AFFECTLAKE_VERIFY"
"""Set to 0, reads of this process do not compare sums."""
SHA256 = "sha256"
"""What a commit says of the files that it adds: JSON, by path the sum."""


def _said(added: Sequence[Added]) -> tuple[list[Any], CommitProperties]:
    sums = json.dumps({file.action.path: file.sha256 for file in added})
    return [file.action for file in added], CommitProperties({SHA256: sums}, max_commit_retries=0)


def wait(attempt: int) -> None:
    """Let others go first, longer each time, by chance so that two do not meet again."""
    time.sleep(random.uniform(0, min(0.05 * 2**attempt, 2.0)))
