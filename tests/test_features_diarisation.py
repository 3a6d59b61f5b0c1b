"""Voices of a recording are told apart: two synthetic ones, with and without a pause between them."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from affectlake.data.demo_voice import RATE, Voice, speak
from affectlake.data.errors import BadMedia, UsageError
from affectlake.data.manifest import read_manifest
from affectlake.data.transcripts import Turn
from affectlake.features import diarisation, registry
from affectlake.features.audio import ge2e
from affectlake.features.cutting import Cutting
from affectlake.features.segmentation import recordings_of, segments
from affectlake.flows.cli.app import run as command

LOW, HIGH = Voice(105, 0.96, 4.5, 0.02, 0.0), Voice(225, 1.2, 4.5, 0.02, 0.0)

needs_voices = pytest.mark.skipif(
    registry.unavailable(ge2e.extractor) is not None, reason="the weights of audio.ge2e are not installed"
)


def said(voice: Voice, seed: int) -> np.ndarray:
    y = speak(np.random.default_rng(seed), voice, "neutral", 0.0, 14).astype(np.float64)
    loud = np.flatnonzero(np.abs(y) > 0.05 * np.abs(y).max())
    y = y[loud[0] : loud[-1]]
    return 0.1 * y / np.abs(y).max()


def recording(path, order, gaps):
    """A file in which voices speak in turn, with so many seconds after each; and when each does."""
    parts, times, at = [np.zeros(RATE)], [], 1.0
    for seed, (voice, gap) in enumerate(zip(order, gaps, strict=True)):
        y = said(voice, seed)
        times.append((at, at + len(y) / RATE))
        parts += [y, np.zeros(round(gap * RATE))]
        at += len(y) / RATE + gap
    y = np.concatenate([*parts, np.zeros(RATE)])
    sf.write(path, y + 1e-4 * np.random.default_rng(0).standard_normal(len(y)), RATE)
    return times


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    path = tmp_path_factory.mktemp("calls") / "call-007.wav"
    return path, recording(path, [LOW, HIGH, HIGH, LOW], [0.7] * 4)


@needs_voices
def test_turns_get_names_by_the_voice(call):
    path, times = call
    frame, uncut = segments(recordings_of([str(path)]), Cutting(by="silence", speakers=2))
    assert not uncut and set(frame["speaker"]) == {"call-007/A", "call-007/B"}
    for (start, end), who in zip(times, "ABBA", strict=True):
        mine = frame[(frame["end"] > start + 0.2) & (frame["start"] < end - 0.2)]
        assert set(mine["speaker"]) == {f"call-007/{who}"}


@needs_voices
def test_one_stretch_is_cut_where_the_voice_changes(tmp_path):
    times = recording(tmp_path / "talk.wav", [LOW, HIGH, LOW, HIGH], [0.7, 0.7, 0.0, 0.7])
    whole, _ = segments(recordings_of([str(tmp_path / "talk.wav")]), Cutting(by="silence"))
    frame, _ = segments(recordings_of([str(tmp_path / "talk.wav")]), Cutting(by="silence", speakers=2))
    edge = times[2][1]
    assert ((whole["start"] < edge - 0.3) & (whole["end"] > edge + 0.3)).any()  # by pauses alone it is one
    before, after = (
        frame[frame[side].between(edge - 0.3, edge + 0.3)]["speaker"].tolist() for side in ("end", "start")
    )
    assert before == ["talk/A"] and after == ["talk/B"]


@needs_voices
def test_one_voice_is_one_speaker(tmp_path):
    recording(tmp_path / "alone.wav", [LOW, LOW, LOW], [0.5] * 3)
    frame, _ = segments(recordings_of([str(tmp_path / "alone.wav")]), Cutting(by="silence", speakers="auto"))
    assert set(frame["speaker"]) == {"alone/A"}


@needs_voices
def test_a_voice_is_found_again_when_that_is_asked_for(call, tmp_path):
    for name in ("a", "b"):
        shutil.copy(call[0], tmp_path / f"{name}.wav")
    files = recordings_of([str(tmp_path / f"{name}.wav") for name in "ab"])
    apart, _ = segments(files, Cutting(by="silence", speakers=2))
    assert set(apart["speaker"]) == {"a/A", "a/B", "b/A", "b/B"}
    frame, _ = segments(files, Cutting(by="silence", speakers=2, link=True))
    assert frame["speaker"].tolist() == apart["speaker"].str.replace("b/", "a/").tolist()


def test_a_turn_after_the_end_is_named(tmp_path):
    sf.write(tmp_path / "a.wav", said(LOW, 0)[: 2 * RATE], RATE)
    turns = [Turn(0.5, 1.5), Turn(20.0, 22.0)]
    with pytest.raises(BadMedia, match=r"a\.wav: a turn starts at 20\.0 s, the recording ends at 2\.000 s"):
        list(diarisation.sounds(str(tmp_path / "a.wav"), None, turns))


def test_two_of_one_recording_are_never_linked():
    code = np.eye(2)[0]
    names = diarisation.linked({"x/A": code, "x/B": code, "y/A": code}, {"x/A": "x", "x/B": "x", "y/A": "y"})
    assert names["x/A"] != names["x/B"] and names["y/A"] in ("x/A", "x/B")


@needs_voices
def test_a_transcript_keeps_its_turns_and_its_names(call):
    path, times = call
    lines = [
        f"00:{a:06.3f} --> 00:{b:06.3f}\n{who}words" for (a, b), who in zip(times, ["", "", "<v Ann>", ""], strict=True)
    ]
    path.with_suffix(".vtt").write_text("WEBVTT\n\n" + "\n\n".join(lines) + "\n")
    try:
        frame, _ = segments(recordings_of([str(path)]), Cutting(by="transcript", speakers=2))
    finally:
        path.with_suffix(".vtt").unlink()
    assert frame["speaker"].tolist() == ["call-007/A", "call-007/B", "Ann", "call-007/A"]
    assert frame["start"].tolist() == [round(a, 3) for a, _ in times]


@needs_voices
def test_who_is_known_stays(call, tmp_path):
    pd.DataFrame({"sample_id": ["x"], "audio": [str(call[0])], "speaker": ["Zoe"]}).to_csv(tmp_path / "m.csv")
    out = tmp_path / "turns.csv"
    words = ["segment", str(tmp_path / "m.csv"), "--by", "silence", "--speakers", "auto", "--out", str(out)]
    assert command(words) == 0
    assert set(read_manifest(out, "m")["speaker"]) == {"Zoe"}


def test_windows_that_are_too_short_take_the_nearest_voice():
    codes = np.stack([np.eye(4)[k] for k in [0] * 6 + [1] * 6 + [3]])
    codes[-1, 1] = 0.5
    stretch = np.repeat([0, 1, 2], [6, 6, 1])
    start = np.concatenate([np.arange(6) * 0.4, 5 + np.arange(6) * 0.4, [9.0]])
    windows = diarisation.Windows(stretch, start, start + np.repeat([1.6, 0.6], [12, 1]), codes)
    people = diarisation.voices(windows)
    assert people.shape == (2, 4)
    turns = [Turn(0.0, 3.6), Turn(5.0, 8.6), Turn(9.0, 9.6)]
    assert [[v for *_, v in runs] for runs in diarisation.divided(turns, windows, people)] == [[0], [1], [1]]


def test_a_group_of_odd_windows_is_nobody():
    codes = np.stack([np.eye(3)[k] for k in [0] * 8 + [2] + [1] * 8])
    start = np.arange(17) * 0.4
    windows = diarisation.Windows(np.zeros(17, int), start, start + 1.6, codes)
    assert len(diarisation.voices(windows)) == 2 and len(diarisation.voices(windows, 2)) == 2


def test_two_voices_that_change_a_lot_are_two_where_the_number_is_given():
    """Each goes further than lies between them: what tells them apart is that nothing lies between."""
    angle = np.tile(np.linspace(0, np.pi / 2, 40), 2)
    height = np.repeat([0.3, -0.3], 40)
    codes = np.stack([np.cos(angle), np.sin(angle), height], axis=1)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    labels = diarisation._parted(codes, 2)
    assert len(set(labels[:40])) == len(set(labels[40:])) == 1 and labels[0] != labels[-1]
    for few in (1, 2, 3):
        assert len(set(diarisation._parted(codes[[0, 1, -1]], few))) == few


def test_short_runs_join_their_longer_neighbour():
    assert diarisation._lasting([(0, 20), (1, 2), (0, 10)]) == [(0, 32 - 0)]
    assert diarisation._lasting([(0, 20), (1, 3), (2, 6)]) == [(0, 23), (2, 6)]


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"speakers": 0}, "speakers cannot be 0: expected auto"),
        ({"speakers": "auto", "by": "windows"}, "windows are not turns"),
        ({"link": True}, "link goes with speakers"),
    ],
)
def test_what_cannot_be_asked_for(wrong, said):
    with pytest.raises(UsageError, match=said):
        Cutting(**wrong)


def test_without_its_weights_it_says_what_to_install(call, monkeypatch):
    monkeypatch.setattr(registry, "unavailable", lambda extractor: "needs pip install this")
    with pytest.raises(UsageError, match="pip install this"):
        segments(recordings_of([str(call[0])]), Cutting(by="silence", speakers="auto"))
