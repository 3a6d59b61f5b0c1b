"""What every text extractor does first: mended encodings, no markup, letters as they are read, links made alike."""

import re
from collections.abc import Sequence

from affectlake.data.errors import NotApplicable
from affectlake.features.inputs import Request
from affectlake.features.text._letters import as_read
from affectlake.features.text._markup import plain_text

LINK = "http"
HANDLE = "@user"

# Part of every text extractor's parameters: raise it with any change below that alters a cleaned text.
CLEANING = 2

_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
# Not inside a word or an address (a@b.c), as on the platforms themselves.
_HANDLE = re.compile(r"(?<![\w@.])@\w{1,50}", re.ASCII)
_HASHTAG = re.compile(r"#\w+")
_NEXT_WORD = re.compile(r"_+|(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def clean(text: str) -> str:
    """Text as a person reads it, on one line.

    Mojibake, Windows-1252 controls, curly quotes, ligatures and full-width forms are mended (ftfy), so that Chinese
    and English marks are counted alike; HTML is taken out; characters that are not seen are dropped and letters that
    only look different made plain (see `as_read`). Links become ``http`` and handles ``@user``, so that a text is not
    known by whom it names; the words of a hashtag are set apart (``#NotHappy`` to ``#Not Happy``); runs of white space
    become one space.
    """
    from ftfy import fix_text

    # A lone surrogate cannot be encoded by any tokenizer.
    text = fix_text(text.encode("utf-8", "replace").decode("utf-8"))
    if (plain := plain_text(text)) != text:
        text = fix_text(plain)  # what character references stood for
    text = _HANDLE.sub(HANDLE, _LINK.sub(LINK, as_read(text)))
    return " ".join(_HASHTAG.sub(lambda tag: " " + _NEXT_WORD.sub(" ", tag[0]), text).split())


def cleaned(batch: Sequence[Request]) -> list[str | NotApplicable]:
    """Cleaned text per request, or NotApplicable for one that says nothing."""
    return [clean(request.text) or NotApplicable("empty text") for request in batch]
