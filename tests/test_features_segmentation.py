"""Recordings become rows: what is cut, what is kept of the recording, and that refresh takes it."""

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from affectlake.data import Store
from affectlake.data.demo_voice import speak, speaker_voice
from affectlake.data.errors import UsageError
from affectlake.data.manifest import read_manifest
from affectlake.data.samples import samples_frame
from affectlake.features import segmentation
from affectlake.features.cutting import Cutting
from affectlake.features.segmentation import recordings_of, segments, sounding, speech, windows
from affectlake.flows.cli.app import run as command
from affectlake.flows.refresh import RefreshOptions, refresh

RATE = 16_000
VTT = "WEBVTT\n\n00:00.500 --> 00:01.500\n<v Anna>Hello.</v>\n\n00:01.200 --> 00:02.000\n<v SPEAKER_1>Hi!</v>\n"


def spoken(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y = speak(rng, speaker_voice(rng, high=seed % 2 == 0), "neutral", 1.0, 5)
    return 0.1 * y / np.abs(y).max()


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """A call, who speaks alternates: left, right, left, right; when each begins and ends."""
    sides, times, at = [[], []], [], 0
    pause = np.zeros(RATE)
    for turn in range(4):
        y = spoken(turn % 2)
        times.append((turn % 2, (at + RATE) / RATE, (at + RATE + len(y)) / RATE))
        for side in range(2):
            sides[side] += [pause, y if side == turn % 2 else np.zeros_like(y)]
        at += RATE + len(y)
    noise = 1e-4 * np.random.default_rng(0).standard_normal((at + RATE, 2))
    noise[:at] += np.stack([np.concatenate(s) for s in sides], axis=1)
    path = tmp_path_factory.mktemp("calls") / "call 一.wav"
    sf.write(path, noise, RATE)
    return path, times


@pytest.mark.parametrize("by", ["speech", "silence"])
def test_turns_are_found_where_they_are(call, by):
    path, times = call
    frame, uncut = segments(recordings_of([str(path)]), Cutting(by=by))
    assert not uncut and frame["sample_id"].tolist() == [f"call 一/{i:04}" for i in range(4)]
    for row, (_, start, end) in zip(frame.itertuples(), times, strict=True):
        assert row.start == pytest.approx(start, abs=0.3) and row.end == pytest.approx(end, abs=0.3)


def test_each_channel_is_a_speaker(call):
    path, times = call
    frame, _ = segments(recordings_of([str(path)]), Cutting(by="silence", each_channel=True))
    sides = [("left", "right")[side] for side, _, _ in times]
    assert frame["channel"].tolist() == sides and frame["speaker"].tolist() == [f"call 一/{s}" for s in sides]
    assert not frame["overlap"].any() and frame["start"].is_monotonic_increasing


@pytest.mark.parametrize("by", [speech, sounding])
def test_pieces_change_nothing(call, monkeypatch, by):
    """A recording of any length is read in pieces; a stretch at a piece's end is heard again whole."""
    path, times = call
    whole = list(segmentation._by_pieces(str(path), "left", 0.0, times[-1][2], by))
    monkeypatch.setattr(segmentation, "PIECE", times[2][1] + 0.2)  # within a turn
    pieces = list(segmentation._by_pieces(str(path), "left", 0.0, times[-1][2], by))
    assert len(pieces) == len(whole) == 2
    for a, b in zip(pieces, whole, strict=True):
        assert (a.start, a.end) == pytest.approx((b.start, b.end), abs=0.1)


def test_silence_has_no_stretches():
    assert sounding(np.zeros(RATE, np.float32)) == [] and sounding(np.zeros(0, np.float32)) == []


@given(st.floats(0.001, 600), st.floats(0.1, 60), st.floats(0.1, 60))
def test_windows_cover_a_recording_once_begun(length, window, hop):
    found = windows(0.0, round(length, 3), round(window, 3), round(hop, 3))
    assert found[0].start == 0
    assert hop > window or found[-1].end == pytest.approx(round(length, 3), abs=0.002)
    assert all(t.end - t.start <= window + 0.002 for t in found)
    assert len({t.start for t in found}) == len(found)


@pytest.fixture
def meeting(tmp_path):
    """A manifest of two recordings, one with a transcript beside it, the other with one that its row names."""
    for name in ("one", "two"):
        sf.write(tmp_path / f"{name}.wav", np.tile(spoken(), 3), RATE)
    (tmp_path / "one.vtt").write_text(VTT)
    (tmp_path / "said").mkdir()
    (tmp_path / "said" / "2.srt").write_text("1\n00:00:00,250 --> 00:00:01,000\nNo.\n")
    table = {"sample_id": ["m1", "m2"], "audio": ["one.wav", "two.wav"], "transcript": ["", "said/2.srt"]}
    pd.DataFrame(table | {"mood": ["up", "down"], "speaker": ["X", "Y"]}).to_csv(tmp_path / "meetings.csv", index=False)
    return tmp_path


def test_a_transcript_gives_text_speaker_and_overlap(meeting):
    out = meeting / "turns.csv"
    assert command(["segment", str(meeting / "meetings.csv"), "--by", "transcript", "--out", str(out)]) == 0
    rows = read_manifest(out, "meetings").set_index("sample_id")
    assert rows["text"].to_dict() == {"m1/0000": "Hello.", "m1/0001": "Hi!", "m2/0000": "No."}
    assert rows["speaker"].tolist() == ["Anna", "m1/SPEAKER_1", "Y"]  # a number is another person's in each recording
    assert rows["mood"].tolist() == ["up", "up", "down"] and rows["overlap"].tolist() == ["True", "True", "False"]
    assert rows[["start", "end"]].to_numpy().tolist() == [[0.5, 1.5], [1.2, 2.0], [0.25, 1.0]]
    assert rows["dialogue"].tolist() == ["m1", "m1", "m2"] and rows["turn"].tolist() == [0, 1, 0]


def test_a_row_of_a_channel_has_the_turns_of_its_speaker_in_the_transcript_of_both(call):
    path, _ = call
    vtt = path.with_suffix(".vtt")
    said = [("Bo", 1, 2), ("Al", 1.5, 3), ("", 4, 5), ("Bo", 6, 7)]
    vtt.write_text("WEBVTT\n\n" + "".join(f"00:0{a:.3f} --> 00:0{b:.3f}\n<v {n}>Yes.\n\n" for n, a, b in said))
    sides = {"sample_id": ["c/a", "c/b", "c/other"], "channel": ["left", "right", None], "speaker": ["Al", "Bo", "Cy"]}
    rows = samples_frame(pd.DataFrame(sides | {"audio": str(path), "dialogue": ["c", "c", None]}), "d")
    frame, _ = segments(rows, Cutting(by="transcript"))
    found = frame.set_index("sample_id")
    assert found["channel"].dropna().to_dict() == {
        "c/a/0001": "left", "c/a/0002": "left", "c/b/0000": "right", "c/b/0002": "right", "c/b/0003": "right",
    }  # fmt: skip
    assert found["speaker"].tolist() == ["Al", "Al", "Bo", "Bo", "Bo", "Bo", "Al", "Cy", "Bo"]  # Cy is not named: all
    assert found["overlap"].tolist() == [True, False, True, False, False, True, True, False, False]
    assert found.loc[found["dialogue"] == "c"].sort_values("turn")["start"].tolist() == [1.0, 1.5, 4.0, 4.0, 6.0]
    vtt.unlink()


def test_refresh_takes_what_was_cut_and_erases_one_speaker(meeting):
    out = str(meeting / "turns.csv")
    command(["segment", str(meeting / "meetings.csv"), "--by", "transcript", "--out", out])
    only = ("audio.prosody", "text.style")
    options = RefreshOptions(dataset="m", manifest=out, store=str(meeting / "lake"), only=only, workers=1)
    assert refresh(options).computed == {"audio.prosody": 3, "text.style": 3}
    assert Store(meeting / "lake").erase("m", speaker="Anna")["samples"] == 1
    assert refresh(options).erased == 1  # who shares the recording stays
    assert Store(meeting / "lake").samples("m")["sample_id"].tolist() == ["m1/0001", "m2/0000"]


def test_what_cannot_be_cut_costs_itself(meeting, capsys):
    (meeting / "bad.wav").write_bytes(b"RIFF no sound")
    words = ["segment", str(meeting / "one.wav"), str(meeting / "bad.wav"), "--by", "windows"]
    assert command([*words, "--window", "1", "--hop", "1"]) == 3
    done = capsys.readouterr()
    assert "bad: " in done.err and done.out.count("one/") > 2


def test_turns_end_with_the_recording_and_those_after_it_are_told(tmp_path, caplog):
    path = tmp_path / "a.wav"
    sf.write(path, np.zeros(2 * RATE), RATE)
    cues = [("00:00", "00:01"), ("00:01", "00:05"), ("00:03", "00:04")]
    lines = [f"{i}\n00:{a},000 --> 00:{b},000\nYes.\n" for i, (a, b) in enumerate(cues, 1)]
    path.with_suffix(".srt").write_text("\n".join(lines))
    frame, uncut = segments(recordings_of([str(path)]), Cutting("transcript"))
    assert frame[["start", "end"]].to_numpy().tolist() == [[0, 1], [1, 2]] and not uncut
    assert "1 of 3 turns begin after the recording's end at 2.0 s" in caplog.text
    path.unlink()
    _, uncut = segments(recordings_of([str(path)]), Cutting("transcript"))
    assert "no such file" in uncut[0].reason


def test_a_channel_that_is_not_there_is_told(call):
    rows = pd.DataFrame({"sample_id": ["a", "b"], "audio": str(call[0]), "channel": ["3", "Right "]})
    frame, uncut = segments(samples_frame(rows, "d"), Cutting("windows"))
    assert [(one.sample_id, one.reason) for one in uncut] == [("a", "has 2 channels, asked for 3")]
    assert set(frame["channel"]) == {"right"}


def test_names_tell_recordings_apart(tmp_path):
    paths = [tmp_path / "a" / "x.wav", tmp_path / "b" / "x.wav", tmp_path / "b" / "x.flac"]
    assert recordings_of([str(p) for p in paths[:2]])["sample_id"].tolist() == ["a/x", "b/x"]
    assert recordings_of([str(p) for p in paths])["sample_id"].tolist() == ["a/x.wav", "b/x.wav", "b/x.flac"]


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"window": 0.0}, "window cannot be 0.0"),
        ({"hop": float("nan")}, "hop cannot be nan"),
        ({"by": "transcript", "each_channel": True}, "which turn is on which channel"),
    ],
)
def test_what_cannot_be_asked_for(wrong, said):
    with pytest.raises(UsageError, match=said):
        Cutting(**wrong)
