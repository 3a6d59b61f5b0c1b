"""One refresh on every engine: `python benchmarks/engines.py FOLDER [--engines local dask ray] [--kill SECONDS]`.

local    1 worker against 2: what the second one brings, on real recordings (FLAC or WAV files below FOLDER)
dask     a scheduler and two workers started by hand; with --kill one of them gets SIGKILL that long after the start
ray      two workers of a Ray of our own
Published values must equal those of one local worker, byte for byte. Seconds are those of the compute stage alone;
bytes are those of what comes back from workers to the process that runs the refresh.
"""

import argparse
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, nullcontext
from pathlib import Path

from affectlake.data import Store
from affectlake.flows import engines
from affectlake.flows.options import RefreshOptions
from affectlake.flows.refresh import refresh


def run(manifest: Path, store: Path, only: tuple[str, ...], workers: int, engine: str, address: str | None = None):
    options = RefreshOptions(
        "clips",
        manifest=str(manifest),
        store=str(store),
        only=only,
        workers=workers,
        engine=engine,
        address=address,
    )
    moved = 0

    def counted(work, options, places):
        nonlocal moved
        for results in engines.run(work, options, places):
            moved += len(pickle.dumps(results))
            yield results

    done = refresh(options, counted)
    return done.stages["compute"], Store(store).load("clips", to="arrow"), done.failed, moved


@contextmanager
def cluster(root: Path, kill: float | None):
    """Address of a Dask scheduler with two workers, one of which may be killed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    environment = os.environ | {"DASK_LOGGING__DISTRIBUTED": "error"}
    command = [sys.executable, "-c", "import sys; from dask.__main__ import main; main()"]
    words = [*command, "worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(root)]
    processes = [subprocess.Popen([*command, "scheduler", "--host", address, "--no-dashboard"], env=environment)]
    processes += [subprocess.Popen(words, env=environment) for _ in range(2)]
    if kill is not None:
        threading.Timer(kill, processes[1].kill).start()
    try:
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engines", nargs="+", default=["local", "dask"], choices=["local", "dask", "ray"])
    parser.add_argument("--only", nargs="+", default=["audio.prosody"])
    parser.add_argument("--clips", type=int, help="only so many of them")
    parser.add_argument("--kill", type=float)
    arguments = parser.parse_args()
    files = sorted(f for f in arguments.folder.rglob("*") if f.suffix in (".flac", ".wav"))[: arguments.clips]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        manifest = root / "clips.csv"
        manifest.write_text("sample_id,audio\n" + "".join(f"{i:05d},{f.absolute()}\n" for i, f in enumerate(files)))
        only = tuple(arguments.only)
        one, expected, failed, moved = run(manifest, root / "one", only, 1, "local")
        print(f"{len(files)} clips, {', '.join(only)}: one local worker {one:.1f} s, {failed} failed", flush=True)
        print(f"  results of {expected.num_columns - 1} columns: {moved / len(files):.0f} bytes a clip", flush=True)
        for engine in arguments.engines:
            serving = cluster(root, arguments.kill) if engine == "dask" else nullcontext()
            with serving as address:
                spent, found, failed, moved = run(manifest, root / engine, only, 2, engine, address)
            same = found.schema == expected.schema and all(
                a.combine_chunks().buffers() == b.combine_chunks().buffers()
                for a, b in zip(found.columns, expected.columns, strict=True)
            )
            print(
                f"  {engine:6} two workers {spent:.1f} s ({one / spent:.2f} x), {failed} failed, equal: {same}, "
                f"{moved / len(files):.0f} bytes a clip came back",
                flush=True,
            )


if __name__ == "__main__":
    main()
