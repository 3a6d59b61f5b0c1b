"""A made-up call centre, worked by commands: `python benchmarks/call_centre.py DATA [--calls 200] [--minutes 5 20]`.

Calls of two channels, the agent's left and the caller's right, made of DATA/ravdess_audio's clips (agents are actors 17
to 24) with pauses, noise and a telephone's band, lie in a bucket of a local server that speaks S3 (moto, a process of
its own); every other one has a WebVTT transcript with names. What is known of the truth is used for the figures alone,
but for who calls, who answers and in which mood the caller is, which a call centre knows. Printed are times, requests
and errors by step; ``--keep FOLDER`` is where all of it stays to be looked at.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import soundfile
from elsewhere import Bucket
from recordings import Errors, errors, gap, noisy, utterance
from scipy.fft import next_fast_len
from scipy.signal import butter, resample_poly, sosfilt
from transcripts import SENTENCES, units
from transcripts import errors as word_errors

from affectlake.data import Store
from affectlake.data.sound import RATE
from affectlake.data.transcripts import Turn

PHONE = 8000  # Hz
BAND = (300.0, 3400.0)  # Hz
NOISE = 15.0  # dB that speech is louder
MOODS = {"calm": "02", "happy": "03", "sad": "04", "angry": "05"}
AGENTS = {f"Agent {name}": 17 + i for i, name in enumerate("Ash Birch Cedar Elm Fir Hazel Larch Oak".split())}
CALLERS = {
    f"Caller {name}": 1 + i
    for i, name in enumerate(
        "Bunting Crane Dunlin Egret Falcon Godwit Heron Ibis Jackdaw Kestrel Lapwing Merlin Nuthatch Osprey Petrel "
        "Quail".split()
    )
}
SIDES = ("left", "right")


@dataclass(frozen=True)
class Call:
    """A call: who speaks on which side, and how the caller feels."""

    number: int
    agent: str
    caller: str
    mood: str
    seconds: float

    @property
    def name(self) -> str:
        return f"call-{self.number:03}"

    @property
    def written(self) -> bool:
        """Whether there is a transcript."""
        return self.number % 2 == 1

    @property
    def people(self) -> tuple[str, str]:
        """Left and right."""
        return self.agent, self.caller


@dataclass(frozen=True)
class Made:
    """Sound of a call [shape=(samples, 2)] at 8 kHz, and its turns, whose speakers are the sides."""

    y: np.ndarray
    turns: list[Turn]


def calls(count: int, minutes: tuple[float, float]) -> list[Call]:
    """Each caller calls in several moods; agents come as it falls."""
    rng = np.random.default_rng(count)
    callers = list(CALLERS)[: max(6, min(len(CALLERS), count // 2))]
    return [
        Call(
            i,
            list(AGENTS)[int(rng.integers(len(AGENTS)))],
            callers[i % len(callers)],
            list(MOODS)[(i + i // len(callers)) % len(MOODS)],
            60 * float(rng.uniform(*minutes)),
        )
        for i in range(count)
    ]


@cache
def clips(data: Path, actor: int, emotion: str) -> list[Path]:
    return sorted((data / "ravdess_audio" / f"Actor_{actor:02}").glob(f"03-01-{emotion}-*.flac"))


@cache
def telephoned(file: Path) -> np.ndarray:
    """What is said in a clip, at 8 kHz."""
    return resample_poly(utterance(file), PHONE, RATE).astype(np.float32)


def spoken(data: Path, actor: int, emotion: str, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """1 to 3 clips and what they say."""
    files = clips(data, actor, emotion)
    chosen = [files[i] for i in rng.choice(len(files), size=int(rng.integers(1, 4)), replace=False)]
    parts: list[np.ndarray] = []
    for file in chosen:
        parts += [telephoned(file), np.zeros(round(rng.uniform(0.05, 0.25) * PHONE), np.float32)]
    words = " ".join(f"{SENTENCES[file.stem.split('-')[4]].capitalize()}." for file in chosen)
    return np.concatenate(parts[:-1]), words


def made(data: Path, call: Call) -> Made:
    """Agent and caller in turn, the agent calm, until the time is up; each line has a noise of its own."""
    rng = np.random.default_rng(call.number)
    actors = (AGENTS[call.agent], CALLERS[call.caller])
    sides = np.zeros((2, round((call.seconds + 30) * PHONE)), np.float32)
    turns: list[Turn] = []
    at, side = 0.5, 0
    while at < call.seconds - 8:
        y, words = spoken(data, actors[side], MOODS["calm" if side == 0 else call.mood], rng)
        start = max(0.0, at + gap(rng, several=True)) if turns else at
        first = round(start * PHONE)
        sides[side, first : first + len(y)] += y
        turns.append(Turn(round(start, 3), round(start + len(y) / PHONE, 3), words, SIDES[side]))
        at, side = max(at, start + len(y) / PHONE), 1 - side
    sides = sides[:, : next_fast_len(round((at + 0.5) * PHONE))]  # of a prime length, the noise takes minutes
    band = butter(4, BAND, "bandpass", fs=PHONE, output="sos")
    lines = [sosfilt(band, noisy(y, NOISE, 2 * call.number + i)) for i, y in enumerate(sides)]
    return Made(np.stack(lines, axis=1), turns)


def flac(y: np.ndarray) -> bytes:
    out = BytesIO()
    soundfile.write(out, y, PHONE, format="FLAC")
    return out.getvalue()


def webvtt(call: Call, turns: list[Turn]) -> bytes:
    names = dict(zip(SIDES, call.people, strict=True))
    cues = [f"{_clock(t.start)} --> {_clock(t.end)}\n<v {names[t.speaker]}>{t.text}</v>\n" for t in turns]
    return "\n".join(["WEBVTT\n", *cues]).encode()


def _clock(seconds: float) -> str:
    whole, ms = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{ms:03}"


@dataclass(frozen=True)
class Done:
    """What a command said, and what it cost: seconds by the clock, seconds of processors, requests by kind."""

    out: str
    seconds: float
    processor: float
    requests: Counter[str]


class Centre:
    """The bucket with its calls, and commands run over it; the folder is where the user works."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.bucket = Bucket(folder)
        self.read = 0

    def fill(self, data: Path, every: list[Call]) -> dict[str, list[Turn]]:
        """Put calls, transcripts and their lists into the bucket; the truth by call."""
        truth: dict[str, list[Turn]] = {}
        for call in every:
            m = made(data, call)
            self.bucket.put(f"calls/{call.name}.flac", flac(m.y))
            if call.written:
                self.bucket.put(f"calls/{call.name}.vtt", webvtt(call, m.turns))
            truth[call.name] = m.turns
        self.bucket.put("spoken.csv", _csv(spoken_rows([c for c in every if not c.written])))
        self.bucket.put("written.csv", _csv(written_rows([c for c in every if c.written])))
        return truth

    def fetch(self, key: str) -> Path:
        """A copy of an object in the folder."""
        path = self.folder / Path(key).name
        path.write_bytes(self.bucket.get(key))
        self.asked()
        return path

    def run(self, *words: str, fine: tuple[int, ...] = (0,)) -> Done:
        """A command as a user gives it."""
        command = [str(Path(sys.executable).with_name("affectlake")), *words]
        self.asked()
        began, before = time.monotonic(), _processor()
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if done.returncode not in fine:
            sys.exit(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        print(f"$ affectlake {' '.join(words)}\n{done.stderr}", file=sys.stderr, flush=True)
        return Done(done.stdout, time.monotonic() - began, _processor() - before, self.asked())

    def asked(self) -> Counter[str]:
        """Requests since the last call, by kind."""
        lines = re.findall(r'"(GET|HEAD|POST|PUT|DELETE) (\S+) HTTP', self.bucket.said.read_text())
        new, self.read = lines[self.read :], len(lines)
        return Counter(_kind(*line) for line in new)


def _kind(method: str, path: str) -> str:
    if "list-type=2" in path:
        return "lists"
    return f"{method} {Path(path.split('?')[0]).suffix or path}"


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _csv(rows: pd.DataFrame) -> bytes:
    return rows.to_csv(index=False).encode()


def spoken_rows(every: list[Call]) -> pd.DataFrame:
    """A row per call, with who is on which side and how the caller feels."""
    rows = [(c.name, f"calls/{c.name}.flac", *c.people, c.mood) for c in every]
    return pd.DataFrame(rows, columns=["sample_id", "audio", *SIDES, "mood"])


def written_rows(every: list[Call]) -> pd.DataFrame:
    """A row per side of a call, which names the transcript of both."""
    rows = [
        (f"{c.name}/{side}", f"calls/{c.name}.flac", side, who, c.name, f"calls/{c.name}.vtt", mood)
        for c in every
        for side, who, mood in zip(SIDES, c.people, (None, c.mood), strict=True)
    ]
    columns = ["sample_id", "audio", "channel", "speaker", "dialogue", "transcript", "mood"]
    return pd.DataFrame(rows, columns=columns)


def joined(spoken: Path, written: Path, out: Path) -> pd.DataFrame:
    """One manifest: the sides of calls without names get those of the list, and the mood is the caller's alone."""
    found = pd.read_csv(spoken)
    caller = found["channel"] == "right"
    found["speaker"] = found["right"].where(caller, found["left"])
    found["mood"] = found["mood"].where(caller)
    turns = pd.concat([found.drop(columns=list(SIDES)), pd.read_csv(written)], ignore_index=True)
    turns.to_csv(out, index=False)
    return turns


def turns_of(rows: pd.DataFrame, who: str) -> list[Turn]:
    return [Turn(a, b, "", str(s)) for a, b, s in rows[["start", "end", who]].itertuples(index=False)]


def edges(found: pd.DataFrame, truth: dict[str, list[Turn]]) -> str:
    """Milliseconds that beginnings and ends are off, each side of each call by itself; and what was missed, made up."""
    of_all = [
        errors([t for t in truth[str(call)] if t.speaker == side], turns_of(rows, "channel"))
        for (call, side), rows in found.groupby(["dialogue", "channel"])
    ]
    half, most = np.quantile([ms for e in of_all for ms in e.boundaries], [0.5, 0.9])
    return f"edges off by {half:.0f} ms, 90 %: {most:.0f} ms; {_rates(of_all)}"


def _rates(of_all: list[Errors]) -> str:
    said = sum(e.speech for e in of_all)
    missed, alarm, confusion = (
        sum(getattr(e, p) for e in of_all) / said for p in ("missed", "false_alarm", "confusion")
    )
    wrong = f", wrong person {confusion:.3f}" if confusion else ""
    return f"missed {missed:.3f}, made up {alarm:.3f}{wrong}"


def diarised(found: pd.DataFrame, truth: dict[str, list[Turn]]) -> str:
    of_all = [errors(truth[str(call)], turns_of(rows, "speaker")) for call, rows in found.groupby("dialogue")]
    rate = sum(e.rate * e.speech for e in of_all) / sum(e.speech for e in of_all)
    return f"diarisation error {rate:.3f}: {_rates(of_all)}; by call {' '.join(f'{e.rate:.2f}' for e in of_all)}"


def words_wrong(samples: pd.DataFrame, truth: dict[str, list[Turn]]) -> str:
    """Share of words that the machine gets wrong, over each side of a call as a whole."""
    wrong, of = 0, 0
    for (call, side), rows in samples.sort_values("start").groupby(["dialogue", "channel"]):
        said = units(" ".join(t.text for t in truth[str(call)] if t.speaker == side))
        wrong += word_errors(said, units(" ".join(rows["text"].dropna())))
        of += len(said)
    return f"{wrong / of:.3f} of {of} words wrong"


@dataclass(frozen=True)
class Traces:
    """What tells of a person in a store: name and rows, what their rows were made of, and the values themselves."""

    name: str
    ids: set[str]
    contents: set[str]
    values: dict[tuple[str, str], set[float]]

    @classmethod
    def of(cls, lake: Path, name: str) -> "Traces":
        samples = Store(lake).samples("calls")
        ids = set(samples.loc[samples["speaker"] == name, "sample_id"])
        contents: set[str] = set()
        values: dict[tuple[str, str], set[float]] = {}
        for folder in (lake / "current" / "calls").iterdir():
            if folder.name == "samples":
                continue
            table = pd.read_parquet(folder)
            own = table["sample_id"].isin(ids)
            contents |= set(table.loc[own, "content"]) - set(table.loc[~own, "content"])
            for column in [c for c in table if table[c].dtype == "float32"][:20]:
                values[folder.name, column] = set(table.loc[own, column].dropna()) - set(
                    table.loc[~own, column].dropna()
                )
        return cls(name, ids, contents, values)

    def found(self, folder: Path) -> tuple[int, list[str]]:
        """How many files were searched, through every byte and every row, and what was found in which."""
        files = [p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()]
        words = self.ids | self.contents | {self.name}
        hits = []
        for path in files:
            raw = path.read_bytes()
            hits += [f"{path}: bytes" for _ in range(any(w.encode() in raw for w in words))]
            if path.suffix == ".parquet":
                hits += [f"{path}: {column}" for column in self._columns(path, words)]
        return len(files), hits

    def _columns(self, path: Path, words: set[str]) -> Iterator[str]:
        table = pq.ParquetFile(path).read().to_pandas()
        of = next((e for e, _ in self.values if e in path.parts), "")
        for column in table:
            there = set(table[column].dropna()) if table[column].dtype != object else set(map(str, table[column]))
            text = any(isinstance(v, str) and (v in words or self.name in v) for v in there)
            if text or there & self.values.get((of, str(column)), set()):
                yield str(column)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--minutes", type=float, nargs=2, default=(5.0, 20.0))
    parser.add_argument("--only", nargs="+", default=["*"], help="extractors, as of affectlake refresh")
    parser.add_argument("--heard", type=int, default=1, help="calls to transcribe")
    parser.add_argument("--mixed", type=int, help="calls whose speakers are told apart by voice [default: all]")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    data = given.data.absolute()
    folder = (given.keep or Path(tempfile.mkdtemp())).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    centre = Centre(folder)
    try:
        work(centre, data, given)
    finally:
        centre.bucket.process.kill()
        centre.bucket.process.wait()
        if given.keep is None:
            shutil.rmtree(folder)


def work(centre: Centre, data: Path, given: argparse.Namespace) -> None:
    every = calls(given.calls, tuple(given.minutes))
    truth = centre.fill(data, every)
    lasts = sum(max(t.end for t in turns) for turns in truth.values()) / 3600
    only = [word for name in given.only for word in ("--only", name)]
    turned = sum(map(len, truth.values()))
    print(f"{len(every)} calls, {lasts:.2f} h, {turned} turns, {len({c.caller for c in every})} callers\n")
    print("| step | s | processor s | per hour of sound | requests | |\n|---|---|---|---|---|---|")

    def show(name: str, done: Done, what: str, hours: float | None = None) -> None:
        asked = ", ".join(f"{n} {kind}" for kind, n in sorted(done.requests.items())) or "none"
        each = f"{done.processor / hours:.0f}" if hours else "–"
        cost = f"{done.seconds:.0f} | {done.processor:.0f} | {each}"
        print(f"| {name} | {cost} | {asked} | {what} |", flush=True)

    spoken, written, manifest = (centre.folder / f"{name}.csv" for name in ("turns-spoken", "turns-written", "turns"))
    hours = {w: sum(truth[c.name][-1].end for c in every if c.written == w) / 3600 for w in (False, True)}
    done = centre.run("segment", "s3://calls/spoken.csv", "--by", "speech", "--each-channel", "--out", spoken.name)
    show("segment by speech", done, edges(pd.read_csv(spoken), truth), hours[False])
    done = centre.run("segment", "s3://calls/written.csv", "--by", "transcript", "--out", written.name)
    show("segment by transcript", done, edges(pd.read_csv(written), truth), hours[True])
    mixed = every[: given.mixed]
    centre.bucket.put("mixed.csv", _csv(spoken_rows(mixed)[["sample_id", "audio"]]))
    done = centre.run("segment", "s3://calls/mixed.csv", "--by", "speech", "--speakers", "2", "--out", "mixed.csv")
    hours_mixed = sum(truth[c.name][-1].end for c in mixed) / 3600
    told = diarised(pd.read_csv("mixed.csv"), truth)
    show(f"segment, channels of {len(mixed)} calls mixed, 2 speakers", done, told, hours_mixed)
    turns = joined(spoken, written, manifest)
    if given.heard:
        transcribed(centre, [c for c in every if not c.written][: given.heard], turns, truth, show)

    night = ("refresh", "calls", "--manifest", manifest.name, *only, "--json")
    done = centre.run(*night)
    counts = json.loads(done.out)
    values = f"{len(turns)} rows, {sum(counts['computed'].values())} computed by {len(counts['computed'])} extractors"
    show("refresh", done, f"{values}, {_failed(counts)} failed", lasts)
    done = centre.run(*night)
    counts = json.loads(done.out)
    values = f"{sum(counts['computed'].values())} computed, {_failed(counts)} failed"
    show("refresh, second night", done, values, lasts)
    words = ("--models", "logreg", "--features", "audio.*", "--no-explain", "--save", "caller.model", "--json")
    done = centre.run("bench", "calls", "mood", *words)
    show("bench", done, _scores(json.loads(done.out)))
    timelines(centre, every, show)
    erased(centre, every[0].caller, show)


def transcribed(
    centre: Centre, heard: list[Call], turns: pd.DataFrame, truth: dict[str, list[Turn]], show: Callable[..., None]
) -> None:
    """Words by machine of some calls, in a dataset of their own."""
    names = [call.name for call in heard]
    turns[turns["dialogue"].isin(names)].drop(columns="text").to_csv("few.csv", index=False)
    centre.run("refresh", "few", "--manifest", "few.csv", "--only", "audio.recording")
    done = centre.run("transcribe", "few", "--language", "en")
    hours = sum(truth[name][-1].end for name in names) / 3600
    show(f"transcribe {len(heard)}", done, words_wrong(Store("lake").samples("few"), truth), hours)


def _failed(counts: dict) -> int:
    return sum(c["failed"] for c in counts["extractors"].values())


def _scores(result: dict) -> str:
    value = result["selected"][result["metric"]]
    folds = (
        f"{result['protocol']}, {result['n_speakers']} callers, {result['n_tested']} turns, chance {result['chance']}"
    )
    return f"{result['metric']} {value['value']:.2f} [{value['low']:.2f}, {value['high']:.2f}] ({folds})"


def timelines(centre: Centre, every: list[Call], show: Callable[..., None]) -> None:
    """One call from the bucket as lines, and one that has a transcript as a page beside a copy of it."""
    first = next(c for c in every if not c.written)
    words = ("predict", "caller.model", f"s3://calls/calls/{first.name}.flac", "--timeline", "--by", "speech")
    done = centre.run(*words, "--each-channel", "--lines")
    rows = [json.loads(line) for line in done.out.splitlines()]
    show("timeline of a call in the bucket", done, f"{len(rows)} turns, {sum(r['unsure'] for r in rows)} unsure")
    written = next(c for c in every if c.written)
    for suffix in (".flac", ".vtt"):
        centre.fetch(f"calls/{written.name}{suffix}")
    words = ("predict", "caller.model", f"{written.name}.flac", "--timeline", "--by", "transcript", "--json")
    done = centre.run(*words, "--page", "timeline.html")
    rows = json.loads(done.out)
    page = Path("timeline.html").stat().st_size
    show("page of a call with transcript", done, f"{len(rows)} turns, {page / 1000:.0f} kB")


def erased(centre: Centre, caller: str, show: Callable[..., None]) -> None:
    """Erase a caller; a search of our own through the store; who spoke with them is as before; and a night after it."""
    lake = centre.folder / "lake"
    before, others = Traces.of(lake, caller), _others(lake, caller)
    searched, hits = before.found(lake)
    if (lake / "current" / "few").is_dir():
        centre.run("erase", "few", "--speaker", caller, "--yes", fine=(0, 3))
    done = centre.run("erase", "calls", "--speaker", caller, "--yes", fine=(0, 3))
    receipt = json.loads(done.out)
    left = ", ".join(one["what"] for one in receipt["left"])
    show(f"erase {caller}", done, f"{len(before.ids)} turns; left and named: {left or 'nothing'}")
    print(f"\nsearch before it: {len(hits)} places of {searched} files", end="")
    searched, hits = before.found(lake)
    same = "as before" if _others(lake, caller).equals(others) else "CHANGED"
    print(f"; after it: {len(hits)} of {searched}; the others' {len(others)} turns {same}", *hits[:20], sep="\n")
    night = ("refresh", "calls", "--manifest", "turns.csv", "--only", "audio.recording", "--json")
    counts = json.loads(centre.run(*night).out)
    searched, hits = before.found(lake)
    print(f"after another refresh with them in the manifest: {counts['erased']} kept out, {len(hits)} of {searched}")


def _others(lake: Path, caller: str) -> pd.DataFrame:
    """What is known of everybody else's sound."""
    store = Store(lake)
    samples = store.samples("calls")
    ids = samples.loc[samples["speaker"] != caller, "sample_id"]
    return store.load("calls", "audio.*").reindex(ids)


if __name__ == "__main__":
    main()
