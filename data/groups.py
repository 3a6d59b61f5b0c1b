"""What must stay together where some samples are trained on and others tested."""

import pandas as pd

RECORDING = "segment.recording"
"""Column of the recording that a segment is cut from: manifests have columns called ``recording`` of their own."""


def recordings(samples: pd.DataFrame) -> pd.Series:
    """The film or sound that a segment is cut from; missing where a sample is a whole file, or none.

    Parameters
    ----------
    samples : DataFrame
        Columns audio, video, start and end.

    Examples
    --------
    >>> nothing = float("nan")
    >>> rows = {"audio": ["a.wav", "a.wav", "b.wav"], "video": None, "start": [0, 2, nothing], "end": [2, 4, nothing]}
    >>> recordings(pd.DataFrame(rows)).fillna("").tolist()
    ['a.wav', 'a.wav', '']
    """
    segmented = samples["start"].notna() | samples["end"].notna()
    return samples["video"].fillna(samples["audio"]).where(segmented)


def own_groups(samples: pd.DataFrame) -> pd.Series:
    """The speaker, else the dialogue, else the recording, else the sample itself.

    Parameters
    ----------
    samples : DataFrame [index=sample_id]
        Columns `RECORDING`, dialogue and speaker as far as known.

    Examples
    --------
    >>> calls = {"speaker": ["ann", None, None], "dialogue": ["d1", "d1", None]}
    >>> own_groups(pd.DataFrame(calls, index=["a", "b", "c"])).tolist()
    ['ann', 'd1', 'c']
    """
    names = pd.Series(samples.index.astype(str), index=samples.index)
    for column in (RECORDING, "dialogue", "speaker"):
        if column in samples:
            given = samples[column]
            names = given.astype("str").where(given.notna(), names)
    return names
