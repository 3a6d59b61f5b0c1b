"""Large tables are written a group of shards at a time, and their statistics are kept shard by shard."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from lakes import contents_of, expected, read, refresh

from affectlake.data import Store, spill
from affectlake.data.store import TableRef, _assemble, _checksums, _shards, _statistics, _writer
from affectlake.data.store._damaged import Damaged
from affectlake.data.store._read import read_parts
from affectlake.data.store._table_store import TableStore


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Shards of sixteen samples, each written by itself."""
    monkeypatch.setattr(_shards, "SHARD", 16)
    monkeypatch.setattr(_writer, "GROUP_BYTES", 1)
    return Store(tmp_path / "lake", create=True)


def check_statistics(store):
    """The catalogue against numpy over the values themselves."""
    values = store.load("d", missing="drop")["audio.x.a"].to_numpy(np.float64)
    about = store.columns("audio.x").set_index("column").loc["a"]
    assert (about["n"], about["missing"]) == (len(values), 0)
    assert (about["min"], about["max"]) == (values.min(), values.max())
    assert about[["mean", "std"]].to_numpy(float) == pytest.approx([values.mean(), values.std()], rel=1e-12)


def shards_read(monkeypatch):
    """Counts the shards whose statistics are made."""
    made = []
    real = _statistics.statistics
    monkeypatch.setattr(_statistics, "statistics", lambda table: made.append(table.num_rows) or real(table))
    return made


def test_a_change_costs_the_statistics_of_its_shard(store, monkeypatch):
    contents = contents_of(100)
    first, _ = refresh(store, contents, bad={"c3"})
    assert read(store) == expected(contents, bad={"c3"})
    check_statistics(store)
    made = shards_read(monkeypatch)
    # The sample with the greatest value leaves, another one gets a greater one, all in shards of their own.
    gone = store.load("d", missing="drop")["audio.x.a"].idxmax()
    changed = {i: c for i, c in contents.items() if i != gone} | {"p1-00001": "zzzzzzzzz"}
    refresh(store, changed, bad={"c3"})
    assert len(made) == 2 and max(made) <= 16
    assert read(store) == expected(changed, bad={"c3"}) and read(store, first.id) == expected(contents, bad={"c3"})
    check_statistics(store)
    made.clear()
    refresh(store, changed, bad={"c3"})
    assert made == []


def test_an_erasure_leaves_no_extreme_behind(store):
    contents = contents_of(60) | {"q-0": "z" * 40}
    refresh(store, contents)
    store.erase("d", ids=["q-0"])
    check_statistics(store)
    del contents["q-0"]
    refresh(store, contents | {"p1-00001": "other"})
    check_statistics(store)
    assert "q-0" not in store.load("d").index


def test_a_table_without_statistics_by_shard_gets_them(store, monkeypatch):
    """Stores of earlier versions have none."""
    contents = contents_of(60)
    with monkeypatch.context() as earlier:
        earlier.setattr(_statistics, "to_table", lambda parts: _statistics._SCHEMA.empty_table())
        refresh(store, contents)
    refresh(store, contents | {"p1-00001": "other"})
    check_statistics(store)


def test_a_crash_between_two_groups_changes_nothing(store, monkeypatch):
    contents = contents_of(100)
    refresh(store, contents)
    changed = {i: f"{c}-new" for i, c in contents.items()}
    real, done = TableStore.add, []

    def add(place, table, *arguments):
        if "features" in table:
            done.append(table)
            if len(done) == 4:
                raise KeyboardInterrupt
        return real(place, table, *arguments)

    monkeypatch.setattr(TableStore, "add", add)
    with pytest.raises(KeyboardInterrupt):
        refresh(store, changed)
    monkeypatch.setattr(TableStore, "add", real)
    assert len(done) >= 4 and read(store) == expected(contents)
    _, todo = refresh(store, changed)
    assert todo == [] and read(store) == expected(changed)
    check_statistics(store)


def test_what_rots_before_its_sum_is_noted_is_told(store, monkeypatch):
    """A sum is of what was to be written, not of what lies there later."""
    real = _checksums.note

    def note(place, draft, base):
        file = next(Path(store.uri).rglob("features/**/part-*.parquet"))
        file.write_bytes(file.read_bytes().replace(b"p1-00001", b"p1-00002"))
        real(place, draft, base)

    monkeypatch.setattr(_checksums, "note", note)
    refresh(store, contents_of(16))
    with pytest.raises(Damaged):
        store.load("d")


def test_a_change_reads_its_shard_though_others_hold_its_contents_too(store, monkeypatch):
    contents = {f"a-{i:03d}": f"c{i % 16}" for i in range(160)}
    refresh(store, contents)
    paths, real = [], _assemble.read_file
    monkeypatch.setattr(
        _assemble, "read_file", lambda place, file, columns: paths.append(file.path) or real(place, file, columns)
    )
    changed = contents | {"a-100": "other"}
    refresh(store, changed)
    assert [p.split("/")[-2] for p in paths if "features" in p] == ["shard=6"]
    assert read(store) == expected(changed)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (3, 7), elements=st.floats(-1e6, 1e6, width=32) | st.just(np.nan)))
def test_statistics_are_those_of_numpy(x):
    found = _statistics.statistics(pa.table(list(x), ["a", "b", "c"]))
    for column, (rows, n, low, high, mean, squares) in zip(x.astype(np.float64), found.T, strict=True):
        there = column[~np.isnan(column)]
        assert (rows, n) == (7, len(there))
        assert (low, high) == ((there.min(), there.max()) if n else (np.inf, -np.inf))
        centre = there.mean() if n else 0.0
        assert (mean, squares) == pytest.approx((centre, ((there - centre) ** 2).sum()), rel=1e-9, abs=1e-6)


def test_a_file_of_any_size_is_read_a_part_at_a_time(store, monkeypatch):
    monkeypatch.setattr(spill, "ROWS", 10_000)
    part = pa.table({"text": [f"{i:0100}" for i in range(10_000)]})
    path = "tables/d/long"
    version = store._tables.replace(path, part, None, more=iter([part] * 39))
    before, taken, rows = pa.total_allocated_bytes(), 0, 0
    for found in read_parts(store._tables, TableRef(path, version)):
        taken, rows = max(taken, pa.total_allocated_bytes() - before), rows + found.num_rows
        assert not found.num_rows or found.equals(part)
    assert rows == 400_000 and taken < 10 * part.nbytes
