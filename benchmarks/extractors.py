"""Speed of all extractors beside what else there is, two workers against one, and memory per worker.

    OMP_NUM_THREADS=1 python benchmarks/extractors.py speed DATA    # beside openSMILE, plain librosa, one sorted encode
    python benchmarks/extractors.py workers DATA                    # of the pool that a refresh uses
    python benchmarks/extractors.py memory                          # a film of 3840x2160, large pictures

DATA holds ravdess_audio, meld_text, ravdess_actor01_video and fer2013_publictest. Speed calls the `speed` of audio.py,
text.py and vision.py: one thread, after warm-up, medians, and what is compared takes turns within one run.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from affectlake.data import datasets
from affectlake.features import registry
from affectlake.features.compute import Chunk, compute
from affectlake.features.inputs import Request
from affectlake.features.plan import CHUNK
from affectlake.features.protocol import Reads
from affectlake.features.workers import Workers, one_thread

CROPS, CLIPS, UTTERANCES = 600, 96, 600
SHARDS: dict[str, tuple[Reads, int]] = {"audio": ("audio", 384), "face frames": ("face", 104), "text": ("text", 1024)}
"""What workers are measured with: kind, and at most so many samples."""


def available(reads: Reads) -> tuple[str, ...]:
    return tuple(n for n, e in registry.extractors().items() if e.reads == reads and not registry.unavailable(e))


# Speed ---------------------------------------------------------------------------------------------------------------


def speed(data: Path) -> None:
    import audio
    import text
    import vision

    print("Sound (RAVDESS)")
    audio.speed(data / "ravdess_audio", CLIPS)
    print("\nText (MELD)")
    names = [*available("text"), *available("dialogue")]
    text.speed(datasets.get("meld").load(data / "meld_text"), names, UTTERANCES, 5)
    print("\nFaces (RAVDESS and FER2013, found before) and pictures")
    vision.speed(vision.faces(data, CROPS), vision.drawings(100))


# Workers -------------------------------------------------------------------------------------------------------------


def workers(data: Path, repeats: int) -> None:
    """One and two workers in turn over the same shards, once before it counts."""
    print(f"{'':14}{'samples':>8}{'one, s':>9}{'two, s':>9}{'ratio':>7}  (medians of {repeats}; ratio of each pair)")
    for what, (reads, most) in SHARDS.items():
        names = available(reads)
        requests = list(_requests(data, reads))[:most]
        size = _chunk(reads, len(requests))
        chunks = [Chunk(reads, names, tuple(requests[i : i + size])) for i in range(0, len(requests), size)]
        with Workers(1, extractors=names) as one, Workers(2, extractors=names) as two:
            spent = [[_seconds(pool, chunks) for pool in (one, two)] for _ in range(repeats + 1)][1:]
        (single, double), ratios = np.median(spent, axis=0), [a / b for a, b in spent]
        each = ", ".join(f"{r:.2f}" for r in ratios)
        print(f"{what:14}{len(requests):8}{single:9.2f}{double:9.2f}{np.median(ratios):7.2f}  ({each})", flush=True)


def _chunk(reads: Reads, count: int) -> int:
    """As a refresh does it, but for a set so small that a worker would wait for the other's last one."""
    return min(CHUNK[reads], max(1, count // 16))


def _seconds(pool: Workers, chunks: list[Chunk]) -> float:
    begin = time.perf_counter()
    for _, tables in pool.run(chunks):
        for name, table in tables.items():
            failed = table.filter([outcome == "failed" for outcome in table["outcome"].to_pylist()])
            if len(failed):
                raise SystemExit(f"{name}: {failed['reason'][0]}")
    return time.perf_counter() - begin


def _requests(data: Path, reads: Reads) -> Iterator[Request]:
    if reads == "text":
        texts = datasets.get("meld").load(data / "meld_text")["text"].drop_duplicates()
        yield from (Request(str(i), text=t, language="en") for i, t in enumerate(texts.sample(frac=1, random_state=0)))
    elif reads == "audio":
        clips = sorted((data / "ravdess_audio").glob("Actor_*/*"))
        yield from (Request(str(path), str(path)) for path in clips)
    else:
        folders = sorted((data / "ravdess_actor01_video" / "face_frames").iterdir())
        yield from (Request(str(path), str(path)) for path in folders)


# Memory --------------------------------------------------------------------------------------------------------------


def memory(seconds: float) -> None:
    """Peak of a fresh worker process that has everything imported that a refresh of all extractors imports."""
    one_thread()
    with tempfile.TemporaryDirectory() as folder:
        film = _film(Path(folder) / "film.mp4", seconds)
        cases: list[tuple[str, Reads, Path]] = [(f"film of {seconds:g} s, 3840x2160, 25 frames/s", "face", film)]
        for title, name, size, options in _PICTURES:
            path = _picture(Path(folder) / name, size, options)
            cases += [(f"{title} of {size[1]}x{size[0]}", reads, path) for reads in ("image", "face")]
        print(f"{'':42}{'read as':>8}{'before':>8}{'peak':>7}  MiB")
        for title, reads, path in cases:
            with get_context("spawn").Pool(1) as pool:
                before, peak, said = pool.apply(_peak, (reads, str(path)))
            print(f"{title:42}{reads:>8}{before:8.0f}{peak:7.0f}  {said}", flush=True)


_JPEG_PROGRESSIVE = 2  # OpenCV's IMWRITE_JPEG_PROGRESSIVE
_PICTURES = (
    ("JPEG", "a.jpg", (10_000, 20_000), []),
    ("progressive JPEG", "b.jpg", (7_000, 9_000), [_JPEG_PROGRESSIVE, 1]),
    ("PNG", "c.png", (9_000, 10_000), []),
    ("PNG, too large", "d.png", (10_000, 12_000), []),
)
"""What, file, height and width, and OpenCV's options; all but the last are just below what is decoded."""


def _peak(reads: Reads, uri: str) -> tuple[float, float, str]:
    """MiB before and at the highest, and the outcome, in the process that this runs in."""
    import importlib

    for extractor in registry.extractors().values():
        if not registry.unavailable(extractor):
            for module in extractor.requires:
                importlib.import_module(module)
    before = _resident("VmRSS")
    tables = compute(Chunk(reads, available(reads), (Request("", uri),)))
    table = next(iter(tables.values()))
    return before, _resident("VmHWM"), f"{table['outcome'][0].as_py()} {table['reason'][0].as_py() or ''}"


def _resident(what: str) -> float:
    # Not getrusage: its maximum is that of the parent until the child outgrows it.
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def _film(path: Path, seconds: float, height: int = 2160, width: int = 3840, rate: int = 25) -> Path:
    """Squares that move; as many frames refer to each other as the format's level allows."""
    import av

    rng = np.random.default_rng(0)
    squares = rng.integers(40, 200, (height * 3 // 2 // 40, width // 40), dtype=np.uint8)
    planes = np.kron(squares, np.ones((40, 40), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "x264-params": "ref=5:bframes=3:b-pyramid=normal:threads=1"}
        for i in range(round(seconds * rate)):
            frame = av.VideoFrame.from_ndarray(np.roll(planes, 4 * i, axis=1), format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _picture(path: Path, size: tuple[int, int], options: list[int]) -> Path:
    import cv2

    squares = np.random.default_rng(0).integers(0, 256, (size[0] // 100, size[1] // 100, 3), dtype=np.uint8)
    cv2.imwrite(str(path), np.kron(squares, np.ones((100, 100, 1), np.uint8)), options)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "workers", "memory"])
    parser.add_argument("data", type=Path, nargs="?", help="folder of corpora; not for memory")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (workers)")
    parser.add_argument("--seconds", type=float, default=60, help="length of the film (memory)")
    given = parser.parse_args()
    if given.what != "memory" and given.data is None:
        parser.error(f"{given.what} needs DATA")
    match given.what:
        case "speed":
            speed(given.data)
        case "workers":
            workers(given.data, given.repeats)
        case "memory":
            memory(given.seconds)


if __name__ == "__main__":
    main()
