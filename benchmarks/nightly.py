"""Shows that unattended runs do what docs/nightly.md says.

python benchmarks/nightly.py schedule [--folder nightly-demo]
    A minute schedule that fires on time, is killed by SIGKILL in the middle of a night, and fires on time again.

python benchmarks/nightly.py archive DATA [--folder nightly-demo] [--every-extractor]
    Two nights over the corpora of benchmarks/shared_data.py, copied; between them a parameter is changed, files
    come, go, move, break and change. Prints what the second night says about it.

python benchmarks/nightly.py large [--folder nightly-demo] [--datasets 20] [--samples 50000] [--nights 10]
    Nights of so many datasets of made-up texts, each text ten times, three of the datasets with a benchmark: the first
    night, one in which nothing changed, one with 1 % of every dataset's texts changed anywhere, and ``--nights`` in
    which a tenth of the datasets change. Prints for each what it took and what it left.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from footprint import held_by_family

from affectlake.data.datasets.ravdess import EMOTIONS

AFFECTLAKE = [sys.executable, "-c", "from affectlake.flows.cli.app import main; main()"]
API = "http://127.0.0.1:4201/api"


def schedule(folder: Path) -> None:
    """Night 1 on time; SIGKILL in night 2; the service again; night 3 on time."""
    folder.mkdir(parents=True)
    from affectlake.data.demo import make_demo

    manifest = make_demo(folder / "corpus", seed=1, samples=96, speakers=6)
    extractors = '["audio.prosody", "text.style"]'
    (folder / "affectlake.toml").write_text(
        f'cron = "* * * * *"\nlog = "json"\nworkers = 1\n[[dataset]]\nname = "demo"\nmanifest = "{manifest}"\n'
        f'only = {extractors}\ngate = "warn"\n'
    )
    with open(folder / "service.log", "w") as log:
        service = serve(folder, log)
        one = wait(lambda: state("COMPLETED"))
        told("night 1", one[0])
        for path in sorted(manifest.parent.rglob("*.wav")):
            path.write_bytes(path.read_bytes() + b"\0\0")  # other content: the next night has work to do
        running = wait(lambda: [r for r in state("RUNNING") if len(records(folder)) > 1 and pending(folder)])
        os.killpg(service.pid, signal.SIGKILL)
        service.wait()
        told("night 2", running[0])
        print(f"{now()}  SIGKILL to the service and all of its processes, in the middle of night 2", flush=True)
        service = serve(folder, log)
        print(f"{now()}  the service was started again", flush=True)
        later = wait(lambda: [r for r in state("COMPLETED") if r["id"] != one[0]["id"]])
        told("night 2", next(r for r in state("CRASHED") if r["id"] == running[0]["id"]))
        told("night 3", later[0])
        service.send_signal(signal.SIGINT)
        service.wait()
    for record in records(folder):
        computed = [d["changes"] and d["changes"]["computed"] for d in record["datasets"]]
        print(f"record {record['started']}: {record['state']}, computed {computed}")


def serve(folder: Path, log) -> subprocess.Popen:
    home = {"PREFECT_HOME": str((folder / "prefect").absolute()), "PREFECT_SERVER_API_PORT": API.split(":")[2][:4]}
    command = [*AFFECTLAKE, "nightly", "affectlake.toml"]
    return subprocess.Popen(
        command, cwd=folder, env=os.environ | home, stdout=log, stderr=log, start_new_session=True
    )  # fmt: skip


def state(kind: str) -> list[dict]:
    body = {"flows": {"name": {"any_": ["nightly"]}}, "flow_runs": {"state": {"type": {"any_": [kind]}}}}
    request = urllib.request.Request(
        f"{API}/flow_runs/filter", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except OSError:
        return []  # the server has not started yet


def wait(condition, seconds: float = 600):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.2)
    sys.exit(f"waited for {seconds} s in vain")


def records(folder: Path) -> list[dict]:
    return [json.loads(p.read_text()) for p in sorted((folder / "reports" / "runs").glob("*.json"))]


def pending(folder: Path) -> bool:
    return any((folder / "lake" / "pending").rglob("*.parquet"))


def told(name: str, run: dict) -> None:
    due, begun = (run[k] and datetime.fromisoformat(run[k]) for k in ("expected_start_time", "start_time"))
    late = f"{(begun - due).total_seconds():.1f} s later" if begun else "not"
    message = f": {run['state']['message']}" if run["state"]["message"] else ""
    print(f"{now()}  {name} due {due:%H:%M:%S}, began {late}, {run['state_name']}{message}", flush=True)


def now() -> str:
    return f"{datetime.now():%H:%M:%S}"


CHEAP = {
    "ravdess": ["audio.modulation"],
    "ravdess-actor01": ["face.texture"],
    "fer2013": ["image.color"],
    "tweets": ["image.color", "text.style"],
    "meld": ["text.style"],
    "mosi": ["text.style"],
}


def archive(data: Path, folder: Path, every: bool) -> None:
    """Two nights with all kinds of change between them; prints the second's summary."""
    folder.mkdir(parents=True)
    copy = folder / "data"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("ravdess_au_mfcc", "cremad_votes"))
    late = copy / "ravdess_audio/Actor_24/03-01-08-02-02-02-24.flac"
    late.rename(folder / late.name)
    films(copy / "ravdess_actor01_video")
    transcripts(copy / "mosi_features")
    configure(folder, copy, every, frames=16)
    night(folder)

    (folder / late.name).rename(late)  # a new file
    (copy / "ravdess_audio/Actor_01/03-01-01-01-01-01-01.flac").unlink()  # a removed one
    bad = copy / "ravdess_audio/Actor_02/03-01-02-01-01-01-02.flac"
    bad.write_bytes(bad.read_bytes()[:2000])  # one that broke
    (copy / "ravdess_audio/Actor_07").rename(copy / "ravdess_audio/Speaker_07")  # a folder with another name
    (copy / "tweets_image_text/images").rename(copy / "tweets_image_text/pictures")
    manifest = copy / "tweets_image_text/manifest.csv"
    table = pd.read_csv(manifest, dtype=str)
    table["image_path"] = table["image_path"].str.replace("images/", "pictures/")
    table.loc[[3, 4], "label"] = "neutral"  # other labels
    table.to_csv(manifest, index=False)
    faces = sorted((copy / "fer2013_publictest/images").rglob("*.jpg"))
    shutil.copy(faces[0], faces[1])  # another picture under the same name
    configure(folder, copy, every, frames=8)  # a changed parameter
    record = night(folder)
    print("\n" + record["text"])
    print(f"\npage: {folder / 'reports' / 'index.html'}")


def films(folder: Path) -> None:
    clips = [("film", p.stem, p) for p in sorted((folder / "mp4").glob("*.mp4"))]
    clips += [("frames", p.name, p) for p in sorted((folder / "face_frames").iterdir())]
    rows = [
        {"sample_id": f"{k}_{n}", "video": p.absolute(), "emotion": EMOTIONS[int(n.split("-")[2]) - 1]}
        for k, n, p in clips
    ]
    pd.DataFrame(rows).assign(speaker="ravdess_01").to_csv(folder / "manifest.csv", index=False)


def transcripts(folder: Path) -> None:
    table = pd.read_parquet(folder / "mosi_bclstm_features.parquet")
    about = table[["sample_id", "split"]].assign(text=table["transcript"], speaker=table["video_id"])
    about.assign(sentiment=table["label"]).to_csv(folder / "manifest.csv", index=False)


def configure(folder: Path, copy: Path, every: bool, frames: int) -> None:
    lines = ["[settings]", f"video.frames = {frames}"]
    where = {
        "ravdess": ("root", "ravdess_audio"),
        "ravdess-actor01": ("manifest", "ravdess_actor01_video/manifest.csv"),
        "fer2013": ("manifest", "fer2013_publictest/manifest.csv"),
        "tweets": ("manifest", "tweets_image_text/manifest.csv"),
        "meld": ("root", "meld_text"),
        "mosi": ("manifest", "mosi_features/manifest.csv"),
    }
    for name, (kind, path) in where.items():
        only = ["*"] if every else CHEAP[name]
        lines += [
            "[[dataset]]",
            f'name = "{name}"',
            f'{kind} = "{(copy / path).absolute()}"',
            f"only = {json.dumps(only)}",
        ]
        lines += ['gate = "warn"', ""]
    (folder / "affectlake.toml").write_text("workers = 1\n" + "\n".join(lines))


def night(folder: Path) -> dict:
    begin = time.perf_counter()
    command = [*AFFECTLAKE, "nightly", "affectlake.toml", "--once", "--no-prefect"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    record = json.loads(done.stdout)
    print(f"{now()}  a night: {record['state']}, exit code {done.returncode}, {time.perf_counter() - begin:.0f} s")
    return record


WORDS = "I you we they never always really think feel know want hate love the a my this call bill line day so very not"
EACH = 10
"""Samples that share a text."""


def large(folder: Path, datasets: int, samples: int, nights: int) -> None:
    """What nights take and leave where there is much."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for i in range(datasets):
        texts = np.repeat([sentence(rng) for _ in range(samples // EACH)], EACH)
        written(folder, i, texts)
    configured(folder, datasets)
    print(f"{datasets} datasets of {samples} samples, {datasets * samples:,} in all; {samples // EACH} texts each")
    print(
        "night                 state     s   processor s    GiB   record kB   page kB   log MiB   lake MiB", flush=True
    )
    resting(folder, "first")
    resting(folder, "unchanged")
    for i in range(datasets):
        changed(folder, i, rng)
    resting(folder, "1 % of every one")
    for n in range(nights):
        for i in rng.choice(datasets, max(1, datasets // 10), replace=False):
            changed(folder, int(i), rng)
        resting(folder, f"a tenth of them, {n + 1}")


def sentence(rng: np.random.Generator) -> str:
    return " ".join(rng.choice(WORDS.split(), rng.integers(4, 20))) + rng.choice([".", "!", "?", " :)"])


def written(folder: Path, i: int, texts: np.ndarray) -> None:
    """The i-th manifest; an emotion is told by a text's words as well as by chance."""
    n = np.arange(len(texts))
    angry = np.array(["hate" in t or "never" in t for t in texts]) ^ (n % 7 == 0)
    table = {"sample_id": [f"turn-{k:07d}" for k in n], "speaker": [f"caller-{k % 500}" for k in n], "text": texts}
    frame = pd.DataFrame(table | {"emotion": np.where(angry, "angry", "calm")})
    frame.to_parquet(folder / f"calls-{i:02d}.parquet", index=False)


def changed(folder: Path, i: int, rng: np.random.Generator) -> None:
    texts = pd.read_parquet(folder / f"calls-{i:02d}.parquet", columns=["text"])["text"].to_numpy().copy()
    chosen = rng.choice(len(texts), len(texts) // 100, replace=False)
    texts[chosen] = [sentence(rng) for _ in chosen]
    written(folder, i, texts)


def configured(folder: Path, datasets: int) -> None:
    lines = ["workers = 2"]
    for i in range(datasets):
        lines += ["[[dataset]]", f'name = "calls-{i:02d}"', f'manifest = "calls-{i:02d}.parquet"']
        lines += ['only = ["text.style", "text.lexicon"]']
        if i < 3:
            lines += ["[dataset.benchmark]", 'label = "emotion"', 'models = ["logreg"]', "explain = false"]
    (folder / "affectlake.toml").write_text("\n".join(lines))


def resting(folder: Path, what: str) -> None:
    """Run a night, and print what it took and left."""
    begin = time.perf_counter()
    command = [*AFFECTLAKE, "nightly", "affectlake.toml", "--once", "--no-prefect"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with (folder / "night.log").open("w") as log, (folder / "night.json").open("w") as record:
        night = subprocess.Popen(command, cwd=folder, env=environment, stdout=record, stderr=log)
        peak = [0.0]
        watcher = threading.Thread(target=watch, args=(night, peak))
        watcher.start()
        spent = os.wait4(night.pid, 0)[2]
        night.returncode = 0  # it was waited for
        watcher.join()
    told = json.loads((folder / "night.json").read_text())
    newest = max((folder / "reports" / "runs").glob("*.json"))
    page, log_of, lake = size(folder / "reports/index.html"), size(folder / "lake/snapshots"), size(folder / "lake")
    print(
        f"{what:<20}{told['state']:>7}{time.perf_counter() - begin:>6.0f}{spent.ru_utime + spent.ru_stime:>14.0f}"
        f"{peak[0] / 2**30:>7.2f}{size(newest) / 1e3:>12.0f}{page / 1e3:>10.0f}{log_of / 2**20:>10.1f}"
        f"{lake / 2**20:>11.0f}",
        flush=True,
    )


def size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size


def watch(night: subprocess.Popen, peak: list[float]) -> None:
    """Keep the most that the night's processes held at once, pages that they share counted once."""
    while night.returncode is None:
        peak[0] = max(peak[0], held_by_family(night.pid))
        time.sleep(0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["schedule", "archive", "large"])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--folder", type=Path, default=Path("nightly-demo"))
    parser.add_argument("--every-extractor", action="store_true")
    parser.add_argument("--datasets", type=int, default=20)
    parser.add_argument("--samples", type=int, default=50_000, help="of each dataset")
    parser.add_argument("--nights", type=int, default=10, help="after the first three")
    given = parser.parse_args()
    if given.folder.exists():
        parser.error(f"{given.folder} is there already")
    if given.what == "schedule":
        schedule(given.folder)
    elif given.what == "large":
        large(given.folder, given.datasets, given.samples, given.nights)
    elif given.data is None:
        parser.error("archive needs DATA")
    else:
        archive(given.data, given.folder, given.every_extractor)


if __name__ == "__main__":
    main()
