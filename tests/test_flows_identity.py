"""Values belong to the bytes that were hashed, whatever happens to the files while a refresh computes."""

import hashlib
import os
from pathlib import Path

import pandas as pd
import pytest
from here import here
from PIL import Image

from affectlake.data import pictures
from affectlake.data.store import Store
from affectlake.features import _files
from affectlake.flows.options import RefreshOptions
from affectlake.flows.refresh import refresh

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
COLUMN = "image.color.lightness_mean"


def png(path: Path, colour, size=(16, 16)) -> None:
    Image.new("RGB", size, colour).save(path, "png")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    png(tmp_path / "a", RED)
    png(tmp_path / "b", BLUE)
    return tmp_path


def night(*names: str, **options):
    pd.DataFrame({"sample_id": names, "image": names}).to_csv("m.csv", index=False)
    return refresh(RefreshOptions("d", manifest="m.csv", only=("image.color",), **options), here)


def values() -> dict[str, float]:
    return Store("lake").load("d", COLUMN)[COLUMN].to_dict()


def explained(sample: str) -> dict:
    return Store("lake").explain("d", sample, COLUMN)


def sha256(path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def during_reading(monkeypatch, name: str, accidents: list) -> None:
    """Let an accident happen each time that a picture is about to be read."""
    real = pictures.read_image

    def read_image(uri, *rest):
        if Path(uri).name == name and accidents:
            accidents.pop(0)()
        return real(uri, *rest)

    monkeypatch.setattr(pictures, "read_image", read_image)


@pytest.fixture(scope="module")
def lightness(tmp_path_factory):
    """Right values by colour."""
    where = tmp_path_factory.mktemp("right")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        for name, colour in {"r": RED, "g": GREEN, "b": BLUE}.items():
            png(where / name, colour)
        night("r", "g", "b")
        return values()


def replace(name: str, colour) -> None:
    png(Path("t"), colour)
    os.replace("t", name)


def overwrite_and_keep_the_time(name: str, colour) -> None:
    before = os.stat(name)
    png(Path("t"), colour)
    Path(name).write_bytes(Path("t").read_bytes())
    os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns))


def move_away_and_replace(name: str, colour) -> None:
    os.rename(name, "moved")
    replace(name, colour)


@pytest.mark.parametrize("accident", [replace, overwrite_and_keep_the_time, move_away_and_replace])
def test_a_file_that_is_replaced_while_it_is_read_is_hashed_and_read_again(folder, monkeypatch, lightness, accident):
    during_reading(monkeypatch, "b", [lambda: accident("b", GREEN)])
    assert night("a", "b").failed == 0
    assert values() == {"a": lightness["r"], "b": lightness["g"]}
    assert explained("b")["content"] == sha256("b")
    files = Store("lake").files("d").set_index("uri")["sha256"]
    assert files[str(folder / "b")] == sha256("b")
    # What was moved away has its own bytes' values, now and in later nights.
    png(folder / "moved", BLUE)
    assert night("a", "b", "moved").computed == {"image.color": 1}
    assert values() == {"a": lightness["r"], "b": lightness["g"], "moved": lightness["b"]}


def test_a_file_replaced_between_hashing_and_reading_is_noticed_before_it_is_read(folder, monkeypatch, lightness):
    during_reading(monkeypatch, "a", [lambda: replace("b", GREEN)])
    night("a", "b")
    assert values() == {"a": lightness["r"], "b": lightness["g"]} and explained("b")["content"] == sha256("b")


def test_a_file_that_is_cut_or_grows_while_it_is_read_fails_under_its_own_hash_only(folder, monkeypatch, lightness):
    whole = Path("b").read_bytes()
    during_reading(monkeypatch, "b", [lambda: Path("b").write_bytes(whole[:20])])
    assert night("a", "b").failed == 1
    [bad] = Store("lake").failures("d").to_dict("records")
    assert bad["sample_id"] == "b" and Store("lake").files("d").set_index("uri")["size"][str(folder / "b")] == 20
    Path("b").write_bytes(whole)
    assert night("a", "b").failed == 0 and values()["b"] == lightness["b"]


def test_a_file_that_vanishes_while_it_is_read_is_tried_again(folder, monkeypatch, lightness):
    during_reading(monkeypatch, "b", [lambda: os.rename("b", "elsewhere")])
    assert night("a", "b").failed == 1
    os.rename("elsewhere", "b")
    assert night("a", "b").failed == 0 and values()["b"] == lightness["b"]


def test_a_file_that_comes_while_the_others_are_read_is_known_by_its_bytes(folder, monkeypatch, lightness):
    during_reading(monkeypatch, "a", [lambda: replace("late", GREEN)])
    assert night("a", "late").failed == 0
    assert values()["late"] == lightness["g"] and explained("late")["content"] == sha256("late")


def test_a_file_that_never_stands_still_is_left_to_the_next_night(folder, monkeypatch, lightness):
    colours = [GREEN, BLUE] * 3
    during_reading(monkeypatch, "b", [lambda c=c: replace("b", c) for c in colours])
    result = night("a", "b")
    assert result.failed == 1 and "a" in values()
    [bad] = Store("lake").failures("d").to_dict("records")
    assert bad["reason"] == "changed each time that it was read: the next refresh tries again"
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    replace("b", GREEN)
    assert night("a", "b").failed == 0 and values()["b"] == lightness["g"]


def test_a_touched_or_chmodded_file_is_hashed_and_not_computed(folder, monkeypatch):
    during_reading(monkeypatch, "b", [lambda: os.chmod("b", 0o600)])
    assert night("a", "b").computed == {"image.color": 2}
    os.utime("a")
    assert night("a", "b").computed == {}


@pytest.mark.parametrize("retry", [False, True])
def test_a_file_that_cannot_be_opened_for_one_night_is_read_in_the_next(folder, monkeypatch, lightness, retry):
    real = os.open

    def refused(name, *how, **more):
        if Path(name).name == "b":
            raise PermissionError(13, "Permission denied", name)
        return real(name, *how, **more)

    night("a", "b")
    with pytest.MonkeyPatch.context() as bad_night:
        bad_night.setattr(os, "open", refused)
        during_reading(bad_night, "b", [lambda: refused("b", os.O_RDONLY)])
        assert night("a", "b", verify=True, retry_failed=retry).failed == 1
    [bad] = Store("lake").failures("d").to_dict("records")
    assert "ermission denied" in bad["reason"]
    assert night("a", "b", retry_failed=retry).failed == 0
    assert values()["b"] == lightness["b"] and explained("b")["content"] == sha256("b")


def test_a_disk_that_fails_while_a_file_is_read_is_no_failure_of_its_bytes(folder, monkeypatch, lightness):
    real = _files._file_sha256
    broken = []

    def fails():
        broken.append(True)
        raise OSError(5, "Input/output error")

    def hashed(path):
        if broken and Path(path).name == "b":
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(_files, "_file_sha256", hashed)
    during_reading(monkeypatch, "b", [fails] * 9)
    assert night("a", "b").failed == 1
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert night("a", "b").failed == 0 and values()["b"] == lightness["b"]


def test_a_store_whose_scan_knows_no_stamps_migrates_by_itself(folder, lightness):
    from affectlake.data.manifest import read_manifest

    night("a", "b")
    store = Store("lake")
    old = store.files("d").drop(columns="stamp").assign(sha256="0" * 64)
    with store.writer("d") as w:
        w.publish(read_manifest("m.csv", "d"), {}, old, author="an older version")
    assert "stamp" not in store.files("d")
    assert night("a", "b").computed == {}
    files = Store("lake").files("d").set_index("uri")["sha256"]
    assert files.to_dict() == {str(folder / n): sha256(n) for n in "ab"}
    assert (Store("lake").files("d")["stamp"] != 0).all()
