"""Large tables are written a group of shards at a time, and their statistics are kept shard by shard."""

import numpy as np
import pytest
from lakes import contents_of, expected, read, refresh

from affectlake.data import Store
from affectlake.data.store import _shards, _statistics, _writer
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
    real = _statistics._statistics
    monkeypatch.setattr(_statistics, "_statistics", lambda table: made.append(table.num_rows) or real(table))
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
    real, done = TableStore.replace, []

    def replace(place, table, *arguments):
        if "audio.x" in table:
            done.append(table)
            if len(done) == 4:
                raise KeyboardInterrupt
        return real(place, table, *arguments)

    monkeypatch.setattr(TableStore, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        refresh(store, changed)
    monkeypatch.setattr(TableStore, "replace", real)
    assert len(done) == 4 and read(store) == expected(contents)
    _, todo = refresh(store, changed)
    assert todo == [] and read(store) == expected(changed)
    check_statistics(store)
