"""The flows with a real Prefect server: runs, artifacts, and a schedule that really fires."""

import functools
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry


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


@pytest.fixture(autouse=True)
def here(api):
    """Prefect in this process, threads included, has what the environment says, not what an earlier test set."""
    from affectlake.flows import settings

    settings.reread()


def ask(api, path, **body) -> list[dict]:
    # The server answers 503 while SQLite is locked; whoever asks is meant to ask again.
    again = Retry(total=10, status_forcelist=[503], allowed_methods=None, backoff_factor=0.2)
    with requests.Session() as session:
        session.mount(api, HTTPAdapter(max_retries=again))
        user, _, secret = os.environ["PREFECT_API_AUTH_STRING"].partition(":")
        answer = session.post(f"{api}/{path}", json=body, auth=(user, secret), timeout=10)
    answer.raise_for_status()
    return answer.json()


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


@pytest.mark.parametrize("ended_by, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_flow_that_is_told_to_end_says_so_in_one_line(api, tmp_path, ended_by, code):
    rows = "".join(f"t{i},work slowly {i}\n" for i in range(3000))
    (tmp_path / "texts.csv").write_text("sample_id,text\n" + rows)
    log = tmp_path / "work.log"
    words = ["refresh", "texts", "--manifest", "texts.csv", "--only", "text.evil", "--workers", "2"]
    variables = {"PYTHONPATH": str(Path(__file__).parent / "plugin"), "EVIL_LOG": str(log)}
    process = subprocess.Popen(
        [sys.executable, "-c", "from affectlake.flows.cli.app import main; main()", *words], cwd=tmp_path,
        env=environment(api) | variables, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    until(lambda: log.exists() and len(log.read_text().splitlines()) > 20)
    os.killpg(process.pid, ended_by) if ended_by == signal.SIGINT else process.send_signal(ended_by)
    said = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == code
    said = [line for line in said if not line.startswith("computing: ")]  # progress, on a machine that takes its time
    assert said[0] == "texts: refresh begins" and "what was computed so far is kept" in said[1] and len(said) == 2


def serve(api, folder, **variables):
    """`affectlake nightly` on a schedule that fires every ten seconds, as a process group of its own."""
    (folder / "main.py").write_text(
        "from affectlake.flows.cli.app import main\nif __name__ == '__main__':\n    main()\n"
    )
    command = [sys.executable, folder / "main.py", "nightly", "affectlake.toml", "--cron", "* * * * * */10"]
    return subprocess.Popen(
        command, cwd=folder, env=environment(api) | {"PREFECT_RUNNER_POLL_FREQUENCY": "1"} | variables,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def stop(process) -> str:
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=30)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[1]


def nights(api, config) -> list[dict]:
    begun = {"state": {"type": {"any_": ["PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}}
    runs = ask(api, "flow_runs/filter", flows={"name": {"any_": ["nightly"]}}, flow_runs=begun)
    return [r for r in runs if r["parameters"]["config"] == str(config)]


def until(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.5)
    pytest.fail(f"waited for {seconds} s")


def test_a_schedule_fires_again_after_the_service_was_killed_in_mid_run(api, tmp_path):
    """SQLAlchemy 2.1 and others have broken schedules without a word: hence a real one."""
    config = tmp_path / "affectlake.toml"
    (tmp_path / "texts.csv").write_text("sample_id,text\na,wait\nb,hello\n")
    config.write_text('workers = 1\n[[dataset]]\nname = "texts"\nmanifest = "texts.csv"\nonly = ["text.evil"]\n')
    plugin = {
        "PYTHONPATH": str(Path(__file__).parent / "plugin"),
        "EVIL_LOG": str(tmp_path / "work.log"),
        "EVIL_GO": str(tmp_path / "go"),
    }
    service = serve(api, tmp_path, **plugin)
    try:
        until((tmp_path / "work.log").exists)  # a night is in the middle of its work
        [killed] = [r for r in nights(api, config) if r["state_type"] == "RUNNING"]
    finally:
        os.killpg(service.pid, signal.SIGKILL)
        service.communicate()
    assert killed["auto_scheduled"]
    [zombie] = [r for r in nights(api, config) if r["id"] == killed["id"]]
    assert zombie["state_type"] == "RUNNING"  # nobody could tell the server
    (tmp_path / "go").touch()
    service = serve(api, tmp_path, **plugin)
    try:
        completed = until(lambda: [r for r in nights(api, config) if r["state_type"] == "COMPLETED"])
        # Who may ask for a run may not say of what: a hook of another file would be run as a command.
        other = tmp_path / "other.toml"
        hook = f'[[notify]]\ncommand = ["touch", "{tmp_path}/owned"]\non = ["always"]\n'
        other.write_text(config.read_text().replace("workers = 1", 'reports = "elsewhere"') + hook)
        ours = {"flow_runs": {"id": {"any_": [killed["id"]]}}}
        [deployment] = [d for d in ask(api, "deployments/filter", **ours) if d["name"] == "nightly"]
        body = {"parameters": {"config": str(other)}, "state": {"type": "SCHEDULED"}}
        ask(api, f"deployments/{deployment['id']}/create_flow_run", **body)
        [refused] = until(lambda: [r for r in nights(api, other) if r["state_type"] == "FAILED"])
    finally:
        said = stop(service)
    assert "not the configuration that this service was started with" in refused["state"]["message"]
    assert not (tmp_path / "owned").exists() and not (tmp_path / "elsewhere").exists()
    assert completed[0]["auto_scheduled"] and "serving at" in said
    [zombie] = [r for r in nights(api, config) if r["id"] == killed["id"]]
    assert zombie["state_type"] == "CRASHED" and "process is gone" in zombie["state"]["message"]
    logged = ask(api, "logs/filter", logs={"flow_run_id": {"any_": [completed[-1]["id"]]}})
    assert any("texts: refresh took" in line["message"] for line in logged)
    records = [json.loads(p.read_text()) for p in sorted((tmp_path / "reports" / "runs").glob("*.json"))]
    assert [r["state"] for r in records[:2]] == ["interrupted", "done"] and records[0]["run"] == killed["id"]
    assert {"nightly", "nightly-counts", "nightly-report"} <= {a["key"] for a in ask(api, "artifacts/filter")}


def test_the_server_answers_only_who_knows_its_secret(api):
    import urllib.error

    with urllib.request.urlopen(f"{api}/health", timeout=10) as answer:
        assert answer.status == 200
    origin = {"Origin": "https://somewhere.example"}
    for path in ("flows/filter", "artifacts/filter", "flow_runs/filter"):
        request = urllib.request.Request(f"{api}/{path}", b"{}", {"Content-Type": "application/json"} | origin)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        refused.value.close()
        assert refused.value.code == 401
        assert "access-control-allow-origin" not in {k.lower() for k in refused.value.headers}
    secret = Path(os.environ["PREFECT_HOME"]) / "affectlake-secret"
    database = Path(os.environ["PREFECT_HOME"]) / "prefect.db"
    assert [p.stat().st_mode & 0o077 for p in (secret, database)] == [0, 0]
    assert secret.read_text() == os.environ["PREFECT_API_AUTH_STRING"]


def test_a_second_service_of_the_same_home_takes_the_first_ones_server(api):
    from affectlake.flows import server as module

    with pytest.MonkeyPatch.context() as patch:
        for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"):
            patch.delenv(name)
        with module.server() as url:
            assert url == api and os.environ["PREFECT_API_AUTH_STRING"]


def test_a_name_that_belongs_to_another_folder_is_refused_before_anything_is_replaced(api, tmp_path):
    from prefect.client.orchestration import get_client

    from affectlake.data.errors import UsageError
    from affectlake.flows.orchestration import nightly_flow, serve_nightly

    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    for config in (first, second):
        config.write_text('name = "shared"\n[[dataset]]\nname = "texts"\nmanifest = "texts.csv"\n')
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(nightly_flow)
        mine = client.create_deployment(flow_id, name="shared", parameters={"config": str(first)})
        with pytest.raises(UsageError, match=rf"'shared' of this Prefect server belongs to {first}: give {second}"):
            serve_nightly(str(second), "shared", "0 2 * * *", "UTC", lambda: pytest.fail("said that it serves"))
        assert client.read_deployment(mine).parameters == {"config": str(first)}


def test_a_zombie_is_marked_and_gives_its_slot_back(api, tmp_path):
    from prefect.client.orchestration import get_client
    from prefect.states import Pending, Running, Scheduled

    from affectlake.flows.history import alone
    from affectlake.flows.orchestration import nightly_flow, recover

    config = tmp_path / "c.toml"
    config.write_text('[[dataset]]\nname = "texts"\nmanifest = "texts.csv"\n')
    ago = datetime.now(UTC) - timedelta(hours=1)
    long_ago = ago - timedelta(days=1)
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(nightly_flow)
        limited = client.create_deployment(
            flow_id, name="limited", concurrency_limit=1, concurrency_options={"collision_strategy": "CANCEL_NEW"},
            parameters={"config": str(config)},
        )  # fmt: skip

        def started() -> bool:
            run = client.create_flow_run_from_deployment(limited)
            if client.set_flow_run_state(run.id, Pending()).status.value == "ACCEPT":
                client.set_flow_run_state(run.id, Running())
            return client.read_flow_run(run.id).state_type.value == "RUNNING"

        assert started() and not started()  # the limit is one
        with alone(tmp_path / "reports"):
            assert recover(str(config)) == []  # its process may well be alive
        assert len(recover(str(config))) == 1
        assert started()
        missed = [
            client.create_flow_run_from_deployment(limited, state=Scheduled(scheduled_time=due))
            for due in (long_ago, ago, ago)
        ]
        recover(str(config))  # one night makes up for all that were missed
        states = [client.read_flow_run(run.id).state_type.value for run in missed]
        assert sorted(states) == ["CANCELLED", "CANCELLED", "SCHEDULED"] and states[0] == "CANCELLED"


def test_a_second_night_is_cancelled_while_one_runs(api, tmp_path):
    from affectlake.flows.history import alone
    from affectlake.flows.orchestration import nightly_flow

    config = tmp_path / "c.toml"
    config.write_text('[[dataset]]\nname = "texts"\nmanifest = "texts.csv"\n')
    with alone(tmp_path / "reports"):
        state = nightly_flow(str(config), return_state=True)
    assert state.is_cancelled() and "another night is running" in state.message


def test_blocks_are_told(api, tmp_path):
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    from affectlake.flows.config import Notify
    from affectlake.flows.notify import notify
    from affectlake.flows.orchestration import send_block

    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listener:
        Thread(target=listener.handle_request, daemon=True).start()
        block = CustomWebhookNotificationBlock(
            name="team", url=f"http://127.0.0.1:{listener.server_port}/",
            json_data={"title": "{{subject}}", "text": "{{body}}"},
        )  # fmt: skip
        block.save("team", overwrite=True)
        record = {"name": "nightly", "state": "failed", "text": "all of it", "datasets": [], "interrupted": []}
        hook = Notify(block="custom-webhook/team", on=("always",), attempts=1)
        [said] = notify([hook], record, send_block)
    assert said["delivered"], said
    assert got == [{"title": "nightly: failed", "text": "all of it"}]


@pytest.fixture
def postgres(tmp_path):
    """URL of a PostgreSQL server of our own; skipped where Debian's postgresql is not installed."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not homes or shutil.which("setpriv") is None:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    as_user = []
    if os.geteuid() == 0:  # it refuses to run as root
        try:
            as_user = ["setpriv", "--reuid", str(pwd.getpwnam("postgres").pw_uid), "--clear-groups"]
        except KeyError:
            pytest.skip("no user postgres, and PostgreSQL does not run as root")
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        if as_user:
            shutil.chown(folder, "postgres")
        run = functools.partial(subprocess.run, check=True, stdout=subprocess.DEVNULL, cwd=folder)
        run([*as_user, homes[-1] / "initdb", "-D", f"{folder}/db", "-U", "prefect", "-A", "trust", "--no-sync"])
        command = [homes[-1] / "postgres", "-D", f"{folder}/db", "-p", str(port), "-k", folder, "-F"]
        process = subprocess.Popen([*as_user, *command], cwd=folder, stderr=subprocess.DEVNULL)
        try:
            until(
                lambda: (
                    subprocess.run([homes[-1] / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode == 0
                )
            )
            run([homes[-1] / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "prefect", "prefect"])
            yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/prefect"
        finally:
            process.send_signal(signal.SIGQUIT)  # nothing in it is worth a tidy end
            process.wait(30)


def test_a_worker_runs_the_deployment_from_a_server_on_postgresql(postgres, tmp_path):
    """`prefect deploy` with our prefect.yaml, a work pool, a worker, and a scheduled run that really fires."""
    from affectlake.flows.server import server

    config = tmp_path / "c.toml"
    (tmp_path / "texts.csv").write_text("sample_id,text\na,hello\nb,good evening\n")
    config.write_text('workers = 1\n[[dataset]]\nname = "texts"\nmanifest = "texts.csv"\nonly = ["text.style"]\n')
    deployment = (Path(__file__).parents[1] / "prefect.yaml").read_text()
    deployment = deployment.replace("config: affectlake.toml", f"config: {config}")
    (tmp_path / "prefect.yaml").write_text(deployment.replace('"0 2 * * *"', '"* * * * * */10"'))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        patch.setenv("PREFECT_HOME", str(tmp_path / "home"))
        patch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", postgres)
        with server() as url:
            prefect = [sys.executable, "-m", "prefect"]
            options = {"cwd": tmp_path, "env": environment(url) | {"PREFECT_WORKER_QUERY_SECONDS": "1"}}
            quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            for words in (["work-pool", "create", "affectlake", "--type", "process"], ["deploy", "--all"]):
                done = subprocess.run([*prefect, "--no-prompt", *words], **options, **quiet)
                assert done.returncode == 0, done.stdout
            worker = subprocess.Popen(
                [*prefect, "worker", "start", "--pool", "affectlake", "--limit", "1"],
                **options, **quiet, start_new_session=True,
            )  # fmt: skip
            try:
                completed = until(lambda: [r for r in nights(url, config) if r["state_type"] == "COMPLETED"])
            finally:
                os.killpg(worker.pid, signal.SIGKILL)
                print(worker.communicate()[0])  # shown where the test fails
    assert completed[0]["auto_scheduled"] and completed[0]["work_pool_name"] == "affectlake"
    record = json.loads(min((tmp_path / "reports" / "runs").glob("*.json")).read_text())
    assert record["datasets"][0]["changes"]["computed"] == {"text.style": 2}
