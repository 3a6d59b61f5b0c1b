"""Praat's TextGrid and ELAN's .eaf: a tier is a speaker."""

import re
from pathlib import Path

from affectlake.data.errors import BadManifest
from affectlake.data.transcripts.turns import Turn

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
    """Turns of an ELAN file: annotations with times of its independent tiers; the participant is the speaker.

    Raises
    ------
    BadManifest
        Not such a file, or without a tier of turns.
    """
    from pympi.Elan import Eaf

    try:
        found = Eaf(str(path), suppress_version_warning=True)
    except Exception as error:  # it raises just that
        raise BadManifest(f"{path}: no ELAN file ({error})") from None
    independent = {name: tier[2] for name, tier in found.tiers.items() if "PARENT_REF" not in tier[2]}
    tiers = {name: about for name, about in independent.items() if not _FINER.search(name)}
    if not tiers:
        raise BadManifest(f"{path}: no tier of turns, only {', '.join(map(repr, found.tiers)) or 'nothing'}")
    return [
        Turn(start / 1000, end / 1000, words or "", about.get("PARTICIPANT") or name, about.get("LANG_REF") or "")
        for name, about in tiers.items()
        for start, end, words in found.get_annotation_data_for_tier(name)
        if start is not None and end is not None
    ]
