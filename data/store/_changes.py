"""What differs between a table as it is and as it is wanted, told without a loop over its rows."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from affectlake.data.errors import AffectlakeError

OUTCOMES = pa.schema(
    [(n, pa.string()) for n in ("sample_id", "extractor", "outcome", "reason", "uri", "content", "fingerprint")]
    + [("first_seen", pa.timestamp("us", "UTC"))]
)
"""What the table of outcomes holds of every result without values."""


NOTHING = pd.DataFrame(
    {
        "sample_id": pd.Series([], dtype="str"),
        "content": pd.Series([], dtype="str"),
        "shard": pd.Series([], dtype="int32"),
    }
)
"""Keys of a table that is not there."""

OUTCOME = pd.CategoricalDtype(["ok", "not_applicable", "failed"])


def all_ok(n: int) -> pd.Categorical:
    """So many outcomes of results with values."""
    return pd.Categorical.from_codes(np.zeros(n, np.int8), dtype=OUTCOME)


def equal_parts(a: Iterable[pa.Table], b: Iterable[pa.Table]) -> bool:
    """Whether two tables are equal, types too, that come in parts of any sizes."""
    left, right = iter(a), iter(b)
    one, other = next(left), next(right)
    if not one.schema.equals(other.schema):
        return False
    while True:
        one, other = _filled(one, left), _filled(other, right)
        n = min(one.num_rows, other.num_rows)
        if not n:
            return bool(one.num_rows == other.num_rows)
        if not one.slice(0, n).equals(other.slice(0, n)):
            return False
        one, other = one.slice(n), other.slice(n)


def _filled(part: pa.Table, more: Iterator[pa.Table]) -> pa.Table:
    return part if part.num_rows else next((p for p in more if p.num_rows), part)


PENDING = -1
"""In place of the number of a shard (or file): what the last snapshot does not hold was kept since."""


def outcomes_of(outcomes: pd.DataFrame) -> tuple[int, int]:
    """How many failed, and to how many the extractor does not apply."""
    failed, not_applicable = (int((outcomes["outcome"] == k).sum()) for k in ("failed", "not_applicable"))
    return failed, not_applicable


def without_values(
    extractor: str, rows: pd.DataFrame, fingerprint: str, before: pd.DataFrame, pending: pd.DataFrame
) -> pd.DataFrame:
    """Outcomes of the rows that have no values, from what was kept or else from those of the last snapshot.

    Raises
    ------
    AffectlakeError
        A result was never kept.
    """
    old = before[before["fingerprint"] == fingerprint]
    now = pd.concat([pending[pending["outcome"] != "ok"], old[["content", "outcome", "reason"]]])
    outcomes = now.drop_duplicates("content").set_index("content").reindex(rows["content"])
    if lost := int(outcomes["outcome"].isna().sum()):
        raise AffectlakeError(f"{lost} results of {extractor} were never kept")
    seen = old.set_index(["sample_id", "content"])["first_seen"]
    at = pd.MultiIndex.from_arrays([rows["sample_id"], rows["content"]])
    first_seen = seen[~seen.index.duplicated()].reindex(at).fillna(pd.Timestamp(datetime.now(UTC)))
    return pd.DataFrame(
        {
            "sample_id": rows["sample_id"].to_numpy(),
            "extractor": extractor,
            "outcome": outcomes["outcome"].to_numpy(),
            "reason": outcomes["reason"].to_numpy(),
            "uri": rows["uri"].to_numpy(),
            "content": rows["content"].to_numpy(),
            "fingerprint": fingerprint,
            "first_seen": first_seen.to_numpy(),
        }
    )


def outcome_table(parts: list[pd.DataFrame]) -> pa.Table:
    filled = [p for p in parts if len(p)]
    if not filled:
        return OUTCOMES.empty_table()
    frame = pd.concat(filled, ignore_index=True)
    return pa.Table.from_pandas(frame[OUTCOMES.names], schema=OUTCOMES, preserve_index=False)
