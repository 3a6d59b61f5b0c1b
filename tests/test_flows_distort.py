"""What is lost when sound is worse: spoiled by rule, extracted anew, and asked of models of clean sound."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest

from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.sound import RATE, AudioClip
from affectlake.data.store import Store
from affectlake.features import registry, settings
from affectlake.features.audio import _distort
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._band import narrowed
from affectlake.features.audio.recording import bandwidth
from affectlake.features.inputs import Request, decoding, read
from affectlake.features.protocol import fingerprint
from affectlake.flows.benchmark import BenchOptions, benchmark
from affectlake.flows.cli.app import run
from affectlake.flows.options import RefreshOptions
from affectlake.flows.refresh import refresh
from affectlake.flows.report import html

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")
pytest.importorskip("librosa")

ALL = ("telephone", "noise:10", "codec:opus", "codec:mp3")


def voice(seed: int, seconds: float = 1.0) -> np.ndarray:
    """Harmonics that move, and a hiss: sound of the whole band."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * (140 + 10 * seed) * (t + 0.01 * np.sin(2 * np.pi * 3 * t))
    hum = sum(np.sin(k * phase) / k for k in range(1, 12))
    hiss = np.diff(rng.normal(size=len(t) + 2), n=2) * (np.sin(2 * np.pi * 2 * t) > 0.5)
    return (0.1 * hum + 0.02 * hiss).astype(np.float32)


@pytest.mark.parametrize("how", ALL)
def test_a_clip_is_spoiled_in_its_places_and_always_alike(how):
    clip = AudioClip(voice(0), duration=12.0, note="louder channel")
    worse = _distort.distorted(clip, how)
    assert (len(worse.y), worse.duration, worse.note) == (len(clip.y), 12.0, clip.note)
    np.testing.assert_array_equal(worse.y, _distort.distorted(clip, how).y)
    both = np.fft.irfft(np.fft.rfft(clip.y, 2**16) * np.conj(np.fft.rfft(worse.y, 2**16)))
    assert np.argmax(both) == 0, "nothing is delayed"
    assert 0.4 < np.corrcoef(clip.y, worse.y)[0, 1] < 0.9999
    for samples in (1, 50, 3000):
        assert len(_distort.distorted(AudioClip(np.full(samples, 0.1)), how).y) == samples


def test_a_telephone_passes_its_band_in_steps():
    worse = _distort.distorted(AudioClip(voice(0)), "telephone")
    assert worse.stored_rate == 8000 and bandwidth(worse) < 4000
    power, hz = sp.power(worse).mean(axis=0), sp.frequencies()
    assert power[(hz > 50) & (hz < 180)].mean() < 1e-2 * power[(hz > 400) & (hz < 900)].mean()
    faint = _distort.distorted(AudioClip(voice(0) * 1e-4), "telephone")
    assert len(np.unique(np.round(faint.y, 7))) < 200, "below the last step of eight bits there is little"


@pytest.mark.parametrize("decibels", [0, 10, 20])
def test_noise_is_so_far_below_what_is_heard(decibels):
    y = np.concatenate([voice(0), np.zeros(RATE, np.float32)])  # a pause is no voice
    noise = _distort.distorted(AudioClip(y), f"noise:{decibels}").y - y
    heard = 10 * np.log10(np.mean(np.square(y[:RATE])) / np.mean(np.square(noise)))
    assert heard == pytest.approx(decibels, abs=0.5)


def test_it_is_set_for_reading_and_is_part_of_the_fingerprint(tmp_path):
    soundfile.write(tmp_path / "a.wav", voice(0), RATE)
    request, prosody = Request("c", uri=(tmp_path / "a.wav").as_uri()), registry.get("audio.prosody")
    plain, before = read("audio", request), fingerprint(prosody, decoding("audio"))
    with settings.use(settings.parsed(["audio.distort=telephone"])):
        worse, after = read("audio", request), fingerprint(prosody, decoding("audio"))
    assert before != after and bandwidth(worse) < 4000 < bandwidth(plain)
    assert set(settings.CODECS) == set(_distort.CODECS)


@pytest.mark.parametrize("how", ["radio", "noise", "noise:loud", "noise:nan", "noise:99", "codec:", "codec:amr", " "])
def test_what_there_is_not_is_refused_before_anything(tmp_path, how):
    Store(tmp_path / "lake", create=True).put(
        "d", "audio", "x", pd.DataFrame({"a": [1.0]}, index=["i"]), samples=pd.DataFrame({"sample_id": ["i"]})
    )
    with pytest.raises(UsageError, match=r"cannot be .* expected telephone, noise:DB"):
        benchmark(BenchOptions("d", "label", store=str(tmp_path / "lake"), distort=(how,)), map=map)


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Six speakers who are recorded in a wide band where they say a, and in a narrow one where they say b."""
    folder = tmp_path_factory.mktemp("calls")
    rows = []
    for i in range(24):
        clip, label = AudioClip(voice(i, 0.5)), "ab"[i % 2]
        clip = clip if label == "a" else narrowed(clip, 8000)
        soundfile.write(folder / f"{i}.wav", clip.y, RATE)
        rows.append({"sample_id": f"c{i}", "audio": f"{i}.wav", "speaker": f"s{i // 4}", "emotion": label})
    pd.DataFrame(rows).to_csv(folder / "m.csv", index=False)
    lake = str(folder / "lake")
    refresh(RefreshOptions("calls", manifest=str(folder / "m.csv"), store=lake, only=("audio.recording",), workers=1))
    words = pd.DataFrame({"x": np.random.default_rng(0).normal(size=24)}, index=[r["sample_id"] for r in rows])
    Store(lake).put("calls", "audio", "mine", words)
    return folder, lake


QUICK = {"models": ("logreg",), "fusions": ("unimodal",), "explain": False, "workers": 1, "folds": 3}


def test_the_loss_is_drawn_of_models_that_never_heard_it(calls, capsys):
    _, lake = calls
    options = BenchOptions(
        "calls", "emotion", store=lake, features=("audio.*",), distort=("telephone", "noise:20"), **QUICK
    )
    done = benchmark(options, map=map)
    found = done.to_json()["distort"]
    assert found["distortions"] == ["none", "telephone", "noise:20"] and found["samples"] == 24
    [curve] = found["curves"]
    points = {p["distortion"]: p["value"] for p in curve["points"]}
    # All is narrow on a telephone, and noise is wide: both leave nothing of what told the classes apart.
    assert points == {"none": 1.0, "telephone": 0.5, "noise:20": 0.5}
    [row] = [r for r in done.result.rows if r["fusion"] == "unimodal"]
    assert row["uar"]["value"] == 1.0, "the table itself is of sound as it is"
    page = html(done.to_json())
    assert "When sound is worse" in page and "noise:20" in page
    assert "--distort telephone noise:20" in done.about["command"]
    words = shlex.split(done.about["command"])[2:] + ["--workers", "1", "--json", "--prefect", "never"]
    assert run(["bench", *words]) == 0
    assert json.loads(capsys.readouterr().out)["distort"] == found


def test_what_cannot_be_spoiled_is_said_before_training(calls, tmp_path, monkeypatch):
    folder, lake = calls
    common = {"store": lake, "distort": ("telephone",), **QUICK}
    with pytest.raises(UsageError, match="audio.mine was put in"):
        benchmark(BenchOptions("calls", "emotion", features=("audio.mine",), **common), map=map)
    with pytest.raises(UsageError, match="--normalise speaker"):
        benchmark(BenchOptions("calls", "emotion", features=("audio.*",), normalise="speaker", **common), map=map)
    away = folder.with_name("away")
    folder_files = sorted(folder.glob("*.wav"))
    away.mkdir()
    for file in folder_files:
        file.rename(away / file.name)
    try:
        with pytest.raises(AffectlakeError, match=r"none of 24 tested samples has the medium .*\.wav"):
            benchmark(BenchOptions("calls", "emotion", features=("audio.*",), **common), map=map)
    finally:
        for file in folder_files:
            (away / file.name).rename(file)
    monkeypatch.setattr(type(registry.get("audio.recording")), "version", "0")
    with pytest.raises(AffectlakeError, match="audio.recording here is another one than the store's"):
        benchmark(BenchOptions("calls", "emotion", features=("audio.*",), **common), map=map)
