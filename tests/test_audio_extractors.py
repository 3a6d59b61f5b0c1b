"""Spectrum, prosody and movement: against librosa, synthetic voices of known pitch, and laws of loudness."""

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy")
from scipy.signal import lfilter

from affectlake.data.errors import NotApplicable
from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _functionals, _pitch, coordination, fingerprint, modulation, prosody, spectral
from affectlake.features.audio import _spectrum as sp
from affectlake.models.copies import LEAST

EXTRACTORS = (spectral.extractor, prosody.extractor, modulation.extractor, coordination.extractor)
FROZEN = Path(__file__).with_name("test_audio_frozen.npz")


def voice(hz: float = 140.0, seconds: float = 1.5, seed: int = 0, glide: float = 0.0) -> np.ndarray:
    """Syllables of a band-limited buzz through two resonances, with a pause of 0.3 s and a little breath.

    ``glide`` is the rise of the pitch in octaves per second.
    """
    t = np.arange(round(seconds * RATE)) / RATE
    cycles = np.cumsum(hz * 2 ** (glide * t)) / RATE
    count = int(7000 / (hz * 2 ** max(glide * seconds, 0)))
    y = sum(np.cos(2 * np.pi * k * cycles) for k in range(1, count + 1)) / count
    for formant, width in ((600, 80), (1500, 120)):
        pole = np.exp(-np.pi * width / RATE)
        y = lfilter([1 - pole], [1, -2 * pole * np.cos(2 * np.pi * formant / RATE), pole**2], y)
    syllable = np.clip(1.5 * np.sin(np.pi * t / 0.3) ** 2, 0.02, 1)
    y = y * np.where((t > 0.6) & (t < 0.9), 2e-3, syllable)
    breath = 1e-3 * np.random.default_rng(seed).standard_normal(len(t))
    return (0.5 * y / np.abs(y).max() + breath).astype(np.float32)


def values(extractor, y: np.ndarray) -> dict[str, float]:
    row = extractor.extract([AudioClip(y)])[0]
    assert isinstance(row, np.ndarray), row
    return dict(zip((c.name for c in extractor.columns), row.tolist(), strict=True))


# Against librosa -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair() -> tuple[AudioClip, dict[str, np.ndarray]]:
    """A clip and librosa's own answers for it, frames first."""
    librosa = pytest.importorskip("librosa")
    f, y = librosa.feature, voice() - voice().mean()
    magnitude = np.abs(librosa.stft(y, n_fft=sp.N_FFT, win_length=sp.WINDOW, hop_length=sp.HOP))
    bands = librosa.power_to_db(f.melspectrogram(S=magnitude**2, sr=RATE, n_mels=sp.BANDS))
    cepstra = f.mfcc(S=bands, n_mfcc=sp.CEPSTRA)
    pitch_classes = f.chroma_stft(S=magnitude**2, sr=RATE, tuning=0)
    shape = {"S": magnitude, "sr": RATE}
    frame = {"frame_length": sp.WINDOW, "hop_length": sp.HOP}
    answers = {
        "power": magnitude**2,
        "mel": bands,
        "mfcc": cepstra,
        "delta": f.delta(cepstra, mode="nearest"),
        "chroma": pitch_classes,
        "tonnetz": f.tonnetz(chroma=pitch_classes),
        "contrast": f.spectral_contrast(**shape),
        "centroid": f.spectral_centroid(**shape)[0],
        "bandwidth": f.spectral_bandwidth(**shape)[0],
        "rolloff": f.spectral_rolloff(**shape)[0],
        "flatness": 10 * np.log10(f.spectral_flatness(S=magnitude)[0]),
        "zero_crossings": f.zero_crossing_rate(y, **frame)[0],
        "rms": f.rms(y=y, **frame)[0],
    }
    return AudioClip(y), {name: x.T for name, x in answers.items()}


OURS = {
    "power": sp.power,
    "mel": sp.mel,
    "mfcc": sp.mfcc,
    "delta": lambda clip: _functionals.delta(sp.mfcc(clip)),
    "chroma": spectral.chroma,
    "tonnetz": lambda clip: spectral.tonnetz(spectral.chroma(clip)),
    "contrast": spectral.contrast,
    "centroid": spectral.centroid,
    "bandwidth": spectral.bandwidth,
    "rolloff": spectral.rolloff,
    "flatness": spectral.flatness,
    "zero_crossings": spectral.zero_crossings,
    "rms": sp.rms,
}


@pytest.mark.parametrize("name", OURS)
def test_the_shared_transform_says_what_librosa_says(pair, name):
    clip, answers = pair
    theirs = answers[name]
    # Contrast's lowest valley is a single bin, all but cancelled: single precision moves it by hundredths of a dB.
    allowed = 1e-3 if name == "contrast" else 1e-4
    np.testing.assert_allclose(OURS[name](clip), theirs, rtol=1e-4, atol=allowed * np.abs(theirs).max())


# Loudness ------------------------------------------------------------------------------------------------------------


def follow_level(extractor) -> set[str]:
    return {c.name for c in extractor.columns if c.nuisance == "level"}


@pytest.mark.parametrize("extractor", EXTRACTORS, ids=lambda e: e.name)
@given(gain=st.floats(0.05, 1.9))
@settings(max_examples=15)
def test_only_what_says_so_knows_how_loud_it_was(extractor, gain):
    before, after = values(extractor, voice()), values(extractor, np.float32(gain) * voice())
    for name, value in before.items():
        if name not in follow_level(extractor):
            assert after[name] == pytest.approx(value, rel=5e-3, abs=5e-3, nan_ok=True), name
    decibels = 20 * np.log10(gain)
    if extractor is prosody.extractor:
        assert after["level"] - before["level"] == pytest.approx(decibels, abs=1e-3)
        assert after["loudness_mean"] == pytest.approx(before["loudness_mean"] * gain**0.66, rel=1e-3)
    elif extractor is spectral.extractor:
        assert after["level_mean"] - before["level_mean"] == pytest.approx(decibels, abs=0.01)


@pytest.mark.parametrize("extractor", EXTRACTORS, ids=lambda e: e.name)
@given(shift=st.floats(-0.4, 0.4))
@settings(max_examples=15)
def test_an_offset_changes_nothing(extractor, shift):
    before, after = values(extractor, voice()), values(extractor, voice() + np.float32(shift))
    for name, value in before.items():
        assert after[name] == pytest.approx(value, rel=0.02, abs=0.02, nan_ok=True), name


@given(st.integers(0, 2**32 - 1), st.integers(1, 3 * sp.HOP), st.sampled_from([1e-3, 0.1, 1.0]))
@settings(max_examples=25)
def test_the_shortest_noises_are_finite_or_undefined(seed, samples, gain):
    clip = AudioClip(gain * np.random.default_rng(seed).uniform(-1, 1, samples))
    for extractor in EXTRACTORS:
        row = extractor.extract([clip])[0]
        assert isinstance(row, NotApplicable) or not np.isinf(row).any()


def test_a_clipped_voice_and_one_of_a_few_steps_still_speak():
    """24 dB too loud for the recorder; and at most 16 steps of 16 bit."""
    clipped = np.clip(16 * voice(), -1, 1)
    faint = np.round(voice() * 1e-3 * 2**15) / 2**15
    for y in (clipped, faint):
        found = values(prosody.extractor, y)
        assert found["f0_hz_median"] == pytest.approx(140, rel=0.02)
        for extractor in EXTRACTORS:
            undefined = {name for name, x in values(extractor, y).items() if not np.isfinite(x)}
            assert undefined <= {"pause_seconds_mean"}  # sixteen times as loud, the pause is a sound


# Pitch and voice -----------------------------------------------------------------------------------------------------


@given(hz=st.floats(70, 995), harmonics=st.integers(1, 6), gain=st.floats(0.01, 0.9))
@settings(max_examples=40)
def test_the_pitch_of_tones(hz, harmonics, gain):
    t = np.arange(RATE // 2) / RATE
    y = gain * sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, harmonics + 1)) / 2
    found = values(prosody.extractor, y)
    assert found["f0_hz_median"] == pytest.approx(hz, rel=0.005)
    assert found["voiced_fraction"] > 0.9
    assert found["jitter_mean"] < 0.005  # of a tone with 16 samples in a period; of a voice see below


def through_throat(x: np.ndarray, formants=((700, 80), (1220, 90), (2600, 120))) -> np.ndarray:
    """A source through resonances, at an RMS of 0.1."""
    for hz, width in formants:
        r = np.exp(-np.pi * width / RATE)
        c = 2 * r * np.cos(2 * np.pi * hz / RATE)
        x = lfilter([1 - c + r * r], [1, -c, r * r], x)
    return x * (0.1 / x.std())


@pytest.mark.parametrize("hz", [110, 150, 210])
@pytest.mark.parametrize(("hnr", "most"), [(40, 0.0006), (25, 0.001), (20, 0.0015), (15, 0.002), (10, 0.003)])
def test_a_steady_vowel_in_noise_has_next_to_no_jitter(hz, hnr, most):
    t = np.arange(2 * RATE) / RATE
    y = through_throat(sum(np.cos(2 * np.pi * hz * k * t) / k**1.2 for k in range(1, RATE // 2 // hz)))
    found = values(prosody.extractor, y + np.random.default_rng(hnr).normal(0, 0.1 * 10 ** (-hnr / 20), len(y)))
    assert found["jitter_mean"] <= most * (1.4 if hz > 200 and hnr == 40 else 1.02)  # fewer samples in a period
    assert found["shimmer_mean"] <= 0.05 + 2.2 * 10 ** (-hnr / 20)


@pytest.mark.parametrize("hz", [60, 110, 440])
@pytest.mark.parametrize("samples", [16000, 16037, 16100])
def test_a_tone_that_is_cut_off_has_neither_jitter_nor_shimmer(hz, samples):
    """Cycles are compared only where the next one is whole: rows of a recording begin and end amid the voice."""
    found = values(prosody.extractor, 0.3 * np.sin(2 * np.pi * hz / RATE * np.arange(samples) + 1))
    assert found["jitter_mean"] < 1e-4 and found["jitter_std"] < 1e-4
    assert found["shimmer_mean"] < 2e-3 and found["shimmer_std"] < 2e-3


def shaky_vowel(rng: np.random.Generator, hnr: float) -> tuple[np.ndarray, float, float]:
    """1.5 s of pulses between samples, each with a period and an amplitude of its own; local jitter, shimmer in dB."""
    hz, jitter, shimmer = rng.uniform(90, 280), rng.uniform(0, 0.02), rng.uniform(0, 1)
    onset = np.cumsum((1 + jitter * rng.standard_normal(int(1.4 * hz))) / hz)
    level = shimmer * rng.standard_normal(len(onset))
    f = np.fft.rfftfreq(3 * RATE // 2, 1 / RATE)
    tilt = np.where((f > 40) & (f < 7500), np.maximum(f, 40.0) ** -1, 0)
    source = sum(10 ** (a / 20) * np.exp(-2j * np.pi * f * t) for t, a in zip(onset, level, strict=True))
    y = through_throat(np.fft.irfft(tilt * source))
    period = np.diff(onset)
    noisy = y + rng.normal(0, 0.1 * 10 ** (-hnr / 20), len(y))
    return noisy, np.abs(np.diff(period)).mean() / period.mean(), np.abs(np.diff(level)).mean()


@pytest.mark.parametrize("hnr", [40, 20])
def test_jitter_and_shimmer_are_those_that_were_put_in(hnr):
    rng = np.random.default_rng(0)
    vowels, jitter, shimmer = zip(*(shaky_vowel(rng, hnr) for _ in range(30)), strict=True)
    found = [values(prosody.extractor, y) for y in vowels]
    for name, true, bias in (("jitter_mean", jitter, (0.75, 1.1)), ("shimmer_mean", shimmer, (0.85, 1.15))):
        ours = np.array([f[name] for f in found])
        assert np.corrcoef(ours, true)[0, 1] >= 0.8, name
        assert bias[0] < np.median(ours / true) < bias[1], name


def test_an_octave_jump_is_no_jitter():
    """Periods that differ by more than 1.3 are left out, as an error of marking."""
    t = np.arange(RATE) / RATE
    y = np.concatenate([sum(np.cos(2 * np.pi * k * hz * t) / k for k in range(1, 20)) for hz in (120, 240)])
    assert values(prosody.extractor, 0.05 * y)["jitter_mean"] < 0.002


@given(hz=st.floats(90, 300), glide=st.floats(-0.4, 0.4))
@settings(max_examples=15)
def test_a_glide_has_its_slope(hz, glide):
    found = values(prosody.extractor, voice(hz, glide=glide))
    assert found["f0_slope"] == pytest.approx(12 * glide, abs=0.4)


def test_a_voice_has_its_formants_and_its_pause():
    found = values(prosody.extractor, voice())
    assert found["f1_mean"] == pytest.approx(600, rel=0.1)
    assert found["f2_mean"] == pytest.approx(1500, rel=0.1)
    assert found["pause_seconds_mean"] == pytest.approx(0.3, abs=0.06)
    assert found["hnr_mean"] > 10


@given(st.data())
@settings(max_examples=60)
def test_the_pitch_takes_the_best_of_all_paths(data):
    unvoiced = data.draw(st.lists(st.floats(0, 2), min_size=1, max_size=4))
    counts = [data.draw(st.integers(0, 2)) for _ in unvoiced]
    frame = np.repeat(np.arange(len(counts)), counts)
    octave = np.array([data.draw(st.floats(6, 9)) for _ in frame])
    gain = np.array([data.draw(st.floats(0, 1)) for _ in frame])

    def total(path: tuple[int, ...]) -> float:
        """-1 is unvoiced."""
        out = sum(unvoiced[t] if j < 0 else gain[j] for t, j in enumerate(path))
        for i, j in pairwise(path):
            both = i >= 0 and j >= 0
            out -= _pitch.JUMP * abs(octave[i] - octave[j]) if both else _pitch.SWITCH * ((i < 0) != (j < 0))
        return out

    every = product(*([-1, *np.flatnonzero(frame == t)] for t in range(len(counts))))
    chosen = _pitch._best_path(frame, octave, gain, np.array(unvoiced), np.ones(len(frame), bool))
    path = np.full(len(counts), -1)
    path[frame[chosen]] = chosen
    assert total(tuple(path)) == pytest.approx(max(map(total, every)))


def test_a_burst_of_another_pitch_is_not_the_speakers():
    low = voice(120)
    burst = np.zeros_like(low)
    burst[4 * RATE // 10 : 5 * RATE // 10] = voice(550)[: RATE // 10]
    found = values(prosody.extractor, np.concatenate([low, burst, low]))
    assert found["f0_max"] < 12 * np.log2(120 * 2.5 / 27.5)


def test_noise_has_no_pitch():
    found = values(prosody.extractor, 0.1 * np.random.default_rng(0).standard_normal(RATE))
    assert found["voiced_fraction"] < 0.1


def test_an_octave_apart_is_an_octave():
    low, high = (_pitch.pitch(AudioClip(voice(hz))) for hz in (110, 220))
    ratio = np.median(high.hz[high.voiced]) / np.median(low.hz[low.voiced])
    assert ratio == pytest.approx(2, rel=0.01)


@pytest.mark.parametrize("y", [np.zeros(RATE), np.full(RATE, 0.3), np.full(RATE, 5e-5), np.ones(1)])
@pytest.mark.parametrize("extractor", EXTRACTORS, ids=lambda e: e.name)
def test_silence_is_not_applicable(extractor, y):
    row = extractor.extract([AudioClip(y)])[0]
    assert isinstance(row, NotApplicable) and "silent" in str(row)


# Movement ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [2.0, 4.0, 6.5, 10.0, 16.0])
@pytest.mark.parametrize("seconds", [3.0, 15.0])
def test_a_tremor_shows_at_its_rate(rate, seconds):
    t = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(0).standard_normal(len(t))
    loudness = modulation.modulation(AudioClip(0.05 * noise * (1 + 0.8 * np.sin(2 * np.pi * rate * t))))[:, 0]
    band = int(np.searchsorted(modulation.RATES, rate)) - 1
    assert loudness.argmax() == band


def test_what_moves_together_correlates():
    x = np.random.default_rng(0).standard_normal((500, 3))
    x[:, 1] = -2 * x[:, 0] + 5
    x[:, 2] = np.roll(x[:, 0], 3)
    z = coordination.standardised(np.column_stack([x, np.ones(500)]))
    together = z.T @ z / len(z)
    assert together[0, 1] == pytest.approx(-1)
    assert coordination._lagged(z, 3)[2, 0] == pytest.approx(1, abs=0.02)
    assert not together[3].any()


def test_a_lag_longer_than_the_clip_is_undefined():
    found = values(coordination.extractor, voice()[: 8 * sp.HOP])
    assert np.isnan(found["lag15_mfcc1_mfcc1"]) and np.isfinite(found["lag3_mfcc1_mfcc1"])


# Frozen values -------------------------------------------------------------------------------------------------------


def reference() -> dict[str, np.ndarray]:
    clip = AudioClip(voice(180.0, seed=7, glide=0.2))
    return {e.name: e.extract([clip])[0] for e in EXTRACTORS}


@pytest.mark.parametrize("extractor", EXTRACTORS, ids=lambda e: e.name)
def test_values_are_those_of_this_version(extractor):
    """Other values need another ``version``; then ``python tests/test_audio_extractors.py`` freezes them anew."""
    with np.load(FROZEN) as frozen:
        assert str(frozen[f"{extractor.name}.version"]) == extractor.version
        np.testing.assert_allclose(reference()[extractor.name], frozen[extractor.name], rtol=2e-3, atol=2e-3)


if __name__ == "__main__":
    versions = {f"{e.name}.version": np.array(e.version) for e in EXTRACTORS}
    np.savez_compressed(FROZEN, **reference(), **versions)


def spoken(seed: int) -> np.ndarray:
    """Syllables of a voice, each of a level, a pitch and a vowel of its own, with pauses."""
    rng = np.random.default_rng(seed)
    parts = [rng.uniform(0.1, 1) * voice(rng.uniform(100, 200), rng.uniform(0.1, 0.3), seed + i) for i in range(8)]
    return np.concatenate([np.pad(p, (0, int(rng.integers(500, 3000)))) for p in parts]).astype(np.float32)


@pytest.mark.parametrize("change", ["quieter", "telephone", "noise", "slower"])
def test_a_copy_of_a_recording_keeps_its_fingerprint(change):
    import soxr

    rng = np.random.default_rng(0)
    changed = {
        "quieter": lambda y: y / 10,
        "telephone": lambda y: soxr.resample(soxr.resample(y, 16000, 8000), 8000, 16000),
        "noise": lambda y: y + rng.normal(size=len(y)).astype(np.float32) * y.std() / 10,
        "slower": lambda y: soxr.resample(y, 16000, 16800),
    }[change]
    clips = [spoken(100 * i) for i in range(6)]
    prints = np.stack(fingerprint.extractor.extract([AudioClip(y) for y in clips]))
    copied = np.stack(fingerprint.extractor.extract([AudioClip(changed(y)) for y in clips]))
    alike = prints @ copied.T
    assert alike.diagonal().min() > LEAST["audio"] > alike[~np.eye(6, dtype=bool)].max() + 0.03


def test_a_silent_recording_has_no_fingerprint():
    (found,) = fingerprint.extractor.extract([AudioClip(np.zeros(RATE, np.float32))])
    assert isinstance(found, NotApplicable)
