"""How fast and how finely the spectrum moves: power of its spectro-temporal modulations.

The two-dimensional spectrum of the auditory spectrogram (Chi, Ru & Shamma, JASA 118, 2005), which Wu, Falk & Chan
(Speech Communication 53, 2011) found to tell emotions apart. Rates are in Hz of time; scales are ripples across the mel
bands: scale 0 is loudness, 1 to 3 the tilt and the broad shape, higher ones formants and fine detail.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._handcrafted import Handcrafted
from affectlake.features.protocol import Column

RATES = (0.5, 1.5, 3.0, 5.0, 8.0, 12.0, 20.0, 35.0)  # Hz; syllables come at 3 to 8
SCALES = (0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 24)  # half ripples over the 40 bands
FLOOR = 1e-3  # dB² of modulation that counts as none
SHORTEST = 1024  # frames that a clip is padded to, so that the slowest band holds several bins

SOURCE = "Chi, Ru & Shamma 2005; Wu, Falk & Chan 2011"


def modulation(clip: AudioClip) -> np.ndarray:
    """dB re 1 dB² of every rate band at every scale band, from the first to the last sound [shape=(7, 10)]."""
    heard = np.flatnonzero(sp.active(clip))
    bands = sp.mel(clip)[heard[0] : heard[-1] + 1]
    ripples = (bands - bands.mean(axis=0)) @ sp.dct_basis(sp.BANDS, SCALES[-1])
    density = _density(ripples)
    hz = np.arange(len(density)) / (2 * (len(density) - 1)) * RATE / sp.HOP
    means = [
        [density[(hz >= slow) & (hz < fast), low:high].mean() for low, high in pairwise(SCALES)]
        for slow, fast in pairwise(RATES)
    ]
    return 10 * np.log10(np.array(means) + FLOOR)


def _density(x: np.ndarray) -> np.ndarray:
    """Power per frame of each column's modulations [shape=(bins, d)]; the same for a long clip as for a short one."""
    window = np.hanning(len(x))[:, None]
    return np.abs(np.fft.rfft(x * window, max(SHORTEST, len(x) + len(x) % 2), axis=0)) ** 2 / len(x)


def _columns() -> list[Column]:
    out = []
    for i, (slow, fast) in enumerate(pairwise(RATES)):
        for low, high in pairwise(SCALES):
            scale = f"scale {low}" if high == low + 1 else f"scales {low} to {high - 1}"
            what = f"Power of modulations of {slow:g} to {fast:g} Hz at {scale}"
            out.append(Column(f"rate_{i}_scale_{low:02d}", "dB re 1 dB²", -30, float("inf"), what, SOURCE))
    return out


class Modulation(Handcrafted):
    """See `affectlake.features.protocol.Extractor`."""

    name = "audio.modulation"
    version = "1"
    parameters: Mapping[str, object] = {**sp.SETTINGS, "rates": RATES, "scales": SCALES, "floor": FLOOR}
    columns: Sequence[Column] = tuple(_columns())
    cost = 2.0
    summary = "Spectro-temporal modulations: how fast and how finely the spectrum moves"

    def measure(self, clip: AudioClip) -> np.ndarray:
        return modulation(clip).ravel()


extractor = Modulation()
