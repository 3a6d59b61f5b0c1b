"""What extractors of sentence embeddings share: documented columns, and each distinct text encoded once."""

from collections.abc import Callable, Sequence

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.protocol import Column

LONGEST = 4096
"""Characters of a text that are read: far more than any encoder's tokens, and a bound on memory."""


def columns(count: int, what: str, source: str, low: float = -1.0, high: float = 1.0) -> tuple[Column, ...]:
    """``e000``, ``e001``, …; the range is that of a vector of length one."""
    return tuple(Column(f"e{i:03d}", "1", low, high, f"{what}, dimension {i} of {count}", source) for i in range(count))


def encode_once(
    texts: Sequence[str | NotApplicable], encode: Callable[[list[str]], np.ndarray]
) -> list[np.ndarray | NotApplicable]:
    """Vectors [shape=(d,)] of the texts, NotApplicable ones passed through; ``encode`` sees each text once."""
    short = [t[:LONGEST] if isinstance(t, str) else t for t in texts]
    distinct = list(dict.fromkeys(t for t in short if isinstance(t, str)))
    vectors = dict(zip(distinct, encode(distinct), strict=True)) if distinct else {}
    return [vectors[t].copy() if isinstance(t, str) else t for t in short]


def remembered(encode: Callable[[list[str]], np.ndarray], most: int = 16_384) -> Callable[[list[str]], np.ndarray]:
    """``encode`` that keeps the vectors of the ``most`` texts it read last (25 MB for 384 dimensions).

    For texts that come back in batch after batch, as the utterances of a dialogue do.
    """
    known: dict[str, np.ndarray] = {}

    def run(texts: list[str]) -> np.ndarray:
        missing = [t for t in texts if t not in known]
        fresh = dict(zip(missing, encode(missing), strict=True)) if missing else {}
        found = {t: known.pop(t) if t in known else fresh[t] for t in texts}
        known.update(found)
        while len(known) > most:
            del known[next(iter(known))]
        return np.stack(list(found.values()))

    return run
