"""Features, labels and groups as scikit-learn takes them."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from affectlake.data.errors import AffectlakeError
from affectlake.data.groups import RECORDING, own_groups, recordings


class Arrays(NamedTuple):
    """What ``cross_validate(model, X, y, groups=groups, cv=GroupKFold())`` takes.

    Attributes
    ----------
    X : DataFrame of float32 [index=sample_id, columns=features]
        NaN where an extractor has no value for a sample, such as the pitch of a whisper.
    y : array, shape=(samples,)
        float64 where the label is a number, text otherwise.
    groups : array of str, shape=(samples,)
        The speaker, else the dialogue, else the recording that a segment is of, else the sample itself.
    """

    X: pd.DataFrame
    y: np.ndarray
    groups: np.ndarray


def arrays(frame: pd.DataFrame, samples: pd.DataFrame, label: str) -> Arrays:
    """Those of a frame that `Store.load` gave with its label, without the samples that have none."""
    labelled = frame[frame[label].notna().to_numpy()]
    if labelled.empty:
        raise AffectlakeError(f"none of {len(frame)} sample(s) has {label!r} and the features asked for")
    known = samples.set_index("sample_id").loc[labelled.index]
    given = labelled[label]
    number = pd.api.types.is_numeric_dtype(given) and not pd.api.types.is_bool_dtype(given)
    y = given.to_numpy(np.float64) if number else given.astype("str").to_numpy(object)
    groups = own_groups(known.assign(**{RECORDING: recordings(known)}))
    return Arrays(labelled.drop(columns=list(dict.fromkeys([label, "speaker"]))), y, groups.to_numpy(object))
