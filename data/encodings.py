"""Bytes of text files: which encoding they are in, told by what comes out, or by whoever wrote them."""

import codecs
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from affectlake.data._languages import Language, languages
from affectlake.data.errors import BadManifest

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as the one of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
_WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")

# In the order in which equal results are named: what Windows writes first.
_CANDIDATES = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp874"),
    *("gb18030", "big5", "cp950", "big5hkscs", "cp932", "euc_jp", "cp949"),
    *("koi8_r", "koi8_u", "cp866", "mac_roman", "mac_cyrillic", "mac_latin2", "cp850", "cp852"),
    *("iso8859_2", "iso8859_5", "iso8859_7", "iso8859_9", "iso8859_13", "iso8859_15"),
)
_KNOWN_AS = {"cp949": "euc_kr", "cp932": "shift_jis", "gb18030": "gbk"}  # the names that people know
_RARE = {"mac_cyrillic": 0.1, "mac_roman": 0.1, "mac_latin2": 0.15, "cp850": 0.1, "cp852": 0.15} | dict.fromkeys(
    ("iso8859_2", "iso8859_5", "iso8859_7", "iso8859_9", "iso8859_13", "iso8859_15"), 0.05
)
_REJECTED = 0.15
_NO_TEXT = ("Cc", "Cn", "Co", "Cs")

_SAMPLE = 1 << 16  # bytes that are looked at
_MARGIN = 0.08
_ENOUGH = 0.9
_SOME = 0.6

_PUNCTUATION = frozenset("“”‘’„‚«»‹›–—…·•°€£©®™§´¿¡\xa0№×÷½¼¾²³µ¨")
_WIDE_PUNCTUATION = frozenset("，。、！？：；（）「」『』【】《》〈〉〔〕“”‘’…—～・ー々〜　·％＋－＝／＆＃＠①②③④⑤")
_LINE = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_JAPANESE_ESCAPE = re.compile(rb"\x1b\$[@B].*?\x1b\([BJ]", re.DOTALL)


@dataclass(frozen=True)
class Text:
    """Text of a file, and the encoding that it was read in as Python calls it."""

    text: str
    encoding: str


def decode(raw: bytes, path: str | Path = "", encoding: str | None = None) -> str:
    r"""Text alone, see `read_text`.

    >>> decode(b"it\x92s caf\xc3\xa9")
    'it’s café'
    """
    return read_text(raw, path, encoding).text


def read_text(raw: bytes, path: str | Path = "", encoding: str | None = None) -> Text:
    """Text of a file's bytes.

    In turn: the encoding that is named; a byte-order mark; UTF-16 or UTF-32 without one; UTF-8, in which a few stray
    bytes are Windows-1252; else the one of some thirty encodings in which the text looks like a language.

    Raises
    ------
    BadManifest
        No text, or not in the encoding that is named, or in one that cannot be told: names those it might be.
    """
    if encoding is not None:
        return _as_told(raw, path, encoding)
    for mark, name in _MARKS:
        if raw.startswith(mark):
            body = raw[len(mark) :]
            return Text(
                body.decode("utf-8", "affectlake.cp1252") if name == "utf-8" else _strict(body, name, path), name
            )
    if b"\0" in raw:
        return _wide(raw, path)
    if _JAPANESE_ESCAPE.search(raw) and (text := _try(raw, "iso2022_jp")) is not None:
        return Text(text, "iso2022_jp")
    try:
        return Text(raw.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        pass
    lines = _telling(raw)
    if _mostly_utf8(lines):
        return Text(raw.decode("utf-8", "affectlake.cp1252"), "utf-8")
    return _looked_at(raw, lines, path)


def known(encoding: str) -> str:
    """Python's name of an encoding of text.

    Raises
    ------
    BadManifest
        There is none of that name.
    """
    try:
        found = codecs.lookup(encoding.strip())
        if found._is_text_encoding:
            return found.name
    except (LookupError, ValueError):
        pass
    usual = ("utf-8", "utf-16", *_KNOWN_AS.values(), *_CANDIDATES)
    near = get_close_matches(encoding.lower().replace("-", "_"), usual, n=1, cutoff=0.5)
    hint = f", did you mean {near[0]!r}?" if near else ","
    raise BadManifest(f"unknown encoding {encoding!r}{hint} usual ones: {', '.join(usual[:16])}")


def _as_told(raw: bytes, path: str | Path, encoding: str) -> Text:
    name = known(encoding)
    # The names on the left stand for tables that Windows has since extended.
    wider = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "iso8859-1": "cp1252"}
    text = _try(raw, wider.get(name, name))
    if text is None:
        text = _strict(raw, name, path)
    return Text(text.removeprefix("\ufeff"), name)


def _strict(raw: bytes, name: str, path: str | Path) -> str:
    try:
        return raw.decode(name)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        bad = raw[error.start : error.end].hex(" ")
        raise BadManifest(
            f"{path} is not in {name}: bytes {bad} in line {line}; name its encoding by --encoding"
        ) from None


def _try(raw: bytes, name: str) -> str | None:
    try:
        return raw.decode(name)
    except UnicodeDecodeError:
        return None


def _wide(raw: bytes, path: str | Path) -> Text:
    """UTF-16 or UTF-32 without a mark: the one of four in which nothing is strange and some is ASCII."""
    for name in reversed(_WIDE):
        text = _try(raw[: _SAMPLE * 4], name)
        strange = any(unicodedata.category(c) in _NO_TEXT and c not in "\t\r\n" for c in set(text or ""))
        if text and not strange and any(c in "\n\r,;\t" for c in text):
            return Text(_strict(raw, name, path), name)
    raise BadManifest(f"{path} is not a text file (it holds NUL bytes)")


def _telling(raw: bytes) -> bytes:
    """The first lines that are not ASCII."""
    some, size = [], 0
    for match in _LINE.finditer(raw):
        some.append(match[0])
        size += len(match[0])
        if size > _SAMPLE:
            break
    return b"\n".join(some)


def _mostly_utf8(lines: bytes, strays: float = 1.0) -> bool:
    """Whether what is UTF-8 says something, and there are at most so many bytes that are not to each of its letters."""
    text = lines.decode("utf-8", "affectlake.count")
    letters = [c for c in text if c > "\x7f" and c != _STRAY]
    found = text.count(_STRAY)
    if not letters or found > strays * len(letters):
        return False
    # Three and more bytes to a letter do not happen by chance; two do, in the Japanese of EUC throughout.
    if found <= sum(c > "\u07ff" for c in letters):
        return True
    plain = "".join(c for c in text if not "\x7f" < c < "\xa0" and c != _STRAY)
    return plain.isascii() or _best(plain, "utf-8")[0] > _SOME


_STRAY = "\udcff"


def _as_cp1252(error: UnicodeError) -> tuple[str, int]:
    """Decode what is not UTF-8 by itself: a few pasted bytes in a file that is."""
    assert isinstance(error, UnicodeDecodeError)
    bad = error.object[error.start : error.end]
    return bad.decode("cp1252", errors="replace"), error.end


def _as_mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return _STRAY * (error.end - error.start), error.end


codecs.register_error("affectlake.cp1252", _as_cp1252)
codecs.register_error("affectlake.count", _as_mark)


def _looked_at(raw: bytes, lines: bytes, path: str | Path) -> Text:
    """The encoding whose text looks like a language, where no other text looks nearly as much like one."""
    chaos = _chaos(lines)
    judged: dict[str, tuple[float, str, str]] = {}
    names: dict[str, list[str]] = {}  # several encodings may say the same, of these lines
    for name in _CANDIDATES:
        text = _try(lines, name)
        if text is None:
            continue
        score, language = _best(text, name)
        score -= _RARE.get(name, 0.0) + chaos.get(name, _REJECTED)
        first = names.setdefault(text, [])
        first.append(name)
        judged[text] = max(judged.get(text, (-9.0, "", "")), (score, first[0], language), key=lambda j: j[0])
    ranked = sorted(judged.values(), key=lambda j: -j[0])
    if ranked and ranked[0][0] >= _ENOUGH and (len(ranked) == 1 or ranked[0][0] - ranked[1][0] >= _MARGIN):
        alike = next(some for text, some in names.items() if judged[text] is ranked[0])
        for name in alike:
            if (whole := _try(raw, name)) is not None:
                return Text(whole, name)
    if _mostly_utf8(lines, strays=4):
        return Text(raw.decode("utf-8", "affectlake.cp1252"), "utf-8")
    close = [j for j in ranked if j[0] > max(0.5, ranked[0][0] - 3 * _MARGIN)] or ranked[:3]
    options = ", ".join(f"{_KNOWN_AS.get(name, name)} ({language})" for _, name, language in close[:4])
    raise BadManifest(
        f"{path} is not UTF-8, and its encoding cannot be told for sure; name it by --encoding"
        + (f"; it may be {options}" if options else "")
    )


def _chaos(lines: bytes) -> dict[str, float]:
    """How disorderly a detector finds the text of the encodings that it does not reject."""
    from charset_normalizer import from_bytes

    # Alone it is not enough: of short texts in Latin letters it says that several encodings fit equally.
    return {m.encoding: m.chaos / 2 for m in from_bytes(lines, cp_isolation=list(_CANDIDATES))}


def _best(text: str, encoding: str) -> tuple[float, str]:
    """How much like a language of that encoding a text looks, up to about 1.5, and like which."""
    letters = Counter(c for c in text if c > "\x7f")
    disorder = _disorder(text) / letters.total()
    words = Counter(w.lower().replace("’", "'") for w in _WORD.findall(text))
    able = (one for one in languages() if encoding in ("utf-8", *(one.encodings or (encoding,))))
    score, name = max((_like(one, letters, words), one.name) for one in able)
    return score - disorder, name


def _like(language: Language, letters: Counter[str], words: Counter[str]) -> float:
    total = letters.total()
    eastern = bool(language.usual) and not language.words
    marks = _WIDE_PUNCTUATION if eastern and language.name != "Thai" else _PUNCTUATION
    own = sum(n for c, n in letters.items() if c in language.letters)
    strange = total - own - sum(n for c, n in letters.items() if c in marks and c not in language.letters)
    explained = 1 - 3 * strange / total
    hits = sum(n for w, n in words.items() if w in language.words) / max(words.total(), 1)
    if language.usual:
        usual = sum(n for c, n in letters.items() if c in language.usual) / max(own, 1)
        # A letter or two are among the usual ones by chance.
        return explained + min(0.5, own / 8) * usual + min(0.3, hits) if own else explained - 0.5
    return explained + language.prior + min(0.5, 2 * hits)


def _disorder(text: str) -> int:
    """Characters at places where no language has them."""
    found = sum(
        len(pattern.findall(text)) for pattern in (_MIXED_CASE, _MIXED_SCRIPT, _MARK_IN_WORD, _MARKS_IN_A_ROW, _ALONE)
    )
    strange = sum(n for c, n in Counter(text).items() if c > "\x7f" and unicodedata.category(c) in _NO_TEXT)
    return found + 2 * strange


_UPPER = "A-ZÀ-ÖØ-ÞĄĆĘŁŃŚŹŻČĎĚŇŘŠŤŮŽŐŰĂȘŢĞİŞΑ-ΩА-ЯЁІЇЄҐЎ"
_LOWER = "a-zß-öø-ÿąćęłńśźżčďěňřšťůžőűășţğışα-ωάέήίόύώа-яёіїєґў"
_OTHER = "Ͱ-ԯא-ת؀-ۿ\u0e00-\u0e7f"
_MIXED_CASE = re.compile(f"(?<=[{_LOWER}])[{_UPPER}]")
_MIXED_SCRIPT = re.compile(
    f"(?<=[A-Za-zÀ-ɏ])[{_OTHER}\u3041-\u9fff\uac00-\ud7a3]|(?<=[{_OTHER}])[A-Za-zÀ-ɏ\u3041-\u9fff]"
)
_MARK_IN_WORD = re.compile(f"(?<=[A-Za-zÀ-ɏ{_OTHER}])[“„‚«‹•°€£©®§´¿¡№×÷½¼¾²³µ¨](?=[A-Za-zÀ-ɏ{_OTHER}])")
_MARKS_IN_A_ROW = re.compile("[“”‘’„‚«»‹›–—…·•°€£©®™§´¿¡№×÷½¼¾²³µ¨]{3,}")
_ALONE = re.compile(r"(?<![\w’'])[ÂÄËÎÏÑÕÙÛÜßâäëîïñõùûüÿŒœŠšŽžŸ](?![\w’'])")
