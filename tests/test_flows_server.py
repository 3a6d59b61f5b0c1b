"""Prefect's server on a machine that others use, too: ports, secrets, folders, ends. No server is started here."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from affectlake.data.errors import AffectlakeError
from affectlake.flows import server, settings
from affectlake.flows.config import Config, Notify, load_config


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    for name in (settings.CLIENT, settings.SERVER, "PREFECT_API_URL", "PREFECT_SERVER_API_PORT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def test_a_home_is_made_for_its_owner_alone(home):
    assert settings.home() == home and home.stat().st_mode & 0o777 == 0o700


def test_a_home_that_cannot_be_written_is_named(home, monkeypatch):
    home.parent.mkdir(exist_ok=True)
    home.write_text("a file")
    with pytest.raises(AffectlakeError, match=rf"{home} cannot be written .*PREFECT_HOME, or do without Prefect"):
        with server.server():
            pass


def test_the_secret_is_made_once_and_is_the_owners(home):
    path = settings.home() / "affectlake-secret"
    secret = settings._secret(path)
    assert settings._secret(path) == secret and len(secret) > 40 and path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(AffectlakeError, match="mode 600"):
        settings._secret(path)


def test_the_database_is_made_by_one_at_a_time_and_once(home, monkeypatch):
    running, most, calls = 0, 0, []

    def run(command, **how):
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.05)
        calls.append(command)
        (home / "prefect.db").touch(0o644)
        running -= 1
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(settings.subprocess, "run", run)
    # Threads stand for processes here, each of which has its own environment and settings of Prefect.
    monkeypatch.setattr(settings, "configure", lambda: None)
    monkeypatch.setattr(settings, "reread", lambda: None)
    threads = [threading.Thread(target=settings.prepare) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(calls) == most == 1 and (home / "prefect.db").stat().st_mode & 0o007 == 0
    monkeypatch.setattr(settings, "version", lambda name: "another")
    settings.prepare()
    assert len(calls) == 2


def test_a_database_that_cannot_be_made_says_why(home, monkeypatch):
    answer = subprocess.CompletedProcess([], 1, "", "Traceback\n\nOperationalError: disk full\n")
    monkeypatch.setattr(settings.subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(AffectlakeError, match="cannot be made ready: OperationalError: disk full"):
        settings.prepare()


def test_a_taken_port_is_an_error_before_anything_is_started(home, monkeypatch):
    monkeypatch.setattr(settings, "_migrated", lambda folder: None)
    monkeypatch.setattr(server.subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("PREFECT_SERVER_API_PORT", str(port))
        with pytest.raises(AffectlakeError, match=f"cannot have port {port} .*PREFECT_SERVER_API_PORT"):
            with server.server():
                pass
    monkeypatch.setenv("PREFECT_SERVER_API_PORT", "many")
    with pytest.raises(AffectlakeError, match="cannot be 'many'"):
        with server.server():
            pass
    assert settings.CLIENT not in os.environ and settings.SERVER not in os.environ


@pytest.mark.parametrize("asks", [False, True])
def test_a_server_that_is_not_ours_is_not_taken_for_ours(asks):
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(401 if asks and "version" in self.path else 200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Stranger) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{listener.server_port}/api"
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            with pytest.raises(AffectlakeError, match="a server that is not ours"):
                server._wait(url, process, None, "affectlake:secret")
        finally:
            process.communicate()
            listener.shutdown()


def test_a_server_that_dies_ends_what_waits_for_it(monkeypatch):
    monkeypatch.setattr(server, "WATCH_SECONDS", 0.05)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with pytest.raises(AffectlakeError, match=r"ended \(exit code -9\): no night would begin any more"):
        with server._needed("http://127.0.0.1:1/api", process):
            process.kill()
            time.sleep(60)
    process.communicate()
    with pytest.raises(AffectlakeError, match="at http://127.0.0.1:1/api ended: "):
        with server._needed("http://127.0.0.1:1/api", None):
            with contextlib.suppress(KeyboardInterrupt):  # as Prefect's runner does
                time.sleep(60)


def test_an_interrupt_by_a_person_stays_one():
    with pytest.raises(KeyboardInterrupt):
        with server._needed("http://127.0.0.1:1/api", None):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)


HOOK = "https://me:pass@hooks.example.org/services/T0/B0/s3cret?key=more"


def test_the_address_of_a_hook_is_not_printed(tmp_path, monkeypatch):
    monkeypatch.setenv("TEAM_HOOK", HOOK)
    path = tmp_path / "c.toml"
    path.write_text('[[dataset]]\nname = "d"\nmanifest = "m.csv"\n[[notify]]\nwebhook = "$TEAM_HOOK"\n')
    config: Config = load_config(path)
    assert config.notify[0].webhook == HOOK
    shown = repr(config) + str(config.notify[0].public())
    assert "s3cret" not in shown and "pass" not in shown and "https://hooks.example.org/…" in shown
    monkeypatch.setenv("TEAM_HOOK", "hooks.example.org/s3cret")
    with pytest.raises(AffectlakeError) as wrong:
        load_config(path)
    assert "no http:// or https:// address" in str(wrong.value) and "s3cret" not in str(wrong.value)


def test_what_a_hook_answers_is_recorded_without_its_address():
    from affectlake.flows.notify import notify

    record = {"name": "n", "state": "done", "text": "", "datasets": [], "interrupted": []}
    hook = Notify(webhook="http://127.0.0.1:1/s3cret path?key=s3cret", on=("always",), attempts=1)
    [said] = notify([hook], record)
    assert not said["delivered"] and "s3cret" not in str(said)


def test_a_server_that_is_too_busy_to_say_whose_it_is_is_asked_again(monkeypatch):
    class Running:
        returncode = None

        def poll(self):
            return None

    asked = iter([None, None, True])
    monkeypatch.setattr(server, "_answers", lambda url: True)
    monkeypatch.setattr(server, "_is_ours", lambda url, secret: next(asked))
    monkeypatch.setattr(server.time, "sleep", lambda seconds: None)
    server._wait("http://127.0.0.1:1/api", Running(), None, "secret")
    assert next(asked, "all were asked") == "all were asked"


def test_a_command_is_a_flow_where_there_is_somebody_to_tell(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [server.wanted(m) for m in ("auto", "always", "never", None)] == [False, True, False, False]
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    assert [server.wanted(m) for m in ("auto", "never", None)] == [True, False, False]
    with server.api():  # the user's: nothing is started
        assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:1/api"


@pytest.mark.parametrize(
    "name, text",
    [
        ("home/profiles.toml", 'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://127.0.0.1:1/api"\n'),
        ("prefect.toml", '[api]\nurl = "http://127.0.0.1:1/api"\n'),
        (".env", "PREFECT_API_URL=http://127.0.0.1:1/api\n"),
    ],
    ids=["profile", "settings", "environment"],
)
def test_an_api_that_a_file_of_prefects_names_is_the_users(home, tmp_path, name, text):
    home.mkdir()
    (tmp_path / name).write_text(text)
    code = "from affectlake.flows import server; print(server.settings.api_url(), server.wanted('auto'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "http://127.0.0.1:1/api True\n", done.stderr


def test_the_address_that_a_killed_service_left_is_nobodys(home):
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    assert not server.running()
    with HTTPServer(("127.0.0.1", 0), Stranger) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        with (settings.home() / server._ADDRESS).open("w+") as address:
            address.write(json.dumps({"url": f"http://127.0.0.1:{listener.server_port}/api"}))
            address.flush()
            assert not server.running()
            assert settings.locked(address, wait=False)
            assert server.running()
        listener.shutdown()


def test_a_server_outlives_the_interrupt_of_its_terminal(home, tmp_path, monkeypatch):
    (tmp_path / "sleeper.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(server, "_wait", lambda *_: None)
    with server._started("secret", ["sleeper"], 1) as (_, process):
        assert os.getsid(process.pid) != os.getsid(0)
    assert process.returncode == -signal.SIGTERM
