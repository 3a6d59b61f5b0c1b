"""How often faces are found, how fast pictures are measured and what the measures are worth, on one core.

    OMP_NUM_THREADS=1 python benchmarks/vision.py coverage DATA
    OMP_NUM_THREADS=1 python benchmarks/vision.py small DATA
    OMP_NUM_THREADS=1 python benchmarks/vision.py speed DATA
    OMP_NUM_THREADS=1 python benchmarks/vision.py fer2013 STORE
    OMP_NUM_THREADS=1 python benchmarks/vision.py tweets STORE

DATA holds fer2013_publictest, ravdess_actor01_video and tweets_image_text; STORE is what shared_data.py made of them.
Scores are those of plain logistic regression by five folds, stratified, equal pictures or texts never in two of them;
its strength is chosen inside each training part; the interval is a jackknife-t over what is kept together.
"""

import argparse
import contextlib
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from affectlake.data import Store
from affectlake.data.demo_face import EXPRESSION, draw, person_look
from affectlake.data.errors import BadMedia, NotApplicable
from affectlake.data.pictures import FRAMES, read_frames, read_image
from affectlake.features import registry
from affectlake.features.face.detect import Faces, find_faces
from affectlake.models import metrics

FACE = ("face.expression", "face.geometry", "face.texture")
IMAGE = ("image.color", "image.texture")
TEXT = ("text.minilm", "text.style", "text.lexicon", "text.multilingual")
BATCH = 4
STRENGTHS = (0.0003, 0.001, 0.003, 0.01)


# Coverage ------------------------------------------------------------------------------------------------------------


def coverage(data: Path, most: int) -> None:
    _covered("drawn faces", ([picture] for picture in drawings(100)))
    for name, uris in real(data, most):
        _covered(name, _decoded(uris))


def real(data: Path, most: int) -> Iterator[tuple[str, list[Path]]]:
    actor = data / "ravdess_actor01_video"
    yield "FER2013 PublicTest", _fer(data)[:most]
    yield "tweets (few show a face)", sorted((data / "tweets_image_text").rglob("*.jpg"))[:most]
    yield "RAVDESS films, 720p", sorted((actor / "mp4").glob("*.mp4"))
    yield "RAVDESS folders of crops", sorted((actor / "face_frames").iterdir())


def _fer(data: Path) -> list[Path]:
    """In an order drawn by lot: the list is sorted by class."""
    folder = data / "fer2013_publictest"
    return [folder / p for p in pd.read_csv(folder / "manifest.csv")["path"].sample(frac=1, random_state=0)]


def _decoded(uris: Sequence[Path]) -> Iterator[list[np.ndarray]]:
    for uri in uris:
        try:
            yield read_frames(uri)
        except BadMedia as error:
            print(f"  {error}")


def _covered(name: str, samples: Iterator[list[np.ndarray]]) -> None:
    """Print the share of samples and frames with a face."""
    found, frames, seconds, total = [], 0, 0.0, 0
    for sample in samples:
        total, frames, begin = total + 1, frames + len(sample), time.process_time()
        with contextlib.suppress(NotApplicable):
            found.append(find_faces(sample))
        seconds += time.process_time() - begin
    seen = sum(int((f.counts > 0).sum()) for f in found)
    print(f"{name:28} {total:5} samples: face in {len(found) / total:6.1%}; {frames:5} frames: {seen / frames:6.1%}, "
          f"{1e3 * seconds / frames:5.1f} ms each", flush=True)  # fmt: skip


# Small faces ---------------------------------------------------------------------------------------------------------

SHARES = (0.2, 0.1, 0.06, 0.04)


def small(data: Path, most: int) -> None:
    """Heads of RAVDESS in frames of 1280x720 pieced together of tweets' pictures; of frames without a face."""
    import cv2

    clips = sorted((data / "ravdess_actor01_video" / "face_frames").iterdir())[:most]
    heads = [read_frames(clip, count=1)[0] for clip in clips]
    rng = np.random.default_rng(0)
    empty = list(islice(_mosaics(sorted((data / "tweets_image_text" / "images").iterdir()), rng), 20))
    for share in SHARES:
        hits, seconds, side = 0, 0.0, round(1280 * share)
        for i, head in enumerate(heads):
            frame = empty[i % len(empty)].copy()
            x, y = int(rng.integers(1280 - side)), int(rng.integers(720 - side))
            frame[y : y + side, x : x + side] = cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA)
            begin = time.process_time()
            hits += _has_face(frame)
            seconds += time.process_time() - begin
        print(f"head over {share:4.0%} of the width: {hits / len(heads):6.1%} of {len(heads)} found, "
              f"{1e3 * seconds / len(heads):5.1f} ms each", flush=True)  # fmt: skip


def _mosaics(uris: list[Path], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Frames in which nothing is found, of pictures in which nothing is found."""
    import cv2

    drawn = (read_image(uris[i]) for i in rng.permutation(len(uris)))
    pieces = (cv2.resize(picture, (256, 180)) for picture in drawn if not _has_face(picture))
    while len(cells := list(islice(pieces, 20))) == 20:
        frame = np.vstack([np.hstack(cells[row : row + 5]) for row in range(0, 20, 5)])
        if not _has_face(frame):
            yield frame


def _has_face(picture: np.ndarray) -> bool:
    try:
        return bool(find_faces([picture]).counts.any())
    except NotApplicable:
        return False


# Speed ---------------------------------------------------------------------------------------------------------------


def drawings(count: int) -> list[np.ndarray]:
    """Drawn faces of ten people, all expressions."""
    rng = np.random.default_rng(0)
    looks, names = [person_look(rng, i) for i in range(10)], list(EXPRESSION)
    return [draw(rng, looks[i % 10], names[i % len(names)], 1.0) for i in range(count)]


def faces(data: Path, count: int) -> list[Faces]:
    """Faces of at least ``count`` crops: an actor's clips of sixteen frames, then single pictures."""
    clips, pictures = (data / "ravdess_actor01_video" / "face_frames").iterdir(), _fer(data)
    found: list[Faces] = []
    for uri in [*sorted(clips)[: count // 2 // FRAMES], *pictures]:
        try:
            found.append(find_faces(read_frames(uri)))
        except NotApplicable:
            continue
        if sum(len(f.crops) for f in found) >= count:
            break
    return found


def speed(faces: list[Faces], pictures: list[np.ndarray], repeats: int = 5) -> None:
    """Print the medians of rounds in which the extractors take turns."""
    names = [n for n in (*FACE, *IMAGE) if not registry.unavailable(registry.get(n))]
    inputs = {name: faces if name in FACE else pictures for name in names}
    for name in names:
        registry.get(name).extract(inputs[name][:BATCH])  # loads the network
    spent = {name: np.median([_seconds(name, inputs[name]) for _ in range(repeats)]) for name in names}
    crops = sum(len(f.crops) for f in faces)
    for name in names:
        many = crops if name in FACE else len(pictures)
        what = "crop" if name in FACE else "picture of 192x192"
        print(f"{name:28} {1e3 * spent[name] / many:6.2f} ms per {what}")
    print(f"{'face.*, together':28} {crops / sum(spent[n] for n in FACE):6.0f} crops per second and core")


def _seconds(name: str, inputs: Sequence) -> float:
    """Of this process's processor time: what else runs on the machine does not count."""
    extractor, begin = registry.get(name), time.process_time()
    for first in range(0, len(inputs), BATCH):
        extractor.extract(inputs[first : first + BATCH])
    return time.process_time() - begin


# Worth ---------------------------------------------------------------------------------------------------------------


def fer2013(store: Store) -> None:
    """Every picture counts: of one without a face only that is known."""
    samples = store.samples("fer2013").set_index("sample_id")
    sets = {" + ".join(names): names for names in [*((n,) for n in FACE), FACE, IMAGE, (*FACE, *IMAGE)]}
    _judge(store, "fer2013", "emotion", samples["md5"], sets)


def tweets(store: Store) -> None:
    """A text counts as another's duplicate where they differ in addresses, handles or spaces alone."""
    samples = store.samples("tweets").set_index("sample_id")
    plain = samples["text"].str.lower().str.replace(r"https?:\S+|@\w+|\W+", " ", regex=True).str.strip()
    sets = {"text": TEXT, "image": (*IMAGE, *FACE), "text and image": (*TEXT, *IMAGE, *FACE)}
    _judge(store, "tweets", "label", plain, sets)


def _judge(store: Store, dataset: str, label: str, together: pd.Series, sets: dict[str, Sequence[str]]) -> None:
    names = list(dict.fromkeys(n for some in sets.values() for n in some))
    frame = store.load(dataset, names, label=label)
    group = together.reindex(frame.index).fillna("").to_numpy()
    blocks = {n: frame.filter(regex=rf"^{n}\.").to_numpy(np.float32) for n in names}
    classes, target = np.unique(frame[label], return_inverse=True)
    draws = metrics.Draws.of(group)
    share = np.bincount(target).max() / len(target)
    print(f"{dataset}: {len(frame)} samples, {len(set(group))} distinct; the commonest class is {share:.3f} of them")
    for title, some in sets.items():
        said = _out_of_fold([blocks[n] for n in some], target, group)
        found = metrics.classification(target, said, draws)
        scores = {k: metrics.interval(found[k]) for k in ("accuracy", "uar", "f1_macro")}
        shown = "  ".join(f"{k} {v['value']:.3f} ({v['low']:.3f} to {v['high']:.3f})" for k, v in scores.items())
        seen = ~np.isnan(blocks[some[0]]).all(axis=1)
        right = (said.argmax(axis=1) == target)[seen].mean()
        print(f"{title:44} {shown}  where {some[0]} applies ({seen.sum()}): {right:.3f}", flush=True)


def _out_of_fold(blocks: list[np.ndarray], target: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Probabilities [shape=(n, classes)], each by a model that saw neither the sample nor its like."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

    said = np.empty((len(target), target.max() + 1))
    for train, test in StratifiedGroupKFold(5, shuffle=True, random_state=0).split(blocks[0], target, group):
        x = np.hstack([_scaled(block, train) for block in blocks])
        inner = StratifiedGroupKFold(3, shuffle=True, random_state=1)
        search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": STRENGTHS}, cv=inner, scoring="accuracy")
        search.fit(x[train], target[train], groups=group[train])
        said[test] = search.predict_proba(x[test])
    return said


def _scaled(block: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Columns that vary, scaled by the training part; the mean where a value is missing, and a mark that it is."""
    mean, std = np.nanmean(block[train], axis=0), np.nanstd(block[train], axis=0)
    keep = std > 1e-9
    scaled = (block[:, keep] - mean[keep]) / std[keep]
    lacking = np.isnan(block).all(axis=1)
    return np.column_stack([np.nan_to_num(scaled), lacking]) if lacking.any() else np.nan_to_num(scaled)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["coverage", "small", "speed", "fer2013", "tweets"])
    parser.add_argument("where", type=Path, help="folder of corpora, or a store")
    parser.add_argument("--most", type=int, default=4000, help="samples per corpus (coverage, small)")
    given = parser.parse_args()
    match given.what:
        case "coverage":
            coverage(given.where, given.most)
        case "small":
            small(given.where, given.most)
        case "speed":
            speed(faces(given.where, 600), drawings(100))
        case "fer2013":
            fer2013(Store(given.where))
        case "tweets":
            tweets(Store(given.where))


if __name__ == "__main__":
    main()
