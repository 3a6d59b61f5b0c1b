"""Fundamental frequency and harmonicity.

The tracker is Boersma's (Proc. Inst. Phonetic Sciences Amsterdam 17, 1993): autocorrelation of the windowed frame over
that of the window, a few candidates per frame, and the cheapest path through them. The autocorrelation is the inverse
transform of the shared power spectrum. A second pass is confined to the range of the voice that the first one found
(De Looze & Hirst, Speech Prosody 2008), which spares most errors of an octave. It is written here because librosa.yin
takes 5 times the time and does not say what is voiced, and librosa.pyin, which does, 500 (docs/measured/audio.md).
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._functionals import percentile, rank, where

LOWEST, HIGHEST = 55.0, 1000.0  # Hz; screams and children reach the upper end
CANDIDATES = 4
VOICING = 0.5  # strength that an unvoiced frame has
SILENCE = 0.03  # of the clip's largest amplitude: below it frames lean to unvoiced
OCTAVE = 0.01  # preference for the higher of equally strong candidates, per octave
JUMP = 0.35  # cost of an octave between neighbouring frames
SWITCH = 0.14  # cost of a change between voiced and unvoiced
FLOOR, CEILING = 0.75, 2.5  # of the lower and upper quartile of the first pass: the range of an expressive voice
ENOUGH = 10  # voiced frames that say what the range is

SETTINGS = {
    "lowest": LOWEST, "highest": HIGHEST, "candidates": CANDIDATES, "voicing": VOICING, "silence": SILENCE,
    "octave": OCTAVE, "jump": JUMP, "switch": SWITCH, "floor": FLOOR, "ceiling": CEILING, "enough": ENOUGH,
}  # fmt: skip

_FINE = np.arange(15, 24, 0.25)  # lags between samples: a period of so few is told from its double by them
_LAGS = slice(int(RATE / HIGHEST), int(np.ceil(RATE / LOWEST)) + 1)
_AROUND = slice(_LAGS.start - 1, _LAGS.stop + 1)
_CHUNK = 128
_MOST = 1 + OCTAVE * np.log2(HIGHEST * 1.1 / LOWEST)  # gain of the best candidate that there can be
_RUMBLE = 3  # bins below 47 Hz: offset and hum of the room, not voice


class Pitch(NamedTuple):
    """Attributes: ``hz`` [shape=(frames,)], 0 where unvoiced; ``strength`` [shape=(frames,)], in [0, 1]."""

    hz: np.ndarray
    strength: np.ndarray

    @property
    def voiced(self) -> np.ndarray:
        return self.hz > 0


def pitch(clip: AudioClip) -> Pitch:
    """F0 and its autocorrelation strength for every frame of the shared spectrum."""
    return clip.once(_pitch)


def _pitch(clip: AudioClip) -> Pitch:
    loudness = sp.rms(clip) / sp.rms(clip).max()
    unvoiced = VOICING + np.maximum(0, 2 - loudness / (SILENCE / (1 + VOICING)))
    # A voiced frame saves at most two switches: where it loses more than these no path goes through it.
    least = unvoiced - 2 * SWITCH
    frame, hz, strength = _candidates(sp.power(clip), np.flatnonzero(least < _MOST))
    octave = np.log2(hz)
    gain = strength + OCTAVE * (octave - np.log2(LOWEST))
    usable = gain > least[frame]
    chosen = _best_path(frame, octave, gain, unvoiced, usable)
    if len(chosen) >= ENOUGH:
        ordered = np.sort(hz[chosen])
        usable &= (hz >= FLOOR * percentile(ordered, 25)) & (hz <= CEILING * percentile(ordered, 75))
        if not usable[chosen].all():  # else the best path of all is the best of these too
            chosen = _best_path(frame, octave, gain, unvoiced, usable)
    track = Pitch(np.zeros_like(unvoiced), np.zeros_like(unvoiced))
    track.hz[frame[chosen]], track.strength[frame[chosen]] = hz[chosen], strength[chosen]
    return track


def _candidates(power: np.ndarray, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frame, Hz and strength of the (at most four) strongest peaks of the frames' autocorrelations, frame by frame."""
    parts = [_peaks(*_autocorrelation(power[some])) for some in _chunks(frames)]
    places = [some[part[0]] for some, part in zip(_chunks(frames), parts, strict=True)]
    hz, strength = (np.concatenate([part[k] for part in parts]) for k in (1, 2))
    return np.concatenate(places), hz, strength


def _chunks(x: np.ndarray) -> list[np.ndarray]:
    return [x[first : first + _CHUNK] for first in range(0, len(x), _CHUNK)]


def _autocorrelation(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalised, the window's own divided out: at `_AROUND` [shape=(frames, lags + 2)] and at the lags of `_FINE`.

    ``power`` is overwritten.
    """
    import scipy.fft

    power[:, :_RUMBLE] = 0
    fine = power @ _fine_basis()
    # Of a real and even spectrum this is the inverse Fourier transform, but for a factor.
    r = scipy.fft.dct(power, type=1, axis=1, overwrite_x=True)
    zero = np.where(r[:, :1] > 0, r[:, :1], 1)
    return r[:, _AROUND] / (zero * _window_autocorrelation()[_AROUND]), fine / zero


@cache
def _fine_basis() -> np.ndarray:
    """What takes power to its autocorrelation at `_FINE`, the window's own divided out [shape=(513, 36)]."""
    basis = np.cos(np.pi / (sp.BINS - 1) * np.outer(np.arange(sp.BINS), _FINE))
    basis[1:-1] *= 2
    window = _window_autocorrelation()
    return (basis / np.interp(_FINE, np.arange(len(window)), window)).astype(np.float32)


@cache
def _window_autocorrelation() -> np.ndarray:
    r = np.correlate(sp.hann(), sp.hann(), "full")[sp.WINDOW - 1 :][: _LAGS.stop + 1]
    return (r / r[0]).astype(np.float32)


def _peaks(r: np.ndarray, fine: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rises = r[:, 1:] > r[:, :-1]
    frame, lag = where((rises[:, :-1] > rises[:, 1:]) & (r[:, 1:-1] > VOICING / 2))
    at = frame * r.shape[1] + lag
    a, b, c = (r.ravel()[at + k] for k in range(3))
    lag = (lag + _LAGS.start).astype(np.float32)
    short = np.flatnonzero(lag < _FINE[-1] - 0.5)
    near, highest = _between(fine[frame[short]], lag[short])
    b[short] = highest
    best = _strongest(frame, np.float32(OCTAVE) * np.log2(lag) - b)
    shift = np.clip(0.5 * (a - c) / np.minimum(a - 2 * b + c, -1e-9), -0.5, 0.5)
    strength = b - 0.25 * (a - c) * shift
    shift[short], strength[short] = near - lag[short], highest
    return frame[best], RATE / (lag + shift)[best], np.minimum(strength[best], 1)


def _between(fine: np.ndarray, lag: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lag and height of the highest point within half a sample of each lag [shape=(n,) each]."""
    first = np.rint((lag - 0.75 - _FINE[0]) * 4).astype(np.int64)
    rows = np.arange(len(lag))
    around = fine[rows[:, None], np.clip(first[:, None] + np.arange(7), 0, len(_FINE) - 1)]
    top = 1 + around[:, 1:-1].argmax(axis=1)
    a, b, c = (around[rows, top + k] for k in (-1, 0, 1))
    shift = np.clip(0.5 * (a - c) / np.minimum(a - 2 * b + c, -1e-9), -0.5, 0.5)
    return _FINE[0] + (first + top + shift) / 4, b - 0.25 * (a - c) * shift


def _strongest(frame: np.ndarray, weakness: np.ndarray) -> np.ndarray:
    """Indices of the `CANDIDATES` of least weakness of each frame, frame by frame."""
    order = np.lexsort((weakness, frame))
    return order[rank(frame) < CANDIDATES]


def _best_path(
    frame: np.ndarray, octave: np.ndarray, gain: np.ndarray, unvoiced: np.ndarray, usable: np.ndarray
) -> np.ndarray:
    """Viterbi: indices of the candidates on the path of largest gain; a frame without one of them is unvoiced.

    Parameters
    ----------
    frame, octave, gain, usable : np.ndarray [shape=(candidates,)]
        Frame by frame.
    unvoiced : np.ndarray [shape=(frames,)]
        Gain of having no voice.
    """
    kept = np.flatnonzero(usable)
    bounds = np.searchsorted(frame[kept], np.arange(len(unvoiced) + 1)).tolist()
    return kept[_viterbi(bounds, octave[kept].tolist(), gain[kept].tolist(), unvoiced.tolist())]


def _viterbi(bounds: list[int], octave: list[float], gain: list[float], unvoiced: list[float]) -> list[int]:
    # Most frames have few candidates or none, so plain Python beats arrays padded to the most there are.
    back = [-1] * len(gain)  # -1 is the unvoiced state
    quiet_back: list[int] = []
    quiet = 0.0
    before: list[tuple[int, float, float]] = []  # candidates of the frame before, their scores and octaves
    for t, silence in enumerate(unvoiced):
        now = []
        begun = quiet - SWITCH if t else 0.0
        for j in range(bounds[t], bounds[t + 1]):
            best, here = begun, octave[j]
            for i, score, there in before:
                if score > best and (reach := score - JUMP * abs(there - here)) > best:
                    best, back[j] = reach, i
            now.append((j, best + gain[j], here))
        best, source = quiet, -1
        for i, score, _ in before:
            if score - SWITCH > best:
                best, source = score - SWITCH, i
        quiet, before = best + silence, now
        quiet_back.append(source)
    state, score, _ = max(before, key=lambda end: end[1], default=(-1, quiet, 0.0))
    if score < quiet:
        state = -1
    path = []
    for source in reversed(quiet_back):
        if state >= 0:
            path.append(state)
            state = back[state]
        else:
            state = source
    return path[::-1]


def runs(flags: np.ndarray) -> np.ndarray:
    """First and past-the-last index of every run of True [shape=(runs, 2)]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2)
