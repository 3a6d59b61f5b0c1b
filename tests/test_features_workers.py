"""Bad samples cost themselves only, whatever they do to the worker."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pytest

from affectlake.data.store import Place
from affectlake.features.compute import Chunk, compute
from affectlake.features.inputs import Request
from affectlake.features.workers import Workers


def chunk(name: str, *texts: str) -> Chunk:
    return Chunk("text", (name,), tuple(Request(content=f"sha of {t}", text=t) for t in texts))


def outcomes(table: pa.Table) -> dict[str, tuple[str, str | None]]:
    return {r["content"].removeprefix("sha of "): (r["outcome"], r["reason"]) for r in table.to_pylist()}


def test_good_samples_keep_their_values_among_bad_ones(evil):
    table = compute(chunk(evil, "four", "raise", "shape", "infinite", "nothing", "sevenly"))[evil]
    found = outcomes(table)
    assert found["four"] == ("ok", None) and found["sevenly"] == ("ok", None)
    assert found["nothing"] == ("not_applicable", "nothing to say")
    assert found["raise"] == ("failed", "RuntimeError: on request")
    assert found["shape"] == ("failed", "text.evil returned shape (3,), expected (2,)")
    assert found["infinite"] == ("failed", "text.evil returned an infinite value in length")
    assert table["length"].to_pylist() == [4, None, None, None, None, 7]
    assert table.schema.field("length").type == pa.float32()


@pytest.mark.parametrize("fault, reason", [("crash", "worker process died"), ("hang", "longer than 2 s")])
def test_a_worker_that_dies_or_hangs_costs_only_the_culprit(evil, fault, reason):
    chunks = [chunk(evil, "one", fault, "three"), chunk(evil, "four", "five")]
    found = {}
    with Workers(2, timeout=2, extractors=[evil]) as workers:
        for _, tables in workers.run(chunks):
            found |= outcomes(tables[evil])
    assert found.pop(fault)[0] == "failed"
    assert found == dict.fromkeys(("one", "three", "four", "five"), ("ok", None))


def test_the_reason_names_what_happened(evil):
    with Workers(1, timeout=2, extractors=[evil]) as workers:
        found = {}
        for _, tables in workers.run([chunk(evil, "crash"), chunk(evil, "hang")]):
            found |= outcomes(tables[evil])
    assert "worker process died" in found["crash"][1]
    assert found["hang"][1] == "took longer than 2 s"


def test_an_extractor_that_dies_does_not_take_the_others_along(evil):
    both = Chunk("text", (evil, "text.style"), chunk(evil, "crash", "fine").requests)
    found = {evil: {}, "text.style": {}}
    with Workers(1, timeout=20, extractors=both.extractors) as workers:
        for _, tables in workers.run([both]):
            for name, table in tables.items():
                found[name] |= outcomes(table)
    assert found[evil]["crash"][0] == "failed"
    assert found[evil]["fine"] == found["text.style"]["crash"] == found["text.style"]["fine"] == ("ok", None)


def test_a_thread_of_a_cluster_keeps_its_process_until_other_work_comes(evil):
    from affectlake.features import workers

    mine, nowhere = workers.fingerprints([evil]), Place("nowhere", "d", "probe")
    found = workers.compute_shard([chunk(evil, "four")], 5.0, mine, nowhere)
    assert outcomes(found.tables[evil]) == {"four": ("ok", None)}
    assert (found.samples, found.counts, found.files) == (1, {evil: 1}, ()) and "no such store" in found.unwritten
    first = workers._mine.workers
    workers.compute_shard([chunk(evil, "five")], 5.0, mine, nowhere)
    assert workers._mine.workers is first
    workers.compute_shard([chunk(evil, "five")], 6.0, mine, nowhere)
    assert workers._mine.workers is not first and not first.active
    workers._mine.workers.stop()


def test_a_module_that_cannot_be_imported_costs_only_its_extractor(evil, monkeypatch):
    from affectlake.features import registry

    monkeypatch.setattr(type(registry.get(evil)), "requires", ("no_such_module_anywhere",))
    with Workers(1, timeout=20, extractors=["text.style", evil]) as workers:
        [(_, tables)] = workers.run([chunk("text.style", "fine")])
    assert outcomes(tables["text.style"]) == {"fine": ("ok", None)}


def workers_of_ours() -> list[int]:
    return [p.pid for p in active_children() if p.name.startswith("pebble")]


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail(f"waited for {seconds} s")


@pytest.mark.parametrize("victims", [1, 2])
def test_killed_workers_cost_no_sample(evil, monkeypatch, tmp_path, victims):
    log = tmp_path / "log"
    monkeypatch.setenv("EVIL_LOG", str(log))
    texts = [f"work slowly {i}" for i in range(60)]
    chunks = [chunk(evil, *texts[i : i + 5]) for i in range(0, 60, 5)]
    found, kills = {}, 0

    def kill():
        nonlocal kills
        seen = 0
        for _ in range(3):
            until(lambda s=seen: (log.exists() and len(log.read_text().splitlines()) > s + 3) or len(found) == 60)
            seen = len(log.read_text().splitlines())
            for pid in workers_of_ours()[:victims]:
                os.kill(pid, signal.SIGKILL)
                kills += 1

    with Workers(2, timeout=20, extractors=[evil]) as workers:
        killer = Thread(target=kill)
        killer.start()
        for _, tables in workers.run(chunks):
            found |= outcomes(tables[evil])
        killer.join()
    assert kills and found == dict.fromkeys(texts, ("ok", None))


def test_a_pool_that_broke_is_replaced(evil):
    with Workers(2, timeout=20, extractors=[evil]) as workers:
        first = [(c, outcomes(t[evil])) for c, t in workers.run([chunk(evil, "one")])]
        broken = workers._pool
        for pid in workers_of_ours():  # with nothing to do: pebble gives up where all are gone
            os.kill(pid, signal.SIGKILL)
        until(lambda: not broken.alive() or len(workers_of_ours()) == 2)
        broken.processes._pool_manager.handle_broken_pool(RuntimeError("for good"))
        second = [(c, outcomes(t[evil])) for c, t in workers.run([chunk(evil, "two", "three")])]
        assert workers._pool is not broken
    assert [o for _, o in first + second] == [{"one": ("ok", None)}, {"two": ("ok", None), "three": ("ok", None)}]


def test_workers_that_never_live_end_the_run_with_the_reason(evil, monkeypatch):
    from affectlake.data.errors import AffectlakeError
    from affectlake.features import workers as module

    monkeypatch.setattr(module, "RESTARTS", 2)
    with Workers(1, timeout=20, extractors=[evil]) as workers:
        workers._restarts = 2
        workers._pool.processes._pool_manager.context.status = 4  # pebble's ERROR
        with pytest.raises(AffectlakeError, match="died 2 times before they had done anything"):
            list(workers.run([chunk(evil, "one")]))


def test_too_much_memory_costs_the_sample_and_says_so(evil):
    with Workers(1, timeout=30, extractors=[evil]) as workers:
        found = {}
        for _, tables in workers.run([chunk(evil, "one", "bomb", "three")]):
            found |= outcomes(tables[evil])
    reason = "needs more memory than the 4 GB that a worker may take (AFFECTLAKE_WORKER_MEMORY)"
    assert found == {"one": ("ok", None), "bomb": ("failed", reason), "three": ("ok", None)}


def test_a_limit_that_is_no_number_is_refused(evil, monkeypatch):
    from affectlake.data.errors import UsageError

    monkeypatch.setenv("AFFECTLAKE_WORKER_MEMORY", "lots")
    with pytest.raises(UsageError, match="AFFECTLAKE_WORKER_MEMORY cannot be 'lots'"):
        Workers(1, extractors=[evil]).__enter__()


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not end children with their parent")
@pytest.mark.parametrize("with_what", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_in_a_hanging_decoder_ends_with_its_parent(evil, tmp_path, with_what):
    program = tmp_path / "main.py"
    program.write_text(
        "from affectlake.features.compute import Chunk\n"
        "from affectlake.features.inputs import Request\n"
        "from affectlake.features.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    with Workers(1, 500, ['text.evil']) as w:\n"
        "        list(w.run([Chunk('text', ('text.evil',), (Request('c', text='hang hard'),))]))\n"
    )
    log = tmp_path / "log"
    paths = {"PYTHONPATH": str(Path(__file__).parent / "plugin"), "EVIL_LOG": str(log)}
    parent = subprocess.Popen([sys.executable, program], env=os.environ | paths, stderr=subprocess.DEVNULL)
    until(lambda: log.exists() and log.read_text().endswith("\n"))
    worker = int(log.read_text())
    parent.send_signal(with_what)
    parent.wait(20)
    until(lambda: not alive(worker), 10)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
