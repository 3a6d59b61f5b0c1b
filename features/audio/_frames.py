"""Frame-wise quantities of eGeMAPS: pitch in semitones, loudness, cepstra, flux, spectral balance, harmonics.

Eyben et al., IEEE Trans. Affective Computing 7(2), 2016. Power is that of 20 ms frames, but for the harmonics.
"""

from functools import cache

import numpy as np

from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _spectrum as sp

LOUDNESS_SCALE = 3.03e-4  # of the power of 20 ms frames, so that the unit is openSMILE's
LIFTER = 22
FULL_SCALE_F0 = 27.5  # Hz of semitone 0


def semitones(hz: np.ndarray) -> np.ndarray:
    """Semitones above 27.5 Hz; NaN where ``hz`` is 0."""
    return 12 * np.log2(np.where(hz > 0, hz, np.nan) / FULL_SCALE_F0)


def bands(clip: AudioClip) -> np.ndarray:
    """Power in 26 mel bands of 20 ms frames [shape=(frames, 26)]."""
    return clip.once(_bands)


def _bands(clip: AudioClip) -> np.ndarray:
    return sp.short_power(clip) @ sp.htk_bank()[0]


def loudness(clip: AudioClip) -> np.ndarray:
    """Perceived loudness [shape=(frames,)]: mel bands weighted by equal loudness, to the power 0.33, summed.

    The auditory spectrum of Hermansky (PLP, JASA 87, 1990), as the paper prescribes; its unit is arbitrary.
    """
    return clip.once(_loudness)


def _loudness(clip: AudioClip) -> np.ndarray:
    return ((bands(clip) * _equal_loudness()) ** np.float32(0.33)).sum(axis=1)


@cache
def _equal_loudness() -> np.ndarray:
    w2 = (2 * np.pi * sp.htk_bank()[1]) ** 2
    curve = (w2 + 56.8e6) * w2**2 / ((w2 + 6.3e6) ** 2 * (w2 + 0.38e9)) / (1 + w2**3 / 9.58e26)
    return (LOUDNESS_SCALE * curve).astype(np.float32)


def cepstra(clip: AudioClip) -> np.ndarray:
    """Cepstral coefficients 1 to 4 of the 26 bands' natural logarithm, liftered as HTK's [shape=(frames, 4)].

    Bands are floored 80 dB below the clip's loudest: by openSMILE's floor, which is absolute, they would know the gain.
    """
    return np.log(sp.floored(bands(clip), sp.TOP_DB)) @ _cepstral_basis()


@cache
def _cepstral_basis() -> np.ndarray:
    k = np.arange(1, 5)
    return sp.dct_basis(26, 5)[:, 1:] * (1 + LIFTER / 2 * np.sin(np.pi * k / LIFTER)).astype(np.float32)


def flux(clip: AudioClip) -> np.ndarray:
    """Root mean square change of magnitudes below 5 kHz from one 20 ms frame to the next [shape=(frames,)]."""
    return clip.once(_flux)


def _flux(clip: AudioClip) -> np.ndarray:
    low = sp.short_power(clip)[:, : _bin(5000) + 1]
    return sp.changes(low) / np.float32(np.sqrt(low.shape[1]))


def flux_per_level(clip: AudioClip) -> np.ndarray:
    """`flux` over the root mean square magnitude of the clip's frames with sound [shape=(frames,)]."""
    low = sp.short_power(clip)[:, : _bin(5000) + 1]
    return flux(clip) / np.sqrt(max(float(low.mean(axis=1)[sp.active(clip)].mean()), 1e-30))


def _bin(hz: float) -> int:
    return int(hz * sp.SHORT_FFT / RATE)


def _db(x: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(x, 1e-20))


def balance(clip: AudioClip) -> dict[str, np.ndarray]:
    """Alpha ratio, Hammarberg index (dB) and the two slopes (dB/kHz) of every 20 ms frame; 0 of digital silence."""
    return clip.once(_balance)


def _balance(clip: AudioClip) -> dict[str, np.ndarray]:
    power = sp.short_power(clip)
    low, high = power[:, _bin(50) : _bin(1000)].sum(axis=1), power[:, _bin(1000) : _bin(5000) + 1].sum(axis=1)
    below, above = power[:, : _bin(2000) + 1].max(axis=1), power[:, _bin(2000) : _bin(5000) + 1].max(axis=1)
    slopes = _db(power[:, : _bin(1500) + 1]) @ _slope_weights()
    return {
        "alpha_ratio": _db(high) - _db(low),
        "hammarberg": _db(below) - _db(above),
        "slope_0_500": slopes[:, 0],
        "slope_500_1500": slopes[:, 1],
    }


@cache
def _slope_weights() -> np.ndarray:
    """What takes bins up to 1500 Hz, in dB, to the least-squares slopes of 0-500 and 500-1500 Hz [shape=(49, 2)]."""
    khz = np.arange(_bin(1500) + 1) * RATE / sp.SHORT_FFT / 1000
    away = [np.where(inside, khz - khz[inside].mean(), 0) for inside in (khz <= 0.5, khz >= 0.5)]
    return np.stack([x / (x @ x) for x in away], axis=1).astype(np.float32)


def harmonics(power: np.ndarray, hz: np.ndarray, formants: np.ndarray) -> np.ndarray:
    """H1-H2, H1-A3 and the amplitudes at F1 to F3 over H1, in dB, of voiced frames [shape=(frames, 5)]."""
    first, second = _strongest(power, hz[:, None] * [1, 2], reach=1).T
    # Nearest harmonic to each formant, searched for within half a low voice's F0.
    at = _strongest(power, hz[:, None] * np.maximum(np.rint(formants / hz[:, None]), 1), reach=4)
    return np.column_stack([first - second, first - at[:, 2], at - first[:, None]])


def _strongest(power: np.ndarray, hz: np.ndarray, reach: int) -> np.ndarray:
    """dB of the strongest of the bins about each of ``hz`` [shape=(frames, k)]; NaN where that is."""
    centre = np.rint(np.nan_to_num(hz) * sp.N_FFT / RATE).astype(int)
    near = np.clip(centre[:, :, None] + np.arange(-reach, reach + 1), 1, sp.BINS - 1)
    peak = _db(power[np.arange(len(power))[:, None, None], near].max(axis=2))
    return np.where(np.isnan(hz), np.nan, peak)
