"""Features of files without a store are those that a store would hold."""

import json

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
