"""What was said before: the previous utterances of the dialogue, pooled; never a following one."""

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.inputs import Request
from affectlake.features.protocol import Column
from affectlake.features.text import _minilm
from affectlake.features.text._clean import CLEANING, clean, cleaned
from affectlake.features.text._embedding import columns, encode_once, remembered

DECAY = 0.5
"""Weight of an utterance over that of the one after it."""

# An utterance is read up to nine times, for itself and for those after it, and these lie in different batches.
_encode = remembered(_minilm.encode)


class Context(_minilm.Reader):
    """See `affectlake.features.protocol.Extractor`.

    The first utterance of a dialogue has no context, and neither has a sample outside any dialogue: NotApplicable.
    """

    name = "text.context"
    version = "1"
    reads = "dialogue"
    parameters: Mapping[str, object] = {"cleaning": CLEANING, "decay": DECAY, "max_tokens": _minilm.MAX_TOKENS}
    columns: Sequence[Column] = (
        Column("turns", "1", 1.0, float("inf"), "Previous utterances that were read", "count, empty ones apart"),
        Column("similarity", "1", -1.0, 1.0, "Likeness of the utterance to the one before", "cosine of embeddings"),
        *columns(
            _minilm.DIMENSIONS,
            "Embedding of the previous utterances",
            f"mean of {_minilm.SOURCE}; each weighs half of the one after it",
        ),
    )
    cost = 8.0
    summary = "Embedding of the previous utterances of the dialogue, 384-d"

    def extract(self, batch: Sequence[Request]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(386,)] per request, or NotApplicable for an empty text or one with none before it."""
        before = [[t for t in map(clean, request.context) if t] for request in batch]
        texts = cleaned(batch)
        # One call for the utterances and all that was said before: each is encoded once.
        vectors = encode_once([*texts, *(t for turns in before for t in turns)], _encode)
        earlier = (v for v in vectors[len(texts) :] if isinstance(v, np.ndarray))
        own = vectors[: len(texts)]
        return [_row(vector, list(islice(earlier, len(turns)))) for vector, turns in zip(own, before, strict=True)]


def _row(own: np.ndarray | NotApplicable, before: list[np.ndarray]) -> np.ndarray | NotApplicable:
    if isinstance(own, NotApplicable):
        return own
    if not before:
        return NotApplicable("no previous utterance")
    weights = DECAY ** np.arange(len(before) - 1, -1, -1)
    pooled = np.average(before, axis=0, weights=weights)
    return np.concatenate([[len(before), own @ before[-1]], pooled]).astype(np.float32)


extractor = Context()
