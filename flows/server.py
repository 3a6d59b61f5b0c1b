"""A Prefect server for this machine: schedules need one that keeps running."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Literal

from affectlake.data.errors import AffectlakeError
from affectlake.flows import settings
from affectlake.flows.settings import configure

START_SECONDS = 120
WATCH_SECONDS = 5.0
"""Between two looks at a server that nights depend on."""

_ADDRESS = "affectlake-server.json"
"""In Prefect's home: where the server of that home listens; locked as long as there is one."""


@contextmanager
def server() -> Iterator[str]:
    """URL of a Prefect API that runs schedules: the user's (``PREFECT_API_URL``), else one of our own until the end.

    Ours listens on this machine only, at ``PREFECT_SERVER_API_PORT`` or a free port, and answers only who knows the
    secret in Prefect's home, which is ours alone. Where such a server of the same home runs already, it is that one.

    Prefect's ephemeral server does not do: it runs no scheduler, so a cron schedule would silently never fire.

    Raises
    ------
    AffectlakeError
        The server did not answer within `START_SECONDS`, its port is taken, Prefect's home cannot be written; or it
        ended while it was needed, for then no night would ever begin again.
    """
    configure()
    if url := settings.api_url():
        yield url
        return
    _wanted_port()  # prefect itself would end with a traceback
    with _prepared() as (secret, address):
        if settings.locked(address, wait=False):
            with _started(secret, _SERVER, _port()) as (url, process), _needed(url, process):
                address.truncate(0)
                address.write(json.dumps({"url": url, "process": os.getpid()}))
                address.flush()
                try:
                    yield url
                finally:
                    address.truncate(0)
        else:
            url = _known(address, secret)
            with _environment(url), _needed(url, None):
                yield url


@contextmanager
def api() -> Iterator[None]:
    """A Prefect API to tell of a single run: the user's, that of the service of the same home, else one until the end.

    The last is what Prefect calls an ephemeral server, but in a session of its own: Prefect's gets the Ctrl-C of the
    terminal too, and is gone when the run has to be ended.

    Raises
    ------
    AffectlakeError
        As `server`.
    """
    configure()
    if settings.api_url():
        yield
        return
    with _prepared() as (secret, address):
        if running():
            with _environment(_known(address, secret)):
                yield
        else:
            with _started(secret, _EPHEMERAL, _port(0), PREFECT__SERVER_EPHEMERAL="1"):
                yield


Mode = Literal["auto", "always", "never"]
"""Whether a command runs as a Prefect flow: auto is where an API is configured, or a service of the same home runs."""


def wanted(mode: Mode | None) -> bool:
    """Whether to run as a flow; None is never."""
    return mode == "always" or (mode == "auto" and (settings.api_url() is not None or running()))


def running() -> bool:
    """Whether a service of the same home has its server now."""
    try:
        with (settings.path() / _ADDRESS).open() as address:
            url = json.loads(address.read())["url"]
            # What nobody locks was left by a service that was killed: a stranger may listen there now.
            return not settings.locked(address, wait=False) and _answers(url)
    except (OSError, RuntimeError, ValueError):
        return False


@contextmanager
def _prepared() -> Iterator[tuple[str, IO[str]]]:
    """The secret, in the environment until the end, and the file that says where the server of a home listens."""
    given = {name: os.environ.get(name) for name in (settings.CLIENT, settings.SERVER)}
    try:
        secret = settings.prepare()
        with (settings.home() / _ADDRESS).open("a+") as address:
            yield secret, address
    finally:
        for name, value in given.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        settings.reread()


_SERVER = ("prefect", "server", "start", "--no-ui")
_EPHEMERAL = ("uvicorn", "--factory", "prefect.server.api.server:create_app", "--log-level", "error")


Started = tuple[str, subprocess.Popen[bytes]]


@contextmanager
def _started(secret: str, program: Sequence[str], port: int, **variables: str) -> Iterator[Started]:
    url = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", *program, "--host", "127.0.0.1", "--port", str(port)]
    # Killed by SIGKILL we could not stop it, and two servers on one database schedule everything twice.
    if setpriv := shutil.which("setpriv"):
        command = [setpriv, "--pdeathsig", "TERM", *command]
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        # In the environment, which other users cannot read, and not among the arguments, which they can. In a session
        # of its own, for the Ctrl-C that ends us has to be told to the server yet.
        process = subprocess.Popen(
            command,
            env=os.environ | variables,
            stdout=subprocess.DEVNULL,
            stderr=said,
            umask=0o077,
            start_new_session=True,
        )
        try:
            _wait(url, process, said, secret)
            with _environment(url):
                yield url, process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _known(address: IO[str], secret: str) -> str:
    """The URL of the server that another process of ours has started on the same home, as soon as it has."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        address.seek(0)
        with suppress(ValueError):
            url = json.loads(address.read())["url"]
            if _is_ours(url, secret):
                return url
        time.sleep(0.3)
    raise AffectlakeError(
        f"the Prefect server that another process keeps in {settings.home()} does not answer: end that process, or "
        "name another folder, PREFECT_HOME"
    )


@contextmanager
def _environment(url: str) -> Iterator[None]:
    """Point this process and its children to an API, also where prefect has read its settings already.

    Else `serve` would quietly start an ephemeral server, whose schedules never fire.
    """
    os.environ["PREFECT_API_URL"] = url
    settings.reread()
    try:
        yield
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        settings.reread()


@contextmanager
def _needed(url: str, process: subprocess.Popen[bytes] | None) -> Iterator[None]:
    """End what is done inside as soon as the server has ended: `serve` would wait for it without a word, for good."""
    over, died = threading.Event(), threading.Event()

    def watch() -> None:
        misses = 0
        while not over.wait(WATCH_SECONDS):
            gone = process.poll() is not None if process else not _answers(url)
            misses = misses + 1 if gone else 0
            if misses > (0 if process else 3):
                died.set()
                os.kill(os.getpid(), signal.SIGINT)
                if not over.wait(30):
                    print(f"affectlake: {_ended(url, process)}", file=sys.stderr, flush=True)
                    os._exit(1)
                return

    watcher = threading.Thread(target=watch, name="prefect server", daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        if not died.is_set():
            raise
    finally:
        over.set()
    if died.is_set():
        raise AffectlakeError(_ended(url, process))


def _ended(url: str, process: subprocess.Popen[bytes] | None) -> str:
    how = f" (exit code {process.poll()})" if process else ""
    return f"the Prefect server at {url} ended{how}: no night would begin any more; what was computed is kept"


def _wait(url: str, process: subprocess.Popen[bytes], said: IO[str], secret: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said.seek(0)
            last = next((line.strip() for line in reversed(said.readlines()) if line.strip()), "it said nothing")
            raise AffectlakeError(
                f"the prefect server ended before it answered, exit code {process.returncode}: {last}"
            )
        if _answers(url):
            # Between the look at the port and the start somebody else may have taken it.
            ours = False if process.poll() is not None else _is_ours(url, secret)
            if ours:
                return
            if ours is False:
                raise AffectlakeError(
                    f"at {url} answers a server that is not ours: PREFECT_SERVER_API_PORT names its port"
                )
        time.sleep(0.3)
    raise AffectlakeError(f"the prefect server at {url} did not answer within {START_SECONDS} s")


def _answers(url: str) -> bool:
    return _status(f"{url}/health") == 200


def _is_ours(url: str, secret: str) -> bool | None:
    """Whether a server refuses strangers and takes our secret; None where it was too busy to say."""
    version = f"{url}/admin/version"
    found = _status(version), _status(version, secret)
    return None if None in found else found == (401, 200)


def _status(url: str, secret: str | None = None) -> int | None:
    request = urllib.request.Request(url)
    if secret:
        request.add_header("Authorization", "Basic " + base64.b64encode(secret.encode()).decode())
    # Never by a proxy: it is this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, ValueError):
        return None


def _wanted_port() -> int:
    given = os.environ.get("PREFECT_SERVER_API_PORT", "").strip() or "0"
    if not (given.isdecimal() and int(given) < 65536):
        raise AffectlakeError(f"PREFECT_SERVER_API_PORT cannot be {given!r}: expected a number below 65536")
    return int(given)


def _port(wanted: int | None = None) -> int:
    wanted = _wanted_port() if wanted is None else wanted
    with socket.socket() as probe:
        # As the server does; else the port of one that has just ended would seem to be taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            why = f"{wanted} ({error.strerror})"
            raise AffectlakeError(f"Prefect's server cannot have port {why}: set PREFECT_SERVER_API_PORT") from None
        return probe.getsockname()[1]
