"""How well recordings are cut and their speakers told apart: `python benchmarks/recordings.py …`.

``diarisation DATA``: conversations made of DATA/ravdess_audio's clips, clean and with pink noise at 10 dB, by actors 13
to 24. ``choose DATA``: what thresholds give with actors 1 to 12. ``mouths DATA``: whether who moves the mouth is who
speaks, in two films of DATA/ravdess_actor01_video side by side. ``hour DATA FILE``: writes an hour of conversations.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from pathlib import Path

import numpy as np
import soundfile

from affectlake.data.pictures import film_extent, read_frames
from affectlake.data.sound import RATE, read_audio
from affectlake.data.transcripts import Turn
from affectlake.features import diarisation
from affectlake.features.face.detect import every_face
from affectlake.features.face.tracks import followed
from affectlake.features.segmentation import speech
from affectlake.features.workers import one_thread

GRID = 0.01  # s
COLLAR = 0.25  # s around each boundary of the truth that are not scored where a collar is asked for
STEP = 160  # samples, 10 ms
EDGE = 30.0  # dB below its loudest 10 ms: where what is said begins and ends
TURNS = 30
TOGETHER = 0.1  # share of turns that begin before the other's end


EMOTIONS = {"calm": ("01", "02"), "all": tuple(f"0{i}" for i in range(1, 9))}

Condition = tuple[int, str, float | None]
"""How many people, with which of `EMOTIONS`, and how many dB above the noise."""


def conditions(*people: int) -> list[Condition]:
    return [(n, emotions, db) for n in people for emotions in EMOTIONS for db in (None, 10.0)]


@dataclass(frozen=True)
class Conversation:
    """A made-up conversation: samples, and who speaks when."""

    y: np.ndarray
    turns: list[Turn]


@cache
def utterance(file: Path) -> np.ndarray:
    """What is said in a clip, from its first sound to its last, at one level; clicks and breaths are no sounds."""
    y = read_audio(file).y
    y = y - y.mean()
    power = np.convolve(y[: len(y) // STEP * STEP].reshape(-1, STEP).var(axis=1), np.ones(3) / 3, "same")
    edges = np.flatnonzero(np.diff(power > power.max() * 10 ** (-EDGE / 10), prepend=False, append=False))
    long = [(a, b) for a, b in edges.reshape(-1, 2).tolist() if b - a >= 10]
    y = y[long[0][0] * STEP : long[-1][1] * STEP]
    return y * np.float32(0.05 / np.sqrt(np.mean(y**2)))


def conversation(data: Path, actors: Sequence[int], seed: int, emotions: Sequence[str]) -> Conversation:
    """Turns of 1 to 3 clips of one emotion, with pauses of up to 1 s, none, or the next one beginning before."""
    rng = np.random.default_rng(seed)
    placed: list[tuple[float, str, np.ndarray]] = []
    at, speaker = 0.5, -1
    for _ in range(TURNS):
        others = [a for a in actors if a != speaker] or list(actors)
        speaker = int(rng.choice(others))
        y = spoken(data, speaker, rng, emotions)
        start = max(0.0, at + gap(rng, len(actors) > 1))
        placed.append((start, str(speaker), y))
        at = max(at, start + len(y) / RATE)
    whole = np.zeros(round((at + 0.5) * RATE), np.float32)
    for start, _, y in placed:
        first = round(start * RATE)
        whole[first : first + len(y)] += y
    return Conversation(whole, [Turn(s, s + len(y) / RATE, "", who) for s, who, y in placed])


def gap(rng: np.random.Generator, several: bool) -> float:
    """Seconds from one turn's end to the next one's beginning."""
    kind = rng.random()
    if kind < TOGETHER and several:
        return -rng.uniform(0.2, 1.0)
    return rng.uniform(0.0, 0.15) if kind < 0.5 else rng.uniform(0.3, 1.0)


def spoken(data: Path, actor: int, rng: np.random.Generator, emotions: Sequence[str]) -> np.ndarray:
    """1 to 3 clips of an actor with the same emotion."""
    folder = data / "ravdess_audio" / f"Actor_{actor:02}"
    by: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*.flac")):
        by.setdefault(file.stem.split("-")[2], []).append(file)
    files = by[str(rng.choice(sorted(emotions)))]
    chosen = rng.choice(len(files), size=int(rng.integers(1, 4)), replace=False)
    parts = []
    for i in chosen:
        parts += [utterance(files[i]), np.zeros(round(rng.uniform(0.05, 0.25) * RATE), np.float32)]
    return np.concatenate(parts[:-1])


def noisy(y: np.ndarray, db: float, seed: int) -> np.ndarray:
    """With pink noise so many decibels below the speech's power."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(len(y)))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 20 * len(y) / RATE))
    noise = np.fft.irfft(spectrum, len(y))
    power = np.mean(y[np.abs(y) > 0] ** 2)
    return (y + noise * np.sqrt(power / np.mean(noise**2) * 10 ** (-db / 10))).astype(np.float32)


@dataclass(frozen=True)
class Errors:
    """Seconds of the truth's speech, and of it what was missed, made up, or given to the wrong person."""

    speech: float
    missed: float
    false_alarm: float
    confusion: float
    boundaries: list[float]

    @property
    def rate(self) -> float:
        """Diarisation error rate."""
        return (self.missed + self.false_alarm + self.confusion) / self.speech


def errors(truth: list[Turn], found: list[Turn], collar: float = 0.0, overlap: bool = True) -> Errors:
    """As NIST's md-eval counts them, on a grid of 10 ms; people are matched so that most time agrees."""
    from scipy.optimize import linear_sum_assignment

    ends = max(t.end for t in truth + found)
    ref, hyp = _grid(truth, ends), _grid(found, ends)
    scored = np.ones(len(ref), bool)
    if collar:
        for turn in truth:
            for edge in (turn.start, turn.end):
                scored[max(0, round((edge - collar) / GRID)) : round((edge + collar) / GRID)] = False
    if not overlap:
        scored &= ref.sum(axis=1) < 2
    ref, hyp = ref[scored], hyp[scored]
    together = ref.T.astype(float) @ hyp
    rows, columns = linear_sum_assignment(together, maximize=True)
    right = float(together[rows, columns].sum())
    said, heard = ref.sum(axis=1), hyp.sum(axis=1)
    missed, alarm = np.maximum(said - heard, 0).sum(), np.maximum(heard - said, 0).sum()
    confusion = np.minimum(said, heard).sum() - right
    return Errors(*(GRID * float(n) for n in (said.sum(), missed, alarm, confusion)), boundaries(truth, found))


def _grid(turns: list[Turn], ends: float) -> np.ndarray:
    """Who speaks in each 10 ms [shape=(times, people)], int."""
    names = sorted({t.speaker for t in turns})
    grid = np.zeros((round(ends / GRID) + 1, len(names)), int)
    for t in turns:
        grid[round(t.start / GRID) : round(t.end / GRID), names.index(t.speaker)] = 1
    return grid


def boundaries(truth: list[Turn], found: list[Turn]) -> list[float]:
    """Milliseconds from each beginning and end of the truth's turns to the nearest one of those found."""
    out = []
    for of in ("start", "end"):
        there = np.array([getattr(t, of) for t in found])
        out += [1000 * float(np.abs(there - getattr(t, of)).min()) for t in truth]
    return out


@dataclass(frozen=True)
class Heard:
    """A conversation with its speech found and embedded."""

    of: Conversation
    stretches: list[Turn]
    windows: diarisation.Windows

    def told(self, speakers: int | None) -> list[Turn]:
        """Its turns as they are found."""
        people = diarisation.voices(self.windows, speakers)
        runs = diarisation.divided(self.stretches, self.windows, people)
        return [Turn(a, b, "", str(voice)) for found in runs for a, b, voice in found]


def heard(data: Path, first: int, about: Condition, count: int) -> Iterator[Heard]:
    """Conversations of so many of the twelve actors from ``first`` on."""
    people, emotions, db = about
    for seed in range(1000 * first + 100 * people, 1000 * first + 100 * people + count):
        rng = np.random.default_rng(seed)
        actors = rng.choice(np.arange(first, first + 12), people, replace=False).tolist()
        made = conversation(data, actors, seed, EMOTIONS[emotions])
        y = made.y if db is None else noisy(made.y, db, seed)
        stretches = [Turn(a, b) for a, b in speech(y, 30.0)]
        sounds = [y[round(t.start * RATE) : round(t.end * RATE)] for t in stretches]
        yield Heard(made, stretches, diarisation.embedded(stretches, sounds))


def choose(data: Path) -> None:
    """Confusion over the truth's speech by threshold, actors 1 to 12."""
    every = {c: list(heard(data, 1, c, 3)) for c in conditions(1, 2, 4)}
    print("threshold", *("/".join(map(str, c)) for c in every), "mean", sep="\t")
    for threshold in np.arange(0.34, 0.51, 0.02).round(2).tolist():
        diarisation.THRESHOLD = threshold
        means = []
        for conversations in every.values():
            found = [errors(c.of.turns, c.told(None)) for c in conversations]
            means.append(np.mean([e.confusion / e.speech for e in found]))
        print(threshold, *(f"{m:.3f}" for m in means), f"{np.mean(means):.3f}", sep="\t")


def diarisation_errors(data: Path, count: int = 6) -> None:
    """Actors 13 to 24."""
    print(
        *("people", "emotions", "noise", "number", "DER", "missed", "false alarm", "confusion"),
        *("DER, collar, no overlap", "people found", "edges: median / 90 %"),
        sep="\t",
    )
    for people, emotions, db in conditions(2, 4):
        conversations = list(heard(data, 13, (people, emotions, db), count))
        for given in (None, people):
            told = [c.told(given) for c in conversations]
            strict = [errors(c.of.turns, t) for c, t in zip(conversations, told, strict=True)]
            lenient = [errors(c.of.turns, t, COLLAR, overlap=False) for c, t in zip(conversations, told, strict=True)]
            parts = [sum(getattr(e, p) for e in strict) for p in ("missed", "false_alarm", "confusion", "speech")]
            of_all = [p / parts[3] for p in (sum(parts[:3]), *parts[:3])]
            rate = sum(e.rate * e.speech for e in lenient) / sum(e.speech for e in lenient)
            edges = np.quantile([ms for e in strict for ms in e.boundaries], [0.5, 0.9])
            counts = " ".join(str(len({t.speaker for t in turns})) for turns in told)
            rates = " ".join(f"{e.rate:.2f}" for e in strict)
            print(
                people, emotions, db or "clean", given or "auto", *(f"{v:.3f}" for v in of_all), f"{rate:.3f}", counts,
                f"{edges[0]:.0f} / {edges[1]:.0f} ms", f"each {rates}", sep="\t", flush=True,
            )  # fmt: skip


def hour(data: Path, out: Path) -> None:
    """An hour of conversations of actors 13 to 16 with all emotions, pink noise 20 dB below the speech."""
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < 3600 * RATE:
        made = conversation(data, range(13, 17), 9000 + len(parts), EMOTIONS["all"])
        parts.append(noisy(made.y, 20.0, len(parts)))
    soundfile.write(out, np.concatenate(parts)[: 3600 * RATE], RATE)


FPS = 10.0
BIN = 0.5  # s in which it is asked who speaks
UPPER_LIP, LOWER_LIP = 13, 14  # of the mesh, inner edges


def mouths(data: Path) -> None:
    """Of two films side by side, the second begun when the first has spoken: who moves the mouth while one speaks."""
    films = sorted((data / "ravdess_actor01_video" / "mp4").glob("*.mp4"))
    right, asked, tracked = 0, 0, 0
    for a, b in permutations(films, 2):
        said = [speech(read_audio(film).y)[0] for film in (a, b)]
        late = said[0][1] - said[1][0] + 0.3
        lasts = said[1][1] + late + 0.5
        times = np.arange(0.0, lasts, 1 / FPS)
        sides = [_shown(a, times), _shown(b, times - late)]
        seen = [every_face(np.hstack(frames)) for frames in zip(*sides, strict=True)]
        tracks = [t for t in followed([[box for box, _ in faces] for faces in seen]) if len(t) > len(times) / 2]
        halves = {seen[t[0][0]][t[0][1]][0][0] > sides[0][0].shape[1] - 1: t for t in tracks}
        tracked += len(tracks) == len(halves) == 2
        moves = [_moves(halves[half], seen, len(times)) for half in (False, True)]
        for start in np.arange(0.0, lasts - BIN, BIN).tolist():
            speaking = [s + d <= start and start + BIN <= e + d for (s, e), d in zip(said, (0.0, late), strict=True)]
            if sum(speaking) != 1:
                continue
            of = slice(round(start * FPS), round((start + BIN) * FPS))
            asked += 1
            right += int(np.argmax([m[of].mean() for m in moves])) == speaking.index(True)
    pairs = len(films) * (len(films) - 1)
    print(f"{tracked} of {pairs} films: two tracks; in {right} of {asked} half seconds the speaker's mouth moves more")


def _shown(film: Path, times: np.ndarray) -> list[np.ndarray]:
    """Frames of a film at these times, its first one before it begins, its last one after its end."""
    first, last = film_extent(film) or (0.0, 0.0)
    count = round((last - first) * FPS)
    frames = read_frames(film, None, None, count)
    return [frames[min(max(0, int((t - first) * FPS)), len(frames) - 1)] for t in times]


def _moves(track: list[tuple[int, int]], seen: list, frames: int) -> np.ndarray:
    """Change of the mouth's opening from frame to frame over the distance of the eyes [shape=(frames,)]."""
    at = [i for i, _ in track]
    mesh = np.stack([seen[i][j][1][1] for i, j in track])
    eyes = np.linalg.norm(mesh[:, 263, :2] - mesh[:, 33, :2], axis=1)
    gap = np.linalg.norm(mesh[:, UPPER_LIP, :2] - mesh[:, LOWER_LIP, :2], axis=1) / eyes
    return np.abs(np.diff(np.interp(np.arange(frames), at, gap), prepend=gap[0]))


if __name__ == "__main__":
    one_thread()
    match sys.argv[1:]:
        case ["diarisation", data]:
            diarisation_errors(Path(data))
        case ["hour", data, out]:
            hour(Path(data), Path(out))
        case ["mouths", data]:
            mouths(Path(data))
        case ["choose", data]:
            choose(Path(data))
        case _:
            sys.exit(__doc__)
