"""Names and types: columns may be called anything, what cannot be kept is named first."""

import logging
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from here import here
from lakes import contents_of, expected, read, refresh, results, samples

from affectlake.data import Store
from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.samples import samples_frame
from affectlake.data.store import FeatureSpec, kept
from affectlake.data.store._spelling import kept_label, spoken


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "lake", create=True)


OURS = ["shard", "SHARD", "content", "reason", "_position", "a.b"]


@pytest.mark.parametrize("name", [*OURS, "Sample_ID", "_affectlake_shard"])
def test_a_feature_may_be_called_anything(store, name):
    frame = pd.DataFrame({name: [1.0, 2.0], "w": [3.0, 4.0]}, index=["call-1", "call-2"])
    store.put("d", "face", "x", frame)
    store.put("d", "face", "x", frame.assign(**{name: [9.0, 2.0]}))
    column = f"face.x.{name}"
    assert store.load("d")[column].tolist() == [9, 2] and store.load("d", column).shape == (2, 2)
    assert store.load("d", as_of="s000001")[column].tolist() == [1, 2]
    assert store.columns("face.x")[["column", "max"]].to_numpy().tolist() == [[name, 9], ["w", 4]]
    assert store.explain("d", "call-1", column)["value"] == 9
    assert sorted(store.sql("select * from d")[column]) == [2, 9]
    out = store.export(store.uri + "-out", "d")
    if name.lower() != "sample_id":  # the key of plain files
        for plain in (f"{store.uri}/current/d/face.x", out / "face.x.parquet"):
            assert sorted(pd.read_parquet(plain)[name]) == [2, 9]
        assert sorted(store.sql('select * from "d.face.x"')[name]) == [2, 9]
    assert store.erase("d", ids=["call-1"])["still_found_in"] == []
    assert store.columns("face.x")["max"].tolist() == [2, 4] and store.load("d")[column].tolist() == [2]


@pytest.mark.parametrize("name", [*OURS, "", 'a"b', "a\nb", "a\0b", "[x]", "_affectlake_"])
def test_a_label_may_be_called_anything(store, name):
    frame = samples_frame(pd.DataFrame({"sample_id": ["call-1", "call-2"], name: ["p", "q"]}), "d", readable=False)
    values = pd.DataFrame({"v": [1.0, 2.0]}, index=["call-1", "call-2"])
    for i in range(2):
        store.put("d", "face", "x", values + i, samples=frame)
    assert store.samples("d")[name].tolist() == store.load("d", label=name)[name].tolist() == ["p", "q"]
    assert len(store.sql("select * from d")) == 2
    if name and name.lower() != "sample_id" and "\0" not in name:
        assert store.sql("select * from d")[name].tolist() == ["p", "q"]
        assert pd.read_parquet(f"{store.uri}/current/d/samples")[name].tolist() == ["p", "q"]
    assert store.erase("d", ids=["call-1"])["still_found_in"] == [] and store.samples("d")[name].tolist() == ["q"]


@pytest.mark.parametrize("name", ["f0_mean", "shard", "Shard", "", "_affectlake_%41", "a b/%", "\0", "sample_id"])
def test_spelling_comes_back(name):
    assert spoken(kept(name)) == spoken(kept_label(name)) == name


def test_a_plug_in_s_columns_may_be_called_like_ours(tmp_path, evil):
    from affectlake.features import registry
    from affectlake.features.protocol import Column
    from affectlake.flows.options import RefreshOptions
    from affectlake.flows.refresh import refresh

    extractor = registry.get(evil)
    manifest = tmp_path / "m.csv"
    manifest.write_text("sample_id,text\na,fine\nb,fine too\n")
    options = RefreshOptions("d", manifest=str(manifest), store=str(tmp_path / "lake"), only=(evil,))
    columns, extract = extractor.columns, extractor.extract
    names = ["shard", "sample_id", "content", "outcome", "reason"]
    try:
        extractor.columns = [Column(n) for n in names]
        extractor.extract = lambda batch: [np.arange(5, dtype=np.float32) for _ in batch]
        for _ in range(2):
            refresh(options, here)
        assert (
            Store(tmp_path / "lake").load("d")[[f"{evil}.{n}" for n in names]].to_numpy().tolist()
            == [[0, 1, 2, 3, 4]] * 2
        )
        extractor.columns = [Column("a"), Column("A")]
        with pytest.raises(AffectlakeError, match="has the column 'A' twice"):
            registry._plugged(SimpleNamespace(value="evil", load=lambda: extractor))
    finally:
        extractor.columns, extractor.extract = columns, extract


def test_a_plug_in_whose_code_changed_without_its_version_is_said_once(store, caplog):
    rows = pd.DataFrame({"sample_id": ["a-1"], "content": ["x"], "uri": ["file"]})

    def publish(fingerprint, source):
        with store.writer("d") as w:
            w.keep("audio.x", fingerprint, results(["x"], fingerprint))
            columns = [{"name": "a"}, {"name": "b"}]
            w.publish(
                samples(["a-1"]),
                {"audio.x": FeatureSpec(fingerprint, columns, "1", {}, rows, source=source)},
                None,
                "t",
            )

    for fingerprint, source, said in [("f", "1", 0), ("f", "1", 0), ("f", "2", 1), ("f", "2", 0), ("g", "3", 0)]:
        caplog.clear()
        publish(fingerprint, source)
        assert caplog.text.count("the code of audio.x changed, its version (1) did not") == said


def test_the_code_of_a_plug_in(tmp_path, evil, monkeypatch):
    from affectlake.features import registry

    assert registry.source(registry.get("text.style")) == ""
    before = registry.source(registry.get(evil))
    assert len(before) == 64 == len(registry.source(registry.get(evil)))
    module = tmp_path / "changed.py"
    module.write_text("# another")
    import sys

    monkeypatch.setattr(sys.modules[type(registry.get(evil)).__module__], "__file__", str(module))
    assert registry.source(registry.get(evil)) != before


def test_datasets_that_case_alone_tells_apart(store, monkeypatch):
    from affectlake.data.store._snapshots import Log

    one = pd.DataFrame({"v": [1.0]}, index=["a"])
    store.put("Calls", "face", "x", one)
    with pytest.raises(UsageError, match="'calls' would differ from 'Calls' in case alone"):
        store.put("calls", "face", "x", one)
    with monkeypatch.context() as earlier:
        earlier.setattr(Log, "distinct", lambda *_: None)
        store.put("calls", "face", "x", one + 1)
    # A store of an earlier version that has two goes on working.
    store.put("calls", "face", "x", one + 2)
    assert store.load("calls")["face.x.v"].item() == 3 and store.load("Calls")["face.x.v"].item() == 1
    assert store.sql("select 1 as x")["x"].item() == 1
    store.put("snapshots", "face", "x", one)  # as a view of ours is called
    assert store.sql("select * from snapshots")["face.x.v"].item() == 1


@pytest.mark.parametrize("name", ["..", ".locks", "a/b", "", "a b", "-x", "x" * 201, "a\n", "é"])
def test_what_cannot_name_a_dataset(store, name):
    with pytest.raises(UsageError, match="cannot name a dataset"):
        store.put(name, "face", "x", pd.DataFrame({"v": [1.0]}, index=["a"]))


@pytest.mark.parametrize("name", ["a", "current", "con", "samples", "x" * 200, "0"])
def test_what_can(store, name):
    store.put(name, "face", "x", pd.DataFrame({"v": [1.0]}, index=["a"]))
    assert store.load(name)["face.x.v"].item() == 1 == len(store.sql(f'select * from "{name}"'))
    assert store.tidy(name, keep=1)["snapshots"] == 0


def test_names_of_features_that_are_too_long(store):
    with pytest.raises(UsageError, match="longer than 200"):
        store.put("d", "face", "x" * 200, pd.DataFrame({"v": [1.0]}, index=["a"]))


TYPES = {
    "durations": (pa.array([1, 2], pa.duration("us")), "timedelta"),
    "beyond 63 bits": (pa.array([2**64 - 1, 1], pa.uint64()), "uint64"),
    "nanoseconds": (pa.array([1_700_000_000_123_456_789] * 2, pa.timestamp("ns")), "datetime64"),
    "times of day": (pa.array([1, 2], pa.time64("us")), ""),
}


@pytest.mark.parametrize("kind", TYPES)
def test_what_cannot_be_kept_is_named_before_anything_is_written(store, tmp_path, kind):
    column, said = TYPES[kind]
    frame = pd.DataFrame({"sample_id": ["a", "b"], "text": ["x", "y"]})
    frame["emotion"] = pa.table({"x": column}).to_pandas()["x"]
    frame = frame.astype({"sample_id": "str"})
    with store.writer("d") as w, pytest.raises(UsageError, match=f"'emotion' .*{said}") as error:
        w.check(frame)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([True, None]),
        pa.array([1, None], pa.int64()),
        pa.array([5, 2**63 - 1], pa.uint64()),
        pa.array([1_700_000_000_123_456_000] * 2, pa.timestamp("ns", "UTC")),
        pa.array([19_000, None], pa.date32()),
        pa.array(["x", "y"]).dictionary_encode(),
        pa.array([1.5, None], pa.float16()),
    ],
    ids=lambda c: str(c.type),
)
def test_what_can_be_kept_comes_back(store, column):
    frame = samples_frame(pd.DataFrame({"sample_id": ["a", "b"], "x": column.to_pandas()}), "d", readable=False)
    store.put("d", "face", "x", pd.DataFrame({"v": [1.0, 2.0]}, index=["a", "b"]), samples=frame)
    for value, wanted in zip(store.samples("d")["x"], frame["x"], strict=True):
        assert (pd.isna(value) and pd.isna(wanted)) or value == wanted


def test_a_store_whose_labels_were_partitioned_by_shard(store):
    """An earlier version took a label of this name for a partition of ours."""
    contents = contents_of(4)
    done, _ = refresh(store, contents)
    entry = done.tables["samples"]
    old = store._tables.load_version(entry).to_pyarrow_table()
    with_shard = old.append_column("shard", pa.array([0, 1, 0, 1], pa.int32()))
    path = f"{entry.path}-old"
    version = store._tables.replace(path, with_shard, None)
    assert store._tables.open(path, version).metadata().partition_columns == ["shard"]
    from affectlake.data.store._snapshot import TableRef
    from affectlake.data.store._snapshots import edit

    def older(rows):
        rows[0].tables["samples"] = TableRef(path, version)
        return rows

    edit(store._tables, older)
    assert sorted(store.samples("d")["shard"]) == [0, 0, 1, 1]
    with store.writer("d") as w:
        frame = store.samples("d").assign(shard=["p", "q", "r", "s"])
        w.publish(frame, {}, None, "test")
    assert store.samples("d")["shard"].tolist() == ["p", "q", "r", "s"] and read(store) == expected(contents)


# put


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pd.to_datetime(["2026-01-01", None]), "times, such as '2026-01-01"),
        (pd.to_datetime(["2026-01-01", None]).tz_localize("UTC"), "times"),
        (pd.to_timedelta([1, 2], "s"), "durations"),
        ([1 + 2j, 2], "complex"),
        (["1.5", "x"], "text, such as '1.5'"),
        ([1.0, "x"], "is not numeric"),
        ([[1.0], [2.0]], "is not numeric"),
        (pd.Categorical(["x", "y"]), "text"),
        (pd.period_range("2026-01", periods=2, freq="M"), "period"),
        ([b"x", b"y"], "bytes"),
        ([np.inf, 1.0], "infinite"),
        ([1e39, 1.0], "beyond what float32 holds"),
        ([np.nan, np.nan], "no row has any value"),
    ],
)
def test_put_takes_numbers_only(store, values, said):
    with pytest.raises(UsageError) as error:
        store.put("d", "face", "x", pd.DataFrame({"v": values}, index=["a", "b"]))
    assert said in str(error.value) and "face.x" in str(error.value) and "\n" not in str(error.value)
    assert store.status()["datasets"] == []


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([True, False], [1, 0]),
        (pd.array([True, None], "boolean"), [1, np.nan]),
        (pd.array([7, None], "Int64"), [7, np.nan]),
        (np.array([7, 2**64 - 1], np.uint64), [7, np.float32(2**64 - 1)]),
        (pd.Series([1.5, None], dtype="double[pyarrow]").array, [1.5, np.nan]),
        (pd.array([1.5, None], dtype="object"), [1.5, np.nan]),
        (pd.Categorical([3, 1]), [3, 1]),
        (np.array([1, 2], "int8"), [1, 2]),
    ],
)
def test_numbers_of_any_kind(store, values, wanted):
    store.put("d", "face", "x", pd.DataFrame({"v": values, "w": [0.0, 0.0]}, index=["a", "b"]))
    np.testing.assert_array_equal(store.load("d")["face.x.v"], np.array(wanted, np.float32))


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (["a", "a"], "'a' occurs more than once"),
        ([1, "1"], "'1' occurs more than once"),
        (["a", None], "row 2 has no sample_id"),
        ([" ", "a"], "row 1 has no sample_id"),
        ([1.0, np.nan], "row 2 has no sample_id"),
        (pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", "y"]), r"levels \(x, y\), not of ids"),
    ],
)
def test_ids_that_are_none(store, index, said):
    with pytest.raises(UsageError, match=said):
        store.put("d", "face", "x", pd.DataFrame({"v": [1.0, 2.0]}, index=index))


def test_whole_numbers_as_ids_are_text(store):
    store.put("d", "face", "x", pd.DataFrame({"sample_id": [7.0, 8.0], "v": [1.0, 2.0]}))
    assert store.samples("d")["sample_id"].tolist() == ["7", "8"]


def test_what_is_lost_is_said(store, caplog):
    frame = pd.DataFrame({"n": [2**24 + 1, 3], "v": [np.nan, np.nan]}, index=["a", "b"])
    store.put("d", "face", "x", frame)
    assert "column 'n': 1 whole numbers are rounded" in caplog.text
    assert "column 'v' has no value in any row" in caplog.text


def test_a_dataset_that_lives_by_put_gains_samples_and_corrected_labels(store, caplog):
    def put(ids, name="x", **labels):
        frame = pd.DataFrame({"sample_id": ids, **labels}) if labels else None
        return store.put("d", "face", name, pd.DataFrame({"v": np.arange(len(ids)) * 1.0}, index=ids), samples=frame)

    put(["a", "b"])
    with caplog.at_level(logging.WARNING):
        put(["a", "b", "c"])
    assert "d gains 1 samples, the first being 'c'" in caplog.text
    put(["c", "d"], "y", emotion=["sad", "glad"], speaker=["p", "q"])
    put(["a", "d"], "y", emotion=["calm", "angry"])
    found = store.samples("d").set_index("sample_id")
    assert found.index.tolist() == ["a", "b", "c", "d"]
    assert found["emotion"].fillna("-").tolist() == ["calm", "-", "sad", "angry"]
    assert found["speaker"].fillna("-").tolist() == ["-", "-", "p", "q"]  # what is not given stays
    assert store.load("d")["face.x.v"].fillna(-1).tolist() == [0, 1, 2, -1]
    with pytest.raises(UsageError, match="'emotion' .*cannot be kept"):
        put(["a"], "y", emotion=[pd.Timedelta(1, "s")])


def test_samples_that_a_refresh_reads_from_files_are_not_overruled(store):
    contents = contents_of(3)
    refresh(store, contents)
    frame = store.samples("d")
    with store.writer("d") as w:
        stats = pd.DataFrame({"uri": ["u"], "size": [1], "mtime_ns": [1], "sha256": ["x"]})
        w.publish(frame, {}, stats, "refresh")
    values = pd.DataFrame({"v": [1.0, 2.0, 3.0]}, index=list(contents))
    store.put("d", "text", "y", values, samples=frame)
    with pytest.raises(UsageError, match="d is refreshed from files"):
        store.put("d", "text", "y", values, samples=frame.assign(speaker="me"))
    with pytest.raises(UsageError, match="are no samples of d"):
        store.put("d", "text", "y", values.rename({"p0-00000": "nobody"}))


# The gate


def test_a_label_that_vanished_upstream_is_news(store):
    ids = [f"s-{i}" for i in range(20)]

    def publish(**labels):
        with store.writer("d") as w:
            return w.publish(samples(ids, **labels), {}, None, "test").problems

    assert publish(emotion="x", age=3.0) == publish(emotion="y", age=4.0) == []
    assert publish(affect="x", age=3.0) == ["samples: column 'emotion' is gone; new: 'affect'"]
    assert publish(affect="x", age=3.0) == []
    assert publish(affect="x", age=np.nan) == ["samples: column 'age' has no value any more"]
    assert publish(affect=[None] * 5 + ["x"] * 15, age=np.nan) == [
        "samples: values of 'affect' fell from 100.0% to 75.0% of the samples"
    ]


def test_plain_files_hold_no_more_than_they_should(store):
    frame = samples_frame(pd.DataFrame({"sample_id": ["a"], "_shard": ["mine"]}), "d", readable=False)
    store.put("d", "face", "x", pd.DataFrame({"v": [1.0]}, index=["a"]), samples=frame)
    table = pq.read_table(f"{store.uri}/current/d/samples")
    assert "_position" not in table.column_names and table["_shard"].to_pylist() == ["mine"]
