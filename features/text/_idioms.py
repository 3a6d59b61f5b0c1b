"""Negations that deny nothing: "not only", "never been happier", "no doubt", 不但, 不得不."""

from collections.abc import Iterator, Sequence, Set

from affectlake.features.text._words import LONGEST_PHRASE, words

_UNSURPASSED = {"never", "couldn't", "couldnt", "can't", "cannot"}
_BEING = {"have", "be", "been", "felt", "feel", "feeling", "seen", "had", "looked", "look", "get", "got"}


def phrases(lower: Sequence[str]) -> Iterator[tuple[int, int, frozenset[str]]]:
    """(first, one past the last, categories) of every known phrase of two words and more."""
    for length in range(2, LONGEST_PHRASE + 1):
        for at in range(len(lower) - length + 1):
            if found := words().categories.get("_".join(lower[at : at + length])):
                yield at, at + length, found


def affirmed(lower: Sequence[str], kinds: Set[str] = frozenset({"idiom"})) -> set[int]:
    """Positions of tokens that seem to negate, and of those that make an idiom with them.

    Phrases and words of these categories; "never been" and "couldn't be" before a comparative; "can't help
    laughing".
    """
    found: set[int] = set()
    for first, end, categories in phrases(lower):
        if kinds & categories:
            found.update(range(first, end))
    for at, word in enumerate(lower):
        if kinds & words().categories.get(word, frozenset()):
            found.add(at)
        if word in _UNSURPASSED and _surpassed(lower[at + 1 : at + 5]):
            found.add(at)
        if (
            word in ("can't", "cannot", "couldn't")
            and lower[at + 1 : at + 2] == ["help"]
            and any(w == "but" or w.endswith("ing") for w in lower[at + 2 : at + 3])
        ):
            found.update((at, at + 1))
    return found


def _surpassed(after: Sequence[str]) -> bool:
    being = next((n for n, word in enumerate(after) if word not in _BEING), 0)
    compared = after[being] if being else ""
    return compared == "more" or (compared.endswith(("er", "worse")) and bool(words().valence(compared)))
