"""Names of erased people where other people's rows have them: a partner in a dialogue, the sample that one answers to.

Such a value goes, or the line of it that names them, and the row stays. A dialogue that is called by the name of one
keeps what belongs together, under a name that tells nobody. What other people say is theirs and stays.
"""

from collections.abc import Iterable

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from affectlake.data.samples import MEDIA
from affectlake.data.store._identity import Identity
from affectlake.data.store._names import Traces, kind_of, scrubbed_text, tells
from affectlake.data.store._spelling import spoken

_STAY = {"sample_id", "content", "text", "dataset", "split", "language", "extractor", "outcome", "fingerprint", *MEDIA}
_GROUPS = {"dialogue"}


def without(table: pa.Table, traces: Traces, identity: Identity) -> pa.Table:
    """A table whose rows are other people's, without the names."""
    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            instead = _instead(spoken(field.name), pc.unique(table[field.name]).to_pylist(), traces, identity)
            if instead:
                clean = [instead.get(v, v) for v in table[field.name].to_pylist()]
                table = table.set_column(i, field, pa.chunked_array([pa.array(clean, field.type)]))
    return table


def without_in_samples(
    samples: pd.DataFrame, traces: Traces, identity: Identity
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The same of samples as they are given; also the number of values that went, by column."""
    went: dict[str, int] = {}
    for column in samples.columns:
        values = samples[column]
        if not pd.api.types.is_string_dtype(values.dropna()):
            continue
        if instead := _instead(column, values.dropna().unique(), traces, identity):
            hit = values.isin(list(instead))
            samples = samples.assign(**{column: values.where(~hit, values.map(instead))})
            went[column] = int(hit.sum())
    return samples, went


def _instead(
    column: str, values: Iterable[str | None], traces: Traces, identity: Identity
) -> dict[str | None, str | None]:
    """What values of a column that name somebody become."""
    if column in _STAY:
        return {}
    kind = kind_of(column)
    instead: dict[str | None, str | None] = {}
    for value in values:
        if value is None:
            continue
        if traces.named(kind, value):
            instead[value] = f"erased-{identity.hashed(column, '', value)[:12]}" if column in _GROUPS else None
        elif (column == "reason" or tells(value, traces)) and (clean := scrubbed_text(value, traces)) != value:
            instead[value] = clean
    return instead
