"""EmoDB: ten actors speak ten German sentences in seven emotions."""

import re
from pathlib import Path

import pandas as pd

from affectlake.data.corpus_files import Row, recordings
from affectlake.data.dataset import Dataset, Download, common_classes

# by the German word's first letter: Wut, Langeweile, Ekel, Angst, Freude, Trauer
EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "N": "neutral",
    "T": "sadness",
}
GENDERS = {
    **dict.fromkeys(("03", "10", "11", "12", "15"), "male"),
    **dict.fromkeys(("08", "09", "13", "14", "16"), "female"),
}
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}

# speaker, sentence, emotion, version
_NAME = re.compile(rf"({'|'.join(GENDERS)})({'|'.join(SENTENCES)})([{''.join(EMOTIONS)}])([a-z]?)")


def read(root: Path) -> pd.DataFrame:
    """One row per recording."""
    return recordings(root, _NAME, _about)


def _about(match: re.Match[str]) -> Row:
    speaker, sentence, emotion, _ = match.groups()
    return {
        "speaker": f"emodb_{speaker}",
        "language": "de",
        "text": SENTENCES[sentence],
        "emotion": EMOTIONS[emotion],
        "gender": GENDERS[speaker],
    }


dataset = Dataset(
    name="emodb",
    title="Berlin Database of Emotional Speech",
    licence="none stated by the authors; CC0-1.0 in audEERING's edition",
    citation="Burkhardt et al. (2005), Proc. Interspeech, 1517-1520, doi:10.21437/Interspeech.2005-446",
    url="https://doi.org/10.21437/Interspeech.2005-446",
    access="Free download from http://emodb.bilderbar.info/download/, also by `affectlake download emodb`.",
    layout="wav with recordings named like 03a01Fa.wav",
    read=read,
    labels={"emotion": tuple(EMOTIONS.values())},
    common=common_classes(EMOTIONS.values()),
    expected=535,
    downloads=(Download("http://emodb.bilderbar.info/download/download.zip", hash="", size=40_500_000),),
)
