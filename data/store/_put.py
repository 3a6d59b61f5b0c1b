"""Features that were computed elsewhere."""

import hashlib
import logging
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from affectlake.data.errors import UnknownName, UsageError
from affectlake.data.samples import CORE, MEDIA, samples_frame
from affectlake.data.store._answers import ColumnDoc
from affectlake.data.store._arrow import to_arrow
from affectlake.data.store._feature_spec import FeatureSpec
from affectlake.data.store._load import samples as samples_of
from affectlake.data.store._snapshot import Snapshot
from affectlake.data.store._snapshots import Log
from affectlake.data.store._spelling import HIDDEN, kept, kept_label, spoken
from affectlake.data.store._table_store import LONGEST
from affectlake.data.store._writer import Writer

_PART = re.compile(r"[a-z0-9_]+")


def named(modality: str, name: str) -> str:
    """``modality.name``, where both may be parts of a feature's name."""
    for part in (modality, name):
        if not _PART.fullmatch(part):
            raise UsageError(f"{part!r} cannot be part of a feature's name: lower-case letters, digits and '_'")
    if len(modality) + len(name) >= LONGEST:
        raise UsageError(f"the name {f'{modality}.{name}'[:20]}… is longer than {LONGEST} characters")
    return f"{modality}.{name}"


def put(
    writer: Writer,
    extractor: str,
    frame: pd.DataFrame,
    samples: pd.DataFrame | None,
    columns: Sequence[ColumnDoc] | None,
    author: str,
) -> Snapshot:
    """See `Store.put`; ``frame`` is what `numbers` gave."""
    dataset = writer.dataset
    known = _known(writer, frame.index, samples)
    strangers = frame.index[~frame.index.isin(known["sample_id"])]
    if len(strangers):
        error = UnknownName("sample", strangers[0], known["sample_id"])
        raise UsageError(f"{len(strangers)} of {len(frame)} ids are no samples of {dataset}: {error}")
    content = [hashlib.sha256(row.tobytes()).hexdigest() for row in frame.to_numpy()]
    documented = list(columns or [ColumnDoc(name=c) for c in frame.columns])
    identity = "\n".join(["put", extractor, *frame.columns])
    fingerprint = hashlib.sha256(identity.encode()).hexdigest()
    keys = pd.DataFrame({"sample_id": frame.index.to_numpy(), "content": content, "uri": "put"})
    table = pa.table(
        {
            "content": pa.array(content, pa.string()),
            "outcome": pa.array(["ok"] * len(frame), pa.string()),
            "reason": pa.nulls(len(frame), pa.string()),
            **{kept(c): pa.array(frame[c].to_numpy(), from_pandas=False) for c in frame.columns},
        }
    )
    writer.keep(extractor, fingerprint, table)
    wanted = FeatureSpec(fingerprint, documented, "put", {}, keys)
    return writer.publish(known, {extractor: wanted}, None, author)


def _known(writer: Writer, ids: pd.Index, samples: pd.DataFrame | None) -> pd.DataFrame:
    """Samples of the dataset, with those that come by ``samples`` or, where nothing but ids is known, by ``ids``."""
    dataset, head = writer.dataset, Log(writer.store).head(writer.dataset)
    given = None if samples is None else _normal(samples, dataset)
    if head is None:
        return _bare(ids, dataset) if given is None else given
    known = samples_of(writer.store, head).drop(columns=HIDDEN).rename(columns=spoken)
    if given is None:
        new = ids[~ids.isin(known["sample_id"])]
        if not len(new) or known[[*MEDIA, "text"]].notna().any(axis=None):
            return known
        _log.warning("%s gains %d samples, the first being %r", dataset, len(new), new[0])
        return _updated(known, _bare(new, dataset), dataset)
    updated = _updated(known, given, dataset)
    if "stats" in head.tables and not updated.equals(_updated(known, known, dataset)):
        raise UsageError(
            f"{dataset} is refreshed from files, which say what its samples and labels are: correct them there, "
            "or put without samples="
        )
    return updated


def _normal(samples: pd.DataFrame, dataset: str) -> pd.DataFrame:
    if "sample_id" not in samples and samples.index.name == "sample_id":
        samples = samples.reset_index()
    frame = samples_frame(samples, dataset, readable=False)
    to_arrow(frame.rename(columns=kept_label))  # what cannot be kept is named first
    return frame


def _updated(known: pd.DataFrame, given: pd.DataFrame, dataset: str) -> pd.DataFrame:
    old, new = known.set_index("sample_id"), given.set_index("sample_id")
    ids = [*old.index, *new.index[~new.index.isin(old.index)]]
    columns = {}
    for name in dict.fromkeys([*old.columns, *new.columns]):
        if name not in new or (name in old and name in CORE and new[name].isna().all()):
            columns[name] = old[name].reindex(ids)
        else:
            stays = old.loc[~old.index.isin(new.index), name] if name in old else new[name].iloc[:0]
            parts = [part for part in (stays, new[name]) if len(part) and not part.isna().all()]
            columns[name] = pd.concat(parts or [new[name]]).reindex(ids)
    return samples_frame(
        pd.DataFrame(columns, index=ids).rename_axis("sample_id").reset_index(), dataset, readable=False
    )


def _bare(ids: pd.Index, dataset: str) -> pd.DataFrame:
    """Samples of which nothing is known but their ids."""
    return samples_frame(pd.DataFrame({"sample_id": ids}), dataset, readable=False)


def numbers(frame: pd.DataFrame, extractor: str) -> pd.DataFrame:
    """What `Store.put` was given as float32 by id, without the rows that have no value; see there."""
    frame = _by_id(frame, extractor)
    if frame.shape[1] == 0:
        raise UsageError(f"{extractor}: no columns of features")
    frame.columns = [str(c) for c in frame.columns]
    for name in frame.columns:
        if not name or _ODD.search(name):
            raise UsageError(f"{extractor}: {name!r} cannot name a column (no spaces, quotes, brackets or ,;=<)")
    lowered = pd.Series(frame.columns).str.lower()
    if lowered.duplicated().any():
        raise UsageError(f"{extractor}: column {frame.columns[lowered.duplicated()][0]!r} is there twice")
    out = pd.DataFrame({name: _float32(frame[name], f"{extractor}: column {name!r}") for name in frame.columns})
    found = out.set_axis(frame.index).dropna(how="all")
    if found.empty:
        raise UsageError(f"{extractor}: no row has any value")
    for name in found.columns[found.isna().all()]:
        _log.warning("%s: column %r has no value in any row", extractor, name)
    return found


def _by_id(frame: pd.DataFrame, extractor: str) -> pd.DataFrame:
    if list(frame.columns).count("sample_id") == 1 and frame.index.name != "sample_id":
        frame = frame.set_index("sample_id")
    ids = frame.index
    if isinstance(ids, pd.MultiIndex):
        raise UsageError(
            f"{extractor}: an index of {ids.nlevels} levels ({', '.join(map(str, ids.names))}), not of ids"
        )
    missing = np.flatnonzero(ids.isna() | (ids.astype("str").str.strip() == ""))
    if len(missing):
        raise UsageError(f"{extractor}: row {missing[0] + 1} has no sample_id")
    if pd.api.types.is_float_dtype(ids) and (ids % 1 == 0).all():
        ids = ids.astype("int64")  # 7, where other rows made floats of whole numbers: never 7.0
    frame = frame.set_axis(ids.astype("str"), axis=0)
    repeated = frame.index[frame.index.duplicated()]
    if len(repeated):
        raise UsageError(f"{extractor}: sample_id {repeated[0]!r} occurs more than once")
    return frame


def _float32(values: pd.Series, what: str) -> np.ndarray:
    """Numbers as they are kept; raises UsageError where they are none, or beyond what float32 holds."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if values.isna().all():
        return np.full(len(values), np.nan, np.float32)
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind not in _NUMBERS:
        first = values[values.notna()].iloc[0]
        raise UsageError(f"{what} is not numeric: it holds {_HELD.get(kind, kind)}, such as {str(first)[:40]!r}")
    exact = values.to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(over="ignore"):
        out = exact.astype(np.float32)
    if np.isinf(exact).any():
        raise UsageError(f"{what} holds infinite values")
    if np.isinf(out).any():
        raise UsageError(f"{what} holds {exact[np.isinf(out)][0]:g}, beyond what float32 holds (3.4e38)")
    if kind == "integer" and (rounded := int((out != exact)[~np.isnan(exact)].sum())):
        _log.warning("%s: %d whole numbers are rounded to the 24 bits of float32", what, rounded)
    return out


_ODD = re.compile(r"[\[\]<\s,;{}()=\"\0]")
_NUMBERS = ("boolean", "integer", "floating", "mixed-integer-float", "decimal")
_HELD = {"string": "text", "datetime64": "times", "datetime": "times", "timedelta64": "durations"}
_log = logging.getLogger("affectlake.store")
