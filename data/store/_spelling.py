"""Names of columns as the store keeps them: anybody's may be called anything, ours too.

A column whose name is one of ours, or that Delta cannot hold, is kept under a prefix that is ours alone, its name
encoded behind it. All others are kept as they are called, so that stores of earlier versions need no migration.
"""

from collections.abc import Iterable
from urllib.parse import quote, unquote

import pyarrow as pa

from affectlake.data.samples import CORE

PREFIX = "_affectlake_"  # no dot: Arrow would look for a part of a structure

IN_FEATURES = frozenset(("sample_id", "content", "shard", "outcome", "reason"))
"""Ours in tables of features and of results."""

IN_SAMPLES = frozenset(("_position", "_shard", "shard", *CORE))
"""Ours among the samples' labels; ``shard``, because tables are partitioned by it."""


KEYS = ["sample_id", "content", "shard"]
"""Columns of a feature table that are no features."""

HIDDEN = ["_position", "_shard"]
"""Columns of the samples table that only the store needs."""


def kept(name: str, ours: frozenset[str] = IN_FEATURES) -> str:
    """The column that a feature (or label) of this name is kept as.

    >>> kept("f0_mean"), kept("Shard"), kept("")
    ('f0_mean', '_affectlake_Shard', '_affectlake_')
    """
    plain = name and "\0" not in name and not name.lower().startswith(PREFIX) and name.lower() not in ours
    return name if plain else PREFIX + quote(name, safe="")


def kept_label(name: str) -> str:
    """The same of a column of samples."""
    return name if name in CORE else kept(name, IN_SAMPLES)


def spoken(column: str) -> str:
    """What `kept` was given.

    >>> spoken("_affectlake_Shard")
    'Shard'
    """
    return unquote(column.removeprefix(PREFIX)) if column.startswith(PREFIX) else column


def for_others(table: pa.Table, ours: Iterable[str]) -> pa.Table:
    """A table of ours for whoever knows nothing of us: without ``ours``, columns as they are called.

    ``sample_id`` stays the key, so that a feature of that name keeps its prefix.
    """
    table = table.drop_columns([c for c in ours if c in table.column_names])
    taken = {c.lower() for c in table.column_names if not c.startswith(PREFIX)}
    return table.rename_columns([_shown(c, taken) for c in table.column_names])


def _shown(column: str, taken: set[str]) -> str:
    name = spoken(column)
    return column if not name or "\0" in name or (name != column and name.lower() in taken) else name
