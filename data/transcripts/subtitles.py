"""SubRip and WebVTT, those of Teams and Zoom with speakers' names among them."""

import html
import re

from affectlake.data.errors import BadManifest
from affectlake.data.transcripts.turns import Turn

_VOICE = re.compile(r"<v(?:\.[\w.]+)?\s+([^>]*)>")
_STYLE = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")  # tags, and the codes of other subtitles that players take in these
_TIMES = re.compile(r"[\s\d:.,-]+-->")
_RIGHT_TIMES = re.compile(r"\s*(?:\d+:)?\d\d?:\d\d?[.,]\d{3}\s*-->\s*(?:\d+:)?\d\d?:\d\d?[.,]\d{3}(?!\S)")
_NAMED = re.compile(r"\s*(?:-\s*)?([^:<>{}\[\]]{1,40}?)\s*:\s+(?=\S)")
_MOSTLY = 0.8  # of the captions begin with a name: then it is one, and no sentence with a colon
_LANGUAGE = re.compile(r"language\s*[:=]\s*([A-Za-z]{2,3}(?:-[A-Za-z0-9]+)*)", re.IGNORECASE)


def subtitles(text: str, path: object, kind: str) -> list[Turn]:
    """Turns of a subtitle file, ``kind`` being ``srt`` or ``vtt``.

    A voice tag ``<v Name>`` names the speaker, and so does ``Name:`` where most captions begin with one.

    Raises
    ------
    BadManifest
        Not such a file, or one with times that are none: the parser would leave such a caption out.
    """
    from webvtt import WebVTT
    from webvtt.errors import MalformedCaptionError, MalformedFileError

    for number, line in enumerate(text.splitlines(), 1):
        if _TIMES.match(line) and not _RIGHT_TIMES.match(line):
            raise BadManifest(
                f"{path}: line {number}: {line.strip()!r} has no two times such as 00:00:01.500 --> 00:01:02.000"
            )
    try:
        found = WebVTT.from_buffer(iter(text.splitlines(keepends=True)), format=kind, strict=True)
    except (MalformedFileError, MalformedCaptionError) as error:
        raise BadManifest(f"{path}: no {kind.upper()} file ({error})") from None
    header = _LANGUAGE.search(" ".join(map(str, found.metadata)))
    language = header[1].lower() if header else ""
    turns = []
    for caption in found:
        start, end = (time.in_milliseconds() / 1000 for time in (caption.start_time, caption.end_time))
        turns += [Turn(start, end, words, who, language) for who, words in _voices(caption.raw_text)]
    return _with_names(turns)


def _voices(raw: str) -> list[tuple[str, str]]:
    """Who says what in a caption: one or several voices, or one that has no name."""
    first, *rest = _VOICE.split(raw)
    parts = [("", first), *zip(rest[::2], rest[1::2], strict=True)]
    found = [(html.unescape(who).strip(), html.unescape(_STYLE.sub("", words)).strip()) for who, words in parts]
    return [(who, words) for who, words in found if words]


def _with_names(turns: list[Turn]) -> list[Turn]:
    named = [_NAMED.match(turn.text) if not turn.speaker else None for turn in turns]
    names = {match[1] for match in named if match}
    share = sum(map(bool, named)) / max(1, len(turns))
    # Names come back; what stands before a colon in sentences does not.
    if share < _MOSTLY or len(names) > max(2, len(turns) / 2):
        return turns
    return [
        Turn(turn.start, turn.end, turn.text[match.end() :], match[1], turn.language) if match else turn
        for turn, match in zip(turns, named, strict=True)
    ]
