"""Words, marks and emoji of an utterance, in English and in Chinese, without downloaded data."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from affectlake.features.text._words import han_words, words

HAN = re.compile(r"[\u3400-\u9fff]")

# Variation selectors and skin tones change how an emoji looks, not what it says.
_LOOKS = re.compile("[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
_JOINER = re.compile("(?<=[\u2190-\u2bff\U0001f000-\U0001faff])\u200d")
_HASHTAG = re.compile(r"#(\w+)")
_TAG_OPENERS = ("not", "never", "no", "so", "too", "very", "really", "super", "feeling", "feel", "im", "iam")


@cache
def _tokenizer() -> Any:
    from nltk.tokenize import TweetTokenizer

    return TweetTokenizer()


@cache
def _simplifier() -> Any:
    from opencc import OpenCC

    return OpenCC("t2s")


def spelled(text: str) -> str:
    """A cleaned text as the word lists spell it: hashtags as words, emoji apart, Chinese in simplified characters."""
    text = _JOINER.sub(" ", _LOOKS.sub("", text))
    text = _HASHTAG.sub(lambda found: _tag(found[1]), text)
    return _simplifier().convert(text) if HAN.search(text) else text


def _tag(tag: str) -> str:
    """``nothappy`` to ``not happy``, where the lists know the one and not the other."""
    folded = tag.lower()
    for opener in () if words().knows(folded) else _TAG_OPENERS:
        rest = _tag(tag[len(opener) :]) if folded.startswith(opener) else ""
        if words().valence(rest.split(" ")[-1].lower()):
            return f"{tag[: len(opener)]} {rest}"
    return tag


def tokens(text: str) -> list[str]:
    """Tokens of a `spelled` text in order: NLTK's for tweets; runs of Chinese by longest match in our word list."""
    found: list[str] = []
    for token in _tokenizer().tokenize(text):
        found += cut(token) if HAN.search(token) else [token]
    return found


def cut(run: str) -> Iterator[str]:
    """Words of unspaced Chinese, by longest match."""
    known = han_words()
    longest = max(map(len, known))
    start = 0
    while start < len(run):
        length = next((n for n in range(longest, 1, -1) if run[start : start + n] in known), 1)
        yield run[start : start + length]
        start += length
