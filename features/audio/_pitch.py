"""Fundamental frequency, harmonicity and glottal pulses.

The tracker is Boersma's (Proc. Inst. Phonetic Sciences Amsterdam 17, 1993): autocorrelation of the windowed frame over
that of the window, a few candidates per frame, and the cheapest path through them. The autocorrelation is the inverse
transform of the shared power spectrum.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _spectrum as sp

LOWEST, HIGHEST = 55.0, 600.0  # Hz
CANDIDATES = 4
VOICING = 0.45  # strength that an unvoiced frame has
SILENCE = 0.03  # of the clip's largest amplitude: below it frames lean to unvoiced
OCTAVE = 0.01  # preference for the higher of equally strong candidates, per octave
JUMP = 0.35  # cost of an octave between neighbouring frames
SWITCH = 0.14  # cost of a change between voiced and unvoiced

SETTINGS = {
    "lowest": LOWEST, "highest": HIGHEST, "candidates": CANDIDATES, "voicing": VOICING, "silence": SILENCE,
    "octave": OCTAVE, "jump": JUMP, "switch": SWITCH,
}  # fmt: skip

_LAGS = slice(int(RATE / HIGHEST), int(np.ceil(RATE / LOWEST)) + 1)
_CHUNK = 2048
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
    hz, strength = _candidates(sp.power(clip))
    loudness = sp.rms(clip) / sp.rms(clip).max()
    unvoiced = VOICING + np.maximum(0, 2 - loudness / (SILENCE / (1 + VOICING)))
    preferred = strength + OCTAVE * np.log2(np.maximum(hz, 1) / LOWEST)
    gain = np.concatenate([np.where(hz > 0, preferred, -np.inf), unvoiced[:, None]], axis=1)
    path = _best_path(np.concatenate([hz, np.zeros((len(hz), 1), hz.dtype)], axis=1), gain)
    rows = np.arange(len(hz))
    chosen = np.minimum(path, CANDIDATES - 1)
    voiced = path < CANDIDATES
    return Pitch(np.where(voiced, hz[rows, chosen], 0.0), np.where(voiced, strength[rows, chosen], 0.0))


def _candidates(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hz (0 where absent) and strength of the strongest peaks of each autocorrelation, each [shape=(frames, 4)]."""
    parts = [_peaks(_autocorrelation(power[i : i + _CHUNK])) for i in range(0, len(power), _CHUNK)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _autocorrelation(power: np.ndarray) -> np.ndarray:
    """Normalised, the window's own divided out [shape=(frames, last lag + 2)]."""
    import scipy.fft

    spectrum = power.copy()
    spectrum[:, :_RUMBLE] = 0
    r = scipy.fft.irfft(spectrum, sp.N_FFT, axis=1, overwrite_x=True)[:, : _LAGS.stop + 1]
    zero = r[:, :1]
    return r / np.where(zero > 0, zero, 1) / _window_autocorrelation()


@cache
def _window_autocorrelation() -> np.ndarray:
    r = np.correlate(sp.hann(), sp.hann(), "full")[sp.WINDOW - 1 :][: _LAGS.stop + 1]
    return (r / r[0]).astype(np.float32)


def _peaks(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    before, here, after = (r[:, _LAGS.start + k : _LAGS.stop + k] for k in (-1, 0, 1))
    lags = np.arange(_LAGS.start, _LAGS.stop, dtype=np.float32)
    peak = (here > before) & (here >= after) & (here > VOICING / 2)
    ranked = np.where(peak, here - np.float32(OCTAVE) * np.log2(lags), -1)
    best = np.argpartition(ranked, -CANDIDATES, axis=1)[:, -CANDIDATES:]
    a, b, c = (np.take_along_axis(x, best, axis=1) for x in (before, here, after))
    curve = np.minimum(a - 2 * b + c, -1e-9)
    shift = np.clip(0.5 * (a - c) / curve, -0.5, 0.5)
    found = np.take_along_axis(peak, best, axis=1)
    strength = np.minimum(b - 0.25 * (a - c) * shift, 1)
    return np.where(found, RATE / (lags[best] + shift), 0), np.where(found, strength, 0)


def _best_path(hz: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Viterbi: the state of each frame [shape=(frames,)]; the last state is unvoiced."""
    octave = np.log2(np.maximum(hz, 1))
    voiced = hz > 0
    cost = np.where(
        voiced[:-1, :, None] & voiced[1:, None, :],
        JUMP * np.abs(octave[:-1, :, None] - octave[1:, None, :]),
        SWITCH * (voiced[:-1, :, None] != voiced[1:, None, :]),
    )
    # From-state last, so that each step reduces along contiguous memory.
    step = np.ascontiguousarray((gain[1:, None, :] - cost).transpose(0, 2, 1))
    score = gain[0]
    back = np.empty((len(step), gain.shape[1]), np.int64)
    for t, transition in enumerate(step):
        reach = transition + score
        back[t] = reach.argmax(axis=1)
        score = reach.max(axis=1)
    state = int(score.argmax())
    path = [state]
    for row in reversed(back.tolist()):
        state = row[state]
        path.append(state)
    return np.array(path[::-1])


def runs(flags: np.ndarray) -> np.ndarray:
    """First and past-the-last index of every run of True [shape=(runs, 2)]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2)


class Pulses(NamedTuple):
    """Glottal cycles of a clip, in order; a cycle follows its neighbour where ``joined``.

    Attributes: ``time`` s of the cycle's beginning, ``period`` s, ``amplitude`` peak to peak, each [shape=(cycles,)];
    ``joined`` bool [shape=(cycles - 1,)].
    """

    time: np.ndarray
    period: np.ndarray
    amplitude: np.ndarray
    joined: np.ndarray


def pulses(clip: AudioClip) -> Pulses:
    """Cycles of the voiced stretches, from peak to peak of the waveform in steps of about the tracked period."""
    track = pitch(clip)
    peaks, groups = [], []
    y = sp.centred(clip)
    y = y if _skewed_up(y) else -y
    for number, (first, last) in enumerate(runs(track.voiced)):
        found = _stretch(y, first, last, track.hz)
        peaks += found
        groups += [number] * len(found)
    at, group = np.array(peaks, dtype=np.int64), np.array(groups)
    exact = at + _vertex(y, at)
    same = group[1:] == group[:-1]
    begin, end = at[:-1][same], at[1:][same]
    bounds = np.stack([begin, end], axis=1).ravel()
    if not len(bounds):
        return Pulses(*(np.zeros(0),) * 3, np.zeros(0, bool))
    high, low = np.maximum.reduceat(y, bounds)[::2], np.minimum.reduceat(y, bounds)[::2]
    return Pulses(exact[:-1][same] / RATE, np.diff(exact)[same] / RATE, high - low, end[:-1] == begin[1:])


def _skewed_up(y: np.ndarray) -> bool:
    """Whether the waveform's sharp peaks, which mark the cycles, point upwards."""
    return float(np.mean(y * y * y)) >= 0


def _stretch(y: np.ndarray, first: int, last: int, hz: np.ndarray) -> list[int]:
    """Samples of the waveform's peaks between two frames, a period apart each."""
    periods = (RATE / hz[first:last]).tolist()
    begin, stop = first * sp.HOP, min(last * sp.HOP, len(y))
    position = begin + int(np.argmax(y[begin : begin + int(periods[0]) + 1]))
    found = []
    while position < stop:
        found.append(position)
        period = periods[min((position - begin) // sp.HOP, len(periods) - 1)]
        near, far = position + int(0.8 * period), position + int(1.25 * period) + 1
        if far > len(y):
            break
        position = near + int(y[near:far].argmax())
    return found


def _vertex(y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Offset in samples of the parabola's top through each peak and its neighbours, in [-0.5, 0.5]."""
    inner = np.clip(at, 1, max(len(y) - 2, 1))
    a, b, c = (y[np.clip(inner + k, 0, len(y) - 1)].astype(np.float64) for k in (-1, 0, 1))
    curve = a - 2 * b + c
    return np.where(curve < 0, np.clip(0.5 * (a - c) / np.where(curve < 0, curve, -1), -0.5, 0.5), 0.0)
