"""How often faces are found, how fast pictures are measured and what the measures are worth, on one core.

OMP_NUM_THREADS=1 python benchmarks/vision.py            # drawn faces only
OMP_NUM_THREADS=1 python benchmarks/vision.py --data DIR # also FER2013, RAVDESS and tweets below DIR
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from affectlake.data.demo_face import EXPRESSION, draw, person_look
from affectlake.data.errors import BadMedia, NotApplicable
from affectlake.data.pictures import read_frames, read_image
from affectlake.features import registry
from affectlake.features.face.detect import Faces, find_faces

FACE = ("face.expression", "face.geometry", "face.texture")
IMAGE = ("image.color", "image.texture")
BATCH = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with fer2013_publictest, ravdess_actor01_video, …")
    parser.add_argument("--most", type=int, default=500, help="samples per set")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    looks = [person_look(rng, i) for i in range(10)]
    names = list(EXPRESSION)
    drawings = [draw(rng, looks[i % 10], names[i % len(names)], 1.0) for i in range(100)]
    found = coverage("drawn faces", ([picture] for picture in drawings))
    if options.data:
        for name, uris in real(options.data, options.most):
            faces = coverage(name, _decoded(uris))
            found = found if len(faces) < 100 else faces
    speed(found, drawings)
    if options.data:
        worth(options.data / "fer2013_publictest", options.most)


def real(data: Path, most: int) -> Iterator[tuple[str, list[Path]]]:
    fer, actor = data / "fer2013_publictest", data / "ravdess_actor01_video"
    paths = pd.read_csv(fer / "manifest.csv")["path"]
    yield "FER2013, first in the list", [fer / p for p in paths[:most]]
    yield "FER2013, drawn by lot", [fer / p for p in paths.sample(min(most, len(paths)), random_state=0)]
    yield "tweets (few show a face)", sorted((data / "tweets_image_text").rglob("*.jpg"))[:most]
    yield "RAVDESS films, 720p", sorted((actor / "mp4").glob("*.mp4"))
    yield "RAVDESS folders of crops", sorted((actor / "face_frames").iterdir())


def _decoded(uris: Sequence[Path]) -> Iterator[list[np.ndarray]]:
    for uri in uris:
        try:
            yield read_frames(uri)
        except BadMedia as error:
            print(f"  {error}")


def coverage(name: str, samples: Iterator[list[np.ndarray]]) -> list[Faces]:
    """Print the share of samples and frames with a face; returns the faces."""
    found, frames, seconds, total = [], 0, 0.0, 0
    for sample in samples:
        total, frames, begin = total + 1, frames + len(sample), time.perf_counter()
        try:
            found.append(find_faces(sample))
        except NotApplicable:
            pass
        seconds += time.perf_counter() - begin
    seen = sum(int((f.counts > 0).sum()) for f in found)
    print(f"{name:28} {total:5} samples: face in {len(found) / total:6.1%}; {frames:5} frames: {seen / frames:6.1%}, "
          f"{1e3 * seconds / frames:5.1f} ms each")  # fmt: skip
    return found


def speed(faces: list[Faces], pictures: list[np.ndarray]) -> None:
    crops, together = sum(len(f.crops) for f in faces), 0.0
    for name in FACE:
        seconds = _timed(name, faces)
        together += seconds
        print(f"{name:28} {1e3 * seconds / crops:6.2f} ms per crop")
    print(f"{'all three':28} {crops / together:6.0f} crops per second and core")
    for name in IMAGE:
        print(f"{name:28} {1e3 * _timed(name, pictures) / len(pictures):6.2f} ms per picture of 192x192")


def _timed(name: str, inputs: Sequence) -> float:
    extractor = registry.get(name)
    extractor.extract(inputs[:BATCH])  # loads the network
    begin = time.perf_counter()
    for first in range(0, len(inputs), BATCH):
        extractor.extract(inputs[first : first + BATCH])
    return time.perf_counter() - begin


def worth(fer: Path, most: int) -> None:
    """Print the accuracy of a plain linear classifier on FER2013, five folds, seven classes."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    samples = pd.read_csv(fer / "manifest.csv").drop_duplicates("md5").sample(most, random_state=0)
    faces, labels = [], []
    for path, label in zip(samples["path"], samples["emotion"], strict=True):
        try:
            faces.append(find_faces([read_image(fer / path)]))
            labels.append(label)
        except NotApplicable:
            continue
    rows = {name: np.stack(registry.get(name).extract(faces)) for name in FACE}
    rows["all three"] = np.hstack(list(rows.values()))
    for name, values in rows.items():
        score = cross_val_score(
            make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)), values, labels
        )
        print(f"{name:28} accuracy {score.mean():.3f} on {len(labels)} faces of FER2013")


if __name__ == "__main__":
    main()
