"""Means over tokens of a transformer's middle layers.

The last layers of a sentence encoder are trained to tell topics apart. How its speaker feels is read better from the
middle: `benchmarks/text.py` says by how much.
"""

from pathlib import Path
from typing import Any

import numpy as np

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
