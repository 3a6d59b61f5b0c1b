"""Takes people out of what Prefect remembers: artifacts, log lines, parameters and messages of runs, events.

Its server has no call to change what was logged, so the database is edited where it is: the file that the local server
and runs without a server use. The database of a server elsewhere is listed as not reached.
"""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from affectlake.data.store import Left
from affectlake.data.store._names import ErasureTarget, Plain, Traces, holds, says, scrubbed, unpacked
from affectlake.data.store._search import SearchResult

_WHOLE = {"artifact": ("data", "description"), "artifact_collection": ("data", "description"), "log": ("message",)}
"""Rows that go where one of these columns names somebody."""

_PARTS = {
    "flow_run": ("parameters", "context"),
    "task_run": ("task_inputs",),
    "flow_run_state": ("message", "data"),
    "task_run_state": ("message", "data"),
    "events": ("payload", "resource"),
    "deployment": ("parameters",),
}
"""Columns that stay without them."""


def database() -> Path:
    """Where Prefect's local database is."""
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect").expanduser()
    return home / "prefect.db"


def forget(target: ErasureTarget) -> list[Left]:
    """Clean the local database; what could not be reached."""
    left = []
    api, url = os.environ.get("PREFECT_API_URL", ""), _connection()
    if api and not any(host in api for host in ("//127.0.0.1", "//localhost", "//[::1]")):
        left.append(_left(api, "the artifacts and logs of this server are its keeper's to clean"))
    if url and not url.startswith("sqlite"):
        left.append(_left("PREFECT_API_DATABASE_CONNECTION_URL", "this database is its keeper's to clean"))
    path = _file()
    if path is None:
        return left
    try:
        with closing(sqlite3.connect(path, timeout=60)) as connection:
            _clean(connection, Plain(target))
    except (sqlite3.Error, OSError) as error:
        left.append(_left(str(path), f"could not be cleaned: {error}"))
    return left


def search(traces: Traces) -> SearchResult:
    """Look for people in the local database; ``paths`` name its tables and columns."""
    path, found = _file(), SearchResult()
    if path is None:
        return found
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", timeout=60, uri=True)) as connection:
            for table, column in _columns(connection):
                rows = connection.execute(f'SELECT "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL')
                if any(isinstance(value, str) and _names(value, traces) for (value,) in rows):
                    found.paths.append(f"{path}: {table}.{column}")
        found.files += 1
    except (sqlite3.Error, OSError):
        found.unread.append(str(path))
    return found


def _connection() -> str:
    return os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL", "")


def _file() -> Path | None:
    """The local database, where there is one."""
    url = _connection()
    path = Path("/" + url.split(":///", 1)[1].lstrip("/")) if url.startswith("sqlite") and ":///" in url else database()
    try:
        return path if path.is_file() else None
    except OSError:  # as another user's home: whoever opens it is told
        return path


def _columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Tables and columns of the database that may name people."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    found = []
    for table in sorted(tables & {*_WHOLE, *_PARTS}):
        there = {row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')}
        found += [(table, c) for c in (*_WHOLE.get(table, ()), *_PARTS.get(table, ())) if c in there]
    return found


def _left(where: str, why: str) -> Left:
    return Left(what="prefect", where=where, why=why)


def _clean(connection: sqlite3.Connection, traces: Plain) -> None:
    connection.execute("PRAGMA secure_delete = ON")
    touched = False
    for table, column in _columns(connection):
        touched |= _clean_column(connection, table, column, traces)
    connection.commit()
    if touched:
        # What was there stays in free pages and in the log until these are written anew.
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _clean_column(connection: sqlite3.Connection, table: str, column: str, traces: Plain) -> bool:
    rows = connection.execute(f'SELECT rowid, "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL').fetchall()
    touched = False
    for row, value in rows:
        if not isinstance(value, str) or not _names(value, traces):
            continue
        touched = True
        if table in _WHOLE:
            connection.execute(f'DELETE FROM "{table}" WHERE rowid = ?', (row,))
        else:
            inner = unpacked(value)
            clean = "(erased)" if inner is None else json.dumps(scrubbed(inner, traces))
            connection.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (clean, row))
    return touched


def _names(value: str, traces: Traces) -> bool:
    inner = unpacked(value)
    if isinstance(inner, str):  # a text as JSON, which may itself hold a table as JSON
        deeper = unpacked(inner)
        return says(inner, traces) if deeper is None else holds(deeper, traces)
    return says(value, traces) if inner is None else holds(inner, traces)
