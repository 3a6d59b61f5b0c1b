"""Comparing snapshots, going back, explaining values, cleaning up."""

import os
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from lakes import contents_of, expected, read, refresh

from affectlake.data import Store
from affectlake.data.errors import UnknownName, UsageError
from affectlake.data.store import _snapshots
from affectlake.data.store._table_store import CommitConflict


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "lake", create=True)


def test_diff_names_what_differs(store):
    contents = contents_of(10)
    refresh(store, contents)
    changed = {i: c for i, c in contents.items() if i != "p0-00000"} | {"p1-00001": "other", "new-1": "x"}
    refresh(store, changed)
    found = store.diff("d", "s000001", "s000002")
    assert found["added"] == ["new-1"] and found["removed"] == ["p0-00000"] and found["changed"] == []
    assert found["features"]["audio.x"]["changed"] == ["p1-00001"] and not found["features"]["audio.x"]["fingerprint"]
    assert store.diff("d", "s000002")["features"] == {}
    refresh(store, changed, "f2")
    assert store.diff("d", "s000002")["features"]["audio.x"]["fingerprint"]


def test_rollback_publishes_the_old_state_and_keeps_the_new(store):
    contents = contents_of(10)
    refresh(store, contents)
    refresh(store, contents, "f2")
    done = store.rollback("d", "s000001")
    assert done.id == "s000003" and read(store) == expected(contents)
    assert read(store, "s000002") == expected(contents, "f2")
    plain = pd.read_parquet(f"{store.uri}/current/d/audio.x").set_index("sample_id")["a"]
    assert plain.to_dict() == expected(contents)
    # and life goes on from there
    _, todo = refresh(store, contents)
    assert not todo


def test_explain_goes_back_to_the_bytes(store):
    refresh(store, contents_of(10), bad={"c2"})
    found = store.explain("d", "p1-00001", "audio.x.a")
    assert found["value"] == expected(contents_of(10))["p1-00001"] and found["content"] == "c1"
    assert found["fingerprint"] == "f1" and found["parameters"] == {"p": 1} and found["unit"] == "Hz"
    assert found["weights"] == {} and found["code_version"] == "code" and found["snapshot"] == "s000001"
    lost = store.explain("d", "p2-00002", "audio.x.a")
    assert lost["value"] is None and lost["outcome"] == "failed" and lost["reason"] == "cannot read c2"
    with pytest.raises(UnknownName, match="did you mean 'p1-00001'"):
        store.explain("d", "p1-0001", "audio.x.a")
    with pytest.raises(UnknownName, match="audio.x.a"):
        store.explain("d", "p1-00001", "audio.x")


def files(store) -> set[Path]:
    return {p for p in Path(store.uri).rglob("*.parquet") if ".views" not in p.parts}


def test_tidy_deletes_orphans_only(store):
    contents = contents_of(10)
    refresh(store, contents)
    refresh(store, contents, "f2")
    before = files(store)
    orphan = Path(store.uri) / "features/d/audio.x/shard=0/part-of-a-killed-writer.parquet"
    orphan.write_bytes(b"half of a file")
    os.utime(orphan, (1, 1))
    assert store.tidy("d")["files"] >= 1 and not orphan.exists()
    assert before - files(store) <= {p for p in before if "snapshots" in p.parts}
    assert read(store, "s000001") == expected(contents, "f1") and read(store) == expected(contents, "f2")


def test_tidy_forgets_old_snapshots_but_tagged_ones(store):
    contents = contents_of(10)
    for f in ("f1", "f2", "f3", "f4"):
        refresh(store, contents, f)
        if f == "f2":
            store.tag("paper")
    done = store.tidy("d", keep=1)
    assert done["snapshots"] == 2 and done["files"] >= 2
    assert store.snapshots()["snapshot"].tolist() == ["s000002", "s000004"]
    assert read(store, "paper") == expected(contents, "f2") and read(store) == expected(contents, "f4")
    with pytest.raises(UsageError, match="s000001 .* tidied away"):
        read(store, "s000001")
    with pytest.raises(UsageError, match="at least 1"):
        store.tidy("d", keep=0)
    assert refresh(store, contents, "f4")[1] == []


def test_tidy_puts_records_together(store):
    refresh(store, contents_of(3))
    for i in range(5):
        store.record("benchmarks", pd.DataFrame([{"dataset": "d", "n": i}]))
    before = len(list(Path(store.uri).glob("records/benchmarks/*.parquet")))
    store.tidy("d")
    assert before == 5 and len(list(Path(store.uri).glob("records/benchmarks/*.parquet"))) == 1
    assert sorted(store.records("benchmarks")["n"]) == list(range(5))


def test_a_night_adds_its_row_to_the_log_of_snapshots(store, monkeypatch):
    """However long it is; what lies in many pieces is put together."""
    monkeypatch.setattr(_snapshots, "PIECES", 5)
    log, written, pieces = Path(store.uri) / "snapshots", [], []
    for night in range(12):
        before = set(log.glob("*.parquet"))
        refresh(store, contents_of(3 + night))
        (new,) = set(log.glob("*.parquet")) - before
        written.append(pq.ParquetFile(new).metadata.num_rows)
        pieces.append(len(store._tables.open("snapshots").paths()))
    assert written == [1, 1, 1, 1, 1, 6, 1, 1, 1, 1, 11, 1] and max(pieces) == 5
    assert store.snapshots("d")["snapshot"].tolist() == [f"s{i:06}" for i in range(1, 13)]
    assert read(store, as_of="s000002") == expected(contents_of(4)) and store.verify()["damaged"] == []


def test_two_that_add_to_the_log_at_once_do_not_both(store):
    refresh(store, contents_of(3))
    one, other = _snapshots.Log(store._tables), _snapshots.Log(store._tables)
    draft = one.head("d")
    assert one.commit(draft, draft).id == "s000002"
    with pytest.raises(CommitConflict):
        other.commit(draft, draft)
