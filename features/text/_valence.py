"""Valence by the rules of VADER (Hutto & Gilbert 2014), which its own package applies, to English and Chinese.

What is ours: words are told apart where no space does it, drawn-out ones and hashtags are read, emoji have a valence of
their own, Chinese words stand in its list and Chinese function words are told to it in English, and negations that deny
nothing (`affirmed`) are not told to it at all.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from affectlake.features.text._idioms import affirmed
from affectlake.features.text._tokens import HAN, cut
from affectlake.features.text._words import words

BEFORE_BUT, AFTER_BUT = 0.5, 1.5
REACH = 3  # words before one that its valence depends on; two after it may make an idiom

_GLUED = re.compile(r"(?<=[^\W\d_]{2})([.,!?;:/\u2026\u2014]+|-{2,})(?=[^\W\d_]{2})")
_HAN_RUN = re.compile(r"[\u3400-\u9fff]+")

_NEVER = {"从不", "从来不", "从来没", "从来没有", "从未", "从没", "从没有", "未曾", "绝不"}
_SO = {"这么", "如此", "那么", "这样", "这般", "咁"}
AFTER = {"极了", "死了", "透了", "坏了", "死我了", "到爆", "爆了"}
_TURNS = {"但系", "但是", "但", "可是", "不过", "然而"}
_SILENT = "~"


@dataclass(frozen=True)
class _Said:
    """What VADER's methods want to know of a text."""

    words_and_emoticons: Sequence[str]
    is_cap_diff: bool


@cache
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    analyzer.lexicon = words().valences
    return analyzer


@cache
def _emoji() -> re.Pattern[str]:
    single = [w for w in words().valences if len(w) == 1 and w > "\u2000" and not HAN.match(w)]
    return re.compile(f"[{''.join(single)}]")


@lru_cache(65536)
def _meaning(word: str) -> str:
    """A Chinese function word in English, any other word as it is."""
    known = words().categories.get(word, frozenset())
    if word in _NEVER:
        return "never"
    if word in _SO:
        return "so"
    if word in _TURNS:
        return "but"
    # "Not very" before "slightly": 不太 is both.
    degrees = (("negation", "not"), ("booster", "very"), ("dampener", "slightly"))
    return next((english for category, english in degrees if category in known), word)


def valences(text: str, plain: Callable[[str], str]) -> list[tuple[str, float]]:
    """(word, valence) of each word, emoji and emoticon of a `spelled` text, about -5 to 5; 0 for one of none.

    `plain` gives a word in lower case as the lists spell it.
    """
    from vaderSentiment.vaderSentiment import BOOSTER_DICT, SentiText, allcap_differential

    spaced = _emoji().sub(r" \g<0> ", _GLUED.sub(r"\1 ", text))
    tokens = SentiText(_HAN_RUN.sub(lambda run: " " + " ".join(cut(run[0])) + " ", spaced)).words_and_emoticons
    if HAN.search(text):
        tokens = list(_in_english(tokens))
    tokens = [_spelled(w, plain(w.lower())) for w in tokens]
    idioms = affirmed([w.lower() for w in tokens])
    heard = [_SILENT if i in idioms else w for i, w in enumerate(tokens)]
    shouts = allcap_differential(heard)
    found = []
    for i, word in enumerate(heard):
        value = 0.0
        kind_of = word.lower() == "kind" and [w.lower() for w in heard[i + 1 : i + 2]] == ["of"]
        if word.lower() in words().valences and word.lower() not in BOOSTER_DICT and not kind_of:
            # Only what the rules look at: they fold the case of all that they are given, for every word.
            near = _Said(heard[max(0, i - REACH) : i + 3], shouts)
            value = _vader().sentiment_valence(0.0, near, word, min(i, REACH), [])[0]
        found.append(value)
    turn = next((i for i, w in enumerate(heard) if w.lower() == "but"), None)
    if turn is not None:
        # Not VADER's own method: of words of equal value it weighs the first one twice.
        found = [v * (BEFORE_BUT if i < turn else AFTER_BUT) for i, v in enumerate(found)]
    return list(zip(tokens, found, strict=True))


def compound(values: Sequence[float], text: str) -> float:
    """VADER's normalised sum of valences, -1 to 1 in steps of 0.0001, exclamation and question marks included."""
    return _vader().score_valence(list(values), text)["compound"]


def _spelled(word: str, plain: str) -> str:
    return plain.upper() if word.isupper() else plain


def _in_english(said: Sequence[str]) -> Iterator[str]:
    """Chinese function words in English, and no marks: between words that no space parts, they are no words."""
    known = words().valences
    kept = [w for w in said if w in known or any(map(str.isalnum, w)) or w in ",;.!?"]
    for i, word in enumerate(kept):
        after = kept[i + 1] if i + 1 < len(kept) else ""
        if word in ",;.!?":
            continue
        if after in AFTER and word in known:
            yield "very"
        if word in AFTER:
            if not i or kept[i - 1] not in known:
                yield word
            continue
        if word == "好" and after in known:
            yield "very"
        elif word in ("不", "没有", "没", "冇") and (not after or after in ",;.!?"):
            yield word  # an answer, not a denial
        else:
            yield _meaning(word)
