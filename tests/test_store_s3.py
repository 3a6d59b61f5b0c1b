"""The same store on an object store: a local server that speaks S3."""

import os
import socket
import urllib.request
import uuid
from contextlib import suppress

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from clusters import dask_cluster
from elsewhere import moto
from lakes import contents_of, expected, put_at_once, read, refresh

from affectlake.data import Store
from affectlake.data.store import _assemble

ACCESS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


@pytest.fixture(scope="module")
def endpoint():
    """URL of a server of one's own; credentials come by the usual environment variables."""
    with moto() as port, pytest.MonkeyPatch.context() as patch:
        url = f"http://127.0.0.1:{port}"
        for name, value in (ACCESS | {"AWS_ENDPOINT_URL": url}).items():
            patch.setenv(name, value)
        request = urllib.request.Request(f"{url}/lakes", method="PUT")
        urllib.request.urlopen(request, timeout=5).close()
        yield url


@pytest.fixture
def store(endpoint):
    return Store(f"s3://lakes/{uuid.uuid4().hex}", create=True)


def test_the_promises_hold(store):
    contents = contents_of(60)
    first, todo = refresh(store, contents, bad={"c3"})
    assert len(todo) == 60 and read(store) == expected(contents, bad={"c3"})
    assert refresh(store, contents, bad={"c3"})[1] == []
    changed = {i: c for i, c in contents.items() if i != "p0-00000"} | {"p1-00001": "other"}
    second, todo = refresh(store, changed)
    assert todo == ["other"] and read(store) == expected(changed, bad={"c3"})
    assert read(store, first.id) == expected(contents, bad={"c3"})
    assert store.failures("d")["sample_id"].tolist() == ["p3-00003"]
    store.put("d", "text", "glove", pd.DataFrame({"g": np.arange(59.0)}, index=list(changed)))
    joined = store.sql('select count(*) n, sum("text.glove.g") s from d')
    assert joined["n"].item() == 59 and joined["s"].item() == np.arange(59).sum()


def test_export_and_history(store, tmp_path):
    contents = contents_of(20)
    refresh(store, contents)
    store.tag("paper")
    refresh(store, contents, "f2")
    out = store.export(tmp_path / "out", "d", as_of="paper")
    assert pd.read_parquet(out / "audio.x.parquet").set_index("sample_id")["a"].to_dict() == expected(contents)
    store.rollback("d", "paper")
    assert read(store) == expected(contents)
    assert store.tidy("d", keep=1)["snapshots"] == 1  # the tagged one stays


def test_a_changed_object_is_found(store):
    refresh(store, contents_of(20))
    store.record("benchmarks", pd.DataFrame({"dataset": ["d"], "uar": [0.5]}))
    found = store.verify()
    assert found["damaged"] == [] and found["files"] >= 5 and found["unrecorded"] == 0
    files = store._tables.files
    for folder in ("features/d/audio.x", "records/benchmarks"):
        (path,) = (i.path for i in store._tables.listing(folder) if i.path.endswith(".parquet"))
        with files.open_input_file(path) as stream:
            raw = bytearray(stream.read())
        raw[len(raw) // 2] ^= 4
        files.delete_file(path)
        table = pa.BufferReader(bytes(raw))
        with files.open_output_stream(path) as out:
            out.upload(table)
    assert {d["file"].split("/")[0] for d in store.verify()["damaged"]} == {"features", "records"}
    assert len(store.repair("d")["dropped"]) == 1
    assert refresh(store, contents_of(20))[1] and read(store) == expected(contents_of(20))


def test_erase_leaves_nothing(store):
    contents = contents_of(40)
    refresh(store, contents, bad={"c3"})
    first = store.snapshot("d").id
    refresh(store, contents, "f2")
    receipt = store.erase("d", speaker="speaker-p3")
    assert receipt["still_found_in"] == [] and receipt["samples"] == 6
    others = {i: c for i, c in contents.items() if not i.startswith("p3")}
    assert read(store) == expected(others, "f2") and read(store, first) == expected(others)


def test_two_writers_lose_nothing(store):
    """Nothing locks here: whoever commits second builds on the first."""
    refresh(store, {"a-0": "start"})
    assert put_at_once(store, 4, 3) == list(range(4))


@pytest.fixture
def other_cluster():
    """The port that Dask's pages usually have is taken, as where somebody else computes on this machine."""
    with socket.socket() as taken:
        with suppress(OSError):  # it is
            taken.bind(("", 8787))
            taken.listen()
        yield


def test_a_refresh_on_a_cluster(store, tmp_path, other_cluster, monkeypatch):
    """What workers in other processes compute is published to the object store as if it had been computed here."""
    pytest.importorskip("distributed")
    from affectlake.flows import engines
    from affectlake.flows.options import RefreshOptions
    from affectlake.flows.refresh import refresh

    manifest = tmp_path / "texts.csv"
    manifest.write_text("sample_id,text\n" + "".join(f"t{i},I am {'very ' * i}happy\n" for i in range(30)))
    frames, through = [], []

    def run(work, options, places):
        for results in engines.run(work, options, places):
            through.append((options.engine, bool(results.tables), bool(results.files)))
            yield results

    def published(uri, engine, address=None):
        options = RefreshOptions(
            "d", manifest=str(manifest), store=str(uri), only=("text.style",), engine=engine, address=address
        )
        assert refresh(options, run).extractors["text.style"]["new"] == 30
        frames.append(Store(uri).load("d"))

    published(store.uri, "dask")
    published(tmp_path / "here", "local")
    with dask_cluster(tmp_path, "") as address:
        monkeypatch.setattr(_assemble, "write", lambda store, job: pytest.fail("its workers put tables together too"))
        published(f"s3://lakes/{uuid.uuid4().hex}", "dask", address)
    for other in frames[1:]:
        pd.testing.assert_frame_equal(frames[0], other, check_exact=True)
    assert set(through) == {("dask", False, True), ("local", True, False)}  # who computed there wrote there


def test_a_bucket_that_is_not_there_is_one_line(endpoint, capsys):
    from affectlake.flows.cli.app import run

    assert run(["status", "--store", f"s3://nowhere-{os.getpid()}/lake"]) in (0, 1)
    assert "Traceback" not in capsys.readouterr().err
