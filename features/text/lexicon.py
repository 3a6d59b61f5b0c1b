"""Emotion words of the utterance, English and Chinese: what is felt, how strongly, and what is denied."""

import math
from collections.abc import Callable, Sequence

from affectlake.features.protocol import Column
from affectlake.features.text._reader import Feature, Reader
from affectlake.features.text._reading import Reading
from affectlake.features.text._tokens import HAN
from affectlake.features.text._words import EMOTIONS, GROUPS, words

INF = float("inf")
OWN = "own word lists, features/text/words.tsv"
VADER = "Hutto & Gilbert (2014), with our own words for Chinese and emoji"


def _asserted(group: str) -> Callable[[Reading], float]:
    return lambda r: sum(group in found and not r.negated[at] for at, found in r.hits)


def _denied(groups: Sequence[str]) -> Callable[[Reading], float]:
    return lambda r: sum(r.negated[at] and not found.isdisjoint(groups) for at, found in r.hits)


def _weight(group: str) -> Callable[[Reading], float]:
    """Hits, each with what boosters and dampeners add to it, over the square root of the words."""

    def value(r: Reading) -> float:
        hits = (1 + r.strength[at] for at, found in r.hits if group in found and not r.negated[at])
        return math.fsum(max(0.0, h) for h in hits) / math.sqrt(max(1, len(r.tokens)))

    return value


def _felt(r: Reading) -> list[float]:
    return [v for v in r.valences if v]


def _emoji(sign: int) -> Callable[[Reading], float]:
    return lambda r: math.fsum(v for word, v in r.felt if not word[0].isalnum() and v * sign > 0)


def _features() -> list[Feature]:
    return [
        *((Column(g, "1", 0.0, INF, f"Words of {g}, negated ones apart", OWN), _asserted(g)) for g in GROUPS),
        *((Column(f"{g}_weight", "1", 0.0, INF, f"Words of {g} with their emphasis, over the root of the length", OWN),
           _weight(g)) for g in GROUPS),
        (Column("denied_pleasant", "1", 0.0, INF, "Negated words of joy, love and approval", OWN),
         _denied(("joy", "love", "positive"))),
        (Column("denied_unpleasant", "1", 0.0, INF, "Negated words of sadness, anger, fear and disgust", OWN),
         _denied(("sadness", "anger", "fear", "disgust"))),
        (Column("emotions", "1", 0.0, len(EMOTIONS), "Different emotions named", OWN),
         lambda r: sum(_asserted(g)(r) > 0 for g in EMOTIONS)),
        (Column("boosters", "1", 0.0, INF, "Words that strengthen", OWN), lambda r: r.count("booster")),
        (Column("dampeners", "1", 0.0, INF, "Words that weaken", OWN), lambda r: r.count("dampener")),
        (Column("valence", "1", -1.0, 1.0, "Valence of the text", VADER), lambda r: r.compound),
        (Column("valence_mean", "1", -INF, INF, "Mean valence of the words that have one, 0 without", VADER),
         lambda r: math.fsum(_felt(r)) / max(1, len(_felt(r)))),
        (Column("valence_high", "1", 0.0, INF, "Most pleasant word", VADER), lambda r: max([0.0, *_felt(r)])),
        (Column("valence_low", "1", -INF, 0.0, "Least pleasant word", VADER), lambda r: min([0.0, *_felt(r)])),
        (Column("valence_last", "1", -INF, INF, "Last word that has a valence, 0 without", VADER),
         lambda r: ([0.0, *_felt(r)])[-1]),
        (Column("arousal", "1", 0.0, INF, "Sum of the words' valences regardless of sign", VADER),
         lambda r: math.fsum(map(abs, r.valences))),
        (Column("symbols_pleasant", "1", 0.0, INF, "Valence of pleasant emoji and emoticons", VADER), _emoji(1)),
        (Column("symbols_unpleasant", "1", -INF, 0.0, "Valence of unpleasant emoji and emoticons", VADER), _emoji(-1)),
        (Column("coverage", "1", 0.0, 1.0, "Share of tokens that the word lists know", OWN),
         lambda r: sum(words().knows(t) for t in r.lower) / max(1, len(r.tokens))),
        (Column("chinese", "1", 0.0, 1.0, "Share of Chinese characters", "count over characters"),
         lambda r: len(HAN.findall(r.text)) / len(r.text)),
    ]  # fmt: skip


class Lexicon(Reader):
    """See `affectlake.features.protocol.Extractor`; no learned weights."""

    name = "text.lexicon"
    version = "2"
    features = tuple(_features())
    cost = 0.3
    summary = "Emotion words, valence, negation and emphasis of the utterance (English and Chinese)"


extractor = Lexicon()
