"""SQL over a snapshot: DuckDB reads the tables' files through Arrow.

Views, all to be quoted because of their dots: ``"<dataset>.samples"``, ``"<dataset>.<modality>.<extractor>"``,
``"<dataset>.outcomes"``, ``"<dataset>.columns"``, and ``"<dataset>"``: samples joined with all features, whose columns
are named ``"audio.prosody.f0_mean"``. Besides ``snapshots`` and the tables of records (``benchmarks``).
"""

from collections.abc import Mapping

import duckdb
import pandas as pd

from affectlake.data.errors import UsageError
from affectlake.data.store._frames import HIDDEN, KEYS
from affectlake.data.store._place import Place
from affectlake.data.store._snapshots import LOG, Snapshot


def query(place: Place, state: Mapping[str, Snapshot], text: str) -> pd.DataFrame:
    """Result of a query over ``state``; raises UsageError with DuckDB's message."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for dataset, snapshot in state.items():
            _views(connection, place, dataset, snapshot)
        for name, path in {"snapshots": LOG, **{n: f"records/{n}" for n in place.below("records")}}.items():
            table = place.open(path)
            if table is not None:
                connection.register(name, table.to_pyarrow_dataset())
        try:
            return connection.sql(text).df()
        except (duckdb.Error, AttributeError) as error:  # a statement without a result has no frame
            message = str(error).splitlines()[0] if isinstance(error, duckdb.Error) else "this is no query"
            raise UsageError(f"{message} (views: {', '.join(_names(connection))})") from None


def _views(connection: duckdb.DuckDBPyConnection, place: Place, dataset: str, snapshot: Snapshot) -> None:
    shown, joins = [f"s.* EXCLUDE ({', '.join(HIDDEN)})"], []
    for table, entry in snapshot.tables.items():
        if table == "stats":
            continue
        arrow = place.at(entry).to_pyarrow_dataset()
        name = table.removeprefix("features.")
        view = f"{dataset}.{name}"
        if table == name:
            connection.register(view, arrow)
            continue
        alias = f"t{len(joins)}"
        connection.register(view, arrow)
        columns = [c for c in arrow.schema.names if c not in KEYS]
        shown += [f'{alias}."{c}" AS "{name}.{c}"' for c in columns]
        joins.append(f'LEFT JOIN "{view}" {alias} ON {alias}.sample_id = s.sample_id')
    connection.execute(
        f'CREATE VIEW "{dataset}" AS SELECT {", ".join(shown)} FROM "{dataset}.samples" s {" ".join(joins)}'
    )


def _names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1").fetchall()
    return [name for (name,) in rows]
