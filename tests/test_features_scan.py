"""What counts as the same content."""

import errno
import os
import socket
import time

import numpy as np
import pandas as pd
import pytest

from affectlake.features import _files
from affectlake.features.scan import ABSENT, UNREAD, requests, rescan, scan, unread

COLUMNS = ("sample_id", "dataset", "speaker", "split", "language", "text", "audio", "image", "video")


def samples(**columns) -> pd.DataFrame:
    frame = pd.DataFrame(columns)
    frame["sample_id"] = frame.get("sample_id", pd.Series([f"s{i}" for i in range(len(frame))]))
    for name in COLUMNS:
        frame[name] = frame.get(name, pd.NA)
        frame[name] = frame[name].astype("str")
    for name in ("start", "end", "turn"):
        frame[name] = frame.get(name, np.nan)
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


def test_an_overwritten_file_whose_size_and_time_are_kept_is_noticed(files):
    first = scan(files, pd.DataFrame())
    before = os.stat(files[0])
    with open(files[0], "r+b") as f:
        f.write(b"z" * 10)
    os.utime(files[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    again = scan(files, first)
    assert again["mtime_ns"][0] == first["mtime_ns"][0] and again["size"][0] == first["size"][0]
    assert (again["sha256"] != first["sha256"]).tolist() == [True, False, False]


def test_files_of_equal_size_and_time_that_swap_names_are_noticed(files):
    for name in files:
        os.utime(name, ns=(5, 5))
    first = scan(files, pd.DataFrame())
    os.rename(files[0], files[0] + "x")
    os.rename(files[1], files[0])
    os.rename(files[0] + "x", files[1])
    again = scan(files, first)["sha256"].tolist()
    assert again == [first["sha256"][1], first["sha256"][0], first["sha256"][2]]


def test_a_link_that_is_pointed_elsewhere_is_noticed(files, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(files[0])
    for name in files:
        os.utime(name, ns=(5, 5))
    first = scan([str(link)], pd.DataFrame())
    link.unlink()
    link.symlink_to(files[1])
    assert scan([str(link)], first)["sha256"].tolist() == scan([files[1]], pd.DataFrame())["sha256"].tolist()


def test_a_share_without_inodes_is_scanned_like_any_other(files, monkeypatch):
    real = os.stat

    def without_inode(path, **how):
        found = real(path, **how)
        return os.stat_result([0 if i == 1 else v for i, v in enumerate(found)], {
            k: getattr(found, k) for k in ("st_mtime_ns", "st_ctime_ns", "st_atime_ns", "st_blocks")
        })  # fmt: skip

    monkeypatch.setattr(_files.os, "stat", without_inode)
    first = scan(files, pd.DataFrame())
    assert scan(files, first.assign(sha256="trusted"))["sha256"].tolist() == ["trusted"] * 3


def test_frames_that_are_renamed_among_themselves_are_another_clip(tmp_path):
    for name in ("0", "1", "2"):
        (tmp_path / name).write_bytes(name.encode())
        os.utime(tmp_path / name, ns=(5, 5))
    first = scan([str(tmp_path)], pd.DataFrame())
    (tmp_path / "0").rename(tmp_path / "x")
    (tmp_path / "2").rename(tmp_path / "0")
    (tmp_path / "x").rename(tmp_path / "2")
    again = scan([str(tmp_path)], first)
    assert again["size"][0] == first["size"][0] and again["sha256"][0] != first["sha256"][0]


def test_a_scan_of_an_older_store_reads_every_file_once(files):
    old = scan(files, pd.DataFrame()).drop(columns="stamp")
    new = scan(files, old.assign(sha256="wrong"))
    assert new["sha256"].tolist() == old["sha256"].tolist() and (new["stamp"] != _files.UNSURE).all()


def refusing(monkeypatch, path, number):
    """Let opening a file fail as a disk or the system does."""
    real = os.open

    def opened(name, *how, **more):
        if os.fspath(name) == str(path):
            raise OSError(number, os.strerror(number))
        return real(name, *how, **more)

    monkeypatch.setattr(_files.os, "open", opened)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_read_for_one_night_is_read_in_the_next(files, monkeypatch, number):
    first = scan(files, pd.DataFrame())
    with pytest.MonkeyPatch.context() as night:
        refusing(night, files[1], number)
        second = scan(files, first, verify=True)
    assert second["sha256"].tolist() == [first["sha256"][0], ABSENT, first["sha256"][2]]
    assert second["size"].tolist() == [10, 10, 10]
    assert scan(files, second)["sha256"].tolist() == first["sha256"].tolist()


def test_a_folder_that_cannot_be_listed_costs_itself(tmp_path, monkeypatch):
    for folder in ("f", "g"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(b"1")
    uris, real = [str(tmp_path / "f"), str(tmp_path / "g")], os.scandir

    def listed(path):
        if path == uris[0]:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    with pytest.MonkeyPatch.context() as night:
        night.setattr(_files.os, "scandir", listed)
        found = scan(uris, pd.DataFrame())["sha256"].tolist()
    assert found[0] == ABSENT != found[1]
    assert len(set(scan(uris, pd.DataFrame())["sha256"])) == 1


def test_what_could_not_be_read_has_no_identity_and_says_so_also_of_segments(files):
    frame = samples(audio=[files[0], files[0]], start=[np.nan, 1.0], end=[np.nan, 2.0])
    stats = unread(scan(files, pd.DataFrame()), files[:1])
    found = requests(frame, stats, "audio")
    assert found["content"].tolist() == [f"{UNREAD}{files[0]}", f"{UNREAD}{files[0]} 1.0 2.0"]
    assert rescan(stats, files[:1])["sha256"].tolist() == scan(files, pd.DataFrame())["sha256"].tolist()


def test_only_ordinary_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with open(tmp_path / "sparse", "wb") as f:
        f.truncate(1 << 43)
    with socket.socket(socket.AF_UNIX) as listener:
        where = os.getcwd()
        os.chdir(tmp_path)  # the address of a socket is short
        listener.bind("socket")
        os.chdir(where)
        names = [str(tmp_path / n) for n in ("pipe", "loop", "sparse", "socket")] + ["/dev/zero", "/dev/null", "a\0b"]
        begun = time.monotonic()
        assert scan(names, pd.DataFrame())["sha256"].tolist() == [ABSENT] * len(names)
    assert time.monotonic() - begun < 10


def test_reading_a_file_has_a_time_limit(files, monkeypatch):
    monkeypatch.setattr(_files, "HASH_SECONDS", -1e9)
    assert scan(files, pd.DataFrame())["sha256"].tolist() == [ABSENT] * 3


def test_a_file_that_is_written_all_the_while_is_not_known(files, monkeypatch):
    real = os.read

    def read(descriptor, count):
        with open(files[0], "ab") as f:
            f.write(b"more")
        return real(descriptor, count)

    monkeypatch.setattr(_files.os, "read", read)
    assert scan(files[:1], pd.DataFrame())["sha256"].tolist() == [ABSENT]


def test_names_of_any_bytes_are_read(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    (tmp_path / "x").write_bytes(b"sound")
    with open(name, "wb") as f:
        f.write(b"sound")
    found = scan([str(tmp_path / "x")], pd.DataFrame())["sha256"][0]
    assert (
        _files.read(name).sha256 == _files.read(f"file://{os.fsencode(tmp_path).decode()}/caf%E9.wav").sha256 == found
    )
