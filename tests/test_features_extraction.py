"""Features of files without a store are those that a store would hold."""

import json
import os
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.features import extract, extraction, registry
from affectlake.flows.cli.app import run

PROSODY = "audio.prosody"


@pytest.fixture(scope="module")
def tones(tmp_path_factory) -> list[str]:
    """Two tones of one second, of 150 and 300 Hz with harmonics."""
    folder = tmp_path_factory.mktemp("tönè 音")
    time = np.arange(16000) / 16000
    for f0 in (150, 300):
        wave = sum(np.sin(2 * np.pi * f0 * k * time) / k for k in range(1, 6))
        soundfile.write(folder / f"{f0}.wav", 0.1 * wave, 16000)
    return [str(folder / "300.wav"), str(folder / "150.wav")]


def test_a_row_for_each_file_in_its_order_with_all_columns(tones):
    frame = extract([tones[0], tones[1], tones[0]], PROSODY)
    assert frame.index.tolist() == [tones[0], tones[1], tones[0]]
    assert frame.columns.tolist() == [f"{PROSODY}.{c.name}" for c in registry.get(PROSODY).columns]
    assert (frame.dtypes == np.float32).all() and frame.attrs["failures"] == []
    assert frame[f"{PROSODY}.f0_hz_median"].to_numpy() == pytest.approx([300, 150, 300], rel=0.01)


def test_the_values_are_those_of_a_refresh(tones, tmp_path):
    table = pd.DataFrame({"sample_id": ["a", "b"], "audio": tones})
    table.to_csv(tmp_path / "m.csv", index=False)
    store = str(tmp_path / "lake")
    words = ["refresh", "t", "--manifest", str(tmp_path / "m.csv"), "--store", store, "--only", PROSODY, "--no-prefect"]
    assert run(words) == 0
    from affectlake.data import Store

    kept = Store(store).load("t", [PROSODY]).drop(columns="speaker")
    pd.testing.assert_frame_equal(kept.reset_index(drop=True), extract(tones, PROSODY).reset_index(drop=True))


def test_processes_give_the_same(tones):
    pd.testing.assert_frame_equal(extract(tones, PROSODY, workers=1), extract(tones, PROSODY))


def test_a_bad_file_costs_itself_and_is_listed(tones, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF and no more")
    with pytest.warns(UserWarning, match=r"bad\.wav: audio\.prosody: "):
        frame = extract([tones[0], bad], PROSODY)
    assert frame.iloc[0].notna().mean() > 0.5 and frame.iloc[1].isna().all()
    assert [(f["file"], f["extractor"]) for f in frame.attrs["failures"]] == [(str(bad), PROSODY)]
    with pytest.raises(AffectlakeError, match=r"of .*bad\.wav because of"):
        extract(bad, PROSODY)


def test_settings_count_and_do_not_stay(tones, tmp_path):
    sound = np.concatenate([np.zeros(8000), soundfile.read(tones[0])[0]])
    soundfile.write(tmp_path / "late.wav", sound, 16000)
    late = str(tmp_path / "late.wav")
    plain, trimmed = extract(late, PROSODY), extract(late, PROSODY, settings={"audio.trim": True})
    assert (trimmed - plain).abs().max(axis=None) > 0.1
    pd.testing.assert_frame_equal(extract(late, PROSODY), plain)


def test_text_goes_with_one_file(tones):
    frame = extract(tones[0], "text.lexicon", text="I am so happy today")
    assert len(frame) == 1 and frame.notna().any(axis=None)
    with pytest.raises(UsageError, match="with one file, and there are 2"):
        extract(tones, "text.*", text="both")


@pytest.mark.parametrize(
    ("files", "only", "message"),
    [
        ([], "*", "at least one file"),
        (["x.qqq"], "*", "no kind of media is known by '.qqq'"),
        (["/dev/null", "x.qqq"], "*", r"'no suffix' \(a device, not a file\); known are .*\.wav"),
        (["x.wav"], "audio.prosdy", "audio.prosody"),
        (["x.wav"], "text.lexicon", "the extractors read text"),
    ],
)
def test_what_is_asked_wrongly_is_told_first(files, only, message, monkeypatch):
    monkeypatch.setattr(extraction, "compute", lambda chunk: pytest.fail("computed"))
    with pytest.raises((UsageError, UnknownName), match=message):
        extract(files, only)


def test_the_command(tones, tmp_path, capsys):

    bad = tmp_path / "bad.mp3"
    bad.write_bytes(b"ID3 no sound")
    assert run(["extract", *tones, str(bad), "--only", PROSODY, "--json", "--workers", "1"]) == 3
    out, err = capsys.readouterr()
    rows = json.loads(out)
    assert [r["file"] for r in rows] == [*tones, str(bad)] and rows[2][f"{PROSODY}.f0_mean"] is None
    assert f"{bad}: {PROSODY}: " in err
    assert run(["extract", tones[0], "--only", PROSODY, "--out", str(tmp_path / "f.parquet"), "--workers", "1"]) == 0
    assert pd.read_parquet(tmp_path / "f.parquet").index.tolist() == [tones[0]]
    assert run(["extract", tones[0], "--out", str(tmp_path / "f.xml")]) == 2


def special(folder: Path) -> dict[str, str]:
    """Names of what is no media file, and what is to be said of each."""
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.wav")
    (folder / "endless.wav").symlink_to("/dev/zero")
    (folder / "self").symlink_to("self")
    (folder / "folder").mkdir()
    (folder / "folder.wav").mkdir()
    (folder / "notes.txt").write_text("no sound")
    (folder / "nothing").touch()
    for name in ("sparse", "sparse.wav"):
        with (folder / name).open("wb") as file:
            file.truncate(1 << 41)
    with socket.socket(socket.AF_UNIX) as bound:
        os.chdir(folder)  # a socket's whole name is short
        bound.bind("socket")
    return {
        "pipe": "a pipe, not a file",
        "pipe.wav": "a pipe, not a file",
        "/dev/zero": "a device, not a file",
        "endless.wav": "a device, not a file",
        "self": "cannot be opened",
        "folder": "a folder, not a file",
        "folder.wav": "a folder, not a file",
        "notes.txt": "no kind of media is known by '.txt' or by its content",
        "nothing": "file is empty (0 bytes)",
        "sparse": "of which 0 MB are on the disk",
        "sparse.wav": "of which 0 MB are on the disk",
        "socket": "a socket, not a file",
        "gone": "no such file",
        "gone.wav": "no such file",
        "gone.qqq": "no such file",
        "long" * 100: "cannot be opened",
        "http://host/sound": "use https://",
        "http://host/sound.wav": "use https://",
    }


@pytest.mark.parametrize("workers", ["0", "1"])
def test_special_files_cost_themselves_and_are_never_opened(tones, tmp_path, monkeypatch, workers):
    monkeypatch.chdir(tmp_path)
    reasons = special(tmp_path)
    opened, real = [], os.open
    monkeypatch.setattr(os, "open", lambda path, *a, **k: opened.append(str(path)) or real(path, *a, **k))
    with pytest.warns(UserWarning, match="a pipe, not a file"):
        frame = extract([tones[0], *reasons, tones[1]], PROSODY, workers=int(workers))
    assert frame.index.tolist() == [tones[0], *reasons, tones[1]]
    assert frame.notna().any(axis=1).tolist() == [True, *[False] * len(reasons), True]
    told = {f["file"]: f["reason"] for f in frame.attrs["failures"]}
    assert {name for name, reason in reasons.items() if reason not in told[name]} == set()
    assert not {Path(p).name for p in opened} & {"pipe", "pipe.wav", "zero", "endless.wav", "socket"}


def test_names_that_are_not_utf8_are_read_and_shown(tones, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sound, other = os.fsdecode(b"t\xf6ne.wav"), os.fsdecode(b"\xff")
    Path(sound).write_bytes(Path(tones[0]).read_bytes())
    assert run(["extract", sound, other, "--only", PROSODY, "--json", "--workers", "1"]) == 3
    out, err = capsys.readouterr()
    rows = json.loads(out)
    assert [r["file"] for r in rows] == ["t\\udcf6ne.wav", "\\udcff"] and rows[0][f"{PROSODY}.f0_mean"] is not None
    assert "no such file" in err


def altered(monkeypatch, path: Path, contents: list[bytes]) -> None:
    """Let a file become another each time that it is about to be decoded."""
    from affectlake.data import sound

    real = sound.read_audio

    def read_audio(uri, *segment):
        if contents and Path(uri) == path:
            spare = path.with_name("spare")
            spare.write_bytes(contents.pop(0))
            spare.replace(path)
        return real(uri, *segment)

    monkeypatch.setattr(sound, "read_audio", read_audio)


def test_a_file_that_changes_while_it_is_read_is_read_again(tones, tmp_path, monkeypatch):
    low, high = (Path(t).read_bytes() for t in reversed(tones))
    path = tmp_path / "new.wav"
    path.write_bytes(low)
    altered(monkeypatch, path, [low[:9000], high])
    frame = extract([str(path), tones[1]], PROSODY)
    assert frame[f"{PROSODY}.f0_hz_median"].to_numpy() == pytest.approx([300, 150], rel=0.01)
    assert frame.attrs["failures"] == []


def test_a_file_that_never_stands_still_costs_itself(tones, tmp_path, monkeypatch):
    low, high = (Path(t).read_bytes() for t in reversed(tones))
    path = tmp_path / "new.wav"
    path.write_bytes(low)
    other = str(tmp_path / "other.wav")  # else its values would be those of the same bytes
    soundfile.write(other, soundfile.read(tones[0])[0] / 2, 16000)
    altered(monkeypatch, path, [high, low] * 9)
    with pytest.warns(UserWarning, match="changed each time that it was read"):
        frame = extract([str(path), other], PROSODY)
    assert frame.notna().any(axis=1).tolist() == [False, True]
