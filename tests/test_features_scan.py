"""What counts as the same content."""

import os

import numpy as np
import pandas as pd
import pytest

from affectlake.features.scan import ABSENT, requests, scan

COLUMNS = ("sample_id", "dataset", "speaker", "split", "language", "text", "audio", "image", "video")


def samples(**columns) -> pd.DataFrame:
    frame = pd.DataFrame(columns)
    frame["sample_id"] = frame.get("sample_id", pd.Series([f"s{i}" for i in range(len(frame))]))
    for name in COLUMNS:
        frame[name] = frame[name] if name in frame else pd.NA
        frame[name] = frame[name].astype("str")
    for name in ("start", "end", "turn"):
        frame[name] = frame[name] if name in frame else np.nan
    frame["dialogue"] = frame["dialogue"].astype("str") if "dialogue" in frame else pd.Series(pd.NA, frame.index, "str")
    return frame


@pytest.fixture
def files(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(name.encode() * 10)
    return [str(tmp_path / n) for n in ("a", "b", "c")]


def test_unchanged_files_are_not_read_again(files):
    first = scan(files, pd.DataFrame())
    forged = first.assign(sha256="trusted")
    assert scan(files, forged)["sha256"].tolist() == ["trusted"] * 3
    assert scan(files, forged, verify=True)["sha256"].tolist() == first["sha256"].tolist()


def test_a_touched_file_is_read_and_found_equal(files):
    first = scan(files, pd.DataFrame())
    os.utime(files[1], ns=(0, 12345))
    again = scan(files, first)
    assert again["sha256"].tolist() == first["sha256"].tolist()
    assert again["mtime_ns"][1] == 12345


def test_changed_bytes_change_only_that_file(files):
    first = scan(files, pd.DataFrame())
    with open(files[2], "ab") as f:
        f.write(b"more")
    changed = scan(files, first)["sha256"] != first["sha256"]
    assert changed.tolist() == [False, False, True]


def test_a_file_that_is_not_there_is_absent_until_it_comes(files, tmp_path):
    late = str(tmp_path / "late")
    first = scan([late], pd.DataFrame())
    assert first["sha256"].tolist() == [ABSENT]
    (tmp_path / "late").write_bytes(b"here")
    assert scan([late], first)["sha256"].tolist() != [ABSENT]


def test_a_folder_is_its_files(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "1.png").write_bytes(b"1")
    before = scan([str(tmp_path / "x")], pd.DataFrame())["sha256"][0]
    (tmp_path / "x").rename(tmp_path / "y")
    assert scan([str(tmp_path / "y")], pd.DataFrame())["sha256"][0] == before
    (tmp_path / "y" / "2.png").write_bytes(b"2")
    assert scan([str(tmp_path / "y")], pd.DataFrame())["sha256"][0] != before


def test_content_is_bytes_and_segment_not_name_or_place(files, tmp_path):
    copy = tmp_path / "elsewhere"
    copy.write_bytes(b"a" * 10)
    frame = samples(audio=[files[0], str(copy), files[0]], start=[np.nan, np.nan, 1.0], end=[np.nan, np.nan, 2.0])
    found = requests(frame, scan([files[0], str(copy)], pd.DataFrame()), "audio")
    assert found["content"][0] == found["content"][1] != found["content"][2]


def test_equal_texts_are_one_content_and_dialogue_sees_only_what_came_before():
    frame = samples(text=["hello", "hello", "bye", "other"], dialogue=["d", "d", "d", "e"], turn=[0.0, 2.0, 1.0, 0.0])
    text = requests(frame, pd.DataFrame(), "text")
    assert text["content"].nunique() == 3
    dialogue = requests(frame, pd.DataFrame(), "dialogue")
    assert dialogue["context"].tolist() == [(), ("hello", "bye"), ("hello",), ()]
    assert dialogue["content"].nunique() == 4


def test_missing_modalities_are_left_out(files):
    frame = samples(audio=[files[0], None], text=[None, "hi"])
    stats = scan(files, pd.DataFrame())
    assert requests(frame, stats, "audio")["sample_id"].tolist() == ["s0"]
    assert requests(frame, stats, "text")["sample_id"].tolist() == ["s1"]


def test_video_stands_in_for_sound(files):
    frame = samples(video=[files[0]])
    assert requests(frame, scan(files, pd.DataFrame()), "audio")["uri"].tolist() == [files[0]]
