"""Means over tokens of a transformer's middle layers.

The last layers of a sentence encoder are trained to tell topics apart. How its speaker feels is read better from the
middle: `benchmarks/text.py` says by how much.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.inputs import Request
from affectlake.features.protocol import Column
from affectlake.features.text._clean import CLEANING, cleaned
from affectlake.features.text._embedding import columns, encode_once

MAX_TOKENS = 256
BATCH = 32


class Layers:
    """The first layers of a model in a folder, the rest left away.

    Parameters
    ----------
    folder : Path
        As `transformers` writes it: config, tokenizer, safetensors.
    layers : range
        1 for the first layer; the hidden states of all of them are averaged.
    """

    def __init__(self, folder: Path, layers: range):
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.layers = layers
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.model: Any = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        self.model.encoder.layer = self.model.encoder.layer[: layers[-1]]

    def encode(self, texts: list[str]) -> np.ndarray:
        """Vectors [shape=(len(texts), d)], float32; tokens after the 256th are not read."""
        import torch

        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        found: list[Any] = [None] * len(texts)
        with torch.inference_mode():
            for first in range(0, len(order), BATCH):
                batch = order[first : first + BATCH]
                for i, vector in zip(batch, self._mean([texts[i] for i in batch]), strict=True):
                    found[i] = vector
        return np.stack(found)

    def _mean(self, texts: list[str]) -> np.ndarray:
        import torch

        read = self.tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        states = self.model(**read, output_hidden_states=True).hidden_states
        state = torch.stack([states[i] for i in self.layers]).mean(dim=0)
        mask = read["attention_mask"][..., None]
        return ((state * mask).sum(dim=1) / mask.sum(dim=1)).numpy()


@cache
def _loaded(folder: Path, layers: range) -> Layers:
    return Layers(folder, layers)


class MiddleLayers:
    """Base of extractors on them; see `affectlake.features.protocol.Extractor`. Only the first 256 tokens are read.

    Parameters
    ----------
    model : str
        Name of the model, for the columns' documentation.
    dimensions : int
    layers : range
    """

    version = "1"
    reads = "text"
    licence = "Apache-2.0"

    def __init__(self, model: str, dimensions: int, layers: range):
        self.layers = layers
        self.parameters: Mapping[str, object] = {
            "cleaning": CLEANING, "max_tokens": MAX_TOKENS, "layers": [*layers],
        }  # fmt: skip
        source = f"{model}, mean over tokens of layers {layers[0]} to {layers[-1]}"
        self.columns: Sequence[Column] = columns(
            dimensions, "Middle layers' reading of the utterance", source, low=-np.inf, high=np.inf
        )

    def folder(self) -> Path:
        """Where the model's files are; raises FileNotFoundError."""
        raise NotImplementedError

    def extract(self, batch: Sequence[Request]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(dimensions,)] per request, or NotApplicable for an empty text."""
        return encode_once(cleaned(batch), lambda texts: _loaded(self.folder(), self.layers).encode(texts))
