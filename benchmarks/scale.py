"""What a growing archive costs: `python benchmarks/scale.py [--samples 10000 100000 1000000] [--files N] [--in DIR]`.

For each size: files of 8 x 8 pixels in folders of a thousand (one per sample, or with ``--files`` so many that samples
share), a Parquet manifest of them with a text each (every text ten times), and `affectlake.flows.refresh.refresh` with
an extractor of 88 columns that costs next to nothing and with text.style. Every operation runs in a process of its own,
as a night does, and prints by stage: seconds on the clock, seconds of processor time, and GiB of peak resident memory
(``own``: without pages of mapped files); worker processes count in the first only. Where other work shares the machine,
trust the second. With ``--made-up`` values are made up instead of computed, so that nothing but the refreshing process
is measured. The store and the files are deleted afterwards. ``--plot LOG PICTURE`` draws what a run printed, as SVG.
"""

import argparse
import json
import math
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

PLUGIN = '''
"""An extractor that costs next to nothing, so that what is measured is everything else."""

import numpy as np

from affectlake.features.protocol import Column


class Tiny:
    name = "image.tiny"
    version = "1"
    reads = "image"
    parameters = {}
    columns = tuple(Column(f"c{i}") for i in range(88))
    requires = ()
    install = "already there"
    cost = 0.01
    licence = "Apache-2.0"
    summary = "Pixels, scaled."

    def weights(self):
        return ()

    def extract(self, batch):
        return [np.resize(picture.ravel(), 88).astype(np.float32) / 255 for picture in batch]


extractor = Tiny()
'''
MADE_UP = "SCALE_MADE_UP"
ENTRY = "[affectlake.extractors]\ntiny = tiny_extractor:extractor\n"
STAGES = ("samples", "lock", "scan", "plan", "compute", "publish", "total", "own")
OPERATIONS = ("first", "unchanged", "1 % in a row", "1 % spread", "load", "load a column")


class Memory:
    """Samples this process's resident memory and processor time every 10 ms; use as a context manager."""

    def __enter__(self) -> "Memory":
        self.points: list[tuple[float, float, float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        with open("/proc/self/statm") as file:
            while not self._stop.wait(0.01):
                file.seek(0)
                resident, shared = (int(pages) * page / 2**30 for pages in file.read().split()[1:3])
                self.points.append((time.perf_counter(), resident, time.process_time(), resident - shared))

    def between(self, start: float, end: float) -> tuple[float, float]:
        """Peak in GiB, and seconds of processor time."""
        at, resident, spent, _ = np.array(self.points).T
        inside = resident[(start <= at) & (at <= end)]
        return float(inside.max(initial=0.0)), float(np.interp(end, at, spent) - np.interp(start, at, spent))

    @property
    def own(self) -> float:
        """Peak in GiB without pages of mapped files, which the system takes back where it needs room."""
        return max(point[3] for point in self.points)


def picture(root: Path, i: int) -> Path:
    return root / "files" / f"{i // 1000:04d}" / f"{i:07d}.png"


def write_picture(path: Path, seed: int) -> None:
    import cv2

    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    path.write_bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes())


_PART = 100_000


def _samples(root: Path, chosen: range, files: int) -> dict[str, list[str]]:
    return {
        "sample_id": [f"sample-{i:08d}" for i in chosen],
        "speaker": [f"speaker-{i % 5000}" for i in chosen],
        "image": [str(picture(root, i % files).relative_to(root)) for i in chosen],
        "text": [f"I think that number {i // 10} makes me happy!" for i in chosen],
        "emotion": [("happy", "sad")[i % 2] for i in chosen],
    }


def archive(root: Path, n: int, files: int) -> None:
    """Files, manifest and plug-in."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for i in range(files):
        path = picture(root, i)
        if i % 1000 == 0:
            path.parent.mkdir(parents=True)
        write_picture(path, i)
    writer = None
    for first in range(0, n, _PART):
        part = pa.table(_samples(root, range(first, min(first + _PART, n)), files))
        writer = writer or pq.ParquetWriter(root / "manifest.parquet", part.schema)
        writer.write_table(part)
    if writer:
        writer.close()
    plug_in(root / "plugin")


def plug_in(folder: Path) -> None:
    """The extractor, as a package that is found below ``folder``."""
    about = folder / "tiny_extractor-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "tiny_extractor.py").write_text(PLUGIN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-extractor\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY)


def change(root: Path, n: int, operation: str) -> None:
    """Write a hundredth of ``n`` files anew."""
    if operation == "1 % in a row":
        chosen = range(n // 3, n // 3 + n // 100)
    else:
        chosen = np.random.default_rng(1).choice(n, n // 100, replace=False)
    for i in chosen:
        write_picture(picture(root, int(i)), n + int(i) + time.time_ns() % 10**12)


def measured(root: Path, operation: str) -> dict:
    """Seconds and GiB by stage of one operation, in this process."""
    with Memory() as memory:
        stages = _load(root, operation) if operation.startswith("load") else _refresh(root)
    start, found = stages.pop("start"), {}
    for name, seconds in stages["seconds"].items():
        found[name] = [seconds, *memory.between(start, start + seconds)]
        start += seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds, _, spent = np.sum(list(found.values()), axis=0)
    total = {"total": [seconds, peak, spent], "own": [0.0, memory.own, 0.0]}
    return {"stages": found | total, "counts": stages.get("counts")}


def _refresh(root: Path) -> dict:
    from affectlake.flows.options import RefreshOptions
    from affectlake.flows.refresh import refresh

    start = time.perf_counter()
    options = RefreshOptions(
        "big",
        manifest=str(root / "manifest.parquet"),
        store=str(root / "lake"),
        only=("image.tiny", "text.style"),
        workers=int(os.environ.get("SCALE_WORKERS", "1")),
    )
    done = refresh(options, _made_up if os.environ.get(MADE_UP) else None)
    total = time.perf_counter() - start
    seconds = {name: done.stages[name] for name in STAGES if name in done.stages}  # in the order in which they ran
    seconds = {"samples": max(total - sum(seconds.values()), 0.0), **seconds}
    return {"start": start, "seconds": seconds, "counts": done.extractors}


def _made_up(work, options, places) -> Iterator:
    """Values that a content's name gives."""
    import pyarrow as pa

    from affectlake.features import registry
    from affectlake.features.results import results

    for chunk in work.chunks:
        contents = [r.content for r in chunk.requests]
        digits = np.frombuffer("".join(contents).encode(), np.uint8).reshape(len(contents), -1)
        told = {"content": contents, "outcome": ["ok"] * len(contents), "reason": pa.nulls(len(contents), pa.string())}
        found = {}
        for name in chunk.extractors:
            columns = registry.get(name).columns
            values = np.resize(digits, (len(contents), len(columns))).astype(np.float32) / 255
            found[name] = pa.table(told | {c.name: values[:, i] for i, c in enumerate(columns)})
        yield results([chunk], [found])


def _load(root: Path, operation: str) -> dict:
    from affectlake.data import Store

    start = time.perf_counter()
    if operation == "load":
        frame = Store(root / "lake").load("big", "image.tiny", label="emotion")
        assert len(frame) and frame.shape[1] == 90
    else:
        frame = Store(root / "lake").load("big", "image.tiny.c7", label="emotion")
    return {"start": start, "seconds": {operation: time.perf_counter() - start}}


def in_process(root: Path, *words: str) -> str:
    path = os.pathsep.join([str(root / "plugin"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).absolute()), "--one", *words, "--in", str(root)]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def row(operation: str, stages: dict[str, list[float]]) -> str:
    cells = [f"{s[0]:.2f}/{s[2]:.2f}/{s[1]:.2f}" if (s := stages.get(name)) else "" for name in STAGES]
    return "".join([operation.ljust(15), *(c.rjust(21) for c in cells)])


def size(root: Path, n: int, files: int, say: Callable[[str], None]) -> None:
    start = time.perf_counter()
    archive(root, n, files)
    say(f"{n:,} samples of {files:,} files: archive written in {time.perf_counter() - start:.0f} s")
    say("".join(["seconds/CPU/GiB".ljust(15), *(s.rjust(21) for s in STAGES)]))
    for operation in OPERATIONS:
        if operation.startswith("1 %"):
            change(root, files, operation)
        found = json.loads(in_process(root, operation))
        say(row(operation, found["stages"]))
    for folder in ("features/big/image.tiny", "features/big/text.style", "tables/big", "snapshots"):
        log = sum(f.stat().st_size for f in (root / "lake" / folder).rglob("_delta_log/*"))
        data = sum(f.stat().st_size for f in (root / "lake" / folder).rglob("*.parquet")) - log
        say(f"  {folder}: {data / 2**20:.1f} MiB of data, {log / 2**20:.2f} MiB of log, all versions")


SHOWN = {"unchanged": "#1b6ca8", "1 % in a row": "#2f8f5b", "1 % spread": "#b5452c"}
WIDE, HIGH, LEFT, TOP = 320, 240, 56, 30
"""Pixels: of a panel, and before it and above."""


def plot(log: str) -> str:
    """Two panels over the number of samples, both axes logarithmic: processor seconds, and peak memory in GiB."""
    found: dict[str, list[tuple[int, float, float]]] = {name: [] for name in SHOWN}
    for line in log.splitlines():
        if sizes := re.match(r"([\d,]+) samples of", line):
            n = int(sizes[1].replace(",", ""))
        for name, points in found.items():
            if line.startswith(f"{name} "):
                _, spent, peak = map(float, line[len(name) :].split()[-2].split("/"))
                points.append((n, spent, peak))
    panels = [
        panel("processor time", "s", (1, 1000), {k: [(n, s) for n, s, _ in p] for k, p in found.items()}),
        panel("peak memory", "GiB", (0.1, 10), {k: [(n, g) for n, _, g in p] for k, p in found.items()}),
    ]
    step = LEFT + WIDE + 16
    groups = "".join(f'<g transform="translate({i * step + LEFT} {TOP})">{p}</g>' for i, p in enumerate(panels))
    size = f'viewBox="0 0 {2 * step + 24} {TOP + HIGH + 46}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">{groups}</svg>\n'


def panel(title: str, unit: str, low_high: tuple[float, float], lines: dict[str, list[tuple[int, float]]]) -> str:
    def x(n: float) -> float:
        return WIDE * (math.log10(n) - 5) / 2

    def y(value: float) -> float:
        low, high = map(math.log10, low_high)
        return HIGH * (high - math.log10(value)) / (high - low)

    ticks = [10**e for e in range(round(math.log10(low_high[0])), round(math.log10(low_high[1])) + 1)]
    drawn = [f'<text y="-12" font-weight="bold">{title}, {unit}</text>']
    for value in ticks:
        drawn.append(f'<path d="M0 {y(value):.0f}H{WIDE}" stroke="#ddd"/>')
        drawn.append(f'<text x="-6" y="{y(value) + 4:.0f}" text-anchor="end">{value:g}</text>')
    for n in (100_000, 1_000_000, 10_000_000):
        drawn.append(f'<text x="{x(n):.0f}" y="{HIGH + 18}" text-anchor="middle">{n:,}</text>')
    drawn.append(f'<text x="{WIDE / 2:.0f}" y="{HIGH + 38}" text-anchor="middle">samples</text>')
    for i, (name, points) in enumerate(lines.items()):
        path = "L".join(f"{x(n):.1f} {y(v):.1f}" for n, v in points)
        drawn.append(f'<path d="M{path}" fill="none" stroke="{SHOWN[name]}" stroke-width="2"/>')
        drawn += [f'<circle cx="{x(n):.1f}" cy="{y(v):.1f}" r="3" fill="{SHOWN[name]}"/>' for n, v in points]
        drawn.append(f'<text x="10" y="{16 + 16 * i}" fill="{SHOWN[name]}">{name}</text>')
    return "".join(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--made-up", action="store_true", help="values are made up, not computed")
    parser.add_argument("--files", type=int, help="files that the samples share (default: each has its own)")
    parser.add_argument(
        "--in", dest="folder", help="where the archive is made (default: the system's temporary folder)"
    )
    parser.add_argument("--plot", nargs=2, type=Path, metavar=("LOG", "PICTURE"), help="draw what a run printed")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plot:
        log, picture = arguments.plot
        picture.write_text(plot(log.read_text(encoding="utf-8")), encoding="utf-8")
        return
    if arguments.made_up:
        os.environ[MADE_UP] = "1"
    if arguments.one:
        print(json.dumps(measured(Path(arguments.folder), arguments.one)))
        return
    for n in arguments.samples:
        root = Path(tempfile.mkdtemp(prefix="affectlake-scale-", dir=arguments.folder))
        try:
            size(root, n, min(n, arguments.files or n), lambda line: print(line, flush=True))
        finally:
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
