"""SAVEE: four British men speak 480 sentences in seven emotions, in sound and on film."""

import re
from pathlib import Path

import pandas as pd

from affectlake.data.corpus_files import Row, named, rows_by_id
from affectlake.data.dataset import Dataset, common_classes
from affectlake.data.media import AUDIO, VIDEO

SPEAKERS = ("DC", "JE", "JK", "KL")
EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}

# emotion, number; copies that lie in one folder for all have the speaker in front
_NAME = re.compile(rf"(?:({'|'.join(SPEAKERS)})_)?({'|'.join(EMOTIONS)})(\d\d)")


def read(root: Path) -> pd.DataFrame:
    """One row per sentence: its sound (AudioData) and its film (AudioVisualClip) are the same moment."""
    rows: dict[str, Row] = {}
    for path, match in named(root, _NAME, AUDIO + VIDEO):
        speaker = match[1] or Path(path).parent.name
        if speaker not in SPEAKERS:
            continue
        row = rows.setdefault(f"{speaker}_{match[2]}{match[3]}", _about(speaker, EMOTIONS[match[2]]))
        row.setdefault("video" if path.lower().endswith(VIDEO) else "audio", path)
    return rows_by_id(rows)


def _about(speaker: str, emotion: str) -> Row:
    return {"speaker": f"savee_{speaker}", "language": "en", "emotion": emotion, "gender": "male"}


dataset = Dataset(
    name="savee",
    title="Surrey Audio-Visual Expressed Emotion",
    licence="research only, by registration",
    citation="Haq & Jackson (2009), Speaker-dependent audio-visual emotion recognition, Proc. AVSP, 53-58",
    url="https://kahlan.eps.surrey.ac.uk/savee/",
    access="Free for research: register at http://kahlan.eps.surrey.ac.uk/savee/Register.html.",
    layout="AudioData and AudioVisualClip with DC/a01.wav and DC/a01.avi (DC, JE, JK, KL), or files like DC_a01.wav",
    read=read,
    labels={"emotion": tuple(EMOTIONS.values())},
    common=common_classes(EMOTIONS.values()),
    expected=480,
)
