"""Results that workers write to the store themselves count once their names came back, and not before."""

import pickle
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from lakes import COLUMNS, contents_of, expected, read, refresh, results, samples

from affectlake.data.errors import AffectlakeError
from affectlake.data.store import FeatureSpec, Store, Unreachable


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "lake", create=True)


def publish(writer, contents, fingerprint="f1"):
    rows = pd.DataFrame({"sample_id": contents.keys(), "content": contents.values(), "uri": "file"})
    return writer.publish(
        samples(contents), {"audio.x": FeatureSpec(fingerprint, COLUMNS, "1", {}, rows)}, None, "test"
    )


def parquet(store):
    return sorted(Path(store.uri, "pending").rglob("*.parquet"))


def test_what_others_wrote_is_published_as_if_it_were_ours(store):
    contents = contents_of(40)
    with store.writer("d") as w:
        with w.place() as place:
            elsewhere = pickle.loads(pickle.dumps(place))
            for content in contents.values():
                held = elsewhere.keep("audio.x", "f1", results([content], "f1", "failed" if content == "c3" else "ok"))
                w.keep_file(pickle.loads(pickle.dumps(held)))
        known = w.known("audio.x", "f1")
        assert len(known) == 40 and known.loc[known["outcome"] == "failed", "content"].tolist() == ["c3"]
        publish(w, contents)
    assert read(store) == expected(contents, bad={"c3"}) and parquet(store) == []
    assert store.verify()["damaged"] == []
    refresh(Store(Path(store.uri).parent / "other", create=True), contents, bad={"c3"})
    assert store.load("d").equals(Store(Path(store.uri).parent / "other").load("d"))


def test_a_file_that_nobody_was_told_of_counts_for_nothing_and_goes(store):
    with store.writer("d") as w:
        with w.place() as place:
            w.keep_file(place.keep("audio.x", "f1", results(["c0"], "f1")))
            place.keep("audio.x", "f1", results(["c1"], "f1"))
            place.keep("audio.y", "f1", results(["c1"], "f1"))
        assert w.known("audio.x", "f1")["content"].tolist() == ["c0"]
        assert w.known("audio.y", "f1").empty and len(parquet(store)) == 3
    with store.writer("d") as w:
        assert w.known("audio.x", "f1")["content"].tolist() == ["c0"]
    assert len(parquet(store)) == 1 and "f1" in str(parquet(store)[0])


def test_of_an_attempt_that_was_told_of_twice_each_content_counts_once(store):
    """A worker that was given up may have come to its end all the same, and so has who did its work again."""
    contents = contents_of(4)
    with store.writer("d") as w:
        with w.place() as place:
            for _ in range(2):
                w.keep_file(place.keep("audio.x", "f1", results(list(contents.values()), "f1")))
        publish(w, contents)
    assert read(store) == expected(contents)


def test_who_sees_another_store_writes_nothing(store, tmp_path):
    with store.writer("d") as w, w.place() as place:
        other = replace(place, uri=str(tmp_path / "lake of another machine"))
        with pytest.raises(Unreachable, match="no such store at .*lake of another machine"):
            other.keep("audio.x", "f1", results(["c0"], "f1"))
        assert not Path(other.uri).exists()
    with pytest.raises(AffectlakeError, match="no such store"):  # its time is over
        replace(place).keep("audio.x", "f1", results(["c0"], "f1"))


def test_what_cannot_be_written_is_one_line(store, monkeypatch):
    from affectlake.data.store._table_store import TableStore

    def full(place, table, rows, shard=None):
        raise OSError(28, "No space left on device")

    with store.writer("d") as w, w.place() as place:
        monkeypatch.setattr(TableStore, "add", full)
        with pytest.raises(Unreachable, match=r"^results cannot be written there: no space left$"):
            place.keep("audio.x", "f1", results(["c0"], "f1"))
        monkeypatch.undo()


@pytest.mark.parametrize("end", [None, KeyboardInterrupt])
def test_nothing_is_left_of_the_probe(store, end):
    with store.writer("d") as w:
        try:
            with w.place():
                assert len(list(Path(store.uri, "pending/d/probes").iterdir())) == 1
                if end:
                    raise end
        except KeyboardInterrupt:
            pass
        assert list(Path(store.uri, "pending/d/probes").iterdir()) == []
