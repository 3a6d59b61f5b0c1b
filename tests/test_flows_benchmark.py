"""Benchmarks of a store: what is recorded and can be queried, runs over time, one seed, crossing corpora, reports."""

import json

import numpy as np
import pandas as pd
import pytest

from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.data.samples import samples_frame
from affectlake.data.store import Store
from affectlake.flows.benchmark import BenchOptions, benchmark, features, history, save_best
from affectlake.flows.cli.app import run
from affectlake.flows.report import html
from affectlake.models import splits, subgroups

N = 60
QUICK = {"label": "emotion", "models": ("logreg",), "fusions": ("unimodal", "early", "dummy"), "folds": 3}


def fill(store: Store, dataset: str, seed: int, shift: float = 0.0) -> None:
    """Made-up features of six speakers in two modalities, one of 20 columns."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, N)
    ids = [f"{dataset}-i{i}" for i in range(N)]
    table = pd.DataFrame({"sample_id": ids, "speaker": [f"{dataset}{i % 6}" for i in range(N)], "text": "x"})
    samples = samples_frame(table.assign(emotion=np.array(list("abc"))[y]), dataset)
    for m, width in (("audio", 20), ("face", 3)):
        x = rng.normal(size=(N, width)) + shift
        x[:, 0] += 2 * (y == (1 if m == "audio" else 2))
        frame = pd.DataFrame(x, index=ids, columns=[f"c{i}" for i in range(width)])
        store.put(dataset, m, "made", frame, samples=samples)


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Store:
    store = Store(tmp_path_factory.mktemp("bench") / "lake", create=True)
    fill(store, "one", 0)
    fill(store, "two", 1, shift=3.0)
    return store


@pytest.fixture(scope="module")
def done(lake):
    return benchmark(BenchOptions("one", store=lake.uri, missing=True, sizes="0.5", workers=1, **QUICK))


def bits(result):
    rows = [{k: v for k, v in r.items() if k != "seconds"} for r in result.rows]
    about = dict(result.about.items())
    return json.dumps([rows, about], sort_keys=True), result.predictions


def test_one_seed_is_one_result_whatever_the_number_of_workers(lake, done):
    options = BenchOptions("one", store=lake.uri, missing=True, sizes="0.5", workers=2, **QUICK)
    text, predictions = bits(benchmark(options).result)
    expected, same = bits(done.result)
    assert text == expected
    pd.testing.assert_frame_equal(predictions, same, check_exact=True)


def test_records_can_be_queried(lake, done):
    run_id = done.about["run"]
    best = done.result.rows[0]
    scores = lake.sql(f"select * from scores where run = '{run_id}' order by place")
    assert len(scores) == len(done.result.rows) and scores["uar"][0] == best["uar"]["value"]
    assert scores["uar_low"][0] == best["uar"]["low"] and scores["snapshot"].nunique() == 1
    # the accuracy of a row again, from its out-of-fold predictions
    again = lake.sql(
        f"select fusion, modalities, avg((truth = predicted)::int) accuracy from predictions where run = '{run_id}' "
        "group by all"
    ).set_index(["fusion", "modalities"])["accuracy"]
    for row in done.result.rows[:-1]:
        assert again[row["fusion"], "+".join(row["modalities"])] == pytest.approx(row["accuracy"]["value"])
    made = lake.sql(f"select configuration, document, code_version from benchmarks where run = '{run_id}'")
    assert json.loads(made["configuration"][0])["fusions"] == list(QUICK["fusions"])
    assert json.loads(made["document"][0])["missing"]["curves"] and made["code_version"][0]
    told = lake.sql(
        f"select name, value from importance where run = '{run_id}' and kind = 'columns' order by value desc"
    )
    assert set(told["name"][:2]) == {"audio.made.c0", "face.made.c0"}


def test_runs_over_time(lake, done, capsys):
    benchmark(BenchOptions("one", store=lake.uri, seed=7, explain=False, **QUICK), map=map)
    benchmark(BenchOptions("one", store=lake.uri, normalise="speaker", explain=False, **QUICK), map=map)
    runs = history(lake.uri, "one", "emotion")
    assert runs[0]["change"] is None and runs[-1]["normalise"] == "speaker" and runs[-1]["change"] is None
    plain = [r for r in runs if r["normalise"] == "none"]
    assert plain[-1]["change"] == pytest.approx(plain[-1]["value"] - plain[-2]["value"])
    assert run(["leaderboard", "one", "--store", lake.uri, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == runs
    assert run(["leaderboard", "one", "--store", lake.uri]) == 0 and "by speaker" in capsys.readouterr().out
    with pytest.raises(AffectlakeError, match="no benchmark of 'two'"):
        history(lake.uri, "two")


def test_crossing_corpora_of_a_store(lake, capsys, tmp_path):
    words = ["bench", "one", "--train-on", "two", "--label", "emotion", "--store", lake.uri, "--models", "logreg"]
    words += ["--fusions", "unimodal", "early", "dummy", "--workers", "1", "--no-prefect", "--no-explain"]
    assert run([*words, "--json", "--save", str(tmp_path / "m")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["protocol"] == "cross-corpus" and found["transfer"]["train_on"] == ["two"]
    assert found["transfer"]["trained"] == found["transfer"]["tested"] == N == found["n_tested"]
    first = found["contrast"]["rows"][0]
    assert first["against"]["value"] > first["value"]["value"]
    from affectlake.models.persistence import load

    assert load(tmp_path / "m").card["train_on"] == ["two"] and load(tmp_path / "m").card["samples"] == N
    fill(lake, "three", 2)
    lake.put("three", "audio", "made", pd.DataFrame({"c0": np.ones(N)}, index=[f"three-i{i}" for i in range(N)]))
    for other, message in (("three", "another fingerprint"), ("one", "tested on"), ("twoo", "did you mean 'two'")):
        with pytest.raises(AffectlakeError, match=message):
            benchmark(BenchOptions("one", store=lake.uri, train_on=(other,), **QUICK), map=map)
    with pytest.raises(UsageError, match="need a second one"):
        benchmark(BenchOptions("one", store=lake.uri, normalise="corpus", **QUICK), map=map)


def test_who_may_only_read_the_store_gets_table_and_report(tmp_path, monkeypatch, capsys):
    store = Store(tmp_path / "lake", create=True)
    fill(store, "one", 0)
    monkeypatch.setattr(Store, "record", lambda *_: False)  # as it answers who may not write
    words = ["bench", "one", "--label", "emotion", "--store", store.uri, "--models", "logreg", "--workers", "1"]
    words += ["--fusions", "unimodal", "--folds", "3", "--no-prefect", "--no-explain"]
    assert run([*words, "--report", str(tmp_path / "r.html")]) == 0
    assert "unimodal" in capsys.readouterr().out and "logreg" in (tmp_path / "r.html").read_text()


def test_who_was_trained_on_elsewhere_is_erased_there_too(tmp_path):
    store = Store(tmp_path / "lake", create=True)
    fill(store, "one", 0)
    fill(store, "two", 1)
    document = {"leakage": {"findings": ["such as one-i3 and two:two-i4", "two4 was trained on", "fine"]}}
    rows = pd.DataFrame([{"dataset": "one", "train_on": "two", "document": json.dumps(document)}])
    store.record("benchmarks", rows)
    store.record("predictions", pd.DataFrame([{"dataset": "one", "train_on": "two", "sample_id": "one-i4"}]))
    assert store.erase("two", speaker="two4")["still_found_in"] == []
    assert json.loads(store.records("benchmarks")["document"][0])["leakage"]["findings"] == ["fine"]
    assert len(store.records("predictions")) == 1  # those are of the other corpus


def test_the_report_shows_everything_and_nothing_from_elsewhere(lake, done):
    leaky = benchmark(BenchOptions("one", store=lake.uri, protocol="random", normalise="speaker", **QUICK), map=map)
    page = html(done.to_json() | {"remarks": ["up to <many> samples"]}, history(lake.uri, "one"))
    assert "<li>up to &lt;many&gt; samples</li>" in page
    for wanted in ("<polyline", "What fusion gains", "What the best row listens to", "audio.made.c0"):
        assert wanted in page
    for wanted in ("How sure, and how right", "<polygon", "Sets that hold the truth", "With fewer speakers"):
        assert wanted in page
    assert "http" not in page and "<script" not in page
    said = html(leaky.to_json())
    assert "Random beside grouped by speaker" in said and "Transductive" in said and "These folds leak" in said


def test_a_typing_error_is_told_before_a_store_is_read(tmp_path):
    with pytest.raises(UnknownName, match="unknown fusion 'erly', did you mean 'early'"):
        benchmark(BenchOptions("nothing", "emotion", store=str(tmp_path / "nowhere"), fusions=("erly",)))


def test_the_command_of_a_result_makes_it_again(lake):
    options = BenchOptions("one", store=lake.uri, missing=True, explain=False, repeats=2, as_of="s000001", **QUICK)
    words = options.command.split()
    assert words[:2] == ["affectlake", "bench"] and "--missing" in words and "--no-explain" in words
    assert words[words.index("--fusions") + 1 :][:3] == list(QUICK["fusions"])


def test_a_saved_model_says_where_it_comes_from(lake, done, tmp_path):
    from affectlake.models.persistence import load

    options = BenchOptions("one", store=lake.uri, **QUICK)
    model = load(save_best(options, done, tmp_path / "m"))
    selected, card = done.result.about["selected"], model.card
    assert card["dataset"] == "one" and card["scores"]["uar"] == selected["uar"] and not card["leaks"]
    assert [model.fusion, sorted(model.columns), model.model] == [
        selected["row"][k] for k in ("fusion", "modalities", "model")
    ]
    assert selected["rule"] == card["selected"] and card["no_better_than_chance"] is False
    about = done.result.about
    answered = next(p for p in about["abstention"] if p["aimed"] == model.bounds.abstention.aim)
    assert card["measured"]["abstention"] == {k: answered[k] for k in ("coverage", "accuracy")}
    sets = next(v for v in about["conformal"] if v["level"] == model.bounds.sets.aim)
    assert card["measured"]["prediction_sets"] == ({} if sets["reason"] else {k: sets[k] for k in ("coverage", "size")})


def test_the_selected_stands_above_the_rows(lake, done, capsys):
    from affectlake.flows.cli.bench import print_result

    print_result(done.to_json())
    said = capsys.readouterr().out
    selected = done.result.about["selected"]
    assert (
        said.startswith(f"selected: uar {selected['uar']['value']:.3f} [") and "chosen inside: early audio+face" in said
    )
    assert "the number for this dataset" in html(done.to_json())
    assert history(lake.uri, "one")[0]["selected"] == selected["uar"]


def test_inner_folds_that_promise_too_much_are_told(done):
    from affectlake.flows.cli.bench import _reserve

    result = done.to_json()
    assert not any("promised" in line for line in _reserve(result))
    easy = [f | {"inner": 0.999} for f in result["selected"]["folds"]]
    high = result["selected"]["uar"] | {"low": 0.6, "high": 0.9}
    told = _reserve(result | {"selected": result["selected"] | {"folds": easy, "uar": high}})
    assert any("promised uar 0.999" in line for line in told)


def test_labels_and_columns_that_could_be_meant_are_listed_and_those_of_a_manifest_stay_their_own(tmp_path):
    store = Store(tmp_path / "lake", create=True)
    ids = [f"i{i}" for i in range(12)]
    table = pd.DataFrame({"sample_id": ids, "speaker": ["ann", "bob"] * 6, "text": "x", "synthetic": True})
    table = table.assign(mood=["up", "down"] * 6, recording=[f"tape{i % 4}" for i in range(12)], bandwidth="wide")
    frame = pd.DataFrame({"c0": np.arange(12.0)}, index=ids)
    store.put("calls", "audio", "made", frame, samples=samples_frame(table, "calls"))
    snapshot = store.snapshot("calls", None).id
    with pytest.raises(UnknownName, match=r"'modd', did you mean 'mood'\? valid: mood, recording$"):
        features(store, BenchOptions("calls", "modd", store=store.uri), snapshot)
    samples, _ = features(store, BenchOptions("calls", "mood", store=store.uri), snapshot)
    assert samples["recording"].tolist() == table["recording"].tolist() and set(samples["bandwidth"]) == {"wide"}
    assert splits.groups(samples, "recording").nunique() == 2  # tapes 0 and 2 are ann's
    for unknown in (lambda: splits.groups(samples, "reccording"), lambda: subgroups.check(samples, ("reccording",))):
        with pytest.raises(UnknownName, match="'recording'") as raised:
            unknown()
        assert raised.value.valid == ["bandwidth", "channel", "dialogue", "language", "mood", "recording"] + [
            "speaker", "split", "synthetic"
        ]  # fmt: skip


def test_what_is_like_the_wrong_name_comes_first():
    many = [f"c{i:02}" for i in range(40)]
    assert "valid: zebra, c00, c01" in str(UnknownName("column", "zebrra", [*many, "zebra"]))
