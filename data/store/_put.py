"""Features that were computed elsewhere."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from affectlake.data.errors import UnknownName, UsageError
from affectlake.data.store._frames import HIDDEN, KEYS
from affectlake.data.store._load import samples as samples_of
from affectlake.data.store._snapshots import Log, Snapshot
from affectlake.data.store._writer import Wanted, Writer

_PART = re.compile(r"[a-z0-9_]+")


def named(modality: str, name: str) -> str:
    """``modality.name``, where both may be parts of a feature's name."""
    for part in (modality, name):
        if not _PART.fullmatch(part):
            raise UsageError(f"{part!r} cannot be part of a feature's name: lower-case letters, digits and '_'")
    return f"{modality}.{name}"


def put(
    writer: Writer,
    extractor: str,
    frame: pd.DataFrame,
    samples: pd.DataFrame | None,
    columns: Sequence[dict[str, Any]] | None,
    author: str,
) -> Snapshot:
    """See `Store.put`; ``frame`` is what `numbers` gave."""
    dataset = writer.dataset
    head = Log(writer.place).head(dataset)
    if head is None:
        known = _bare(dataset, frame) if samples is None else samples
    else:
        known = samples_of(writer.place, head).drop(columns=HIDDEN)
    strangers = frame.index[~frame.index.isin(known["sample_id"])]
    if len(strangers):
        error = UnknownName("sample", strangers[0], known["sample_id"])
        raise UsageError(f"{len(strangers)} of {len(frame)} ids are no samples of {dataset}: {error}")
    content = [hashlib.sha256(row.tobytes()).hexdigest() for row in frame.to_numpy()]
    documented = list(columns or ({"name": c} for c in frame.columns))
    identity = "\n".join(["put", extractor, *frame.columns])
    fingerprint = hashlib.sha256(identity.encode()).hexdigest()
    keys = pd.DataFrame({"sample_id": frame.index.to_numpy(), "content": content, "uri": "put"})
    table = pa.table(
        {
            "content": pa.array(content, pa.string()),
            "outcome": pa.array(["ok"] * len(frame), pa.string()),
            "reason": pa.nulls(len(frame), pa.string()),
            **{c: pa.array(frame[c].to_numpy(), from_pandas=False) for c in frame.columns},
        }
    )
    writer.keep(extractor, fingerprint, table)
    wanted = Wanted(fingerprint, documented, "put", {}, keys)
    return writer.publish(known, {extractor: wanted}, None, author)


def numbers(frame: pd.DataFrame, extractor: str) -> pd.DataFrame:
    if "sample_id" in frame:
        frame = frame.set_index("sample_id")
    frame = frame.set_axis(frame.index.astype("str"), axis=0)
    repeated = frame.index[frame.index.duplicated()]
    if len(repeated):
        raise UsageError(f"{extractor}: sample_id {repeated[0]!r} occurs more than once")
    if frame.shape[1] == 0:
        raise UsageError(f"{extractor}: no columns of features")
    frame.columns = [str(c) for c in frame.columns]
    for name in frame.columns:
        if re.search(r"[\[\]<\s,;{}()=\"]", name) or name in KEYS:
            raise UsageError(f"{extractor}: {name!r} cannot name a column (no spaces, quotes, brackets or ,;=<)")
    lowered = pd.Series(frame.columns).str.lower()
    if lowered.duplicated().any():
        raise UsageError(f"{extractor}: column {frame.columns[lowered.duplicated()][0]!r} is there twice")
    out = {}
    for name in frame.columns:
        try:
            out[name] = pd.to_numeric(frame[name].replace("", np.nan)).to_numpy(dtype=np.float32, na_value=np.nan)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{extractor}: column {name!r} is not numeric: {error}") from None
        if np.isinf(out[name]).any():
            raise UsageError(f"{extractor}: column {name!r} holds infinite values")
    return pd.DataFrame(out, index=frame.index).dropna(how="all")


def _bare(dataset: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Samples of which nothing is known but their ids."""
    from affectlake.data.samples import samples_frame

    return samples_frame(pd.DataFrame({"sample_id": frame.index}), dataset, readable=False)
