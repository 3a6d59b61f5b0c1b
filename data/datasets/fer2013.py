"""FER2013: 35887 grey faces of 48 x 48 pixels, found on the web, in seven emotions; official split."""

import re
from pathlib import Path

import pandas as pd

from affectlake.data.datasets._dataset import Dataset
from affectlake.data.datasets._files import IMAGE, named

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
SPLITS = {
    "training": "train",
    "train": "train",
    "publictest": "dev",
    "val": "dev",
    "validation": "dev",
    "privatetest": "test",
    "test": "test",
}

_HOME = "https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge"
_NAME = re.compile(r"(?:(Training|PublicTest|PrivateTest)_\d+)|.+")


def read(root: Path) -> pd.DataFrame:
    """One row per picture; its class is its folder's name.

    The split is the one in the file's name (``PublicTest_123.jpg``) and only then the folder's: a widespread copy puts
    both the public and the private test into ``test``. Who is shown is unknown, and the corpus holds duplicates.
    """
    rows = [_about(path, match) for path, match in named(root, _NAME, IMAGE)]
    return pd.DataFrame([row for row in rows if row])


def _about(path: str, match: re.Match) -> dict | None:
    above, emotion = Path(path).parts[-3:-1]
    split = SPLITS.get((match[1] or above).lower())
    if split is None or emotion.lower() not in EMOTIONS:
        return None
    # Other names are numbered anew in every folder.
    sample_id = match[0] if match[1] else f"{split}_{emotion.lower()}_{match[0]}"
    return {"sample_id": sample_id, "split": split, "image": path, "emotion": emotion.lower()}


dataset = Dataset(
    name="fer2013",
    title="Facial Expression Recognition 2013",
    licence="none stated; the pictures belong to their makers",
    citation="Goodfellow et al. (2015), Neural Networks 64: 59-63, doi:10.1016/j.neunet.2014.09.005",
    url=_HOME,
    access=f"Accept the rules of {_HOME} and save the pixels of its fer2013.csv as pictures.",
    layout="pictures by split and class like train/angry/1.jpg, or by class with the split in their names like "
    "angry/PublicTest_123.jpg; fer2013.csv holds pixels and has to be saved as pictures first",
    read=read,
    labels={"emotion": EMOTIONS},
    common={
        "angry": "anger",
        "disgust": "disgust",
        "fear": "fear",
        "happy": "happiness",
        "neutral": "neutral",
        "sad": "sadness",
        "surprise": "surprise",
    },
    expected=35887,
    official_split=True,
)
