"""Trimming: speech stays, noise and long pauses go, and values computed from trimmed sound are told from others."""

import numpy as np
import pytest

from affectlake.data.errors import UsageError
from affectlake.data.sound import RATE, AudioClip
from affectlake.features import inputs, settings
from affectlake.features.audio._trim import REACH, trimmed
from affectlake.features.inputs import READERS, Request

pytest.importorskip("scipy")
soundfile = pytest.importorskip("soundfile")


def buzz(seconds: float, hz: float = 150.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return 0.1 * sum(np.cos(2 * np.pi * k * hz * t) / k for k in range(1, 20)).astype(np.float32)


def noise(seconds: float, gain: float) -> np.ndarray:
    return gain * np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32)


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


@pytest.mark.parametrize("gain", [0.0, 0.003, 0.05])
def test_what_is_not_speech_is_left_out(gain):
    y = np.concatenate([quiet(2), buzz(1), quiet(3), buzz(1), quiet(2)])
    clip = trimmed(AudioClip(y + noise(9, gain)))
    assert len(clip.y) / RATE == pytest.approx(2 + 4 * REACH, abs=0.15)
    assert clip.duration == 9


def test_speech_with_short_pauses_is_whole():
    y = np.concatenate([buzz(0.6), quiet(0.3), buzz(0.6)])
    np.testing.assert_array_equal(trimmed(AudioClip(y)).y, y)


def test_a_whisper_is_judged_by_its_level():
    y = np.concatenate([quiet(2), noise(1, 0.1), quiet(2)])
    assert len(trimmed(AudioClip(y)).y) / RATE == pytest.approx(1 + 2 * REACH, abs=0.1)


@pytest.mark.parametrize("y", [quiet(1), np.full(RATE, 0.5), np.ones(1), noise(0.01, 0.1)])
def test_silence_and_clicks_stay_as_they_are(y):
    assert len(trimmed(AudioClip(y)).y) == len(y)


def test_it_is_done_on_request_and_part_of_the_fingerprint(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.concatenate([quiet(2), buzz(1)]), RATE)
    request = Request("a", str(tmp_path / "a.wav"))
    before = inputs.decoding("audio"), inputs.decoding("face")
    assert len(READERS["audio"](request).y) == 3 * RATE
    with settings.use(settings.parsed(["audio.trim=true"])):
        assert len(READERS["audio"](request).y) < 1.5 * RATE
        assert inputs.decoding("audio") != before[0] and inputs.decoding("face") == before[1]
    with pytest.raises(UsageError, match=r"audio.trim cannot be 'yes': expected true or false"):
        settings.parsed(["audio.trim=yes"])
