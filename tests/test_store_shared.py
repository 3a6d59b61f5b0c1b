"""Copies of stores, other users, and several processes at once."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from lakes import contents_of, expected, read, refresh

from affectlake.data import Store
from affectlake.data.errors import UnknownName, UsageError
from affectlake.data.store import _lock, _view


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "lake", create=True)


def plain(store, table="audio.x", dataset="d"):
    frame = pd.read_parquet(Path(store.uri, "current", dataset, table)).set_index("sample_id")
    return frame["a"].to_dict() if "a" in frame else frame["v"].to_dict()


# Copies


def copied_folders(store, to):
    shutil.copytree(store.uri, to)


def copied_by_zip(store, to):
    archive = shutil.make_archive(f"{to}-archive", "zip", store.uri)
    shutil.unpack_archive(archive, to)


def copied_without_links(store, to):
    shutil.copytree(store.uri, to, symlinks=True)
    os.remove(to / "current")


def copied_bare(store, to):
    """No hidden folders: neither views nor locks."""
    shutil.copytree(store.uri, to, ignore=shutil.ignore_patterns(".*"))


@pytest.mark.parametrize("copy", [copied_folders, copied_by_zip, copied_without_links, copied_bare])
def test_a_copy_is_a_store(store, tmp_path, copy):
    contents = contents_of(20)
    refresh(store, contents)
    copy(store, tmp_path / "copy")
    other = Store(tmp_path / "copy")
    assert read(other) == expected(contents)
    changed = dict(contents, **{"p1-00001": "other"})
    refresh(other, changed)
    assert plain(other) == expected(changed) and os.path.islink(f"{other.uri}/current")
    others = {i: c for i, c in changed.items() if not i.startswith("p3")}
    receipt = other.erase("d", speaker="speaker-p3")
    assert receipt["still_found_in"] == [] and plain(other) == expected(others)
    assert other.tidy("d", keep=1)["snapshots"] == 1 and read(other) == expected(others)
    assert read(store) == expected(contents) and plain(store) == expected(contents)


@pytest.mark.parametrize("lacking", [{"link"}, {"symlink"}, {"link", "symlink"}])
def test_a_file_system_without_links(store, monkeypatch, lacking):
    """As with FAT, some shares, and a colleague's files where the system protects hard links."""
    log = os.link

    def refused(source, target, **_):
        if "_delta_log" in str(target):
            return log(source, target)
        raise PermissionError(1, "Operation not permitted")

    for name in lacking:
        monkeypatch.setattr(os, name, refused)
    contents = contents_of(20)
    refresh(store, contents)
    changed = dict(contents, **{"p1-00001": "other"})
    refresh(store, changed)
    assert plain(store) == expected(changed)
    assert os.path.islink(f"{store.uri}/current") == ("symlink" not in lacking)
    store.put("e", "audio", "x", pd.DataFrame({"v": [1.0]}, index=["s"]))
    assert plain(store, dataset="e") == {"s": 1} and plain(store) == expected(changed)
    others = {i: c for i, c in changed.items() if not i.startswith("p3")}
    assert store.erase("d", speaker="speaker-p3")["still_found_in"] == [] and plain(store) == expected(others)
    assert store.tidy("d", keep=1)["snapshots"] == 1 and plain(store) == expected(others)


def test_a_view_that_cannot_be_made_is_said_and_made_by_the_next(store, monkeypatch, caplog):
    contents = contents_of(10)
    refresh(store, contents)

    def full(*_):
        raise OSError(28, "No space left on device")

    changed = dict(contents, **{"p1-00001": "other"})
    with monkeypatch.context() as patch:
        patch.setattr(_view, "_build", full)
        refresh(store, changed)
    assert "current is not up to date" in caplog.text and read(store) == expected(changed)
    assert plain(store) == expected(contents)
    refresh(store, changed)
    assert plain(store) == expected(changed)


# Other users

USER, COLLEAGUE, GROUP = 2001, 2002, 2000


@pytest.fixture
def shared():
    """A folder that two users of one group may write; pytest's own are closed to others."""
    if os.getuid() != 0:
        pytest.skip("needs the right to become another user")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chown(folder, USER, GROUP)
        folder.chmod(0o2770)
        yield folder


AS = """
import os, sys
sys.path.insert(0, {helpers!r})
import numpy as np, pandas as pd
from affectlake.data import Store
from affectlake.data.store import _beyond
from lakes import contents_of, expected, read, refresh
_beyond.keepers()  # others may not be able to read where they are imported from
os.setgroups([]); os.setgid({group}); os.setuid({user}); os.umask({umask})
try:
    store = Store({uri!r}, create=True)
{code}
except Exception as error:
    print(type(error).__name__, error)
"""


def run(folder, user, code, umask=0o002, group=GROUP):
    """What code prints that another user runs, in a process of its own."""
    code = AS.format(
        helpers=str(Path(__file__).parent / "helpers"),
        uri=f"{folder}/lake",
        code=textwrap.indent(textwrap.dedent(code), "    "),
        user=user,
        group=group,
        umask=umask,
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip("other users cannot read the environment that this runs in")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_colleague_of_the_group_refreshes_and_erases(shared):
    run(shared, USER, "refresh(store, contents_of(30)); store.record('sources', pd.DataFrame({'a': [1]}))")
    (shared / "lake" / ".locks" / "d").chmod(0o644)  # as by a tool that knows no umask
    said = run(
        shared,
        COLLEAGUE,
        """
        refresh(store, contents_of(30), "f2"); store.erase("d", speaker="speaker-p3"); store.tidy("d", keep=1)
        print(len(read(store)), store.record("sources", pd.DataFrame({"a": [2]})))
        """,
    )
    assert said == "26 True"
    store = Store(shared / "lake")
    others = {i: c for i, c in contents_of(30).items() if not i.startswith("p3")}
    assert read(store) == expected(others, "f2") == plain(store)
    assert run(shared, USER, "refresh(store, contents_of(3)); print(len(read(store)))") == "3"


@pytest.mark.parametrize(
    "code", ["store.writer('d').__enter__()", "store.erase('d', speaker='speaker-p3')", "store.tidy('d')"]
)
def test_who_may_only_read_is_refused_at_once(shared, code):
    run(shared, USER, "refresh(store, contents_of(30))", umask=0o022)
    said = run(shared, COLLEAGUE, f"print(len(read(store)), len(store.samples('d')))\n{code}")
    assert said.startswith("30 30\nNotWritable the store at") and "cannot be written" in said


def test_one_folder_that_cannot_be_written_is_found_before_anything_is_computed(shared):
    run(shared, USER, "refresh(store, contents_of(30))")
    (shared / "lake/features/d/audio.x/shard=0").chmod(0o755)
    said = run(shared, COLLEAGUE, "store.writer('d').__enter__()")
    assert said.startswith("NotWritable") and said.endswith("features/d/audio.x/shard=0")


def test_who_may_only_read_gets_results_and_exports(shared):
    run(shared, USER, "refresh(store, contents_of(30))", umask=0o022)
    own = shared / "own"
    own.mkdir()
    os.chown(own, COLLEAGUE, GROUP)
    said = run(
        shared,
        COLLEAGUE,
        f"""
        import logging; logging.basicConfig(format="%(message)s", stream=sys.stdout)
        print(store.record("benchmarks", pd.DataFrame({{"a": [1]}})))
        print(len(pd.read_parquet(store.export({str(own / "out")!r}, "d") / "samples.parquet")))
        """,
    )
    assert "permission denied: not recorded\nFalse" in said and said.endswith("\n30")
    assert "no erasure will reach the export" in said


@pytest.mark.parametrize(
    ("umask", "folder", "file"), [(0o022, 0o750, 0o644), (0o002, 0o770, 0o664), (0o077, 0o700, 0o600)]
)
def test_nobody_outside_the_group_gets_in_and_the_umask_holds(tmp_path, umask, folder, file):
    before = os.umask(umask)
    try:
        store = Store(tmp_path / "new" / "lake", create=True)
        refresh(store, contents_of(10))
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(store.uri).st_mode) == folder
    modes = {stat.S_IMODE(p.stat().st_mode) for p in Path(store.uri).rglob("*") if p.is_file()}
    assert modes == {file}


# Two at once


def test_the_view_never_goes_back(store, monkeypatch):
    """A writer that was held up between its commit and the view finds that others came further, and leaves it."""
    refresh(store, {"a-1": "x"})
    waits, goes = threading.Event(), threading.Event()
    real = _lock.held

    def slow(place, name, seconds):
        if threading.current_thread().name == "slow":
            waits.set()
            goes.wait(30)
        return real(place, name, seconds)

    with store.writer("e") as writer:
        pass  # its folders are there
    assert writer
    thread = threading.Thread(target=lambda: refresh(Store(store.uri), {"b-1": "y"}, dataset="e"), name="slow")
    monkeypatch.setattr(_lock, "held", slow)
    thread.start()
    assert waits.wait(30)
    refresh(store, {"a-1": "z"})
    goes.set()
    thread.join()
    assert plain(store) == expected({"a-1": "z"}) and plain(store, dataset="e") == expected({"b-1": "y"})


def test_three_writers_of_three_datasets_never_fail(store):
    def write(dataset):
        mine = Store(store.uri, create=True)
        for i in range(6):
            refresh(mine, {f"a-{j}": f"c{i}" for j in range(5)}, dataset=dataset)
            mine.record("sources", pd.DataFrame({"dataset": [dataset], "i": [i]}))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, "def"))
    assert store.snapshots()["snapshot"].tolist() == [f"s{i:06d}" for i in range(1, 19)]
    assert len(store.records("sources")) == 18
    for dataset in "def":
        assert (
            read(store, dataset=dataset)
            == expected({f"a-{j}": "c5" for j in range(5)})
            == plain(store, dataset=dataset)
        )
    assert len(os.listdir(f"{store.uri}/.views")) <= 2


def test_two_first_writers(tmp_path):
    """Neither folder nor log is there yet."""
    code = """
import sys; sys.path.insert(0, {helpers!r})
from affectlake.data import Store
from lakes import refresh
sys.stdin.readline()
refresh(Store({uri!r}, create=True), {{"a-1": "x"}}, dataset={dataset!r})
"""
    helpers, uri = str(Path(__file__).parent / "helpers"), str(tmp_path / "new" / "lake")
    made = [
        subprocess.Popen(
            [sys.executable, "-c", code.format(helpers=helpers, uri=uri, dataset=d)],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for d in "ddef"
    ]  # fmt: skip
    for process in made:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [p.communicate()[1] for p in made]
    assert [p.returncode for p in made] == [0] * 4, said
    store = Store(uri)
    assert len(store.snapshots()) == 4 and all(read(store, dataset=d) == expected({"a-1": "x"}) for d in "def")


def test_a_time_whose_snapshot_was_tidied_away_is_an_error(store):
    moments = []
    for i in range(4):
        refresh(store, {"a-1": f"c{i}"})
        refresh(store, {"b-1": f"c{i}"}, dataset="e")
        moments.append(pd.Timestamp.now("UTC"))
        if i == 0:
            store.tag("paper")  # of the dataset that was written last
    store.tag("mine", "s000001")
    store.tidy("d", keep=1)
    assert read(store, moments[3]) == expected({"a-1": "c3"})
    assert read(store, moments[0]) == read(store, "mine") == expected({"a-1": "c0"})
    for when in (moments[1], moments[2].isoformat(), "s000005"):
        with pytest.raises(UsageError, match=r"\(s00000[35] of .*tidied away; the next that is left is s000007"):
            read(store, when)
    # The other dataset is as it was, also as of then.
    assert read(store, moments[1], dataset="e") == expected({"b-1": "c1"})
    assert set(store.catalog(as_of=moments[1])["dataset"]) == {"e"}
    with pytest.raises(UsageError):
        store.sql("select * from d", as_of=moments[1])
    # Neither ids nor times are given twice, and nothing is forgotten twice.
    done, _ = refresh(store, {"a-1": "c9"})
    assert done.id == "s000009"
    with pytest.raises(UsageError, match="tidied away"):
        store.tag("late", "s000003")
    with pytest.raises(UnknownName, match="unknown snapshot"):
        read(store, "s000099")
    with pytest.raises(UsageError, match="tidied away"):
        store.rollback("d", "s000005")
