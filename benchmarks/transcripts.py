"""How many words `audio.transcript` gets wrong, and what a clip costs: `python benchmarks/transcripts.py …`.

``ravdess DATA [CLIPS]``: acted English, so many clips of each of the 24 actors (default 2) in DATA/ravdess_audio.
``spoken``: sentences of the file's own in English, German and Chinese, spoken by Debian's espeak-ng: a machine that
hears a machine, which tells that a language works and nothing of how well people are heard.
"""

import io
import re
import subprocess
import sys
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from affectlake.data.sound import RATE, read_audio
from affectlake.features.audio.transcript import transcribe
from affectlake.features.workers import one_thread

SENTENCES = {"01": "kids are talking by the door", "02": "dogs are sitting by the door"}
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
SPOKEN = {
    "en": ("The train was late again this morning.", "I would like to speak to somebody about my bill.",
           "She opened the window because it was warm."),
    "de": ("Der Zug hatte heute Morgen wieder Verspätung.", "Ich möchte mit jemandem über meine Rechnung sprechen.",
           "Sie öffnete das Fenster, weil es warm war."),
    "cmn": ("今天早上火车又晚点了。", "我想和你们的经理谈谈。", "天气很热，所以她打开了窗户。"),
}  # fmt: skip


def units(text: str, language: str = "en") -> list[str]:
    """Words without marks, in lower case; of Chinese, characters in their simplified form."""
    plain = "".join(c for c in unicodedata.normalize("NFKC", text.lower()) if unicodedata.category(c)[0] not in "PS")
    if language != "zh":
        return plain.split()
    from opencc import OpenCC

    return list(re.sub(r"\s", "", OpenCC("t2s").convert(plain)))


def errors(truth: list[str], heard: list[str]) -> int:
    """Insertions, deletions and replacements that make one of the other (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, unit in enumerate(truth, 1):
        above, row = row, [i]
        for j, other in enumerate(heard, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (unit != other)))
    return row[-1]


def interval(per_speaker: Iterable[tuple[int, int]], draws: int = 2000) -> tuple[float, float, float]:
    """Error rate over all, and 95 % of what it is over speakers drawn with replacement."""
    wrong, of = np.array(list(per_speaker)).T
    drawn = np.random.default_rng(0).integers(0, len(of), (draws, len(of)))
    low, high = np.quantile(wrong[drawn].sum(1) / of[drawn].sum(1), [0.025, 0.975])
    return wrong.sum() / of.sum(), low, high


def ravdess(data: Path, clips: int) -> None:
    by: dict[str, Counter] = defaultdict(Counter)
    seconds, languages, sure = [], Counter(), defaultdict(list)
    transcribe(np.zeros(16_000, np.float32))  # loads the model
    for actor, folder in enumerate(sorted((data / "ravdess_audio").glob("Actor_*"))):
        files = sorted(folder.glob("*.flac"))
        # Others of each actor, so that all emotions and both sentences are among them.
        for file in [files[(actor * 7 + k * len(files) // clips) % len(files)] for k in range(clips)]:
            _, _, emotion, strength, sentence, _, speaker = file.stem.split("-")
            y = read_audio(file).y
            begun = time.process_time()
            words, language, _ = transcribe(y)
            seconds.append(time.process_time() - begun)
            languages[language] += 1
            truth, heard = units(SENTENCES[sentence]), units("".join(w.word for w in words))
            wrong = errors(truth, heard)
            sure[wrong == 0].append(float(np.mean([w.probability for w in words])) if words else 0.0)
            for key in (f"speaker {speaker}", EMOTIONS[int(emotion) - 1], "strong" if strength == "02" else "normal"):
                by[key] += Counter(wrong=wrong, of=len(truth), clips=1, right=wrong == 0)
    rate, low, high = interval((c["wrong"], c["of"]) for k, c in by.items() if k.startswith("speaker"))
    print(f"{len(seconds)} clips: word error rate {rate:.3f} [{low:.3f}, {high:.3f}], languages {dict(languages)}")
    for key in (*EMOTIONS, "normal", "strong"):
        if c := by[key]:
            print(f"  {key}: {c['wrong'] / c['of']:.3f} of {c['clips']} clips, {c['right']} without an error")
    for right, values in sorted(sure.items()):
        print(f"  confidence where {'all is right' if right else 'something is wrong'}: {np.mean(values):.2f}")
    print(f"  processor time a clip: median {np.median(seconds):.2f} s, 95 % {np.quantile(seconds, 0.95):.2f} s")


def spoken() -> None:
    for voice, sentences in SPOKEN.items():
        code = "zh" if voice == "cmn" else voice
        wrong, of, detected = Counter(), 0, Counter()
        for sentence in sentences:
            made = subprocess.run(["espeak-ng", "-v", voice, "-s", "140", "--stdout", sentence], capture_output=True)
            y, rate = sf.read(io.BytesIO(made.stdout), dtype="float32")
            clip, truth = soxr.resample(y, rate, RATE), units(sentence, code)
            for given in ("", code):
                words, language, _ = transcribe(clip, given)
                text = "".join(w.word for w in words).strip()
                wrong[given] += errors(truth, units(text, code))
                detected[language] += not given
                print(f"  {voice} {given or 'detected ' + language}: {text}")
            of += len(truth)
        unit = "character" if code == "zh" else "word"
        print(
            f"{voice}: {unit} error rate {wrong[''] / of:.2f} detected ({dict(detected)}), {wrong[code] / of:.2f} given"
        )


if __name__ == "__main__":
    one_thread()
    match sys.argv[1:]:
        case ["ravdess", data, *clips]:
            ravdess(Path(data), int(clips[0]) if clips else 2)
        case ["spoken"]:
            spoken()
        case _:
            sys.exit(__doc__)
