"""Erasing a person: nothing of theirs is left in any file, and everything else is as it was."""

import json
import re
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from lakes import COLUMNS, contents_of, expected, read, refresh, results, samples

from affectlake.data import Store
from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.data.samples import samples_frame
from affectlake.data.store import (
    FeatureSpec,
    _erase,
    _maintenance,
    _target,
    _tombstones,
    _traces,
)

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
    assert not todo and done.counts["audio.x"].unchanged == 51
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


STEPS = {
    "tombstones": (_tombstones, "add"),
    "switch": (_erase, "edit"),
    "collect": (_maintenance, "collect"),
    "exports": (_traces, "exports"),
    "end": (_target, "done"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_second_call_finishes_one_that_stopped_anywhere(lived_in, monkeypatch, tmp_path, caplog, step):
    store, history = lived_in
    trained = {"path": "/m/best.model", "run": "r", "created": "2026-01-01", "dataset": "d"}
    store.record("training", pd.DataFrame([trained | {"sample_id": f"p3-{i:05d}"} for i in (3, 10)]))
    with store.writer("d"):
        pass  # what its beginning does is not part of the erasure

    def crash(*_, **__):
        raise KeyboardInterrupt

    _, contents, fingerprint, _ = history[-1]
    with store.writer("d"), monkeypatch.context() as patch:
        patch.setattr(*STEPS[step], crash)
        with pytest.raises(KeyboardInterrupt):
            _erase.erase(store._tables, "d", PERSON, None)
    others = {i: c for i, c in contents.items() if i not in theirs(contents)}
    switched = step not in ("tombstones", "switch")
    assert read(store) == expected(others if switched else contents, fingerprint)
    refresh(store, others, fingerprint)
    assert "was begun and did not end" in caplog.text
    receipt = store.erase("d", speaker=PERSON)
    assert receipt["samples"] == 9 and receipt["still_found_in"] == []
    assert [(e["what"], e["samples"]) for e in receipt["left"]] == [("model", 2)]
    for path, text in everything(tmp_path):
        assert not names_in(text, theirs(history[0][1]) | {PERSON}), path
    assert read(store) == expected(others, fingerprint)
    assert len(pd.read_parquet(f"{store.uri}/current/d/audio.x")) == 51
    caplog.clear()
    refresh(store, others, fingerprint)
    assert "did not end" not in caplog.text
    with pytest.raises(UnknownName):
        store.erase("d", speaker=PERSON)


KILLED = """
import os, signal, sys
from affectlake.data.store import Store, _table_store
left, real = int(sys.argv[2]), _table_store._said
def said(added):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(added)
_table_store._said = said
Store(sys.argv[1]).erase("d", speaker="speaker-p3")
"""


def test_a_process_that_was_killed_at_any_commit_is_finished_by_the_next(lived_in, tmp_path):
    store, history = lived_in
    others = {i: c for i, c in history[-1][1].items() if i not in theirs(history[-1][1])}
    killed = 0
    for commits in (6, 12):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(store.uri, tmp_path / "copy", symlinks=True)
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "copy"), str(commits)], check=False)
        killed += done.returncode == -signal.SIGKILL
        again = Store(tmp_path / "copy")
        if done.returncode:
            assert again.erase("d", speaker=PERSON)["still_found_in"] == []
        assert read(again) == expected(others, "f2")
        for path, text in everything(tmp_path / "copy"):
            assert not names_in(text, theirs(history[0][1]) | {PERSON}), path
    assert killed


def test_names_in_other_peoples_rows_do_not_come_back_either(tmp_path, caplog):
    store = Store(tmp_path / "lake", create=True)

    def rows(ids):
        frame = pd.DataFrame({"sample_id": ids, "text": "hello anna-1", "speaker": [i.split("-")[0] for i in ids]})
        frame["partner"], frame["answers_to"], frame["note"] = "anna", "anna-1", "anna and ben"
        return samples_frame(frame.assign(dialogue="anna-1", turn=range(len(ids))), "d")

    def publish(ids):
        with store.writer("d") as w:
            w.publish(rows(ids), {}, None, "test")
        return store.samples("d").set_index("sample_id").loc["ben-1"]

    before = publish(["anna-1", "ben-1", "cleo-1"])
    assert (before["partner"], before["answers_to"], before["dialogue"]) == ("anna", "anna-1", "anna-1")
    receipt = store.erase("d", speaker="anna")
    assert receipt["still_found_in"] == []
    erased = store.samples("d").set_index("sample_id").loc["ben-1"]
    again = publish(["anna-1", "ben-1", "cleo-1"])
    for found in (erased, again):
        assert pd.isna(found["partner"]) and pd.isna(found["answers_to"]) and found["text"] == "hello anna-1"
        assert found["note"] == "(erased)"
    assert again["dialogue"] == erased["dialogue"] and "anna" not in again["dialogue"]
    assert store.samples("d")["dialogue"].nunique() == 1  # what was said together stays together
    assert "column 'partner' of 2 samples" in caplog.text and "anna" not in caplog.text
    assert store.check_receipt(receipt)["still_found_in"] == []
    assert store.forget_erasure("d", speaker="anna") == 1
    assert publish(["anna-1", "ben-1", "cleo-1"])["partner"] == "anna"


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


def everything(*folders):
    """Every byte and every row below folders, Parquet unpacked."""
    for path in [p for folder in folders for p in folder.rglob("*") if p.is_file()]:
        yield path, path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".parquet":
            yield path, json.dumps(pq.read_table(path).to_pylist(), default=str)


def names_in(text, names):
    return {n for n in names if re.search(rf"(?<![\w-]){re.escape(n)}(?![\w-])", text)}


def test_who_was_erased_does_not_come_back(lived_in):
    store, history = lived_in
    contents = history[-1][1]
    others = {i: c for i, c in contents.items() if i not in theirs(contents)}
    store.erase("d", speaker=PERSON)
    done, todo = refresh(store, contents, "f2")
    assert done.samples == 51 and read(store) == expected(others, "f2")
    assert not set(store.samples("d")["sample_id"]) & theirs(contents)
    # under another id, but the same speaker
    renamed = {i.replace("p3-", "p3-new"): c for i, c in contents.items()}
    assert PERSON not in set(store.samples("d", refresh(store, renamed, "f2")[0])["speaker"])
    frame = pd.DataFrame({"g": np.arange(60.0)}, index=list(contents_of(60)))
    store.put("d", "text", "again", frame.loc[[i for i in frame.index if i in contents]])
    assert store.forget_erasure("d", speaker="nobody") == 0
    assert store.forget_erasure("d", speaker=PERSON) == 1
    assert refresh(store, contents, "f2")[0].samples == len(contents)


def test_the_same_recording_under_another_name_and_speaker_does_not_come_back(tmp_path):
    store = Store(tmp_path / "lake", create=True)
    sha = {i: f"{i:064x}" for i in range(4)}

    def publish(rows):
        frame = pd.DataFrame(rows, columns=["sample_id", "speaker", "audio", "start", "end"])
        frame = samples_frame(frame, "d")
        stats = pd.DataFrame({"uri": frame["audio"].unique()}).assign(size=1, mtime_ns=1, stamp=1)
        stats["sha256"] = [sha[int(u[-5])] for u in stats["uri"]]
        with store.writer("d") as w:
            gone = w.erased(frame, stats)
            w.publish(frame, {}, stats, "test")
        return gone

    none = float("nan")
    mine = [
        ["a", "anna", "/x/1.wav", none, none],
        ["b", "ben", "/x/2.wav", 0.0, 1.0],
        ["c", "cleo", "/x/2.wav", 1.0, 2.0],
    ]
    assert publish(mine) == set()
    store.erase("d", speaker="anna")
    store.erase("d", ids=["b"])
    again = [["q", "x", "/y/1.wav", none, none], ["r", "y", "/y/2.wav", 0.0, 1.0], ["c", "cleo", "/x/2.wav", 1.0, 2.0]]
    assert publish(again) == {"q", "r"}
    assert store.samples("d")["sample_id"].tolist() == ["c"]
    assert publish([["s", "z", "/y/1.wav", 0.5, 0.7], ["c", "cleo", "/x/2.wav", 1.0, 2.0]]) == {"s"}  # a part of it


def test_exports_are_found_however_the_store_was_opened(lived_in, tmp_path):
    store, history = lived_in
    (tmp_path / "link").symlink_to("lake")
    Store(tmp_path / "link").export(tmp_path / "two", "d")
    Store(tmp_path / "link").export(tmp_path / "old", "d", as_of=history[0][0])
    store.tidy("d", keep=1)  # the snapshot of one is forgotten
    (tmp_path / "two" / "affectlake-export.json").write_text("{")
    store.export(tmp_path / "lost", "d")
    shutil.move(tmp_path / "lost", tmp_path / "elsewhere")
    receipt = store.erase("d", speaker=PERSON)
    assert receipt["exports"] == 3 and not receipt["still_found_in"]
    assert [(e["what"], e["where"]) for e in receipt["left"]] == [("export", str(tmp_path / "lost"))]
    ids = theirs(history[0][1]) | {PERSON}
    for path, text in everything(*(tmp_path / n for n in ("lake", "out", "two", "old"))):
        assert not names_in(text, ids), path
    about = pd.read_parquet(tmp_path / "two" / "columns.parquet").set_index(["extractor", "column"])
    values = pd.read_parquet(tmp_path / "two" / "audio.x.parquet")["a"]
    assert about.loc[("audio.x", "a"), "max"] == values.max() and about.loc[("audio.x", "a"), "n"] == len(values)


def test_models_that_were_fitted_on_them_are_named(lived_in):
    store, history = lived_in
    ids = list(history[-1][1])
    rows = {"path": "/models/best.model", "run": "r1", "created": "2026-01-01", "dataset": "d", "sample_id": ids}
    store.record("training", pd.DataFrame(rows))
    receipt = store.erase("d", speaker=PERSON)
    (left,) = receipt["left"]
    assert (left["what"], left["where"], left["trained"], left["samples"]) == (
        "model", "/models/best.model", "2026-01-01", len(theirs(ids)),
    )  # fmt: skip
    assert len(store.records("training")) == len(ids) - len(theirs(ids))


def test_a_receipt_can_be_checked_without_the_names(lived_in, tmp_path):
    store, history = lived_in
    receipt = store.erase("d", speaker=PERSON)
    text = json.dumps(receipt)
    assert not names_in(text, theirs(history[0][1]) | {PERSON})
    assert store.check_receipt(receipt)["still_found_in"] == []
    store.record("notes", pd.DataFrame([{"dataset": "d", "document": json.dumps({"who": ["p3-00003 was late"]})}]))
    (path,) = store.check_receipt(receipt)["still_found_in"]
    assert path.startswith("records/notes/")
    other = Store(tmp_path / "other", create=True)
    refresh(other, {"p1-1": "x"})
    with pytest.raises(AffectlakeError, match="another store"):
        other.check_receipt(receipt)


def test_short_names_are_nobody_elsewhere(tmp_path):
    store = Store(tmp_path / "lake", create=True)
    ids = [str(i) for i in range(1, 31)]
    frame = samples(ids).assign(speaker=[str(1 + i % 3) for i in range(30)], rating=[str(1 + i % 5) for i in range(30)])
    store.put("d", "face", "x", pd.DataFrame({"v": np.arange(30.0)}, index=ids), samples=frame)
    findings = ["1 of 30 tested samples have a speaker that was trained on (2)", "such as 5 and 1", "3 folds (1, 2)"]
    document = {"leakage": {"findings": findings}, "seed": "1", "rows": [{"shard": "1", "speaker": "2"}]}
    store.record("benchmarks", pd.DataFrame([{"dataset": "d", "document": json.dumps(document)}]))
    receipt = store.erase("d", speaker="1")
    assert receipt["still_found_in"] == [] and receipt["left"] == []
    kept = json.loads(store.records("benchmarks")["document"][0])
    assert kept["leakage"]["findings"] == findings[:1] and kept["seed"] == "1" and len(kept["rows"]) == 1
    assert set(store.samples("d")["rating"]) == {"1", "2", "3", "4", "5"}
    assert store.check_receipt(receipt)["still_found_in"] == []


def test_words_of_theirs_in_other_peoples_context_go(tmp_path):
    store = Store(tmp_path / "lake", create=True)
    ids = [f"u{i}" for i in range(6)]
    frame = samples(ids).assign(dialogue=["x"] * 4 + ["y"] * 2, turn=[0, 1, 2, 3, 0, 1], speaker=list("abcabc"))
    frame["speaker"] = "person-" + frame["speaker"]
    frame = samples_frame(frame, "d")
    rows = pd.DataFrame({"sample_id": ids, "content": [f"c{i}" for i in ids], "uri": ""})
    wanted = {
        name: FeatureSpec("f", COLUMNS, "1", {}, rows, reads=reads)
        for name, reads in (("text.words", "text"), ("text.before", "dialogue"))
    }
    with store.writer("d") as w:
        for name in wanted:
            w.keep(name, "f", results(rows["content"].tolist(), "f"))
        w.publish(frame, wanted, None, "test")
    receipt = store.erase("d", ids=["u1"])
    assert receipt["recompute"] == {"features.text.before": 2}  # u2 and u3 heard u1; u0 spoke before, y is elsewhere
    assert sorted(store.load("d", "text.before", missing="drop").index) == ["u0", "u4", "u5"]
    assert sorted(store.load("d", "text.words", missing="drop").index) == ["u0", "u2", "u3", "u4", "u5"]
    with store.writer("d") as w:
        assert "cu2" not in set(w.known("text.before", "f")["content"])  # the next refresh computes it


def test_others_are_written_meanwhile(tmp_path):
    store = Store(tmp_path / "lake", create=True)
    refresh(store, {f"a{i % 5}-{i}": f"x{i}" for i in range(40)}, dataset="a")
    stop, failed = threading.Event(), []

    def go_on():
        mine, n = Store(store.uri), 0
        while not stop.is_set():
            n += 1
            try:
                refresh(mine, {f"b-{i}": f"c{i}-{n}" for i in range(40)}, dataset="b")
            except Exception as error:
                failed.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        receipts = [store.erase("a", speaker=f"speaker-a{i}") for i in range(4)]
    finally:
        stop.set()
        thread.join()
    assert not failed and all(r["still_found_in"] == [] and r["left"] == [] for r in receipts)
