"""Erasing a person also from what nights, reports, models and Prefect tell of them."""

import json
import re
import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from affectlake.data.store._names import ErasureTarget
from affectlake.flows import erasure_prefect
from affectlake.flows.cli.app import run

PERSON, THEIRS = "anna-k", [f"call-{i:03d}" for i in range(1, 48, 4)]


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Two nights, a benchmark, a saved model, and a Prefect database that knows of them."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_API_DATABASE_CONNECTION_URL", raising=False)
    speakers = ["ben-l", PERSON, "cleo-m", "dora-n"]
    words = {"happy": "what a lovely day it is", "sad": "it rains and nobody is here"}
    rows = [
        {
            "sample_id": f"call-{i:03d}",
            "speaker": speakers[i % 4],
            "text": f"{words[label]}, {'so ' * (i % 5)}number {i}",
            "emotion": label,
        }
        for i in range(48)
        for label in [("happy", "sad")[(i // 4) % 2]]
    ]
    rows[5]["text"] = ""
    manifest = tmp_path / "m.csv"
    pd.DataFrame(rows).to_csv(manifest, index=False)
    config = tmp_path / "night.toml"
    config.write_text(
        f'store = "{tmp_path}/lake"\nreports = "{tmp_path}/reports"\nworkers = 1\n[[dataset]]\nname = "calls"\n'
        f'manifest = "{manifest}"\nonly = ["text.style"]\ngate = "warn"\n'
        '[dataset.benchmark]\nlabel = "emotion"\nmodels = ["logreg"]\nfusions = ["unimodal"]\nfolds = 2\n'
        "explain = false\n"
    )
    assert run(["nightly", str(config), "--once", "--no-prefect"]) == 0
    rows[1]["text"] = "something else altogether"
    rows.append({"sample_id": "call-049", "speaker": PERSON, "text": "new here", "emotion": "sad"})
    pd.DataFrame(rows).to_csv(manifest, index=False)
    assert run(["nightly", str(config), "--once", "--no-prefect"]) == 0
    store = str(tmp_path / "lake")
    command = ["bench", "calls", "--label", "emotion", "--models", "logreg", "--fusions", "unimodal", "--folds", "2"]
    command += ["--no-explain", "--no-prefect", "--workers", "1", "--store", store]
    assert run([*command, "--save", str(tmp_path / "best.model")]) == 0
    _prefect(tmp_path / "prefect" / "prefect.db")
    return tmp_path, manifest


def _prefect(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE artifact (id TEXT, key TEXT, data JSON, description TEXT)")
        db.execute("CREATE TABLE log (message TEXT)")
        db.execute("CREATE TABLE flow_run (parameters JSON, name TEXT)")
        table = json.dumps(json.dumps([{"sample_id": "call-001", "uar": 1}]))
        db.execute("INSERT INTO artifact VALUES ('1', 'a', ?, '')", (json.dumps("# night\n\n- 1 new: call-001"),))
        db.execute("INSERT INTO artifact VALUES ('2', 'b', ?, '')", (table,))
        db.execute("INSERT INTO artifact VALUES ('3', 'c', ?, '')", (json.dumps("# night\n\n- 1 new: call-002"),))
        db.executemany("INSERT INTO log VALUES (?)", [("calls: 1 new: call-001",), ("calls: done",)])
        parameters = {"options": {"speakers": [PERSON, "ben-l"], "dataset": "calls"}}
        db.execute("INSERT INTO flow_run VALUES (?, 'blue-cat')", (json.dumps(parameters),))
    db.close()


def everything(folder: Path):
    for path in (p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".csv", ".toml", ".model")):
        yield path, path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".parquet":
            yield path, json.dumps(pq.read_table(path).to_pylist(), default=str)


def test_nothing_that_we_wrote_names_them_afterwards(told, capsys):
    folder, manifest = told
    names = re.compile(rf"(?<![\w-])({'|'.join([*THEIRS, 'call-049', PERSON])})(?![\w-])")
    before = {p for p, text in everything(folder) if names.search(text)}
    assert {p.suffix for p in before} >= {".json", ".html", ".parquet", ".db"}
    capsys.readouterr()
    shutil.rmtree(
        folder / "lake" / "records" / "files"
    )  # stores of earlier versions did not note where nights are told
    args = ["erase", "calls", "--speaker", PERSON, "--yes", "--store", str(folder / "lake")]
    assert run(args) == 3
    receipt = json.loads(capsys.readouterr().out)
    (model,) = receipt["left"]
    assert (model["what"], model["where"], model["samples"]) == (
        "model",
        str(folder / "best.model"),
        12,
    )  # one says nothing
    assert receipt["still_found_in"] == [] and not names.search(json.dumps(receipt))
    for path, text in everything(folder):
        assert not names.search(text), path
    with sqlite3.connect(folder / "prefect" / "prefect.db") as db:
        assert [k for (k,) in db.execute("SELECT key FROM artifact")] == ["c"]
        assert [m for (m,) in db.execute("SELECT message FROM log")] == ["calls: done"]
        ((parameters,),) = db.execute("SELECT parameters FROM flow_run").fetchall()
        assert json.loads(parameters) == {"options": {"speakers": ["ben-l"], "dataset": "calls"}}
    db.close()
    page = (folder / "reports" / "index.html").read_text()
    assert "text.style" in page or "calls" in page

    # the receipt can be looked at again, and the next refresh leaves them out and says so
    (folder / "receipt.json").write_text(json.dumps(receipt))
    store = ["--store", str(folder / "lake")]
    check = ["erase", "--check", str(folder / "receipt.json"), *store]
    assert run(check) == 0

    # what came back since is found wherever it is
    page = folder / "reports" / "calls.html"
    page.write_text(told_before := page.read_text() + "<p>worst: call-001</p>")
    with sqlite3.connect(folder / "prefect" / "prefect.db") as db:
        db.execute("INSERT INTO log VALUES ('calls: 1 new: call-001')")
    db.close()
    capsys.readouterr()
    assert run(check) == 3
    found = json.loads(capsys.readouterr().out)["still_found_in"]
    assert sorted(Path(f).name for f in found) == ["calls.html", "prefect.db: log.message"]
    page.write_text(told_before.replace("call-001", "nobody"))
    with sqlite3.connect(folder / "prefect" / "prefect.db") as db:
        db.execute("DELETE FROM log")
    db.close()
    assert run(check) == 0
    refresh = [
        "refresh",
        "calls",
        "--manifest",
        str(manifest),
        "--only",
        "text.style",
        "--no-prefect",
        "--json",
        *store,
    ]
    capsys.readouterr()
    assert run([*refresh, "--workers", "1"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["erased"] == 13 and json.loads(said.out)["samples"] == 36
    assert "13 samples were erased" in said.err
    assert run(["erase", "calls", "--forget-erasure", *store]) == 0
    assert run([*refresh, "--workers", "1"]) == 0
    assert run(["erase", "--check", str(folder / "receipt.json"), *store]) == 3


def test_other_datasets_that_have_the_speaker_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, people in (("calls", [PERSON, "ben-l"]), ("few", [PERSON, "cleo-m"]), ("none", ["cleo-m", "ben-l"])):
        pd.DataFrame({"sample_id": ["a", "b"], "speaker": people, "text": ["oh", "no"]}).to_csv("m.csv", index=False)
        only = ["--only", "text.style", "--workers", "1", "--no-prefect"]
        assert run(["refresh", name, "--manifest", "m.csv", *only]) == 0
    capsys.readouterr()
    assert run(["erase", "calls", "--speaker", PERSON, "--yes"]) == 0
    said = capsys.readouterr().err
    assert "dataset few has samples of this speaker too" in said and "none" not in said and PERSON not in said
    assert run(["erase", "few", "--speaker", PERSON, "--yes"]) == 0
    assert "too" not in capsys.readouterr().err


def test_a_reason_does_not_name_the_file():
    from affectlake.data.errors import NotApplicable
    from affectlake.features.compute import nameless
    from affectlake.features.inputs import Changed

    assert nameless("cannot read /a/b c/anna-1.wav: no RIFF", "/a/b c/anna-1.wav") == "cannot read the file: no RIFF"
    assert nameless("anna-1.wav holds nothing", "file:///a/anna-1.wav") == "the file holds nothing"
    assert str(nameless(NotApplicable("no face in anna-1.png"), "/x/anna-1.png")) == "no face in the file"
    assert nameless("holds nothing", "") == "holds nothing"
    changed = Changed("/x/anna-1.png is not the file that was hashed")
    assert nameless(changed, "/x/anna-1.png") is changed  # else it would be kept, as a failure of these bytes


def test_a_home_that_cannot_be_looked_into_is_left_by_name(monkeypatch):
    """As where somebody works as another user and keeps that user's HOME."""

    def closed(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(erasure_prefect.database()), "is_file", closed)
    monkeypatch.setenv("PREFECT_HOME", "/nonexistent")
    [left] = erasure_prefect.forget(ErasureTarget(frozenset({"a"})))
    assert left["where"] == "/nonexistent/prefect.db" and "could not be cleaned" in left["why"]
