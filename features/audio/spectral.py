"""Timbre: functionals of cepstra, mel bands, chroma and the spectrum's shape, all from one Fourier transform."""

from collections.abc import Mapping, Sequence

import numpy as np

from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._functionals import Contour, functionals
from affectlake.features.audio._handcrafted import Handcrafted
from affectlake.features.protocol import Column

ROLLOFF = 0.85
CONTRAST_LOW = 200.0  # Hz, upper edge of the lowest of seven octave bands
CONTRAST_QUANTILE = 0.02

LIBROSA = "librosa 0.11, librosa.feature."
SHAPE = ("mean", "std", "p10", "p50", "p90", "slope", "dstd")
INF = float("inf")


def relative_mel(clip: AudioClip) -> np.ndarray:
    """Mel bands in dB above the mean of all bands in frames with sound [shape=(frames, 40)]: free of loudness."""
    bands = sp.mel(clip)
    return bands - bands[sp.active(clip)].mean()


def chroma(clip: AudioClip) -> np.ndarray:
    """Energy per pitch class over the frame's largest [shape=(frames, 12)]; as librosa.feature.chroma_stft."""
    raw = sp.power(clip) @ sp.chroma_bank()
    return sp.normalised(raw, raw.max(axis=1))


def tonnetz(pitch_classes: np.ndarray) -> np.ndarray:
    """Tonal centroids [shape=(frames, 6)]; as librosa.feature.tonnetz of the same chroma."""
    return sp.normalised(pitch_classes, pitch_classes.sum(axis=1)) @ _tonnetz_basis()


def _tonnetz_basis() -> np.ndarray:
    scale = np.array([7 / 6, 7 / 6, 3 / 2, 3 / 2, 2 / 3, 2 / 3])
    angle = np.outer(np.arange(12), scale)
    angle[:, ::2] -= 0.5  # even ones are sines
    return (np.cos(np.pi * angle) * [1, 1, 1, 1, 0.5, 0.5]).astype(np.float32)


def contrast(clip: AudioClip) -> np.ndarray:
    """dB from valley to peak in seven octave bands [shape=(frames, 7)]; as librosa.feature.spectral_contrast."""
    spectrum = sp.magnitude(clip)
    valleys, peaks = [], []
    for band, count in _octaves():
        few = np.partition(spectrum[:, band], (count - 1, -count), axis=1)
        valleys.append(few[:, :count].mean(axis=1))
        peaks.append(few[:, -count:].mean(axis=1))
    return sp.decibels(np.stack(peaks, axis=1)) - sp.decibels(np.stack(valleys, axis=1))


def _octaves() -> list[tuple[slice, int]]:
    """Bins of each band and how many of them make its peak and its valley."""
    edges = [0.0, *(CONTRAST_LOW * 2.0**k for k in range(7))]
    bands = []
    for k, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        first, last = int(np.ceil(low * sp.N_FFT / RATE)), min(int(high * sp.N_FFT / RATE), sp.BINS - 1)
        if k > 0:
            first -= 1
        if k == 6:
            last = sp.BINS - 1
        count = max(1, int(np.rint(CONTRAST_QUANTILE * (last + 1 - first))))
        bands.append((slice(first, last + 1 if k == 6 else last), count))
    return bands


def centroid(clip: AudioClip) -> np.ndarray:
    """Hz of the magnitude spectrum's centre [shape=(frames,)]; as librosa.feature.spectral_centroid."""
    return sp.shares(clip) @ sp.frequencies()


def bandwidth(clip: AudioClip, centre: np.ndarray) -> np.ndarray:
    """Hz of spread about the centroid [shape=(frames,)]; as librosa.feature.spectral_bandwidth."""
    shares, hz = sp.shares(clip), sp.frequencies().astype(np.float64)
    return np.sqrt(np.maximum(shares @ hz**2 - 2 * centre * (shares @ hz) + centre**2 * shares.sum(axis=1), 0))


def rolloff(clip: AudioClip) -> np.ndarray:
    """Hz below which 85 % of the magnitude lies [shape=(frames,)]; as librosa.feature.spectral_rolloff."""
    total = np.cumsum(sp.magnitude(clip), axis=1)
    return sp.frequencies()[(total < ROLLOFF * total[:, -1:]).sum(axis=1)]


def flatness(clip: AudioClip) -> np.ndarray:
    """dB of geometric over arithmetic mean power [shape=(frames,)], <= 0; librosa.feature.spectral_flatness in dB."""
    floored = np.maximum(sp.power(clip), sp.AMIN)
    return 10 / np.log(10) * (np.log(floored).mean(axis=1) - np.log(floored.mean(axis=1)))


def zero_crossings(clip: AudioClip) -> np.ndarray:
    """Share of sample pairs that change sign [shape=(frames,)]; as librosa.feature.zero_crossing_rate."""
    y = sp.centred(clip)
    y = np.pad(np.where(np.abs(y) <= sp.AMIN, np.float32(0), y), sp.WINDOW // 2, mode="edge")
    changes = np.concatenate([[0], np.cumsum(np.signbit(y[1:]) != np.signbit(y[:-1]))])
    begin = np.arange(1 + len(clip.y) // sp.HOP) * sp.HOP
    return (changes[begin + sp.WINDOW - 1] - changes[begin]) / sp.WINDOW


def _names(prefix: str, count: int, first: int = 0) -> list[str]:
    return [f"{prefix}_{i:02d}" for i in range(first, first + count)]


CONTOURS: tuple[Contour, ...] = (
    Contour(["level"], "dB re full scale", -120, 20, "Level of the frame", "20 log10 of the RMS", SHAPE),
    Contour(["mfcc_00"], "dB", -INF, INF, "Cepstral coefficient 0 (loudness)", LIBROSA + "mfcc", SHAPE),
    Contour(
        _names("mfcc", sp.CEPSTRA - 1, 1), "dB", -INF, INF, "Cepstral coefficient 1 + {}", LIBROSA + "mfcc",
        ("mean", "std", "p10", "p90", "slope", "dstd", "ddstd"),
    ),
    Contour(
        _names("mel", sp.BANDS), "dB", -INF, INF, "Mel band {} of 40 relative to the clip's mean over bands",
        LIBROSA + "melspectrogram", ("mean", "std", "p90"),
    ),
    Contour(_names("chroma", 12), "1", 0, 1, "Pitch class {} (0 is C)", LIBROSA + "chroma_stft", ("mean", "std")),
    Contour(_names("tonnetz", 6), "1", -1, 1, "Tonal centroid dimension {}", LIBROSA + "tonnetz", ("mean", "std")),
    Contour(
        _names("contrast", 7), "dB", 0, INF, "Spectral contrast of octave band {}", LIBROSA + "spectral_contrast",
        ("mean", "std"),
    ),
    Contour(["centroid"], "Hz", 0, RATE / 2, "Spectral centroid", LIBROSA + "spectral_centroid", SHAPE),
    Contour(["bandwidth"], "Hz", 0, RATE / 2, "Spectral bandwidth", LIBROSA + "spectral_bandwidth", SHAPE),
    Contour(["rolloff"], "Hz", 0, RATE / 2, "85 % roll-off", LIBROSA + "spectral_rolloff", SHAPE),
    Contour(["flatness"], "dB", -INF, 0, "Spectral flatness", LIBROSA + "spectral_flatness", SHAPE),
    Contour(["flux"], "1", 0, 2**0.5, "Spectral flux", "Euclidean distance of normalised spectra", SHAPE),
    Contour(["zcr"], "1", 0, 1, "Zero-crossing rate", LIBROSA + "zero_crossing_rate", SHAPE),
)  # fmt: skip


def contours(clip: AudioClip) -> list[np.ndarray]:
    """The arrays that `CONTOURS` describes, each [shape=(frames, d)]."""
    cepstra, pitch_classes, centre = sp.mfcc(clip), chroma(clip), centroid(clip)
    single = (
        centre, bandwidth(clip, centre), rolloff(clip), flatness(clip), sp.flux(clip), zero_crossings(clip),
    )  # fmt: skip
    return [
        sp.level(clip)[:, None],
        cepstra[:, :1],
        cepstra[:, 1:],
        relative_mel(clip),
        pitch_classes,
        tonnetz(pitch_classes),
        contrast(clip),
        *(x[:, None] for x in single),
    ]


class Spectral(Handcrafted):
    """See `affectlake.features.protocol.Extractor`; columns are functionals over the frames with sound."""

    name = "audio.spectral"
    version = "1"
    parameters: Mapping[str, object] = {
        **sp.SETTINGS, "rolloff": ROLLOFF, "contrast_low": CONTRAST_LOW,
    }  # fmt: skip
    columns: Sequence[Column] = tuple(column for contour in CONTOURS for column in contour.columns())
    cost = 5.0
    summary = "Cepstra, mel bands, chroma, contrast and spectral shape: functionals over the frames with sound"

    def measure(self, clip: AudioClip) -> np.ndarray:
        keep, step = sp.active(clip), sp.HOP / RATE
        values = [functionals(x, c.statistics, keep, step) for c, x in zip(CONTOURS, contours(clip), strict=True)]
        return np.concatenate(values)


extractor = Spectral()
