"""What accidents do to a store: `python benchmarks/chaos.py [kills freezes workers full limit rot] [--times N]`.

kills: writers end by SIGKILL at random moments, beside a reader. freezes: two writers, one of which is stopped
(SIGSTOP) at a random moment and comes back late, every other time after its lock is gone, as on another machine.
workers: SIGKILL of one or of all worker processes of a refresh. full: a disk of 32 MB, ever less of it left (needs the
right to mount). limit: the same by a limit of the size of files. rot: one bit flipped in any file of a store.

A row for each: how often it was tried, and what was counted. Where one of these is not 0, a promise was broken:

broken: reads (or refreshes) that failed. mixed: reads of two states at once. lost: rows that were not there. wrong:
reads of values that were never written. back: times that something older was shown than before. gone: snapshots that
were seen and are no more. unexplained: failures without one line that says why. raw: errors in the words of a library.
missed: flipped bits that `verify` does not find. unequal: datasets that in the end are not what they are in a store
that nobody disturbed.
"""

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS / "helpers"))

from lakes import expected, read, refresh  # noqa: E402

from affectlake.data import Store  # noqa: E402
from affectlake.data.errors import AffectlakeError  # noqa: E402

N = 600
WRITER = """
import sys
sys.path.insert(0, {helpers!r})
from affectlake.data import Store
from lakes import refresh
store, number = Store({uri!r}), {number}
while True:
    refresh(store, {{f"p{{i % 7}}-{{i:05d}}": f"c{{i}}-{{number}}" for i in range({n})}}, dataset={dataset!r})
    number += 1
"""
COMMAND = "from affectlake.flows.cli.app import main\nif __name__ == '__main__':\n    main()\n"


def contents(number: int, n: int = N) -> dict[str, str]:
    return {f"p{i % 7}-{i:05d}": f"c{i}-{number}" for i in range(n)}


def writer(store: Store, number: int, dataset: str = "d") -> subprocess.Popen[bytes]:
    code = WRITER.format(helpers=str(TESTS / "helpers"), uri=store.uri, number=number, n=N, dataset=dataset)
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)


def look(store: Store, found: Counter[str], as_of: str | None = None, dataset: str = "d") -> None:
    """Read a snapshot whole, and count what is not as it should be."""
    found["reads"] += 1
    try:
        snapshot = store.snapshot(dataset, as_of)
        content = store.contents(dataset, snapshot)["audio.x"]
        values = read(store, snapshot, dataset)
    except Exception as error:  # whatever a reader may meet
        found["broken"] += 1
        print(f"broken: {type(error).__name__}: {error}", file=sys.stderr)
        return
    found["mixed"] += content.str.split("-").str[1].nunique() != 1
    found["lost"] += N - len(values)
    found["wrong"] += values != expected(content.to_dict())


def equal_to_calm(store: Store, folder: Path, number: int, dataset: str = "d") -> bool:
    """Whether one more refresh makes the dataset what it is in a store that nobody disturbed."""
    refresh(store, contents(number), dataset=dataset)
    calm = Store(folder / f"calm-{dataset}", create=True)
    refresh(calm, contents(number), dataset=dataset)
    return store.load(dataset).equals(calm.load(dataset))


# Writers -------------------------------------------------------------------------------------------------------------


def kills(folder: Path, times: int) -> Counter[str]:
    found: Counter[str] = Counter(reads=0, broken=0, mixed=0, lost=0, wrong=0)
    rng = np.random.default_rng(0)
    store = Store(folder / "lake", create=True)
    refresh(store, contents(0))
    for kill in range(times):
        process = writer(store, 1 + 1000 * kill)
        end = time.monotonic() + 1.5 + rng.uniform(0, 1.5)
        while time.monotonic() < end:
            look(store, found)
        process.kill()
        process.wait()
        look(store, found)
    for name in store.snapshots()["snapshot"]:
        look(store, found, name)
        found["snapshots"] += 1
    found["unequal"] = int(not equal_to_calm(store, folder, -1))
    return found


class Watch:
    """What was newest so far: of each dataset's snapshots, and of ``current``."""

    def __init__(self, store: Store, found: Counter[str]):
        self.store, self.found = store, found
        self.numbers: dict[str, int] = {}
        self.seen: set[str] = set()
        self.views: list[str] = []

    def look(self) -> None:
        for dataset in ("d", "e"):
            look(self.store, self.found, dataset=dataset)
            snapshot = self.store.snapshot(dataset)
            self.seen.add(snapshot.id)
            self.found["back"] += snapshot.number < self.numbers.get(dataset, 0)
            self.numbers[dataset] = snapshot.number
        view = os.readlink(Path(self.store.uri) / "current")
        if view not in self.views[-1:]:
            self.found["back"] += view in self.views
            self.views.append(view)

    def look_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()


def freezes(folder: Path, times: int) -> Counter[str]:
    found: Counter[str] = Counter(reads=0, broken=0, mixed=0, lost=0, wrong=0, back=0, ended=0)
    rng = np.random.default_rng(1)
    store = Store(folder / "lake", create=True)
    for dataset in ("d", "e"):
        refresh(store, contents(0), dataset=dataset)
    watch = Watch(store, found)
    for freeze in range(times):
        processes = [writer(store, 1 + 1000 * freeze), writer(store, 1 + 1000 * freeze, "e")]
        watch.look_for(1.5 + rng.uniform(0, 0.5))
        processes[0].send_signal(signal.SIGSTOP)
        if freeze % 2:
            # On another machine, or after its lock has run out, nobody would wait for it.
            shutil.rmtree(Path(store.uri) / ".locks")
            processes.append(writer(store, 501 + 1000 * freeze))
        watch.look_for(1.5)
        processes[0].send_signal(signal.SIGCONT)
        watch.look_for(1.0)
        found["ended"] += sum(p.poll() is not None for p in processes)
        for process in processes:
            process.kill()
            process.wait()
    published = set(store.snapshots()["snapshot"])
    found["snapshots"] = len(published)
    found["gone"] = len(watch.seen - published)
    for dataset in ("d", "e"):
        found["unequal"] += not equal_to_calm(store, folder, -1, dataset)
        plain = pd.read_parquet(Path(store.uri) / "current" / dataset / "audio.x")
        found["unequal"] += plain.set_index("sample_id")["a"].to_dict() != read(store, dataset=dataset)
    return found


# Worker processes ----------------------------------------------------------------------------------------------------


TEXTS = 1100
"""More than two chunks of a refresh, so that there are two processes."""


def texts(folder: Path) -> Path:
    path = folder / "texts.csv"
    frame = pd.DataFrame({"sample_id": [f"t{i:03d}" for i in range(TEXTS)]})
    frame["text"] = [f"work slowly {i % 50 * '!'} {i}" for i in range(TEXTS)]
    frame.to_csv(path, index=False)
    return path


def command(folder: Path, *words: str, limit: int | None = None) -> subprocess.Popen[str]:
    """The command as a user starts it; `limit`: bytes that a file may have."""
    (folder / "main.py").write_text(COMMAND)
    environment = os.environ | {"PYTHONPATH": str(TESTS / "plugin"), "EVIL_LOG": str(folder / "log")}

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, folder / "main.py", *words], env=environment, text=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, preexec_fn=None if limit is None else limited,
    )  # fmt: skip


def refreshing(folder: Path, store: Path, manifest: Path, limit: int | None = None) -> subprocess.Popen[str]:
    words = ("refresh", "d", "--manifest", str(manifest), "--store", str(store), "--only", "text.evil")
    return command(folder, *words, "--workers", "2", "--prefect", "never", limit=limit)


def workers_of(pid: int) -> list[int]:
    """Processes that were spawned to work, not those that count resources."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"spawn_main" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def kill_some(process: subprocess.Popen[str], every: bool, wait: float) -> int:
    """SIGKILL of one worker process, or of all of them, a while after there are two; how many were killed."""
    while process.poll() is None:
        with suppress(OSError):
            if len(workers_of(process.pid)) >= 2:
                time.sleep(wait)
                victims = workers_of(process.pid)[: None if every else 1]
                for pid in victims:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return len(victims)
        time.sleep(0.02)
    return 0


def workers(folder: Path, times: int) -> Counter[str]:
    found: Counter[str] = Counter(processes=0, broken=0, lost=0)
    rng = np.random.default_rng(2)
    manifest = texts(folder)
    while found["kills"] < times:
        store = folder / f"lake{found['refreshes']}"
        process = refreshing(folder, store, manifest)
        for _ in range(3):
            killed = kill_some(process, bool(found["kills"] % 2), rng.uniform(0, 3.5))
            found["processes"] += killed
            found["kills"] += bool(killed)
        _, said = process.communicate()
        found["refreshes"] += 1
        found["broken"] += process.returncode != 0
        if process.returncode:
            print(said[-1000:], file=sys.stderr)
        values = Store(store).load("d", missing="drop")
        found["lost"] += TEXTS - len(values)
    return found


# No space ------------------------------------------------------------------------------------------------------------


ROWS = 400
LEFT = (0, 8, 16, 24, 32, 48, 64, 96, 128, 200, 300)
"""kB that a refresh finds."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def manifests(folder: Path) -> list[Path]:
    paths = []
    for number in range(2):
        paths.append(folder / f"{number}.csv")
        frame = pd.DataFrame({"sample_id": [f"t{i:03d}" for i in range(ROWS)]})
        frame.assign(text=[f"{number * '!'}{i * '!'} {number}" for i in range(ROWS)]).to_csv(paths[-1], index=False)
    return paths


def no_space(
    folder: Path, store: Path, times: int, fill: Callable[[int], int | None], free: Callable[[], None]
) -> Counter[str]:
    """A refresh for so many of `LEFT`, and others when there is space again.

    `fill` leaves so many bytes, and may return the limit of a file's size instead; `free` takes that back.
    """
    found: Counter[str] = Counter(finished=0, failed=0, unexplained=0, broken=0, unequal=0)
    before, after = manifests(folder)
    if refreshing(folder, store, before).wait():
        raise RuntimeError("no refresh succeeds here")
    first = Store(store).load("d")
    wanted = [first, first.assign(**{"text.evil.length": range(3, ROWS + 3)}).astype(np.float32)]
    for left in LEFT[:: -(-len(LEFT) // times)]:
        process = refreshing(folder, store, after, fill(1000 * left))
        _, said = process.communicate()
        told = [line for line in said.splitlines() if line.startswith("affectlake: ")]
        found["failed" if process.returncode else "finished"] += 1
        if "Traceback" in said or (process.returncode and (process.returncode != 1 or len(told) != 1)):
            found["unexplained"] += 1
            print(said, file=sys.stderr)
        for line in told if process.returncode else ():
            print(f"{left} kB: {line}", file=sys.stderr)
        try:
            if not any(Store(store).load("d").equals(w) for w in wanted):
                found["broken"] += 1
                print(f"{left} kB, then: neither the old values nor the new ones", file=sys.stderr)
        except AffectlakeError as error:
            found["broken"] += 1
            print(f"{left} kB, then: {error}", file=sys.stderr)
        free()
        for manifest in (after, before):
            process = refreshing(folder, store, manifest)
            _, said = process.communicate()
            if process.returncode:
                found["broken"] += 1
                print(f"{left} kB, with space again: {said}", file=sys.stderr)
        found["unequal"] += not Store(store).load("d").equals(first)
        for damage in Store(store).verify()["damaged"]:
            found["broken"] += 1
            print(f"{left} kB: {damage['file']}: {damage['why']}", file=sys.stderr)
    return found


def full(folder: Path, times: int) -> Counter[str]:
    with small_disk(folder) as disk:
        ballast = disk / "ballast"

        def fill(left: int) -> None:
            ballast.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - left)))

        return no_space(folder, disk / "lake", times, fill, ballast.unlink)


def limit(folder: Path, times: int) -> Counter[str]:
    return no_space(folder, folder / "lake", times, lambda left: max(left // 4, 1000), lambda: None)


# Rot -----------------------------------------------------------------------------------------------------------------


def rot(folder: Path, times: int) -> Counter[str]:
    found: Counter[str] = Counter(found=0, missed=0, named=0, unharmed=0, wrong=0, healed=0, told=0, raw=0, unequal=0)
    rng = np.random.default_rng(3)
    sound = Store(folder / "lake", create=True)
    for number in (0, 1):
        refresh(sound, contents(number, 60))
    root = Path(sound.uri)
    tables = ("features", "tables", "snapshots")
    files = sorted(
        p.relative_to(root) for t in tables for p in (root / t).rglob("*") if p.suffix in (".parquet", ".json")
    )
    values = sound.load("d")
    for i in range(times):
        file, copy = files[int(rng.integers(len(files)))], folder / f"copy{i}"
        shutil.copytree(root, copy, symlinks=True)
        flip(copy / file, rng)
        decay(Store(copy), str(file), values, found)
        shutil.rmtree(copy)
    return found


def flip(path: Path, rng: np.random.Generator) -> None:
    raw = bytearray(path.read_bytes())
    raw[int(rng.integers(len(raw)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(raw))


def decay(store: Store, file: str, values: pd.DataFrame, found: Counter[str]) -> None:
    """Look for the flipped bit, read in spite of it, repair it, and compare with what there was."""
    where = [d["file"] for d in store.verify()["damaged"]]
    seen = any(file.startswith(w) for w in where)
    found["found" if seen else "missed"] += 1
    if not seen:
        print(f"missed: {file}, said {where}", file=sys.stderr)
    try:
        found["unharmed" if Store(store.uri).load("d").equals(values) else "wrong"] += 1
    except AffectlakeError as error:
        found["named"] += any(w in str(error) for w in where)
    except Exception as error:  # whatever a reader may meet
        found["raw"] += 1
        print(f"{file}: {type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
    try:
        lost = store.repair("d")["lost"]
        refresh(store, contents(1, 60))
    except AffectlakeError as error:
        found["told"] += 1
        print(f"not mended: {file}: {error}", file=sys.stderr)
        return
    except Exception as error:  # as above
        found["raw"] += 1
        print(f"not mended: {file}: {type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
        return
    found["healed"] += store.verify()["damaged"] == []
    found["told"] += bool(lost)
    found["unequal"] += not Store(store.uri).load("d").equals(values)


ACCIDENTS: dict[str, tuple[Callable[[Path, int], Counter[str]], int]] = {
    "kills": (kills, 50),
    "freezes": (freezes, 20),
    "workers": (workers, 34),
    "full": (full, len(LEFT)),
    "limit": (limit, len(LEFT)),
    "rot": (rot, 100),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("accidents", nargs="*", metavar="ACCIDENT", choices=[*ACCIDENTS, []], default=[])
    parser.add_argument("--times", type=int, help="how often each is tried")
    arguments = parser.parse_args()
    print("| accident | times | counted | s |\n|---|---|---|---|")
    for name in arguments.accidents or ACCIDENTS:
        accident, times = ACCIDENTS[name]
        times = arguments.times or times
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            counted = ", ".join(f"{what} {n}" for what, n in accident(Path(folder), times).items())
        print(f"| {name} | {times} | {counted} | {time.monotonic() - start:.0f} |", flush=True)


if __name__ == "__main__":
    main()
