"""Learned embedding of the voice: the GE2E speaker encoder of Resemblyzer.

Wan et al., "Generalized end-to-end loss for speaker verification" (ICASSP 2018). The weights lie in the PyPI package
``resemblyzer`` (Apache-2.0), which is never imported: it would want webrtcvad and, with it, an old setuptools. Pauses
are found by level here and by webrtcvad there; on the same samples the two embeddings agree (see docs/audio.md).
"""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.data.sound import AudioClip
from affectlake.features._packages import PackagedFile
from affectlake.features.audio import _spectrum as sp
from affectlake.features.protocol import Column

DIMENSIONS = 256
LAYERS = 3
WINDOW = 400  # samples of the encoder's spectrum, 25 ms
BANDS = 40
LENGTH = 160  # frames that the encoder reads at a time
STRIDE = 77  # frames between two such parts: 1.3 of them per second
COVERED = 0.75  # share of the last part that must be sound
LEVEL = -30.0  # dB re full scale that speech is brought to; the original only raises what is quieter
LONGEST_PAUSE = 0.18  # s kept on either side of a sound

SETTINGS = {"covered": COVERED, "level": LEVEL, "longest_pause": LONGEST_PAUSE, "stride": STRIDE, **sp.SETTINGS}
SOURCE = "Wan et al. 2018, weights of resemblyzer 0.1"
BATCH = 64  # parts at a time


WEIGHTS = PackagedFile(
    "resemblyzer",
    "pretrained.pt",
    "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
    "pip install --no-deps resemblyzer",
)


def speech(clip: AudioClip) -> np.ndarray:
    """Samples about sounds, long pauses shortened, as loud as the encoder is used to [shape=(n,)]."""
    y = sp.near(sp.centred(clip), sp.active(clip), LONGEST_PAUSE)
    level = 10 * np.log10(np.mean(np.square(y, dtype=np.float64)))
    return y * np.float32(10 ** ((LEVEL - level) / 20))


def parts(y: np.ndarray) -> np.ndarray:
    """Mel power of the overlapping parts of 1.6 s that the encoder reads [shape=(parts, 160, 40)]."""
    frames = -(-(len(y) + 1) // sp.HOP)
    begins = list(range(0, max(1, frames - LENGTH + STRIDE + 1), STRIDE))
    if len(begins) > 1 and len(y) - begins[-1] * sp.HOP < COVERED * LENGTH * sp.HOP:
        begins.pop()
    bands = mel(np.pad(y, (0, max(0, (begins[-1] + LENGTH) * sp.HOP - len(y)))))
    return np.stack([bands[begin : begin + LENGTH] for begin in begins])


def mel(y: np.ndarray) -> np.ndarray:
    """Power in mel bands, 25 ms windows every 10 ms [shape=(1 + n // 160, 40)]; as librosa.feature.melspectrogram."""
    from scipy.signal.windows import hann

    return sp.squared_spectrum(y, hann(WINDOW, sym=False).astype(np.float32), WINDOW) @ sp.mel_bank(BANDS, n_fft=WINDOW)


@cache
def _encoder() -> Any:
    """The recurrent layers and the projection, ready to run."""
    import torch

    state = torch.load(WEIGHTS.checked(), map_location="cpu", weights_only=True)["model_state"]
    layers = torch.nn.ModuleDict(
        {
            "lstm": torch.nn.LSTM(BANDS, DIMENSIONS, LAYERS, batch_first=True),
            "linear": torch.nn.Linear(DIMENSIONS, DIMENSIONS),
        }
    )
    layers.load_state_dict({k: v for k, v in state.items() if not k.startswith("similarity")})
    return layers.eval()


def encode(bands: np.ndarray) -> np.ndarray:
    """Embeddings of length 1, none below 0, of parts [shape=(parts, 160, 40)]: [shape=(parts, 256)]."""
    import torch

    layers = _encoder()
    with torch.inference_mode():
        _, (hidden, _) = layers["lstm"](torch.from_numpy(bands))
        out = torch.relu(layers["linear"](hidden[-1])).numpy()
    return sp.normalised(out, np.linalg.norm(out, axis=1))


class GE2E:
    """See `affectlake.features.protocol.Extractor`."""

    name = "audio.ge2e"
    version = "2"
    reads = "audio"
    windowed = True
    parameters: Mapping[str, object] = SETTINGS
    columns: Sequence[Column] = tuple(
        Column(f"e{i:03d}", "1", 0, 1, f"Dimension {i} of the embedding of the voice", SOURCE)
        for i in range(DIMENSIONS)
    )
    requires = ("torch", "librosa", "scipy", "soundfile", "soxr")
    install = "pip install 'affectlake[audio]' torch && pip install --no-deps resemblyzer"
    cost = 14.0
    licence = "Apache-2.0"
    summary = "Learned embedding of the voice by a speaker encoder (GE2E), 256-d"

    def weights(self) -> Sequence[Path]:
        return (WEIGHTS.find(),)

    def extract(self, batch: Sequence[AudioClip]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(256,)] of length 1 per clip, or NotApplicable for a silent one."""
        found = [self._parts(clip) for clip in batch]
        heard = [bands for bands in found if isinstance(bands, np.ndarray)]
        if not heard:
            return found
        every = np.concatenate(heard)
        codes = np.concatenate([encode(every[i : i + BATCH]) for i in range(0, len(every), BATCH)])
        bounds = np.cumsum([0, *map(len, heard)])
        means = iter([codes[a:b].mean(axis=0) for a, b in pairwise(bounds)])
        return [_unit(next(means)) if isinstance(bands, np.ndarray) else bands for bands in found]

    def _parts(self, clip: AudioClip) -> np.ndarray | NotApplicable:
        try:
            sp.require_sound(clip)
        except NotApplicable as silent:
            return silent
        return parts(speech(clip))


def _unit(x: np.ndarray) -> np.ndarray:
    return x / max(float(np.linalg.norm(x)), 1e-9)


extractor = GE2E()
