"""An utterance read with the lexicons: what each token means, what negates it, and how strongly it is put."""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain

from affectlake.features.text._idioms import affirmed, phrases
from affectlake.features.text._tokens import spelled, tokens
from affectlake.features.text._valence import AFTER, compound, valences
from affectlake.features.text._words import GROUPS, words

REACH = 3  # tokens before a word that may negate or strengthen it
BOOST, FADE = 0.293, 0.05  # a booster's weight and what it loses per token of distance

_END = frozenset(".!?;…") | {"...", "!!", "??"}
_ANSWERS = ("no", "nope", "nah", "不", "没有", "没", "冇")
_NEVER = ("never", "从来没有", "从来没", "从未", "从没")
_SO = frozenset({"so", "this", "such", "这么", "如此", "那么", "这样"})
_MEANING = frozenset(GROUPS)
_AFFIRMING = frozenset({"idiom", "certainty"})
_SAYING = _MEANING | _AFFIRMING | {"dampener"}

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
        return tokens(self.spelled)

    @cached_property
    def spelled(self) -> str:
        return spelled(self.text)

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
        """What each token means; 好 before a feeling and 死了 after it say how strong it is, and nothing else."""
        found = [_categories(t) for t in self.lower]
        for i, word in enumerate(self.lower):
            if word == "好" and any(map(_valence, self.lower[i + 1 : i + 2])):
                found[i] = frozenset({"booster"})
            if word in AFTER and any(map(_valence, self.lower[max(0, i - 1) : i])):
                found[i] = frozenset({"booster"})
        return found

    @cached_property
    def hits(self) -> list[tuple[int, frozenset[str]]]:
        """(position, categories) of every known word, and of every known phrase at its first word.

        What a phrase means its words do not mean once more: there is nothing kind in "kind of".
        """
        found = list(self._phrases)
        saying = [range(first, end) for first, end, categories in found if not categories.isdisjoint(_SAYING)]
        within = set(chain.from_iterable(saying))
        alone = [(at, c - _MEANING if at in within else c) for at, c in enumerate(self.categories)]
        return [(at, c) for at, c in alone if c] + [(first, categories) for first, _, categories in found]

    @cached_property
    def _phrases(self) -> list[tuple[int, int, frozenset[str]]]:
        return list(phrases(self.lower))

    @cached_property
    def negated(self) -> list[bool]:
        """Whether one of the three tokens before says no, in the same sentence."""
        says_no = self._says_no
        return [
            any(says_no[at] for at in range(max(0, i - REACH), i) if not _END.intersection(self.tokens[at:i]))
            or (self.lower[i - 1 : i] == ["least"] and self.lower[max(0, i - 2)] not in ("at", "very"))
            for i in range(len(says_no))
        ]

    @cached_property
    def _says_no(self) -> list[bool]:
        idioms = affirmed(self.lower, _AFFIRMING)
        return [
            i not in idioms
            and ("negation" in categories or word.endswith("n't"))
            and not (word in _NEVER and _SO.intersection(self.lower[i + 1 : i + 3]))
            and not (word in _ANSWERS and self.tokens[i + 1 : i + 2] and self.tokens[i + 1][0] in ",.!;")
            for i, (word, categories) in enumerate(zip(self.lower, self.categories, strict=True))
        ]

    @cached_property
    def strength(self) -> list[float]:
        """What boosters (> 0) and dampeners (< 0) among the three tokens before add to a word's valence."""
        degrees = [("booster" in c) - ("dampener" in c) for c in self.categories]
        for first, end, categories in self._phrases:
            if "dampener" in categories:
                degrees[first:end] = [0] * (end - first - 1) + [-1]
        return [
            sum(BOOST * (1 - FADE * (distance - 1)) * degrees[i - distance] for distance in range(1, min(REACH, i) + 1))
            for i in range(len(self.tokens))
        ]

    def count(self, category: str) -> int:
        return sum(category in found for _, found in self.hits)

    @cached_property
    def felt(self) -> list[tuple[str, float]]:
        """(word, valence) as VADER parts a text into words, about -5 to 5; 0 for a word of none."""
        return valences(self.spelled, _plain)

    @cached_property
    def valences(self) -> list[float]:
        return [value for _, value in self.felt]

    @cached_property
    def compound(self) -> float:
        """VADER's normalised sum of valences, -1 to 1, exclamation and question marks included."""
        return compound(self.valences, self.text)
