"""What extractors share that read a text by word lists and rules: each column is a function of one reading."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.inputs import Request
from affectlake.features.protocol import Column
from affectlake.features.text import _words
from affectlake.features.text._clean import CLEANING, cleaned
from affectlake.features.text._reading import Reading

Feature = tuple[Column, Callable[[Reading], float]]


class Reader:
    """Base of such extractors; a subclass gives its `features`. See `affectlake.features.protocol.Extractor`."""

    reads = "text"
    features: Sequence[Feature]
    parameters: Mapping[str, object] = {"cleaning": CLEANING}
    requires = ("nltk", "ftfy", _words.VADER, _words.OPENCC)
    install = "pip install 'affectlake[text]'"
    licence = "Apache-2.0"

    @property
    def columns(self) -> Sequence[Column]:
        return [column for column, _ in self.features]

    def weights(self) -> Sequence[Path]:
        return _words.files()

    def extract(self, batch: Sequence[Request]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(len(columns),)] per request, or NotApplicable for an empty text."""
        return [self._row(text) if isinstance(text, str) else text for text in cleaned(batch)]

    def _row(self, text: str) -> np.ndarray:
        reading = Reading(text)
        return np.array([value(reading) for _, value in self.features], dtype=np.float32)
