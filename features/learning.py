"""Contents of objects elsewhere that nobody has read yet: what they are is learnt where they are computed.

Such a content is told by what a list says of its object (`affectlake.features.scan.UNLEARNT`). Who computes it reads
the object, once, and says with the results which sha256 it has; only then they get the name of the content that they
belong to.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from affectlake.features.inputs import Request, forget_read, sha256_read
from affectlake.features.scan import UNLEARNT, content_of, unlearnt

_KEY = b"affectlake learnt"


def told(tables: dict[str, pa.Table], requests: Sequence[Request]) -> dict[str, pa.Table]:
    """Results of a worker that say which sha256 the objects have that it read first."""
    learnt = {}
    for request in requests:
        if request.sha256 == UNLEARNT and (sha256 := sha256_read(request)):
            learnt[unlearnt(request.stamp, request.size)] = sha256
    forget_read()
    if not learnt:
        return tables
    note = {_KEY: json.dumps(learnt)}
    return {name: table.replace_schema_metadata(note) for name, table in tables.items()}


def learnt_of(tables: Mapping[str, pa.Table]) -> dict[str, str]:
    """What `told` noted: sha256 by what stood for it."""
    found: dict[str, str] = {}
    for table in tables.values():
        found |= json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
    return found


def named(tables: Mapping[str, pa.Table], learnt: Mapping[str, str]) -> dict[str, pa.Table]:
    """Results under their contents' names, without those of objects that could not be read."""
    return {name: _named(table.replace_schema_metadata(None), learnt) for name, table in tables.items()}


def _named(table: pa.Table, learnt: Mapping[str, str]) -> pa.Table:
    contents = table["content"].to_pylist()
    if not any(c.startswith(UNLEARNT) for c in contents):
        return table
    new = pa.array([content_of(c, learnt) for c in contents], pa.string())
    return table.set_column(table.schema.get_field_index("content"), "content", new).filter(pc.is_valid(new))


def with_learnt(stats: pd.DataFrame, learnt: Mapping[str, str]) -> pd.DataFrame:
    """The result of a scan with what was learnt since."""
    waiting = stats["sha256"] == UNLEARNT
    names = [unlearnt(stamp, size) for stamp, size in zip(stats["stamp"][waiting], stats["size"][waiting], strict=True)]
    sha256 = stats["sha256"].to_numpy(dtype=object, copy=True)
    sha256[waiting.to_numpy()] = [learnt.get(name, UNLEARNT) for name in names]
    return stats.assign(sha256=pd.Series(sha256, dtype="str", index=stats.index))


def to_be_read(stats: pd.DataFrame, requests: Iterable[Request]) -> set[str]:
    """Addresses of objects that nobody has read yet, among those that are asked for whole."""
    # Requests are made as they are asked for: of files here none are.
    if not (stats["sha256"] == UNLEARNT).any():
        return set()
    return {r.uri for r in requests if r.sha256 == UNLEARNT and not r.in_parts}


def still_unlearnt(stats: pd.DataFrame) -> list[str]:
    """Addresses of objects that nobody has read yet."""
    return stats.loc[stats["sha256"] == UNLEARNT, "uri"].tolist()
