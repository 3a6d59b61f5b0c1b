"""What differs between a table as it is and as it is wanted, told without a loop over its rows."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from affectlake.data.errors import AffectlakeError
from affectlake.data.store._arrow import index_in, is_in, strings
from affectlake.data.store._snapshot import Counts

OUTCOMES = pa.schema(
    [(n, pa.string()) for n in ("sample_id", "extractor", "outcome", "reason", "uri", "content", "fingerprint")]
    + [("first_seen", pa.timestamp("us", "UTC"))]
)
"""What the table of outcomes holds of every result without values."""


def nothing_changed(rows: pd.DataFrame, base: pd.DataFrame, lacking: pd.DataFrame, shards: pd.Series) -> bool:
    """Whether what is wanted is, row by row, what there is: the common night, told without any look-up."""
    if len(rows) != len(base) + len(lacking):
        return False
    if len(lacking):
        lost = is_in(rows["sample_id"], lacking["sample_id"])
        failed = rows[lost].set_index("sample_id")["content"]
        if not failed.equals(lacking.set_index("sample_id")["content"].reindex(failed.index)):
            return False
        rows = rows[~lost]
    now = shards_at(shards, rows["sample_id"])
    # Tables lie shard by shard, each in the order that the samples had.
    order, order_before = np.argsort(now, kind="stable"), np.argsort(base["shard"].to_numpy(), kind="stable")
    if not np.array_equal(now[order], base["shard"].to_numpy()[order_before]):
        return False
    return all(_equal(rows[k].take(order), base[k].take(order_before)) for k in ("sample_id", "content"))


def _equal(a: pd.Series | pd.Index, b: pd.Series | pd.Index) -> bool:
    return len(a) == len(b) and strings(a).equals(strings(b))


def shards_at(shards: pd.Series, ids: pd.Series) -> np.ndarray:
    """Shards of samples that all have one."""
    return shards.to_numpy() if _equal(shards.index, ids) else shards.to_numpy()[index_in(ids, shards.index)]


def changed_shards(base: pd.DataFrame, good: pd.DataFrame) -> list[int]:
    """Shards whose rows are not what they were."""
    old, new = base["shard"].to_numpy(), good["shard"].to_numpy()
    at = index_in(good["sample_id"], base["sample_id"])
    was = base.iloc[at] if len(base) else base
    same = at >= 0
    if len(base):
        same &= pc.equal(strings(was["content"]), strings(good["content"])).to_numpy()
        same &= was["shard"].to_numpy() == new
    gone = np.ones(len(base), dtype=bool)
    gone[at[at >= 0]] = False
    moved = at[~same & (at >= 0)]
    return np.unique(np.concatenate([new[~same], old[moved], old[gone]])).astype(int).tolist()


PENDING = -1
"""In place of the number of a shard (or file): what the last snapshot does not hold was kept since."""


def sources(rows: pd.DataFrame, base: pd.DataFrame) -> np.ndarray:
    """Shard of the last snapshot that holds each row's content, its own before others; else `PENDING`."""
    if base.empty:
        return np.full(len(rows), PENDING, np.int32)
    shards = base["shard"].to_numpy()
    own = index_in(rows["sample_id"], base["sample_id"])
    same = (own >= 0) & pc.equal(strings(base["content"].iloc[own]), strings(rows["content"])).to_numpy()
    at = index_in(rows["content"], base["content"])
    return np.where(same, shards[own], np.where(at >= 0, shards[at], PENDING))


def outcomes_of(outcomes: pd.DataFrame) -> tuple[int, int]:
    """How many failed, and to how many the extractor does not apply."""
    failed, not_applicable = (int((outcomes["outcome"] == k).sum()) for k in ("failed", "not_applicable"))
    return failed, not_applicable


def counts_of(
    rows: pd.DataFrame,
    good: pd.DataFrame,
    base: pd.DataFrame,
    lacking_before: pd.DataFrame,
    same: bool,
    lacking: pd.DataFrame,
) -> Counts:
    had = pd.concat([base[["sample_id", "content"]], lacking_before[["sample_id", "content"]]])
    at = index_in(rows["sample_id"], had["sample_id"])
    known = at >= 0
    equal = known & same
    if len(had):
        equal &= pc.equal(strings(had["content"].iloc[at]), strings(rows["content"])).to_numpy()
    # A failure that was tried again and came out well has the content that it had.
    mended = is_in(rows["sample_id"], lacking_before["sample_id"]) & is_in(rows["sample_id"], good["sample_id"])
    equal &= ~mended
    gone = ~is_in(had["sample_id"], rows["sample_id"])
    new, recomputed, unchanged, removed = (int(x.sum()) for x in (~known, known & ~equal, equal, gone))
    return Counts(new, recomputed, unchanged, removed, *outcomes_of(lacking))


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
