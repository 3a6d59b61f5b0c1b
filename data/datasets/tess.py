"""TESS: two women, young and old, say 200 words in seven emotions."""

import re
from pathlib import Path

import pandas as pd

from affectlake.data.corpus_files import Row, recordings
from affectlake.data.dataset import Dataset, Download, common_classes

EMOTIONS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "pleasant surprise",
    "sad": "sad",
}
AGES = {"OAF": 64, "YAF": 26}

# One released file is named OA_bite_neutral.
_NAME = re.compile(rf"(OAF?|YAF)_([a-z]+)_({'|'.join(EMOTIONS)})", re.IGNORECASE)


def read(root: Path) -> pd.DataFrame:
    """One row per recording; a second copy inside the archive, as some have it, is passed over."""
    return recordings(root, _NAME, _about)


def _about(match: re.Match[str]) -> Row:
    speaker = "YAF" if match[1].upper() == "YAF" else "OAF"
    word = match[2].lower()
    return {
        "speaker": f"tess_{speaker}",
        "language": "en",
        "text": f"Say the word {word}.",
        "emotion": EMOTIONS[match[3].lower()],
        "gender": "female",
        "age": AGES[speaker],
    }


dataset = Dataset(
    name="tess",
    title="Toronto Emotional Speech Set",
    licence="CC-BY-NC-ND-4.0",
    citation="Pichora-Fuller & Dupuis (2020), Borealis, doi:10.5683/SP2/E8H2MF",
    url="https://doi.org/10.5683/SP2/E8H2MF",
    access="Free download from Borealis, the Canadian Dataverse: https://doi.org/10.5683/SP2/E8H2MF; "
    "`affectlake download tess` takes the copy that PaddleSpeech keeps.",
    layout="recordings named like OAF_back_angry.wav and YAF_back_ps.wav (14 folders, OAF_angry … YAF_sad)",
    read=read,
    labels={"emotion": tuple(EMOTIONS.values())},
    common=common_classes(EMOTIONS.values()),
    expected=2800,
    downloads=(
        Download(
            url="https://bj.bcebos.com/paddleaudio/datasets/TESS_Toronto_emotional_speech_set.zip",
            hash="md5:1465311b24d1de704c4c63e4ccc470c7",
            size=430_000_000,
        ),
    ),
)
