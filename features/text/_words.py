"""The lexicons: our own words by category in English and Chinese, and VADER's valences (Hutto & Gilbert 2014).

``words.tsv`` is written for this project from common knowledge; VADER's list (MIT) is read from its own package.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

OWN = Path(__file__).with_name("words.tsv")
PACKAGE = "vaderSentiment"
LONGEST_PHRASE = 5

EMOTIONS = ("joy", "love", "sadness", "anger", "fear", "surprise", "disgust")


def files() -> tuple[Path, ...]:
    """Lexicon files, ours and VADER's; raises FileNotFoundError."""
    return OWN, _vader()


def _vader() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {PACKAGE} is not installed")
    return Path(spec.origin).with_name("vader_lexicon.txt")


@dataclass(frozen=True)
class Words:
    """Words in lower case; a phrase's words are joined by underscores.

    Attributes
    ----------
    categories : mapping of str to frozenset of str
        What a word means or does (joy, negation, greeting, …).
    stems : mapping of str to frozenset of str
        The same for beginnings of words that stand for any ending.
    valences, stem_valences : mapping of str to float
        From -4 (very negative) to 4 (very positive).
    """

    categories: Mapping[str, frozenset[str]]
    stems: Mapping[str, frozenset[str]]
    valences: Mapping[str, float]
    stem_valences: Mapping[str, float]

    def of(self, word: str) -> frozenset[str]:
        """Categories of a word or phrase; empty for an unknown one."""
        found = self.categories.get(word, frozenset())
        for stem in _beginnings(word):
            found |= self.stems.get(stem, frozenset())
        return found

    def valence(self, word: str) -> float:
        """-4 to 4, 0 for an unknown word: the word itself first, then the longest known beginning."""
        if word in self.valences:
            return self.valences[word]
        return next((self.stem_valences[s] for s in _beginnings(word) if s in self.stem_valences), 0.0)


def _beginnings(word: str) -> Iterator[str]:
    return (word[:end] for end in range(len(word), 2, -1))


@cache
def words() -> Words:
    """Both lexicons, read once per process."""
    categories: dict[str, set[str]] = {}
    stems: dict[str, set[str]] = {}
    valences: dict[str, float] = {}
    stem_valences: dict[str, float] = {}
    for category, valence, entry in _rows():
        ends = entry.endswith("*")
        word = entry.rstrip("*")
        (stems if ends else categories).setdefault(word, set()).add(category)
        if valence:
            (stem_valences if ends else valences).setdefault(word, valence)
    for line in _vader().read_text(encoding="utf-8").splitlines():
        word, valence = line.split("\t")[:2]
        # People rated VADER's words one by one, ours share their category's value.
        valences[word] = float(valence)
    frozen = ({w: frozenset(c) for w, c in group.items()} for group in (categories, stems))
    return Words(*frozen, valences, stem_valences)


def _rows() -> Iterator[tuple[str, float, str]]:
    for line in OWN.read_text(encoding="utf-8").splitlines()[1:]:
        language, category, valence, entries = line.split("\t")
        for entry in entries.split():
            yield category, float(valence), chr(int(entry[2:], 16)) if language == "emoji" else entry


@cache
def han_words() -> frozenset[str]:
    """The Chinese words, for cutting unspaced text."""
    return frozenset(w for w in words().categories if "\u4e00" <= w[0] <= "\u9fff")
