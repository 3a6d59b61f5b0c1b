"""HTML that came along with a text: tags taken out, character references read."""

import re
from html import unescape

# Only what HTML calls so: <3, <sigh> and "a<b and c>d" are words of their writer.
_INLINE = (
    "a|abbr|acronym|b|bdi|bdo|big|cite|code|del|dfn|em|font|i|ins|kbd|mark|q|s"
    "|samp|small|span|strike|strong|sub|sup|tt|u|var|wbr"
)
_BLOCK = (
    "address|article|aside|audio|blockquote|body|br|button|caption|center|col|colgroup|dd|details|div|dl|dt|fieldset|"
    "figcaption|figure|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|label|legend|li|link|main|meta|nav|"
    "noscript|ol|option|p|picture|pre|section|select|source|summary|svg|table|tbody|td|textarea|tfoot|th|thead|title|"
    "tr|ul|video"
)
_VALUE = r"""(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+)"""
_TAG = r"</?(?:{})(?:\s+[\w:-]+\s*=\s*" + _VALUE + r")*\s*/?>"
_INLINE_TAG = re.compile(_TAG.format(_INLINE), re.IGNORECASE)
_BLOCK_TAG = re.compile(_TAG.format(_BLOCK) + r"|<!doctype\b[^<>]*>", re.IGNORECASE)

# Not by one pattern: an opening without its end would be searched for from every other opening.
_HIDDEN = (("<!--", "-->"), ("<![cdata[", "]]>"), ("<script", "</script>"), ("<style", "</style>"))


def plain_text(text: str) -> str:
    """Text without HTML tags, comments, scripts and styles, its character references read.

    A tag within a word (``un<b>happy</b>``) leaves the word whole; one that begins a new line or cell leaves a space.
    References are read twice, as texts that were escaped twice are common.
    """
    for _ in range(2):
        if "<" in text:
            text = _without_tags(text)
        if "&" not in text:
            break
        text = unescape(text)
    return _without_tags(text) if "<" in text else text


def _without_tags(text: str) -> str:
    for opening, closing in _HIDDEN:
        text = _cut_out(text, opening, closing)
    return _BLOCK_TAG.sub(" ", _INLINE_TAG.sub("", text))


def _cut_out(text: str, opening: str, closing: str) -> str:
    folded = text.lower()
    if opening not in folded or len(folded) != len(text):
        return text
    parts, at = [], 0
    while (start := folded.find(opening, at)) >= 0 and (end := folded.find(closing, start)) >= 0:
        parts.append(text[at:start])
        at = end + len(closing)
    return " ".join([*parts, text[at:]])
