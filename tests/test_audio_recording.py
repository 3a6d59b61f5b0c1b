"""The band that sound was carried in: measured, and told where what is new differs from what was trained on."""

import numpy as np
import pandas as pd
import pytest

from affectlake.data.samples import samples_frame
from affectlake.data.sound import RATE, AudioClip, read_audio
from affectlake.data.store import Store
from affectlake.features import registry
from affectlake.features.audio._band import narrowed
from affectlake.features.audio.recording import bandwidth
from affectlake.flows import predict as predicting
from affectlake.flows.benchmark import BenchOptions, benchmark, save_best
from affectlake.flows.config import Drift
from affectlake.flows.drift import features_drift
from affectlake.models.band import Band, remarks
from affectlake.models.splits import Fold

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")
pytest.importorskip("librosa")


def speech(seed: int, gain: float = 0.3) -> AudioClip:
    """A hum that falls with frequency, as a voice does, and now and then a hiss about 5 to 8 kHz."""
    rng = np.random.default_rng(seed)
    n = 2 * RATE
    t = np.arange(n) / RATE
    voice = sum(np.sin(2 * np.pi * 150 * k * t) / k**1.5 for k in range(1, 20))
    hiss = np.diff(rng.normal(size=n + 2), n=2) * 0.02
    hiss[: n - n // 8] = 0
    return AudioClip(gain * (voice + hiss) / 3 + 1e-6 * rng.normal(size=n))


@pytest.mark.parametrize("gain", [0.3, 0.006])
@pytest.mark.parametrize("rate", [8000, 11_025])
def test_what_a_channel_left_is_seen_at_any_level(gain, rate):
    wide = speech(0, gain)
    assert bandwidth(wide) >= 7500
    assert bandwidth(narrowed(wide, rate)) == pytest.approx(rate / 2, abs=400)
    # Kept in 16 bits afterwards, whose noise is of the whole band.
    steps = np.round(narrowed(wide, rate).y * 2**15 + np.random.default_rng(1).uniform(-0.5, 0.5, len(wide.y))) / 2**15
    assert bandwidth(AudioClip(steps)) == pytest.approx(rate / 2, abs=400)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_the_stored_rate_is_that_of_the_file(tmp_path, rate):
    path = tmp_path / "a.wav"
    soundfile.write(path, speech(0).y[:rate], rate)
    clip = read_audio(path)
    [row] = registry.get("audio.recording").extract([clip])
    assert clip.sr == RATE and row[0] == clip.stored_rate == rate
    [narrow] = registry.get("audio.recording").extract([narrowed(clip, 6000)])
    assert narrow[0] == 6000 and narrow[1] <= 3125


def test_a_band_is_another_one_beyond_a_quarter():
    band = Band.of(np.array([7600.0, *[7700] * 50, 7800]))
    assert band.beside(np.array([3900.0, 6300, 7700, 8000, np.nan])).tolist() == ["narrower", "", "", "", ""]
    assert Band(3800, 4000).beside(np.array([3000.0, 4900, 7700])).tolist() == ["narrower", "", "wider"]
    assert Band.of(np.array([7700.0, np.nan] * 4)) is None
    assert Band.from_json(band.to_json()) == band
    for bad in (None, "wide", {}, {"low": "a", "high": 1}, {"low": 0, "high": 8000}, {"low": 1}):
        assert Band.from_json(bad) is None


def test_folds_of_another_band_are_told_in_one_line():
    wide = pd.Series([7700.0] * 40 + [3900.0] * 20, index=[f"c{i}" for i in range(60)])
    rows = np.arange(60)
    mixed = [Fold(rows[rows % 2 == i], rows[rows % 2 != i]) for i in range(2)]
    assert remarks(wide, mixed) == []
    [line] = remarks(wide, [Fold(rows[:40], rows[40:])])
    assert line.startswith("20 of 20 sounds have a narrower band (median 3.9 kHz, the first c40)")
    [line] = remarks(wide, [*mixed, Fold(rows[:40], rows[40:]), Fold(rows[40:], rows[:40])])
    assert line.startswith("fold 3, 4 of 4: 20 of 20 sounds have a narrower")
    one = wide.mask(wide < 5000, 7700.0)
    one.iloc[59] = 3900.0
    assert remarks(one, [Fold(rows[:30], rows[30:])]) == [], "one in thirty is no other band"


def put(store: Store, dataset: str, bands: list[float]) -> pd.DataFrame:
    n, rng = len(bands), np.random.default_rng(0)
    y, ids = np.arange(n) % 2, [f"{dataset}{i}" for i in range(n)]
    table = pd.DataFrame({"sample_id": ids, "speaker": [f"s{i // 2 % 6}" for i in range(n)], "text": "x"})
    samples = samples_frame(table.assign(emotion=np.array(list("ab"))[y]), dataset)
    x = pd.DataFrame(rng.normal(size=(n, 3)) + 2 * y[:, None], index=ids, columns=list("pqr"))
    store.put(dataset, "audio", "x", x, samples=samples)
    store.put(dataset, "audio", "recording", pd.DataFrame({"bandwidth": bands}, index=ids), samples=samples)
    return store.load(dataset)


def test_benchmark_model_and_drift_tell_a_telephone(tmp_path, capsys):
    store = Store(tmp_path / "lake", create=True)
    put(store, "studio", [7700.0] * 48)
    calls = put(store, "calls", [3900.0] * 12 + [7600.0] * 12)
    options = BenchOptions(
        "studio", "emotion", store=store.uri, models=("logreg",), fusions=("unimodal",), explain=False, workers=1
    )
    done = benchmark(options, map=map)
    assert done.result.about["remarks"] == []
    assert not any("bandwidth" in c for c in done.about["nuisances"]) and "audio.recording" in str(done.about)
    model = save_best(options, done, tmp_path / "model")
    calls.to_parquet(tmp_path / "calls.parquet")
    for parts in (
        predicting.from_features(model, tmp_path / "calls.parquet"),
        predicting.from_features(model, tmp_path / "calls.parquet", batch=5),
        predicting.from_store(model, store.uri, "calls"),
    ):
        assert [r["band"] for p in parts for r in p.rows] == ["narrower"] * 12 + [None] * 12
    crossed = BenchOptions(**vars(options) | {"dataset": "calls", "train_on": ("studio",)})
    benchmark(crossed, map=map)
    assert "12 of 24 sounds have a narrower band (median 3.9 kHz" in capsys.readouterr().err
    before = store.snapshot("studio", None)
    put(store, "studio", [7700.0] * 48 + [3900.0] * 4)
    drifted = features_drift(store, "studio", before, store.snapshot("studio", None), Drift(mean=99, spread=99))
    assert [(d["extractor"], d["kind"], d["now"], d["size"]) for d in drifted if d["kind"] == "band"] == [
        ("audio.recording", "band", 3900.0, 1.0)
    ]
