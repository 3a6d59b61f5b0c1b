"""One flipped bit is found, named, never served, and mended where it can be."""

import numpy as np
import pandas as pd
import pytest
from lakes import contents_of, expected, read, refresh

from affectlake.data import Store
from affectlake.data.errors import AffectlakeError
from affectlake.data.store import _snapshots


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "lake", create=True)
    refresh(store, contents_of(40))
    refresh(store, dict(contents_of(40), **{"p1-00001": "other"}))
    return store


def flip(store, table, dataset="d", top="features", kind="*.parquet", at=0.5):
    """One bit of the newest file of a table."""
    files = (p for p in (store_path(store) / top / dataset / table).rglob(kind))
    path = max(files, key=lambda p: p.stat().st_mtime_ns)
    raw = bytearray(path.read_bytes())
    raw[int(len(raw) * at)] ^= 4
    path.write_bytes(bytes(raw))  # in place: a hard link elsewhere is hit too, as on a disk
    return str(path.relative_to(store.uri))


def store_path(store):
    from pathlib import Path

    return Path(store.uri)


def test_a_sound_store_is_said_to_be_sound(store):
    found = store.verify()
    assert found["damaged"] == [] and found["files"] > 10
    assert store.verify("d")["files"] == found["files"]


@pytest.mark.parametrize("at", [0.02, 0.3, 0.5, 0.98])
def test_a_flipped_bit_is_never_served(store, at):
    file = flip(store, "audio.x", at=at)
    fresh = Store(store.uri)
    with pytest.raises(AffectlakeError, match="audio.x.*damaged.*affectlake verify.*affectlake repair"):
        fresh.load("d")
    (damage,) = fresh.verify()["damaged"]
    assert damage["file"] == file and damage["dataset"] == "d" and "s000002" in damage["snapshots"]
    assert "refresh" in damage["remedy"]
    assert len(fresh.samples("d")) == 40  # other tables are read as ever


def test_what_was_computed_is_computed_again(store):
    flip(store, "audio.x")
    fresh = Store(store.uri)
    done = fresh.repair("d")
    assert len(done["dropped"]) == 1 and done["lost"] == [] and fresh.verify()["damaged"] == []
    _, todo = refresh(fresh, contents_of(40))
    assert len(todo) == 40 and read(fresh) == expected(contents_of(40))
    assert fresh.verify()["damaged"] == []  # tables made anew under the old ones' names included
    assert read(fresh, "s000001") == expected(contents_of(40))  # the older file was sound


def test_what_was_put_has_to_be_put_again(store):
    frame = pd.DataFrame({"g": np.arange(40.0)}, index=list(contents_of(40)))
    store.put("d", "text", "glove", frame)
    file = flip(store, "text.glove")
    fresh = Store(store.uri)
    (damage,) = fresh.verify()["damaged"]
    assert "put text.glove again" in damage["remedy"]
    assert [e["file"] for e in fresh.repair("d")["lost"]] == [file]
    assert fresh.load("d", "text.glove")["text.glove.g"].isna().all()
    fresh.put("d", "text", "glove", frame)
    assert fresh.load("d", "text.glove")["text.glove.g"].tolist() == frame["g"].tolist()


def test_samples_are_named_and_keep_ids_and_values(store):
    file = flip(store, "samples", top="tables")
    fresh = Store(store.uri)
    with pytest.raises(AffectlakeError, match="tables/d/samples/.*damaged"):
        fresh.samples("d")
    with pytest.raises(AffectlakeError, match="tables/d/samples/.*damaged"):
        fresh.sql('select * from "d.samples"')
    assert fresh.sql('select count(*) n from "d.audio.x"')["n"].tolist() == [40]  # of other tables as ever
    assert [d["file"] for d in fresh.verify()["damaged"]] == [file]
    done = fresh.repair("d")
    assert done["rebuilt"] == [file] and [e["file"] for e in done["lost"]] == [file]
    assert fresh.verify()["damaged"] == []
    contents = dict(contents_of(40), **{"p1-00001": "other"})
    assert read(fresh) == expected(contents)
    _, todo = refresh(fresh, contents)
    assert todo == [] and fresh.samples("d")["speaker"].notna().all()  # labels are read again, nothing is computed


def test_the_catalogue_is_made_anew(store):
    before = store.columns("audio.x")
    for at in (0.3, 0.7):
        file = flip(store, "columns", top="tables", at=at)
    fresh = Store(store.uri)
    with pytest.raises(AffectlakeError, match="tables/d/columns/.*damaged"):
        fresh.columns("audio.x")
    done = fresh.repair("d")
    assert done["rebuilt"] == [file] and done["lost"] == [] and fresh.verify()["damaged"] == []
    # what the columns mean is known from the snapshot before
    pd.testing.assert_frame_equal(fresh.columns("audio.x"), before)


def test_where_no_catalogue_is_sound_it_is_said_what_is_lost(store):
    for path in (store_path(store) / "tables" / "d" / "columns").glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-9])
    fresh = Store(store.uri)
    (lost, *_) = fresh.repair("d")["lost"]
    assert "audio.x" in lost["why"] and fresh.columns("audio.x")["n"].tolist() == [40, 40]


def test_a_log_of_a_table_is_named(store):
    log = flip(store, "audio.x", kind="*.json", at=0.4)
    files = {d["file"] for d in Store(store.uri).verify()["damaged"]}
    assert log in files or "features/d/audio.x" in files


def test_records_are_compared_too(store):
    store.record("benchmarks", pd.DataFrame({"dataset": ["d"], "uar": [0.5]}))
    store.record("benchmarks", pd.DataFrame({"dataset": ["d"], "uar": [0.6]}))
    file = flip(store, "benchmarks", dataset="", top="records", at=0.1)
    fresh = Store(store.uri)
    with pytest.raises(AffectlakeError, match="records/benchmarks/.*damaged"):
        fresh.records("benchmarks")
    with pytest.raises(AffectlakeError, match="records/benchmarks/.*damaged"):
        fresh.sql("select uar from benchmarks")
    (damage,) = fresh.verify()["damaged"]
    assert damage["file"] == file and "copy of the store" in damage["remedy"]


def test_the_log_of_snapshots_goes_back_to_the_one_before(store):
    file = flip(store, "", dataset="", top="snapshots", at=0.4)
    fresh = Store(store.uri)
    with pytest.raises(AffectlakeError, match="snapshots/.*damaged"):
        fresh.load("d")
    assert [d["file"] for d in fresh.verify()["damaged"]] == [file]
    assert [e["file"] for e in fresh.repair("d")["lost"]] == [file]
    assert fresh.verify()["damaged"] == [] and read(fresh) == expected(contents_of(40))


@pytest.mark.parametrize("together", [False, True])
def test_a_damaged_piece_of_the_log_of_snapshots_costs_what_it_alone_tells(store, monkeypatch, together):
    done = [refresh(store, contents_of(40 + i))[0] for i in range(3)]
    if together:
        monkeypatch.setattr(_snapshots, "PIECES", 1)
        done.append(refresh(store, contents_of(50))[0])
    piece = sorted((store_path(store) / "snapshots").glob("*.parquet"), key=lambda p: p.stat().st_mtime_ns)[
        -2 + together
    ]
    raw = piece.read_bytes()
    piece.write_bytes(raw[:300] + bytes([raw[300] ^ 1]) + raw[301:])
    fresh = Store(store.uri)
    assert [e["file"] for e in fresh.repair("d")["lost"]] == [f"snapshots/{piece.name}"]
    lost = done[-1].id if together else done[-2].id
    assert set(fresh.snapshots("d")["snapshot"]) == {f"s{i:06}" for i in range(1, len(done) + 3)} - {lost}
    assert fresh.verify()["damaged"] == []


def test_current_is_compared_where_it_is_a_copy(store):
    """As on a file system without hard links."""
    (path,) = (store_path(store) / "current" / "d" / "audio.x").iterdir()
    raw = bytearray(path.read_bytes())
    path.unlink()
    raw[len(raw) // 2] ^= 4
    path.write_bytes(bytes(raw))
    fresh = Store(store.uri)
    (damage,) = fresh.verify()["damaged"]
    assert damage["file"].endswith(path.name) and ".views/" in damage["file"]
    assert fresh.repair("d")["dropped"] == [] and fresh.verify()["damaged"] == []
    assert len(pd.read_parquet(store_path(store) / "current" / "d" / "audio.x")) == 40


def test_a_file_that_is_gone_and_stores_without_sums(store):
    import shutil

    shutil.rmtree(f"{store.uri}/sums")
    fresh = Store(store.uri)
    found = fresh.verify()
    assert found["unrecorded"] > 5 and found["damaged"] == []  # logs have copies, and snapshots sums, still
    refresh(fresh, contents_of(41))
    assert fresh.verify()["files"] > 10
    path = next((store_path(store) / "features" / "d" / "audio.x").rglob("*.parquet"))
    path.unlink()
    assert [d["why"] for d in fresh.verify()["damaged"]] == ["it is gone"]
    fresh.repair("d")
    assert fresh.verify()["damaged"] == []


def test_reading_without_a_comparison_on_request(store, monkeypatch):
    flip(store, "audio.x", at=0.5)
    monkeypatch.setenv("AFFECTLAKE_VERIFY", "0")
    assert len(Store(store.uri).load("d")) == 40


def test_the_commands(store, capsys):
    from affectlake.flows.cli.app import run

    assert run(["verify", "--store", store.uri]) == 0
    flip(store, "audio.x")
    assert run(["verify", "--store", store.uri, "--json"]) == 3
    assert run(["repair", "d", "--store", store.uri]) == 0
    assert run(["verify", "--store", store.uri]) == 0


@pytest.mark.parametrize("table", ["outcomes", "samples", "columns"])
def test_a_log_that_cannot_be_parsed_is_mended_too(store, table):
    """What a writer reads when it begins is no reason that a repair cannot begin."""
    folder = store_path(store) / "tables" / "d" / table / "_delta_log"
    for log in folder.glob("*.json"):
        log.write_bytes(log.read_bytes().replace(b'"', b"#", 3))
    fresh = Store(store.uri)
    assert any(d["file"].startswith(f"tables/d/{table}") for d in fresh.verify()["damaged"])
    fresh.repair("d")
    refresh(fresh, contents_of(40))
    assert fresh.verify()["damaged"] == [] and read(fresh) == expected(contents_of(40))
