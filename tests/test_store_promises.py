"""The store's promises, each with a test that tries to break it."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lakes import COLUMNS, contents_of, expected, put_at_once, read, refresh, samples

from affectlake.data import Store
from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.data.store import Counts, FeatureSpec
from affectlake.data.store._shards import SHARD, assign_shards


@pytest.fixture
def store(tmp_path):
    """Below a folder whose name is a trial to whoever takes paths for URLs, patterns or lines."""
    return Store(tmp_path / "情感 é [1] a%20b #?{*}+&'\"|^\\\n." / "lake", create=True)


def test_what_was_put_in_comes_out(store):
    contents = contents_of(50)
    done, todo = refresh(store, contents)
    assert len(todo) == 50 and done.counts["audio.x"].new == 50 and done.published
    assert read(store) == expected(contents)
    frame = store.load("d", label="text")
    assert list(frame.columns) == ["text", "speaker", "audio.x.a", "audio.x.b"]
    assert (
        frame.index.name == "sample_id" and (frame.dtypes.iloc[2:] == np.float32).all() and type(frame) is pd.DataFrame
    )


def test_a_second_refresh_computes_nothing_and_rewrites_nothing(store):
    contents = contents_of(20)
    first, _ = refresh(store, contents)
    second, todo = refresh(store, contents)
    assert not todo
    assert second.counts["audio.x"] == replace(first.counts["audio.x"], new=0, unchanged=20)
    assert second.tables["features.audio.x"].version == first.tables["features.audio.x"].version


def test_only_changed_content_is_computed_and_only_its_shard_rewritten(store):
    contents = contents_of(2 * SHARD + 10)
    first, _ = refresh(store, contents)
    files = set(store._tables.open("features/d/audio.x").file_uris())
    changed = dict(contents, **{"p0-00000": "other"})
    done, todo = refresh(store, changed)
    assert todo == ["other"] and done.counts["audio.x"].recomputed == 1
    after = set(store._tables.open("features/d/audio.x").file_uris())
    assert len(files - after) == 1 and len(after - files) == 1
    assert read(store) == expected(changed) and read(store, first.id) == expected(contents)


def test_equal_content_is_computed_once(store):
    contents = {f"s-{i}": "same" for i in range(30)}
    _, todo = refresh(store, contents)
    assert todo == ["same"] and read(store) == expected(contents)


def test_renamed_samples_cost_nothing(store):
    refresh(store, {"a-1": "x", "a-2": "y"})
    done, todo = refresh(store, {"b-1": "x", "b-2": "y"})
    assert not todo and done.counts["audio.x"] == Counts(new=2, removed=2)
    assert read(store) == expected({"b-1": "x", "b-2": "y"})


def test_another_fingerprint_recomputes_everything(store):
    contents = contents_of(10)
    old, _ = refresh(store, contents, "f1")
    new, todo = refresh(store, contents, "f2")
    assert len(todo) == 10 and new.counts["audio.x"].recomputed == 10
    assert read(store) == expected(contents, "f2") and read(store, old.id) == expected(contents, "f1")


def test_failures_are_remembered_with_reason_and_first_time(store):
    contents = contents_of(5)
    refresh(store, contents, bad={"c3"})
    first = store.failures("d")
    assert list(first.columns) == ["sample_id", "extractor", "outcome", "reason", "uri", "first_seen"]
    assert first["reason"].tolist() == ["cannot read c3"] and first["sample_id"].tolist() == ["p3-00003"]
    _, todo = refresh(store, contents, bad={"c3"})
    assert not todo and store.failures("d").equals(first)
    # mended bytes are another content: tried again by themselves
    mended = dict(contents, **{"p3-00003": "c3b"})
    done, todo = refresh(store, mended, bad={"c3"})
    assert todo == ["c3b"] and store.failures("d").empty and read(store) == expected(mended)


def test_samples_that_left_are_gone_but_readable_in_the_past(store):
    contents = contents_of(10)
    old, _ = refresh(store, contents)
    fewer = dict(list(contents.items())[3:])
    done, _ = refresh(store, fewer)
    assert done.counts["audio.x"].removed == 3
    assert read(store) == expected(fewer) and read(store, old.id) == expected(contents)


def test_all_samples_of_an_extractor_may_leave(store):
    contents = contents_of(10)
    refresh(store, contents)
    frame = samples(contents)
    with store.writer("d") as w:
        nothing = FeatureSpec(
            "f1", COLUMNS, "1", {}, pd.DataFrame({"sample_id": [], "content": [], "uri": []}, dtype="str")
        )
        w.publish(frame, {"audio.x": nothing}, None, "test")
    assert store.load("d")["audio.x.a"].isna().all() and len(store.samples("d")) == 10


def test_tables_that_are_not_refreshed_are_carried_along(store):
    contents = contents_of(10)
    refresh(store, contents)
    store.put("d", "text", "glove", pd.DataFrame({"g": np.arange(10.0)}, index=list(contents)))
    fewer = dict(list(contents.items())[:4])
    refresh(store, fewer)
    assert store.load("d", "text.glove")["text.glove.g"].tolist() == [0, 1, 2, 3]


def test_as_of_a_snapshot_a_tag_and_a_time(store):
    contents = contents_of(3)
    first, _ = refresh(store, contents)
    store.tag("paper")
    time.sleep(0.01)
    between = pd.Timestamp.now("UTC")
    refresh(store, contents, "f2")
    for as_of in (first.id, "paper", between, between.isoformat()):
        assert read(store, as_of) == expected(contents, "f1")
    with pytest.raises(UnknownName, match="did you mean 'paper'"):
        read(store, "papr")
    with pytest.raises(UsageError, match="no snapshot at 1999"):
        read(store, "1999-01-01")
    with pytest.raises(UsageError, match="cannot be a tag"):
        store.tag("s000001")


def test_a_dataset_reads_as_of_its_own_snapshot_when_others_came_later(store):
    refresh(store, {"a-1": "x"})
    refresh(store, {"b-1": "y"}, dataset="e")
    assert set(store.catalog()["dataset"]) == {"d", "e"}
    assert set(store.catalog(as_of="s000001")["dataset"]) == {"d"}
    assert read(store) == expected({"a-1": "x"})


def test_a_clock_that_jumps_back_keeps_the_order(store, monkeypatch):
    from affectlake.data.store import _snapshots

    refresh(store, {"a-1": "x"})

    class Earlier(_snapshots.datetime):
        @classmethod
        def now(cls, tz=None):
            return _snapshots.datetime(2001, 1, 1, tzinfo=tz)

    monkeypatch.setattr(_snapshots, "datetime", Earlier)
    refresh(store, {"a-1": "y"})
    assert store.snapshots()["time"].is_monotonic_increasing and read(store) == expected({"a-1": "y"})


def test_a_failed_gate_keeps_the_old_snapshot_and_shows_the_new(store):
    contents = contents_of(40)
    refresh(store, contents)
    changed = {i: f"{c}-a-much-longer-content-than-before" for i, c in contents.items()}
    held, _ = refresh(store, changed, gate="fail")
    assert not held.published and "mean moved" in " ".join(held.problems)
    assert read(store) == expected(contents)
    assert read(store, held.id) == expected(changed)
    again, todo = refresh(store, changed, gate="warn")
    assert not todo and again.published and read(store) == expected(changed)


def test_the_plain_view_is_the_newest_snapshot(store):
    contents = contents_of(SHARD + 5)
    refresh(store, contents)
    refresh(store, dict(contents, **{"p1-00001": "other"}))
    plain = pd.read_parquet(Path(store.uri) / "current" / "d" / "audio.x").set_index("sample_id")
    assert plain["a"].to_dict() == expected(dict(contents, **{"p1-00001": "other"}))
    shared = next((Path(store.uri) / "current" / "d" / "audio.x").glob("*.parquet"))
    assert os.stat(shared).st_nlink >= 2  # no second copy


def test_ids_come_back_exactly_as_asked(store):
    refresh(store, contents_of(10))
    ids = ["p3-00003", "p1-00001", "p3-00003", "p2-00009"]
    frame = store.load("d", ids=ids)
    assert frame.index.tolist() == ids
    assert frame["audio.x.a"].tolist() == [expected(contents_of(10))[i] for i in ids]
    with pytest.raises(UnknownName, match="did you mean 'p3-00003'"):
        store.load("d", ids=["p3-0003"], missing="error")
    assert store.load("d", ids=["p3-00003", "nobody"])["audio.x.a"].isna().tolist() == [False, True]
    assert store.load("d", ids=[]).empty
    assert store.load("d", ids="p3-00003").index.tolist() == ["p3-00003"]


@pytest.mark.parametrize("ids", [["nobody"], ["nobody", "p3-00003"], ["nobody", "nobody"]])
@pytest.mark.parametrize("to", ["pandas", "arrow"])
def test_unknown_ids_are_an_error_or_empty_rows_and_a_word(store, caplog, ids, to):
    refresh(store, contents_of(10))
    frame = store.load("d", "audio.x.a", ids=ids, to=to)
    assert len(frame) == len(ids) and np.isnan(np.asarray(frame["audio.x.a"])[0])
    assert f"of {len(ids)} ids are not among the samples, the first 'nobody'" in caplog.text
    for missing in ("drop", "error"):
        with pytest.raises(UnknownName, match="unknown sample 'nobody'"):
            store.load("d", "audio.x.a", ids=ids, missing=missing)


def test_missing_modalities(store):
    refresh(store, contents_of(6), bad={"c2"})
    assert store.load("d")["audio.x.a"].isna().sum() == 1
    assert len(store.load("d", missing="drop")) == 5
    with pytest.raises(AffectlakeError, match="p2-00002"):
        store.load("d", missing="error")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.load("dd"), "unknown dataset 'dd', did you mean 'd'"),
        (lambda s: s.load("d", "audio.y"), "did you mean 'audio.x'"),
        (lambda s: s.load("d", "audio.x.c"), "valid: audio.x.b, audio.x.a"),
        (lambda s: s.load("d", label="emotoin"), "unknown label"),
        (lambda s: s.load("d", speaker="speaker-p"), "did you mean 'speaker-p"),
        (lambda s: s.load("d", missing="dropp"), "did you mean 'drop'"),
        (lambda s: s.columns("audio.z"), "audio.x"),
        (lambda s: s.sql("select nothing from d"), "nothing"),
        (lambda s: s.put("d", "audio", "y", pd.DataFrame({"v": [1.0]}, index=["nobody"])), "no samples of d"),
        (lambda s: s.put("d", "audio", "y", pd.DataFrame({"v": ["x"]}, index=["p0-00000"])), "not numeric"),
        (lambda s: s.put("d", "audio", "y", pd.DataFrame({"v": [np.inf]}, index=["p0-00000"])), "infinite"),
        (lambda s: s.put("d", "audio", "y", pd.DataFrame({"v[0]": [1.0]}, index=["p0-00000"])), "cannot name"),
        (lambda s: s.put("d", "Audio", "y", pd.DataFrame({"v": [1.0]}, index=["p0-00000"])), "lower-case"),
        (lambda s: s.writer("../d"), "cannot name a dataset"),
    ],
)
def test_errors_name_the_bad_value_and_the_nearest(store, call, message):
    refresh(store, contents_of(10))
    with pytest.raises(UsageError) as error:
        call(store)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_there_is_no_store_where_there_is_none(tmp_path):
    with pytest.raises(AffectlakeError, match="no store at"):
        Store(tmp_path / "nowhere")


def test_sql_sees_one_view_per_table_and_a_joined_one(store):
    contents = contents_of(10)
    refresh(store, contents)
    joined = store.sql('select sample_id, "audio.x.a" a from d order by sample_id')
    assert dict(zip(joined["sample_id"], joined["a"], strict=True)) == expected(contents)
    assert store.sql('select count(*) n from "d.audio.x"')["n"].item() == 10
    assert store.sql("select count(*) n from snapshots")["n"].item() == 1


def test_other_libraries_read_the_tables(store, tmp_path):
    import duckdb
    import polars

    contents = contents_of(10)
    refresh(store, contents)
    files = store._tables.open("features/d/audio.x").file_uris()
    assert dict(polars.read_parquet(files, glob=False).select("sample_id", "a").iter_rows()) == expected(contents)
    links = [shutil.copy(file, tmp_path) for file in files]  # DuckDB takes every name for a pattern
    query = f"select sample_id, a from read_parquet({links!r}, hive_partitioning=false)"
    assert dict(duckdb.sql(query).fetchall()) == expected(contents)
    frame = store.load("d", to="polars")
    assert dict(frame.select("sample_id", "audio.x.a").iter_rows()) == expected(contents)


def test_export_is_plain_parquet(store, tmp_path):
    contents = contents_of(10)
    refresh(store, contents)
    out = store.export(tmp_path / "out", "d")
    assert pd.read_parquet(out / "audio.x.parquet").set_index("sample_id")["a"].to_dict() == expected(contents)
    assert pd.read_parquet(out / "samples.parquet")["sample_id"].tolist() == list(contents)
    store.export(tmp_path / "out", "d")  # an earlier export may be replaced
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="no earlier export"):
        store.export(tmp_path / "mine", "d")


def test_columns_are_documented_and_measured(store):
    contents = contents_of(10)
    refresh(store, contents, bad={"c1"})
    about = store.columns("audio.x").set_index("column")
    values = np.array(list(expected(contents, bad={"c1"}).values()))
    assert about.loc["a", ["unit", "description", "n"]].tolist() == ["Hz", "first", 9]
    found = about.loc["a", ["min", "mean", "max", "std"]].astype(float)
    np.testing.assert_allclose(found, [values.min(), values.mean(), values.max(), values.std()], rtol=1e-6)
    assert about.loc["a", "coverage"] == 0.9


@given(st.lists(st.integers(0, 60), unique=True, min_size=1, max_size=60), st.randoms())
@settings(max_examples=50)
def test_shards_stay_where_they_are(ids, random):
    names = pd.Series([f"i{i}" for i in ids])
    before = pd.Series(assign_shards(names, None), index=pd.Index(names))
    more = [*names, *(f"new{i}" for i in range(random.randint(0, 10)))]
    random.shuffle(more)
    after = pd.Series(assign_shards(pd.Series(more), before), index=pd.Index(more))
    assert (after[before.index] == before).all() and (after.groupby(after).size() <= SHARD).all()


step = st.tuples(
    st.dictionaries(st.sampled_from([f"p-{i}" for i in range(8)]), st.sampled_from("uvwxyz"), min_size=1),
    st.sampled_from(["f1", "f2"]),
    st.sets(st.sampled_from("uvwxyz"), max_size=2),
)


@given(st.lists(step, min_size=1, max_size=5))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_reads_back_at_every_point(tmp_path_factory, steps):
    """Whatever changes, is removed, fails or gets another fingerprint: each snapshot is exactly what it was."""
    store = Store(tmp_path_factory.mktemp("history") / "lake", create=True)
    failed: dict[str, set[str]] = {"f1": set(), "f2": set()}
    last, history = None, []
    for contents, fingerprint, bad in steps:
        # What failed once stays failed, what came out well stays well, as long as it is known.
        if last != fingerprint:
            failed[fingerprint] = set()
        _, todo = refresh(store, contents, fingerprint, bad=bad)
        failed[fingerprint] |= bad & set(todo)
        failed[fingerprint] &= set(contents.values())
        last = fingerprint
        history.append((store.snapshot("d").id, expected(contents, fingerprint, failed[fingerprint])))
    for name, wanted in history:
        assert read(store, name) == wanted


def test_two_refreshes_at_once_wait_for_each_other(store):
    contents = contents_of(30)
    with ThreadPoolExecutor(4) as pool:
        computed = sum(
            len(todo) for _, todo in pool.map(lambda _: refresh(Store(store.uri, create=True), contents), range(4))
        )
    assert computed == 30 and read(store) == expected(contents) and len(store.snapshots()) == 4


def test_writers_without_a_common_lock_lose_nothing(store, monkeypatch):
    """On an object store nothing locks: whoever comes second builds on the first."""
    import affectlake.data.store._writer as module

    monkeypatch.setattr(module._lock, "locked", lambda *_: open(os.devnull))
    monkeypatch.setattr(module._maintenance, "collect", lambda *_: None)  # only who holds the lock cleans up
    refresh(store, {"a-0": "start"})
    assert put_at_once(store, 6, 4) == list(range(6))
    assert store.snapshots()["snapshot"].is_unique


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from affectlake.data import Store
from lakes import refresh
store, round = Store({uri!r}), {round}
while True:
    refresh(store, {{f"p{{i % 7}}-{{i:05d}}": f"c{{i}}-{{round}}" for i in range(400)}})
    round += 1
"""


def test_killed_at_any_moment_readers_see_whole_snapshots(store):
    """SIGKILL into refreshes; every snapshot ever published holds values of one round only."""
    refresh(store, {f"p{i % 7}-{i:05d}": f"c{i}-0" for i in range(400)})
    rng = np.random.default_rng(0)
    for attempt in range(4):
        code = textwrap.dedent(KILLED).format(
            tests=os.path.join(os.path.dirname(__file__), "helpers"), uri=store.uri, round=1000 * (attempt + 1)
        )
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
        deadline = time.monotonic() + 1.2 + rng.uniform(0, 1.0)
        while time.monotonic() < deadline:
            whole(store)
        assert process.poll() is None, process.stderr.read().decode()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        whole(store)
        final, _ = refresh(store, {f"p{i % 7}-{i:05d}": f"c{i}-{attempt}" for i in range(400)})
        whole(store)
    for name in store.snapshots()["snapshot"]:
        whole(store, name)
    plain = pd.read_parquet(os.path.join(store.uri, "current", "d", "audio.x"))
    assert plain.set_index("sample_id")["a"].to_dict() == read(store)


def whole(store, as_of=None):
    snapshot = store.snapshot("d", as_of)
    contents = store.contents("d", snapshot)["audio.x"]
    assert len(contents) == 400 and contents.str.split("-").str[1].nunique() == 1
    assert read(store, snapshot) == expected(contents.to_dict())


def test_definitions_for_feast_name_every_column(store, tmp_path):
    import ast

    contents = contents_of(10)
    done, _ = refresh(store, contents)
    out = store.export(tmp_path / "out", "d", feast=True)
    tree = ast.parse((out / "features.py").read_text())
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    names = {k.value.value for c in calls if c.func.id == "Field" for k in c.keywords if k.arg == "name"}
    assert names == {"a", "b"} and "audio_x" in (out / "features.py").read_text()
    stamped = pd.read_parquet(out / "audio.x.parquet")
    assert (stamped["event_timestamp"] == store.snapshot("d").time).all()
    assert stamped.set_index("sample_id")["a"].to_dict() == expected(contents)


def test_more_samples_than_fit_into_one_batch(store):
    """Arrow hands over longer columns in pieces."""
    n = 140_000
    ids = [f"i{i}" for i in range(n)]
    values = pd.DataFrame({"v": np.arange(n, dtype=np.float32)}, index=ids)
    store.put("d", "audio", "x", values)
    assert np.array_equal(store.load("d")["audio.x.v"], values["v"])
    done = store.put("d", "audio", "x", values)
    assert done.counts["audio.x"].unchanged == n
    assert store.load("d", ids=["i139999", "i5"])["audio.x.v"].tolist() == [139_999, 5]


def mount(folder, *options):
    """A file system of its own at ``folder``; skips the test where that is not allowed."""
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", folder]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")


def test_a_read_only_store_reads_and_refuses_to_be_written(tmp_path):
    disk = tmp_path / "frozen"
    disk.mkdir()
    mount(disk)
    try:
        contents = contents_of(20)
        refresh(Store(disk / "lake", create=True), contents)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        store = Store(disk / "lake")
        assert read(store) == expected(contents) and len(store.sql("select * from d")) == 20
        with pytest.raises(AffectlakeError, match="cannot be written"):
            refresh(store, contents)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_leaves_the_last_snapshot(tmp_path):
    """A file system of 3 MB: the refresh that does not fit fails, and what there was stays readable."""
    disk = tmp_path / "small"
    disk.mkdir()
    mount(disk, "-o", "size=3m")
    try:
        store = Store(disk / "lake", create=True)
        contents = contents_of(50)
        refresh(store, contents)
        with pytest.raises(Exception, match="(?i)space"):
            for i in range(100):
                (disk / f"ballast{i}").write_bytes(b"x" * 100_000)
                refresh(store, {f"p-{j}": f"c{i}-{j}-" + "x" * 500 for j in range(300)})
        assert len(read(store)) in (50, 300)
        for ballast in disk.glob("ballast*"):
            ballast.unlink()
        refresh(store, contents)
        assert read(store) == expected(contents)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
