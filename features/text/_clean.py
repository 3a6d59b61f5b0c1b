"""What every text extractor does first: mended encodings, one form for links and handles, single spaces."""

import re
from collections.abc import Sequence

from affectlake.data.errors import NotApplicable
from affectlake.features.inputs import Request

LINK = "http"
HANDLE = "@user"

# Part of every text extractor's parameters: raise it with any change below that alters a cleaned text.
CLEANING = 1

_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
# Not inside a word or an address (a@b.c), as on the platforms themselves.
_HANDLE = re.compile(r"(?<![\w@.])@\w{1,50}", re.ASCII)


def clean(text: str) -> str:
    """Text with mojibake, Windows-1252 controls and curly quotes mended (ftfy), links and handles made alike.

    Links become ``http`` and handles ``@user``, so that a text is not known by whom it names; runs of white space
    become one space. Full-width punctuation becomes ASCII, so that Chinese and English marks are counted alike.
    """
    from ftfy import fix_text

    # A lone surrogate cannot be encoded by any tokenizer.
    text = fix_text(text.encode("utf-8", "replace").decode("utf-8"))
    return " ".join(_HANDLE.sub(HANDLE, _LINK.sub(LINK, text)).split())


def cleaned(batch: Sequence[Request]) -> list[str | NotApplicable]:
    """Cleaned text per request, or NotApplicable for one that says nothing."""
    return [clean(request.text) or NotApplicable("empty text") for request in batch]
