"""Words, marks and emoji of an utterance, in English and in Chinese, without downloaded data."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from affectlake.features.text._words import han_words

HAN = re.compile(r"[\u3400-\u9fff]")

# Variation selectors and skin tones change how an emoji looks, not what it says.
_LOOKS = re.compile("[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")


@cache
def _tokenizer() -> Any:
    from nltk.tokenize import TweetTokenizer

    return TweetTokenizer()


def tokens(text: str) -> list[str]:
    """Tokens of a cleaned text in order: NLTK's for tweets; runs of Chinese by longest match in our word list."""
    found: list[str] = []
    for token in _tokenizer().tokenize(_LOOKS.sub("", text)):
        found += _cut(token) if HAN.search(token) else [token]
    return found


def _cut(run: str) -> Iterator[str]:
    known = han_words()
    longest = max(map(len, known))
    start = 0
    while start < len(run):
        length = next((n for n in range(longest, 1, -1) if run[start : start + n] in known), 1)
        yield run[start : start + length]
        start += length
