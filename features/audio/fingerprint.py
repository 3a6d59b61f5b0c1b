"""What stays of a recording in another encoding, rate, level or tempo: for finding copies, not for learning from."""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.data.sound import AudioClip
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._handcrafted import Handcrafted
from affectlake.features.protocol import Column

BANDS, LOW, HIGH = 12, 250.0, 3500.0  # Hz: what a telephone lets through
WIDTH = 0.7  # of a band, in distances between bands: a voice some percent faster stays in it
PARTS = 32
TOP_DB = 30.0  # what is quieter than the loudest by more is taken for noise

SOURCE = "spectrogram as acoustic fingerprint, after Haitsma & Kalker (2002), over the clip's own length"


class Fingerprint(Handcrafted):
    """See `affectlake.features.protocol.Extractor`; `affectlake.models.copies` compares by cosine."""

    name = "audio.fingerprint"
    version = "1"
    parameters: Mapping[str, object] = {
        **sp.SETTINGS, "bands": [BANDS, LOW, HIGH, WIDTH], "parts": PARTS, "top_db": TOP_DB,
    }  # fmt: skip
    columns: Sequence[Column] = tuple(
        Column(
            f"part_{t:02d}_{b:02d}", "1", -1.0, 1.0, f"Level of band {b} in part {t}, beside the clip's mean", SOURCE
        )
        for t in range(PARTS)
        for b in range(BANDS)
    )
    cost = 1.0
    middle = True  # parts of the clip's own length: pieces of it would be other recordings
    summary = "What stays of a recording that is encoded anew; for finding copies, never trained on"

    def measure(self, clip: AudioClip) -> np.ndarray:
        """Levels over time and band, without each band's mean, of unit length [shape=(384,)]."""
        means = _parts(sp.power(clip) @ _bank(), 2 * PARTS)
        levels = 10 * np.log10(np.maximum(means, means.max() * 10 ** (-TOP_DB / 10)))
        # Smoothed before every second is taken: the padding of an encoder shifts a copy by part of a step.
        levels = _smooth(_smooth(levels))[::2]
        levels = (levels - levels.mean(axis=0)).ravel()
        length = float(np.linalg.norm(levels))
        if length < 1.0:
            raise NotApplicable("too even to be told from other recordings")
        return levels / length


def _parts(x: np.ndarray, count: int) -> np.ndarray:
    """Means over equal parts of the first axis, cut between frames where need be [shape=(count, d)]."""
    sums = np.vstack([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0, dtype=np.float64)])
    edges = np.linspace(0, len(x), count + 1)
    at = np.column_stack([np.interp(edges, np.arange(len(sums)), column) for column in sums.T])
    return np.diff(at, axis=0) * count / len(x)


def _smooth(x: np.ndarray) -> np.ndarray:
    padded = np.pad(x, ((1, 1), (0, 0)), mode="edge")
    return (padded[:-2] + 2 * x + padded[2:]) / 4


@cache
def _bank() -> np.ndarray:
    """Bells of equal width on the logarithm of frequency [shape=(513, 12)], float32."""
    middles = np.log(np.geomspace(LOW, HIGH, BANDS))
    width = WIDTH * (middles[1] - middles[0])
    octaves = np.log(np.maximum(sp.frequencies(), 1.0))
    return np.exp(-0.5 * ((octaves[:, None] - middles) / width) ** 2).astype(np.float32)


extractor = Fingerprint()
