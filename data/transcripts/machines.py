"""What recognisers write: RTTM and CTM of Kaldi and NIST, JSON of Whisper and WhisperX."""

import json
from typing import Any

from affectlake.data.errors import BadManifest
from affectlake.data.transcripts.turns import Turn, joined

PAUSE = 0.5
"""Seconds between words of a CTM file that end a turn."""


def rttm(text: str, path: object) -> list[Turn]:
    """Who speaks when, without words: the SPEAKER lines.

    >>> rttm("SPEAKER call 1 0.50 1.25 <NA> <NA> anna <NA> <NA>", "call.rttm")
    [Turn(start=0.5, end=1.75, text='', speaker='anna', language='')]
    """
    turns = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if fields[:1] != ["SPEAKER"]:
            continue
        if len(fields) < 8:
            raise BadManifest(f"{path}: line {number} has {len(fields)} fields, a SPEAKER line has 8 or more")
        start, lasts = (_number(f, path, number) for f in fields[3:5])
        turns.append(Turn(start, start + lasts, speaker="" if fields[7] == "<NA>" else fields[7]))
    return turns


def ctm(text: str, path: object) -> list[Turn]:
    r"""Turns of words with times, by the pauses between them.

    >>> ctm("call 1 0.50 0.20 oh\ncall 1 0.75 0.25 no", "call.ctm")
    [Turn(start=0.5, end=1.0, text='oh no', speaker='', language='')]
    """
    return joined(ctm_words(text, path), PAUSE)


def ctm_words(text: str, path: object) -> list[Turn]:
    """The words of a CTM file, each with its times."""
    words = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields or fields[0].startswith(";;"):
            continue
        if len(fields) < 5:
            raise BadManifest(f"{path}: line {number} has {len(fields)} fields, a word's line has 5 or more")
        start, lasts = (_number(f, path, number) for f in fields[2:4])
        words.append(Turn(start, start + lasts, fields[4]))
    return words


def worded(turns: list[Turn], words: list[Turn]) -> list[Turn]:
    """Turns that tell only who speaks, each with the words whose middle lies in it."""
    found = []
    for turn in turns:
        inside = [w.text for w in words if turn.start <= (w.start + w.end) / 2 < turn.end]
        found.append(Turn(turn.start, turn.end, " ".join(inside), turn.speaker, turn.language))
    return found


def whisper(text: str, path: object) -> list[Turn]:
    """Segments of Whisper, faster-whisper or WhisperX.

    Raises
    ------
    BadManifest
        Not JSON, or without segments that have a start and an end.
    """
    try:
        whole: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadManifest(f"{path}: no JSON ({error})") from None
    segments = whole.get("segments") if isinstance(whole, dict) else whole
    language = str(whole.get("language") or "") if isinstance(whole, dict) else ""
    if not isinstance(segments, list):
        raise BadManifest(f"{path}: no JSON of Whisper, which has a list 'segments'")
    try:
        return [
            Turn(float(s["start"]), float(s["end"]), str(s.get("text", "")), str(s.get("speaker") or ""), language)
            for s in segments
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadManifest(f"{path}: a segment needs numbers 'start' and 'end' ({error!r})") from None


def _number(field: str, path: object, line: int) -> float:
    try:
        return float(field)
    except ValueError:
        raise BadManifest(f"{path}: line {line}: {field!r} is no number of seconds") from None
