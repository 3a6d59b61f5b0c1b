"""One channel of a recording is a sample of its own: heard, told apart, traced and erased without the other."""

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from affectlake.data import Store
from affectlake.data.errors import BadManifest, BadMedia
from affectlake.data.samples import samples_frame
from affectlake.data.sound import read_audio
from affectlake.flows.changes import changes
from affectlake.flows.refresh import RefreshOptions, refresh

RATE = 8000
VOICES = {"left": 150.0, "right": 270.0}


def voice(hertz: float, seconds: float = 2.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return 0.1 * sum(np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, 6))


@pytest.fixture
def call(tmp_path):
    """A telephone call: two voices, a channel each."""
    path = tmp_path / "call.wav"
    sf.write(path, np.stack([voice(hertz) for hertz in VOICES.values()], axis=1), RATE)
    return path


def manifest(folder, **columns):
    rows = {"sample_id": ["agent", "caller"], "audio": "call.wav", "speaker": ["A", "B"], "channel": list(VOICES)}
    path = folder / "calls.csv"
    pd.DataFrame(rows | columns).to_csv(path, index=False)
    return path


def options(folder, only="audio.prosody"):
    return RefreshOptions(
        dataset="calls", manifest=str(folder / "calls.csv"), store=str(folder / "lake"), only=(only,), workers=1
    )


@pytest.mark.parametrize("number, hertz", [(1, 150.0), (2, 270.0)])
def test_a_channel_is_what_was_recorded_on_it(call, tmp_path, number, hertz):
    alone = tmp_path / "alone.wav"
    sf.write(alone, voice(hertz), RATE)
    assert np.array_equal(read_audio(call, channel=number).y, read_audio(alone).y)
    part, whole = read_audio(call, 0.5, 1.0, channel=number), read_audio(alone, 0.5, 1.0)
    assert np.array_equal(part.y, whole.y)


def test_a_channel_that_is_not_there_is_named(call):
    with pytest.raises(BadMedia, match=r"call\.wav: has 2 channels, asked for 3"):
        read_audio(call, channel=3)


@pytest.mark.parametrize("given, kept", [("Left", "left"), ("R", "right"), (" 3 ", "3"), ("mix", None), (None, None)])
def test_how_a_channel_may_be_called(given, kept):
    samples = samples_frame(pd.DataFrame({"sample_id": ["a"], "audio": ["a.wav"], "channel": [given]}), "calls")
    assert samples["channel"].astype(object).where(samples["channel"].notna(), None).tolist() == [kept]


def test_numbers_beside_missing_ones_are_channels():
    samples = samples_frame(
        pd.DataFrame({"sample_id": ["a", "b"], "audio": "a.wav", "channel": [1.0, np.nan]}), "calls"
    )
    assert samples["channel"].dropna().tolist() == ["1"]


@pytest.mark.parametrize("wrong", ["middle", "0", "-1", "1.5", "youtube"])
def test_no_channel_is_refused_by_name(wrong):
    table = pd.DataFrame({"sample_id": ["a", "b"], "audio": "a.wav", "channel": ["left", wrong]})
    with pytest.raises(BadManifest, match=f"sample 'b': channel is '{wrong}', allowed are mix, left, right, 1, 2"):
        samples_frame(table, "calls")


def test_each_is_a_sample_of_its_own(call, tmp_path):
    manifest(tmp_path)
    result = refresh(options(tmp_path))
    assert result.computed == {"audio.prosody": 2}
    store = Store(tmp_path / "lake")
    pitch = store.load("calls", "audio.prosody.f0_hz_median")["audio.prosody.f0_hz_median"].to_dict()
    assert pitch == pytest.approx({"agent": 150, "caller": 270}, rel=0.01)
    assert store.explain("calls", "caller", "audio.prosody.f0_hz_median")["source"]["channel"] == "right"
    manifest(tmp_path, channel=["1", "2"])  # the same, in numbers
    assert refresh(options(tmp_path)).computed == {}
    manifest(tmp_path, channel=["mix", "right"])
    before = store.snapshot("calls")
    assert refresh(options(tmp_path)).computed == {"audio.prosody": 1}
    store = Store(tmp_path / "lake")
    said = changes(store, "calls", before, store.snapshot("calls"))["content"]["items"]
    assert [(i["sample_id"], i["what"]) for i in said] == [("agent", ["channel"]), ("caller", ["channel"])]


def test_a_mono_file_costs_its_second_channel_only(tmp_path):
    sf.write(tmp_path / "call.wav", voice(150.0), RATE)
    manifest(tmp_path)
    result = refresh(options(tmp_path))
    assert result.failed == 1
    failures = Store(tmp_path / "lake").failures("calls")
    assert failures[["sample_id", "reason"]].to_numpy().tolist() == [["caller", "the file: has 1 channel, asked for 2"]]


def test_two_people_on_a_telephone_are_told_once(tmp_path, caplog):
    quiet = 1e-4 * np.random.default_rng(0).standard_normal((8 * RATE, 2))
    talk = quiet.copy()
    for turn in range(4):  # left, right, left, right
        talk[turn * 2 * RATE : turn * 2 * RATE + len(voice(1.0, 1.5)), turn % 2] += voice(
            list(VOICES.values())[turn % 2], 1.5
        )
    room = quiet + np.stack([np.tile(voice(150.0), 4), 0.3 * np.tile(voice(150.0), 4)], axis=1)
    alone = quiet + np.stack([np.tile(voice(150.0), 4), np.zeros(8 * RATE)], axis=1)
    for name, y in {"talk": talk, "room": room, "alone": alone}.items():
        sf.write(tmp_path / f"{name}.wav", y, RATE)
    assert read_audio(tmp_path / "talk.wav").apart > 0.9 and read_audio(tmp_path / "talk.wav", channel=1).apart == 0
    assert read_audio(tmp_path / "room.wav").apart < 0.1 and read_audio(tmp_path / "alone.wav").apart < 0.1
    table = {"sample_id": ["t", "r", "a"], "audio": ["talk.wav", "room.wav", "alone.wav"]}
    pd.DataFrame(table).to_csv(tmp_path / "calls.csv", index=False)
    [said] = refresh(options(tmp_path, "audio.recording")).notes
    assert said.startswith("in 1 of 3 samples two channels take turns") and "column 'channel'" in said
    assert refresh(options(tmp_path, "audio.recording")).notes == () and caplog.text.count("take turns") == 1


def test_who_is_erased_takes_one_channel_along(call, tmp_path):
    manifest(tmp_path)
    refresh(options(tmp_path))
    store = Store(tmp_path / "lake")
    assert store.erase("calls", speaker="B")["samples"] == 1
    manifest(tmp_path, sample_id=["agent", "somebody"], speaker=["A", "C"])  # under another name and id
    result = refresh(options(tmp_path))
    assert result.erased == 1 and Store(tmp_path / "lake").samples("calls")["sample_id"].tolist() == ["agent"]


def test_a_version_that_knew_no_channels_is_compared_and_erased(call, tmp_path, monkeypatch):
    """Samples tables of earlier programs lack the column."""
    from affectlake.data import samples as module

    manifest(tmp_path)
    plain = pd.read_csv(tmp_path / "calls.csv").drop(columns="channel").iloc[:1]
    plain.to_csv(tmp_path / "calls.csv", index=False)
    normal = module.samples_frame
    monkeypatch.setattr(
        "affectlake.data.manifest.samples_frame", lambda *a, **k: normal(*a, **k).drop(columns="channel")
    )
    refresh(options(tmp_path))
    monkeypatch.undo()
    store = Store(tmp_path / "lake")
    before = store.snapshot("calls")
    manifest(tmp_path)
    refresh(options(tmp_path))
    found = changes(Store(tmp_path / "lake"), "calls", before, Store(tmp_path / "lake").snapshot("calls"))
    assert [i["sample_id"] for i in found["new"]["items"]] == ["caller"]
    assert Store(tmp_path / "lake").erase("calls", speaker="A")["samples"] == 1
