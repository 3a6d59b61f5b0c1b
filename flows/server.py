"""A Prefect server for this machine: schedules need one that keeps running."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from affectlake.data.errors import AffectlakeError
from affectlake.flows.settings import configure

START_SECONDS = 120


@contextmanager
def server() -> Iterator[str]:
    """URL of a Prefect API that runs schedules: the user's (``PREFECT_API_URL``), else one of our own until the end.

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
    port = _free_port()
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
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(url, process)
        os.environ["PREFECT_API_URL"] = url
        yield url
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AffectlakeError(f"the prefect server ended with exit code {process.returncode} before it answered")
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
