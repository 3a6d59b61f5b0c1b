"""SQL over a snapshot: DuckDB reads the tables' files through Arrow.

Views, all to be quoted because of their dots: ``"<dataset>.samples"``, ``"<dataset>.<modality>.<extractor>"``,
``"<dataset>.outcomes"``, ``"<dataset>.columns"``, and ``"<dataset>"``: samples joined with all features, whose columns
are named ``"audio.prosody.f0_mean"``. Besides ``snapshots`` and the tables of records (``benchmarks``).

A query only reads, and only the store: DuckDB is shut off from files and network, loads nothing, and is locked so. What
it would still reach by itself (memory addresses, settings, secrets, text that is run as a query) is refused by name.
"""

import re
import tempfile
from collections.abc import Mapping
from functools import cache
from itertools import pairwise

import duckdb
import pandas as pd

from affectlake.data.errors import UsageError
from affectlake.data.store import _checksums, _load
from affectlake.data.store._snapshot import FEATURES, SERIES, Snapshot, extractor_of
from affectlake.data.store._snapshots import LOG
from affectlake.data.store._spelling import HIDDEN, KEYS, PREFIX, for_others, spoken
from affectlake.data.store._table_store import TableStore

_READING = ("SELECT", "EXPLAIN", "MULTI")
"""Kinds of statements that only read; DuckDB calls a PIVOT, which it takes apart, MULTI."""

_TABLES = {
    *("range", "generate_series", "unnest", "repeat", "repeat_row", "histogram", "histogram_values", "summary"),
    *("json_each", "json_tree", "duckdb_views", "duckdb_columns", "duckdb_functions", "duckdb_types"),
    *("pragma_table_info", "pragma_version", "pg_timezone_names", "icu_calendar_names", "glob"),
}
"""Table functions that a query may call: of all others none reads the store. ``glob`` is an operator too, and as a
function finds itself shut off."""

_SCALARS = {"current_setting", "getenv", "write_log"}

_CLOSED = (
    "python_enable_replacements = false",  # or `FROM store` would find our own variables
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "allow_community_extensions = false",
    "allow_persistent_secrets = false",
    "enable_external_access = false",
    "lock_configuration = true",
)


def query(store: TableStore, state: Mapping[str, Snapshot], text: str, allow_files: bool = False) -> pd.DataFrame:
    """Result of a query over ``state``; raises UsageError with DuckDB's message."""
    # What does not fit into memory is written somewhere: not into the folder that one happens to be in.
    with tempfile.TemporaryDirectory(prefix="affectlake-sql-") as spill, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET temp_directory = ?", [spill])
        taken: set[str] = set()
        for dataset, snapshot in state.items():
            if dataset.lower() not in taken:  # stores of earlier versions may have two that case alone tells apart
                _compare(store, dataset, snapshot, text)
                _views(connection, store, dataset, snapshot)
                taken.add(dataset.lower())
        for name, path in {"snapshots": LOG, **{n: f"records/{n}" for n in store.list_tables("records")}}.items():
            table = _checksums.compared(store, path) if _says(text, name) else store.open_or_none(path)
            if table is not None and name not in taken:
                connection.register(name, table.to_pyarrow_dataset())
        try:
            if not allow_files:
                _only_reads(connection, text)
                for setting in _CLOSED:
                    connection.execute(f"SET {setting}")
            return connection.sql(text).df()
        except (duckdb.Error, AttributeError) as error:  # a statement without a result has no frame
            message = str(error).splitlines()[0] if isinstance(error, duckdb.Error) else "this is no query"
            if isinstance(error, duckdb.PermissionException):
                message += "; --allow-files lets a query reach files"
            views = _names(connection)
            for view in _unquoted(text, views):
                message += f"; a name with dots is quoted as a whole: '{_quoted(view)}'"
            raise UsageError(f"{message} (views: {', '.join(views)})") from None


def _compare(store: TableStore, dataset: str, snapshot: Snapshot, text: str) -> None:
    """Compare the files of the tables that a query may mean with their sums."""
    for table, entry in snapshot.tables.items():
        if _says(text, dataset) or _says(text, f"{dataset}.{table.removeprefix(FEATURES).removeprefix(SERIES)}"):
            _checksums.compare(store, entry.path, store.load_version(entry))


def _says(text: str, view: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(view)}(?![\w.])", text, re.IGNORECASE) is not None


def _unquoted(text: str, views: list[str]) -> list[str]:
    """The first view that a query means with its dots outside of quotes, if any; the longest such name."""
    unquoted = [
        v for v in views if "." in v and re.search(rf'(?<![\w."]){re.escape(v)}(?![\w."])', text, re.IGNORECASE)
    ]
    return sorted(unquoted, key=len)[-1:]


def _only_reads(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    """Refuse statements that do more than read the store, and calls that reach beyond it."""
    statements = connection.extract_statements(text)
    kinds = [statement.type.name for statement in statements]
    if len(statements) != 1 or kinds[0] not in _READING:
        shown = "; ".join(kinds) or "nothing"
        raise UsageError(f"a query is one SELECT, this is {shown}: to write or to reach files, add --allow-files")
    for name in _called(text):
        if name in _refused():
            raise UsageError(f"{name}() reaches beyond the store: not in a query, unless with --allow-files")


@cache
def _refused() -> frozenset[str]:
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT DISTINCT lower(function_name) FROM duckdb_functions() "
            "WHERE function_type IN ('table', 'table_macro', 'pragma')"
        ).fetchall()
    return frozenset(name for (name,) in rows) - _TABLES | _SCALARS


def _called(text: str) -> list[str]:
    """Names that stand before an opening bracket, in lower case and without quotes."""
    raw = text.encode()  # positions count bytes
    found = [(at, kind) for at, kind in duckdb.tokenize(text) if kind != duckdb.token_type.comment]
    ends = [at for at, _ in duckdb.tokenize(text)] + [len(raw)]
    words = []
    for at, _ in found:
        end = next(e for e in ends if e > at)
        words.append(raw[at:end].decode("utf-8", "replace").strip())
    return [a.strip('"').lower() for a, b in pairwise(words) if b.startswith("(")]


def _views(connection: duckdb.DuckDBPyConnection, store: TableStore, dataset: str, snapshot: Snapshot) -> None:
    joins: list[str] = []
    shown = [f"s.* EXCLUDE ({', '.join(HIDDEN)})"]
    for table, entry in snapshot.tables.items():
        if table == "stats":
            continue
        kept = store.load_version(entry)
        arrow = kept.to_pyarrow_dataset()
        extractor = extractor_of(table)
        name = extractor or table
        view = f"{dataset}.{name}"
        if any(c.startswith(PREFIX) for c in arrow.schema.names):
            _checksums.compare(store, entry.path, kept)
            arrow = for_others(arrow.to_table(), KEYS[1:] if extractor else HIDDEN)
        connection.register(view, arrow)
        if extractor not in snapshot.features:
            if table == "samples" and not set(HIDDEN) <= set(arrow.schema.names):
                shown = ["s.*"]
            continue
        alias = f"t{len(joins)}"
        columns = _load.kept_columns(store, snapshot.features[name])
        here = set(arrow.schema.names)
        shown += [
            f"{alias}.{_quoted(c if c in here else spoken(c))} AS {_quoted(f'{name}.{spoken(c)}')}" for c in columns
        ]
        joins.append(f'LEFT JOIN "{view}" {alias} ON {alias}.sample_id = s.sample_id')
    connection.execute(
        f'CREATE VIEW "{dataset}" AS SELECT {", ".join(shown)} FROM "{dataset}.samples" s {" ".join(joins)}'
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1").fetchall()
    return [name for (name,) in rows]
