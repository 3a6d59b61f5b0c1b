"""A recording's timeline: what a model says of each window or turn, as rows and as one page that opens offline."""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit

import numpy as np

from affectlake.data import remote
from affectlake.data.errors import BadMedia, NotApplicable, UsageError
from affectlake.data.media import VIDEO, local_path
from affectlake.data.pictures import read_frames
from affectlake.data.progress import Progress, silent
from affectlake.data.samples import samples_frame
from affectlake.data.sound import RATE, audio_length, read_audio
from affectlake.features.extraction import Failure
from affectlake.features.segmentation import PIECE, recordings_of, segments
from affectlake.flows.document import AnsweredSample, PlacedAnswer
from affectlake.flows.report import template

if TYPE_CHECKING:
    import pandas as pd

    from affectlake.features.cutting import Cutting

UNSURE = 0.5
"""Probability that no class reaches where a model that has no bound of its own is called unsure."""

BINS = 1000
"""Bars of the picture of a recording's level."""

FRAMES = 12
"""Frames of a film in its strip."""

_WIDTH, _HEIGHT, _WAVE = 1000.0, 40.0, 60.0  # of the pictures, in their own units
_FRAME = 72  # pixels that a frame of the strip is high
_HUES = 6  # of those who speak; the page's style has as many


@dataclass(frozen=True)
class Strip:
    """What is drawn of one recording.

    Attributes
    ----------
    name, media : str
        What it is called, and where it lies; empty of a transcript alone.
    seconds : float
        That it lasts.
    rows : list of PlacedAnswer
        Answers by window or turn, in order, each with ``start`` and ``end``.
    """

    name: str
    media: str
    seconds: float
    rows: list[PlacedAnswer]


def batches(
    files: Sequence[str],
    cutting: Cutting,
    parts: Callable[[pd.DataFrame], Iterable[pd.DataFrame]],
    progress: Progress = silent,
) -> Iterator[tuple[pd.DataFrame, list[Failure]]]:
    """Segments of media files as samples in normal form, in parts, and the files that could not be cut.

    Raises
    ------
    UsageError
        None of the files can be cut, or there is none.
    """
    if not files:
        raise UsageError("name the recordings of which a timeline is wanted")
    frame, uncut = segments(recordings_of(list(files)), cutting, progress)
    if frame.empty:
        raise UsageError(f"{uncut[0].sample_id}: {uncut[0].reason}")
    frame = frame.assign(recording=frame["dialogue"])
    if "text" not in frame:
        frame = frame.drop(columns=["dialogue", "turn"])  # which would have to be seen together
    failures = [Failure(one.sample_id, "every extractor", one.reason) for one in uncut]
    return _with_failures(parts(samples_frame(frame, "predict")), failures)


def _with_failures(
    parts: Iterable[pd.DataFrame], failures: list[Failure]
) -> Iterator[tuple[pd.DataFrame, list[Failure]]]:
    """Parts, the first with the failures."""
    for part in parts:
        yield part, failures
        failures = []


def placed(rows: Sequence[AnsweredSample], samples: pd.DataFrame) -> list[PlacedAnswer]:
    """Answers with where each is in its recording, who speaks and what is said, as far as that is known."""
    names = ["recording", "start", "end", "channel", "speaker", "text"]
    where = samples[names].astype(object)
    values = where.where(where.notna(), None).itertuples(index=False, name=None)
    return [
        cast("PlacedAnswer", dict(zip(names, place, strict=True)) | dict(row) | {"unsure": unsure(row)})
        for place, row in zip(values, rows, strict=True)
    ]


def unsure(row: AnsweredSample) -> bool:
    """Whether a model would rather not answer; of one that has no bound, whether no class has half of the probability.

    Never where it says quantities.
    """
    if row["abstain"] is not None:
        return row["abstain"]
    return bool(row["probabilities"]) and max(row["probabilities"].values()) < UNSURE


def strips(rows: Sequence[PlacedAnswer]) -> list[Strip]:
    """Rows by recording, in order."""
    found: dict[str, list[PlacedAnswer]] = {}
    for row in rows:
        found.setdefault(row["recording"], []).append(row)
    return [
        Strip(
            name,
            media := answers[0]["uri"] or "",
            max(_seconds(media) if media else 0.0, *(row["end"] for row in answers)),
            sorted(answers, key=_when),
        )
        for name, answers in found.items()
    ]


def _when(row: PlacedAnswer) -> tuple[float, float]:
    return row["start"], row["end"]


def _seconds(media: str) -> float:
    try:
        with remote.at_hand(media) as path:
            return audio_length(path)
    except NotApplicable:
        return 0.0


def write_page(rows: Sequence[PlacedAnswer], model: str, out: Path) -> Path:
    """Write the page of a timeline; the recordings stay where they are, and are played from there."""
    script = (Path(__file__).parent / "templates" / "timeline.js").read_text(encoding="utf-8")
    found = strips(rows)
    classes = sorted({c for strip in found for row in strip.rows for c in row["probabilities"]})
    page = template("timeline.html").render(
        model=model,
        classes=classes,
        strips=[_drawn(strip, classes, out.absolute().parent) for strip in found],
        origins=_origins(found),
        script=script,
        digest=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        clock=clock,
        width=_WIDTH,
        height=_HEIGHT,
        wave=_WAVE,
        hues=_HUES,
        unsure=UNSURE,
        bound=any(row["abstain"] is not None for row in rows),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def _drawn(strip: Strip, classes: Sequence[str], folder: Path) -> dict[str, Any]:
    film = Path(remote.name_of(strip.media)).suffix.lower() in VIDEO
    bars, frames = [], []
    if strip.media:
        with remote.at_hand(strip.media) as path:
            bars = levels(path, strip.seconds)
            frames = thumbnails(path) if film else []
    hues = {who: i % _HUES for i, who in enumerate(dict.fromkeys(_voice(row) for row in strip.rows))}
    return {
        "name": strip.name,
        "source": _source(strip.media, folder) if strip.media else "",
        "bucket": strip.media if remote.is_remote(strip.media) and not _on_the_web(strip.media) else "",
        "film": film,
        "frames": frames,
        "seconds": strip.seconds,
        "rows": strip.rows,
        "curves": [(name, _curves(strip, name, hues)) for name in classes],
        "lanes": _lanes(strip, hues),
        "unsure": [_span(strip, row) for row in strip.rows if row["unsure"]],
        "worded": any(row["text"] for row in strip.rows),
        "bars": " ".join(_bar(i, level) for i, level in enumerate(bars)),
    }


def _voice(row: PlacedAnswer) -> str:
    """Whose an answer is: the speaker's, else the channel's, else nobody's."""
    return row["speaker"] or row["channel"] or ""


def _source(media: str, folder: Path) -> str:
    """What the player of a page in a folder plays; of a bucket, which no browser reads, a copy beside the page."""
    if _on_the_web(media):
        return media
    if remote.is_remote(media):
        return quote(remote.name_of(media))
    return quote(os.path.relpath(local_path(media), folder))


def _on_the_web(media: str) -> bool:
    return remote.is_remote(media) and media.lower().startswith("http")


_HOST = re.compile(r"[\w.:\[\]-]+", re.ASCII)


def _origins(found: Sequence[Strip]) -> str:
    """Servers that the page may ask for recordings, with a blank before each."""
    web = [u for strip in found if _on_the_web(strip.media) and _HOST.fullmatch((u := urlsplit(strip.media)).netloc)]
    return "".join(f" {origin}" for origin in sorted({f"{u.scheme}://{u.netloc}" for u in web}))


def _curves(strip: Strip, name: str, hues: dict[str, int]) -> list[tuple[int, str]]:
    """Hue and path of a class's probability, one for each who speaks."""
    voices: dict[str, list[PlacedAnswer]] = {}
    for row in strip.rows:
        if row["probabilities"]:
            voices.setdefault(_voice(row), []).append(row)
    return [(hues[who], _path(rows, name, _WIDTH / strip.seconds)) for who, rows in voices.items()]


def _path(rows: Sequence[PlacedAnswer], name: str, scale: float) -> str:
    """Through the middles of windows, which all overlap, else a level for each; turns overlap now and then."""
    ends = [(row["start"] * scale, row["end"] * scale) for row in rows]
    heights = [_HEIGHT * (1 - row["probabilities"].get(name, 0.0)) for row in rows]
    if 2 * sum(b[0] < a[1] for a, b in pairwise(ends)) > len(ends) - 1:
        points = [f"{(x0 + x1) / 2:.1f} {y:.1f}" for (x0, x1), y in zip(ends, heights, strict=True)]
        return "M" + "L".join(points)
    return "".join(f"M{x0:.1f} {y:.1f}H{x1:.1f}" for (x0, x1), y in zip(ends, heights, strict=True))


def _lanes(strip: Strip, hues: dict[str, int]) -> list[tuple[str, int, list[tuple[float, float]]]]:
    """Who speaks when: hue, and x and width of each turn."""
    lanes: dict[str, list[tuple[float, float]]] = {}
    for row in strip.rows:
        if row["speaker"]:
            lanes.setdefault(row["speaker"], []).append(_span(strip, row))
    return [(who, hues[who], turns) for who, turns in lanes.items()]


def _span(strip: Strip, row: PlacedAnswer) -> tuple[float, float]:
    x, width = (round(s / strip.seconds * _WIDTH, 1) for s in (row["start"], row["end"] - row["start"]))
    return x, width


def _bar(i: int, level: float) -> str:
    half = max(0.5, level * _WAVE / 2)
    return f"M{i + 0.5} {_WAVE / 2 - half:.1f}v{2 * half:.1f}"


def thumbnails(media: str) -> list[str]:
    """Small pictures of a film at even distances of time, as addresses that hold them.

    None where it shows nothing, or where what reads pictures is not installed.
    """
    try:
        return [_thumbnail(frame) for frame in read_frames(media, count=FRAMES)]
    except (BadMedia, NotApplicable, ModuleNotFoundError):
        return []


def _thumbnail(frame: np.ndarray) -> str:
    from PIL import Image

    picture, out = Image.fromarray(frame), BytesIO()
    picture.thumbnail((4 * _FRAME, _FRAME))
    picture.save(out, "JPEG", quality=70)
    return f"data:image/jpeg;base64,{b64encode(out.getvalue()).decode()}"


def levels(media: str, seconds: float) -> list[float]:
    """Peaks of `BINS` equal parts of a recording, the loudest 1; nothing where it has no sound."""
    try:
        peaks = np.concatenate(list(_peaks(media, seconds)))
    except NotApplicable:
        return []
    return (peaks / max(float(peaks.max()), 1e-9)).tolist()


def _peaks(media: str, seconds: float) -> Iterator[np.ndarray]:
    step = seconds / BINS
    together = max(1, int(PIECE / step))
    for first in range(0, BINS, together):
        last = min(first + together, BINS)
        y = np.abs(read_audio(media, first * step, last * step).y)
        edges = np.minimum((np.arange(last - first) * step * RATE).astype(int), len(y) - 1)
        yield np.maximum.reduceat(y, edges)


def clock(seconds: float) -> str:
    """Time as a player shows it.

    >>> clock(3725.25), clock(65.0)
    ('1:02:05.2', '1:05.0')
    """
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
