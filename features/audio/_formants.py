"""Formants by selective linear prediction (Makhoul, IEEE Trans. ASSP 23, 1975) from the shared power spectrum.

Prediction is confined to 0-5.5 kHz by taking the autocorrelation of those bins alone, so nothing is resampled. Roots of
the polynomial are found by Newton's method from the peaks of the envelope on a circle inside the unit circle, where
neighbouring formants stand apart; all frames at once. Eigenvalues of companion matrices cost ten times as much.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from affectlake.data.sound import RATE
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._functionals import rank, where

CEILING = 5500.0  # Hz, the usual bound of five formants (Boersma & Weenink, Praat)
ORDER = 11
PREEMPHASIS = 0.97
COUNT = 3
RADIUS = 0.94
BROADEST = 900.0  # Hz; a broader root is tilt, not a formant
FREQUENCIES = (150.0, 5000.0)  # Hz

SETTINGS = {"ceiling": CEILING, "order": ORDER, "preemphasis": PREEMPHASIS, "radius": RADIUS, "broadest": BROADEST}

_TOP = int(CEILING * sp.N_FFT / RATE)  # last bin within the ceiling
_RATE = 2 * _TOP * RATE / sp.N_FFT  # samples per second of a signal that ends there
_GRID = 256
_NEWTON = 4


class Formants(NamedTuple):
    """Attributes: ``hz`` and ``bandwidth``, each Hz [shape=(frames, 3)], NaN where there is none."""

    hz: np.ndarray
    bandwidth: np.ndarray


def formants(power: np.ndarray) -> Formants:
    """F1 to F3 of frames of the power spectrum [shape=(frames, 513)]."""
    if not len(power):
        empty = np.zeros((0, COUNT))
        return Formants(empty, empty)
    a = levinson(power[:, : _TOP + 1] @ _autocorrelation_basis())
    frame, guesses = _guesses(a)
    roots = _refined(a[frame], guesses)
    hz = np.angle(roots) * _RATE / (2 * np.pi)
    bandwidth = -np.log(np.maximum(np.abs(roots), 1e-3)) * _RATE / np.pi
    good = (hz > FREQUENCIES[0]) & (hz < FREQUENCIES[1]) & (bandwidth > 0) & (bandwidth < BROADEST)
    return _lowest(frame[good], hz[good], bandwidth[good], len(power))


@cache
def _autocorrelation_basis() -> np.ndarray:
    """Cosines that take pre-emphasised power to autocorrelations [shape=(353, 12)]."""
    omega = np.pi * np.arange(_TOP + 1) / _TOP
    emphasis = np.abs(1 - PREEMPHASIS * np.exp(-1j * omega)) ** 2
    weight = np.full(_TOP + 1, 2.0)
    weight[[0, -1]] = 1
    return ((weight * emphasis)[:, None] * np.cos(np.outer(omega, np.arange(ORDER + 1)))).astype(np.float32)


def levinson(r: np.ndarray) -> np.ndarray:
    """Prediction polynomials ``1 + a1 z^-1 + …`` [shape=(frames, order + 1)] of autocorrelations of that shape."""
    r = r.astype(np.float64)
    # A white floor 60 dB down: single precision cannot tell a pure tone's autocorrelation from an unstable one.
    r[:, 0] = r[:, 0] * (1 + 1e-6) + 1e-30
    order = r.shape[1] - 1
    a = np.zeros_like(r)
    a[:, 0] = 1
    error = r[:, 0].copy()
    for m in range(1, order + 1):
        k = np.clip(-np.einsum("ij,ij->i", a[:, :m], r[:, m:0:-1]) / error, -0.9999, 0.9999)
        a[:, 1 : m + 1] += k[:, None] * a[:, m - 1 :: -1][:, :m]
        error *= 1 - k * k
    return a


def _guesses(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frame and point inside the unit circle of the six lowest peaks of each envelope there, near the roots."""
    real, imaginary = (a.astype(np.float32) @ part for part in _circle())
    valley = real * real + imaginary * imaginary
    inner = valley[:, 1:-1]
    frame, place = where((inner < valley[:, :-2]) & (inner <= valley[:, 2:]))
    low = rank(frame) < ORDER // 2 + 1
    return frame[low], RADIUS * np.exp(1j * np.pi * (place[low] + 1) / _GRID)


@cache
def _circle() -> tuple[np.ndarray, np.ndarray]:
    """What takes polynomials to real and imaginary part on the upper half of the circle, each [shape=(12, 257)]."""
    k = np.arange(ORDER + 1.0)[:, None]
    points = RADIUS**-k * np.exp(-1j * np.pi * k * np.arange(_GRID + 1) / _GRID)
    return points.real.astype(np.float32), points.imag.astype(np.float32)


def _refined(a: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Newton's method on each polynomial ``z^p + a1 z^(p-1) + …`` [shape=(n, p + 1)] from its guess [shape=(n,)]."""
    coefficients = a[:, ::-1].T.astype(np.complex128)
    slopes = coefficients[1:] * np.arange(1, ORDER + 1)[:, None]
    powers = np.empty_like(coefficients)
    for _ in range(_NEWTON):
        powers[0] = 1
        for k in range(ORDER):  # np.cumprod takes several times the time across rows
            np.multiply(powers[k], z, out=powers[k + 1])
        value = np.einsum("ij,ij->j", coefficients, powers)
        derivative = np.einsum("ij,ij->j", slopes, powers[:-1])
        z = z - value / np.where(derivative == 0, 1, derivative)
    return z


def _lowest(frame: np.ndarray, hz: np.ndarray, bandwidth: np.ndarray, frames: int) -> Formants:
    """The three lowest of each frame, in order."""
    order = np.lexsort((hz, frame))
    frame, place = frame[order], rank(frame[order])
    low = place < COUNT
    out = Formants(*np.full((2, frames, COUNT), np.nan))
    for table, x in ((out.hz, hz), (out.bandwidth, bandwidth)):
        table[frame[low], place[low]] = x[order][low]
    return out
