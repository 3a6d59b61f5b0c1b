"""Timbre: functionals of cepstra, mel bands, chroma and the spectrum's shape, all from one Fourier transform."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise

import numpy as np

from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._functionals import Contour, functionals
from affectlake.features.audio._handcrafted import Handcrafted
from affectlake.features.protocol import Column

ROLLOFF = 0.85
CONTRAST_LOW = 200.0  # Hz, upper edge of the lowest of seven octave bands
CONTRAST_QUANTILE = 0.02
NOTHING = 1e-14  # of the clip's largest power: less counts as this where a logarithm is taken
_BLOCK = 27  # of 513 bins: 19 blocks

LIBROSA = "librosa 0.11, librosa.feature."
SHAPE = ("mean", "std", "p10", "p50", "p90", "slope", "dstd")
PLACE = ("p10", "p50", "p90")
INF = float("inf")


def relative_mel(clip: AudioClip) -> np.ndarray:
    """Mel bands in dB above the mean of all bands in frames with sound [shape=(frames, 40)]: free of loudness."""
    bands = sp.mel(clip)
    return bands - bands[sp.active(clip)].mean()


def chroma(clip: AudioClip) -> np.ndarray:
    """Energy per pitch class over the frame's largest [shape=(frames, 12)]; as librosa.feature.chroma_stft."""
    from librosa import util

    # Not chroma_stft itself: 3.0 times the time, for it makes its bank anew at every call.
    return util.normalize(sp.power(clip) @ sp.chroma_bank(), axis=1)


def tonnetz(pitch_classes: np.ndarray) -> np.ndarray:
    """Tonal centroids [shape=(frames, 6)] of chroma [shape=(frames, 12)]."""
    from librosa import feature

    return feature.tonnetz(chroma=pitch_classes.T, sr=RATE).T


def contrast(clip: AudioClip) -> np.ndarray:
    """dB from valley to peak in seven octave bands [shape=(frames, 7)]; as librosa.feature.spectral_contrast."""
    # Not librosa's own: 1.6 times the time, and floors that are absolute, so that quiet recordings lose contrast.
    extremes = clip.once(_shape)[0]
    return sp.decibels(extremes[:, 1]) - sp.decibels(extremes[:, 0])


def _shape(clip: AudioClip) -> list[np.ndarray]:
    """Extremes of the bands, sums weighted by Hz, roll-off: what reads magnitudes, while they are in the cache."""
    return sp.of_magnitudes(clip, _extremes, lambda magnitude: magnitude @ _powers_of_hz(), _rolloff)


def _extremes(spectrum: np.ndarray) -> np.ndarray:
    """Valley and peak of each band [shape=(frames, 2, 7)]."""
    out = np.empty((len(spectrum), 2, len(_octaves())), np.float32)
    for k, (band, count) in enumerate(_octaves()):
        ordered = np.sort(spectrum[:, band], axis=1)  # several times as fast as np.partition
        if count == 1:
            out[:, :, k] = ordered[:, [0, -1]]
        else:
            ordered[:, :count].mean(axis=1, out=out[:, 0, k])
            ordered[:, -count:].mean(axis=1, out=out[:, 1, k])
    return out


@cache
def _octaves() -> list[tuple[slice, int]]:
    """Bins of each band and how many of them make its peak and its valley."""
    edges = [0.0, *(CONTRAST_LOW * 2.0**k for k in range(7))]
    bands = []
    for k, (low, high) in enumerate(pairwise(edges)):
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
    return clip.once(_moments)[:, 1]


def bandwidth(clip: AudioClip) -> np.ndarray:
    """Hz of spread about the centroid [shape=(frames,)]; as librosa.feature.spectral_bandwidth."""
    _, centre, square = clip.once(_moments).T
    return np.sqrt(np.maximum(square - centre**2, 0))


def _moments(clip: AudioClip) -> np.ndarray:
    """1, mean of Hz and of Hz², weighted by magnitude [shape=(frames, 3)]; 0 of digital silence."""
    # Not librosa's spectral_centroid and spectral_bandwidth: 16 times the time, for each bin's distance in each frame.
    sums = clip.once(_shape)[1]
    return sp.normalised(sums, sums[:, 0])


@cache
def _powers_of_hz() -> np.ndarray:
    return np.stack([sp.frequencies() ** k for k in range(3)], axis=1)


def rolloff(clip: AudioClip) -> np.ndarray:
    """Hz below which 85 % of the magnitude lies [shape=(frames,)]; as librosa.feature.spectral_rolloff."""
    return clip.once(_shape)[2]


def _rolloff(magnitude: np.ndarray) -> np.ndarray:
    # Not librosa's own: 3.4 times the time. Blocks of bins first, so that only the block in which the share is reached
    # is summed bin by bin.
    blocks = magnitude.reshape(len(magnitude), -1, _BLOCK)
    total = np.cumsum(blocks.sum(axis=2), axis=1)
    wanted = ROLLOFF * total[:, -1:]
    block = np.minimum((total < wanted).sum(axis=1), blocks.shape[1] - 1)
    rows = np.arange(len(blocks))
    below = np.where(block > 0, total[rows, block - 1], 0)[:, None]
    inside = (below + np.cumsum(blocks[rows, block], axis=1) < wanted).sum(axis=1)
    return sp.frequencies()[np.minimum(block * _BLOCK + inside, sp.BINS - 1)]


def flatness(clip: AudioClip) -> np.ndarray:
    """dB of geometric over arithmetic mean power [shape=(frames,)], <= 0."""
    from librosa import feature

    power = sp.power(clip)
    nothing = power.max() * np.float32(NOTHING)
    shares = [feature.spectral_flatness(S=power[rows].T, amin=nothing, power=1)[0] for rows in sp.blocks(len(power))]
    return 10 * np.log10(np.concatenate(shares))


def zero_crossings(clip: AudioClip) -> np.ndarray:
    """Share of sample pairs that change sign [shape=(frames,)]; as librosa.feature.zero_crossing_rate."""
    # Not librosa's own: 8.7 times the time, and nothing else here needs numba's compiler.
    negative = sp.centred(clip) < 0
    changes = np.zeros(len(negative), np.float32)
    np.not_equal(negative[1:], negative[:-1], out=changes[1:], casting="unsafe")
    blocks = sp.hops(changes)
    # A window's first sample has no neighbour inside it.
    return (sp.window_sums(blocks.sum(axis=1)) - blocks[: len(blocks) - 3, 0]) / sp.WINDOW


def _names(prefix: str, count: int, first: int = 0) -> list[str]:
    return [f"{prefix}_{i:02d}" for i in range(first, first + count)]


CONTOURS: tuple[Contour, ...] = (
    Contour(["level"], "dB re full scale", -200, 20, "Level of the frame", "20 log10 of the RMS", SHAPE, leveled=True),
    Contour(["mfcc_00"], "dB", -INF, INF, "Cepstral coefficient 0 (loudness)", LIBROSA + "mfcc", SHAPE, leveled=True),
    Contour(["level_relative"], "dB", -INF, INF, "Level over the clip's mean", "20 log10 of the RMS", PLACE),
    Contour(["mfcc_00_relative"], "dB", -INF, INF, "Cepstral coefficient 0 over its mean", LIBROSA + "mfcc", PLACE),
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
    cepstra, pitch_classes = sp.mfcc(clip), chroma(clip)
    level, keep = sp.level(clip)[:, None], sp.active(clip)
    single = (centroid(clip), bandwidth(clip), rolloff(clip), flatness(clip), sp.flux(clip), zero_crossings(clip))
    return [
        level,
        cepstra[:, :1],
        level - level[keep].mean(),
        cepstra[:, :1] - cepstra[keep, :1].mean(),
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
    windowed = True
    version = "2"
    parameters: Mapping[str, object] = {
        **sp.SETTINGS, "rolloff": ROLLOFF, "contrast_low": CONTRAST_LOW, "nothing": NOTHING,
    }  # fmt: skip
    columns: Sequence[Column] = tuple(column for contour in CONTOURS for column in contour.columns())
    cost = 4.0
    summary = "Cepstra, mel bands, chroma, contrast and spectral shape: functionals over the frames with sound"

    def measure(self, clip: AudioClip) -> np.ndarray:
        pairs = [(x, c.statistics) for c, x in zip(CONTOURS, contours(clip), strict=True)]
        return functionals(pairs, sp.active(clip), sp.HOP / RATE)


extractor = Spectral()
