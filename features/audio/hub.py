"""Embedding of the voice by any speech encoder of transformers that is on this machine, named in the environment.

wav2vec 2.0 (Baevski et al. 2020), HuBERT (Hsu et al. 2021), WavLM (Chen et al. 2022), data2vec, UniSpeech, Whisper's
encoder and what was fine-tuned from them, emotion models included: whatever `transformers.AutoModel` reads with a
feature extractor for 16 kHz, so no code of a model's own is run.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data.errors import AffectlakeError, NotApplicable
from affectlake.data.sound import RATE, AudioClip
from affectlake.features._hub import HubExtractor, read_json
from affectlake.features.audio import _spectrum as sp
from affectlake.features.protocol import Column

PIECE = 10.0  # s that an encoder hears at a time: so a base model stays below 1 GiB
SHORTEST = 0.1  # s; the first layers of wav2vec 2.0 make no frame of less than 0.025
_WIDTHS = ("hidden_size", "d_model")
_TRAINING_ONLY = ("masked_spec_embed",)


class Hub(HubExtractor):
    """See `HubExtractor`; mean and deviation over time of the encoder's last layer."""

    name = "audio.hub"
    version = "1"
    reads = "audio"
    variable = "AFFECTLAKE_AUDIO_MODEL"
    settings: Mapping[str, object] = {"piece": PIECE, "shortest": SHORTEST, "silent": sp.SILENT}
    unknown = 2 * 768
    requires = ("torch", "transformers", "soundfile", "soxr")
    cost = 600.0
    summary = f"Embedding of the voice by the speech encoder that {variable} names"

    def dimensions(self, folder: Path) -> int:
        config, heard = read_json(folder / "config.json"), read_json(folder / "preprocessor_config.json")
        width = next((config[key] for key in _WIDTHS if key in config), None)
        if width is None or not heard:
            raise FileNotFoundError(f"{folder} holds no speech encoder (config.json and preprocessor_config.json)")
        if heard.get("sampling_rate") != RATE:
            raise FileNotFoundError(f"{folder} reads {heard.get('sampling_rate')} samples per second, not {RATE}")
        return 2 * width

    def describe(self, count: int, model: str) -> Sequence[Column]:
        half = count // 2
        return [
            Column(
                f"{key}_{i:04d}", "1", low, description=f"Dimension {i} of {half}: {meaning} over time", source=model
            )
            for key, meaning, low in (("mean", "mean", -np.inf), ("std", "standard deviation", 0.0))
            for i in range(half)
        ]

    def extract(self, batch: Sequence[AudioClip]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(2 d,)] per clip, or NotApplicable for a silent one or one of less than 0.1 s."""
        return [self._one(clip) for clip in batch]

    def _one(self, clip: AudioClip) -> np.ndarray | NotApplicable:
        if len(clip.y) < SHORTEST * RATE:
            return NotApplicable(f"too short for a speech encoder: {len(clip.y) / RATE:.3f} s, at least {SHORTEST} s")
        try:
            sp.require_sound(clip)
        except NotApplicable as silent:
            return silent
        return pooled(*_encoder(self.folder()), clip.y)


def pooled(features: Any, encoder: Any, y: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over the frames of all pieces of ``y`` [shape=(2 d,)], float32."""
    count, total, squares = 0, 0.0, 0.0
    for piece in np.array_split(y, -(-len(y) // round(PIECE * RATE))):
        states = _states(features, encoder, piece)
        count += len(states)
        total = total + states.sum(axis=0)
        squares = squares + (states * states).sum(axis=0)
    mean = total / count
    return np.concatenate([mean, np.sqrt(np.maximum(squares / count - mean * mean, 0))]).astype(np.float32)


def _states(features: Any, encoder: Any, y: np.ndarray) -> np.ndarray:
    """Last hidden layer [shape=(frames, d)], float64."""
    import torch

    with torch.inference_mode():
        states = encoder(**features(y, sampling_rate=RATE, return_tensors="pt")).last_hidden_state[0]
    # Whisper pads every piece to 30 s, and hears the silence.
    padded = max(getattr(features, "n_samples", 0), len(y))
    return states[: max(1, round(len(states) * len(y) / padded))].double().numpy()


@cache
def _encoder(folder: Path) -> tuple[Any, Any]:
    """The feature extractor, and the model or its encoding half."""
    from transformers import AutoFeatureExtractor, AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    features = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
    model, found = AutoModel.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, output_loading_info=True
    )
    # transformers fills in what it misses at random, and goes on.
    if missing := sorted(key for key in found["missing_keys"] if not key.endswith(_TRAINING_ONLY)):
        raise AffectlakeError(f"{folder.name} lacks {len(missing)} weights of its encoder, first {missing[0]}")
    return features, (model.get_encoder() if model.config.is_encoder_decoder else model).eval()


extractor = Hub()
