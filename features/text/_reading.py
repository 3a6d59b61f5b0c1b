"""An utterance read with the lexicons: what each token means, what negates it, and how strongly it is put."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from affectlake.features.text._tokens import tokens
from affectlake.features.text._words import LONGEST_PHRASE, words

REACH = 3  # tokens before a word that may negate or strengthen it
NEGATED = -0.74
BOOST, FADE = 0.293, 0.05  # a booster's weight and what it loses per token of distance
CAPITALS = 0.733
EXCLAMATION, MOST_EXCLAMATIONS = 0.292, 4
BEFORE_BUT, AFTER_BUT = 0.5, 1.5
SATURATION = 15.0

_DRAWN_OUT = re.compile(r"([^\W\d_])\1{2,}")
_LETTERS = re.compile(r"[^\W\d_]")


@lru_cache(65536)
def _categories(word: str) -> frozenset[str]:
    return words().of(word)


@lru_cache(65536)
def _valence(word: str) -> float:
    return words().valence(word)


@lru_cache(65536)
def _plain(word: str) -> str:
    if not _DRAWN_OUT.search(word):
        return word
    spellings = (word, _DRAWN_OUT.sub(r"\1\1", word), _DRAWN_OUT.sub(r"\1", word))
    return next((s for s in spellings if _categories(s) or _valence(s)), word)


@dataclass(frozen=True)
class Reading:
    """Attributes and methods count tokens of one cleaned text; `tokens` holds them in order."""

    text: str

    @cached_property
    def tokens(self) -> list[str]:
        return tokens(self.text)

    @cached_property
    def lower(self) -> list[str]:
        """Tokens in lower case, drawn-out ones (sooo) as the lists spell them."""
        return [_plain(t.lower()) for t in self.tokens]

    @cached_property
    def words(self) -> list[str]:
        """Tokens with a letter, in lower case; links and handles are none."""
        return [t for t in self.lower if _LETTERS.search(t) and t not in ("http", "@user")]

    @cached_property
    def categories(self) -> list[frozenset[str]]:
        """What each token means alone."""
        return [_categories(t) for t in self.lower]

    @cached_property
    def hits(self) -> list[tuple[int, frozenset[str]]]:
        """(position, categories) of every known word, and of every known phrase at its first word."""
        return [(at, c) for at, c in enumerate(self.categories) if c] + list(self._phrases())

    def _phrases(self) -> Iterator[tuple[int, frozenset[str]]]:
        for length in range(2, LONGEST_PHRASE + 1):
            for at in range(len(self.lower) - length + 1):
                if found := words().categories.get("_".join(self.lower[at : at + length])):
                    yield at, found

    @cached_property
    def negated(self) -> list[bool]:
        """Whether one of the three tokens before says no."""
        says_no = ["negation" in c or t.endswith("n't") for c, t in zip(self.categories, self.lower, strict=True)]
        return [any(says_no[max(0, i - REACH) : i]) for i in range(len(says_no))]

    @cached_property
    def strength(self) -> list[float]:
        """What boosters (> 0) and dampeners (< 0) among the three tokens before add to a word's valence."""
        return [
            sum(
                BOOST * (1 - FADE * (distance - 1)) * (("booster" in c) - ("dampener" in c))
                for distance in range(1, min(REACH, i) + 1)
                for c in (self.categories[i - distance],)
            )
            for i in range(len(self.tokens))
        ]

    def count(self, category: str) -> int:
        return sum(category in found for _, found in self.hits)

    @cached_property
    def valences(self) -> list[float]:
        """Valence of each token in its place, about -5 to 5; 0 for a word of none.

        The rules of VADER (Hutto & Gilbert 2014) for negation, boosters, capitals and "but", for both languages.
        """
        shouted = self.shouts
        found = []
        for i, token in enumerate(self.tokens):
            value = 0.0 if "booster" in self.categories[i] else _valence(self.lower[i])
            if value:
                sign = math.copysign(1.0, value)
                value += sign * self.strength[i]
                if shouted and token.isupper() and len(token) > 1:
                    value += sign * CAPITALS
                if self.negated[i]:
                    value *= NEGATED
            found.append(value)
        return self._weighed_by_but(found)

    @property
    def shouts(self) -> bool:
        """Some words, but not all, are in capitals."""
        upper = [t.isupper() for t in self.tokens if len(t) > 1 and _LETTERS.search(t)]
        return any(upper) and not all(upper)

    def _weighed_by_but(self, values: list[float]) -> list[float]:
        turn = next((i for i, t in enumerate(self.lower) if t in ("but", "但是", "但", "可是", "不过")), None)
        if turn is None:
            return values
        return [v * (BEFORE_BUT if i < turn else AFTER_BUT) for i, v in enumerate(values)]

    @cached_property
    def compound(self) -> float:
        """VADER's normalised sum of valences, -1 to 1, exclamation marks included."""
        total = math.fsum(self.valences)
        if total:
            marks = min(self.text.count("!"), MOST_EXCLAMATIONS)
            total += math.copysign(marks * EXCLAMATION, total)
        return total / math.sqrt(total * total + SATURATION)
