"""Glottal cycles: where they begin, how long each lasts, how strong it is.

Periods are those at which the waveform about a cycle resembles the next one most, between samples, as Praat marks them
(Boersma 2009, "Should jitter be measured by peak picking or by waveform matching?"): peaks, which noise moves by
samples, only say where to look.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._pitch import pitch, runs

WIDTH = 1.5  # periods of waveform that are compared
REACH = 0.15  # of a period, how far from the tracked one the best match is looked for
BAND = 2000.0  # Hz up to which they are compared: what lies above is more noise than voice
TAPS = 31  # of the filter that sees to it
RATIO = 1.3  # neighbouring periods further apart than this are an error of marking, not jitter (Praat's own limit)

SETTINGS = {"width": WIDTH, "reach": REACH, "band": BAND, "taps": TAPS, "ratio": RATIO}

_BLOCK = 256  # cycles that are compared at a time
_PIECE = 32  # samples that are filtered by one product


class Cycles(NamedTuple):
    """Cycles in order; each is compared with the next one where ``joined``.

    Attributes: ``time`` s of the cycle's middle, ``period`` s, ``amplitude`` (RMS over two periods under a Hann
    window), each [shape=(cycles,)]; ``joined`` bool [shape=(cycles - 1,)].
    """

    time: np.ndarray
    period: np.ndarray
    amplitude: np.ndarray
    joined: np.ndarray


def cycles(clip: AudioClip) -> Cycles:
    """Cycles of the voiced stretches."""
    track = pitch(clip)
    y = sp.centred(clip)
    y = y if _skewed_up(y) else -y
    stretches = runs(track.voiced)
    found = [_stretch(y, first, last, track.hz) for first, last in stretches]
    at = np.array([sample for some in found for sample in some], dtype=np.int64)
    group = np.repeat(np.arange(len(found)), [len(some) for some in found])
    frame = np.minimum(at // sp.HOP, stretches[group, 1] - 1)
    tracked = RATE / track.hz[np.maximum(frame, stretches[group, 0])]
    # What is compared about a cycle and the next one, at most 1.9 periods away, lies within the clip.
    inside = (at >= tracked) & (at + 2 * tracked < len(y))
    if not inside.any():
        return Cycles(*(np.zeros(0),) * 3, np.zeros(0, bool))
    at, group, tracked = at[inside], group[inside], tracked[inside]
    blocks = [slice(i, i + _BLOCK) for i in range(0, len(at), _BLOCK)]
    margin = int(2 * tracked.max()) + 4  # shorter cycles are looked at with the longest one's width
    below, whole = np.pad(_below(y), margin), np.pad(y, margin)
    period = np.concatenate([_matched(below, at[some] + margin, tracked[some]) for some in blocks])
    amplitude = np.concatenate([_strength(whole, at[some] + margin, tracked[some]) for some in blocks])
    ratio = np.maximum(period[1:] / period[:-1], period[:-1] / period[1:])
    joined = (group[1:] == group[:-1]) & (ratio <= RATIO)
    return Cycles(at / RATE, period / RATE, amplitude, joined)


def _below(y: np.ndarray) -> np.ndarray:
    """What lies below `BAND`, in its place [shape=(n,)]."""
    # A product with pieces of the sound: scipy.signal's oaconvolve takes four times the time, its lfilter nine times.
    padded = np.pad(y, (TAPS // 2, TAPS // 2 + -len(y) % _PIECE))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, len(_filter()))[::_PIECE]
    return (np.ascontiguousarray(pieces) @ _filter()).reshape(-1)[: len(y)]


@cache
def _filter() -> np.ndarray:
    """What takes a piece of sound and its surroundings to the piece below `BAND` [shape=(62, 32)], float32."""
    from scipy.linalg import toeplitz
    from scipy.signal import firwin

    taps = firwin(TAPS, BAND, fs=RATE)  # symmetric
    rest = np.zeros(_PIECE - 1)
    return toeplitz(np.r_[taps, rest], np.r_[taps[:1], rest]).astype(np.float32)


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


def _matched(y: np.ndarray, at: np.ndarray, tracked: np.ndarray) -> np.ndarray:
    """Samples from each place to where the waveform about it comes again [shape=(n,)]: the largest correlation."""
    wide = np.floor(WIDTH * tracked / 2).astype(np.int64)
    half, reach = int(wide.max()), int(np.ceil(REACH * tracked.max())) + 1
    whole = np.rint(tracked).astype(np.int64)
    inside = (np.abs(np.arange(-half, half + 1)) <= wide[:, None]).astype(np.float32)
    cycle = _around(y, at, half) * inside
    around = _around(y, at + whole, half + reach)
    product, energy = (np.einsum("nlw,nw->nl", _shifted(x, half), w) for x, w in ((around, cycle), (around**2, inside)))
    r = product / np.sqrt(np.maximum(energy, 1e-12))
    lag = np.arange(-reach, reach + 1)
    best = np.where(np.abs(lag) <= REACH * tracked[:, None], r, -np.inf)[:, 1:-1].argmax(axis=1) + 1
    a, b, c = (r[np.arange(len(r)), best + k] for k in (-1, 0, 1))
    curve = a - 2 * b + c
    return (
        whole + lag[best] + np.where(curve < 0, np.clip(0.5 * (a - c) / np.where(curve < 0, curve, -1), -0.5, 0.5), 0)
    )


def _shifted(x: np.ndarray, half: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(x, 2 * half + 1, axis=1)


def _strength(y: np.ndarray, at: np.ndarray, tracked: np.ndarray) -> np.ndarray:
    """Root mean square about each place under a Hann window of two periods [shape=(n,)]."""
    reach = int(np.ceil(tracked.max()))
    away = np.abs(np.arange(-reach, reach + 1, dtype=np.float32)) * (np.pi / tracked[:, None]).astype(np.float32)
    window = 1 + np.cos(np.minimum(away, np.float32(np.pi)))
    square = np.square(_around(y, at, reach))
    return np.sqrt(np.einsum("ij,ij->i", window, square) / window.sum(axis=1))


def _around(y: np.ndarray, at: np.ndarray, reach: int) -> np.ndarray:
    """Samples about each place [shape=(len(at), 2 reach + 1)]."""
    return np.lib.stride_tricks.sliding_window_view(y, 2 * reach + 1)[at - reach]
