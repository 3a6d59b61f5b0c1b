"""Which objects elsewhere are read in parts, because the rows ask for little of them.

Whoever reads all of an object learns its sha256, and its parts are known by that. Of what is read in parts nobody
knows it: such contents are called by what the server says of the object (ETag and size) and the segment, and begin with
`LISTED`. Where rows ask for more of the object later it is read whole, and known by its bytes from then on.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from affectlake.data import remote, spill
from affectlake.features import _files

LISTED = "object "
"""How a content begins that is called by what a server says, not by a sha256 of bytes."""

PER_SECOND = 1 << 20
"""Bytes of an object for each second that is asked of it from which it is read in parts. A second of sound takes less,
so that what is fetched is a small part of the whole."""

LEAST = 4 << 20
"""Bytes below which an object is read whole at once."""

SOUGHT = (
    *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".aiff", ".aif", ".au", ".snd", ".caf"),
    *(".mp4", ".m4v", ".mov", ".m4a", ".m4b", ".3gp"),
)
"""Suffixes of what is read from where a segment is: plain samples, and films with an index. FLAC, MP3 and Ogg are read
from their beginning."""


def in_parts(samples: pd.DataFrame, stats: pd.DataFrame) -> set[str]:
    """Addresses of objects that are read in parts.

    Parameters
    ----------
    samples : DataFrame
        Normal form of `affectlake.data.samples.samples_frame`, all of a dataset: what counts is what all rows ask.
    stats : DataFrame
        Result of `affectlake.features.scan.scan` over the samples' media.
    """
    if samples["end"].isna().all() or "stamp" not in stats:
        return set()
    columns = samples[["audio", "video", "start", "end"]]
    asked = pd.concat([_asked(part, c) for part in spill.parts(columns) for c in ("audio", "video")])
    if asked.empty:
        return set()
    asked = asked.groupby(level=0).sum()
    files = stats[stats["uri"].isin(asked.index)]
    much = np.maximum(LEAST, PER_SECOND * asked.reindex(files["uri"]).to_numpy())
    return set(files["uri"][(files["size"].to_numpy() >= much) & (files["stamp"] != _files.UNSURE).to_numpy()])


def _asked(rows: pd.DataFrame, column: str) -> pd.Series:
    """Seconds by address of what can be sought elsewhere, infinite where no end is named."""
    rows = rows[rows[column].str.contains("://", regex=False, na=False)]
    seconds = (rows["end"] - rows["start"].fillna(0.0)).fillna(np.inf).groupby(rows[column]).sum()
    found = [remote.is_remote(u) and Path(remote.name_of(u)).suffix.lower() in SOUGHT for u in seconds.index]
    return seconds[np.array(found, bool)]
