"""One short-time Fourier transform per clip, and what every audio extractor derives from it.

Arrays are frames first: ``[shape=(frames, bins)]``. Windows, filter banks and cepstra are librosa's. What is
written here although librosa 0.11 has it says why: it is slower there by a measured ratio (`benchmarks/spectra.py`,
docs/measured/audio.md), takes more memory, or follows the recording's level. Tests compare both.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Literal

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio._functionals import percentile

N_FFT = 1024
WINDOW = 640  # 40 ms: three periods of an 80 Hz voice, and half of N_FFT keeps autocorrelations below 384 lags linear
HOP = 160  # 10 ms
BINS = N_FFT // 2 + 1
SHORT_WINDOW = 320  # 20 ms
SHORT_FFT = 512
BANDS = 40
CEPSTRA = 20
TOP_DB = 80.0  # levels more than this below the clip's loudest are raised to there, as in librosa
ACTIVE_DB = 40.0  # a frame this far below the loud ones is a pause
SILENT = 1e-4  # half the range of samples below which a clip is silent: three steps of 16 bit

SETTINGS = {
    "n_fft": N_FFT, "window": WINDOW, "hop": HOP, "bands": BANDS, "cepstra": CEPSTRA,
    "active_db": ACTIVE_DB, "silent": SILENT,
}  # fmt: skip
"""What values of every extractor on this spectrum depend on."""

_ROWS = 256
_CHUNK = 64  # frames transformed at a time: what lies between stays in the processor's cache


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
    return squared_spectrum(centred(clip), hann(), N_FFT)


def short_power(clip: AudioClip) -> np.ndarray:
    """``|STFT|²`` of 20 ms Hamming windows about the same centres, float32 [shape=(1 + n // 160, 257)]."""
    return clip.once(_short_power)


def _short_power(clip: AudioClip) -> np.ndarray:
    # About the median, not the mean: stretches of digital silence stay silent.
    return squared_spectrum(clip.y - np.median(clip.y[::8]), hamming(), SHORT_FFT)


def squared_spectrum(y: np.ndarray, window: np.ndarray, n_fft: int) -> np.ndarray:
    """Squared magnitudes of windows about every `HOP` samples [shape=(1 + n // 160, 1 + n_fft // 2)], float32."""
    # Not librosa.stft: 2.5 times the time, and complex numbers of the whole recording.
    framed = frames(y, len(window))
    out = np.empty((len(framed), n_fft // 2 + 1), np.float32)
    padded = np.zeros((min(_CHUNK, len(framed)), n_fft), np.float32)
    for first in range(0, len(framed), _CHUNK):
        part = out[first : first + _CHUNK]
        np.multiply(framed[first : first + _CHUNK], window, out=padded[: len(part), : len(window)])
        squared(padded[: len(part)], out=part)
    return out


def squared(framed: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Squared magnitudes of each row's transform [shape=(rows, 1 + n // 2)], float32."""
    import scipy.fft

    spectrum = scipy.fft.rfft(framed, axis=1).view(np.float32)
    spectrum *= spectrum
    return np.add(spectrum[:, ::2], spectrum[:, 1::2], out=out)


def frames(y: np.ndarray, length: int, mode: Literal["constant", "edge", "reflect"] = "constant") -> np.ndarray:
    """View of windows centred at every `HOP` samples [shape=(1 + n // 160, length)]."""
    padded = np.pad(y, length // 2, mode=mode)
    return np.lib.stride_tricks.sliding_window_view(padded, length)[::HOP]


@cache
def hann() -> np.ndarray:
    """Periodic Hann window [shape=(640,)], float32."""
    from librosa import filters

    return filters.get_window("hann", WINDOW).astype(np.float32)


@cache
def hamming() -> np.ndarray:
    """Hamming window of eGeMAPS' spectral parameters [shape=(320,)], float32."""
    return np.hamming(SHORT_WINDOW).astype(np.float32)


@cache
def frequencies() -> np.ndarray:
    """Hz of each bin [shape=(513,)], float32."""
    return (np.arange(BINS) * (RATE / N_FFT)).astype(np.float32)


def of_magnitudes(clip: AudioClip, *measures: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
    """Each measure of ``|STFT|`` [shape=(rows, 513)], block by block: no whole spectrum is made for them."""
    parts = []
    for rows in blocks(len(power(clip))):
        magnitude = np.sqrt(power(clip)[rows])
        parts.append([measure(magnitude) for measure in measures])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def rms(clip: AudioClip) -> np.ndarray:
    """Root mean square of each 40 ms frame [shape=(frames,)], in [0, 1] for samples in [-1, 1]."""
    return clip.once(_rms)


def _rms(clip: AudioClip) -> np.ndarray:
    # Not librosa.feature.rms: 3.3 times the time, and four times the recording's memory.
    blocks = hops(centred(clip))
    return np.sqrt(window_sums(np.einsum("ij,ij->i", blocks, blocks)) / WINDOW)


def hops(y: np.ndarray) -> np.ndarray:
    """``y`` in blocks of `HOP` samples from half a window before its beginning, zeros outside [shape=(k, 160)]."""
    count = 1 + len(y) // HOP
    padded = np.zeros((count - 1) * HOP + WINDOW, y.dtype)
    inside = y[: len(padded) - WINDOW // 2]
    padded[WINDOW // 2 : WINDOW // 2 + len(inside)] = inside
    return padded.reshape(-1, HOP)


def window_sums(x: np.ndarray) -> np.ndarray:
    """Sums over each 40 ms window of sums over the blocks of `hops` [shape=(1 + n // 160,)]."""
    return x[:-3] + x[1:-2] + x[2:-1] + x[3:]


def level(clip: AudioClip) -> np.ndarray:
    """dB re full scale of each frame, those raised that are more than 100 below the loudest [shape=(frames,)]."""
    return clip.once(_level)


def _level(clip: AudioClip) -> np.ndarray:
    return decibels(np.square(rms(clip)), 100.0)


def active(clip: AudioClip) -> np.ndarray:
    """Frames within 40 dB of the clip's loud ones (95th percentile): sound, not pause; bool [shape=(frames,)]."""
    return clip.once(_active)


def _active(clip: AudioClip) -> np.ndarray:
    heard = level(clip)
    return heard >= percentile(np.sort(heard), 95) - ACTIVE_DB


def near(y: np.ndarray, flags: np.ndarray, seconds: float) -> np.ndarray:
    """Samples within some seconds of a frame that is flagged [shape=(m,)]."""
    return y[np.repeat(widened(flags, seconds), HOP)[: len(y)]]


def widened(flags: np.ndarray, seconds: float) -> np.ndarray:
    """Frames within some seconds of one that is flagged; bool [shape=(frames,)]."""
    reach = round(seconds * RATE / HOP)
    return np.asarray(np.convolve(flags, np.ones(2 * reach + 1), "full")[reach : len(flags) + reach] > 0)


def decibels(x: np.ndarray, top: float = TOP_DB) -> np.ndarray:
    """``10 log10`` with a floor ``top`` below the largest value, whatever that is."""
    # Not librosa.power_to_db, whose values these are: its import takes 42 MiB of a worker that runs the encoder alone.
    logs = 10 * np.log10(np.maximum(x, np.finfo(np.float32).tiny))
    return np.asarray(np.maximum(logs, logs.max() - top))


def floored(x: np.ndarray, top: float) -> np.ndarray:
    """Powers, those raised that are more than ``top`` dB below the largest."""
    return np.maximum(x, max(x.max() * np.float32(10 ** (-top / 10)), np.finfo(np.float32).tiny))


def mel(clip: AudioClip) -> np.ndarray:
    """Mel spectrogram in dB re 1 [shape=(frames, 40)]; as power_to_db(librosa.feature.melspectrogram)."""
    return clip.once(_mel)


def _mel(clip: AudioClip) -> np.ndarray:
    # Not librosa.feature.melspectrogram: 2.8 times the time, for it makes its bank anew at every call.
    return decibels(power(clip) @ mel_bank(BANDS))


def mfcc(clip: AudioClip) -> np.ndarray:
    """Mel-frequency cepstra [shape=(frames, 20)]."""
    return clip.once(_mfcc)


def _mfcc(clip: AudioClip) -> np.ndarray:
    from librosa import feature

    return feature.mfcc(S=mel(clip).T, n_mfcc=CEPSTRA).T


@cache
def mel_bank(bands: int, low: float = 0.0, high: float = RATE / 2, n_fft: int = N_FFT) -> np.ndarray:
    """Slaney's triangular filters of equal area [shape=(1 + n_fft // 2, bands)], float32."""
    from librosa import filters

    return np.ascontiguousarray(filters.mel(sr=RATE, n_fft=n_fft, n_mels=bands, fmin=low, fmax=high).T)


def _triangles(x: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Heights at ``x`` of triangles of height 1 between every other edge [shape=(len(x), len(edges) - 2)]."""
    rise = (x[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - x[:, None]) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rise, fall))


@cache
def htk_bank() -> tuple[np.ndarray, np.ndarray]:
    """Triangles on the mel scale of `short_power` [shape=(257, 26)] and Hz of their tops [shape=(26,)]; as HTK's."""
    # Not librosa.filters.mel(htk=True): its triangles are straight in Hz, HTK's and openSMILE's on the mel scale.
    mel = 1127 * np.log1p(np.arange(1 + SHORT_FFT // 2) * (RATE / SHORT_FFT) / 700)
    lowest, highest = 1127 * np.log1p(np.array([20.0, RATE / 2]) / 700)
    edges = np.linspace(lowest, highest, 28)
    return _triangles(mel, edges).astype(np.float32), 700 * np.expm1(edges[1:-1] / 1127)


@cache
def chroma_bank() -> np.ndarray:
    """Pitch-class filters about 440 Hz's octave [shape=(513, 12)], float32."""
    from librosa import filters

    return np.ascontiguousarray(filters.chroma(sr=RATE, n_fft=N_FFT, tuning=0.0).T)


@cache
def dct_basis(bands: int, coefficients: int) -> np.ndarray:
    """Orthonormal DCT-II [shape=(bands, coefficients)], float32."""
    import scipy.fft

    return scipy.fft.dct(np.eye(bands), norm="ortho", axis=1)[:, :coefficients].astype(np.float32)


def flux(clip: AudioClip) -> np.ndarray:
    """Euclidean distance between neighbouring frames' shares of magnitude [shape=(frames,)], in [0, √2]."""
    return clip.once(_flux)


def _flux(clip: AudioClip) -> np.ndarray:
    return changes(power(clip), shares=True)


def changes(power: np.ndarray, shares: bool = False) -> np.ndarray:
    """Euclidean distance of each frame's magnitudes (or shares) from those before, 0 of the first [shape=(frames,)]."""
    out = np.zeros(len(power), np.float32)
    for rows in blocks(len(power) - 1):
        part = np.sqrt(power[rows.start : rows.stop + 1])
        if shares:
            part /= _norm(part.sum(axis=1))
        change = part[1:] - part[:-1]
        out[rows.start + 1 : rows.stop + 1] = np.sqrt(np.einsum("ij,ij->i", change, change))
    return out


def blocks(count: int) -> Iterator[slice]:
    """Rows in turn, few enough that what is made of them is small for a recording of any length."""
    return (slice(first, min(first + _ROWS, count)) for first in range(0, count, _ROWS))


def normalised(x: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """Rows over their norm, any norm; rows whose norm is next to nothing are left, as in librosa.util.normalize."""
    return x / _norm(norm)


def _norm(norm: np.ndarray) -> np.ndarray:
    return np.where(norm < np.finfo(np.float32).tiny, 1, norm)[:, None]
