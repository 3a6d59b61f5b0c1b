"""Erasing a person: nothing of theirs is left in any file, and everything else is as it was."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from lakes import contents_of, expected, read, refresh, samples

from affectlake.data import Store
from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.data.store import _erase

PERSON = "speaker-p3"


def theirs(contents):
    return {i for i in contents if i.startswith("p3-")}


@pytest.fixture
def lived_in(tmp_path):
    """A store with a past: several versions, failures, another extractor, records, an export, a held snapshot."""
    store = Store(tmp_path / "lake", create=True)
    contents = contents_of(60)
    history = [(refresh(store, contents, bad={"c3", "c4"})[0].id, contents, "f1", {"c3", "c4"})]
    changed = dict(contents, **{"p1-00001": "other", "p3-00010": "mine"})
    history.append((refresh(store, changed)[0].id, changed, "f1", {"c3", "c4"}))
    fewer = {i: c for i, c in changed.items() if i != "p3-00003"}
    history.append((refresh(store, fewer, "f2")[0].id, fewer, "f2", set()))
    store.put("d", "text", "glove", pd.DataFrame({"g": np.arange(float(len(fewer)))}, index=list(fewer)))
    store.export(tmp_path / "out", "d")
    rows = [{"speaker": PERSON, "value": 1.0}, {"speaker": "speaker-p1", "value": 0.5}]
    document = {"per_speaker": rows, "leakage": {"findings": [f"p3-00003 = {PERSON}", "fine"]}}
    store.record("benchmarks", pd.DataFrame([{"dataset": "d", "document": json.dumps(document)}]))
    store.record("predictions", pd.DataFrame({"dataset": "d", "sample_id": list(fewer), "predicted": "happy"}))
    refresh(store, {i: f"{c}-much-longer-than-it-was" for i, c in fewer.items()}, "f2", gate="fail")
    return store, history


def test_nothing_of_theirs_is_left_anywhere(lived_in, tmp_path):
    store, history = lived_in
    receipt = store.erase("d", speaker=PERSON)
    assert receipt["samples"] == 9 and receipt["still_found_in"] == [] and receipt["files_checked"] > 30
    assert PERSON not in json.dumps(receipt)
    # a search of our own, through every byte and every row
    ids = theirs(history[0][1])
    for path in [p for folder in ("lake", "out") for p in (tmp_path / folder).rglob("*") if p.is_file()]:
        raw = path.read_bytes()
        assert not any(i.encode() in raw for i in ids | {PERSON}), path
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            for column in {"sample_id", "speaker"} & set(table.column_names):
                assert not set(table[column].to_pylist()) & (ids | {PERSON}), path


def test_every_snapshot_is_readable_and_complete_without_them(lived_in):
    store, history = lived_in
    store.erase("d", speaker=PERSON)
    for name, contents, fingerprint, bad in history:
        others = {i: c for i, c in contents.items() if i not in theirs(contents)}
        assert read(store, name) == expected(others, fingerprint, bad)
        assert store.samples("d", name)["sample_id"].tolist() == list(others)
    rows = [t for t in store.status()["datasets"][0]["tables"] if t["extractor"] == "audio.x"]
    assert rows[0]["rows"] == 51 and store.status()["datasets"][0]["samples"] == 51
    values = store.load("d", "audio.x")["audio.x.a"]
    assert store.columns("audio.x").iloc[0]["max"] == values.max()


def test_records_and_exports_lose_only_them(lived_in, tmp_path):
    store, history = lived_in
    receipt = store.erase("d", speaker=PERSON)
    document = json.loads(store.records("benchmarks")["document"][0])
    assert document == {"per_speaker": [{"speaker": "speaker-p1", "value": 0.5}], "leakage": {"findings": ["fine"]}}
    assert len(store.records("predictions")) == 51 and receipt["exports"] == 1
    assert len(pd.read_parquet(tmp_path / "out" / "samples.parquet")) == 51


def test_refreshes_go_on_afterwards_and_compute_nothing_anew(lived_in):
    store, history = lived_in
    _, contents, fingerprint, _ = history[-1]
    store.erase("d", speaker=PERSON)
    others = {i: c for i, c in contents.items() if i not in theirs(contents)}
    done, todo = refresh(store, others, fingerprint)
    assert not todo and done.counts["audio.x"]["unchanged"] == 51
    assert read(store) == expected(others, fingerprint)
    plain = pd.read_parquet(f"{store.uri}/current/d/audio.x")
    assert len(plain) == 51


def test_single_samples(lived_in):
    store, _ = lived_in
    receipt = store.erase("d", ids=["p1-00001", "p2-00002"])
    assert receipt["samples"] == 2 and receipt["still_found_in"] == []
    assert "p1-00001" not in store.samples("d")["sample_id"].tolist()
    assert "speaker-p1" in store.samples("d")["speaker"].tolist()


def test_nobody_by_that_name(lived_in):
    store, _ = lived_in
    with pytest.raises(UnknownName, match="did you mean 'speaker-p3'"):
        store.erase("d", speaker="speaker_p3")
    with pytest.raises(UnknownName, match="unknown sample"):
        store.erase("d", ids=["p1-00001", "nobody-at-all"])
    with pytest.raises(UsageError, match="either"):
        store.erase("d")
    assert len(store.samples("d")) == 59


def test_other_datasets_are_untouched(lived_in):
    store, _ = lived_in
    refresh(store, {"p3-00001": "x"}, dataset="e")
    store.erase("d", ids=["p1-00001"])
    assert read(store, dataset="e") == expected({"p3-00001": "x"})


@pytest.mark.parametrize("step", ["edit", "_records", "_exports"])
def test_a_crash_in_the_middle_loses_nobody_and_can_be_done_again(lived_in, monkeypatch, step):
    store, history = lived_in

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_erase, step, crash)
        with pytest.raises(KeyboardInterrupt):
            store.erase("d", speaker=PERSON)
    _, contents, fingerprint, _ = history[-1]
    if step == "edit":
        assert read(store) == expected(contents, fingerprint)  # not begun, as far as anybody can see
        assert store.erase("d", speaker=PERSON)["still_found_in"] == []
    others = {i: c for i, c in contents.items() if i not in theirs(contents)}
    assert read(store) == expected(others, fingerprint)
    refresh(store, others, fingerprint)
    assert len(pd.read_parquet(f"{store.uri}/current/d/audio.x")) == 51


def test_a_reader_that_holds_an_old_snapshot_gets_a_clear_error(lived_in):
    store, _ = lived_in
    held = store.snapshot("d")
    store.erase("d", speaker=PERSON)
    store_log = store._log
    stale = type("Stale", (), {"of": lambda self, dataset, as_of=None: held})
    store._log = lambda: stale()
    with pytest.raises(AffectlakeError, match="erased"):
        store.load("d")
    store._log = store_log
    assert len(store.load("d")) == 51


def test_samples_frame_helper_is_sound():
    assert samples(["p3-1"])["speaker"].tolist() == [PERSON]
