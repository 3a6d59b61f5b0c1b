"""What the usual recipe loses by being given 16 kHz: audio.librosa beside a script that loads the files themselves.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/recipe.py FOLDER

FOLDER holds recordings of 22,050 Hz or more, of any kind that FFmpeg reads.
"""

import argparse
import warnings
from pathlib import Path

import av
import librosa
import numpy as np

from affectlake.data.sound import RATE, read_audio
from affectlake.features.audio.librosa import LOADED, contours

PARTS = ("mfcc", "chroma", "mel", "contrast", "tonnetz", "zcr", "rms")


def loaded(path: Path) -> np.ndarray:
    """Samples at 22,050 Hz straight from the file, channels averaged [shape=(n,)]."""
    with av.open(str(path)) as container:
        track = container.streams.audio[0]
        y = np.concatenate([frame.to_ndarray().mean(axis=0) for frame in container.decode(track)])
        return librosa.resample(y.astype(np.float32), orig_sr=track.rate, target_sr=LOADED)


def values(y: np.ndarray) -> list[np.ndarray]:
    """Means and deviations of each of `PARTS`, of samples at 22,050 Hz."""
    return [np.concatenate([x.mean(axis=1), x.std(axis=1)]) for x in contours(y)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    files = sorted(path for path in parser.parse_args().folder.iterdir() if path.is_file())
    warnings.filterwarnings("ignore", message="n_fft=.* is too large", category=UserWarning)
    off = []
    for path in files:
        heard = librosa.resample(read_audio(path).y, orig_sr=RATE, target_sr=LOADED)
        pairs = zip(values(heard), values(loaded(path)), strict=True)
        off.append([np.abs(ours - theirs).mean() / np.abs(theirs).mean() for ours, theirs in pairs])
    print(f"{len(files)} files: mean difference over mean size of each part, median and largest over the files")
    for name, shares in zip(PARTS, np.transpose(off), strict=True):
        print(f"{name:10s}{np.median(shares):9.4f}{shares.max():9.4f}")


if __name__ == "__main__":
    main()
