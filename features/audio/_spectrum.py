"""One short-time Fourier transform per clip, and what every audio extractor derives from it.

Arrays are frames first: ``[shape=(frames, bins)]``. Filter banks and definitions follow librosa 0.11, whose functions
the tests compare with; they are written here again because importing librosa costs a worker seconds and numba.
"""

from functools import cache

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.data.sound import RATE, AudioClip

N_FFT = 1024
WINDOW = 640  # 40 ms: three periods of an 80 Hz voice, and half of N_FFT keeps autocorrelations below 384 lags linear
HOP = 160  # 10 ms
BINS = N_FFT // 2 + 1
BANDS = 40
CEPSTRA = 20
AMIN = 1e-10  # power below this counts as this, as in librosa
TOP_DB = 80.0  # levels more than this below the clip's loudest are raised to there, as in librosa
ACTIVE_DB = 40.0  # a frame this far below the loud ones is a pause
SILENT = 1e-4  # half the range of samples below which a clip is silent: three steps of 16 bit

SETTINGS = {
    "n_fft": N_FFT, "window": WINDOW, "hop": HOP, "bands": BANDS, "cepstra": CEPSTRA,
    "active_db": ACTIVE_DB, "silent": SILENT,
}  # fmt: skip
"""What values of every extractor on this spectrum depend on."""

_CHUNK = 2048  # frames transformed at a time: the padded and complex copies of a long recording stay small


def require_sound(clip: AudioClip) -> None:
    """Raise NotApplicable for a silent clip (a constant offset is silence too)."""
    if float(clip.y.max()) - float(clip.y.min()) < 2 * SILENT:
        raise NotApplicable(f"silent: samples stay within {SILENT:g} of their mean")


def centred(clip: AudioClip) -> np.ndarray:
    """Samples about their mean [shape=(n,)]: an offset of the recorder is no sound."""
    return clip.once(_centred)


def _centred(clip: AudioClip) -> np.ndarray:
    return clip.y - clip.y.mean()


def power(clip: AudioClip) -> np.ndarray:
    """``|STFT|²`` of centred Hann windows, float32 [shape=(1 + n // 160, 513)]."""
    return clip.once(_power)


def _power(clip: AudioClip) -> np.ndarray:
    import scipy.fft

    framed = frames(centred(clip), WINDOW)
    window = hann()
    out = np.empty((len(framed), BINS), np.float32)
    for first in range(0, len(framed), _CHUNK):
        spectrum = scipy.fft.rfft(framed[first : first + _CHUNK] * window, N_FFT, axis=1, overwrite_x=True)
        part = out[first : first + _CHUNK]
        np.multiply(spectrum.real, spectrum.real, out=part)
        part += spectrum.imag * spectrum.imag
    return out


def frames(y: np.ndarray, length: int, mode: str = "constant") -> np.ndarray:
    """View of windows centred at every `HOP` samples [shape=(1 + n // 160, length)]."""
    padded = np.pad(y, length // 2, mode=mode)
    return np.lib.stride_tricks.sliding_window_view(padded, length)[::HOP]


@cache
def hann() -> np.ndarray:
    """Periodic Hann window [shape=(640,)], float32."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


@cache
def frequencies() -> np.ndarray:
    """Hz of each bin [shape=(513,)], float32."""
    return (np.arange(BINS) * (RATE / N_FFT)).astype(np.float32)


def magnitude(clip: AudioClip) -> np.ndarray:
    """``|STFT|`` [shape=(frames, 513)]."""
    return clip.once(_magnitude)


def _magnitude(clip: AudioClip) -> np.ndarray:
    return np.sqrt(power(clip))


def rms(clip: AudioClip) -> np.ndarray:
    """Root mean square of each 40 ms frame [shape=(frames,)], in [0, 1] for samples in [-1, 1]."""
    return clip.once(_rms)


def _rms(clip: AudioClip) -> np.ndarray:
    return np.sqrt(window_sums(np.square(centred(clip), dtype=np.float64)) / WINDOW).astype(np.float32)


def window_sums(x: np.ndarray) -> np.ndarray:
    """Sum of ``x`` over each 40 ms window, zeros outside [shape=(1 + n // 160,)], float64."""
    total = np.concatenate([[0.0], np.cumsum(x, dtype=np.float64)])
    centre = np.arange(1 + len(x) // HOP) * HOP
    begin, stop = centre - WINDOW // 2, centre + WINDOW // 2
    return total[np.clip(stop, 0, len(x))] - total[np.clip(begin, 0, len(x))]


def level(clip: AudioClip) -> np.ndarray:
    """dB re full scale of each frame, at least -120 [shape=(frames,)]."""
    return clip.once(_level)


def _level(clip: AudioClip) -> np.ndarray:
    return 20 * np.log10(np.maximum(rms(clip), 1e-6))


def active(clip: AudioClip) -> np.ndarray:
    """Frames within 40 dB of the clip's loud ones (95th percentile): sound, not pause; bool [shape=(frames,)]."""
    return clip.once(_active)


def _active(clip: AudioClip) -> np.ndarray:
    heard = level(clip)
    return heard >= np.percentile(heard, 95) - ACTIVE_DB


def decibels(x: np.ndarray) -> np.ndarray:
    """``10 log10`` with the floors `AMIN` and `TOP_DB` below the largest value, as librosa's power_to_db."""
    out = 10 * np.log10(np.maximum(x, AMIN))
    return np.maximum(out, out.max() - TOP_DB)


def mel(clip: AudioClip) -> np.ndarray:
    """Mel spectrogram in dB re 1 [shape=(frames, 40)]; as power_to_db(librosa.feature.melspectrogram)."""
    return clip.once(_mel)


def _mel(clip: AudioClip) -> np.ndarray:
    return decibels(power(clip) @ mel_bank(BANDS))


def mfcc(clip: AudioClip) -> np.ndarray:
    """Mel-frequency cepstra [shape=(frames, 20)]; as librosa.feature.mfcc."""
    return clip.once(_mfcc)


def _mfcc(clip: AudioClip) -> np.ndarray:
    return mel(clip) @ dct_basis(BANDS, CEPSTRA)


@cache
def mel_bank(bands: int, low: float = 0.0, high: float = RATE / 2, n_fft: int = N_FFT) -> np.ndarray:
    """Slaney's triangular filters of equal area [shape=(1 + n_fft // 2, bands)], float32; as librosa.filters.mel."""
    edges = _mel_to_hz(np.linspace(_hz_to_mel(low), _hz_to_mel(high), bands + 2))
    bins = np.arange(1 + n_fft // 2) * (RATE / n_fft)
    rise = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    return (np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))).astype(np.float32)


def _hz_to_mel(hz: float) -> float:
    """Slaney's scale: linear below 1000 Hz, logarithmic above."""
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


@cache
def chroma_bank() -> np.ndarray:
    """Pitch-class filters, Gaussian in pitch, about 440 Hz's octave [shape=(513, 12)]; as librosa.filters.chroma."""
    pitch = 12 * np.log2(np.arange(1, N_FFT) * (RATE / N_FFT) / (440 / 16))
    pitch = np.concatenate([[pitch[0] - 18], pitch])  # the bin of 0 Hz stands an octave and a half below the first
    width = np.concatenate([np.maximum(np.diff(pitch), 1), [1]])
    distance = (pitch[:, None] - np.arange(12) + 126) % 12 - 6
    bank = np.exp(-0.5 * (2 * distance / width[:, None]) ** 2)
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    bank *= np.exp(-0.5 * ((pitch / 12 - 5) / 2) ** 2)[:, None]
    return np.roll(bank, -3, axis=1)[:BINS].astype(np.float32)


@cache
def dct_basis(bands: int, coefficients: int) -> np.ndarray:
    """Orthonormal DCT-II [shape=(bands, coefficients)], float32."""
    angle = np.pi / bands * (np.arange(bands) + 0.5)[:, None] * np.arange(coefficients)
    basis = np.cos(angle) * np.sqrt(2 / bands)
    basis[:, 0] /= np.sqrt(2)
    return basis.astype(np.float32)


def flux(clip: AudioClip) -> np.ndarray:
    """Euclidean distance between neighbouring frames' shares of magnitude [shape=(frames,)], in [0, √2]."""
    return clip.once(_flux)


def _flux(clip: AudioClip) -> np.ndarray:
    change = np.diff(shares(clip), axis=0, prepend=shares(clip)[:1])
    return np.sqrt(np.einsum("ij,ij->i", change, change))


def shares(clip: AudioClip) -> np.ndarray:
    """Each bin's share of its frame's magnitude [shape=(frames, 513)]."""
    return clip.once(_shares)


def _shares(clip: AudioClip) -> np.ndarray:
    spectrum = magnitude(clip)
    return normalised(spectrum, spectrum.sum(axis=1))


def normalised(x: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """Rows over their norm; rows whose norm is next to nothing are left, as in librosa.util.normalize."""
    return x / np.where(norm < np.finfo(np.float32).tiny, 1, norm)[:, None]
