"""The lexicons: our own words by category in English and Chinese, and VADER's valences (Hutto & Gilbert 2014).

``words.tsv`` is written for this project from common knowledge; VADER's list (MIT) is read from its own package, the
table of Chinese characters from OpenCC's (Apache-2.0).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from affectlake.features._packages import module_folder

OWN = Path(__file__).with_name("words.tsv")
VADER, OPENCC = "vaderSentiment", "opencc"
LONGEST_PHRASE = 5

EMOTIONS = ("joy", "love", "sadness", "anger", "fear", "surprise", "disgust")
GROUPS = (*EMOTIONS, "positive", "negative")


def files() -> tuple[Path, ...]:
    """Files that decide how a word is read, ours, VADER's and OpenCC's; raises FileNotFoundError."""
    vader, chinese = module_folder(VADER), module_folder(OPENCC) / "clib" / "share" / "opencc"
    rules = [vader / name for name in ("vaderSentiment.py", "vader_lexicon.txt", "emoji_utf8_lexicon.txt")]
    return OWN, *rules, *(chinese / name for name in ("t2s.json", "TSPhrases.ocd2", "TSCharacters.ocd2"))


@dataclass(frozen=True)
class Words:
    """Words in lower case; a phrase's words are joined by underscores.

    Attributes
    ----------
    categories : mapping of str to frozenset of str
        What a word means or does (joy, negation, greeting, …).
    stems : mapping of str to frozenset of str
        The same for beginnings of words that stand for any ending.
    valences : mapping of str to float
        From -4 (very negative) to 4 (very positive); English words have VADER's.
    """

    categories: Mapping[str, frozenset[str]]
    stems: Mapping[str, frozenset[str]]
    valences: Mapping[str, float]

    def of(self, word: str) -> frozenset[str]:
        """Categories of a word or phrase; empty for an unknown one."""
        found = self.categories.get(word, frozenset())
        for stem in _beginnings(word):
            found |= self.stems.get(stem, frozenset())
        return found

    def valence(self, word: str) -> float:
        """-4 to 4, 0 for an unknown word."""
        return self.valences.get(word, 0.0)

    def knows(self, word: str) -> bool:
        return bool(self.valence(word) or self.of(word))


def _beginnings(word: str) -> Iterator[str]:
    return (word[:end] for end in range(len(word), 2, -1))


@cache
def words() -> Words:
    """Both lexicons, read once per process."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    categories: dict[str, set[str]] = {}
    stems: dict[str, set[str]] = {}
    ours: dict[str, float] = {}
    for language, category, valence, entry in _rows():
        (stems if entry.endswith("*") else categories).setdefault(entry.rstrip("*"), set()).add(category)
        # English words were rated one by one for VADER; ours would share their category's value.
        if valence and language != "en":
            ours.setdefault(entry, valence)
    vader = SentimentIntensityAnalyzer()
    for emoji, description in vader.emojis.items():
        described = sum(vader.lexicon.get(word.lower(), 0.0) for word in description.split())
        # Not where its description misleads: the heart of a broken one is worth more than its breaking.
        if described * ours.get(emoji, 0.0) > 0:
            ours[emoji] = described
    return Words(_frozen(categories), _frozen(stems), ours | vader.lexicon)


def _frozen(group: dict[str, set[str]]) -> dict[str, frozenset[str]]:
    return {word: frozenset(categories) for word, categories in group.items()}


def _rows() -> Iterator[tuple[str, str, float, str]]:
    for line in OWN.read_text(encoding="utf-8").splitlines()[1:]:
        language, category, valence, entries = line.split("\t")
        for entry in entries.split():
            yield language, category, float(valence), chr(int(entry[2:], 16)) if language == "emoji" else entry


@cache
def han_words() -> frozenset[str]:
    """The Chinese words, for cutting unspaced text."""
    return frozenset(w for w in words().categories if "\u3400" <= w[0] <= "\u9fff")
