"""The recipe of most papers and courses on RAVDESS, by librosa's own calls at their defaults.

40 cepstra, chroma, 128 mel bands, contrast, tonnetz, zero crossings and RMS, as means and deviations: so that their
tables can be reproduced and compared. McFee et al., "librosa: Audio and music signal analysis in Python" (SciPy 2015).

The rate is that of `librosa.load`, 22,050 Hz, and with it the windows (93 ms every 23 ms) and the scale of the mel
bands. The clip has 16 kHz: of a file of that rate the values are the script's own, of a file of a higher one there is
nothing between 8 and 11 kHz here.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio._handcrafted import Handcrafted
from affectlake.features.protocol import Column

INF = float("inf")
LOADED = 22_050  # Hz that librosa.load resamples to where a script does not say otherwise
CEPSTRA = 40
SHORTEST = 2048 / LOADED  # s; a window

_PARTS = (
    ("mfcc", CEPSTRA, "1", -INF, INF, "Cepstral coefficient {}", "mfcc"),
    ("chroma", 12, "1", 0.0, 1.0, "Pitch class {} (0 is C)", "chroma_stft"),
    ("mel", 128, "1", 0.0, INF, "Power in mel band {}", "melspectrogram"),
    ("contrast", 7, "dB", 0.0, INF, "Spectral contrast of octave band {}", "spectral_contrast"),
    ("tonnetz", 6, "1", -1.0, 1.0, "Tonal centroid dimension {} of the harmonic part", "tonnetz"),
    ("zcr", 1, "1", 0.0, 1.0, "Zero-crossing rate", "zero_crossing_rate"),
    ("rms", 1, "1", 0.0, INF, "Root mean square", "rms"),
)


def _columns() -> list[Column]:
    found = []
    for prefix, count, unit, low, high, meaning, call in _PARTS:
        for statistic, bottom, top in (("mean", low, high), ("std", 0.0, INF)):
            for i in range(count):
                name = f"{prefix}_{i:03d}_{statistic}" if count > 1 else f"{prefix}_{statistic}"
                description = (
                    f"{meaning.format(i)}: {'mean' if statistic == 'mean' else 'standard deviation'} over frames"
                )
                found.append(
                    Column(name, unit, bottom, top, description, f"librosa 0.11, librosa.feature.{call}", "level")
                )
    return found


class Librosa(Handcrafted):
    """See `affectlake.features.protocol.Extractor`.

    Level and length of the clip are in it, as they are in the published recipe (floors are absolute, so that what is no
    level follows it too); `audio.spectral` is the better choice.
    """

    name = "audio.librosa"
    windowed = True
    version = "1"
    by_default = False  # what it tells is in audio.spectral, at a fiftieth of the cost
    parameters: Mapping[str, object] = {"cepstra": CEPSTRA, "rate": LOADED}
    columns: Sequence[Column] = tuple(_columns())
    cost = 200.0
    summary = "The usual recipe: 40 MFCC, chroma, mel, contrast, tonnetz, zero crossings, RMS; by librosa's own calls"

    def measure(self, clip: AudioClip) -> np.ndarray:
        import librosa

        if len(clip.y) < SHORTEST * RATE:
            raise NotApplicable(f"too short: {len(clip.y) / RATE:.3f} s, at least {SHORTEST:.3f} s")
        with warnings.catch_warnings():
            # The wavelets of tonnetz are longer than short clips: librosa fills up with zeros, and says so each time.
            warnings.filterwarnings("ignore", message="n_fft=.* is too large", category=UserWarning)
            parts = contours(librosa.resample(clip.y, orig_sr=RATE, target_sr=LOADED))
        return np.concatenate([np.concatenate([x.mean(axis=1), x.std(axis=1)]) for x in parts])


def contours(y: np.ndarray) -> list[np.ndarray]:
    """The arrays that `_PARTS` describes, each [shape=(d, frames)], of samples at `LOADED`."""
    import librosa
    from librosa import feature

    magnitude = np.abs(librosa.stft(y))
    mel = feature.melspectrogram(S=np.square(magnitude), sr=LOADED)
    return [
        feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=CEPSTRA),
        feature.chroma_stft(S=magnitude, sr=LOADED),
        mel,
        feature.spectral_contrast(S=magnitude, sr=LOADED),
        feature.tonnetz(y=librosa.effects.harmonic(y), sr=LOADED),
        feature.zero_crossing_rate(y),
        feature.rms(y=y),
    ]


extractor = Librosa()
