"""From a sample to what extractors are given: decoded once, shared by every extractor that reads the same thing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from affectlake.features import settings
from affectlake.features.protocol import Reads


@dataclass(frozen=True, slots=True)
class Request:
    """One sample as a worker sees it; small and picklable.

    Attributes
    ----------
    content : str
        sha256 that stands for everything below (file bytes, segment, text, context).
    uri : str
        File to decode (audio, image or video; a folder of frames counts as a video); empty for text.
    start, end : float or None
        Segment in seconds.
    text, context, language : str, tuple of str, str
        The utterance, those before it in the same dialogue (oldest first; only for extractors that read "dialogue"),
        and its ISO 639-1 code (empty if unknown).
    """

    content: str
    uri: str = ""
    start: float | None = None
    end: float | None = None
    text: str = ""
    context: tuple[str, ...] = ()
    language: str = ""


def _audio(request: Request) -> Any:
    from affectlake.data.sound import read_audio

    clip = read_audio(request.uri, request.start, request.end)
    if settings.get("audio.trim"):
        from affectlake.features.audio._trim import trimmed

        return trimmed(clip)
    return clip


def _face(request: Request) -> Any:
    from affectlake.data.pictures import read_frames
    from affectlake.features.face.detect import find_faces

    return find_faces(read_frames(request.uri, request.start, request.end, settings.get("video.frames")))


def _image(request: Request) -> Any:
    from affectlake.data.pictures import read_image

    return read_image(request.uri)


def _text(request: Request) -> Request:
    return request


READERS: dict[Reads, Callable[[Request], Any]] = {
    "audio": _audio,
    "face": _face,
    "image": _image,
    "text": _text,
    "dialogue": _text,
}

# Raised whenever the same file decodes to other numbers.
_DECODING: dict[Reads, str] = {"audio": "1", "face": "2", "image": "2", "text": "1", "dialogue": "1"}


def decoding(reads: Reads) -> str:
    """Version and settings of how something is read; part of every fingerprint that depends on it."""
    return " ".join([_DECODING[reads], *(f"{name}={value}" for name, value in settings.of_decoding(reads).items())])


# Manifest columns that a reader can take its URI from, first present wins.
SOURCES: dict[Reads, tuple[str, ...]] = {
    "audio": ("audio", "video"),
    "face": ("video", "image"),
    "image": ("image",),
    "text": ("text",),
    "dialogue": ("text",),
}
