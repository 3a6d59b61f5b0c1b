"""Who was erased and is not to come back: keyed hashes of ids, speakers and of what their media are.

The hashes are keyed by the store (`_identity`), so that a table or a receipt that got away tells nobody's name.
Whoever holds the key, which is to say the store, can find out whether a name that he guesses is among them: that is
what a refresh does. Slow hashes would not change that for lists of a few thousand participants, and cost every refresh.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from affectlake.data import spill
from affectlake.data.errors import AffectlakeError
from affectlake.data.remote.addresses import is_remote
from affectlake.data.samples import MEDIA
from affectlake.data.store import _checksums, _identity
from affectlake.data.store._arrow import to_arrow
from affectlake.data.store._names import FILE, SAMPLE, SPEAKER, ErasureTarget, Hashed
from affectlake.data.store._table_store import CommitConflict, TableStore

TABLE = "tombstones"
CONTENT = "content"
_COLUMNS = ["dataset", "erasure", "kind", "hash", "time"]


def add(store: TableStore, dataset: str, erasure: str, target: ErasureTarget, speaker: bool) -> None:
    """Remember those who go; ``speaker``: whether their speakers may not come back under any other id either."""
    identity = _identity.make(store)
    kinds = {
        SAMPLE: target.ids,
        CONTENT: target.content,
        FILE: target.files,
        SPEAKER: target.speakers if speaker else (),
    }
    known = set(read(store, dataset)["hash"])
    rows = [
        {"dataset": dataset, "erasure": erasure, "kind": kind, "hash": value, "time": datetime.now(UTC)}
        for kind, values in kinds.items()
        for value in (identity.hashed(kind, dataset, v) for v in sorted(values))
        if value not in known
    ]
    if rows:
        store.append(TABLE, to_arrow(pd.DataFrame(rows)))


def read(store: TableStore, dataset: str) -> pd.DataFrame:
    """Tombstones of a dataset [columns=(dataset, erasure, kind, hash, time)]."""
    table = _checksums.compared(store, TABLE)
    if table is None:
        return pd.DataFrame(columns=_COLUMNS)
    frame = table.to_pandas()
    return frame[frame["dataset"] == dataset]


def contents(samples: pd.DataFrame, stats: pd.DataFrame | None) -> pd.DataFrame:
    """What the media of samples are: whole files, and segments of files that others are on too.

    Returns
    -------
    DataFrame [columns=(sample_id, whole, part)]
        One row per sample, medium and what it is known by: its sha256, and of an object elsewhere what its server says
        of it, for of some nobody knows more. ``part`` is ``whole`` with the times of the segment and the channel.
    """
    return _contents(samples, _known(stats))


def _contents(samples: pd.DataFrame, names: list[pd.Series]) -> pd.DataFrame:
    """`contents` by what `_known` gave, which costs as much for some samples as for all."""
    parts = []
    for known in names:
        for medium in MEDIA:
            segments = samples.loc[samples[medium].isin(known.index)].reindex(
                columns=["sample_id", medium, "start", "end", "channel"]
            )
            whole = segments[medium].map(known)
            heard = zip(
                whole, segments["start"], segments["end"], segments["channel"].astype("str").fillna(""), strict=True
            )
            part = [f"{s} {start} {end} {which}".rstrip() for s, start, end, which in heard]
            parts.append(pd.DataFrame({"sample_id": segments["sample_id"], "whole": whole, "part": part}))
    return pd.concat(parts) if parts else pd.DataFrame(columns=["sample_id", "whole", "part"])


def _known(stats: pd.DataFrame | None) -> list[pd.Series]:
    """By address the sha256 of files, and what servers say of objects."""
    if stats is None or stats.empty:
        return []
    files = stats.drop_duplicates("uri").set_index("uri")
    sums = files["sha256"][files["sha256"].str.len() == 64]  # not those of absent files
    if "stamp" not in files:  # of an earlier program
        return [sums]
    objects = files[np.array([is_remote(uri) for uri in files.index]) & (files["stamp"] != 0)]
    return [sums, "object " + objects["stamp"].astype("str") + " " + objects["size"].astype("str")]


def traces(store: TableStore, dataset: str) -> Hashed | None:
    """Those who may not come back, to be compared with; None where nobody was ever erased."""
    buried = read(store, dataset)
    if buried.empty:
        return None
    identity = _identity.find(store)
    if identity is None:
        raise _lost(store)
    return Hashed(identity, dataset, {str(kind): list(rows["hash"]) for kind, rows in buried.groupby("kind")})


def erased(buried: Hashed, samples: pd.DataFrame, file_index: pd.DataFrame | None = None) -> set[str]:
    """Ids of samples that may not come back, by their id, their speaker or what their media are."""
    names = _known(file_index) if CONTENT in buried.kinds else []
    gone: set[str] = set()
    for part in spill.parts(samples):
        gone |= buried.named_in(SAMPLE, part["sample_id"])
        if "speaker" in part:
            speakers = buried.named_in(SPEAKER, part["speaker"].dropna().unique())
            gone |= set(part.loc[part["speaker"].isin(speakers), "sample_id"])
        if names:
            media = _contents(part, names)
            known = buried.named_in(CONTENT, {*media["whole"], *media["part"]})
            gone |= set(media.loc[media["whole"].isin(known) | media["part"].isin(known), "sample_id"])
    return gone


def forget(store: TableStore, dataset: str, speaker: str | None, ids: Iterable[str] | None) -> int:
    """Let them come back: those of the erasures in which the speaker or one of the ids is; with neither, all.

    Returns
    -------
    int
        Number of erasures forgotten.
    """
    while True:
        table = _checksums.compared(store, TABLE)
        if table is None:
            return 0
        frame = table.to_pandas()
        forgotten = frame[frame["dataset"] == dataset]
        if speaker is not None or ids:
            identity = _identity.find(store)
            if identity is None:
                raise _lost(store)
            named = {identity.hashed(SAMPLE, dataset, i) for i in ids or ()}
            named |= {identity.hashed(SPEAKER, dataset, speaker)} if speaker is not None else set()
            forgotten = forgotten[forgotten["erasure"].isin(forgotten.loc[forgotten["hash"].isin(named), "erasure"])]
        if forgotten.empty:
            return 0
        try:
            kept = frame.drop(forgotten.index)
            store.swap(TABLE, to_arrow(kept).cast(table.to_pyarrow_dataset().schema), table.version())
        except CommitConflict:
            continue
        return int(forgotten["erasure"].nunique())


def hashes(store: TableStore, dataset: str, target: ErasureTarget) -> dict[str, list[str]]:
    """By kind the hashes of everything that is looked for, for a receipt."""
    identity = _identity.make(store)
    kinds = {SAMPLE: target.ids, SPEAKER: target.speakers, FILE: target.files}
    return {kind: sorted(identity.hashed(kind, dataset, v) for v in values) for kind, values in kinds.items()}


def _lost(store: TableStore) -> AffectlakeError:
    return AffectlakeError(
        f"{store.path(_identity.FILE)} is missing: without it those who were erased cannot be told; restore it from a "
        "copy of the store, or delete tombstones/ to let them come back"
    )
