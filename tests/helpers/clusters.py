"""A Dask cluster of processes, started by hand as on machines of their own."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def dask_cluster(folder: Path, plugins: str) -> Iterator[str]:
    """Address of a scheduler with two workers that find modules in ``plugins``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    environment = os.environ | {"PYTHONPATH": plugins, "DASK_LOGGING__DISTRIBUTED": "error"}
    command = [sys.executable, "-c", "import sys; from dask.__main__ import main; main()"]
    scheduler = [*command, "scheduler", "--host", address, "--no-dashboard"]
    worker = [*command, "worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]
    processes = [subprocess.Popen(words, env=environment) for words in (scheduler, worker, worker)]
    try:
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(20)
