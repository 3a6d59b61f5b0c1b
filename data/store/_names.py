"""Whose traces are looked for, and what counts as one: whole values in structured data, whole words in sentences.

A short name such as ``1`` means nobody outside of a column of speakers or ids, and is no trace in a sentence unless it
stands alone in a list there.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from affectlake.data.store._identity import Identity

SAMPLE, SPEAKER, FILE, ANY = "sample", "speaker", "file", "any"

_KINDS = {
    SAMPLE: {"sample_id", "sample", "samples", "id", "ids", "was", "added", "removed", "changed", "new"},
    FILE: {"uri", "from", "to", "path", "file", "audio", "image", "video"},
}
_PEOPLE = re.compile(r"speaker|listener|interlocutor|partner|actor|participant|subject", re.IGNORECASE)
_LISTED = re.compile(r"[(),;=~|\[\]\n]|: |: ?$|such as | and ")
_WORD = re.compile(r"\w[\w.\-]*")
_MARKS = "\"'`()[]{}<>,;:.!?*|"


@dataclass(frozen=True)
class ErasureTarget:
    """Whom to erase.

    Attributes
    ----------
    ids : frozenset of str
        Of samples, in any version.
    speakers : frozenset of str
        As far as nobody else is called so.
    files : frozenset of str
        URIs that only they have, and names of files that nobody else's has.
    content : frozenset of str
        What their media are, see `_tombstones`.
    """

    ids: frozenset[str]
    speakers: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    content: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, list[str]]:
        return {k: sorted(v) for k, v in vars(self).items()}

    @classmethod
    def of_json(cls, about: dict[str, list[str]]) -> "ErasureTarget":
        return cls(**{k: frozenset(v) for k, v in about.items()})

    def __or__(self, other: "ErasureTarget") -> "ErasureTarget":
        return ErasureTarget(**{k: v | getattr(other, k) for k, v in vars(self).items()})


class Traces(Protocol):
    """Tells names that are looked for."""

    def named(self, kind: str, value: str) -> bool:
        """Whether a whole value is one of the names of a kind; with `ANY`, an id or a file that is distinctive."""
        ...

    def worded(self, word: str) -> bool:
        """Whether a word of a sentence is a distinctive name."""
        ...

    def listed(self, item: str) -> bool:
        """Whether an item of a list in a sentence is a name."""
        ...

    def phrased(self, text: str) -> bool:
        """Whether a distinctive name of several words, which no word of a sentence can be, is in it."""
        ...


class Plain:
    """Traces by the names themselves."""

    def __init__(self, target: ErasureTarget):
        self.target = target
        self._of = {SAMPLE: target.ids, SPEAKER: target.speakers, FILE: target.files}
        everything = target.ids | target.speakers | target.files
        self._all = everything
        self._distinctive = {n for n in everything if distinctive(n)}
        self._values = {n for n in target.ids | target.files if distinctive(n)}
        self._phrases = sorted(n for n in self._distinctive if len(n.split()) > 1)

    def named(self, kind: str, value: str) -> bool:
        return value in self._of.get(kind, ()) or value in self._values

    def worded(self, word: str) -> bool:
        return word in self._distinctive

    def listed(self, item: str) -> bool:
        return item in self._all

    def phrased(self, text: str) -> bool:
        return any(re.search(rf"(?<!\w){re.escape(p)}(?!\w)", text) for p in self._phrases)


class Hashed:
    """Traces by the hashes of a receipt, which names nobody. In sentences, names of up to four words are found."""

    def __init__(self, identity: Identity, dataset: str, hashes: dict[str, list[str]]):
        self.identity, self._dataset = identity, dataset
        self._of = {kind: frozenset(found) for kind, found in hashes.items()}
        self._seen: dict[tuple[str, str], bool] = {}

    def _is(self, kind: str, value: str) -> bool:
        key = kind, value
        if key not in self._seen:
            wanted = self._of.get(kind, frozenset())
            self._seen[key] = bool(wanted) and self.identity.hashed(kind, self._dataset, value) in wanted
        return self._seen[key]

    @property
    def kinds(self) -> set[str]:
        """Kinds of names that there are hashes of."""
        return set(self._of)

    def named_in(self, kind: str, values: Iterable[str]) -> set[str]:
        """Those of some values that are names of a kind."""
        wanted = self._of.get(kind)
        return {v for v in values if self.identity.hashed(kind, self._dataset, v) in wanted} if wanted else set()

    def named(self, kind: str, value: str) -> bool:
        if kind != ANY and self._is(kind, value):
            return True
        return distinctive(value) and (self._is(SAMPLE, value) or self._is(FILE, value))

    def worded(self, word: str) -> bool:
        return distinctive(word) and self.listed(word)

    def listed(self, item: str) -> bool:
        return any(self._is(kind, item) for kind in (SAMPLE, SPEAKER, FILE))

    def phrased(self, text: str) -> bool:
        words = [word.strip(_MARKS) for word in text.split()]
        return any(self.worded(" ".join(words[i : i + n])) for n in (2, 3, 4) for i in range(len(words) - n + 1))


def distinctive(name: str) -> bool:
    """Whether a name tells somebody wherever it stands: not ``1``, ``12`` or ``a``."""
    return len(name) >= (5 if name.isdigit() else 2 if any(c.isdigit() for c in name) else 3)


def kind_of(key: str | None) -> str:
    """What kind of names the values of a column, or below a key, are."""
    if key is None:
        return ANY
    if _PEOPLE.search(key):
        return SPEAKER
    return next((kind for kind, keys in _KINDS.items() if key in keys), ANY)


def says(text: str, traces: Traces) -> bool:
    """Whether a sentence names one of them."""
    plain = re.sub(r"\\([\\`*_\[\]<>|])", r"\1", text)  # names in Markdown are escaped
    if any(traces.listed(item.strip(" .-#")) for item in _LISTED.split(plain)):
        return True
    if any(traces.worded(word) for word in _words(plain)):
        return True
    return traces.phrased(plain)


def tells(text: str, traces: Traces) -> bool:
    """Whether a sentence holds a distinctive name: a label such as ``1`` or ``1, 2`` is none."""
    return _is_sentence(text) and (any(traces.worded(word) for word in _words(text)) or traces.phrased(text))


def _words(text: str) -> Iterator[str]:
    for piece in text.split():
        bare = piece.strip(_MARKS)
        yield bare
        yield from bare.split("/")
        for match in _WORD.finditer(bare):
            word = match[0].rstrip(".-")
            yield word
            yield word.rsplit(".", 1)[0]


def holds(value: Any, traces: Traces, key: str | None = None) -> bool:
    """Whether anything in a JSON-like value names one of them."""
    if isinstance(value, dict):
        # Keys are names in tables by speaker, and words of ours everywhere else.
        people = kind_of(key) == SPEAKER
        return any((people and traces.named(SPEAKER, str(k))) or holds(v, traces, str(k)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return any(holds(v, traces, key) for v in value)
    if not isinstance(value, str):
        return False
    return traces.named(kind_of(key), value) or (_is_sentence(value) and _holds_text(value, traces))


def _is_sentence(value: str) -> bool:
    return any(c.isspace() for c in value) or value[:1] in ("{", "[") or "/" in value


def _holds_text(value: str, traces: Traces) -> bool:
    inner = unpacked(value)
    return says(value, traces) if inner is None else holds(inner, traces)


def unpacked(value: str) -> Any | None:
    """The JSON that a text holds; None for other texts."""
    if value[:1] not in ("{", "[", '"'):
        return None
    try:
        return json.loads(value)
    except ValueError:
        return None


def scrubbed(value: Any, traces: Traces, key: str | None = None) -> Any:
    """A JSON-like value without them: entries of lists that are about them go, lines that name them too."""
    if isinstance(value, dict):
        people = kind_of(key) == SPEAKER
        return {
            k: scrubbed(v, traces, str(k)) for k, v in value.items() if not (people and traces.named(SPEAKER, str(k)))
        }
    if isinstance(value, list):
        return [scrubbed(v, traces, key) for v in value if not _about(v, traces, key)]
    if not isinstance(value, str):
        return value
    if traces.named(kind_of(key), value):
        return ""
    return scrubbed_text(value, traces) if _is_sentence(value) else value


def scrubbed_text(text: str, traces: Traces, mark: str = "(erased)") -> str:
    """A text without the lines that name them."""
    inner = unpacked(text)
    if inner is not None:
        clean = scrubbed(inner, traces)
        return text if clean == inner else json.dumps(clean)
    if not says(text, traces):
        return text
    lines = text.split("\n")
    kept = [line for line in lines if not says(line, traces)]
    return "\n".join(kept) if any(line.strip() for line in kept) else mark


def _about(value: Any, traces: Traces, key: str | None) -> bool:
    """Whether an entry of a list is about one of them."""
    if isinstance(value, dict):
        return any(isinstance(v, str) and traces.named(kind_of(str(k)), v) for k, v in value.items())
    if not isinstance(value, str):
        return False
    return traces.named(kind_of(key), value) or (_is_sentence(value) and says(value, traces))
