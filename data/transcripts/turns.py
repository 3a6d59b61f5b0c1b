"""What a transcript says: turns."""

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from affectlake.data.errors import BadManifest

_log = logging.getLogger("affectlake.data")


@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """What one person said without a break.

    Attributes
    ----------
    start, end : float
        Seconds from the recording's beginning, to the millisecond, ``0 <= start < end``.
    text : str
        Empty where a file tells only who spoke.
    speaker : str
        As the file calls them; empty where it does not.
    language : str
        As the file says it, such as ``de``; empty where it does not.
    """

    start: float
    end: float
    text: str = ""
    speaker: str = ""
    language: str = ""


def in_order(turns: Iterable[Turn], path: object) -> list[Turn]:
    """Turns by their beginning, to the millisecond, those of no length left out, which is logged.

    Raises
    ------
    BadManifest
        A time that is no number, or before the beginning; an end before its start.
    """
    found = []
    for turn in turns:
        if not 0 <= turn.start <= turn.end < math.inf:
            raise BadManifest(f"{path}: a turn from {turn.start} to {turn.end} s: expected 0 <= start < end")
        text = " ".join(turn.text.split())
        found.append(replace(turn, start=round(turn.start, 3), end=round(turn.end, 3), text=text))
    lasting = sorted(turn for turn in found if turn.end > turn.start)
    if len(lasting) < len(found):
        _log.warning("%s: %d of %d turns last no time and are left out", path, len(found) - len(lasting), len(found))
    return lasting


def joined(words: Iterable[Turn], pause: float) -> list[Turn]:
    """Turns of words: a longer pause (s) or another speaker begins the next.

    Examples
    --------
    >>> words = [Turn(0.0, 0.4, "Oh"), Turn(0.5, 0.9, "no."), Turn(2.0, 2.2, "Yes?")]
    >>> [(turn.start, turn.end, turn.text) for turn in joined(words, pause=0.5)]
    [(0.0, 0.9, 'Oh no.'), (2.0, 2.2, 'Yes?')]
    """
    turns: list[Turn] = []
    for word in sorted(words):
        last = turns[-1] if turns else None
        if last and word.start - last.end <= pause and (word.speaker, word.language) == (last.speaker, last.language):
            turns[-1] = replace(last, end=max(last.end, word.end), text=f"{last.text} {word.text}".strip())
        else:
            turns.append(word)
    return turns


def overlapping(turns: list[Turn]) -> list[bool]:
    """Of turns in order, which have a part in which another one speaks too.

    Examples
    --------
    >>> overlapping([Turn(0, 5), Turn(1, 2), Turn(4, 6), Turn(6, 7)])
    [True, True, True, False]
    """
    over = [False] * len(turns)
    longest = 0  # of those before, the one that ends last
    for before, now in pairwise(range(len(turns))):
        longest = max(longest, before, key=lambda i: turns[i].end)
        if turns[now].start < turns[longest].end:
            over[longest] = over[now] = True
    return over
