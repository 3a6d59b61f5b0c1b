"""FER2013: 35887 grey faces of 48 x 48 pixels, found on the web, in seven emotions; official split.

It is published as one table of pixels, fer2013.csv. To save them as pictures:

    python -m affectlake.data.datasets.fer2013 fer2013.csv FOLDER
"""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from affectlake.data.corpus_files import Row, named
from affectlake.data.dataset import Dataset, common_classes
from affectlake.data.datasets._tables import required
from affectlake.data.errors import BadManifest
from affectlake.data.manifest import read_table
from affectlake.data.media import IMAGE

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

_CODES = dict(zip("0123456", ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"), strict=True))
_LEVELS = re.compile(r"(?<!\S)(?:25[0-5]|2[0-4]\d|1?\d?\d)(?!\S)")
_SIDE = 48
_COMMAND = "python -m affectlake.data.datasets.fer2013 fer2013.csv FOLDER"
_HOME = "https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge"
_NAME = re.compile(r"(?:(Training|PublicTest|PrivateTest)_\d+)|.+")


def read(root: Path) -> pd.DataFrame:
    """One row per picture; its class is its folder's name.

    The split is the one in the file's name (``PublicTest_123.jpg``) and only then the folder's: a widespread copy puts
    both the public and the private test into ``test``. Who is shown is unknown, and the corpus holds duplicates.
    """
    rows = [_about(path, match) for path, match in named(root, _NAME, IMAGE)]
    return pd.DataFrame([row for row in rows if row])


def _about(path: str, match: re.Match[str]) -> Row | None:
    above, emotion = Path(path).parts[-3:-1]
    split = SPLITS.get((match[1] or above).lower())
    if split is None or emotion.lower() not in EMOTIONS:
        return None
    # Other names are numbered anew in every folder.
    sample_id = match[0] if match[1] else f"{split}_{emotion.lower()}_{match[0]}"
    return {"sample_id": sample_id, "split": split, "image": path, "emotion": emotion.lower()}


def save(table: Path, folder: Path) -> int:
    """Save the pixels of fer2013.csv as pictures like ``FOLDER/angry/PublicTest_28710.png``; returns how many.

    The number is the row's in the table, counted from 1.

    Raises
    ------
    BadManifest
        Not that table: says what was looked for and what was found.
    """
    import cv2

    rows = required(read_table(table), ("emotion", "Usage", "pixels"), table)
    for number, (code, usage, pixels) in enumerate(zip(rows["emotion"], rows["Usage"], rows["pixels"], strict=True), 1):
        values = _LEVELS.findall(pixels)
        if code not in _CODES or usage.lower() not in SPLITS or len(values) != _SIDE**2:
            raise BadManifest(
                f"{table}: looked for an emotion from 0 to 6, a usage and {_SIDE**2} pixels in row {number}; "
                f"found {code!r}, {usage!r} and {len(values)} pixels"
            )
        path = folder / _CODES[code] / f"{usage}_{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.array(values, dtype=np.uint8).reshape(_SIDE, _SIDE))
    return len(rows)


dataset = Dataset(
    name="fer2013",
    title="Facial Expression Recognition 2013",
    licence="none stated; the pictures belong to their makers",
    citation="Goodfellow et al. (2015), Neural Networks 64: 59-63, doi:10.1016/j.neunet.2014.09.005",
    url=_HOME,
    access=f"Accept the rules of {_HOME} and save the pixels of its fer2013.csv as pictures: {_COMMAND}.",
    layout="pictures by split and class like train/angry/1.jpg, or by class with the split in their names like "
    f"angry/PublicTest_123.jpg; the pixels of fer2013.csv are saved as such by {_COMMAND}",
    read=read,
    labels={"emotion": EMOTIONS},
    common=common_classes(EMOTIONS),
    expected=35887,
    official_split=True,
)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(_COMMAND)
    try:
        print(f"{save(Path(sys.argv[1]), Path(sys.argv[2]))} pictures saved in {sys.argv[2]}")
    except BadManifest as error:
        raise SystemExit(str(error)) from None
