"""What nights leave behind: one record each, and a lock that tells a night that runs from one that died."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from affectlake.data.errors import AffectlakeError
from affectlake.flows.record import VERSION, Entry, Record
from affectlake.flows.values import plain


class Busy(AffectlakeError):
    """Another night of the same reports folder is running now."""


@contextmanager
def alone(reports: Path) -> Iterator[None]:
    """Hold the lock of a reports folder; the system lets go of it however this process ends.

    Raises
    ------
    Busy
        Another process holds it; names that process.
    """
    with _lock_file(reports) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another night is running ({file.read().strip() or 'unknown process'}): {reports}") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def is_running(reports: Path) -> bool:
    """Whether a night of this reports folder runs now."""
    with _lock_file(reports) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _lock_file(reports: Path) -> TextIO:
    try:
        reports.mkdir(parents=True, exist_ok=True)
        file = open(reports / ".night.lock", "a+", encoding="utf-8")
    except OSError as error:
        raise AffectlakeError(f"the reports folder {reports} cannot be written: {error.strerror}") from None
    file.seek(0)
    return file


class History:
    """The records of a reports folder: ``runs/<time>.json``."""

    def __init__(self, reports: Path):
        self.folder = reports / "runs"
        self.folder.mkdir(parents=True, exist_ok=True)

    def save(self, record: Record) -> Path:
        """Write a record, whole or not at all."""
        path = self.folder / f"{stem(record)}.json"
        replace(path, json.dumps(plain(record), indent=2, ensure_ascii=False))
        return path

    def __iter__(self) -> Iterator[Record]:
        """Records, the newest first; those of other shapes are left out."""
        for path in sorted(self.folder.glob("*.json"), reverse=True):
            record = json.loads(path.read_text(encoding="utf-8"))
            if record.get("version") == VERSION:
                yield record

    def close_interrupted(self) -> list[str]:
        """Mark nights that began and never ended; the caller holds the lock, so none of them can still run."""
        killed = []
        for record in self:
            if record["state"] != "running":
                break  # whatever came before was closed by then
            record["state"] = "interrupted"
            self.save(record)
            killed.append(record["run"])
        return killed

    def prune(self, keep: int) -> None:
        """Delete records and pages of all but the newest ``keep`` nights."""
        for record in sorted(self.folder.glob("*.json"), reverse=True)[keep:]:
            record.with_suffix(".html").unlink(missing_ok=True)
            record.unlink()

    def last(self, dataset: str) -> Entry | None:
        """The entry of a dataset in the newest night that ended and published it."""
        for record in self:
            if record["state"] not in ("running", "interrupted"):
                for entry in record["datasets"]:
                    if entry["dataset"] == dataset and entry["state"] == "done":
                        return entry
        return None

    def reference(self, dataset: str, newest: str | None) -> str | None:
        """The snapshot that a night's changes are told against: that of the last night which told anybody.

        Where no night ever did, the one before the first night that is known of; where there was none, ``newest``.
        """
        last = self.last(dataset)
        if last is not None and last["refresh"] is not None:
            return last["refresh"]["snapshot"]
        for record in self:
            newest = record["before"].get(dataset, newest)
        return newest


def stem(record: Record) -> str:
    """A record's file name without its suffix: begins with the time, so that names sort by it."""
    return f"{record['started'].replace(':', '').replace('+0000', 'Z')}-{record['run'][:8]}"


def replace(path: Path, text: str) -> None:
    """Write a file so that whoever reads it at any moment sees the old one or the new one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
