"""What recognisers write: RTTM and CTM of Kaldi and NIST, JSON of Whisper and WhisperX."""

import json
import logging
from collections.abc import Sequence
from typing import Any

from affectlake.data.errors import BadManifest
from affectlake.data.transcripts.turns import Turn, joined

_log = logging.getLogger("affectlake.data")

PAUSE = 0.5
"""Seconds between words of a CTM file that end a turn."""


def of_recording(text: str, path: object, field: int, names: Sequence[str]) -> str:
    """The lines of a file of several recordings that are about one of these names; a file of one is about that.

    Parameters
    ----------
    field : int
        The one that names the recording.

    Raises
    ------
    BadManifest
        It tells of several, none of which is called so.
    """
    lines = [(line.split(), line) for line in text.splitlines() if line.strip() and not line.startswith(";;")]
    known = list(dict.fromkeys(fields[field] for fields, _ in lines if len(fields) > field))
    if len(known) < 2:
        return text
    if not (meant := [name for name in names if name in known]):
        shown = ", ".join(map(repr, known[:5])) + (", …" if len(known) > 5 else "")
        raise BadManifest(f"{path}: tells of {len(known)} recordings ({shown}), none of which is called {names[0]!r}")
    # As blank lines, the others leave the numbers of lines as they are.
    kept = {line for fields, line in lines if len(fields) > field and fields[field] == meant[0]}
    return "\n".join(line if line in kept else "" for line in text.splitlines())


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
        timed = [s for s in segments if s["start"] is not None and s["end"] is not None]
        if len(timed) < len(segments):
            _log.warning("%s: %d segments have no times and are left out", path, len(segments) - len(timed))
        return [
            Turn(float(s["start"]), float(s["end"]), str(s.get("text", "")), str(s.get("speaker") or ""), language)
            for s in timed
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadManifest(f"{path}: a segment needs numbers 'start' and 'end' ({error!r})") from None


def _number(field: str, path: object, line: int) -> float:
    try:
        return float(field)
    except ValueError:
        raise BadManifest(f"{path}: line {line}: {field!r} is no number of seconds") from None
