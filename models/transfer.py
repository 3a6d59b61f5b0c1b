"""Cross-corpus: trained on some corpora, tested on another, by the labels and columns that they share."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from affectlake.data.errors import UsageError
from affectlake.models.document import Transfer
from affectlake.models.splits import Fold


def fold(samples: pd.DataFrame, test_on: str) -> Fold:
    """Everything of other corpora is trained on, everything of ``test_on`` is tested on."""
    tested = (samples["dataset"] == test_on).to_numpy()
    return Fold(np.flatnonzero(~tested), np.flatnonzero(tested))


def together(
    tested: tuple[pd.DataFrame, Mapping[str, pd.DataFrame]],
    trained: Mapping[str, tuple[pd.DataFrame, Mapping[str, pd.DataFrame]]],
    label: str,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], Transfer]:
    """Samples and features of several corpora as one.

    Parameters
    ----------
    tested : (samples, blocks)
        Of the corpus that is tested on, as for `affectlake.models.benchmark.run`.
    trained : mapping of corpus to (samples, blocks)
    label : str
        Classes that training and tested corpora do not share are left out; numbers are taken as they are.

    Returns
    -------
    samples, blocks
        Ids of the corpora that are trained on get the corpus in front: ``meld:dia0_utt1``.
    about : dict
        ``train_on``, numbers of samples ``trained`` and ``tested``, and ``left_out``: by class, samples of classes
        that are not in both.

    Raises
    ------
    UsageError
        No class, or no column of features, in common.
    """
    frames, parts = [tested[0]], [tested[1]]
    for name, (samples, blocks) in trained.items():
        frames.append(samples.set_axis(f"{name}:" + samples.index.astype("str")))
        parts.append({m: b.set_axis(f"{name}:" + b.index.astype("str")) for m, b in blocks.items()})
    samples = pd.concat(frames).rename_axis("sample_id")
    columns = {m: [c for c in b.columns if all(m in p and c in p[m] for p in parts)] for m, b in parts[0].items()}
    columns = {m: cs for m, cs in columns.items() if cs}
    if not columns:
        raise UsageError(
            f"{_listed(trained)} and the tested corpus have no column of features in common: refresh them with the "
            "same extractors"
        )
    left_out: dict[str, int] = {}
    if not pd.api.types.is_numeric_dtype(samples[label]):
        ours = set(tested[0][label])
        theirs = set(samples[label].iloc[len(tested[0]) :])
        if not ours & theirs:
            raise UsageError(
                f"the corpora share no class of {label!r}: {_listed(sorted(map(str, theirs)))} to train on, "
                f"{_listed(sorted(map(str, ours)))} to test on; emotion corpora have the common maps 'emotion4' and "
                "'emotion7'"
            )
        shared = samples[label].isin(ours & theirs)
        left_out = {str(k): int(v) for k, v in samples.loc[~shared, label].value_counts().items()}
        samples = samples[shared]
    joined = {m: pd.concat([p[m][cs] for p in parts]) for m, cs in columns.items()}
    joined = {m: b[b.index.isin(samples.index)] for m, b in joined.items()}
    tested_n = int(samples.index.isin(tested[0].index).sum())
    crossing = Transfer(train_on=list(trained), trained=len(samples) - tested_n, tested=tested_n, left_out=left_out)
    return samples, joined, crossing


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
