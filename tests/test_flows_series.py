"""Features over time: tables by windows, and that refresh, erasure, failures and readers hold for them."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from affectlake.data import Store
from affectlake.data.demo_voice import RATE, speak, speaker_voice
from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.features import registry, settings
from affectlake.features.compute import LONG, Chunk, compute
from affectlake.features.inputs import Request
from affectlake.features.windowed import spans
from affectlake.flows.refresh import RefreshOptions, dry_run, refresh

ONLY = ("audio.prosody", "audio.spectral", "audio.recording")
WINDOWS = {"series.window": 1.0, "series.hop": 0.5}


def voice(seed: int, seconds: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y = speak(rng, speaker_voice(rng, high=seed % 2 == 0), "neutral", 1.0, 16)[: round(seconds * RATE)]
    return 0.1 * y / np.abs(y).max()


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A store with series of four samples: two of one recording, one silent for two seconds, one that is no sound."""
    root = tmp_path_factory.mktemp("series")
    sf.write(root / "a.wav", voice(0, 3.0), RATE)
    sf.write(root / "b.wav", np.concatenate([voice(1, 2.0), np.zeros(2 * RATE)]), RATE)
    (root / "c.wav").write_bytes(b"RIFF no sound")
    table = {
        "sample_id": ["a0", "a1", "b", "c"],
        "audio": ["a.wav", "a.wav", "b.wav", "c.wav"],
        "start": [0.0, 1.5, None, None],
        "end": [1.5, 3.0, None, None],
        "speaker": ["Ann", "Ann", "Bob", "Cid"],
    }
    pd.DataFrame(table).to_csv(root / "m.csv", index=False)
    result = refresh(asked(root))
    return root, result


def asked(root, **changed) -> RefreshOptions:
    given = {"only": ONLY, "workers": 1, "settings": WINDOWS, "store": str(root / "lake")} | changed
    return RefreshOptions(dataset="d", manifest=str(root / "m.csv"), **given)


def test_windows_of_a_sample_are_its_series(lake):
    root, result = lake
    assert result.computed["audio.prosody@window"] == 4 and "audio.recording@window" not in result.computed
    store = Store(root / "lake")
    frame = store.series("d", "a1", ["audio.prosody.f0_hz_mean", "audio.spectral"])
    assert frame.index.tolist() == [(1.5, 2.5), (2.0, 3.0)] and frame.index.names == ["start", "end"]
    assert frame.columns[0] == "audio.prosody.f0_hz_mean" and (frame.dtypes == np.float32).all()
    assert frame["audio.prosody.f0_hz_mean"].between(50, 500).all()
    both = store.series("d", ["b", "a0"], "audio.prosody.level")
    assert both.index.names == ["sample_id", "start", "end"] and set(both.index.get_level_values(0)) == {"a0", "b"}


def test_a_window_is_what_the_extractor_says_of_it(lake):
    """The same code as of a sample: a window's values are those of a row that is about these seconds."""
    root, _ = lake
    frame = Store(root / "lake").series("d", "a0", "audio.prosody")
    chunk = Chunk("audio", ("audio.prosody",), (Request("x", str(root / "a.wav"), 0.5, 1.5),))
    row = compute(chunk)["audio.prosody"].to_pandas().drop(columns=["content", "outcome", "reason"])
    np.testing.assert_allclose(frame.loc[(0.5, 1.5)].to_numpy(), row.iloc[0].to_numpy(), rtol=1e-5)


def test_rows_are_what_they_were_and_without_series_it_says_how_to_get_them(lake, tmp_path):
    root, _ = lake
    plain = refresh(asked(root, store=str(tmp_path / "plain"), settings={}))
    assert "audio.prosody@window" not in plain.extractors
    without = Store(tmp_path / "plain").load("d", missing="keep")
    pd.testing.assert_frame_equal(Store(root / "lake").load("d", missing="keep"), without)
    with pytest.raises(AffectlakeError, match=r"--set series\.window=1"):
        Store(tmp_path / "plain").series("d", "b")


def test_silence_is_a_window_without_values_and_what_is_no_sound_a_failure(lake):
    root, _ = lake
    store = Store(root / "lake")
    frame = store.series("d", "b", "audio.prosody")
    silent = frame.index.get_level_values("start") >= 2.0
    assert frame[silent].isna().all(axis=None) and frame[~silent]["audio.prosody.level"].notna().all()
    failed = store.failures("d", "audio.prosody@window")
    assert failed["sample_id"].tolist() == ["c"] and failed["reason"].iloc[0]
    assert store.series("d", "c").empty


def test_tables_are_flat_parquet(lake):
    root, _ = lake
    frame = pd.read_parquet(root / "lake" / "current" / "d" / "audio.prosody@window")
    assert {"sample_id", "start", "end", "f0_hz_mean"} <= set(frame) and len(frame) > 8
    assert frame["f0_hz_mean"].dtype == np.float32
    rows = Store(root / "lake").sql('SELECT count(*) AS n FROM "d.audio.prosody@window"')
    assert rows["n"].tolist() == [len(frame)]


def test_nothing_is_computed_twice_and_other_windows_are_other_features(lake):
    root, first = lake
    again = refresh(asked(root))
    assert again.computed.get("audio.prosody@window", 0) <= 1  # only what cannot be read is tried again
    assert again.extractors["audio.prosody@window"]["unchanged"] == first.extractors["audio.prosody@window"]["new"]
    assert dry_run(asked(root, settings={"series.window": 2.0}))["audio.prosody@window"] == 4


def test_explain_says_what_a_series_was_made_of(lake):
    root, _ = lake
    found = Store(root / "lake").explain("d", "a0", "audio.prosody@window.level")
    assert found["parameters"]["window"] == 1.0 and found["outcome"] == "ok" and found["source"]["end"] == 1.5
    series = Store(root / "lake").series("d", "a0", "audio.prosody.level").reset_index()
    parts = [(p["start"], p["end"], p["value"]) for p in found["parts"]]
    assert parts == list(series.itertuples(index=False, name=None)) and found["value"] is None
    status = next(s for s in Store(root / "lake").status()["datasets"] if s["dataset"] == "d")
    table = next(t for t in status["tables"] if t["extractor"] == "audio.prosody@window")
    assert (table["rows"], table["failed"]) == (3, 1)


def test_a_person_leaves_the_series_too(lake, tmp_path):
    root, _ = lake
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    store = Store(tmp_path / "lake")
    receipt = store.erase("d", speaker="Ann")
    assert receipt["rows"]["series.audio.prosody@window"] == 4 and receipt["still_found_in"] == []
    with pytest.raises(UnknownName):
        store.series("d", "a0")
    assert len(store.series("d", "b", "audio.prosody")) == 7
    refresh(asked(tmp_path))
    assert len(store.series("d", "b", "audio.prosody")) == 7 and store.verify()["damaged"] == []


def test_a_sample_that_leaves_takes_its_windows_along(lake, tmp_path):
    root, _ = lake
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    table = pd.read_csv(root / "m.csv")
    table[table["sample_id"] != "a0"].to_csv(tmp_path / "m.csv", index=False)
    refresh(asked(tmp_path, settings={}, max_missing=1.0))  # carried along, not refreshed
    frame = pd.read_parquet(tmp_path / "lake" / "current" / "d" / "audio.prosody@window")
    assert sorted(set(frame["sample_id"])) == ["a1", "b"] and len(frame) == 2 + 7
    store = Store(tmp_path / "lake")
    first, last = store.snapshots("d")["snapshot"].iloc[[0, -1]]
    gone = store.diff("d", first, last)["features"]["audio.prosody@window"]
    assert gone["removed"] == ["a0"] and gone["changed"] == gone["added"] == []


def test_equal_contents_have_equal_series(lake, tmp_path):
    root, _ = lake
    table = {"sample_id": ["x", "y"], "audio": [str(root / "a.wav")] * 2}
    pd.DataFrame(table).to_csv(tmp_path / "m.csv", index=False)
    assert refresh(asked(tmp_path)).computed["audio.prosody@window"] == 1
    store = Store(tmp_path / "lake")
    pd.testing.assert_frame_equal(store.series("d", "x"), store.series("d", "y"))
    more = pd.DataFrame({"sample_id": ["x", "y", "z"], "audio": [str(root / "a.wav")] * 3})
    more.to_csv(tmp_path / "m.csv", index=False)
    assert refresh(asked(tmp_path)).computed.get("audio.prosody@window", 0) == 0
    assert len(store.series("d", "z")) == len(store.series("d", "x")) == 5


def test_what_is_not_there_is_named(lake):
    root, _ = lake
    with pytest.raises(UnknownName, match=r"audio\.prosody"):
        Store(root / "lake").series("d", "b", "audio.prosodi")
    with pytest.raises(UsageError, match=r"series\.window=1"):
        registry.get("audio.prosody@window")
    with pytest.raises(UsageError, match=r"series\.window cannot be '0\.05'"):
        settings.parsed({"series.window": 0.05})


def test_many_windows_get_more_time(tmp_path):
    """A worker that was given the time of one sample hands back what takes longer, and says how much longer."""
    sf.write(tmp_path / "long.wav", np.tile(voice(0, 3.0), 10), RATE)
    request = Request("x", str(tmp_path / "long.wav"))
    with settings.use({"series.window": 0.1, "series.hop": 0.1}):
        given = tuple(settings.changed().items())
    chunk = Chunk("audio", ("audio.spectral@window",), (request,), given, pieces=1)
    table = compute(chunk)["audio.spectral@window"]
    assert table["outcome"].to_pylist() == [LONG] and table["reason"].to_pylist() == ["2"]
    assert compute(replace(chunk, pieces=2))["audio.spectral@window"].num_rows > 200


def test_what_is_left_of_a_sample_is_a_window_unless_it_is_next_to_nothing():
    assert spans(0.0, 0.4, 1.0, 0.5) == [(0.0, 1.0)] and spans(0.0, 0.4, 1.0, 0.5, 0.4) == [(0.0, 0.4)]
    assert spans(0.0, 2.01, 1.0, 1.0) == [(0.0, 1.0), (1.0, 2.0)]
    assert spans(0.0, 2.5, 1.0, 0.5) == [(0.0, 1.0), (0.5, 1.5), (1.0, 2.0), (1.5, 2.5)]
