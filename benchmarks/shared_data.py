"""Brings corpora of every kind into one store, from raw media and from tables, and says what came of it.

    python benchmarks/shared_data.py DATA [--store lake] [--only ravdess meld …] [--workers 1]

DATA holds one folder per corpus; what is absent is passed over:

    ravdess_audio          RAVDESS' speech in its own layout; ravdess_au_mfcc beside it: Action Units of its clips
    ravdess_actor01_video  films of one actor (mp4), and folders of frames (face_frames)
    fer2013_publictest     pictures of faces, manifest.csv
    tweets_image_text      pictures and texts, manifest.csv
    meld_text              MELD's tables
    mosi_features          CMU-MOSI: transcripts, and features of text, sound and picture in one Parquet file
    cremad_votes           CREMA-D: what people said who only heard, only saw, or heard and saw a clip, one Parquet file
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from affectlake.data import Store
from affectlake.data.datasets.crema_d import EMOTIONS as CREMA_D
from affectlake.data.datasets.ravdess import EMOTIONS as RAVDESS
from affectlake.data.samples import samples_frame
from affectlake.flows.options import RefreshOptions
from affectlake.flows.progress import to_stderr
from affectlake.flows.refresh import refresh


def ravdess(folder: Path, options: RefreshOptions) -> None:
    _refresh(options, root=str(folder))
    units = folder.parent / "ravdess_au_mfcc" / "ravdess_au35_mfcc259.parquet"
    if units.exists():
        _put(options, "face.au", pd.read_parquet(units), r"au_\d+")


def actor(folder: Path, options: RefreshOptions) -> None:
    """Labels are in the names: …-emotion-intensity-statement-repetition-actor."""
    clips = [("film", p.stem, p) for p in sorted((folder / "mp4").glob("*.mp4"))]
    clips += [("frames", p.name, p) for p in sorted((folder / "face_frames").iterdir())]
    table = pd.DataFrame(
        {
            "sample_id": [f"{kind}_{name}" for kind, name, _ in clips],
            "speaker": "ravdess_01",
            "video": [str(path.absolute()) for *_, path in clips],
            "emotion": [RAVDESS[int(name.split("-")[2]) - 1] for _, name, _ in clips],
        }
    )
    _refresh_table(options, table)


def pictures(folder: Path, options: RefreshOptions) -> None:
    _refresh(options, manifest=str(folder / "manifest.csv"))


def meld(folder: Path, options: RefreshOptions) -> None:
    _refresh(options, root=str(folder))


def mosi(folder: Path, options: RefreshOptions) -> None:
    """Nobody says who speaks; a video shows one person, so it stands for them."""
    table = pd.read_parquet(folder / "mosi_bclstm_features.parquet")
    about = table[["sample_id", "split"]].assign(
        speaker="mosi_" + table["video_id"],
        language="en",
        text=table["transcript"].str.capitalize(),
        sentiment=table["label"].map({0: "negative", 1: "positive"}),
    )
    _refresh_table(options, about)
    for medium in ("text", "audio", "video"):
        _put(options, f"{medium}.mosi", table, rf"{medium}_\d+")


def votes(folder: Path, options: RefreshOptions) -> None:
    table = pd.read_parquet(folder / "cremad_votes.parquet")
    about = pd.DataFrame(
        {
            "sample_id": table["sample_id"],
            "speaker": "crema-d_" + table["actor"].astype(str),
            "emotion": table["intended"].map(CREMA_D),
            "gender": table["Sex"].str.lower(),
        }
    )
    samples = samples_frame(about, options.dataset, readable=False)
    for view, medium in (("voice", "audio"), ("face", "face"), ("multi", "both")):
        _put(options, f"{medium}.votes", table, f"{view}_.+", samples)


CORPORA: dict[str, tuple[str, Callable[[Path, RefreshOptions], None]]] = {
    "ravdess": ("ravdess_audio", ravdess),
    "ravdess-actor01": ("ravdess_actor01_video", actor),
    "fer2013": ("fer2013_publictest", pictures),
    "tweets": ("tweets_image_text", pictures),
    "meld": ("meld_text", meld),
    "mosi": ("mosi_features", mosi),
    "crema-d-votes": ("cremad_votes", votes),
}
"""Folder, and how it comes into the store, by the name that the dataset gets."""


def _refresh(options: RefreshOptions, root: str | None = None, manifest: str | None = None) -> None:
    refresh(replace(options, root=root, manifest=manifest), progress=to_stderr())


def _refresh_table(options: RefreshOptions, table: pd.DataFrame) -> None:
    """The manifest stays beside the store, where a nightly run finds it again."""
    path = Path(f"{options.store}-manifests") / f"{options.dataset}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    _refresh(options, manifest=str(path))


def _put(
    options: RefreshOptions, extractor: str, table: pd.DataFrame, columns: str, samples: pd.DataFrame | None = None
) -> None:
    modality, _, name = extractor.partition(".")
    features = table.set_index("sample_id").filter(regex=f"^{columns}$")
    Store(options.store, create=True).put(options.dataset, modality, name, features, samples=samples)


def bring(data: Path, store: str, names: list[str], workers: int = 1) -> None:
    """Bring the named corpora of a folder into a store and print what came of each."""
    for name in names:
        folder, how = CORPORA[name]
        if not (data / folder).exists():
            print(f"\n{name}: no {folder} in {data}")
            continue
        begin = time.perf_counter()
        how(data / folder, RefreshOptions(dataset=name, store=store, workers=workers))
        _report(Store(store), name, time.perf_counter() - begin)


def _report(store: Store, dataset: str, seconds: float) -> None:
    samples = len(store.samples(dataset))
    print(f"\n{dataset}: {samples} samples, {seconds:.0f} s, {1e3 * seconds / samples:.1f} ms each")
    tables = store.catalog().query("dataset == @dataset").rename(columns={"rows": "ok"})
    print(tables[["extractor", "columns", "ok", "not_applicable", "failed"]].to_string(index=False), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--store", default="lake")
    parser.add_argument("--only", nargs="+", choices=list(CORPORA), default=list(CORPORA))
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    bring(given.data, given.store, given.only, given.workers)


if __name__ == "__main__":
    main()
