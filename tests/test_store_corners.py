"""What a store says to rare questions, and what erasure and repair do at the edges."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from lakes import COLUMNS, contents_of, refresh, samples

from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.data.store import FeatureSpec, Store
from affectlake.data.store._names import ErasureTarget, Plain, scrubbed
from affectlake.data.store._search import _in_log, _in_table, search_folder
from affectlake.data.store._shards import SHARD, assign_shards
from affectlake.data.store._similar import cosine


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "lake", create=True)


@pytest.fixture
def filled(store):
    refresh(store, contents_of(6), bad=["c5"])
    return store


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda s: s.snapshots("nobody"), "nobody"),
        (lambda s: s.columns("audio.x", "nobody"), "nobody"),
        (lambda s: s.failures("d", "audio.y"), "audio.x"),
        (lambda s: s.verify("nobody"), "nobody"),
        (lambda s: s.repair("nobody"), "nobody"),
        (lambda s: s.erase("nobody", speaker="x"), "nobody"),
        (lambda s: s.load("d", speaker="nobody"), "nobody"),
    ],
)
def test_names_that_are_not_there_are_told(filled, ask, message):
    with pytest.raises(UnknownName, match=message):
        ask(filled)


def test_what_was_before_the_first_snapshot_is_told(filled):
    with pytest.raises(UsageError, match="no snapshot at 2001-01-01: the first is of 20"):
        filled.load("d", as_of="2001-01-01")
    refresh(filled, contents_of(2), dataset="later")
    with pytest.raises(UsageError, match="no snapshot of 'later' at s000001: the first is s000002"):
        filled.load("later", as_of="s000001")


def test_nothing_can_be_tagged_before_there_is_a_snapshot(store):
    with pytest.raises(UsageError, match="no snapshot to tag yet"):
        store.tag("first")


def test_failures_of_one_extractor_with_those_that_do_not_apply(filled):
    every = filled.failures("d", "audio.x", not_applicable=True)
    assert set(every["extractor"]) <= {"audio.x"}
    assert filled.load("d", speaker=filled.samples("d")["speaker"].iloc[0]).shape[0] >= 1


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame(index=["a"]), "no columns of features"),
        (pd.DataFrame({"f0": [1.0], "F0": [2.0]}, index=["a"]), "'F0' is there twice"),
    ],
)
def test_what_put_cannot_take(store, frame, message):
    with pytest.raises(UsageError, match=message):
        store.put("d", "audio", "pitch", frame)


def test_samples_may_be_indexed_by_their_ids_and_have_labels_of_categories(store):
    about = pd.DataFrame({"text": ["No!"], "mood": pd.Categorical(["up"])}, index=pd.Index(["a"], name="sample_id"))
    store.put("d", "audio", "pitch", pd.DataFrame({"f0": [1.0]}, index=["a"]), samples=about)
    assert store.load("d", label="mood")["mood"].tolist() == ["up"]


def published(store, features, frame, index=None):
    with store.writer("d") as writer:
        for name, contents in features.items():
            table = pa.table(
                {
                    "content": pa.array(contents, pa.string()),
                    "outcome": pa.array(["ok"] * len(contents), pa.string()),
                    "reason": pa.nulls(len(contents), pa.string()),
                    "a": pa.array(np.ones(len(contents)), pa.float32()),
                    "b": pa.array(np.ones(len(contents)), pa.float32()),
                }
            )
            writer.keep(name, "f", table)
        specs = {
            name: FeatureSpec(
                "f",
                COLUMNS,
                "1",
                {"beam": 5},
                pd.DataFrame({"sample_id": frame["sample_id"][: len(c)], "content": c, "uri": "file"}),
                reads="text" if name.startswith("text") else "speech",
            )
            for name, c in features.items()
        }
        return writer.publish(frame, specs, index, "test")


def test_a_text_by_machine_is_explained_by_who_wrote_it(store):
    frame = samples(["a-0", "a-1"], channel="left", text_source=["audio.transcript", "somewhere.else"])
    published(store, {"audio.transcript": ["1", "2"], "text.style": ["3", "4"]}, frame)
    known = store.explain("d", "a-0", "text.style.a")
    assert known["source"]["channel"] == "left" and known["transcript"]["by"] == "audio.transcript"
    assert known["transcript"]["parameters"] == {"beam": 5}
    assert store.explain("d", "a-1", "text.style.a")["transcript"] == {"by": "somewhere.else"}


def test_a_difference_tells_tables_that_came_and_went_by_their_status(store):
    frame = samples(["a-0"])
    published(store, {"audio.x": ["1"]}, frame)
    published(store, {"audio.y": ["2"]}, frame)
    assert store.diff("d", "s000001")["features"] == {"audio.y": {"status": "added"}}
    assert store.diff("d", "s000002", "s000001")["features"] == {"audio.y": {"status": "removed"}}


def test_an_extractor_without_any_sample_makes_no_table(store):
    published(store, {"audio.x": ["1"], "text.style": []}, samples(["a-0"]))
    assert list(store.snapshot("d").features) == ["audio.x"]


def test_files_of_a_refresh_are_no_view_and_dots_want_quotes(store):
    index = pd.DataFrame({"uri": ["a.wav"], "size": [1], "mtime_ns": [1], "stamp": ["s"], "sha256": ["0" * 64]})
    published(store, {"audio.x": ["1"]}, samples(["a-0"], audio="a.wav"), index)
    with pytest.raises(UsageError, match="a name with dots is quoted as a whole: '\"d.audio.x\"'") as error:
        store.sql("select * from d.audio.x")
    assert "d.stats" not in str(error.value)
    assert store.files("d")["uri"].tolist() == ["a.wav"]


def test_columns_that_are_empty_or_constant_have_no_say_in_likeness():
    nothing, constant, telling = [np.nan, np.nan, np.nan], [2.0, 2.0, 2.0], [1.0, 1.0, -2.0]
    found = cosine(np.array([nothing, constant, telling], np.float32), 0)
    np.testing.assert_allclose(found, [1.0, 1.0, -1.0], atol=1e-6)


def test_shards_that_are_left_half_empty_are_dealt_anew():
    ids = pd.Series([f"i{i}" for i in range(6)])
    before = pd.Series(np.arange(6) * 2, index=ids.to_numpy())
    assert assign_shards(ids, before).tolist() == [0] * 6 and SHARD > 6


def test_an_identity_that_is_no_object_is_damage(filled):
    assert filled.identity
    Path(filled.uri, "identity.json").write_text("[]", encoding="utf-8")
    fresh = Store(filled.uri)
    assert [d["file"] for d in fresh.verify()["damaged"]] == ["identity.json"]
    with pytest.raises(AffectlakeError, match="identity.json is damaged"):
        fresh.erase("d", ids=["p0-00000"])


def test_erasures_are_forgotten_one_by_one_or_all(filled):
    assert filled.forget_erasure("d") == 0
    first, second = filled.samples("d")["sample_id"][:2]
    filled.erase("d", ids=[first])
    filled.erase("d", ids=[second])
    assert filled.forget_erasure("d", ids=["nobody"]) == 0
    assert filled.forget_erasure("d", ids=first) == 1
    assert filled.forget_erasure("d") == 1


def test_who_trained_on_a_dataset_forgets_its_people_too(filled):
    ids = filled.samples("d")["sample_id"].tolist()
    rows = pd.DataFrame({"dataset": "other", "train_on": ["d", "d+e", "e"], "sample_id": [ids[0], ids[0], ids[0]]})
    filled.record("predictions", rows)
    receipt = filled.erase("d", ids=[ids[0]])
    assert receipt["records"] == 2 and receipt["still_found_in"] == []
    assert filled.records("predictions")["train_on"].tolist() == ["e"]


SEEN = Plain(ErasureTarget(frozenset({"person-17"}), speakers=frozenset({"Ann Smith"})))


@pytest.mark.parametrize(
    ("table", "hit"),
    [
        (pa.table({"dataset": ["d"], "sample_id": pa.array(["person-17"]).dictionary_encode()}), True),
        (pa.table({"dataset": ["e"], "sample_id": ["person-17"]}), False),
        (pa.table({"dataset": ["e"], "train_on": ["d"], "sample_id": ["person-17"]}), True),
        (pa.table({"dataset": ["d"], "ids": pa.array([["x", "person-17"]])}), True),
        (pa.table({"dataset": ["d"], "text": ["person-17"]}), False),
        (pa.table({"protocol": [None], "add": [{"stats": '{"minValues":{"sample_id":"person-17"}}'}]}), True),
        (pa.table({"protocol": [None], "add": [{"stats": '{"numRecords":1}'}]}), False),
    ],
)
def test_people_are_found_in_tables_of_all_shapes(table, hit):
    assert _in_table(table, SEEN, "d") is hit


def test_people_are_found_in_statistics_and_in_folders_outside(tmp_path):
    stats = json.dumps({"add": {"path": "x", "stats": json.dumps({"maxValues": {"sample_id": "person-17"}})}})
    assert _in_log(f"{stats}\nno json", SEEN) and not _in_log('{"add": {"path": "person-17"}}', SEEN)
    (tmp_path / "notes.txt").write_text("as person-17 said")
    (tmp_path / "others.txt").write_text("nobody")
    found = search_folder(tmp_path, "d", SEEN)
    assert found.files == 2 and found.paths == [str(tmp_path / "notes.txt")]


def test_values_that_name_somebody_are_emptied_and_numbers_stay():
    record = {"speaker": "Ann Smith", "rows": [1, "fine", {"sample_id": "person-17"}], "note": "Ann Smith left"}
    assert scrubbed(record, SEEN) == {"speaker": "", "rows": [1, "fine"], "note": "(erased)"}
