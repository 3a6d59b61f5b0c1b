"""Words that have an order by themselves, as questionnaires use them."""

import re
from collections.abc import Sequence

_SCALES = (
    "strongly disagree < disagree < somewhat disagree = slightly disagree < neutral = undecided = neither agree nor "
    "disagree = neither < somewhat agree = slightly agree < agree < strongly agree",
    "never < rarely = seldom < sometimes = occasionally < often = frequently < very often < always",
    "not at all < slightly = a little = a bit < somewhat < moderately < quite a bit < very = very much < extremely",
    "none < very low < low < medium = moderate < high < very high",
    "very weak < weak < medium = moderate < strong < very strong",
    "none < mild < moderate < severe < very severe",
    "very negative < negative < slightly negative = somewhat negative < neutral < slightly positive = somewhat "
    "positive < positive < very positive",
    "very dissatisfied < dissatisfied < neutral < satisfied < very satisfied",
    "very poor < poor < fair < good < very good < excellent",
    "very bad < bad < neutral = ok = average < good < very good",
)
_ORDERS = [[[w.strip() for w in step.split("=")] for step in scale.split("<")] for scale in _SCALES]


def ranks(words: Sequence[str]) -> list[int] | None:
    """Place of each word on the scale that has them all, in any capitals; None where there is none.

    Examples
    --------
    >>> ranks(["Agree", "strongly_agree", "disagree"])
    [5, 6, 1]
    >>> ranks(["happy", "sad"])
    """
    plain = [" ".join(re.split(r"[\s_-]+", w.strip().casefold())) for w in words]
    for order in _ORDERS:
        place = {word: i for i, step in enumerate(order) for word in step}
        if all(w in place for w in plain):
            return [place[w] for w in plain]
    return None


def scaled(words: Sequence[str]) -> bool:
    """Whether words are steps of a scale and nothing else: three or more, and not the names of three polarities.

    Examples
    --------
    >>> scaled(["low", "medium", "high"]), scaled(["negative", "neutral", "positive"])
    (True, False)
    """
    found = ranks(words)
    if found is None or len(set(found)) < 3:
        return False
    polar = {"negative", "neutral", "positive"}
    return not {w.strip().casefold() for w in words} <= polar
