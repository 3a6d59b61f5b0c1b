"""The samples frame: normal form and the messages for tables that have none."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectlake.data.errors import BadManifest
from affectlake.data.samples import CORE, samples_frame


def frame(**columns):
    return pd.DataFrame(columns)


def test_normal_form():
    got = samples_frame(frame(mood=["a", "b"], sample_id=[7, 8], audio=["x.wav", ""], text=["", "hi"]), "d", "/base")
    assert list(got.columns) == [*CORE, "mood"]
    assert got.index.equals(pd.RangeIndex(2))
    assert got["sample_id"].tolist() == ["7", "8"]
    assert got["dataset"].tolist() == ["d", "d"]
    assert got["audio"][0] == "/base/x.wav"
    assert got["audio"].isna().tolist() == [False, True]
    assert got["text"].isna().tolist() == [True, False]
    assert got["start"].dtype == got["end"].dtype == "float64"
    assert got["turn"].dtype == "Int64"
    assert all(got[c].dtype == "str" for c in CORE if c not in ("start", "end", "turn"))


def test_normal_form_is_a_fixed_point():
    once = samples_frame(
        frame(sample_id=["a", "b"], image=["i.png", None], text=["x", "y"], start=[1, None], valence=[0.5, np.nan]), "d"
    )
    pd.testing.assert_frame_equal(samples_frame(once, "d", "/elsewhere"), once)


def test_whole_numbers_beside_missing_ones_stay_whole():
    got = samples_frame(frame(sample_id=[1, 2], text=["a", "b"], speaker=[3.0, np.nan], turn=["4", ""]), "d")
    assert got["speaker"][0] == "3"
    assert got["turn"][0] == 4 and got["turn"].isna()[1]


@pytest.mark.parametrize(
    ("given_uri", "base", "expected"),
    [
        ("a/b.wav", "/data", "/data/a/b.wav"),
        ("./a//../b.wav", "/data", "/data/b.wav"),
        ("../b.wav", "/data/sub", "/data/b.wav"),
        ("..b.wav", "/data", "/data/..b.wav"),
        ("/abs/b.wav", "/data", "/abs/b.wav"),
        ("s3://bucket/b.wav", "/data", "s3://bucket/b.wav"),
        ("b.wav", "s3://bucket/dir/", "s3://bucket/dir/b.wav"),
        ("b.wav", "/", "/b.wav"),
    ],
)
def test_uris_become_absolute(given_uri, base, expected):
    assert samples_frame(frame(sample_id=["a"], audio=[given_uri]), "d", base)["audio"][0] == expected


def test_without_base_paths_start_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert samples_frame(frame(sample_id=["a"], audio=["b.wav"]), "d")["audio"][0] == str(tmp_path / "b.wav")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"SampleID": ["a"], "text": ["x"]}, "no column 'sample_id'; is 'SampleID'"),
        ({"utt_id": ["a"], "text": ["x"]}, "is 'utt_id' the one to rename"),
        ({"sample_id": [], "text": []}, "no samples"),
        ({"sample_id": ["a", " ", None], "text": ["x"] * 3}, "2 empty sample_id(s), in rows 2, 3"),
        ({"sample_id": ["a", "b", "a"], "text": ["x"] * 3}, "'a' in rows 1, 3"),
        ({"sample_id": ["a"], "audio_file": ["x"]}, "no sample has any of .*audio_file"),
        ({"sample_id": ["a"], "text": [""]}, "no sample has any of"),
        ({"sample_id": ["a"], "text": ["x"], "start": ["1s"]}, "start is '1s', not a number"),
        ({"sample_id": ["a"], "text": ["x"], "start": [3], "end": [3]}, "0 <= start < end"),
        ({"sample_id": ["a"], "text": ["x"], "start": [-1]}, "0 <= start < end"),
        ({"sample_id": ["a"], "text": ["x"], "end": [0]}, "0 <= start < end"),
        ({"sample_id": ["a"], "text": ["x"], "end": [float("inf")]}, "0 <= start < end"),
        ({"sample_id": ["a"], "text": ["x"], "turn": [1.5]}, "turn is 1.5, not a whole number"),
        ({"sample_id": ["a"], "text": ["x"], "votes": [[1, 2]]}, "column 'votes' holds nested values"),
        ({"sample_id": ["a"], "text": ["x"], "dataset": ["other"]}, "column 'dataset' says 'other'"),
    ],
)
def test_what_cannot_be_understood_is_named(columns, message):
    with pytest.raises(BadManifest, match=message.replace("(", r"\(").replace(")", r"\)")) as error:
        samples_frame(pd.DataFrame(columns), "d")
    assert "\n" not in str(error.value)


def test_a_column_twice_is_named():
    table = pd.DataFrame([["a", "x", "y"]], columns=["sample_id", "text", "text"])
    with pytest.raises(BadManifest, match="column 'text' is there 2 times"):
        samples_frame(table, "d")


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, unique=True))
def test_any_unique_ids_survive(ids):
    assert samples_frame(frame(sample_id=ids, text=["x"] * len(ids)), "d")["sample_id"].tolist() == ids


def test_a_hundred_thousand_rows_take_less_than_a_second():
    n = 100_000
    numbers = np.arange(n)
    table = frame(
        sample_id=[f"s{i}" for i in range(n)],
        audio=[f"a/{i}.wav" for i in range(n)],
        text=["hello there"] * n,
        start=numbers * 1.0,
        end=numbers + 1.0,
        emotion=["happy"] * n,
    )
    begin = time.process_time()
    samples_frame(table, "d", "/base")
    assert time.process_time() - begin < 1.0
