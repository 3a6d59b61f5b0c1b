"""Embedding of the voice by any speech encoder of transformers that is on this machine, named in the environment.

wav2vec 2.0 (Baevski et al. 2020), HuBERT (Hsu et al. 2021), WavLM (Chen et al. 2022), data2vec, UniSpeech, Whisper's
encoder and what was fine-tuned from them, emotion models included: whatever `transformers.AutoModel` reads with a
feature extractor for 16 kHz, so no code of a model's own is run. Middle layers are read by default: the last one serves
what the encoder was trained for, words or masked units, and tells less of how something is said (Pasad et al. 2021).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data.errors import AffectlakeError
from affectlake.data.sound import RATE, AudioClip
from affectlake.features import settings
from affectlake.features._hub import HubExtractor, read_json
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._encoding import SHORTEST, SpeechEncoder, moments
from affectlake.features.protocol import Column

PIECE = 10.0  # s that an encoder hears at a time: so a base model stays below 1 GiB
_WIDTHS = ("hidden_size", "d_model")
_DEPTHS = ("num_hidden_layers", "encoder_layers")
_TRAINING_ONLY = ("masked_spec_embed",)


class Hub(SpeechEncoder, HubExtractor):
    """See `HubExtractor`; mean and deviation over time of layers of the encoder, averaged."""

    name = "audio.hub"
    version = "2"
    variable = "AFFECTLAKE_AUDIO_MODEL"
    fixed: Mapping[str, object] = {"piece": PIECE, "shortest": SHORTEST, "silent": sp.SILENT}
    unknown = 2 * 768
    requires = ("torch", "transformers", "soundfile", "soxr")
    cost = 600.0
    summary = f"Embedding of the voice by the speech encoder that {variable} names"

    @property
    def parameters(self) -> Mapping[str, object]:
        return {**super().parameters, "layers": settings.get("audio.layers")}

    def dimensions(self, folder: Path) -> int:
        config, heard = read_json(folder / "config.json"), read_json(folder / "preprocessor_config.json")
        width = next((config[key] for key in _WIDTHS if key in config), None)
        if width is None or not heard:
            raise FileNotFoundError(f"{folder} holds no speech encoder (config.json and preprocessor_config.json)")
        if heard.get("sampling_rate") != RATE:
            raise FileNotFoundError(f"{folder} reads {heard.get('sampling_rate')} samples per second, not {RATE}")
        chosen_layers(folder)
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

    def embed(self, clip: AudioClip) -> np.ndarray:
        folder = self.folder()
        return pooled(_encoder(folder, chosen_layers(folder)), clip.y)


def chosen_layers(folder: Path) -> range:
    """Layers that the setting names, or the middle third of the model's; raises FileNotFoundError for one too deep."""
    config = read_json(folder / "config.json")
    depth = next((config[key] for key in _DEPTHS if key in config), 0)
    if given := str(settings.get("audio.layers")):
        first, last = map(int, given.split("-"))
        if last > depth:
            raise FileNotFoundError(f"{folder} has {depth} layers: audio.layers={given} asks for more")
        return range(first, last + 1)
    first = -(-depth // 3)
    return range(first, max(first, 2 * depth // 3) + 1)


@dataclass(frozen=True)
class Encoder:
    """A model, or its encoding half, without the layers behind those that are read.

    Attributes
    ----------
    features : feature extractor of transformers
    model : torch module
    layers : range
        0 for what enters the first layer.
    """

    features: Any
    model: Any
    layers: range

    def states(self, y: np.ndarray) -> np.ndarray:
        """Mean of the layers' outputs [shape=(frames, d)], float64."""
        import torch

        with torch.inference_mode():
            found = self._heard(y).hidden_states
            return torch.stack([found[i][0] for i in self.layers]).mean(dim=0).double().numpy()

    def _heard(self, y: np.ndarray) -> Any:
        if not hasattr(self.model, "embed_positions"):
            return self.model(**self.features(y, sampling_rate=RATE, return_tensors="pt"), output_hidden_states=True)
        return self._unpadded(y)

    def _unpadded(self, y: np.ndarray) -> Any:
        """Whisper's encoder takes 30 s only, and checks it: its positions are cut to the length for this one call."""
        import torch

        read = self.features(
            y, sampling_rate=RATE, padding="do_not_pad", truncation=False, return_tensors="pt"
        ).input_features
        positions, count = self.model.embed_positions, self.model.config.max_source_positions
        pairs = -(-read.shape[-1] // 2)
        read = torch.nn.functional.pad(read, (0, 2 * pairs - read.shape[-1]), mode="replicate")
        self.model.embed_positions = torch.nn.Embedding.from_pretrained(positions.weight[:pairs])
        self.model.config.max_source_positions = pairs
        try:
            return self.model(read, output_hidden_states=True)
        finally:
            self.model.embed_positions, self.model.config.max_source_positions = positions, count


def pooled(encoder: Encoder, y: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over the frames of all pieces of ``y`` [shape=(2 d,)], float32."""
    pieces = np.array_split(y, -(-len(y) // round(PIECE * RATE)))
    return np.concatenate(moments(encoder.states(piece) for piece in pieces)).astype(np.float32)


@cache
def _encoder(folder: Path, layers: range) -> Encoder:
    from transformers import AutoFeatureExtractor, AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    features = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
    whole, found = AutoModel.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, output_loading_info=True
    )
    # transformers fills in what it misses at random, and goes on.
    if missing := sorted(key for key in found["missing_keys"] if not key.endswith(_TRAINING_ONLY)):
        raise AffectlakeError(f"{folder.name} lacks {len(missing)} weights of its encoder, first {missing[0]}")
    model = (whole.get_encoder() if whole.config.is_encoder_decoder else whole).eval()
    stack = model if hasattr(model, "layers") else model.encoder
    # One more than is read: what leaves the last one is normed, and would be another quantity.
    stack.layers = stack.layers[: layers[-1] + 1]
    return Encoder(features, model, layers)


extractor = Hub()
