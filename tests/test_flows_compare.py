"""Runs of a store beside each other."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affectlake.data.errors import UnknownName, UsageError
from affectlake.data.samples import samples_frame
from affectlake.data.store import Store
from affectlake.flows.benchmark import BenchOptions, benchmark
from affectlake.flows.cli.app import run
from affectlake.flows.compare import compare, html

QUICK = {"models": ("lda",), "fusions": ("unimodal", "early", "late-mean", "dummy"), "folds": 3, "explain": False}
N = 60


def fill(store: Store, dataset: str, seed: int, signal: float) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, N)
    ids = [f"{dataset}-i{i}" for i in range(N)]
    table = pd.DataFrame({"sample_id": ids, "speaker": [f"{dataset}{i % 6}" for i in range(N)], "text": "x"})
    samples = samples_frame(table.assign(emotion=np.array(list("abc"))[y]), dataset)
    for m in ("audio", "face"):
        x = rng.normal(size=(N, 5))
        x[np.arange(N), y] += signal
        store.put(dataset, m, "made", pd.DataFrame(x, index=ids, columns=[f"c{i}" for i in range(5)]), samples=samples)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[str, dict[str, str]]:
    """Two datasets, one of them benchmarked again when its features had become better."""
    store = Store(tmp_path_factory.mktemp("compare") / "lake", create=True)
    found = {}

    def bench(name: str, dataset: str) -> None:
        options = BenchOptions(dataset, label="emotion", store=store.uri, **QUICK)
        found[name] = benchmark(options, map=map).about["run"]

    fill(store, "one", 0, 0.0)
    fill(store, "two", 1, 1.0)
    bench("one", "one")
    bench("two", "two")
    fill(store, "one", 0, 3.0)
    bench("better", "one")
    return store.uri, found


def test_runs_of_several_datasets_are_ranked(runs, tmp_path, capsys):
    store, ids = runs
    found = compare(store, ["one", ids["two"][:8]])
    assert [r["run"] for r in found.runs] == [ids["better"], ids["two"]] and not found.changes
    names = {r.name for r in found.ranking.rows}
    assert {"selected", "dummy", "unimodal audio lda", "early all lda"} <= names
    assert found.ranking.rows[-1].name == "dummy" and found.ranking.rows[-1].rank == len(names)
    code = run(["compare", "one", "two", "--store", store, "--out", str(tmp_path / "page.html"), "--json"])
    page = (tmp_path / "page.html").read_text()
    assert code == 0 and json.loads(capsys.readouterr().out)["ranking"]["critical"] == found.ranking.critical
    assert "Ranks over 2 datasets" in page and "http" not in page and "<script" not in page
    by_loss = compare(store, ["one", "two"], "log_loss").ranking.rows
    assert by_loss[-1].name == "dummy" and min(by_loss[-1].scores) > max(by_loss[0].scores)


def test_labels_of_one_dataset_are_ranked_apart_and_said_to_hang_together(runs, tmp_path, capsys):
    store, _ = runs
    lake = Store(store)
    fill(lake, "three", 2, 1.0)
    ids = []
    for label in ("emotion", "speaker"):
        options = BenchOptions("three", label=label, store=store, **QUICK | {"folds": 2, "protocol": "random"})
        ids.append(benchmark(options, map=map).about["run"])
    code = run(["compare", *ids, "--store", store, "--out", str(tmp_path / "page.html")])
    said = capsys.readouterr()
    assert code == 0 and "three: labels of the same samples are no independent datasets" in said.err
    assert "emotion" in said.out and "speaker" in said.out
    page = (tmp_path / "page.html").read_text()
    assert "three, speaker" in page and "three, emotion" in page and "no independent datasets" in page


def test_two_nights_are_compared_on_the_same_samples(runs, capsys):
    store, ids = runs
    (found,) = compare(store, [ids["one"], ids["better"]]).changes
    first = found.rows[0]
    assert first.row == "selected" and first.samples == N and first.speakers == 6
    assert first.difference["low"] > 0 and first.p < 0.05 and (found.only_before, found.relabelled) == (0, 0)
    records = Store(store).records("benchmarks").set_index("run")["document"].map(json.loads)
    assert first.before == pytest.approx(records[ids["one"]]["selected"]["uar"]["value"])
    assert first.after == pytest.approx(records[ids["better"]]["selected"]["uar"]["value"])
    assert run(["compare", ids["one"], ids["better"], "--store", store]) == 0
    assert "selected" in capsys.readouterr().out
    page = html(compare(store, [ids["one"], ids["better"]]))
    assert "60 samples of 6 speakers" in page


def test_labels_that_changed_take_no_part(runs, tmp_path):
    store = Store(tmp_path / "lake", create=True)
    fill(store, "one", 0, 1.0)
    first = benchmark(BenchOptions("one", label="emotion", store=store.uri, **QUICK), map=map).about["run"]
    samples = store.samples("one")
    changed = samples.assign(emotion=samples["emotion"].where(samples.index > 2, "c"))
    frame = store.load("one", ["audio.*"]).filter(like="audio.").rename(columns=lambda c: c.rsplit(".", 1)[-1])
    store.put("one", "audio", "made", frame, samples=changed)
    second = benchmark(BenchOptions("one", label="emotion", store=store.uri, **QUICK), map=map).about["run"]
    (found,) = compare(store.uri, [first, second]).changes
    n = int((samples["emotion"] != changed["emotion"]).sum())
    assert found.relabelled == n > 0 and found.rows[0].samples == N - n


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["one"], UsageError, "expected two or more"),
        (["one", "tow"], UnknownName, "did you mean 'two'"),
        (["one", "better"], UsageError, "named twice"),
    ],
)
def test_what_cannot_be_compared_is_said(runs, names, error, message):
    store, ids = runs
    with pytest.raises(error, match=message):
        compare(store, [ids.get(n, n) if n == "better" else n for n in names])
    with pytest.raises(UnknownName, match="did you mean"):
        compare(store, ["one", "two"], "accurcy")


def test_runs_of_an_older_version_are_told(runs):
    from affectlake.flows.compare import _check

    store, ids = runs
    records = Store(store).records("benchmarks").set_index("run")["document"].map(json.loads)
    document = records[ids["one"]]
    _check(document)
    with pytest.raises(UsageError, match=r"does not say its inflation, .* run it again"):
        _check({k: v for k, v in document.items() if k != "inflation"})


def test_runs_that_were_trained_elsewhere_are_compared_too(runs):
    store, _ = runs
    options = BenchOptions("two", label="emotion", store=store, train_on=("one",), **QUICK)
    first, second = (benchmark(options, map=map).about["run"] for _ in range(2))
    (found,) = compare(store, [first, second]).changes
    assert found.rows[0].samples == N and found.rows[0].difference["value"] == 0 and found.rows[0].p == 1


def test_quantities_are_compared_together_and_each_by_itself(tmp_path, capsys):
    store = Store(tmp_path / "lake", create=True)
    rng = np.random.default_rng(4)
    ids = [f"i{i}" for i in range(N)]
    truth = rng.normal(size=(N, 2))
    table = pd.DataFrame({"sample_id": ids, "speaker": [f"s{i % 6}" for i in range(N)], "text": "x"})
    samples = samples_frame(table.assign(valence=truth[:, 0], arousal=truth[:, 1]), "dims")
    found = []
    for noise in (2.0, 0.3):  # of valence: it gets better, arousal stays
        x = np.column_stack([truth[:, 0] + noise * rng.normal(size=N), truth[:, 1], rng.normal(size=(N, 2))])
        store.put("dims", "audio", "made", pd.DataFrame(x, index=ids, columns=list("abcd")), samples=samples)
        plan = QUICK | {"fusions": ("unimodal", "dummy")}
        done = benchmark(BenchOptions("dims", label=("valence", "arousal"), store=store.uri, **plan), map=map)
        found.append(done.about["run"])
    (changed,) = compare(store.uri, found).changes
    first, (valence, arousal) = changed.rows[0], changed.outputs
    assert (valence.row, arousal.row) == ("valence", "arousal") and valence.difference["low"] > 0 and valence.p < 0.05
    assert abs(arousal.difference["value"]) < 0.1 < valence.difference["value"]
    assert first.after == pytest.approx((valence.after + arousal.after) / 2)
    records = Store(store.uri).records("benchmarks").set_index("run")["document"].map(json.loads)
    assert first.after == pytest.approx(records[found[1]]["selected"]["ccc"]["value"], abs=1e-4)
    page = tmp_path / "page.html"
    assert run(["compare", *found, "--store", store.uri, "--out", str(page)]) == 0
    assert "selected, each by itself" in capsys.readouterr().out and ">arousal</th>" in page.read_text()


def test_a_store_without_benchmarks_says_so(tmp_path: Path):
    store = Store(tmp_path / "lake", create=True)
    fill(store, "one", 0, 0.0)
    with pytest.raises(UsageError, match="no benchmark"):
        compare(store.uri, ["a", "b"])
