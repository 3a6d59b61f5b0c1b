"""Sentence embedding of the utterance by all-MiniLM-L6-v2."""

from collections.abc import Mapping, Sequence

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.inputs import Request
from affectlake.features.protocol import Column
from affectlake.features.text import _minilm
from affectlake.features.text._clean import CLEANING, cleaned
from affectlake.features.text._embedding import columns, encode_once


class MiniLM(_minilm.Reader):
    """See `affectlake.features.protocol.Extractor`. English; only the first 256 tokens are read."""

    name = "text.minilm"
    version = "1"
    reads = "text"
    parameters: Mapping[str, object] = {"cleaning": CLEANING, "max_tokens": _minilm.MAX_TOKENS}
    columns: Sequence[Column] = columns(_minilm.DIMENSIONS, "Embedding of the utterance", _minilm.SOURCE)
    cost = 6.0
    summary = "Sentence embedding of the utterance (English), 384-d"

    def extract(self, batch: Sequence[Request]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(384,)] of length 1 per request, or NotApplicable for an empty text."""
        return encode_once(cleaned(batch), _minilm.encode)


extractor = MiniLM()
