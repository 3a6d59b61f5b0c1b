"""From a sample to what extractors are given: decoded once, shared by every extractor that reads the same thing."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from affectlake.data import remote
from affectlake.data.errors import AffectlakeError, NotApplicable
from affectlake.data.media import check_file, local_path
from affectlake.features import _files, settings
from affectlake.features.protocol import Reads

if TYPE_CHECKING:
    from affectlake.data.sound import AudioClip


T = TypeVar("T")


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
    channel : int or None
        The one that is heard, from 1; None for the mean of all.
    text, context, language : str, tuple of str, str
        The utterance, those before it in the same dialogue (oldest first; only for extractors that read "dialogue"),
        and its ISO 639-1 code (empty if unknown).
    sha256, stamp : str, int
        Of the file, as the scan that ``content`` was made of found it (`affectlake.features.scan.scan`): of an object
        elsewhere that nobody has read yet, `affectlake.features.scan.UNLEARNT`; empty where nobody has looked.
    size : int
        Bytes of an object elsewhere, which has to be fetched; else 0.
    in_parts : bool
        Whether of an object elsewhere only what is read is fetched, because little of it is asked for.
    credentials : str
        The address with those that it came with; empty where it came without.
    """

    content: str
    uri: str = ""
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    text: str = ""
    context: tuple[str, ...] = ()
    language: str = ""
    sha256: str = ""
    stamp: int = _files.UNSURE
    size: int = 0
    in_parts: bool = False
    credentials: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Speech:
    """What is to be transcribed: the whole sound, and its language (as a manifest gives it; empty if unknown)."""

    clip: "AudioClip"
    language: str


class Changed(AffectlakeError):
    """A file is not, or no longer, the one that its hash was taken of: what was read belongs to no content."""


def read(reads: Reads, request: Request) -> Any:
    """What extractors are given of a sample, all of it out of the bytes that its content stands for.

    Raises
    ------
    Changed
        It cannot be said that it is: the file was written or replaced since it was scanned, or cannot be read now.
    NotApplicable, AffectlakeError, Exception
        Whatever the reader says of these very bytes.
    """
    return taken(READERS[reads], request)


def taken(reader: Callable[[Request], T], request: Request) -> T:
    """What a reader makes of a sample, as `read` says."""
    if request.uri and remote.is_remote(request.uri):
        return _fetched(reader, request)
    if not request.uri or not request.sha256:
        return reader(request)
    stamp = request.stamp
    if request.sha256 == _files.ABSENT:
        path = local_path(request.uri)
        if not os.path.isdir(path):
            check_file(path)  # a pipe is not opened, for that might take for ever
    elif not _is_still(request, stamp):
        raise Changed(f"{request.uri} is not the file that was hashed")
    try:
        stamp = _files.state(request.uri).stamp
        found = reader(request)
    except NotApplicable:
        _confirm(request, stamp)
        raise
    except Exception as error:
        # A failure may be of the disk or of the moment: it is the file's only if the same bytes can be read.
        if _sha256(request) != request.sha256:
            raise Changed(f"{request.uri} changed or could not be read: {error}") from error
        raise
    if request.sha256 == _files.ABSENT:
        raise Changed(f"{request.uri} could not be read before")
    _confirm(request, stamp)
    return found


def _fetched(reader: Callable[[Request], T], request: Request) -> T:
    """The same of an object elsewhere: the copy that is read stays what it is, and is known by its hash."""
    remote.know(request.uri, request.credentials)
    fits = partial(_is_of, request)
    if request.in_parts and not remote.held(request.uri, fits):
        is_it = partial(_files.is_at, request.stamp)
        # A server that gives no parts, or has another object by now, is asked for the whole.
        with suppress(remote.Refused), remote.in_parts(request.uri, request.size, is_it) as path:
            return reader(replace(request, uri=path))
    try:
        with remote.fetched(request.uri, fits) as copy:
            if request.sha256 and not fits(copy):
                raise Changed(f"{request.uri} is not the object that was listed")
            if not request.in_parts:
                _read[request.uri] = copy.sha256
            return reader(replace(request, uri=str(copy.path)))
    except remote.Refused as error:
        if request.sha256 not in ("", _files.ABSENT):
            raise Changed(str(error)) from error
        raise


_read: dict[str, str] = {}


def sha256_read(request: Request) -> str:
    """Of the object elsewhere that was read for a request, since `forget_read`; empty where none was."""
    return _read.get(request.uri, "")


def forget_read() -> None:
    """Begin anew with what `sha256_read` tells."""
    _read.clear()


def _is_of(request: Request, copy: remote.Copy) -> bool:
    if request.sha256 == _files.UNLEARNT:
        return _files.is_at(request.stamp, copy.object)
    return bool(request.sha256) and copy.sha256 == request.sha256


def _confirm(request: Request, stamp: int) -> None:
    if not _is_still(request, stamp):
        raise Changed(f"{request.uri} changed while it was read")


def _is_still(request: Request, stamp: int) -> bool:
    with suppress(OSError):
        if stamp != _files.UNSURE and _files.state(request.uri).stamp == stamp:
            return True
    return _sha256(request) == request.sha256


def _sha256(request: Request) -> str:
    try:
        return _files.read(request.uri).sha256
    except OSError:  # a share that does not answer: the next scan says so
        return "unknown"


def _audio(request: Request) -> Any:
    from affectlake.data.sound import read_audio

    clip = read_audio(request.uri, request.start, request.end, request.channel)
    if how := str(settings.get("audio.distort")):
        from affectlake.features.audio._distort import distorted

        clip = distorted(clip, how)
    if rate := int(settings.get("audio.band")):
        from affectlake.features.audio._band import narrowed

        clip = narrowed(clip, rate)
    if settings.get("audio.trim"):
        from affectlake.features.audio._trim import trimmed

        return trimmed(clip)
    return clip


def _speech(request: Request) -> Speech:
    from affectlake.data.sound import read_audio

    return Speech(read_audio(request.uri, request.start, request.end, request.channel), request.language)


def _face(request: Request) -> Any:
    from affectlake.data.pictures import read_frames
    from affectlake.features.face.detect import find_faces

    return find_faces(read_frames(request.uri, request.start, request.end, int(settings.get("video.frames"))))


def _image(request: Request) -> Any:
    from affectlake.data.pictures import read_image

    return read_image(request.uri)


def _text(request: Request) -> Request:
    return request


READERS: dict[Reads, Callable[[Request], Any]] = {
    "audio": _audio,
    "speech": _speech,
    "face": _face,
    "image": _image,
    "text": _text,
    "dialogue": _text,
}

# Raised whenever the same file decodes to other numbers.
_DECODING: dict[Reads, str] = {
    "audio": "3",
    "speech": "3",
    "face": "2",
    "image": "2",
    "text": "1",
    "dialogue": "1",
}


def decoding(reads: Reads) -> str:
    """Version and settings of how something is read; part of every fingerprint that depends on it."""
    return " ".join([_DECODING[reads], *(f"{name}={value}" for name, value in settings.of_decoding(reads).items())])


# Manifest columns that a reader can take its URI from, first present wins.
SOURCES: dict[Reads, tuple[str, ...]] = {
    "audio": ("audio", "video"),
    "speech": ("audio", "video"),
    "face": ("video", "image"),
    "image": ("image",),
    "text": ("text",),
    "dialogue": ("text",),
}
