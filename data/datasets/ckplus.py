"""CK+: 123 people go from a neutral face to the peak of an expression, 327 of 593 sequences with an emotion."""

import re
from pathlib import Path

import pandas as pd

from affectlake.data.corpus_files import Row, named
from affectlake.data.dataset import Dataset, common_classes
from affectlake.data.errors import BadManifest
from affectlake.data.media import IMAGE

EMOTIONS = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")

_FRAME = re.compile(r"(S\d{3})_(\d{3})_(\d{8})")
_EMOTION = re.compile(rf"{_FRAME.pattern}_emotion")


def read(root: Path) -> pd.DataFrame:
    """One row per sequence: its folder of frames as the film, its last frame, which is the peak, as the picture."""
    emotions = {f"{m[1]}_{m[2]}": _emotion(path) for path, m in named(root, _EMOTION, (".txt",))}
    peaks: dict[str, tuple[str, str]] = {}
    for path, match in named(root, _FRAME, IMAGE):
        sequence = f"{match[1]}_{match[2]}"
        peaks[sequence] = max(peaks.get(sequence, ("", "")), (match[3], path))
    return pd.DataFrame([_about(s, path, emotions.get(s)) for s, (_, path) in sorted(peaks.items())])


def _about(sequence: str, peak: str, emotion: str | None) -> Row:
    return {
        "sample_id": sequence,
        "speaker": f"ckplus_{sequence[:4]}",
        "image": peak,
        "video": str(Path(peak).parent),
        "emotion": emotion,
    }


def _emotion(path: str) -> str:
    """Class of a file that holds one number, written like ``3.0000000e+00``."""
    text = Path(path).read_text(encoding="ascii", errors="replace").strip()
    try:
        return dict(enumerate(EMOTIONS))[int(float(text))]
    except (ValueError, KeyError, OverflowError):
        raise BadManifest(f"ckplus: {path}: looked for a number from 0 to 7; found {text[:20]!r}") from None


dataset = Dataset(
    name="ckplus",
    title="Extended Cohn-Kanade",
    licence="research only, by signed agreement",
    citation="Lucey et al. (2010), Proc. CVPR Workshops, 94-101, doi:10.1109/CVPRW.2010.5543262",
    url="https://www.jeffcohn.net/resources/",
    access="Ask the Affect Analysis Group of the University of Pittsburgh: https://www.jeffcohn.net/resources/.",
    layout="cohn-kanade-images/S005/001/S005_001_00000001.png and Emotion/S005/001/S005_001_00000011_emotion.txt",
    read=read,
    labels={"emotion": EMOTIONS},
    common=common_classes(EMOTIONS),
    expected=593,
)
