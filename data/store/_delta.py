"""The one place where paths go to Delta's native library and come back, and where its failures become sentences.

The library reads a path as a URL, and twice over: below a folder with ``[`` it panics, below one with ``%20`` it looks
for one with a blank, a control character it refuses, and what it gives back is encoded. It follows links first, so a
link beside the store is no way out. Therefore it is shown the log alone, ``_delta_log``, as a link in a folder of plain
name; files of values are written, found and read here, by their own paths. Encoding paths was tried: the library
decodes them before it makes a URL of them again.
"""

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from affectlake.data.errors import AffectlakeError

_PLAIN = re.compile(r"[A-Za-z0-9_./~=,@+-]*")


class Table(DeltaTable):
    """A Delta table whose files lie below ``folder``, whatever that is called; None on object stores."""

    def __init__(self, url: str, version: int | None, folder: str | None):
        super().__init__(url, version=version)
        self._url, self._folder = url, folder

    def paths(self) -> list[str]:
        """Files of this version, relative to the table."""
        return pa.table(self.get_add_actions())["path"].to_pylist()

    def file_uris(self, *arguments: Any, **options: Any) -> list[str]:
        if self._folder is None or arguments or options:
            return super().file_uris(*arguments, **options)
        return [f"{self._folder}/{path}" for path in self.paths()]

    def to_pyarrow_dataset(self, partitions: Any = None, filesystem: Any = None, *more: Any, **options: Any) -> Any:
        if filesystem is None and self._folder is not None:
            from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

            filesystem = SubTreeFileSystem(self._folder, LocalFileSystem())
        return super().to_pyarrow_dataset(partitions, filesystem, *more, **options)

    def vacuum(
        self,
        retention_hours: int | None = None,
        dry_run: bool = True,
        enforce_retention_duration: bool = True,
        *more: Any,
        full: bool = False,
        **options: Any,
    ) -> list[str]:
        """See deltalake; ``full`` takes files that no version ever named as well."""
        if self._folder is None:
            return super().vacuum(retention_hours, dry_run, enforce_retention_duration, *more, full=full, **options)
        gone = set(
            super().vacuum(retention_hours, True, enforce_retention_duration, *more, **options)
        )  # as the log has it: those that were replaced
        if full:
            gone |= {p for p in _files(self._folder) if p.endswith(".parquet")}
        gone -= set(self.paths())
        for version in options.get("keep_versions") or ():
            gone -= set(Table(self._url, version, self._folder).paths())
        for path in () if dry_run else sorted(gone):
            with suppress(FileNotFoundError):
                os.remove(f"{self._folder}/{path}")
        return sorted(gone)


def _files(folder: str) -> Iterator[str]:
    """Files of a table, its log and the copies of that apart, relative to it."""
    for here, below, names in os.walk(folder):
        below[:] = [b for b in below if not b.startswith("_delta_log")]
        yield from (os.path.relpath(os.path.join(here, n), folder) for n in names)


def url(root: str, table: str) -> str:
    """What Delta is told of a table in a local folder."""
    real = os.path.realpath(root)
    if _PLAIN.fullmatch(real):
        return f"{root}/{table}" if _PLAIN.fullmatch(root) else f"{real}/{table}"
    folder = f"{_beside(os.getpid(), real)}/{table}"
    link = f"{folder}/_delta_log"
    if not os.path.islink(link):
        os.makedirs(folder, exist_ok=True)
        beside = tempfile.mktemp(prefix=".", dir=folder)
        os.symlink(f"{real}/{table}/_delta_log", beside)
        os.replace(beside, link)
    return folder


@cache
def _beside(pid: int, root: str) -> str:
    """A folder of plain name for links to a store's logs, of this process alone, gone with it."""
    for where in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):
        if _PLAIN.fullmatch(os.path.realpath(where)) and os.access(where, os.W_OK):
            folder = tempfile.TemporaryDirectory(prefix="affectlake-", dir=where, ignore_cleanup_errors=True)
            _folders.append(folder)
            return folder.name
    raise AffectlakeError(f"a store at {root} needs a temporary folder of plain name: set TMPDIR")


_folders: list[tempfile.TemporaryDirectory[str]] = []  # they are removed when the process ends


class NotWritable(AffectlakeError):
    """This user may not write the store."""


_REASONS: dict[str, tuple[type[AffectlakeError], tuple[int, ...]]] = {
    "no space left": (AffectlakeError, (errno.ENOSPC, errno.EDQUOT)),
    "permission denied": (NotWritable, (errno.EACCES, errno.EPERM)),
    "operation not permitted": (NotWritable, ()),
    "read-only file system": (NotWritable, (errno.EROFS,)),
    "file too large": (AffectlakeError, (errno.EFBIG,)),
    "input/output error": (AffectlakeError, (errno.EIO,)),
    "file name too long": (AffectlakeError, (errno.ENAMETOOLONG,)),
}


@contextmanager
def native(what: str) -> Iterator[None]:
    """Turn what the native library raises, panics too, into one line: ``what`` and the reason.

    Raises
    ------
    AffectlakeError
        A disk is full or may not be written, or the library gave up.
    """
    try:
        yield
    except (OSError, DeltaError) as error:
        number, text = getattr(error, "errno", None), str(error).lower()
        for reason, (kind, numbers) in _REASONS.items():
            if number in numbers or reason in text:
                raise kind(f"{what}: {reason}") from error
        raise
    except BaseException as error:
        # Panics are no `Exception`, and their class can only be told by its name.
        if type(error).__name__ != "PanicException":
            raise
        raise AffectlakeError(f"{what}: {' '.join(str(error).split())[:200]}") from error
