"""MELD: utterances of the series Friends in their dialogues, seven emotions, official split."""

import re
from pathlib import Path

import pandas as pd

from affectlake.data.corpus_files import named
from affectlake.data.dataset import Dataset, Download, common_classes
from affectlake.data.datasets._tables import required
from affectlake.data.manifest import read_table
from affectlake.data.media import VIDEO

SPLITS = ("train", "dev", "test")
EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
SENTIMENTS = ("negative", "neutral", "positive")

_TABLE = re.compile(r"(train|dev|test)_sent_emo")
_CLIP = re.compile(r"dia(\d+)_utt(\d+)")
_CLIP_FOLDER = {"train_splits": "train", "dev_splits_complete": "dev", "output_repeated_splits_test": "test"}
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode")

# Table, commit that last changed it, checksum, bytes.
_RELEASED = (
    (
        "train",
        "ca3e1266db4cc4a4e802156e2f721c4cd114a696",
        "d2fa2d6529cf03cac2989efec05c9b27d8fd2f4c8fc5974c7ae88aa537fa02db",
        1_119_290,
    ),
    (
        "dev",
        "ca3e1266db4cc4a4e802156e2f721c4cd114a696",
        "2e89c6f8aa182d6f62f8c6331aece905ac7273ca4999660bfb5213e1d0370c1c",
        121_640,
    ),
    (
        "test",
        "76e4ed20032322e47bbe04d3b5179f9b2e35bec9",
        "8d37103938f7067600839fe29d5a114a6cd1bcdafb75bec101e06464c5006888",
        294_526,
    ),
)

# Some releases hold Windows-1252 punctuation as the control characters of the same number (it\x92s).
_CONTROLS = {i: bytes([i]).decode("cp1252") for i in range(0x80, 0xA0) if i not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}


def read(root: Path) -> pd.DataFrame:
    """Rows of the three tables; clips where their folders are present, as MELD's own archive names them."""
    tables: dict[str, str] = {}
    for path, match in named(root, _TABLE, (".csv",)):
        tables.setdefault(match[1], path)
    clips = {
        (_CLIP_FOLDER[Path(path).parent.name], match[1], match[2]): path
        for path, match in named(root, _CLIP, VIDEO)
        if Path(path).parent.name in _CLIP_FOLDER
    }
    return pd.concat([_split(s, tables[s], clips) for s in SPLITS if s in tables] or [pd.DataFrame()])


def _split(split: str, path: str, clips: dict[tuple[str, str, str], str]) -> pd.DataFrame:
    table = required(read_table(path), _COLUMNS, path)
    dialogue, turn = table["Dialogue_ID"], table["Utterance_ID"]
    return pd.DataFrame(
        {
            "sample_id": split + "_dia" + dialogue + "_utt" + turn,
            "speaker": table["Speaker"].map(_mended).str.strip(),
            "split": split,
            "language": "en",
            "text": table["Utterance"].map(_mended),
            "video": [clips.get((split, d, t)) for d, t in zip(dialogue, turn, strict=True)],
            "dialogue": split + "_" + dialogue,
            "turn": turn,
            "emotion": table["Emotion"].str.strip().str.lower(),
            "sentiment": table["Sentiment"].str.strip().str.lower(),
            "season": pd.to_numeric(table["Season"]),
            "episode": pd.to_numeric(table["Episode"]),
        }
    )


def _mended(text: str) -> str:
    return text.translate(_CONTROLS)


dataset = Dataset(
    name="meld",
    title="Multimodal EmotionLines Dataset",
    licence="GPL-3.0-only",
    citation="Poria et al. (2019), Proc. ACL, 527-536, doi:10.18653/v1/P19-1050",
    url="https://affective-meld.github.io/",
    access="Free: the tables by `affectlake download meld`, the clips in MELD.Raw.tar.gz (11 GB) as linked from "
    "https://github.com/declare-lab/MELD.",
    layout="train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv, and clips where present: "
    "train_splits, dev_splits_complete, output_repeated_splits_test with dia0_utt0.mp4",
    read=read,
    labels={"emotion": EMOTIONS, "sentiment": SENTIMENTS},
    common=common_classes(EMOTIONS),
    expected=9989 + 1109 + 2610,
    official_split=True,
    downloads=tuple(
        Download(
            url=f"https://raw.githubusercontent.com/declare-lab/MELD/{commit}/data/MELD/{split}_sent_emo.csv",
            hash=f"sha256:{sha256}",
            size=size,
            unpack=False,
        )
        for split, commit, sha256, size in _RELEASED
    ),
)
