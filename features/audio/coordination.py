"""How the parts of a voice move together: correlations between its contours, at once and after a delay.

The correlation structure of cepstra and articulation, after Williamson et al., "Vocal biomarkers of depression based on
motor incoordination" (AVEC 2013). Correlations know neither a contour's mean nor its spread, and so less of the speaker
and the microphone than functionals do.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np

from affectlake.data.sound import AudioClip
from affectlake.features.audio import _frames, _pitch
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._functionals import delta
from affectlake.features.audio._handcrafted import Handcrafted
from affectlake.features.protocol import Column

CEPSTRA = 13
LAGS = (3, 7, 15)  # frames: within a sound, to the next sound, to the next syllable
STILL = 1e-6  # spread below which a contour counts as constant and goes with nothing

VOICE = ("f0", "voiced", "strength", "flux", "alpha_ratio", "hammarberg", "slope_0_500", "slope_500_1500")
CEPSTRUM = tuple(f"mfcc{k}" for k in range(CEPSTRA))
CONTOURS = (*CEPSTRUM, *VOICE)
MOVING = (*CONTOURS, *(f"{name}_delta" for name in CONTOURS))

SOURCE = "Williamson et al. 2013"


def contours(clip: AudioClip) -> np.ndarray:
    """Cepstra, pitch and spectral balance of every frame [shape=(frames, 21)], as `CONTOURS` names them.

    Pitch is in semitones about the clip's mean, and that mean where there is no voice.
    """
    track = _pitch.pitch(clip)
    pitch = np.zeros(len(track.hz))
    if track.voiced.any():
        pitch[track.voiced] = _frames.semitones(track.hz[track.voiced])
        pitch[track.voiced] -= pitch[track.voiced].mean()
    voice = {"f0": pitch, "voiced": track.voiced, "strength": track.strength, "flux": sp.flux(clip)}
    voice |= _frames.balance(clip)
    return np.column_stack([sp.mfcc(clip)[:, :CEPSTRA], *(voice[name] for name in VOICE)]).astype(np.float64)


def standardised(x: np.ndarray) -> np.ndarray:
    """Columns at mean 0 and deviation 1; a constant column becomes 0."""
    x = x - x.mean(axis=0)
    spread = x.std(axis=0)
    return np.where(spread > STILL, x / np.maximum(spread, STILL), 0)


def coordination(clip: AudioClip) -> np.ndarray:
    """Correlations over the frames with sound, pauses left out [shape=(861 + 507,)]; NaN where a lag is too long."""
    every, keep = contours(clip), sp.active(clip)
    moving = standardised(np.column_stack([every, delta(every)])[keep])
    together = (moving.T @ moving / len(moving))[np.triu_indices(len(MOVING), 1)]
    cepstra = moving[:, :CEPSTRA]
    return np.concatenate([together, *(_lagged(cepstra, lag).ravel() for lag in LAGS)])


def _lagged(x: np.ndarray, lag: int) -> np.ndarray:
    """Correlation of every column with every column ``lag`` frames before [shape=(d, d)]: later ones in rows."""
    if len(x) <= lag:
        return np.full((x.shape[1],) * 2, np.nan)
    return x[lag:].T @ x[:-lag] / len(x)


def _columns() -> list[Column]:
    out = [
        Column(f"corr_{a}_{b}", "1", -1, 1, f"Correlation of {a} with {b} over the frames with sound", SOURCE)
        for a, b in combinations(MOVING, 2)
    ]
    for lag, later, earlier in product(LAGS, CEPSTRUM, CEPSTRUM):
        what = f"Correlation of {later} with {earlier} {lag * 10} ms of sound before"
        out.append(Column(f"lag{lag}_{later}_{earlier}", "1", -1, 1, what, SOURCE))
    return out


class Coordination(Handcrafted):
    """See `affectlake.features.protocol.Extractor`."""

    name = "audio.coordination"
    version = "3"
    parameters: Mapping[str, object] = {**sp.SETTINGS, **_pitch.SETTINGS, "cepstra": CEPSTRA, "lags": LAGS}
    columns: Sequence[Column] = tuple(_columns())
    cost = 4.0
    summary = "How cepstra, pitch and spectral balance move together: correlations, at once and after a delay"

    def measure(self, clip: AudioClip) -> np.ndarray:
        return coordination(clip)


extractor = Coordination()
