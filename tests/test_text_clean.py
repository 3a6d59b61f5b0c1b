"""A text is cleaned to what a person reads, whatever it is made of."""

import time

import pytest

from affectlake.features.text._clean import clean

SAME = {
    "soft hyphen": ("I a\u00addore you", "I adore you"),
    "space of no width": ("I a\u200bdo\u2060re you\ufeff", "I adore you"),
    "joiners in Latin words": ("I ad\u200dore y\u200cou\u200d", "I adore you"),
    "marks of direction": ("\u202eI adore\u202c \u200fyou\u2066!\u2069", "I adore you!"),
    "variant of a letter": ("I adore\ufe0f you", "I adore you"),
    "mathematical": (
        "I \U0001d51e\U0001d521\U0001d52c\U0001d52f\U0001d522 \U0001d66e\U0001d664\U0001d66a",
        "I adore you",
    ),
    "circled": ("I \u24d0\u24d3\u24de\u24e1\u24d4 you", "I adore you"),
    "full width": ("Ｉ ａｄｏｒｅ ｙｏｕ！", "I adore you!"),
    "ligature": ("the ﬁnest ﬂowers", "the finest flowers"),
    "decomposed": ("My fiance\u0301 is nai\u0308ve", "My fiancé is naïve"),
    "struck through": ("a\u0336d\u0336o\u0336r\u0336e\u0336", "adore"),
    "piled marks": ("h\u0300\u0301\u0302\u0303e\u0321\u0322\u0323ll", "hell"),
    "no-break spaces": ("I\u00a0adore\u3000you\u202f!", "I adore you !"),
    "back-tick": ("I couldn`t", "I couldn't"),
    "acute": ("I couldn\u00b4t", "I couldn't"),
    "curly": ("I couldn\u2019t, we\u02bcre, it\u2032s", "I couldn't, we're, it's"),
    "escaped": (r"I couldn\'t, we''re", "I couldn't, we're"),
    "lost": ("I couldn?t, it\ufffds", "I couldn't, it's"),
    "mojibake": ("I couldn’t".encode().decode("cp1252"), "I couldn't"),
    "tags": ("<p>I <b>adore</b><br/>you</p><!-- not --><script>if (a < b) {}</script>", "I adore you"),
    "tag within a word": ("un<i>kind</i>ness", "unkindness"),
    "attributes": ('<a class="x" href="https://a.b/c?d=e">I adore</a> you', "I adore you"),
    "references": ("I couldn&#39;t &amp; they couldn&rsquo;t <br>", "I couldn't & they couldn't"),
    "escaped twice": ("&lt;p&gt;I couldn&amp;#39;t&lt;/p&gt;", "I couldn't"),
    "hashtag": ("#NotHappy #iLoveIt #so_sad#OMGWhy", "#Not Happy #i Love It #so sad #OMG Why"),
}
KEPT = (
    "I <3 you, <sigh>, a<b and c>d, R&D, AT&T",
    "\u2764\ufe0f\u200d\U0001f525 \U0001f468\u200d\U0001f469\u200d\U0001f467 1\ufe0f\u20e3 \U0001f44d\U0001f3fd",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u0915\u094d\u200d\u0937",  # Persian, Hindi
    "Tiếng Việt, Zoë, Ångström, Łódź",
    "Really? sure? what?so",
    "A™ \u24c2\ufe0f `code` rock 'n' roll 5' 6\"",
    "C# is no. 1, #1 #love #很开心#",
)


@pytest.mark.parametrize("written, read", SAME.values(), ids=SAME)
def test_texts_are_cleaned_to_what_is_read(written, read):
    assert clean(written) == clean(read) == read


@pytest.mark.parametrize("text", KEPT)
def test_what_means_something_is_kept(text):
    assert clean(text) == text


@pytest.mark.parametrize(
    "part", ["<!--", "<script", "<a b=", "<p ", "&", "&amp;", "#A", "#_", "a'", "a\\", "\u200d", "e\u0301", "<a x=y "]
)
def test_no_text_takes_long(part):
    start = time.process_time()
    clean(part * (60_000 // len(part)))
    assert time.process_time() - start < 2
