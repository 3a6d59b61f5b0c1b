"""The same refresh on other engines, with a real scheduler and workers in other processes."""

import json
import os
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clusters import dask_cluster

from affectlake.data import Store
from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.samples import samples_frame
from affectlake.data.store import Place, _assemble, _place
from affectlake.data.store._pending import Pending
from affectlake.features import plan
from affectlake.flows import elsewhere, engines
from affectlake.flows.benchmark import BenchOptions, benchmark
from affectlake.flows.elsewhere import Died
from affectlake.flows.options import RefreshOptions
from affectlake.flows.refresh import refresh

PLUGIN = str(Path(__file__).parent / "plugin")


@pytest.fixture
def manifest(evil, tmp_path, monkeypatch):
    """Forty texts in ten shards; one of them takes down, once, whoever runs its worker process."""
    monkeypatch.setenv("PYTHONPATH", PLUGIN)
    monkeypatch.setitem(plan.CHUNK, "text", 2)
    monkeypatch.setattr(plan, "SHARD_CHUNKS", 2)
    texts = [f"text number {i} is{' very' * i} long" for i in range(38)] + ["raise", f"kill {tmp_path / 'mark'}"]
    path = tmp_path / "texts.csv"
    path.write_text("sample_id,speaker,text\n" + "".join(f"t{i},s{i % 4},{t}\n" for i, t in enumerate(texts)))
    return path


def run(manifest, store, engine, address=None, workers=2, through=None):
    """What was published, and the outcomes that are no values; ``through`` takes what came back from workers."""

    def noted(work, options, places):
        for results in engines.run(work, options, places):
            if through is not None:
                through.append(results)
            yield results

    options = RefreshOptions(
        "texts",
        manifest=str(manifest),
        store=str(store),
        only=("text.evil", "text.style"),
        workers=workers,
        engine=engine,
        address=address,
    )
    refresh(options, noted)
    store = Store(store)
    failures = store.failures("texts")[["sample_id", "extractor", "outcome"]].to_dict("records")
    return store.load("texts", to="arrow"), failures, store.columns("text.style").drop(columns="drift")


def same_as_here(manifest, store, engine, address=None, seen=True):
    """Run on the engine, with the kill, and here, without it: the values must be equal, byte for byte.

    ``seen``: workers see the store, so that no value comes through this process.
    """
    mark = manifest.parent / "mark"
    mark.unlink(missing_ok=True)
    through = []
    written, real = [], _assemble.write
    with pytest.MonkeyPatch.context() as patch:
        for module in (_assemble, _place):
            patch.setattr(module, "write", lambda place, job: written.append(job) or real(place, job))
        there = run(manifest, store, engine, address, through=through)
    assert bool(written) == (address is None or not seen)  # else workers put the tables together too
    for results in through:
        assert (not results.tables and len(results.files) == 2) if seen else (results.tables and not results.files)
    assert mark.exists(), "nobody was killed"
    here = run(manifest, manifest.parent / "here", "local", workers=1)
    assert buffers(there[0]) == buffers(here[0])
    assert there[0].schema == here[0].schema and there[2].equals(here[2])
    assert there[1] == here[1] == [{"sample_id": "t38", "extractor": "text.evil", "outcome": "failed"}]


def buffers(table):
    """What a table holds, to the byte: comparing numbers, NaN would hide, and a last bit."""
    return [c.combine_chunks().buffers() for c in table.columns]


def test_an_engine_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(engines.MODULES, "dask", "no_such_module")
    with pytest.raises(UsageError, match=r"pip install 'affectlake\[dask\]'"):
        engines.check("dask")


def test_work_that_is_lost_is_done_again_and_not_for_ever():
    class Lost(Exception):
        pass

    left = [Lost("one"), Died("two"), None]

    def attempt(function, *given):
        error = left.pop(0)
        if error:
            raise error
        return function(*given)

    cluster = engines.Cluster(attempt, (Lost, Died), lambda what: what)
    assert cluster.call(sorted, ["shard"]) == ["shard"]
    left += [Lost("again")] * engines.ATTEMPTS
    with pytest.raises(AffectlakeError, match="lost with its worker 4 times"):
        cluster.call(sorted, ["shard"])
    left[:] = [KeyError("ours")]
    with pytest.raises(KeyError):
        cluster.call(sorted, ["shard"])


def test_a_worker_with_another_version_is_refused(evil):
    from affectlake.features.compute import Chunk
    from affectlake.features.inputs import Request
    from affectlake.features.workers import compute_shard

    shard = [Chunk("text", (evil,), (Request("content", text="four"),))]
    with pytest.raises(AffectlakeError, match="is not the one that was asked for"):
        compute_shard(shard, 5.0, {evil: "another fingerprint"}, Place("lake", "d", "probe"))


@pytest.fixture
def dask(tmp_path):
    """Address of a scheduler with two workers."""
    pytest.importorskip("distributed")
    with dask_cluster(tmp_path, PLUGIN) as address:
        yield address


def test_dask(manifest, dask, tmp_path):
    same_as_here(manifest, tmp_path / "there", "dask", dask)


def test_who_dies_with_files_written_leaves_nothing_that_counts(manifest, dask, tmp_path, monkeypatch):
    """A worker is killed after it has written shards of tables, and before it has told of them."""
    import dying

    mark, there = tmp_path / "died", tmp_path / "there"
    (tmp_path / "mark").touch()  # nobody is killed while computing
    monkeypatch.setattr(engines, "assemble", partial(dying.assemble_and_die, str(mark)))
    found = run(manifest, there, "dask", dask)
    assert mark.exists()
    assert not Store(there).verify()["damaged"]
    here = run(manifest, tmp_path / "here", "local", workers=1)
    assert buffers(found[0]) == buffers(here[0]) and found[1] == here[1] and found[2].equals(here[2])
    files = {p for p in (there / "features").rglob("*.parquet") if "_delta_log" not in p.parts}
    Store(there).tidy("texts")
    left = {p for p in (there / "features").rglob("*.parquet") if "_delta_log" not in p.parts}
    assert left < files, "what the dead worker wrote is still there"
    assert buffers(run(manifest, there, "local")[0]) == buffers(here[0])


def test_workers_that_do_not_see_the_store_send_their_results(manifest, dask, tmp_path, monkeypatch, caplog):
    @contextmanager
    def elsewhere(pending):
        yield Place(str(tmp_path / "not shared"), pending.dataset, "probe")

    monkeypatch.setattr(Pending, "place", elsewhere)
    same_as_here(manifest, tmp_path / "there", "dask", dask, seen=False)
    said = [r.getMessage() for r in caplog.records if "not every worker can write" in r.getMessage()]
    assert [s.rpartition(": ")[2] for s in said] == [
        "their results travel through this process",
        "this process writes its tables",
    ]
    assert all("no such store at" in s for s in said) and not (tmp_path / "not shared").exists()


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Options of a benchmark of made-up features in two modalities, and what comes of it here."""
    store = Store(tmp_path_factory.mktemp("bench") / "lake", create=True)
    rng, n = np.random.default_rng(0), 60
    y, ids = rng.integers(0, 3, n), [f"i{i}" for i in range(n)]
    table = pd.DataFrame({"sample_id": ids, "speaker": [f"s{i % 6}" for i in range(n)], "text": "x"})
    samples = samples_frame(table.assign(emotion=np.array(list("abc"))[y]), "made")
    for m in ("audio", "face"):
        x = rng.normal(size=(n, 5)) + y[:, None]
        frame = pd.DataFrame(x, index=ids, columns=[f"c{i}" for i in range(5)])
        store.put("made", m, "up", frame, samples=samples)
    options = BenchOptions(
        "made", "emotion", store=store.uri, folds=2, models=("logreg",), fusions=("unimodal", "early"), workers=2
    )
    return options, bits(benchmark(options, map))


def bits(done):
    rows = [{k: v for k, v in r.items() if k != "seconds"} for r in done.result.rows]
    return json.dumps([rows, done.result.about], sort_keys=True), done.result.predictions.to_csv()


def killed(options, marks, unseen=False):
    """A benchmark on an engine, one of whose jobs takes its process down, and another the worker itself.

    ``unseen``: workers do not see the files that are written here, as on machines of their own.
    """
    with engines.mapping(options) as mapped:

        def sent(work, jobs):
            jobs = [replace(j, folder=os.path.relpath(j.folder)) for j in jobs] if unseen else jobs
            return mapped(partial(evil_extractor().killing, marks, work), jobs)

        return bits(benchmark(options, sent))


def evil_extractor():
    import evil_extractor

    return evil_extractor


def test_benchmark_on_dask(bench, evil, dask, tmp_path, monkeypatch):
    options, here = bench
    marks = [str(tmp_path / "one"), str(tmp_path / "two")]
    sent = []
    monkeypatch.setattr(engines, "_bytes", lambda file, real=engines._bytes: sent.append(file) or real(file))
    monkeypatch.chdir(tmp_path)  # workers have another folder
    assert killed(replace(options, engine="dask", address=dask), marks, unseen=True) == here
    assert all(map(os.path.exists, marks)), "nobody was killed"
    blocks = [file for file in sent if os.path.basename(file).startswith("block-")]
    # At most anew after each of the two that were killed, not with each of the 8 jobs and explanations.
    assert 2 <= len(blocks) <= 6 and {os.path.basename(b) for b in blocks} == {"block-audio.npy", "block-face.npy"}
    sent.clear()
    assert bits(benchmark(replace(options, engine="dask", address=dask))) == here
    assert not sent  # where workers see the files, they map them


def test_benchmark_on_ray(bench, evil, tmp_path):
    pytest.importorskip("ray")
    options, here = bench
    assert killed(replace(options, engine="ray"), [str(tmp_path / "one"), str(tmp_path / "two")]) == here


def test_files_and_processes_of_a_benchmark_go_when_it_is_over(evil, tmp_path, monkeypatch):
    monkeypatch.setattr(elsewhere, "IDLE", 0.2)
    read, job = evil_extractor().read, evil_extractor().Job(str(tmp_path / "gone" / "main-0"))
    assert isinstance(elsewhere.there(read, job, []), elsewhere.Lacking)
    found = [elsewhere.there(read, job, ["y.npy"], np.array([1, 2], np.uint8)) for _ in range(2)]
    (bench,) = elsewhere._kept.values()
    folder = bench._files.name
    assert found == [(os.path.join(folder, "main-0"), b"\1\2")] * 2
    for _ in range(100):
        if not elsewhere._kept and not os.path.exists(folder):
            break
        time.sleep(0.1)
    assert not elsewhere._kept and not os.path.exists(folder)


def test_nobody_answers_a_benchmark(bench, monkeypatch):
    dask = pytest.importorskip("dask")
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        with pytest.raises(AffectlakeError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
            benchmark(replace(bench[0], engine="dask", address="tcp://127.0.0.1:9"))
    monkeypatch.setitem(engines.MODULES, "ray", "no_such_module")
    with pytest.raises(UsageError, match=r"pip install 'affectlake\[ray\]'"):
        benchmark(replace(bench[0], dataset="not there", engine="ray"))


def test_nobody_at_the_address_is_one_line(manifest, tmp_path, monkeypatch):
    dask = pytest.importorskip("dask")
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        with pytest.raises(AffectlakeError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
            run(manifest, tmp_path / "there", "dask", "tcp://127.0.0.1:9")


def test_ray(manifest, tmp_path):
    pytest.importorskip("ray")
    same_as_here(manifest, tmp_path / "there", "ray")
