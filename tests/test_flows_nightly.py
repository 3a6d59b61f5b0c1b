"""A night by its configuration, with the work itself replaced by plain functions."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from affectlake.data.errors import AffectlakeError, UsageError
from affectlake.flows.nightly import load_config, metrics, night
from affectlake.flows.refresh import RefreshResult

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


def write(tmp_path, text):
    path = tmp_path / "affectlake.toml"
    path.write_text(text)
    return path


def result(options, **counts):
    zero = dict.fromkeys(("new", "recomputed", "unchanged", "removed", "failed", "not_applicable"), 0)
    return RefreshResult(options.dataset, "s000001", True, 3, {"text.style": zero | counts}, {}, [], 1.5)


class Leaderboard:
    def __init__(self, options):
        self.options = options

    def to_json(self):
        score = {"value": 0.5, "low": 0.4, "high": 0.6}
        row = {
            "fusion": "early",
            "modalities": ["text"],
            "model": "logreg",
            "uar": score,
            "seconds": 1.0,
            "p_value": None,
        }
        return {
            "task": "classification", "metric": "uar",
            "dataset": self.options.dataset, "label": "emotion", "snapshot": "s000001", "protocol": "grouped",
            "folds": 5, "n_samples": 3, "n_speakers": 2, "synthetic": False, "created": "now", "code_version": "1",
            "command": "affectlake bench", "rows": [row], "leakage": {"leaks": False, "findings": []},
            "ablation": [], "confusion": None, "per_class": [], "per_speaker": [], "extractors": [],
        }  # fmt: skip


def test_paths_are_relative_to_the_file(tmp_path):
    config = load_config(write(tmp_path, GOOD))
    assert config.store == str(tmp_path / "lake")
    assert config.dataset[0].manifest == str(tmp_path / "calls.csv")
    assert config.dataset[1].root == "/data/ravdess"


@pytest.mark.parametrize(
    "change, line, message",
    [
        (('name = "calls"', 'nme = "calls"'), 6, "did you mean 'name'"),
        (('label = "emotion"', 'label = "emotion"\nfolds = 1'), 14, "dataset.benchmark.folds"),
        (('root = "/data/ravdess"', 'root = "/data/ravdess"\ngate = "maybe"'), 12, "'warn' or 'fail'"),
        (('manifest = "calls.csv"', ""), 5, "either root or manifest"),
        (('cron = "0 2 * * *"', "cron = 2"), 3, "cron"),
        (('store = "lake"', "store = "), 2, "not TOML"),
    ],
)
def test_a_wrong_key_is_named_with_its_line(tmp_path, change, line, message):
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(UsageError) as caught:
        load_config(path)
    assert message in str(caught.value) and str(path) in str(caught.value) and f"line {line}" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere.toml"):
        load_config(tmp_path / "nowhere.toml")


def test_one_failing_dataset_leaves_the_others_their_turn(tmp_path):
    def refresh(options):
        if options.dataset == "calls":
            raise AffectlakeError("the mount is gone")
        return result(options, new=3)

    record = night(load_config(write(tmp_path, GOOD)), refresh, Leaderboard)
    calls, ravdess = record["datasets"]
    assert calls["error"] == "the mount is gone" and record["state"] == "failed"
    assert ravdess["error"] is None and ravdess["best"]["fusion"] == "early"
    assert (tmp_path / "reports" / "ravdess.html").read_text().startswith("<!doctype html>")
    [run] = (tmp_path / "reports" / "runs").iterdir()
    assert json.loads(run.read_text()) == json.loads(json.dumps(record))


def test_a_benchmark_runs_only_when_the_data_changed(tmp_path):
    benched = []

    def bench(options):
        benched.append(options)
        return Leaderboard(options)

    config = load_config(write(tmp_path, GOOD))
    for counts in ({"new": 3}, {"unchanged": 3}, {"recomputed": 1, "unchanged": 2}):
        night(config, lambda options, c=counts: result(options, **c), bench)
    assert len(benched) == 2


def test_metrics_are_prometheus_text(tmp_path):
    record = night(load_config(write(tmp_path, GOOD)), lambda o: result(o, new=2, failed=1), Leaderboard)
    text = metrics(record)
    assert 'affectlake_rows{dataset="calls",extractor="text.style",outcome="failed"} 1' in text.splitlines()
    assert all(line.startswith("#") or len(line.rsplit(" ", 1)) == 2 for line in text.splitlines())
    assert (tmp_path / "reports" / "affectlake.prom").read_text() == text


NOTIFY = '\n[notify]\ncommand = ["{python}", "-c", "import sys; open({to!r}, \'w\').write(sys.stdin.read())"]\n'


@pytest.mark.parametrize("failed, told", [(1, True), (0, False)])
def test_a_command_is_told_of_quarantine(tmp_path, failed, told):
    to = tmp_path / "told.json"
    config = load_config(write(tmp_path, GOOD + NOTIFY.format(python=sys.executable, to=str(to))))
    night(config, lambda o: result(o, failed=failed), Leaderboard)
    assert to.exists() == told


def test_a_webhook_gets_the_record(tmp_path):
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listener:
        Thread(target=listener.handle_request, daemon=True).start()
        hook = f'\n[notify]\nwebhook = "http://127.0.0.1:{listener.server_port}/"\non = ["always"]\n'
        record = night(load_config(write(tmp_path, GOOD + hook)), lambda o: result(o, new=1), Leaderboard)
    assert got == [json.loads(json.dumps(record))]


def test_a_hook_that_fails_is_an_error(tmp_path):
    config = load_config(write(tmp_path, GOOD + '\n[notify]\ncommand = ["false"]\non = ["always"]\n'))
    with pytest.raises(AffectlakeError, match="could not be delivered"):
        night(config, lambda o: result(o, new=1), Leaderboard)
