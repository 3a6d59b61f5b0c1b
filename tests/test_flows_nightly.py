"""A night by its configuration: what is checked, what is recorded, what is said to have changed, and who is told."""

import json
import subprocess
import sys
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import lakes
import numpy as np
import pandas as pd
import pytest

from affectlake.data import Store
from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.data.samples import samples_frame
from affectlake.data.store import FeatureSpec
from affectlake.flows.config import check_config, load_config, write_config
from affectlake.flows.drift import score_drift
from affectlake.flows.history import Busy, History, alone
from affectlake.flows.nightly import Steps, night
from affectlake.flows.notify import events
from affectlake.flows.refresh import RefreshResult
from affectlake.flows.summary import describe_changes

GOOD = """
store = "lake"
cron = "0 2 * * *"

[[dataset]]
name = "calls"
manifest = "calls.csv"

[[dataset]]
name = "ravdess"
root = "/data/ravdess"
[dataset.benchmark]
label = "emotion"
"""


def write(tmp_path, text) -> Path:
    path = tmp_path / "affectlake.toml"
    path.write_text(text)
    return path


class Bench:
    """Stands for the models: scores as told, recorded in the store as a real benchmark is."""

    def __init__(self, *scores):
        self.scores, self.ran = list(scores) or [0.5], 0

    def __call__(self, options):
        value = self.scores[min(self.ran, len(self.scores) - 1)]
        self.ran += 1
        store = Store(options.store)
        score = {"value": value, "low": value - 0.1, "high": value + 0.1}
        row = {"fusion": "early", "modalities": ["text"], "model": "logreg", "uar": score, "seconds": 1.0}
        document = {
            "task": "classification", "metric": "uar", "dataset": options.dataset, "label": options.label,
            "snapshot": store.snapshot(options.dataset).id, "protocol": "grouped", "folds": 5, "n_samples": 3,
            "n_speakers": 2, "synthetic": False, "created": f"2026-11-24T00:00:{self.ran:02}", "code_version": "1",
            "command": options.command, "rows": [row | {"p_value": None}],
            "leakage": {"leaks": False, "findings": []}, "ablation": [], "confusion": None, "per_class": [],
            "per_speaker": [], "extractors": [],
        }  # fmt: skip
        known = {k: document[k] for k in ("dataset", "label", "protocol", "snapshot", "created", "code_version")}
        store.record("benchmarks", pd.DataFrame([known | {"document": json.dumps(document)}]))
        return type("Done", (), {"to_json": lambda self: document})()


class Lake:
    """Stands for extraction: publishes given contents of samples, so that a night has real snapshots to compare."""

    def __init__(self, **contents):
        self.contents, self.bad, self.fingerprint, self.parameters = contents, (), "f1", {"p": 1}
        self.folder, self.labels, self.fail, self.gate = "/media/old", {}, [], ()

    def __call__(self, options):
        if self.fail:
            raise self.fail.pop(0)
        frame = pd.DataFrame({"sample_id": list(self.contents)})
        frame["audio"] = [f"{self.folder}/{i}.wav" for i in self.contents]
        frame["emotion"] = [self.labels.get(i, "joy") for i in self.contents]
        files = pd.DataFrame({"uri": frame["audio"], "size": 1, "mtime_ns": 1, "sha256": list(self.contents.values())})
        rows = pd.DataFrame(
            {"sample_id": self.contents.keys(), "content": self.contents.values(), "uri": frame["audio"]}
        )
        wanted = FeatureSpec(self.fingerprint, lakes.COLUMNS, "1", self.parameters, rows)
        computed = 0
        with Store(options.store, create=True).writer(options.dataset) as w:
            known = set(w.known("audio.x", self.fingerprint)["content"])
            for content in sorted(set(self.contents.values()) - known):
                computed += 1
                outcome = "failed" if content in self.bad else "ok"
                w.keep("audio.x", self.fingerprint, lakes.results([content], self.fingerprint, outcome))
            done = w.publish(samples_frame(frame, options.dataset), {"audio.x": wanted}, files, "t", "c", options.gate)
        counts = {n: asdict(c) for n, c in done.counts.items()}
        return RefreshResult(
            options.dataset, done.id, done.published, len(frame), counts, {}, done.problems, 0.1, {},
            {"audio.x": computed},
        )  # fmt: skip


def contents(n: int) -> dict[str, str]:
    return {f"s{i:02}": f"c{i}" for i in range(n)}


def one(tmp_path, more="") -> "Path":
    return write(tmp_path, f'[[dataset]]\nname = "calls"\nmanifest = "calls.csv"\n{more}')


def test_paths_are_relative_to_the_file(tmp_path):
    config = load_config(write(tmp_path, GOOD))
    assert config.store == str(tmp_path / "lake")
    assert config.dataset[0].manifest == str(tmp_path / "calls.csv")
    assert config.dataset[1].root == "/data/ravdess"


@pytest.mark.parametrize(
    "change, line, message",
    [
        (('name = "calls"', 'nme = "calls"'), 6, "key dataset.nme: unknown key 'nme', did you mean 'name'"),
        (('label = "emotion"', 'label = "emotion"\nfolds = 1'), 14, "key dataset.benchmark.folds"),
        (('label = "emotion"', "label = 5"), 13, "key dataset.benchmark.label: Input should be a valid string, got 5"),
        (('label = "emotion"', 'label = "emotion"\nmetric = "uarr"'), 14, "did you mean 'uar'"),
        (('root = "/data/ravdess"', 'root = "/data/ravdess"\ngate = "maybe"'), 12, "'warn' or 'fail'"),
        (('root = "/data/ravdess"', 'root = "/data/ravdess"\ndrift = {mean = 0.4, sprd = 3}'), 12, "'spread'"),
        (('manifest = "calls.csv"', ""), 5, "either root or manifest"),
        (('cron = "0 2 * * *"', "cron = 2"), 3, "cron"),
        (('cron = "0 2 * * *"', "[settings]\nvideo.frame = 8"), 3, "did you mean 'video.frames'"),
        (('cron = "0 2 * * *"', "[settings]\nvideo.frames = 0"), 3, "video.frames cannot be '0'"),
        (('cron = "0 2 * * *"', '[[notify]]\nwebhook = "$NOWHERE_TO_BE_FOUND"'), 4, "NOWHERE_TO_BE_FOUND is not set"),
        (('cron = "0 2 * * *"', '[notify]\nblock = "slack"'), 3, "'slack-webhook/team'"),
        (('name = "ravdess"', 'name = "calls"'), 10, "'calls' is there twice"),
        (('store = "lake"', "store = "), 2, "not TOML"),
    ],
)
def test_a_wrong_key_is_named_with_its_line(tmp_path, change, line, message):
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(UsageError) as caught:
        load_config(path)
    assert message in str(caught.value) and str(path) in str(caught.value) and f"line {line}" in str(caught.value)


CHECKED = """
cron = "0 2 * * *"
[[dataset]]
name = "ravdess"
root = "corpus"
only = ["text.style"]
[[dataset]]
name = "calls"
manifest = "calls.csv"
only = ["text.style"]
[dataset.benchmark]
label = "emotion"
models = ["logreg"]
"""


@pytest.mark.parametrize(
    "change, line, message",
    [
        (('"corpus"', '"corpse"'), 5, "key dataset.root: no folder"),
        (('"corpus"', '"corpse"'), 5, "did you mean 'corpus'"),
        (('name = "ravdess"', 'name = "ravdes"'), 4, "did you mean 'ravdess'"),
        (('"calls.csv"', '"calsl.csv"'), 9, "did you mean 'calls.csv'"),
        (('only = ["text.style"]\n[dataset.b', 'only = ["text.styl"]\n[dataset.b'), 10, "did you mean 'text.style'"),
        (('"emotion"', '"emotoin"'), 12, "unknown label 'emotoin', did you mean 'emotion'"),
        (
            ('only = ["text.style"]\n[[', 'only = ["text.style"]\ndrift = {against = "paper"}\n[['),
            7,
            "key dataset.drift.against",
        ),
        (('"logreg"', '"logrek"'), 13, "unknown model 'logrek', did you mean 'logreg'"),
        (('"0 2 * * *"', '"0 26 * * *"'), 2, "key cron: '0 26 * * *' is not a cron expression"),
        (('"0 2 * * *"', '"0 2 * * *"\ntimezone = "Europe/Berlen"'), 3, "did you mean 'Europe/Berlin'"),
    ],
)
def test_what_is_not_there_is_named_with_its_line(tmp_path, change, line, message):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "calls.csv").write_text("sample_id,text,emotion\na,hello,joy\n")
    check_config(write(tmp_path, CHECKED))
    with pytest.raises(UsageError) as caught:
        check_config(write(tmp_path, CHECKED.replace(*change)))
    assert message in str(caught.value) and f"line {line}," in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere.toml"):
        load_config(tmp_path / "nowhere.toml")


def test_settings_may_be_nested_or_flat(tmp_path):
    text = '[settings]\nvideo.frames = 8\n[[dataset]]\nname = "a"\nroot = "b"\n[dataset.settings]\n"text.model" = "m"\n'
    config = load_config(write(tmp_path, text))
    assert config.settings == {"video.frames": 8} and config.dataset[0].settings == {"text.model": "m"}


def test_a_configuration_is_written_for_what_the_store_holds(tmp_path, corpus):
    from affectlake.flows.cli.app import run

    words = ["--manifest", str(corpus), "--store", str(tmp_path / "lake"), "--only", "text.style", "--no-prefect"]
    assert run(["refresh", "demo", *words, "--workers", "1", "--set", "video.frames=8"]) == 0
    [dataset] = load_config(write_config(str(tmp_path / "lake"), tmp_path / "w.toml")).dataset
    assert (dataset.name, dataset.manifest, dataset.only) == ("demo", str(corpus), ("text.style",))
    assert dataset.settings == {"video.frames": 8}


def test_one_failing_dataset_leaves_the_others_their_turn(tmp_path):
    lake = Lake(**contents(3))
    lake.fail = [AffectlakeError("the mount is gone")]
    record = night(load_config(write(tmp_path, GOOD)), Steps(lake, Bench()))
    calls, ravdess = record["datasets"]
    assert calls["error"] == "the mount is gone" and record["state"] == "failed"
    assert ravdess["error"] is None and ravdess["benchmark"]["best"]["row"] == "early text logreg"
    assert (tmp_path / "reports" / "ravdess.html").read_text().startswith("<!doctype html>")
    [run] = (tmp_path / "reports" / "runs").glob("*.json")
    assert json.loads(run.read_text()) == json.loads(json.dumps(record))


def test_the_record_has_the_documented_shape(tmp_path):
    record = night(load_config(write(tmp_path, GOOD)), Steps(Lake(**contents(3)), Bench()))
    page = (Path(__file__).parents[1] / "docs" / "nightly.md").read_text()
    named = set(page.split("## The record")[1].split("\n## ")[0].replace("`", " ").replace(",", " ").split())
    keys = {*record, *record["datasets"][1], *record["datasets"][1]["changes"], *record["datasets"][1]["benchmark"]}
    assert keys <= named


def test_a_column_that_vanished_or_came_upstream_is_news(tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('workers = 1\n[[dataset]]\nname = "d"\nmanifest = "m.csv"\nonly = ["text.style"]\n')

    def told(table: str) -> list[str]:
        (tmp_path / "m.csv").write_text(table)
        record = night(load_config(config))
        assert record["datasets"][0]["error"] is None, record["datasets"][0]["error"]
        return record["text"].splitlines()[2:]

    told("sample_id,text,emotion,speaker\na,hi,x,s\nb,you,y,s\n")
    # What is gone is told once, by the gate.
    new, gone = told("sample_id,text,affect,speaker\na,hi,x,s\nb,you,,s\n")
    assert new == "- the column affect is new (1 values)"
    assert gone.startswith("- gate: samples: column 'emotion' is gone")
    assert "the column affect is new (1 values)" in (tmp_path / "reports" / "index.html").read_text()
    said = told("sample_id,text,affect,speaker\na,hi,x,\nb,you,,\n")
    assert [line for line in said if "speaker" in line and "labels" not in line] == [
        "- gate: samples: column 'speaker' has no value any more"
    ]
    [gone] = [line for line in told("sample_id,text\na,hi\nb,you\n") if "affect" in line]
    assert gone.startswith("- gate: samples: column 'affect' is gone")
    assert told("sample_id,text\na,hi\nb,you\n") == ["- nothing changed"]


def test_who_takes_a_bad_file_out_has_mended_nothing(tmp_path):
    lake, config = Lake(**contents(40)), load_config(one(tmp_path, 'gate = "warn"\n'))
    lake.contents["s02"], lake.bad = "broken", ("broken",)
    assert night(config, Steps(lake))["datasets"][0]["changes"]["bad"]["new"]["count"] == 1
    del lake.contents["s02"]
    bad = night(config, Steps(lake))["datasets"][0]["changes"]["bad"]
    assert [bad[kind]["count"] for kind in ("new", "mended", "standing")] == [0, 0, 0]


def test_a_night_says_exactly_what_changed_since_the_one_before(tmp_path):
    # One bad file of nine is more than the gate's five points of coverage.
    lake, config = Lake(**contents(8)), load_config(one(tmp_path, 'gate = "warn"\n'))
    assert night(config, Steps(lake))["datasets"][0]["changes"]["new"]["count"] == 8
    assert night(config, Steps(lake))["text"] == "nightly: done\ncalls: done\n- nothing changed"

    lake.contents = contents(8) | {"s02": "other", "s09": "fresh", "s10": "broken"}
    del lake.contents["s05"]  # removed
    del lake.contents["s07"]  # goes, and comes back under another name
    lake.contents["t07"] = "c7"
    lake.bad, lake.labels = ("broken",), {"s03": "anger"}
    changes = night(config, Steps(lake))["datasets"][0]["changes"]
    items = {
        k: [i["sample_id"] for i in changes[k]["items"]] for k in ("new", "removed", "renamed", "content", "edited")
    }
    assert items == {
        "new": ["s09", "s10"],
        "removed": ["s05"],
        "renamed": ["t07"],
        "content": ["s02"],
        "edited": ["s03"],
    }
    assert changes["renamed"]["items"][0]["was"] == "s07" and changes["edited"]["columns"] == {"emotion": 1}
    [bad] = changes["bad"]["new"]["items"]
    assert bad["sample_id"] == "s10" and bad["reason"] == "cannot read broken"
    assert changes["computed"] == {"audio.x": 3}  # s02, s09 and s10, and nothing for what was renamed
    [audio] = changes["extractors"]
    assert audio["why"] == [] and audio["content"] == audio["recomputed"] == 1
    assert "1 with other content (recomputed: audio.x 1): s02" in describe_changes(changes)

    lake.folder = "/media/new"
    record = night(config, Steps(lake))
    changes = record["datasets"][0]["changes"]
    assert changes["renamed"]["count"] == 9 and changes["computed"] == {"audio.x": 0}
    assert changes["renamed"]["folders"] == [{"from": "/media/old", "to": "/media/new", "files": 9}]
    assert changes["bad"]["new"]["count"] == 0 and changes["bad"]["standing"]["count"] == 1

    lake.fingerprint, lake.parameters, lake.bad = "f2", {"p": 2}, ()
    changes = night(config, Steps(lake))["datasets"][0]["changes"]
    [audio] = changes["extractors"]
    assert audio["why"] == [{"what": "parameter", "name": "p", "before": 1, "now": 2}] and audio["recomputed"] == 8
    assert changes["bad"]["mended"]["count"] == 1 and changes["content"]["count"] == changes["renamed"]["count"] == 0
    page = (tmp_path / "reports" / "index.html").read_text()
    assert "parameter p 1 → 2" in page and "mended" in page and page.count('class="done">done</span></li>') == 4


def test_an_interrupted_night_is_marked_and_its_news_are_told_by_the_next(tmp_path, monkeypatch):
    lake, config = Lake(**contents(3)), load_config(write(tmp_path, GOOD.replace("/data", "data")))
    night(config, Steps(lake, Bench()))
    lake.contents = contents(4)

    def dies(options):
        if options.dataset == "ravdess":
            raise KeyboardInterrupt
        return lake(options)

    with pytest.raises(KeyboardInterrupt):
        night(config, Steps(dies, Bench()))
    history = History(tmp_path / "reports")
    assert next(iter(history))["state"] == "running"
    record = night(config, Steps(lake, Bench()))
    assert [r["state"] for r in history] == ["done", "interrupted", "done"]
    assert record["interrupted"] and "interrupted" in events(record) and "was interrupted" in record["text"]
    # Published by the night that died, told by the first that lives.
    assert [i["sample_id"] for i in record["datasets"][0]["changes"]["new"]["items"]] == ["s03"]


def test_old_records_are_dropped(tmp_path):
    config = load_config(one(tmp_path)).model_copy(update={"keep": 2})
    runs = [night(config, Steps(Lake(**contents(2))))["run"] for _ in range(4)]
    assert [r["run"] for r in History(tmp_path / "reports")] == runs[:1:-1]
    assert len(list((tmp_path / "reports" / "runs").glob("*.html"))) == 2


def test_a_store_that_cannot_be_read_is_a_failure_that_is_told(tmp_path):
    (tmp_path / "lake").write_text("not a folder")
    hook = '[notify]\ncommand = ["cat"]\n'
    config = load_config(one(tmp_path, hook)).model_copy(update={"retries": 0})
    (tmp_path / "calls.csv").write_text("sample_id,text\na,hello\n")
    record = night(config)
    assert record["state"] == "failed" and record["datasets"][0]["error"]
    assert record["notifications"][0]["events"] == ["failure"] and record["notifications"][0]["delivered"]


def test_one_night_at_a_time(tmp_path):
    config = load_config(one(tmp_path))
    with alone(tmp_path / "reports"), pytest.raises(Busy, match="another night is running .process"):
        night(config, Steps(Lake(**contents(2))))
    assert night(config, Steps(Lake(**contents(2))))["state"] == "done"


def test_a_benchmark_runs_only_when_the_data_changed(tmp_path):
    lake, bench = Lake(**contents(3)), Bench()
    text = one(tmp_path, '[dataset.benchmark]\nlabel = "emotion"\n').read_text()

    def ran() -> bool:
        before = bench.ran
        record = night(load_config(write(tmp_path, text)), Steps(lake, bench))
        assert record["datasets"][0]["benchmark"]["ran"] == (bench.ran > before)
        assert Path(record["datasets"][0]["report"]).exists()
        return bench.ran > before

    assert ran() and not ran()
    lake.folder = "/media/new"  # renamed: the same to a model
    assert not ran()
    lake.labels = {"s01": "anger"}
    assert ran() and not ran()
    lake.contents = contents(4)
    assert ran() and not ran()
    text += "folds = 3\n"
    assert ran()


def test_a_benchmark_that_was_killed_is_made_up_for(tmp_path):
    lake, bench = Lake(**contents(3)), Bench()
    config = load_config(one(tmp_path, '[dataset.benchmark]\nlabel = "emotion"\n'))

    def dies(options):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        night(config, Steps(lake, dies))
    assert night(config, Steps(lake, bench))["datasets"][0]["benchmark"]["ran"] and bench.ran == 1
    (tmp_path / "reports" / "calls.html").unlink()  # killed between benchmark and report
    assert not night(config, Steps(lake, bench))["datasets"][0]["benchmark"]["ran"]
    assert (tmp_path / "reports" / "calls.html").exists()


def test_storage_is_tried_again_and_bad_input_is_not(tmp_path):
    config, lake = load_config(one(tmp_path)), Lake(**contents(3))
    config = config.model_copy(update={"retry_seconds": 0.0})
    lake.fail = [OSError("stale file handle"), TimeoutError("no answer")]
    entry = night(config, Steps(lake))["datasets"][0]
    assert entry["state"] == "done" and entry["attempts"] == 3
    lake.fail = [OSError("stale file handle")] * 3
    entry = night(config, Steps(lake))["datasets"][0]
    assert entry["state"] == "failed" and entry["attempts"] == 3 and "stale" in entry["error"]
    lake.fail = [AffectlakeError("no such thing"), AffectlakeError("not asked for")]
    assert night(config, Steps(lake))["datasets"][0]["attempts"] == 1


def test_the_gate_holds_a_snapshot_and_drift_is_told(tmp_path):
    lake, config = Lake(**contents(40)), load_config(one(tmp_path))
    night(config, Steps(lake))
    lake.contents = {k: "far away and otherwise" + v for k, v in contents(40).items()}
    record = night(config, Steps(lake))
    entry = record["datasets"][0]
    assert record["state"] == "held" and {"gate", "drift"} <= set(events(record)) and "failure" not in events(record)
    assert {(d["column"], d["kind"]) for d in entry["drift"]} == {("a", "mean"), ("b", "mean")}
    assert Store(config.store).snapshot("calls").id != entry["changes"]["to"]
    assert "held snapshot" in (tmp_path / "reports" / "index.html").read_text()
    # Limits are the configuration's.
    loose = one(tmp_path, 'gate = "warn"\n[dataset.drift]\nmean = 1000\nspread = 1000\n')
    assert night(load_config(loose), Steps(lake))["datasets"][0]["drift"] == []


def test_a_score_below_its_interval_is_drift(tmp_path):
    lake, bench = Lake(**contents(3)), Bench(0.8, 0.75, 0.5)
    config = load_config(one(tmp_path, '[dataset.benchmark]\nlabel = "emotion"\n'))
    drifts = []
    for n in (3, 4, 5):
        lake.contents = contents(n)
        drifts.append(night(config, Steps(lake, bench))["datasets"][0]["drift"])
    assert drifts[:2] == [[], []]
    [fallen] = drifts[2]
    assert (fallen["kind"], fallen["before"], fallen["now"]) == ("score", 0.75, 0.5)


def test_scores_of_different_metrics_are_not_compared():
    rows = [{"uar": {"value": 0.9, "low": 0.8, "high": 1.0}, "accuracy": {"value": 0.1, "low": 0.0, "high": 0.2}}]
    assert (
        score_drift({"label": "e", "metric": "uar", "rows": rows}, {"label": "e", "metric": "accuracy", "rows": rows})
        is None
    )


def test_metrics_are_read_by_prometheus_own_parser(tmp_path):
    from prometheus_client.parser import text_string_to_metric_families

    lake = Lake(**contents(3))
    lake.bad = ("c1",)
    record = night(load_config(write(tmp_path, GOOD)), Steps(lake, Bench(0.7)))
    text = (tmp_path / "reports" / "affectlake.prom").read_text()
    found = {
        (s.name, *sorted(s.labels.items())): s.value for f in text_string_to_metric_families(text) for s in f.samples
    }
    calls = ("dataset", "calls")
    assert found["affectlake_outcomes", calls, ("extractor", "audio.x"), ("outcome", "failed")] == 1
    assert found["affectlake_coverage_ratio", calls, ("extractor", "audio.x")] == pytest.approx(2 / 3)
    assert found["affectlake_samples", calls] == 3 and found["affectlake_failed", calls] == 0
    assert found["affectlake_best_score", ("dataset", "ravdess"), ("label", "emotion"), ("metric", "uar")] == 0.7
    assert found["affectlake_last_success_timestamp_seconds", calls] == pytest.approx(
        pd.Timestamp(record["finished"]).timestamp()
    )
    lake.fail = [AffectlakeError("gone")] * 2
    night(load_config(write(tmp_path, GOOD)), Steps(lake, Bench()))
    text = (tmp_path / "reports" / "affectlake.prom").read_text()
    again = {
        (s.name, *sorted(s.labels.items())): s.value for f in text_string_to_metric_families(text) for s in f.samples
    }
    key = ("affectlake_last_success_timestamp_seconds", calls)
    assert again["affectlake_failed", calls] == 1 and again[key] == found[key]


def test_labels_of_metrics_are_escaped(tmp_path):
    from prometheus_client import generate_latest
    from prometheus_client.parser import text_string_to_metric_families

    from affectlake.flows.metrics import registry

    record = night(load_config(write(tmp_path, GOOD)), Steps(Lake(**contents(2)), Bench()))
    record["datasets"][1]["benchmark"]["label"] = nasty = 'a "quote", a \\ and\na line'
    text = generate_latest(registry(record)).decode()
    labels = [
        s.labels for f in text_string_to_metric_families(text) for s in f.samples if s.name.endswith("best_score")
    ]
    assert labels[0]["label"] == nasty


NOTIFY = '\n[[notify]]\ncommand = [{python!r}, "-c", "import sys; open({to!r}, \'w\').write(sys.stdin.read())"]\n'


def test_a_command_is_told_of_what_has_become_bad_once(tmp_path):
    to = tmp_path / "told.json"
    text = one(tmp_path).read_text() + NOTIFY.format(python=sys.executable, to=str(to)).replace(
        repr(sys.executable), json.dumps(sys.executable)
    )
    config, lake = load_config(write(tmp_path, text)), Lake(**contents(30))
    night(config, Steps(lake))
    assert not to.exists()
    lake.contents, lake.bad = contents(31), ("c30",)
    night(config, Steps(lake))
    told = json.loads(to.read_text())
    assert told["events"] == ["quarantine"] and "bad: /media/old/s30.wav: cannot read c30" in told["text"]
    to.unlink()
    night(config, Steps(lake))
    assert not to.exists()  # it was bad the night before


class Webhook:
    """A listener that refuses the first calls."""

    def __init__(self, refuse=0):
        self.got, self.refuse = [], refuse

    def __enter__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(503 if len(outer.got) <= outer.refuse else 204)
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.listener = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.listener.shutdown()
        self.thread.join()
        self.listener.server_close()


def test_a_webhook_gets_the_record_at_the_second_attempt(tmp_path, monkeypatch):
    with Webhook(refuse=1) as hook:
        monkeypatch.setenv("TEAM_HOOK", f"http://127.0.0.1:{hook.listener.server_port}/secret")
        config = load_config(one(tmp_path, '\n[notify]\nwebhook = "$TEAM_HOOK"\non = ["always"]\n'))
        record = night(config, Steps(Lake(**contents(2))))
    [said] = record["notifications"]
    assert said["delivered"] and said["attempts"] == 2 and said["hook"] == "webhook 127.0.0.1"
    assert hook.got[1]["run"] == record["run"] and hook.got[1]["text"].startswith("nightly: done")
    assert "secret" not in json.dumps(record)


def test_a_hook_that_fails_is_recorded_and_spoils_nothing(tmp_path):
    hooks = '\n[[notify]]\ncommand = ["false"]\non = ["always"]\nattempts = 1\n'
    hooks += '[[notify]]\ncommand = ["sleep", "30"]\non = ["always"]\nattempts = 1\ntimeout = 0.2\n'
    hooks += '[[notify]]\nblock = "slack-webhook/team"\non = ["always"]\nattempts = 1\n'
    record = night(load_config(one(tmp_path, hooks)), Steps(Lake(**contents(2))))
    assert record["state"] == "done" and [n["delivered"] for n in record["notifications"]] == [False] * 3
    errors = [n["error"] for n in record["notifications"]]
    assert "exit status 1" in errors[0] and "timed out" in errors[1] and "--no-prefect" in errors[2]
    assert json.loads(next((tmp_path / "reports" / "runs").glob("*.json")).read_text()) == json.loads(
        json.dumps(record)
    )


def test_log_lines_are_json_on_request(tmp_path, capfd):
    night(load_config(one(tmp_path, "")).model_copy(update={"log": "json"}), Steps(Lake(**contents(2))))
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert {"time", "level", "logger", "message", "run"} <= set(lines[0]) and len({line["run"] for line in lines}) == 1
    timed = [line for line in lines if line.get("stage") == "refresh" and "seconds" in line]
    assert timed[0]["dataset"] == "calls" and timed[0]["seconds"] >= 0


def test_without_prefect_nothing_of_prefect_is_imported(tmp_path):
    (tmp_path / "calls.csv").write_text("sample_id,text\na,hello\nb,good morning\n")
    config = one(tmp_path, 'only = ["text.style"]\n').absolute()
    code = (
        "import sys; from affectlake.flows.cli.app import run\n"
        f"if __name__ == '__main__':\n code = run(['nightly', {str(config)!r}, '--once', '--no-prefect'])\n"
        " print('prefect' in sys.modules, code, file=sys.stderr)"
    )
    (tmp_path / "main.py").write_text(code)
    done = subprocess.run([sys.executable, tmp_path / "main.py"], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr.splitlines()[-1] == "False 0", done.stderr
    assert json.loads(done.stdout)["datasets"][0]["changes"]["computed"] == {"text.style": 2}


def test_nan_does_not_reach_the_record(tmp_path):
    record = night(load_config(one(tmp_path)), Steps(Lake(**contents(1))))
    record["seconds"] = np.nan
    assert "NaN" not in History(tmp_path / "reports").save(record).read_text()
