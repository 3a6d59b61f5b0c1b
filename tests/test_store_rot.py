"""One bit flipped in any file of a store, whatever it is for: found by name, never served, mended where it can be."""

import random
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lakes import contents_of, refresh, results, samples

from affectlake.data import Store
from affectlake.data.errors import AffectlakeError

KINDS = {
    "a feature table": r"features/d/audio\.x~?\w*/shard=0/.*\.parquet",
    "what was put": r"features/d/text\.g~?\w*/shard=0/.*\.parquet",
    "the log of a feature table": r"features/d/[^/]*/_delta_log/\d+\.json",
    "samples": r"tables/d/samples~?\w*/[^/]*\.parquet",
    "other tables of a dataset": r"tables/d/(columns|outcomes|stats|moments)[^/]*/[^/]*\.parquet",
    "their logs": r"tables/d/[^/]*/_delta_log/\d+\.json",
    "snapshots": r"snapshots/[^/]*\.parquet",
    "the log of snapshots": r"snapshots/_delta_log/\d+\.json",
    "a checkpoint of that": r"snapshots/_delta_log/\d+\.checkpoint\.parquet",
    "tags": r"tags/.*\.parquet",
    "the log of tags": r"tags/_delta_log/\d+\.json",
    "tombstones": r"tombstones/.*\.parquet",
    "the log of tombstones": r"tombstones/_delta_log/\d+\.json",
    "records": r"records/.*\.parquet",
    "logs of records": r"records/\w+/_delta_log/\d+\.json",
    "sums": r"sums/d/.*\.parquet",
    "the log of sums": r"sums/d/_delta_log/\d+\.json",
    "results not published yet": r"pending/d/.*\.parquet",
    "their log": r"pending/d/.*/_delta_log/\d+\.json",
    "copies of logs": r".*/_delta_log_copies/.*\.copy",
    "identity": r"identity\.json",
    "what current/ is made of": r"\.views/[^/]*/d/.*\.parquet",
    "the mark of a view": r"\.views/[^/]*/\.snapshot",
}
OTHERS = {
    r"\.locks/.*": "holds the number of the process that wrote last, for a message",
    r".*/_delta_log/_last_checkpoint": "a hint, which may be old; see the test of one that names nothing",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store with every kind of file, to be copied."""
    store = Store(tmp_path_factory.mktemp("rot") / "lake", create=True)
    refresh(store, contents_of(20))
    refresh(store, dict(contents_of(20), **{"p1-00001": "other"}))
    store.tag("best")
    store.record("benchmarks", pd.DataFrame({"dataset": ["d"], "uar": [0.5]}))
    labels = samples(contents_of(20), shard=["a", "b"] * 10)[["sample_id", "shard"]]  # a name that is ours too
    store.put("d", "text", "g", pd.DataFrame({"g": np.arange(20.0)}, list(contents_of(20))), samples=labels)
    store.erase("d", ids=["p0-00000"])
    with store.writer("d") as writer:
        writer.keep("audio.x", "f2", results(["c1"], "f2"))
    store._tables.open("snapshots").create_checkpoint()
    store._tables.copy_log("snapshots")
    return Path(store.uri)


@pytest.fixture
def lake(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "lake", symlinks=True))


def files(lake):
    return sorted(str(p.relative_to(lake)) for p in lake.rglob("*") if p.is_file() and not p.is_symlink())


def of_kind(lake, kind):
    return [f for f in files(lake) if re.fullmatch(KINDS[kind], f) and not f.startswith("current/")]


def flip(path, at):
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1 << at % 8
    path.write_bytes(bytes(raw))


def reads(lake):
    """What an analyst reads: values, or the sentence that is said instead."""
    store = Store(lake)
    asked = {
        "load": lambda: store.load("d"),
        "tagged": lambda: store.load("d", as_of="best"),
        "samples": lambda: store.samples("d"),
        "columns": lambda: store.columns("audio.x"),
        "contents": lambda: store.contents("d"),
        "records": lambda: store.records("benchmarks"),
        "sql": lambda: store.sql('select * from "d" order by sample_id'),
    }
    found = {}
    for name, ask in asked.items():
        try:
            found[name] = ask()
        except AffectlakeError as error:
            found[name] = str(error)
    return found


def test_every_file_of_a_store_is_of_a_kind_that_is_tried(whole):
    known = [*KINDS.values(), *OTHERS]
    strange = [f for f in files(whole) if not any(re.fullmatch(k, f) for k in known)]
    assert strange == []
    assert [kind for kind in KINDS if not of_kind(whole, kind)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_found_never_served_and_mended(whole, lake, kind):
    chance = random.Random(kind)
    found = of_kind(lake, kind)
    file = chance.choice(found)
    size = (lake / file).stat().st_size
    sound = reads(whole)
    for at in chance.sample(range(size), 2):
        flip(lake / file, at)
        damaged = Store(lake).verify()["damaged"]
        assert any(file == d["file"] or (lake / file).samefile(lake / d["file"]) for d in damaged), (file, at, damaged)
        assert all("repair" in d["remedy"] or "refresh" in d["remedy"] or "copy" in d["remedy"] for d in damaged)
        for name, value in reads(lake).items():
            if isinstance(value, str):
                assert "affectlake verify" in value and "\n" not in value, (name, value)
                assert any(d["file"] in value for d in damaged), (name, value)
            else:
                pd.testing.assert_frame_equal(value, sound[name])
        flip(lake / file, at)
    assert Store(lake).verify()["damaged"] == []


MENDED = [k for k in KINDS if "log" in k or k in ("a checkpoint of that", "sums", "the mark of a view")]


@pytest.mark.parametrize("kind", MENDED)
def test_logs_sums_and_marks_come_back_as_they_were(whole, lake, kind):
    file = random.Random(kind).choice(of_kind(lake, kind))
    flip(lake / file, (lake / file).stat().st_size // 2)
    store = Store(lake)
    done = store.repair("d")
    assert done["lost"] == [] and done["dropped"] == []
    assert [d for d in store.verify()["damaged"] if not d["file"].startswith("pending/")] == []
    sound, now = reads(whole), reads(lake)
    for name in sound:
        pd.testing.assert_frame_equal(now[name], sound[name])


def test_what_was_not_published_is_computed_again_where_it_is_damaged(lake, caplog):
    for file in of_kind(lake, "results not published yet"):
        flip(lake / file, 30)
    with Store(lake).writer("d") as writer:
        assert writer.known("audio.x", "f2").empty
    assert "pending/d/audio.x/f2" in caplog.text and Store(lake).verify()["damaged"] == []


def test_who_was_erased_does_not_come_back_under_another_key(lake):
    text = (lake / "identity.json").read_text()
    at = text.index("key") + 10
    (lake / "identity.json").write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :])
    with pytest.raises(AffectlakeError, match="identity.json is damaged"):
        refresh(Store(lake), contents_of(20))


def test_a_log_and_its_copy_that_are_both_damaged_cost_the_table(lake):
    """What it held is computed again."""
    (log,) = of_kind(lake, "the log of a feature table")[:1]
    copy = log.replace("_delta_log/", "_delta_log_copies/") + ".copy"
    for file in (log, copy):
        flip(lake / file, 100)
    store = Store(lake)
    assert log in [d["file"] for d in store.verify()["damaged"]]
    assert store.repair("d")["dropped"] == [log]
    refresh(store, contents_of(20))
    assert store.verify()["damaged"] == []


def test_a_log_of_snapshots_without_a_sound_copy_is_told(lake):
    for file in of_kind(lake, "the log of snapshots") + [
        f for f in files(lake) if f.startswith("snapshots/_delta_log_c")
    ]:
        flip(lake / file, 1)
    with pytest.raises(AffectlakeError, match=r"snapshots/_delta_log/\d+.* is damaged: .*affectlake verify"):
        Store(lake).repair("d")
    damaged = Store(lake).verify()["damaged"]
    assert damaged[0]["file"].startswith("snapshots/_delta_log/") and "from a copy of the store" in damaged[0]["remedy"]


def test_a_file_of_a_log_that_is_gone_comes_back(lake):
    file = lake / "snapshots/_delta_log/00000000000000000002.json"
    was = file.read_bytes()
    file.unlink()
    assert [d["why"] for d in Store(lake).verify()["damaged"]] == ["it is gone"]
    assert Store(lake).repair("d")["restored"] == ["snapshots/_delta_log/00000000000000000002.json"]
    assert file.read_bytes() == was


def test_a_hint_that_names_no_checkpoint_is_found_and_goes(whole, lake):
    hint = lake / "snapshots/_delta_log/_last_checkpoint"
    hint.write_bytes(hint.read_bytes().replace(b'"version":', b'"version":9'))
    assert [d["file"] for d in Store(lake).verify()["damaged"]] == ["snapshots/_delta_log/_last_checkpoint"]
    with pytest.raises(AffectlakeError, match="_last_checkpoint is damaged"):
        Store(lake).load("d")
    Store(lake).repair("d")
    assert not hint.exists() and Store(lake).verify()["damaged"] == []
    assert Store(lake).load("d").equals(Store(whole).load("d"))  # the log is listed instead


def test_a_disk_that_is_full_costs_the_copy_of_a_log_alone(lake, monkeypatch):
    from affectlake.data.store import _log_copies

    def full(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_log_copies, "_replace", full)
        Store(lake).tag("second")
    assert Store(lake).verify()["unrecorded"] == 1 and Store(lake).load("d", as_of="second").shape[0] == 19
    Store(lake).tag("third")
    assert Store(lake).verify()["unrecorded"] == 0
