"""How commands end that are refused, hundreds of times: with the code that is meant, and no noise of libraries.

    python benchmarks/exits.py [--runs 500] [--seed 0]

Makes a store of a few tones and a model of it, then runs commands drawn from `ATTEMPTS`: usage errors that are told
before anything is loaded, refusals after a store, a model or worker processes were there, and a few that are in order.
A row for each tells how often it was run, how often it ended with another code, and how often its stderr held what no
command of ours says (`NOISE`). Ends with 1 where there was any.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

NOISE = re.compile(
    r"leaked|Traceback|core dumped|terminate called|panicked|Fatal Python|Exception ignored|free\(\)|double free"
)


@dataclass(frozen=True)
class Attempt:
    """A command's arguments and the exit code that is meant; ``weight``: how often it is drawn."""

    code: int
    arguments: str
    weight: int = 1


ATTEMPTS = (
    Attempt(2, "benhc tones pitch"),
    Attempt(2, "bench tones picth --store lake"),
    Attempt(2, "bench tones pitch --store lake --models logerg", 2),
    Attempt(2, "bench tones pitch --store lake --fusions erly"),
    Attempt(2, "bench nothing pitch --store lake", 2),
    Attempt(2, "refresh tones --manifest gone.csv --store lake", 2),
    Attempt(2, "refresh tones --manifest tones.csv --store lake --only audio.prosdy", 2),
    Attempt(2, "refresh tones --manifest tones.csv --store lake --set video.frams=8"),
    Attempt(2, "load nothing --store lake", 2),
    Attempt(1, "load tones --store nowhere", 2),
    Attempt(2, "sql 'selct 1' --store lake", 2),
    Attempt(2, "sql 'select x from tones' --store lake", 2),
    Attempt(2, "failures nothing --store lake", 2),
    Attempt(1, "leaderboard nothing --store lake", 2),
    Attempt(2, "export nothing out --store lake"),
    Attempt(2, "verify nothing --store lake"),
    Attempt(2, "compare tones --store lake"),
    Attempt(2, "show audio.prosdy"),
    Attempt(2, "explore lake --port 70000"),
    Attempt(1, "extract gone.wav"),
    Attempt(1, "extract broken.wav --only audio.recording", 2),
    Attempt(3, "extract low1.wav broken.wav --only audio.recording", 2),
    Attempt(2, "predict model"),
    Attempt(2, "predict model tones.csv"),
    Attempt(1, "predict model broken.wav"),
    Attempt(1, "predict broken.wav low1.wav"),
    Attempt(0, "predict model low1.wav"),
    Attempt(0, "status --store lake", 2),
    Attempt(0, "sql 'select count(*) from tones' --store lake", 2),
    Attempt(0, "load tones --store lake", 2),
    Attempt(0, "refresh tones --manifest tones.csv --store lake --only audio.recording"),
)


def run(arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell would."""
    binary = Path(sys.executable).with_name("affectlake")
    return subprocess.run(
        f"{binary} {arguments}", shell=True, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def prepare(folder: Path) -> None:
    """Tones of four speakers, a broken file, a store of them, and a model."""
    rng = np.random.default_rng(0)
    rows = ["sample_id,audio,speaker,pitch"]
    for i in range(16):
        kind, rate = ("low", "high")[i % 2], 16000
        y = 0.3 * np.sin(2 * np.pi * (110, 440)[i % 2] * np.arange(rate) / rate) + 0.01 * rng.standard_normal(rate)
        soundfile.write(folder / f"{kind}{i}.wav", y, rate)
        rows.append(f"s{i},{kind}{i}.wav,p{i // 4},{kind}")
    (folder / "low1.wav").write_bytes((folder / "low0.wav").read_bytes())
    (folder / "broken.wav").write_bytes(b"RIFF, and then nothing")
    (folder / "tones.csv").write_text("\n".join(rows), encoding="utf-8")
    for arguments in (
        "refresh tones --manifest tones.csv --store lake --only audio.recording",
        "bench tones pitch --store lake --features 'audio.*' --models logreg --folds 2 --save model --no-explain",
    ):
        if (ended := run(arguments, folder)).returncode:
            raise SystemExit(f"{arguments}: {ended.stderr}")


def main() -> int:
    """Run, and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    drawn = random.Random(given.seed).choices(ATTEMPTS, [a.weight for a in ATTEMPTS], k=given.runs)
    runs, otherwise, noisy = Counter(drawn), Counter[Attempt](), Counter[Attempt]()
    os.environ.pop("AFFECTLAKE_DEBUG", None)
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        for attempt in drawn:
            ended = run(attempt.arguments, Path(name))
            if ended.returncode != attempt.code or NOISE.search(ended.stderr):
                otherwise[attempt] += ended.returncode != attempt.code
                noisy[attempt] += bool(NOISE.search(ended.stderr))
                print(f"{attempt.arguments}: {ended.returncode}: {ended.stderr[-2000:]}", file=sys.stderr)
    for attempt in ATTEMPTS:
        print(f"{runs[attempt]:4} {otherwise[attempt]:3} {noisy[attempt]:3}  {attempt.code}  {attempt.arguments}")
    print(f"{given.runs} runs: {otherwise.total()} ended otherwise than meant, {noisy.total()} made a noise")
    return int(bool(otherwise.total() or noisy.total()))


if __name__ == "__main__":
    sys.exit(main())
