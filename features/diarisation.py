"""Who speaks when: the voices of a recording, told apart by clustering embeddings of short windows of its speech.

Embeddings of GE2E are clustered, as by Wang et al., "Speaker diarization with LSTM" (ICASSP 2018): spectrally where it
is known how many people speak, else agglomeratively, with average linkage on cosine distances. One person is heard at a
time: where two speak together, the one whose voice is nearer has the turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np

from affectlake.data.errors import BadMedia, UsageError
from affectlake.data.media import local_path, shown
from affectlake.data.samples import channel_number
from affectlake.data.sound import RATE, read_audio
from affectlake.data.transcripts import Turn

HOP = 0.4
"""Seconds from one embedded window's beginning to the next one's; each is 1.6 s, as the encoder reads."""

THRESHOLD = 0.40
"""Cosine distance, on average, beyond which two groups of windows are two people: chosen on conversations of RAVDESS's
actors 1 to 12 (`benchmarks/recordings.py choose`)."""

LINKED = 0.10
"""Cosine distance beyond which the voices of two recordings are two people; chosen as `THRESHOLD`."""

LEAST = 1.0
"""Seconds without which a window does not tell whose voice it is, and takes the voice that is nearest."""

FEW = 5
"""Windows without which a group is nobody of its own."""

MANY, MANY_GIVEN = 4000, 400
"""Windows that are clustered, evenly taken from longer recordings: memory grows with their square, and where the number
of people is given time with their cube."""

NEIGHBOURS = (0.02, 0.034, 0.06, 0.1, 0.17, 0.3)
"""Shares of all windows that each is joined to, of which the best is taken."""

STEP = 0.1
"""Seconds between the times at which who speaks is decided."""

SHORTEST = 0.5
"""Seconds that a turn within a stretch of speech lasts at the least."""

TOGETHER = 300.0
"""Seconds of a recording that are read at a time."""


_NEVER = 9.0  # of a cosine distance, which is 2 at the most


@dataclass(frozen=True)
class Told:
    """A recording's turns with who speaks.

    Attributes
    ----------
    turns : list of Turn
        In order, each with a ``speaker``: A, B, … in the order in which they are first heard, beyond Z S27, S28, ….
    voices : dict of str to np.ndarray [shape=(256,)]
        Each speaker's embedding, of length 1.
    """

    turns: list[Turn]
    voices: dict[str, np.ndarray]


@dataclass(frozen=True)
class Windows:
    """Embedded windows of stretches of speech, in order.

    Attributes
    ----------
    stretch : np.ndarray [shape=(n,)], int
        Which of the stretches each window lies in.
    start, end : np.ndarray [shape=(n,)]
        Seconds of the recording.
    codes : np.ndarray [shape=(n, 256)]
        Embeddings of length 1.
    """

    stretch: np.ndarray
    start: np.ndarray
    end: np.ndarray
    codes: np.ndarray


def told_apart(
    media: str, channel: str | None, turns: Sequence[Turn], speakers: int | None = None, divide: bool = True
) -> Told:
    """Turns of a recording with who speaks in them.

    Parameters
    ----------
    media : str
    channel : str or None
        The one that is heard; None: the mean of all.
    turns : sequence of Turn
        Stretches of speech, in order.
    speakers : int > 0, optional
        How many people speak; default: as many as their voices tell.
    divide : bool
        Whether a stretch in which the voice changes becomes two turns; else it is the turn of who speaks most in it.

    Raises
    ------
    UsageError
        What embeds voices is not installed.
    BadMedia, NotApplicable
        As `affectlake.data.sound.read_audio`.
    """
    require()
    if not turns:
        return Told([], {})
    windows = embedded(turns, sounds(media, channel, turns))
    people = voices(windows, speakers)
    runs = divided(turns, windows, people)
    if not divide:
        runs = [[_longest(found)] for found in runs]
    heard = list(dict.fromkeys(voice for found in runs for _, _, voice in found))
    names = {voice: _name(i) for i, voice in enumerate(heard)}
    named = [
        replace(turn, start=round(a, 3), end=round(b, 3), speaker=names[voice])
        for turn, found in zip(turns, runs, strict=True)
        for a, b, voice in (found if divide else [(turn.start, turn.end, found[0][2])])
    ]
    return Told(named, {names[voice]: people[voice] for voice in heard})


def require() -> None:
    """Raise UsageError where embeddings of voices cannot be computed."""
    from affectlake.features import registry

    if reason := registry.unavailable(registry.get("audio.ge2e")):
        raise UsageError(f"telling speakers apart needs audio.ge2e, which is not here: {reason}")


def _longest(runs: list[tuple[float, float, int]]) -> tuple[float, float, int]:
    lasting: dict[int, float] = {}
    for a, b, voice in runs:
        lasting[voice] = lasting.get(voice, 0.0) + b - a
    return runs[0][0], runs[-1][1], max(lasting, key=lasting.__getitem__)


def _name(i: int) -> str:
    """What the person heard so many-th is called.

    >>> [_name(i) for i in (0, 25, 26)]
    ['A', 'Z', 'S27']
    """
    return chr(ord("A") + i) if i < 26 else f"S{i + 1}"


def linked(voices: Mapping[str, np.ndarray], recordings: Mapping[str, str]) -> dict[str, str]:
    """What each speaker is called where the same voice is one person over recordings: as in the first of them.

    Parameters
    ----------
    voices : mapping of str to np.ndarray [shape=(256,)]
        Embeddings by speaker, those of the first recording first.
    recordings : mapping of str to str
        Which recording each speaker is of: two of one recording are two people.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    names = list(voices)
    if len(names) < 2:
        return {name: name for name in names}
    codes = np.stack([voices[name] for name in names]).astype(np.float64)
    distances = np.clip(1 - codes @ codes.T, 0, None)
    of = np.array([recordings[name] for name in names])
    distances[of[:, None] == of] = _NEVER
    np.fill_diagonal(distances, 0)
    # By the farthest pair: so nobody is linked to two people of one recording.
    groups = fcluster(linkage(squareform(distances, checks=False), "complete"), LINKED, "distance")
    first: dict[int, str] = {}
    return {name: first.setdefault(group, name) for name, group in zip(names, groups.tolist(), strict=True)}


def sounds(media: str, channel: str | None, stretches: Sequence[Turn]) -> Iterator[np.ndarray]:
    """Samples of stretches in order at 16 kHz, those that lie together read together."""
    number = None if channel is None else channel_number(channel)
    first = 0
    while first < len(stretches):
        begin, last = stretches[first].start, first + 1
        while last < len(stretches) and stretches[last].end - begin <= TOGETHER:
            last += 1
        until = max(turn.end for turn in stretches[first:last])
        y = read_audio(media, begin, until, number).y
        for turn in stretches[first:last]:
            heard = y[round((turn.start - begin) * RATE) : round((turn.end - begin) * RATE)]
            if not len(heard):
                ends = begin + len(y) / RATE
                name = shown(local_path(media))
                raise BadMedia(f"{name}: a turn starts at {turn.start} s, the recording ends at {ends:.3f} s")
            yield heard
        first = last


def embedded(stretches: Sequence[Turn], heard: Iterable[np.ndarray]) -> Windows:
    """Windows of stretches of speech, every `HOP` seconds; a stretch that is shorter than one is a window by itself."""
    from affectlake.features.audio import ge2e

    found: list[tuple[int, float, float]] = []
    codes = []
    for i, (turn, y) in enumerate(zip(stretches, heard, strict=True)):
        bands, begins, length = _bands(y)
        codes += [ge2e.encode(bands[j : j + ge2e.BATCH]) for j in range(0, len(bands), ge2e.BATCH)]
        found += [(i, turn.start + b, min(turn.start + b + length, turn.end)) for b in begins]
    stretch, start, end = (np.array(column) for column in zip(*found, strict=True))
    return Windows(stretch, start, end, np.concatenate(codes))


def _bands(y: np.ndarray) -> tuple[np.ndarray, list[float], float]:
    """Mel power of windows [shape=(windows, frames, 40)], the second each begins at, and how long they are."""
    from affectlake.features.audio import _spectrum as sp
    from affectlake.features.audio import ge2e

    y = y - y.mean()
    bands = ge2e.mel(y)
    length = min(ge2e.LENGTH, len(bands))
    hop = round(HOP * RATE / sp.HOP)
    begins = sorted({*range(0, len(bands) - length + 1, hop), len(bands) - length})
    frames = np.stack([bands[b : b + length] for b in begins])
    powers = [np.mean(np.square(y[b * sp.HOP : (b + length) * sp.HOP], dtype=np.float64)) for b in begins]
    gains = 10 ** (ge2e.LEVEL / 10) / np.maximum(powers, 1e-12)
    frames *= gains[:, None, None].astype(np.float32)
    return frames, [b * sp.HOP / RATE for b in begins], length * sp.HOP / RATE


def voices(windows: Windows, speakers: int | None = None) -> np.ndarray:
    """Embeddings of the people who speak, in the order in which they are first heard [shape=(people, 256)].

    Parameters
    ----------
    windows : Windows
    speakers : int > 0, optional
        How many they are; default: by `THRESHOLD`.
    """
    telling = np.flatnonzero(windows.end - windows.start >= LEAST)
    if not len(telling):
        telling = np.arange(len(windows.codes))
    many = MANY if speakers is None else MANY_GIVEN
    telling = telling[np.linspace(0, len(telling) - 1, min(many, len(telling))).round().astype(int)]
    codes = windows.codes[telling]
    labels = _clusters(codes) if speakers is None else _parted(codes, min(speakers, len(codes)))
    known = [label for label in dict.fromkeys(labels.tolist()) if label]
    return _unit(np.stack([codes[labels == label].mean(axis=0) for label in known]))


def _clusters(codes: np.ndarray) -> np.ndarray:
    """Which person each code is of, from 1; 0: of nobody that speaks often enough [shape=(n,)]."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(codes) == 1:
        return np.ones(1, int)
    labels = fcluster(linkage(codes, "average", metric="cosine"), THRESHOLD, "distance")
    sizes = np.bincount(labels)
    return np.where(sizes[labels] >= min(FEW, sizes.max()), labels, 0)


def _parted(codes: np.ndarray, speakers: int) -> np.ndarray:
    """Which of so many people each code is of, from 1 [shape=(n,)].

    Spectral clustering of a graph that joins each code to those most like it: to how many is what parts the graph best,
    for its size, into so many (Park et al., "Auto-tuning spectral clustering for speaker diarization using normalized
    maximum eigengap", IEEE Signal Processing Letters 27, 2020).
    """
    from scipy.linalg import eigh
    from sklearn.cluster import KMeans

    if speakers in (1, len(codes)):
        return np.ones(len(codes), int) if speakers == 1 else np.arange(1, 1 + len(codes))
    count = len(codes)
    nearest = np.argsort(-(codes @ codes.T), axis=1, kind="stable")
    found: list[tuple[float, np.ndarray]] = []
    for share in NEIGHBOURS:
        joined = min(max(round(share * count), 4), count - 1)
        graph = np.zeros((count, count))
        np.put_along_axis(graph, nearest[:, : joined + 1], 0.5, axis=1)
        graph += graph.T
        np.fill_diagonal(graph, 0)
        degrees = graph.sum(axis=1)
        values, vectors = eigh(np.diag(degrees) - graph, subset_by_index=[0, speakers])
        gap = (values[speakers] - values[speakers - 1]) / degrees.max()
        found.append((joined / max(gap, 1e-9), vectors[:, :speakers]))
    best = min(found, key=lambda one: one[0])[1]
    return np.asarray(1 + KMeans(speakers, n_init=5, random_state=0).fit_predict(best))


def _unit(codes: np.ndarray) -> np.ndarray:
    return codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-9)


def divided(stretches: Sequence[Turn], windows: Windows, people: np.ndarray) -> list[list[tuple[float, float, int]]]:
    """Of each stretch, who speaks from when to when: seconds and a row of ``people``."""
    near = windows.codes @ people.T
    return [
        _runs(turn, windows.start[mine], windows.end[mine], near[mine])
        for turn, mine in zip(stretches, _by_stretch(windows, len(stretches)), strict=True)
    ]


def _by_stretch(windows: Windows, count: int) -> list[slice]:
    edges = np.searchsorted(windows.stretch, np.arange(count + 1)).tolist()
    return [slice(a, b) for a, b in pairwise(edges)]


def _runs(turn: Turn, start: np.ndarray, end: np.ndarray, near: np.ndarray) -> list[tuple[float, float, int]]:
    """Runs of the nearest voice, by the windows about each time, those in whose middle it is most of all."""
    times = np.arange(turn.start + STEP / 2, turn.end, STEP)
    middle, half = (start + end) / 2, np.maximum((end - start) / 2, STEP)
    weights = np.maximum(1 - np.abs(times[:, None] - middle) / half, 1e-6)
    best = np.argmax(weights @ near, axis=1) if len(times) else np.argmax(near.sum(axis=0), keepdims=True)
    runs = _lasting([(voice, len(list(group))) for voice, group in groupby(best.tolist())])
    edges = turn.start + STEP * np.cumsum([0, *(n for _, n in runs)])
    edges[-1] = turn.end
    return [(a, b, voice) for (a, b), (voice, _) in zip(pairwise(edges.tolist()), runs, strict=True)]


def _lasting(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs without those that are shorter than `SHORTEST`, which the longer neighbour takes, the shortest first."""
    while len(runs) > 1 and min(n for _, n in runs) * STEP < SHORTEST:
        i = min(range(len(runs)), key=lambda k: runs[k][1])
        beside = [k for k in (i - 1, i + 1) if 0 <= k < len(runs)]
        voice = runs[max(beside, key=lambda k: runs[k][1])][0]
        runs[i] = (voice, runs[i][1])
        runs = [(v, sum(n for _, n in group)) for v, group in groupby(runs, key=lambda run: run[0])]
    return runs
