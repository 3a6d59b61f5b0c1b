"""Praat's TextGrid and ELAN's .eaf: a tier is a speaker."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from affectlake.data.errors import BadManifest
from affectlake.data.transcripts.turns import Turn

_log = logging.getLogger("affectlake.data")

_FINER = re.compile(r"word|phone|phoneme|syllab|segment|token|gloss|pos\b", re.IGNORECASE)
"""Names of tiers that hold parts of turns, as forced aligners write them."""


def textgrid(text: str, path: object) -> list[Turn]:
    """Turns of a Praat TextGrid, long or short: the intervals of its tiers, but for those of words and sounds.

    Raises
    ------
    BadManifest
        Not such a file, or without a tier of turns.
    """
    from praatio.utilities.textgrid_io import parseTextgridStr

    if "ooTextFile" not in text[:200] or "TextGrid" not in text[:400]:
        raise BadManifest(f"{path}: no TextGrid, whose first lines say ooTextFile and TextGrid")
    try:
        tiers = parseTextgridStr(text)["tiers"]
        intervals = [t for t in tiers if t["class"] == "IntervalTier"]
        every = {t["name"]: [(float(a), float(b), str(c)) for a, b, c in t["entries"]] for t in intervals}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise BadManifest(f"{path}: a TextGrid that cannot be understood ({error})") from None
    tiers_of_turns = {name: spans for name, spans in every.items() if not _FINER.search(name)}
    if not tiers_of_turns:
        raise BadManifest(f"{path}: no tier of turns, only {', '.join(map(repr, every)) or 'points'}")
    return [
        Turn(start, end, words, name)
        for name, spans in tiers_of_turns.items()
        for start, end, words in spans
        if words.strip()
    ]


def eaf(path: Path) -> list[Turn]:
    """Turns of an ELAN file: annotations of its independent tiers; the participant is the speaker.

    Raises
    ------
    BadManifest
        Not such a file, or without a tier of turns.
    """
    from pympi.Elan import Eaf

    try:
        found = Eaf(str(path), suppress_version_warning=True)
    except KeyError as error:
        raise BadManifest(f"{path}: no ELAN file, it lacks {error}") from None
    except Exception as error:  # it raises just that
        raise BadManifest(f"{path}: no ELAN file ({error})") from None
    independent = {name: tier[2] for name, tier in found.tiers.items() if "PARENT_REF" not in tier[2]}
    tiers = {name: about for name, about in independent.items() if not _FINER.search(name)}
    if not tiers:
        raise BadManifest(f"{path}: no tier of turns, only {', '.join(map(repr, found.tiers)) or 'nothing'}")
    turns = []
    timeless = 0
    for name, about in tiers.items():
        annotations = found.tiers[name][0].values()
        times = _times([slot for first, last, *_ in annotations for slot in (first, last)], found.timeslots)
        for first, last, words, *_ in annotations:
            if first in times and last in times:
                who, language = about.get("PARTICIPANT") or name, about.get("LANG_REF") or ""
                turns.append(Turn(times[first], times[last], words or "", who, language))
            else:
                timeless += 1
    if timeless:
        _log.warning("%s: %d annotations have no times and are left out", path, timeless)
    return turns


def _times(slots: list[str], milliseconds: Mapping[str, int | None]) -> dict[str, float]:
    """Seconds of a tier's slots in their order; those without a time lie evenly between their neighbours, as in ELAN.

    Examples
    --------
    >>> _times(["a", "b", "b", "c", "c", "d"], {"a": 1000, "b": None, "c": 3000, "d": None})
    {'a': 1.0, 'b': 2.0, 'c': 3.0}
    """
    order = list(dict.fromkeys(slots))
    known = [(i, ms / 1000) for i, slot in enumerate(order) if (ms := milliseconds[slot]) is not None]
    if not known:
        return {}
    at, seconds = zip(*known, strict=True)
    return {order[i]: float(np.interp(i, at, seconds)) for i in range(at[0], at[-1] + 1)}
