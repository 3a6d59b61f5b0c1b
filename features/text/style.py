"""How an utterance is put: length, marks, capitals, drawn-out words, emoji, pronouns, speech acts, valence."""

import math
import re
from collections.abc import Callable

from affectlake.features.protocol import Column
from affectlake.features.text._reader import Feature, Reader
from affectlake.features.text._reading import Reading

INF = float("inf")
COUNT = "count in the cleaned text"
SHARE = "count over words"
VADER = "Hutto & Gilbert (2014), with our own words for Chinese"

_MARKS = {
    "exclamations": ("!", "Exclamation marks"),
    "questions": (r"\?", "Question marks"),
    "commas": (r"[,、;:]", "Commas, semicolons and colons"),
    "ellipses": (r"\.{2,}|…", "Trailing dots"),
    "dashes": (r"-{2,}|[\u2013\u2014]", "Dashes, as of a broken-off sentence"),
    "quotes": (r'["\u201c\u201d\u300c\u300d]', "Double quotation marks"),
    "mark_runs": (r"[!?]{2,}", "Runs of exclamation and question marks"),
    "interrobangs": (r"\?!|!\?", "Questions that exclaim"),
    "digits": (r"\d", "Digits"),
    "elongations": (r"([^\W\d_])\1{2,}", "Drawn-out letters (sooo)"),
    "links": (r"\bhttp\b", "Links"),
    "handles": (r"@user\b", "Handles"),
    "hashtags": (r"#\w", "Hashtags"),
    "asterisks": (r"\*\w[^*]*\*|\([^()]+\)", "Asides in asterisks or brackets"),
}
_PATTERNS = {name: re.compile(pattern) for name, (pattern, _) in _MARKS.items()}
_PICTURE = "[\u2600-\u27bf\u2b50\U0001f300-\U0001f3fa\U0001f400-\U0001f64f\U0001f680-\U0001f6ff\U0001f900-\U0001faff]"
_LOOK = "[\ufe0f\U0001f3fb-\U0001f3ff]*"
# A family or a flag is one, however many characters it is made of.
_EMOJI = re.compile(f"{_PICTURE}{_LOOK}(?:\u200d{_PICTURE}{_LOOK})*|[\U0001f1e6-\U0001f1ff]{{2}}")
_SMILE = re.compile(r"(?<!\w)(?:[:;=8][-'o^]?[)\]DpP3*]+|[xX]D+|\^[_.]?\^|<3)(?!\w)")
_FROWN = re.compile(r"(?<!\w)(?::'?[-o^]?[(\[/\\|]+|[T;]_+[T;]|-_+-|D:)(?!\w)")
_END = re.compile(r"[.!?。…]+")

_SHARES = {
    "first_person": "First person singular pronouns",
    "first_person_plural": "First person plural pronouns",
    "second_person": "Second person pronouns",
    "third_person": "Third person pronouns",
    "negation": "Negations",
    "booster": "Words that strengthen",
    "dampener": "Words that weaken",
    "contrast": "Words that contrast (but)",
}
_COUNTS = {
    "question_word": "Question words",
    "interjection": "Interjections",
    "hesitation": "Hesitations",
    "laughter": "Laughter",
    "greeting": "Greetings and farewells",
    "thanks": "Thanks",
    "apology": "Apologies",
    "agreement": "Agreement",
    "refusal": "Refusal",
    "swearing": "Swear words",
}


def _matches(pattern: re.Pattern[str]) -> Callable[[Reading], float]:
    return lambda reading: len(pattern.findall(reading.text))


def _share(category: str) -> Callable[[Reading], float]:
    return lambda reading: min(1.0, reading.count(category) / max(1, len(reading.words)))


def _total(category: str) -> Callable[[Reading], float]:
    return lambda reading: reading.count(category)


def _opens_with(category: str) -> Callable[[Reading], float]:
    return lambda reading: float(any(at == 0 and category in found for at, found in reading.hits))


def _mean_length(reading: Reading) -> float:
    return sum(map(len, reading.words)) / max(1, len(reading.words))


def _capitals(reading: Reading) -> float:
    letters = [c for c in reading.text if c.isalpha()]
    return sum(c.isupper() for c in letters) / max(1, len(letters))


def _shouted(reading: Reading) -> float:
    return sum(t.isupper() and sum(map(str.isalpha, t)) > 1 for t in reading.tokens)


def _types(reading: Reading) -> float:
    return len(set(reading.words)) / len(reading.words) if reading.words else math.nan


def _repeats(reading: Reading) -> float:
    return sum(a == b for a, b in zip(reading.words, reading.words[1:], strict=False))


def _sentences(reading: Reading) -> float:
    return max(1, sum(1 for part in _END.split(reading.text) if part.strip()))


def _count(name: str, what: str, value: Callable[[Reading], float]) -> Feature:
    return Column(name, "1", 0.0, INF, what, COUNT), value


def _features() -> list[Feature]:
    return [
        _count("chars", "Characters", lambda r: len(r.text)),
        _count("words", "Words", lambda r: len(r.words)),
        _count("sentences", "Sentences", _sentences),
        (Column("log_words", "1", 0.0, INF, "Length on a logarithmic scale", "ln(1 + words)"),
         lambda r: math.log1p(len(r.words))),
        (Column("word_length", "1", 0.0, INF, "Characters per word", "mean over words"), _mean_length),
        (Column("type_token_ratio", "1", 0.0, 1.0, "Distinct words over words", "Johnson (1944)"), _types),
        _count("repeats", "Words said twice in a row", _repeats),
        (Column("capitals", "1", 0.0, 1.0, "Share of capitals among letters", "count over letters"), _capitals),
        _count("shouted", "Words of two letters and more in capitals", _shouted),
        *(_count(name, what, _matches(_PATTERNS[name])) for name, (_, what) in _MARKS.items()),
        _count("emoji", "Emoji", _matches(_EMOJI)),
        _count("smiles", "Emoticons that smile", _matches(_SMILE)),
        _count("frowns", "Emoticons that frown", _matches(_FROWN)),
        (Column("asks", "1", 0.0, 1.0, "Whether the text ends as a question", COUNT),
         lambda r: float(r.text.rstrip("\"' ").endswith("?"))),
        (Column("exclaims", "1", 0.0, 1.0, "Whether the text ends as an exclamation", COUNT),
         lambda r: float(r.text.rstrip("\"' ").endswith("!"))),
        *((Column(n, "1", 0.0, 1.0, f"{what}, share of words", SHARE), _share(n)) for n, what in _SHARES.items()),
        *(_count(n, what, _total(n)) for n, what in _COUNTS.items()),
        *((Column(f"opens_{n}", "1", 0.0, 1.0, f"Whether the text opens with {what}", COUNT), _opens_with(n))
          for n, what in {"interjection": "an interjection", "agreement": "agreement", "refusal": "refusal",
                          "question_word": "a question word", "greeting": "a greeting"}.items()),
        (Column("valence", "1", -1.0, 1.0, "Valence of the text", VADER), lambda r: r.compound),
        (Column("valence_positive", "1", 0.0, INF, "Sum of its words' positive valences", VADER),
         lambda r: math.fsum(v for v in r.valences if v > 0)),
        (Column("valence_negative", "1", -INF, 0.0, "Sum of its words' negative valences", VADER),
         lambda r: math.fsum(v for v in r.valences if v < 0)),
    ]  # fmt: skip


class Style(Reader):
    """See `affectlake.features.protocol.Extractor`; reads English and Chinese, no learned weights."""

    name = "text.style"
    version = "2"
    features = tuple(_features())
    cost = 0.3
    summary = "Length, punctuation, capitals, emoji, pronouns, speech acts and valence of the utterance"


extractor = Style()
