"""Values belong to the bytes that were hashed: files that change while they are read are hashed and read again."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from affectlake.features import registry, scan
from affectlake.features.compute import CHANGED, Chunk, failed
from affectlake.features.plan import Plan

TRIES = 3
"""Times that files which change under the reader are hashed and read again."""


def settled(
    work: Plan,
    stats: pd.DataFrame,
    again: Callable[[pd.DataFrame], Plan],
    compute: Callable[[Plan, bool], Iterable[str]],
) -> tuple[Plan, pd.DataFrame]:
    """Compute until every file that was read is the one that was hashed, or is given up after `TRIES` more times.

    Parameters
    ----------
    work : Plan
    stats : DataFrame
        Result of `affectlake.features.scan.scan` that the plan was made of.
    again : callable(stats) -> Plan
        What is left to compute of files as they are now.
    compute : callable(plan, given_up) -> iterable of str
        Computes and keeps; returns the addresses of files that changed meanwhile. Where they are given up, nothing is
        to be read: see `given_up`.

    Returns
    -------
    Plan, DataFrame
        The plan that was carried out at last, and what the files are by then.
    """
    changed = list(compute(work, False))
    for left in reversed(range(TRIES)) if changed else ():
        stats = scan.rescan(stats, changed) if left else scan.unread(stats, changed)
        work = again(stats)
        changed = list(compute(work, not left))
        if not changed:
            break
    return work, stats


def steady(chunks: Iterable[Chunk], tables: Mapping[str, pa.Table]) -> tuple[dict[str, pa.Table], list[str]]:
    """Results of some of the chunks without the rows of files that changed, and those files' addresses."""
    kept, contents = {}, []
    for name, results in tables.items():
        other = pc.equal(results["outcome"], CHANGED)
        contents += results["content"].filter(other).to_pylist()
        kept[name] = results.filter(pc.invert(other))
    at = {r.content: r.uri for c in chunks for r in c.requests} if contents else {}
    return kept, list(dict.fromkeys(at[c] for c in contents))


def given_up(chunks: Sequence[Chunk], what_next: str) -> Iterator[tuple[Chunk, dict[str, pa.Table]]]:
    """Results that say of every sample that its file never stood still, and what becomes of it."""
    reason = f"changed each time that it was read: {what_next}"
    for chunk in chunks:
        yield chunk, {n: failed(registry.get(n), chunk.requests, reason) for n in chunk.extractors}
