"""RAVDESS: 24 actors speak two sentences in eight emotions."""

import re
from pathlib import Path

import pandas as pd

from affectlake.data.corpus_files import Row, named, rows_by_id
from affectlake.data.dataset import Dataset, Download, common_classes
from affectlake.data.media import AUDIO, VIDEO

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
STATEMENTS = ("Kids are talking by the door.", "Dogs are sitting by the door.")

# modality (01 picture and sound, 02 picture, 03 sound), channel (01 speech, 02 song), emotion, intensity, statement,
# repetition, actor
_NAME = re.compile(r"(0[123])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")
_SPEECH, _SOUND = "01", "03"


def read(root: Path) -> pd.DataFrame:
    """One row per performance: its sound-only, its full and its silent recording are the same moment."""
    rows: dict[str, Row] = {}
    recordings = sorted(named(root, _NAME, AUDIO + VIDEO, folders=True), key=_preference)
    for path, match in recordings:
        if match[2] != _SPEECH:
            continue
        row = rows.setdefault(f"01-{match[0][3:]}", _about(match))
        row.setdefault("audio" if match[1] == _SOUND else "video", path)
    return rows_by_id(rows)


def _preference(recording: tuple[str, re.Match[str]]) -> tuple[str, bool]:
    """The full recording before the silent one, a video file before a folder of its frames."""
    path, match = recording
    return match[1], not path.lower().endswith(VIDEO)


def _about(match: re.Match[str]) -> Row:
    _, _, emotion, intensity, statement, repetition, actor = (int(part) for part in match.groups())
    return {
        "speaker": f"ravdess_{actor:02d}",
        "language": "en",
        "text": STATEMENTS[statement - 1],
        "emotion": EMOTIONS[emotion - 1],
        "intensity": intensity,
        "statement": statement,
        "repetition": repetition,
        "gender": "male" if actor % 2 else "female",
    }


dataset = Dataset(
    name="ravdess",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song (speech)",
    licence="CC-BY-NC-SA-4.0",
    citation="Livingstone & Russo (2018), PLoS ONE 13(5): e0196391, doi:10.1371/journal.pone.0196391",
    url="https://zenodo.org/records/1188976",
    access="Free download from Zenodo: the sound by `affectlake download ravdess`, the films (24 archives "
    "Video_Speech_Actor_01.zip …, 12 GB) from the page; commercial licences are sold by the authors.",
    layout="recordings named like 03-01-06-01-02-01-12.wav, .mp4 or a folder of frames (Actor_01 … Actor_24); "
    "songs are left out",
    read=read,
    labels={"emotion": EMOTIONS, "intensity": ()},
    common=common_classes(EMOTIONS),
    expected=1440,
    downloads=(
        Download(
            url="https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
            hash="md5:bc696df654c87fed845eb13823edef8a",
            size=208_500_000,
        ),
    ),
)
