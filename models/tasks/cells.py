"""Several classes in one cell: with a mark between them, or written as a list or an object of JSON or Python."""

import ast
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

_MARKS = ("|", ";")
"""Marks that no name of a class has."""

_WEAK = (",", "/", "+", "&")
"""Marks that names have too: told from them by what stands elsewhere."""

_KNOWN = 0.75  # of the parts that a weak mark parts: stand in another value too
_COUNTED = re.compile(r"(.+?)\s*[:=]\s*(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Cells:
    """What each cell of a label names.

    Attributes
    ----------
    named : list of list of (str, float or None)
        Classes of each sample in the order in which they stand, with the count that stands at them.
    how : str
        How they are written.
    sure : bool
        Whether the values say so themselves; otherwise it is only how they can be read.
    """

    named: list[list[tuple[str, float | None]]]
    how: str
    sure: bool

    @property
    def votes(self) -> bool:
        """Whether a class is named several times in a cell, or all are counted."""
        pairs = [p for cell in self.named for p in cell]
        counted = bool(pairs) and all(n is not None for _, n in pairs)
        return counted or any(len({c for c, _ in cell}) < len(cell) for cell in self.named)


def read(label: pd.Series) -> Cells:
    """Read the cells of a column.

    Parameters
    ----------
    label : Series of str
        Without gaps.

    Examples
    --------
    >>> read(pd.Series(["happy, sad", "sad", "happy"])).named[0]
    [('happy', None), ('sad', None)]
    >>> read(pd.Series(["anger, rage", "joy"])).sure
    False
    """
    texts = label.astype("str").str.strip()
    written = [_written(text) for text in texts]
    nested = [cell for cell in written if cell is not None]
    if len(nested) == len(written) and nested:
        return Cells(nested, "as lists or objects", True)
    marks = [m for m in _MARKS if texts.str.contains(m, regex=False).any()]
    if marks:
        return Cells(
            [_pairs(re.split(r"[|;]", text)) for text in texts], f"separated by {' or '.join(map(repr, marks))}", True
        )
    weak = next((m for m in _WEAK if texts.str.contains(m, regex=False).any()), None)
    if weak is None:
        return Cells([_pairs([text]) for text in texts], "one in each cell", False)
    parts = [text.split(weak) for text in texts]
    found = [_pairs(each) for each in parts]
    whole = all(p.strip() for each in parts for p in each)
    return Cells(found, f"separated by {weak!r}", whole and _parts(found))


def _parts(found: list[list[tuple[str, float | None]]]) -> bool:
    """Whether what a weak mark parts are classes: most stand in another value too, and no part is a number."""
    distinct = {tuple(c for c, _ in cell) for cell in found}
    everywhere = Counter(c for cell in distinct for c in set(cell))
    several = {c for cell in distinct if len(cell) > 1 for c in cell}
    if any(not re.search(r"[^\W\d_]", c) for c in several):
        return False
    return sum(everywhere[c] > 1 for c in several) >= _KNOWN * len(several)


def _pairs(parts: list[str]) -> list[tuple[str, float | None]]:
    found: list[tuple[str, float | None]] = []
    for part in filter(None, (p.strip() for p in parts)):
        match = _COUNTED.fullmatch(part)
        found.append((match[1], float(match[2])) if match else (part, None))
    return found


def _written(text: str) -> list[tuple[str, float | None]] | None:
    """Classes of a list, or counts of an object, as JSON or Python writes them; None where it is neither."""
    if text[:1] + text[-1:] not in ("[]", "{}"):
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if isinstance(value, Mapping):
        counts = [n for n in value.values() if isinstance(n, int | float) and n >= 0]
        return [(str(c), float(n)) for c, n in value.items()] if len(counts) == len(value) else None
    return [(str(c), None) for c in value] if isinstance(value, list | set) else None
