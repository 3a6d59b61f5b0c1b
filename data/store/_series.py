"""Features over time: tables with a row per window of a sample."""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from affectlake.data.errors import AffectlakeError, UnknownName
from affectlake.data.store import _load
from affectlake.data.store._read import read
from affectlake.data.store._snapshot import Snapshot
from affectlake.data.store._spelling import kept
from affectlake.data.store._table_store import TableStore
from affectlake.data.windows import TRACKED, WINDOWED, keys_of


def series(
    store: TableStore, snapshot: Snapshot, sample_id: str | Sequence[str], patterns: Sequence[str] | None, kind: str
) -> pd.DataFrame:
    """See `Store.series` and `Store.tracks`; ``kind`` ends the names of the tables."""
    tables = {n.removesuffix(kind): entry for n, entry in snapshot.series.items() if n.endswith(kind)}
    if not tables:
        how = {WINDOWED: "series: refresh it with --set series.window=1", TRACKED: "tracks: --set video.faces=all"}
        raise AffectlakeError(f"{snapshot.dataset} has no {how[kind]}")
    chosen = _load.matching({name: _load.column_names(store, entry) for name, entry in tables.items()}, patterns)
    ids = [sample_id] if isinstance(sample_id, str) else list(sample_id)
    known = set(_load.samples(store, snapshot, ["sample_id", "_position"])["sample_id"])
    for one in ids:
        if one not in known:
            raise UnknownName("sample", one, known)
    keys = ["sample_id", *keys_of(kind)]
    parts = []
    for name, names in chosen.items():
        columns = [kept(n) for n in names]
        mine = pc.field("sample_id").isin(pa.array(ids, pa.string()))
        frame = read(store, tables[name], [*keys, *columns], mine).to_pandas().set_index(keys)
        parts.append(frame.set_axis([f"{name}.{n}" for n in names], axis=1))
    joined = pd.concat(parts, axis=1).sort_index()
    return joined.droplevel("sample_id") if isinstance(sample_id, str) else joined.loc[ids]
