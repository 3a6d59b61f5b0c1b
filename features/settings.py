"""What a user may set about extraction: `affectlake refresh --set video.frames=8`.

Everything else about an extractor is fixed by its version. A setting that is not at its default is part of the
fingerprint of all that it changes, travels to worker processes with their work, and is kept with saved models.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from affectlake.data.errors import UnknownName, UsageError

Value = bool | int | float | str


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes
    ----------
    default : bool, int, float or str
    parse : callable(str)
        The value that a text stands for; raises ValueError.
    valid : str
        What is allowed, for error messages.
    description : str
    decodes : str or None
        What is read differently by it (see `affectlake.features.protocol.Reads`); None where it belongs to the
        parameters of an extractor, which names it there.
    variable : str or None
        Environment variable that gives the default.
    """

    default: Value
    parse: Callable[[str], Value]
    valid: str
    description: str
    decodes: str | None = None
    variable: str | None = None


def _count(most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not 1 <= int(text) <= most:
            raise ValueError(text)
        return int(text)

    return parse


def _faces(text: str) -> str:
    if text not in ("main", "all"):
        raise ValueError(text)
    return text


def _seconds(text: str) -> float:
    seconds = float(text)
    if seconds and not 0.1 <= seconds <= 600:
        raise ValueError(text)
    return seconds


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _language(text: str) -> str:
    if text.strip() and not re.fullmatch(r"[a-z]{2,3}", text.strip()):
        raise ValueError(text)
    return text.strip()


def _model(reads: str) -> Setting:
    variable = f"AFFECTLAKE_{reads.upper()}_MODEL"
    return Setting("", str.strip, "a folder or a hub's name", f"Model of {reads}.hub", variable=variable)


def _layers(text: str) -> str:
    """Layers of an encoder: ``6``, ``4-8``, or nothing for those that its depth suggests."""
    if not text.strip():
        return ""
    first, dash, last = text.strip().partition("-")
    bounds = int(first), int(last if dash else first)
    if not 0 <= bounds[0] <= bounds[1]:
        raise ValueError(text)
    return f"{bounds[0]}-{bounds[1]}"


def _channel(text: str) -> int:
    rate = int(text)
    if rate and not 4000 <= rate < 16_000:
        raise ValueError(text)
    return rate


CODECS = ("opus", "mp3")


def _distortion(text: str) -> str:
    kind, _, rest = text.strip().partition(":")
    if not text.strip() or text.strip() == "telephone":
        return text.strip()
    if kind == "noise" and -20 <= float(rest) <= 60:
        return f"noise:{float(rest):g}"
    if kind == "codec" and rest in CODECS:
        return text.strip()
    raise ValueError(text)


SETTINGS: dict[str, Setting] = {
    "audio.band": Setting(
        0,
        _channel,
        "0 (all that there is) or 4000 to 15999 samples per second, such as 8000 for a telephone",
        "Channel that sound is narrowed to before anything is computed",
        decodes="audio",
    ),
    "audio.distort": Setting(
        "",
        _distortion,
        f"telephone, noise:DB with the voice -20 to 60 dB above it, {' or '.join(f'codec:{c}' for c in CODECS)}, "
        "or nothing",
        "What spoils sound before anything is computed, to see what a model makes of it",
        decodes="audio",
    ),
    "audio.layers": Setting(
        "", _layers, "a layer such as 6, a range such as 4-8, or nothing", "Layers of audio.hub that are averaged"
    ),
    "audio.model": _model("audio"),
    "audio.trim": Setting(
        False, _switch, "true or false", "Whether silence at the ends and long pauses are left out", decodes="audio"
    ),
    "audio.whisper": Setting(
        "",
        str.strip,
        "a folder or a hub's name",
        "Whisper base for audio.whisper where its packages are absent",
        variable="AFFECTLAKE_WHISPER_MODEL",
    ),
    "image.model": _model("image"),
    "series.hop": Setting(
        0.0, _seconds, "0 (a window) or 0.1 to 600 seconds", "Seconds from one window of a series to the next"
    ),
    "series.window": Setting(
        0.0, _seconds, "0 (none) or 0.1 to 600 seconds", "Seconds of a window of features over time, kept besides"
    ),
    "speech.language": Setting(
        "",
        _language,
        "an ISO 639-1 code such as de, or nothing",
        "Language of speech to transcribe, where not detected",
    ),
    "text.model": _model("text"),
    "video.faces": Setting(
        "main", _faces, "main or all", "Whether every face of a film is followed, and has rows of its own besides"
    ),
    "video.frames": Setting(
        16, _count(1000), "a whole number from 1 to 1000", "Frames that faces are looked for in a video", decodes="face"
    ),
}

_given: ContextVar[Mapping[str, Value]] = ContextVar("settings", default={})  # noqa: B039 - never changed in place


def get(name: str) -> Value:
    """The value in force: what `use` was given, else the environment's, else the default."""
    setting = SETTINGS[name]
    fallback = os.environ.get(setting.variable, "") if setting.variable else ""
    return _given.get().get(name, _parsed(name, fallback) if fallback.strip() else setting.default)


def changed() -> dict[str, Value]:
    """Settings that are not at their default, by name: what another process needs to do the same."""
    return {name: get(name) for name in sorted(SETTINGS) if get(name) != SETTINGS[name].default}


def of_decoding(reads: str) -> dict[str, Value]:
    """Those of `changed` that decide how something is read."""
    return {name: value for name, value in changed().items() if SETTINGS[name].decodes == reads}


@contextmanager
def use(values: Mapping[str, Value]) -> Iterator[None]:
    """Put settings into force in this thread (and what it awaits) until the block ends."""
    token = _given.set({**_given.get(), **values})
    try:
        yield
    finally:
        _given.reset(token)


def parsed(given: Iterable[str] | Mapping[str, Any]) -> dict[str, Value]:
    """``NAME=VALUE`` words, or a mapping as configuration files have it, as checked settings.

    Raises
    ------
    UsageError
        A word without ``=``, an unknown name, or a value that is not allowed.
    """
    if not isinstance(given, Mapping):
        words = [word.partition("=") for word in given]
        for name, equals, _ in words:
            if not equals:
                raise UsageError(f"{name!r} sets nothing: expected NAME=VALUE, such as video.frames=8")
        given = {name.strip(): value for name, _, value in words}
    return {name: _parsed(name, value) for name, value in given.items()}


def _parsed(name: str, value: Any) -> Value:
    if name not in SETTINGS:
        raise UnknownName("setting", name, SETTINGS)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return SETTINGS[name].parse(text)
    except ValueError:
        raise UsageError(f"{name} cannot be {text!r}: expected {SETTINGS[name].valid}") from None
