"""The layout in which the sentiment corpora are handed around: ``label.csv`` and one folder of clips per video.

Yu et al. (2021), Learning modality-specific representations with self-supervised multi-task learning, AAAI.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from affectlake.data.corpus_files import named
from affectlake.data.datasets._tables import required
from affectlake.data.errors import BadManifest
from affectlake.data.manifest import read_table
from affectlake.data.media import VIDEO

LAYOUT = "label.csv with the columns video_id, clip_id, text, label, annotation, mode, and clips like "
SENTIMENTS = ("negative", "neutral", "positive")
SPLITS = {"train": "train", "valid": "dev", "test": "test"}
UNIMODAL = {"label_T": "sentiment_text", "label_A": "sentiment_audio", "label_V": "sentiment_video"}

_TABLE = re.compile("label")
_CLIP = re.compile(r"\d+")
_COLUMNS = ("video_id", "clip_id", "text", "label", "annotation", "mode")
_WITHOUT_HEADER = ("video_id", "clip_id", "text", "label", "label_T", "label_A", "label_V", "annotation", "mode")


def read_clips(root: Path, name: str, language: str, unimodal: bool = False) -> pd.DataFrame:
    """One row per line of the table, with its clip where that is present; empty where there is no table.

    Persons are not identified. A video shows few of them, mostly one, so it stands for the speaker: folds that keep
    videos apart keep at least these persons apart.
    """
    path = next((p for p, _ in named(root, _TABLE, (".csv",))), None)
    if path is None:
        return pd.DataFrame()
    columns = _COLUMNS + tuple(UNIMODAL) if unimodal else _COLUMNS
    table = required(_table(path), columns, f"{name}: {path}")
    # The table of one release says 7 where the clip is 0007.mp4.
    clips = {(Path(p).parent.name, int(m[0])): p for p, m in named(root, _CLIP, VIDEO)}
    turn = _numbers(table["clip_id"], path).astype("int64")
    samples = {
        "sample_id": table["video_id"] + "_" + table["clip_id"],
        "speaker": f"{name}_" + table["video_id"],
        "split": _known(table["mode"].str.strip().str.lower(), SPLITS, path),
        "language": language,
        "text": table["text"],
        "video": [clips.get(key) for key in zip(table["video_id"], turn, strict=True)],
        "dialogue": table["video_id"],
        "turn": turn,
        "sentiment": _known(table["annotation"].str.strip().str.lower(), {s: s for s in SENTIMENTS}, path),
        "sentiment_score": _numbers(table["label"], path),
    }
    if unimodal:
        samples |= {ours: _numbers(table[theirs], path) for theirs, ours in UNIMODAL.items()}
    return pd.DataFrame(samples)


def read_english(name: str) -> Callable[[Path], pd.DataFrame]:
    """The reader of a corpus in English that has one label for all modalities together; see `read_clips`."""
    return partial(read_clips, name=name, language="en")


def _table(path: str) -> pd.DataFrame:
    """The table, with or without a header: an early release of CH-SIMS has none."""
    try:
        table = read_table(path)
        if "label" in table.columns.str.strip() or table.shape[1] != len(_WITHOUT_HEADER):
            return table
    except BadManifest:  # a first row of data may hold one value twice, which no header does
        table = None
    bare = read_table(path, _WITHOUT_HEADER)
    if bare["mode"].str.strip().str.lower().isin(SPLITS).all():
        return bare
    return read_table(path) if table is None else table


def _known(values: pd.Series, names: dict[str, str], path: str) -> pd.Series:
    strange = values[~values.isin(names)]
    if len(strange):
        raise BadManifest(f"{path}: looked for {values.name} among {', '.join(names)}; found {strange.iloc[0]!r}")
    return values.map(names)


def _numbers(values: pd.Series, path: str) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any():
        raise BadManifest(f"{path}: looked for numbers in {values.name}; found {values[numbers.isna()].iloc[0]!r}")
    return numbers
