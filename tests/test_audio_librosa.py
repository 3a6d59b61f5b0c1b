"""The usual recipe, as scripts write it: column by column what librosa's calls give."""

from pathlib import Path

import numpy as np
import pytest

from affectlake.data.errors import NotApplicable
from affectlake.data.sound import RATE, AudioClip, read_audio
from affectlake.features import registry
from affectlake.features.audio.librosa import extractor


def sound(seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(t))
    return (0.1 * np.sin(2 * np.pi * 440 * t) + noise).astype(np.float32)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """A recording of 3 s at 16 kHz."""
    soundfile = pytest.importorskip("soundfile")
    path = tmp_path_factory.mktemp("sound") / "a.wav"
    soundfile.write(path, sound(3.0), RATE, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def row(file) -> dict[str, float]:
    pytest.importorskip("librosa")
    return dict(zip((c.name for c in extractor.columns), extractor.extract([read_audio(file)])[0], strict=True))


@pytest.mark.filterwarnings(
    "ignore:'(aifc|audioop|sunau)' is deprecated:DeprecationWarning"
)  # what librosa.load imports
@pytest.mark.filterwarnings("ignore:n_fft=.* is too large:UserWarning")  # scripts see it for clips of some seconds too
def test_it_is_what_the_script_of_the_papers_gives(file, row):
    librosa = pytest.importorskip("librosa")
    y, sr = librosa.load(file)
    f, stft = librosa.feature, np.abs(librosa.stft(y))
    script = {
        "mfcc": f.mfcc(y=y, sr=sr, n_mfcc=40),
        "chroma": f.chroma_stft(S=stft, sr=sr),
        "mel": f.melspectrogram(y=y, sr=sr),
        "contrast": f.spectral_contrast(S=stft, sr=sr),
        "tonnetz": f.tonnetz(y=librosa.effects.harmonic(y), sr=sr),
        "zcr": f.zero_crossing_rate(y),
        "rms": f.rms(y=y),
    }
    expected = {}
    for name, frames in script.items():
        for i, (mean, std) in enumerate(zip(np.mean(frames.T, axis=0), np.std(frames.T, axis=0), strict=True)):
            stem = f"{name}_{i:03d}" if len(frames) > 1 else name
            expected |= {f"{stem}_mean": mean, f"{stem}_std": std}
    assert sr == extractor.parameters["rate"]
    assert row == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_tone_of_440_hz_is_an_a(row):
    pitch_classes = [row[f"chroma_{i:03d}_mean"] for i in range(12)]
    assert int(np.argmax(pitch_classes)) == 9


@pytest.mark.parametrize(("seconds", "applies"), [(0.092, False), (0.094, True), (0.5, True)])
def test_short_clips(seconds, applies):
    pytest.importorskip("librosa")
    (found,) = extractor.extract([AudioClip(sound(seconds))])
    assert isinstance(found, np.ndarray) == applies
    assert np.isfinite(found).all() if applies else isinstance(found, NotApplicable) and "too short" in str(found)


def test_globs_leave_it_to_those_who_name_it():
    assert "audio.librosa" not in {e.name for p in ("*", "audio.*", "audio.lib*") for e in registry.select([p])}
    assert [e.name for e in registry.select(["audio.librosa"])] == ["audio.librosa"]
