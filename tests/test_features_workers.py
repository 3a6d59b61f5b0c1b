"""Bad samples cost themselves only, whatever they do to the worker."""

import pyarrow as pa
import pytest

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
    assert found == {t: ("ok", None) for t in ("one", "three", "four", "five")}


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

    mine = workers.fingerprints([evil])
    [tables] = workers.compute_shard([chunk(evil, "four")], 5.0, mine)
    assert outcomes(tables[evil]) == {"four": ("ok", None)}
    first = workers._mine.workers
    workers.compute_shard([chunk(evil, "five")], 5.0, mine)
    assert workers._mine.workers is first
    workers.compute_shard([chunk(evil, "five")], 6.0, mine)
    assert workers._mine.workers is not first and not first._pool.active
    workers._mine.workers.stop()


def test_a_module_that_cannot_be_imported_costs_only_its_extractor(evil, monkeypatch):
    from affectlake.features import registry

    monkeypatch.setattr(type(registry.get(evil)), "requires", ("no_such_module_anywhere",))
    with Workers(1, timeout=20, extractors=["text.style", evil]) as workers:
        [(_, tables)] = workers.run([chunk("text.style", "fine")])
    assert outcomes(tables["text.style"]) == {"fine": ("ok", None)}
