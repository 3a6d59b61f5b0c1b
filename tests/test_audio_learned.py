"""The extractors that lean on other packages: GE2E's weights and openSMILE."""

import importlib.util

import numpy as np
import pytest

from affectlake.data.errors import NotApplicable
from affectlake.data.sound import RATE, AudioClip
from affectlake.features import registry
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio import egemaps, ge2e


def buzz(hz: float, seconds: float = 2.0) -> AudioClip:
    t = np.arange(round(seconds * RATE)) / RATE
    y = sum(np.cos(2 * np.pi * k * hz * t) / k for k in range(1, 20))
    return AudioClip(0.1 * y * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t)))


@pytest.mark.parametrize("extractor", [ge2e.extractor, egemaps.extractor], ids=lambda e: e.name)
def test_without_its_package_it_says_what_to_install(extractor, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    reason = registry.unavailable(extractor)
    assert reason is not None and "pip install" in reason


@pytest.fixture
def voices():
    reason = registry.unavailable(ge2e.extractor)
    if reason:
        pytest.skip(f"audio.ge2e {reason}")
    return ge2e.extractor


def test_mel_power_is_librosas():
    feature = pytest.importorskip("librosa.feature")
    y = buzz(150).y
    theirs = feature.melspectrogram(y=y, sr=RATE, n_fft=ge2e.WINDOW, hop_length=sp.HOP, n_mels=ge2e.BANDS).T
    np.testing.assert_allclose(ge2e.mel(y), theirs, rtol=1e-4, atol=1e-4 * theirs.max())


@pytest.mark.parametrize("samples", [1, 159, 160, 25_599, 25_600, 40_000, 100_000])
def test_parts_cover_the_speech(samples):
    pytest.importorskip("scipy")
    bands = ge2e.parts(np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32))
    assert bands.shape[1:] == (ge2e.LENGTH, ge2e.BANDS) and bands.dtype == np.float32
    reached = ((len(bands) - 1) * ge2e.STRIDE + ge2e.LENGTH) * sp.HOP
    assert reached >= samples - ge2e.COVERED * ge2e.LENGTH * sp.HOP


@pytest.mark.parametrize("gain", [1e-2, 2])
def test_long_pauses_are_shortened_and_speech_comes_at_one_level(gain):
    y = np.concatenate([buzz(150).y, np.zeros(2 * RATE, np.float32), buzz(150).y])
    heard = ge2e.speech(AudioClip(gain * y))
    assert len(heard) / RATE == pytest.approx(4 + 2 * ge2e.LONGEST_PAUSE, abs=0.1)
    assert 10 * np.log10(np.mean(heard**2)) == pytest.approx(ge2e.LEVEL, abs=0.1)


def test_a_voice_is_nearer_to_itself_than_to_another(voices, shared_data):
    from affectlake.data.sound import read_audio

    folder = shared_data / "ravdess_audio"
    actors = [sorted((folder / f"Actor_{k:02d}").glob("*.flac"))[:20:10] for k in (1, 2)]
    one, same, other, _ = voices.extract([read_audio(path) for pair in actors for path in pair])
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5) and one.min() >= 0
    assert one @ same > one @ other + 0.1


def test_its_values_are_those_of_the_original(voices):
    """Resemblyzer 0.1.4's own ``embed_utterance(ge2e.speech(buzz(150)))`` gave these."""
    row = voices.extract([buzz(150)])[0]
    largest = np.argsort(row)[::-1][:6]
    assert dict(zip(largest.tolist(), row[largest].round(4).tolist(), strict=True)) == pytest.approx(ORIGINAL, abs=1e-3)


ORIGINAL = {246: 0.3201, 36: 0.2133, 111: 0.1968, 187: 0.1903, 168: 0.1845, 237: 0.182}


def test_silence_has_no_voice(voices):
    rows = voices.extract([AudioClip(np.zeros(RATE)), buzz(150), AudioClip(np.zeros(RATE))])
    assert [isinstance(row, NotApplicable) for row in rows] == [True, False, True]
    assert isinstance(voices.extract([AudioClip(np.zeros(RATE))])[0], NotApplicable)


@pytest.fixture
def smile():
    reason = registry.unavailable(egemaps.extractor)
    if reason:
        pytest.skip(f"audio.egemaps {reason}")
    return egemaps.extractor


def test_names_are_opensmiles(smile):
    assert list(egemaps.NAMES) == egemaps._smile().feature_names


def test_opensmile_hears_the_pitch(smile):
    row = dict(zip(egemaps.NAMES, smile.extract([buzz(110)])[0].tolist(), strict=True))
    assert row["F0semitoneFrom27.5Hz_sma3nz_amean"] == pytest.approx(24, abs=0.2)


@pytest.mark.parametrize("seconds", [0.1, 0.12, 0.3])
def test_the_shortest_clips_of_opensmile(smile, seconds):
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE))
    assert np.isfinite(smile.extract([AudioClip(noise)])[0]).all()
    assert "too short" in str(smile.extract([AudioClip(noise[: RATE // 20])])[0])
