"""Sentence embedding by any sentence-transformers model that is on this machine, named in the environment."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features._hub import HubExtractor, read_json
from affectlake.features.inputs import Request
from affectlake.features.protocol import Column
from affectlake.features.text._clean import CLEANING, cleaned
from affectlake.features.text._embedding import columns, encode_once

BATCH = 64
_WIDTHS = ("out_features", "embedding_dimension", "word_embedding_dimension", "hidden_size", "d_model")
_MODES = "pooling_mode_"


class Hub(HubExtractor):
    """See `HubExtractor`."""

    name = "text.hub"
    version = "1"
    reads = "text"
    fixed: Mapping[str, object] = {"cleaning": CLEANING}
    unknown = 384
    requires = ("sentence_transformers", "ftfy")
    cost = 20.0
    summary = "Sentence embedding by the model that AFFECTLAKE_TEXT_MODEL names"

    def dimensions(self, folder: Path) -> int:
        listed = read_json(folder / "modules.json")
        for module in reversed([m["path"] for m in listed] or [""]):
            config = read_json(folder / module / "config.json")
            if width := next((config[key] for key in _WIDTHS if key in config), None):
                # Several poolings are put side by side.
                modes = [v for k, v in config.items() if k.startswith(_MODES)] or config.get("pooling_mode", "one")
                return width * (1 if isinstance(modes, str) else max(1, sum(map(bool, modes))))
        raise FileNotFoundError(f"{folder} holds no sentence-transformers model")

    def describe(self, count: int, model: str) -> Sequence[Column]:
        return columns(count, "Embedding of the utterance", f"{model} (sentence-transformers), length 1")

    def extract(self, batch: Sequence[Request]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(d,)] of length 1 per request, or NotApplicable for an empty text."""
        return encode_once(cleaned(batch), self._encode)

    def _encode(self, texts: list[str]) -> np.ndarray:
        return _model(self.folder()).encode(
            texts, batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True, normalize_embeddings=True
        )


@cache
def _model(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


extractor = Hub()
