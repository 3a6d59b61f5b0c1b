"""Plays somebody new: clone, demo, a manifest of one's own with mixed media, report, predict; in a terminal.

    python benchmarks/newcomer.py REPOSITORY FOLDER [--installed]

FOLDER gets a clone and ``newcomer.log`` with all that was shown. A row tells how long a command took, how it ended, the
longest while in which nothing moved on the screen, and whether a traceback was shown. Ends with 1 where a command ended
otherwise than meant, showed a traceback, or was silent for longer than `SILENCE`; installing is left out of the latter,
since its pace is pip's. ``--installed``: FOLDER holds the clone and its .venv from an earlier call.

It needs what it is run with (affectlake's own .venv) only to make media of other kinds than the demo's.
"""

import argparse
import csv
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image

SILENCE = 2.0  # seconds
SAMPLES = 60
SUFFIXES = {"audio": (".wav", ".flac", ".mp3", ".ogg"), "image": (".png", ".jpg", ".webp", ".bmp", ".tif")}


@dataclass(frozen=True)
class Shown:
    """What became of one command; ``before``: what stood last on the screen when it was silent for longest."""

    command: str
    code: int
    seconds: float
    silence: float
    before: str
    text: str


def played(command: Sequence[str], folder: Path, log: Path) -> Shown:
    """Run a command in a terminal of 100 columns, and keep what it shows."""
    begin = last = time.monotonic()
    silence, before, shown = 0.0, "", b""
    process, screen = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.environ |= {"TERM": "xterm", "COLUMNS": "100", "PATH": f"{folder / '.venv/bin'}:{os.environ['PATH']}"}
        os.execvp(command[0], list(command))
    while True:
        ready, _, _ = select.select([screen], [], [], 0.05)
        now = time.monotonic()
        if ready:
            try:
                some = os.read(screen, 1 << 16)
            except OSError:  # the terminal is gone, which is how its end is told
                break
            if not some:
                break
            if now - last > silence:
                silence, before = now - last, _last(shown)
            shown += some
            last = now
    if time.monotonic() - last > silence:
        silence, before = time.monotonic() - last, _last(shown)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    text = shown.decode(errors="replace")
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n$ {' '.join(command)}\n{text}\n[exit {code}, {time.monotonic() - begin:.1f} s]\n")
    return Shown(" ".join(command), code, time.monotonic() - begin, silence, before, text)


def _last(shown: bytes) -> str:
    """The last words of what was shown, without what moves a cursor."""
    words = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x20-\x7e]+", " ", shown[-500:].decode(errors="replace")).split()
    return " ".join(words)[-40:]


def mixed(corpus: Path, folder: Path) -> Path:
    """A manifest of `SAMPLES` samples of sound, pictures, films and text in many encodings; the last one is broken."""
    folder.mkdir(parents=True, exist_ok=True)
    with (corpus / "manifest.csv").open(newline="", encoding="utf-8") as file:
        whole = [row for row in csv.DictReader(file) if row["audio"] and row["image"] and row["text"]]
    rows = whole[:: max(1, len(whole) // SAMPLES)][:SAMPLES]  # of all speakers
    manifest = folder / "我的 samples.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, ("sample_id", "audio", "image", "video", "text", "speaker", "emotion"))
        out.writeheader()
        for i, row in enumerate(rows):
            told = {k: row[k] for k in ("sample_id", "speaker", "emotion", "text")}
            out.writerow(told | _media(corpus, row, folder, i))
    last = folder / _name(SAMPLES - 1, rows[-1], ".wav")
    last.write_bytes(b"RIFF, and then nothing")
    return manifest


def _name(i: int, row: dict[str, str], suffix: str) -> str:
    return f"{i} {row['emotion']} 录音{suffix}"


def _media(corpus: Path, row: dict[str, str], folder: Path, i: int) -> dict[str, str]:
    if i % 10 == 9 and i < SAMPLES - 1:
        name = _name(i, row, ".mp4")
        _film(corpus / row["audio"], corpus / row["image"], folder / name)
        return {"video": name}
    told = {}
    if i % 3 != 1 or i == SAMPLES - 1:
        suffix = ".wav" if i == SAMPLES - 1 else SUFFIXES["audio"][i % 4]
        told["audio"] = _name(i, row, suffix)
        y, rate = soundfile.read(corpus / row["audio"])
        soundfile.write(folder / told["audio"], y, rate)
    if i % 3 != 2:
        told["image"] = _name(i, row, SUFFIXES["image"][i % 5])
        Image.open(corpus / row["image"]).convert("RGB").save(folder / told["image"])
    return told


def _film(sound: Path, picture: Path, to: Path) -> None:
    """One picture for as long as the sound lasts."""
    y, rate = soundfile.read(sound, dtype="float32")
    pixels = np.asarray(Image.open(picture).convert("RGB").resize((256, 256)))
    with av.open(str(to), "w") as film:
        seen, heard = film.add_stream("mpeg4", rate=10), film.add_stream("aac", rate=rate)
        seen.width, seen.height, seen.pix_fmt = 256, 256, "yuv420p"
        for _ in range(max(1, int(10 * len(y) / rate))):
            film.mux(seen.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        film.mux(seen.encode())
        frame = av.AudioFrame.from_ndarray(y[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        film.mux(heard.encode(frame))
        film.mux(heard.encode())


def main() -> int:
    """Play it, and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--installed", action="store_true")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    clone, log = (given.folder / "affect lake 情").absolute(), given.folder / "newcomer.log"
    if not given.installed:
        shutil.rmtree(clone, ignore_errors=True)
        subprocess.run(["git", "clone", "--quiet", given.repository, str(clone)], check=True)
        log.unlink(missing_ok=True)
    shown = [played(["make", "install"], clone, log)]
    shown.append(played(["make", "demo"], clone, log))
    corpus, mine = clone / "demo" / "corpus", clone / "mine"
    manifest = str(mixed(corpus, mine).relative_to(clone))
    sound = next(str(p.relative_to(clone)) for p in sorted(mine.glob("*.mp3")))
    film = next(str(p.relative_to(clone)) for p in sorted(mine.glob("*.mp4")))
    steps: list[tuple[int, list[str]]] = [
        (0, ["predict", "demo/model", "demo/corpus/audio/demo_01_01.wav"]),
        (0, ["leaderboard", "demo", "--store", "demo/lake"]),
        (3, ["refresh", "mine", "--manifest", manifest, "--store", "lake"]),
        (0, ["failures", "mine", "--store", "lake"]),
        (0, ["status", "--store", "lake"]),
        (3, ["refresh", "mine", "--manifest", manifest, "--store", "lake"]),
        (0, ["bench", "mine", "emotion", "--store", "lake", "--models", "logreg", "--report", "r.html", "--save", "m"]),
        (0, ["predict", "m", sound, film]),
        (2, ["predict", "m", manifest]),
        (3, ["predict", "m", "--manifest", manifest, "--json"]),
        (2, ["bench", "mine", "emotoin", "--store", "lake"]),
        (0, ["doctor"]),
    ]
    meant = [0, 0] + [code for code, _ in steps]
    shown += [played(["affectlake", *arguments], clone, log) for _, arguments in steps]
    wrong = 0
    for i, (code, one) in enumerate(zip(meant, shown, strict=True)):
        bad = [f"exit {one.code}, not {code}"] * (one.code != code)
        bad += ["traceback"] * ("Traceback (most recent call last)" in one.text)
        bad += [f"silent after {one.before!r}"] * (one.silence > SILENCE and i > 0)
        wrong += bool(bad)
        told = f"{one.seconds:8.1f} s  silent {one.silence:5.1f} s  exit {one.code}"
        print(f"{told}  {one.command[:66]:66}  {', '.join(bad)}")
    print(f"{wrong} of {len(shown)} otherwise than meant; all that was shown: {log}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
