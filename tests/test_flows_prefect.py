"""The flows with a real Prefect server: runs, artifacts, and a schedule that really fires."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pandas as pd
import pytest


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """URL of a server with a database of its own."""
    from affectlake.flows.server import server

    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(home))
        patch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{home}/prefect.db")
        with server() as url:
            yield url


def ask(api, path, **body) -> list[dict]:
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{api}/{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def environment(api):
    return os.environ | {"PREFECT_API_URL": api}


def affectlake(api, folder, *words):
    code = "from affectlake.flows.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], cwd=folder, env=environment(api), capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A manifest of a few texts."""
    folder = tmp_path_factory.mktemp("nightly")
    texts = [f"I am {m} number {i}!" for i in range(12) for m in ("happy", "so sad")]
    labels = ["happy", "sad"] * 12
    speakers = [f"s{i // 2 % 6}" for i in range(24)]
    frame = pd.DataFrame(
        {"sample_id": [f"t{i}" for i in range(24)], "text": texts, "emotion": labels, "speaker": speakers}
    )
    frame.to_csv(folder / "texts.csv", index=False)
    return folder


def test_refresh_and_bench_run_as_flows_with_artifacts(api, folder):
    words = ["refresh", "texts", "--manifest", "texts.csv", "--only", "text.style", "--workers", "1", "--json"]
    done = affectlake(api, folder, *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["extractors"]["text.style"]["new"] == 24
    words = [
        "bench",
        "texts",
        "--label",
        "emotion",
        "--models",
        "logreg",
        "--fusions",
        "unimodal",
        "dummy",
        "--folds",
        "3",
    ]
    done = affectlake(api, folder, *words, "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert {r["state_type"] for r in ask(api, "flow_runs/filter")} == {"COMPLETED"}
    keys = {a["key"] for a in ask(api, "artifacts/filter")}
    assert {"refresh-texts", "leaderboard-texts"} <= keys


def test_bad_input_is_one_line_also_from_within_a_flow(api, folder):
    (folder / "broken.csv").write_text("sample_id,text\na,x\na,y\n")
    done = affectlake(api, folder, "refresh", "texts", "--manifest", "broken.csv", "--only", "text.style")
    assert done.returncode == 2 and "not unique" in done.stderr and "Traceback" not in done.stderr


def test_a_minute_schedule_fires_and_a_second_night_finds_nothing_to_do(api, folder):
    """SQLAlchemy 2.1 and others have broken exactly this without a word: hence a real schedule."""
    code = "from affectlake.flows.cli.app import main; main()"
    command = [sys.executable, "-c", code, "nightly", "--cron", "* * * * *"]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(api), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        deadline, completed = time.monotonic() + 170, []
        while time.monotonic() < deadline and not completed and process.poll() is None:
            time.sleep(2)
            runs = ask(api, "flow_runs/filter", flows={"name": {"any_": ["nightly"]}})
            completed = [r for r in runs if r["state_type"] == "COMPLETED"]
        assert completed, f"{process.poll()}: {runs}"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            out, _ = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
    assert "wrote affectlake.toml" in out and completed[0]["auto_scheduled"]
    record = json.loads(next((folder / "reports" / "runs").glob("*.json")).read_text())
    counts = record["datasets"][0]["refresh"]["extractors"]["text.style"]
    assert record["state"] != "failed" and counts["unchanged"] == 24 and counts["new"] == 0
