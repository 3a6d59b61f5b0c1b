"""Processor time and memory of the search for copies among many samples, by made-up fingerprints and features.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/copies.py [--samples 20000 100000]

``sound`` makes up fingerprints as `audio.fingerprint` does of levels over time and band, whose bands rise and fall
together; ``pictures`` as `image.fingerprint` does of pictures with a 1/f spectrum; ``features`` makes up 88 columns of
20 factors and noise, as they are compared where there are no fingerprints. One in a hundred is a copy with a little
noise. Told are seconds of processor time, memory at the peak beyond that of the data, the share of pairs that was
compared, and how many of the copies were found. ``every pair`` is the time of one matrix product and comparison over
all pairs, at the smallest number of samples.
"""

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd

from affectlake.features.audio.fingerprint import BANDS, PARTS, _smooth
from affectlake.features.image.fingerprint import SIDE, STEP
from affectlake.models import copies, leakage, near
from affectlake.models.splits import Fold

ROWS, PART = 256, 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[20_000, 100_000])
    given = parser.parse_args()
    print("of        samples  seconds  every pair  MB beyond data  compared  found")
    for kind in MADE:
        for n in given.samples:
            # A process of its own for each: memory at the peak is never given back.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                print(pool.submit(measured, kind, n, n == min(given.samples)).result(), flush=True)


def measured(kind: str, n: int, every: bool) -> str:
    x, planted = with_copies(made(kind, n))
    count = Counted()
    near.blocks = count.blocks
    before, start = peak(), time.process_time()
    found = SEARCHES[kind](x, planted)
    seconds, beyond = time.process_time() - start, peak() - before
    whole = f"{brute(x):10.1f}" if every else " " * 10
    share = count.pairs / (n * (n - 1) / 2)
    return f"{kind:9} {n:7}  {seconds:7.1f}  {whole}  {beyond:14.0f}  {share:8.1%}  {found:5.1%}"


class Counted:
    """Counts pairs that were met."""

    def __init__(self) -> None:
        self.pairs, self._blocks = 0, near.blocks

    def blocks(self, x: np.ndarray, radius: float):
        for rows, others in self._blocks(x, radius):
            met = len(rows) * len(others)
            self.pairs += (met - len(rows)) // 2 if rows is others else met
            yield rows, others


def made(kind: str, n: int) -> np.ndarray:
    """In parts, so that making them is not what takes most memory."""
    rng, first = np.random.default_rng(0), MADE[kind](np.random.default_rng(1), 1)
    x = np.empty((n, first.shape[1]), dtype=np.float32)
    for begin in range(0, n, PART):
        x[begin : begin + PART] = MADE[kind](rng, min(PART, n - begin))
    return x


def sound(rng: np.random.Generator, n: int) -> np.ndarray:
    together = rng.normal(size=(2 * PARTS, n, 1)) + 0.6 * rng.normal(size=(2 * PARTS, n, BANDS))
    levels = _smooth(_smooth(together.reshape(2 * PARTS, -1)))[::2].reshape(PARTS, n, BANDS)
    return unit((levels - levels.mean(axis=0)).transpose(1, 0, 2).reshape(n, -1))


def pictures(rng: np.random.Generator, n: int) -> np.ndarray:
    side = 2 * SIDE
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    noise = np.fft.rfft2(rng.normal(size=(n, side, side)))
    luma = np.fft.irfft2(noise / np.maximum(frequency, 1 / side), s=(side, side))
    luma *= 50 / luma.std(axis=(1, 2), keepdims=True)
    steps = np.diff(luma[:, :SIDE, : SIDE + 1], axis=2)
    return unit(np.clip(steps / STEP, -1, 1).reshape(n, -1))


def features(rng: np.random.Generator, n: int) -> np.ndarray:
    loadings = np.random.default_rng(2).normal(size=(20, 88))
    return (rng.normal(size=(n, 20)) @ loadings + 2 * rng.normal(size=(n, 88))).astype(np.float32)


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def with_copies(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last hundredth as copies of the first, with a fiftieth of their length in noise; and pairs of positions."""
    n, rng = len(x), np.random.default_rng(1)
    few = n // 100
    source, copy = np.arange(few), np.arange(n - few, n)
    noise = rng.normal(size=(few, x.shape[1])) * x[source].std(axis=1, keepdims=True)
    x[copy] = x[source] + 0.02 * noise
    return x, np.column_stack([source, copy])


def by_fingerprint(least: float):
    def search(x: np.ndarray, planted: np.ndarray) -> float:
        group = copies.groups(x, least)
        return float(((group[planted[:, 0]] == group[planted[:, 1]]) & (group[planted[:, 0]] >= 0)).mean())

    return search


def by_features(x: np.ndarray, planted: np.ndarray) -> float:
    ids = pd.RangeIndex(len(x)).astype("str")
    half = len(x) // 2
    folds = [Fold(np.arange(half), np.arange(half, len(x)))]
    return leakage.audit(pd.DataFrame(index=ids), folds, {"image": x})["near_duplicates"] / len(planted)


def brute(x: np.ndarray) -> float:
    start = time.process_time()
    for begin in range(0, len(x), ROWS):
        np.count_nonzero(x[begin : begin + ROWS] @ x[begin:].T >= 1e9)
    return time.process_time() - start


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


MADE = {"sound": sound, "pictures": pictures, "features": features}
SEARCHES = {
    "sound": by_fingerprint(copies.LEAST["audio"]),
    "pictures": by_fingerprint(copies.LEAST["image"]),
    "features": by_features,
}


if __name__ == "__main__":
    main()
