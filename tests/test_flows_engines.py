"""The same refresh on other engines, with a real scheduler and workers in other processes."""

from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from clusters import dask_cluster

from affectlake.data import Store
from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.store import Place, _assemble, _place
from affectlake.data.store._pending import Pending
from affectlake.features import plan
from affectlake.flows import engines
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


def test_shards_that_are_lost_are_done_again_and_not_for_ever():
    class Lost(Exception):
        pass

    left = [Lost("one"), Lost("two"), None]

    def attempt(function, *given):
        error = left.pop(0)
        if error:
            raise error
        return function(*given)

    assert engines._until_done(attempt, (Lost,), sorted, ["shard"]) == ["shard"]
    left += [Lost("again")] * engines.ATTEMPTS
    with pytest.raises(AffectlakeError, match="lost with its worker 4 times"):
        engines._until_done(attempt, (Lost,), sorted, ["shard"])
    left[:] = [KeyError("ours")]
    with pytest.raises(KeyError):
        engines._until_done(attempt, (Lost,), sorted, ["shard"])


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


def test_nobody_at_the_address_is_one_line(manifest, tmp_path, monkeypatch):
    dask = pytest.importorskip("dask")
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        with pytest.raises(AffectlakeError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
            run(manifest, tmp_path / "there", "dask", "tcp://127.0.0.1:9")


def test_ray(manifest, tmp_path):
    pytest.importorskip("ray")
    same_as_here(manifest, tmp_path / "there", "ray")
