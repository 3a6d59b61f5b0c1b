"""Gain: what says that it follows the level of the recording does, and nothing else."""

from functools import cache

import numpy as np
import pytest

pytest.importorskip("scipy")
from scipy.signal import lfilter

from affectlake.data.sound import RATE, AudioClip
from affectlake.features import registry

SHIFTS = (-20, -6, 6)
ENCODERS = {"audio.hub", "audio.whisper"}
"""They hear level as they were trained to: without it Whisper's layers lose 2 points of RAVDESS."""
HEARD = {e.name: e for e in registry.extractors().values() if e.reads == "audio" and getattr(e, "by_default", True)
         and e.name not in ENCODERS}  # fmt: skip


def sentence(seed: int) -> np.ndarray:
    """1.2 s of syllables of a voice of its own in the noise of its room, at the level of a timid recording."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(1.2 * RATE)) / RATE
    hz = rng.uniform(100, 260) * 2 ** (rng.uniform(-0.3, 0.3) * t + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 3) * t))
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    y = sum(np.cos(k * phase) / k ** rng.uniform(0.5, 1.5) for k in range(1, 25))
    for formant in rng.uniform((300, 900, 2200), (800, 2000, 3000)):
        pole = np.exp(-np.pi * 100 / RATE)
        y = lfilter([1 - pole], [1, -2 * pole * np.cos(2 * np.pi * formant / RATE), pole**2], y)
    y *= np.clip(np.sin(np.pi * t / rng.uniform(0.15, 0.3)), 0, None) ** 2
    y = y / np.abs(y).max() + rng.uniform(1e-4, 1e-2) * rng.standard_normal(len(t))
    return (10 ** rng.uniform(-2.5, -0.8) * y).astype(np.float32)


@cache
def said() -> list[np.ndarray]:
    return [sentence(seed) for seed in range(5)]


@pytest.fixture(params=HEARD)
def extractor(request):
    found = HEARD[request.param]
    if reason := registry.unavailable(found):
        pytest.skip(f"{found.name} {reason}")
    return found


def table(extractor, gain: float) -> np.ndarray:
    return np.stack(extractor.extract([AudioClip(np.float32(gain) * y) for y in said()])).astype(np.float64)


def test_gain_moves_what_follows_the_level_and_nothing_else(extractor):
    """Mean change of a clip, in standard deviations over the clips."""
    before = table(extractor, 1.0)
    spread = np.nanstd(before, axis=0)
    follows = np.array([c.nuisance == "level" for c in extractor.columns])
    moved = np.zeros(len(follows))
    for shift in SHIFTS:
        change = np.abs(table(extractor, 10 ** (shift / 20)) - before)
        moved = np.maximum(moved, np.nan_to_num(change).mean(axis=0) / np.maximum(spread, 1e-6))
    stray = [c.name for c, m, f in zip(extractor.columns, moved, follows, strict=True) if not f and m > 0.05]
    assert not stray
    assert (moved[follows] > 0.05).all()
