"""A store holds wherever it is put: folders of any name, however the path is spelt."""

import os

import pandas as pd
import pytest
from lakes import contents_of, expected, read, refresh

from affectlake.data import Store
from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.store import _delta
from affectlake.data.store._table_store import TableStore

NAMES = [
    *(
        "My Corpus",
        "情感",
        "b[1]",
        "a%20b",
        "a%b",
        "a#b",
        "a?b",
        "c{d}",
        "e*",
        "g+h",
        "i&j",
        "k'l",
        'm"n',
        "o\np",
        "q.",
    ),
    *("q.", "back\\slash", "a|b", "^", " lead", "\x01", "💩", "s3:", "file:", "~", "x" * 200),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_any_name(tmp_path, name):
    store = Store(tmp_path / name / "lake", create=True)
    for values in ([1.0, 2.0], [1.0, 3.0]):
        store.put("d", "face", "x", pd.DataFrame({"v": values}, index=["a", "b"]))
    assert store.load("d")["face.x.v"].tolist() == [1, 3]
    assert store.load("d", as_of="s000001")["face.x.v"].tolist() == [1, 2]
    plain = pd.read_parquet(os.path.join(store.uri, "current", "d", "face.x"))
    assert sorted(plain["v"]) == [1, 3]
    done = store.tidy("d", keep=1)
    assert done["snapshots"] == 1 and done["files"] >= 3  # old values, and two tables about columns
    assert os.listdir(tmp_path) == [name]


def test_erasure_history_sql_and_exports_in_such_a_folder(tmp_path):
    store = Store(tmp_path / "b[1] %20\n" / "lake", create=True)
    contents = contents_of(30)
    refresh(store, contents)
    refresh(store, contents, "f2")
    out = store.export(tmp_path / "x [2] %41 情" / "out", "d", feast=True)
    assert store.erase("d", speaker="speaker-p3")["still_found_in"] == []
    others = {i: c for i, c in contents.items() if not i.startswith("p3")}
    assert read(store) == expected(others, "f2") and len(pd.read_parquet(out / "audio.x.parquet")) == len(others)
    store.rollback("d", "s000001")
    assert read(store) == expected(others) and len(store.sql("select * from d")) == len(others)
    assert store.explain("d", "p1-00001", "audio.x.a")["value"] == expected(others)["p1-00001"]


def test_however_a_path_is_spelt_it_is_the_same_store(tmp_path, monkeypatch):
    (tmp_path / "My [x]").mkdir()
    Store(tmp_path / "My [x]" / "lake", create=True).put("d", "face", "x", pd.DataFrame({"v": [1.0]}, index=["a"]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path / "My [x]")
    spelt = ["My [x]/lake", "./My [x]/../My [x]/lake/", "~/My [x]/lake", "link/lake", f"{tmp_path}//link/lake//"]
    uris = [
        f"file://{tmp_path}/My%20%5Bx%5D/lake",
        f"file:{tmp_path}/link/lake",
        f"FILE://localhost{tmp_path}/link/lake/",
    ]
    for i, uri in enumerate([*spelt, *uris]):
        store = Store(uri)
        assert store.load("d")["face.x.v"].item() == i + 1
        store.put("d", "face", "x", pd.DataFrame({"v": [i + 2.0]}, index=["a"]))
    assert sorted(os.listdir(tmp_path)) == ["My [x]", "link"]


@pytest.mark.parametrize("uri", ["", "a\0b", "\udcff", "s3://bucket/a%20b/lake"])
def test_what_names_no_folder_is_refused_in_one_line(uri):
    with pytest.raises(UsageError) as error:
        Store(uri, create=True)
    assert "\n" not in str(error.value)


def test_a_name_that_is_too_long_is_refused_in_one_line(tmp_path):
    with pytest.raises(AffectlakeError, match="File name too long"):
        Store(tmp_path / ("x" * 300), create=True).put("d", "face", "x", pd.DataFrame({"v": [1.0]}, index=["a"]))


class PanicException(BaseException):
    """What the native library's panics look like: no `Exception`, and nothing to import."""


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (PanicException("called `Result::unwrap()` on\nan `Err`"), "called `Result::unwrap()` on an `Err`"),
        (OSError(28, "No space left on device"), "no space left"),
        (OSError(27, "Error writing bytes to file"), "file too large"),
        (OSError(5, "Error writing bytes to file"), "input/output error"),
        (_delta.DeltaError("Generic LocalFileSystem error: Permission denied (os error 13)"), "permission denied"),
    ],
)
def test_what_the_native_library_raises_becomes_one_line(tmp_path, monkeypatch, raised, said):
    store = Store(tmp_path / "lake", create=True)
    contents = contents_of(10)
    refresh(store, contents)

    def fail(*_):
        raise raised

    with monkeypatch.context() as patch:
        patch.setattr(TableStore, "_commit", fail)
        with pytest.raises(AffectlakeError) as error:
            refresh(store, contents, "f2")
    assert said in str(error.value) and "\n" not in str(error.value) and str(tmp_path) in str(error.value)
    refresh(store, contents, "f2")
    assert read(store) == expected(contents, "f2")


def test_rows_with_other_columns_are_appended(tmp_path):
    store = Store(tmp_path / "lake", create=True)
    store.record("benchmarks", pd.DataFrame({"a": [1], "b": [None]}))
    store.record("benchmarks", pd.DataFrame({"a": [2], "b": ["x"], "c": [0.5]}))
    store.record("benchmarks", pd.DataFrame({"c": [None], "a": [3]}))
    found = store.records("benchmarks").sort_values("a", ignore_index=True)
    assert found["b"].tolist()[1] == "x" and found["c"].isna().tolist() == [True, False, True]
    assert found["c"].dtype == float
