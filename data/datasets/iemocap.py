"""IEMOCAP: ten actors in five sessions of two, playing and improvising dialogues."""

import re
from pathlib import Path

import pandas as pd

from affectlake.data.corpus_files import Row, named
from affectlake.data.dataset import Dataset, common_classes
from affectlake.data.manifest import decode
from affectlake.data.media import AUDIO

EMOTIONS = {
    "ang": "anger",
    "dis": "disgust",
    "exc": "excitement",
    "fea": "fear",
    "fru": "frustration",
    "hap": "happiness",
    "neu": "neutral",
    "oth": "other",
    "sad": "sadness",
    "sur": "surprise",
    "xxx": None,  # the raters did not agree
}

_DIALOGUE = re.compile(r"Ses0[1-5][FM]_(?:impro\d\d[a-z]?|script\d\d_\d[a-z]?)")
_UTTERANCE = re.compile(rf"{_DIALOGUE.pattern}_[FM]\d{{3}}")
_RATING = re.compile(
    rf"^\[(?P<start>[\d.]+) - [\d.]+\]\t(?P<sample_id>{_UTTERANCE.pattern})\t(?P<emotion>[a-z]{{3}})"
    r"\t\[(?P<valence>[\d.]+), (?P<arousal>[\d.]+), (?P<dominance>[\d.]+)\]",
    re.MULTILINE,
)
_LINE = re.compile(rf"^({_UTTERANCE.pattern}) \[[^]]*\]: *(.*?)\s*$", re.MULTILINE)


def read(root: Path) -> pd.DataFrame:
    """One row per rated utterance, in the order in which a dialogue's utterances begin.

    The films stay out: they show both actors side by side, and a face in them may be the listener's.
    """
    ratings: dict[str, str] = {}
    texts: dict[str, str] = {}
    for path, match in named(root, _DIALOGUE, (".txt",)):
        if Path(path).parent.name == "EmoEvaluation":
            ratings.setdefault(match[0], path)
        elif Path(path).parent.name == "transcriptions":
            texts |= dict(_LINE.findall(decode(Path(path).read_bytes(), path)))
    sounds = {match[0]: path for path, match in named(root, _UTTERANCE, AUDIO)}
    return pd.DataFrame([row for d in sorted(ratings) for row in _dialogue(d, ratings[d], texts, sounds)])


def _dialogue(dialogue: str, path: str, texts: dict[str, str], sounds: dict[str, str]) -> list[Row]:
    found = [m.groupdict() for m in _RATING.finditer(decode(Path(path).read_bytes(), path))]
    return [
        _about(rating) | {"dialogue": dialogue, "turn": turn, "text": texts.get(i), "audio": sounds.get(i)}
        for turn, rating in enumerate(sorted(found, key=lambda r: float(r["start"])))
        for i in [rating["sample_id"]]
    ]


def _about(rating: dict[str, str]) -> Row:
    # The first letter tells who wore the markers, the last one who speaks: Ses01F_impro01_M003 is session 1's man.
    session, gender = rating["sample_id"][3:5], rating["sample_id"][-4]
    return {
        "sample_id": rating["sample_id"],
        "speaker": f"iemocap_{session}{gender}",
        "language": "en",
        "emotion": EMOTIONS.get(rating["emotion"], "other"),
        "valence": float(rating["valence"]),
        "arousal": float(rating["arousal"]),
        "dominance": float(rating["dominance"]),
        "session": int(session),
        "gender": {"F": "female", "M": "male"}[gender],
        "setting": "improvised" if "_impro" in rating["sample_id"] else "scripted",
    }


dataset = Dataset(
    name="iemocap",
    title="Interactive Emotional Dyadic Motion Capture Database",
    licence="research only, by signed agreement with USC",
    citation="Busso et al. (2008), Language Resources and Evaluation 42: 335-359, doi:10.1007/s10579-008-9076-6",
    url="https://sail.usc.edu/iemocap/",
    access="Ask the Signal Analysis and Interpretation Laboratory: https://sail.usc.edu/iemocap/iemocap_release.htm.",
    layout="Session1 … Session5 with dialog/EmoEvaluation/Ses01F_impro01.txt, dialog/transcriptions/Ses01F_impro01.txt "
    "and sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav",
    read=read,
    labels={
        "emotion": tuple(sorted(e for e in EMOTIONS.values() if e)),
        "valence": (),
        "arousal": (),
        "dominance": (),
    },
    # Excitement counts as happiness, as nearly all work on this corpus has it.
    common=common_classes(e for e in EMOTIONS.values() if e),
    expected=10039,
)
