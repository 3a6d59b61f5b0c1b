"""A Prefect server for this machine: schedules need one that keeps running."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from affectlake.data.errors import AffectlakeError
from affectlake.flows.settings import configure

START_SECONDS = 120


@contextmanager
def server() -> Iterator[str]:
    """URL of a Prefect API that runs schedules: the user's (``PREFECT_API_URL``), else one of our own until the end.

    Ours listens on this machine only, at ``PREFECT_SERVER_API_PORT`` or a free port.

    Prefect's ephemeral server does not do: it runs no scheduler, so a cron schedule would silently never fire.

    Raises
    ------
    AffectlakeError
        The server did not answer within `START_SECONDS`.
    """
    configure()
    if os.environ.get("PREFECT_API_URL"):
        yield os.environ["PREFECT_API_URL"]
        return
    port = int(os.environ.get("PREFECT_SERVER_API_PORT") or _free_port())
    url = f"http://127.0.0.1:{port}/api"
    command = [
        sys.executable,
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-ui",
    ]
    # Killed by SIGKILL we could not stop it, and two servers on one database schedule everything twice.
    if setpriv := shutil.which("setpriv"):
        command = [setpriv, "--pdeathsig", "TERM", *command]
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        try:
            _wait(url, process, said)
            _point_to(url)
            yield url
        finally:
            _point_to(None)
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _point_to(url: str | None) -> None:
    """Set or unset the API of this process and its children, also where prefect has read its settings already.

    Else `serve` would quietly start an ephemeral server, whose schedules never fire.
    """
    if url is None:
        os.environ.pop("PREFECT_API_URL", None)
    else:
        os.environ["PREFECT_API_URL"] = url
    if "prefect.context" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


def _wait(url: str, process: subprocess.Popen, said: IO[str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said.seek(0)
            last = next((line.strip() for line in reversed(said.readlines()) if line.strip()), "it said nothing")
            raise AffectlakeError(
                f"the prefect server ended before it answered, exit code {process.returncode}: {last}"
            )
        try:
            urllib.request.urlopen(f"{url}/health", timeout=2).close()
            return
        except OSError:
            time.sleep(0.3)
    raise AffectlakeError(f"the prefect server at {url} did not answer within {START_SECONDS} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
