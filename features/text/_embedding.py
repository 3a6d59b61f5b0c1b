"""What extractors of sentence embeddings share: documented columns, and each distinct text encoded once."""

from collections.abc import Callable, Sequence

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.protocol import Column

LONGEST = 4096
"""Characters of a text that are read: far more than any encoder's tokens, and a bound on memory."""


def columns(count: int, what: str, source: str, prefix: str = "e") -> tuple[Column, ...]:
    """``e000``, ``e001``, … of a vector of length one."""
    return tuple(
        Column(f"{prefix}{i:03d}", "1", -1.0, 1.0, f"{what}, dimension {i} of {count}", source) for i in range(count)
    )


def encode_once(
    texts: Sequence[str | NotApplicable], encode: Callable[[list[str]], np.ndarray]
) -> list[np.ndarray | NotApplicable]:
    """Vectors [shape=(d,)] of the texts, NotApplicable ones passed through; ``encode`` sees each text once."""
    short = [t[:LONGEST] if isinstance(t, str) else t for t in texts]
    distinct = list(dict.fromkeys(t for t in short if isinstance(t, str)))
    if not distinct:
        return short
    vectors = dict(zip(distinct, encode(distinct), strict=True))
    return [vectors[t].copy() if isinstance(t, str) else t for t in short]
