"""Characters that look like others or like nothing, as the letters that a reader sees."""

import re
import unicodedata

# Soft hyphens, spaces of no width, marks of direction: they say how a line is set, not what it says.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\U000e0001]"
    "|(?<=[^\\W\\d_])[\ufe00-\ufe0f]"  # a variant of a letter; one of a digit may be an emoji
)
# Joiners of no width belong into words of Arabic and Indic scripts, and between emoji that are seen as one.
_JOINER = re.compile(
    "(?<![\u0600-\u1cff\ua800-\uabff\ufb50-\ufdff\ufe0f\u2190-\u2bff\U0001f000-\U0001faff])[\u200c\u200d]"
    "|[\u200c\u200d]+(?=\\s|$)"
)
# Letters that only look different: raised, letter-like, circled, mathematical. Not all that NFKC changes: it makes
# letters of the emoji for "trade mark" and "information", and a space of the acute.
_STYLED = re.compile(
    "[\u1d2c-\u1d6a\u2102\u210a-\u2113\u2115\u2119-\u211d\u2124\u2128\u212c\u212d\u212f-\u2134"
    "\u24b6-\u24c1\u24c3-\u24e9\U0001d400-\U0001d7ff\U0001f130-\U0001f149]+"
)
# Lines drawn through or under letters, and piles of three marks and more, which no language writes.
_DRAWN = re.compile("[\u0305\u0332-\u0338\u033f\u035e-\u0362]|[\u0300-\u036f]{3,}")

_LETTER = r"[^\W\d_]"
_QUOTES = "'`\u00b4\u02b9\u02bb\u02bc\u02bd\u02c8\u02ca\u02cb\u2018\u2019\u201b\u2032\u2035\u055a\ua78c\uff07"
_APOSTROPHE = re.compile(rf"(?<={_LETTER})\\?[{_QUOTES}]+(?={_LETTER})")
# Where an encoding lost it, as in "don?t".
_LOST = re.compile(
    r"\b((?:ai|are|ca|could|did|do|does|had|has|have|is|might|must|need|should|was|were|wo|would)n(?=.t)"
    r"|i|you|we|they|he|she|it|that|there|what|who|let)[?\ufffd](t|s|m|d|re|ve|ll)\b",
    re.IGNORECASE,
)


def as_read(text: str) -> str:
    """Text in composed letters (NFC), without what is not seen, its apostrophes ``'``."""
    text = _JOINER.sub("", _UNSEEN.sub("", text))
    if _DRAWN.search(text := unicodedata.normalize("NFD", text)):
        text = _DRAWN.sub("", text)
    text = _STYLED.sub(lambda found: unicodedata.normalize("NFKC", found[0]), unicodedata.normalize("NFC", text))
    return _LOST.sub(r"\1'\2", _APOSTROPHE.sub("'", text))
