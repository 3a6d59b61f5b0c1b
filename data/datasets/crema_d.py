"""CREMA-D: 91 actors speak twelve sentences in six emotions."""

import re
from pathlib import Path

import pandas as pd

from affectlake.data.corpus_files import Row, named, rows_by_id
from affectlake.data.dataset import Dataset, common_classes
from affectlake.data.datasets._tables import required
from affectlake.data.manifest import read_table
from affectlake.data.media import AUDIO, VIDEO

EMOTIONS = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
INTENSITIES = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified", "X": "unspecified"}
SENTENCES = {
    "DFA": "Don't forget a jacket.",
    "IEO": "It's eleven o'clock.",
    "IOM": "I'm on my way to the meeting.",
    "ITH": "I think I have a doctor's appointment.",
    "ITS": "I think I've seen this before.",
    "IWL": "I would like a new alarm clock.",
    "IWW": "I wonder what this is about.",
    "MTI": "Maybe tomorrow it will be cold.",
    "TAI": "The airplane is almost full.",
    "TIE": "That is exactly what happened.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}

# actor, sentence, emotion, intensity; one released file ends in a single X
_NAME = re.compile(rf"(1\d{{3}})_({'|'.join(SENTENCES)})_({'|'.join(EMOTIONS)})_({'|'.join(INTENSITIES)})")


def read(root: Path) -> pd.DataFrame:
    """One row per clip: its sound (AudioWAV before AudioMP3) and its film are the same moment."""
    people = _people(root)
    rows: dict[str, Row] = {}
    for path, match in sorted(named(root, _NAME, AUDIO + VIDEO), key=lambda found: not found[0].endswith(".wav")):
        row = rows.setdefault(match[0], _about(match) | people.get(match[1], {}))
        row.setdefault("video" if path.lower().endswith(VIDEO) else "audio", path)
    return rows_by_id(rows)


def _about(match: re.Match[str]) -> Row:
    actor, sentence, emotion, intensity = match.groups()
    return {
        "speaker": f"crema-d_{actor}",
        "language": "en",
        "text": SENTENCES[sentence],
        "emotion": EMOTIONS[emotion],
        "intensity": INTENSITIES[intensity],
    }


def _people(root: Path) -> dict[str, Row]:
    """Gender and age by actor, from the release's own table where it lies at hand."""
    for path, _ in named(root, re.compile("VideoDemographics"), (".csv",)):
        table = required(read_table(path), ("ActorID", "Age", "Sex"), path)
        return {
            actor: {"gender": sex.lower(), "age": int(age)}
            for actor, age, sex in zip(table["ActorID"], table["Age"], table["Sex"], strict=True)
        }
    return {}


dataset = Dataset(
    name="crema-d",
    title="Crowd-sourced Emotional Multimodal Actors Dataset",
    licence="ODbL-1.0",
    citation="Cao et al. (2014), IEEE Trans. Affective Computing 5(4): 377-390, doi:10.1109/TAFFC.2014.2336244",
    url="https://github.com/CheyneyComputerScience/CREMA-D",
    access="Free, through Git LFS, which holds the media: git lfs install, then "
    "git clone https://github.com/CheyneyComputerScience/CREMA-D.",
    layout="AudioWAV with 1001_DFA_ANG_XX.wav, VideoFlash with 1001_DFA_ANG_XX.flv, and VideoDemographics.csv where "
    "present",
    read=read,
    labels={"emotion": tuple(EMOTIONS.values()), "intensity": ("low", "medium", "high", "unspecified")},
    common=common_classes(EMOTIONS.values()),
    expected=7442,
)
