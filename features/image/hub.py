"""Embedding of the picture by CLIP or any other image encoder that is on this machine, named by the user.

CLIP (Radford et al. 2021), SigLIP (Zhai et al. 2023), DINOv2 (Oquab et al. 2024), ViT (Dosovitskiy et al. 2021), …:
whatever sentence-transformers reads as a model of pictures.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features._hub import HubExtractor, read_json
from affectlake.features.protocol import Column
from affectlake.features.text._embedding import columns

_WIDTHS = ("out_features", "projection_dim", "hidden_size")
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")


class Hub(HubExtractor):
    """See `HubExtractor`."""

    name = "image.hub"
    version = "1"
    reads = "image"
    unknown = 512
    requires = ("sentence_transformers", "PIL")
    cost = 120.0
    summary = "Embedding of the picture by the model that AFFECTLAKE_IMAGE_MODEL names, such as CLIP"

    @property
    def install(self) -> str:
        return f"pip install 'affectlake[text,vision]'; {super().install}"

    def dimensions(self, folder: Path) -> int:
        paths = [m["path"] for m in read_json(folder / "modules.json")] or [""]
        if not any((folder / path / name).is_file() for path in paths for name in _PROCESSORS):
            raise FileNotFoundError(f"{folder} holds no model of pictures (config.json and preprocessor_config.json)")
        for path in reversed(paths):
            config = read_json(folder / path / "config.json")
            # Beside its common space CLIP describes both halves; what has no such space ends in its half for pictures.
            for part in (config, config.get("vision_config", {})):
                if width := next((part[key] for key in _WIDTHS if key in part), None):
                    return width
        raise FileNotFoundError(f"{folder} does not say how wide its embeddings are (config.json)")

    def describe(self, count: int, model: str) -> Sequence[Column]:
        return columns(count, "Embedding of the picture", f"{model} (sentence-transformers), length 1")

    def extract(self, batch: Sequence[np.ndarray]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(d,)] of length 1 per RGB picture."""
        from PIL import Image

        if not batch:
            return []
        pictures = [Image.fromarray(picture) for picture in batch]
        return list(
            _model(self.folder()).encode(
                pictures, batch_size=len(pictures), show_progress_bar=False, normalize_embeddings=True
            )
        )


@cache
def _model(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


extractor = Hub()
