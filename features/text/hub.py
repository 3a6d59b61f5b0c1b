"""Sentence embedding by any sentence-transformers model that is on this machine, named in the environment."""

import json
import os
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

VARIABLE = "AFFECTLAKE_TEXT_MODEL"
BATCH = 64
UNKNOWN_DIMENSIONS = 384  # what a listing shows while no model is named
_WEIGHTS = (".safetensors", ".bin")
_READ = (*_WEIGHTS, ".json", ".txt", ".model")
_EXPORTS = ("onnx", "openvino")  # the same weights for other programs
_WIDTHS = ("out_features", "embedding_dimension", "word_embedding_dimension", "hidden_size", "d_model")
_MODES = "pooling_mode_"


class Hub:
    """See `affectlake.features.protocol.Extractor`.

    The environment variable AFFECTLAKE_TEXT_MODEL holds a folder, or a hub name whose files were fetched before:
    a refresh itself never downloads, and the bytes of the files are part of the fingerprint.
    """

    name = "text.hub"
    version = "1"
    reads = "text"
    requires = ("sentence_transformers", "ftfy")
    install = f"hf download NAME; export {VARIABLE}=NAME (or a folder)"
    cost = 20.0
    licence = "LicenseRef-of-the-model"
    summary = f"Sentence embedding by the model that {VARIABLE} names"

    @property
    def parameters(self) -> Mapping[str, object]:
        return {"cleaning": CLEANING, "model": _short(_model_name())}

    @property
    def columns(self) -> Sequence[Column]:
        try:
            return _columns(_folder(_model_name()), _short(_model_name()))
        except (FileNotFoundError, ImportError):
            return columns(UNKNOWN_DIMENSIONS, "Embedding of the utterance", f"the model that {VARIABLE} names")

    def weights(self) -> Sequence[Path]:
        folder = _folder(_model_name())
        _dimensions(folder)
        inside = (p for p in sorted(folder.rglob("*")) if p.suffix in _READ and p.is_file())
        found = [p for p in inside if not set(p.relative_to(folder).parts) & set(_EXPORTS)]
        if not any(p.suffix in _WEIGHTS for p in found):
            raise FileNotFoundError(f"{folder} holds no weights")
        return found

    def extract(self, batch: Sequence[Request]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(d,)] of length 1 per request, or NotApplicable for an empty text."""
        return encode_once(cleaned(batch), _encode)


def _model_name() -> str:
    return os.environ.get(VARIABLE, "").strip()


def _short(name: str) -> str:
    """A hub's name as it is, of a folder its last part: where it lies changes nothing."""
    return Path(name).name if Path(name).is_dir() else name


def _folder(name: str) -> Path:
    """Where the model's files are; raises FileNotFoundError."""
    if not name:
        raise FileNotFoundError(f"{VARIABLE} names no model")
    if Path(name).is_dir():
        return Path(name)
    return _cached(name)


def _cached(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        raise FileNotFoundError(f"{VARIABLE}={name} is neither a folder nor in the hub's cache") from None


@cache
def _columns(folder: Path, name: str) -> tuple[Column, ...]:
    return columns(_dimensions(folder), "Embedding of the utterance", f"{name} (sentence-transformers), length 1")


def _dimensions(folder: Path) -> int:
    """Width of the vectors by the folder's own description, so that a listing need not load the model."""
    listed = folder / "modules.json"
    modules = [m["path"] for m in json.loads(listed.read_text())] if listed.is_file() else [""]
    for module in reversed(modules):
        path = folder / module / "config.json"
        config = json.loads(path.read_text()) if path.is_file() else {}
        if width := next((config[key] for key in _WIDTHS if key in config), None):
            # Several poolings are put side by side.
            modes = [v for k, v in config.items() if k.startswith(_MODES)] or config.get("pooling_mode", "one")
            return width * (1 if isinstance(modes, str) else max(1, sum(map(bool, modes))))
    raise FileNotFoundError(f"{folder} holds no sentence-transformers model")


@cache
def _model(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def _encode(texts: list[str]) -> np.ndarray:
    return _model(_folder(_model_name())).encode(
        texts, batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True, normalize_embeddings=True
    )


extractor = Hub()
