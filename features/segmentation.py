"""Cuts recordings into the rows of a manifest: by speech, by pauses, by windows, or as a transcript says."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from affectlake.data import remote
from affectlake.data.errors import AffectlakeError, BadManifest, NotApplicable, UsageError
from affectlake.data.media import local_path
from affectlake.data.pictures import film_extent
from affectlake.data.progress import Progress, silent
from affectlake.data.samples import channel_number, samples_frame
from affectlake.data.sound import RATE, audio_length, channel_count, read_audio
from affectlake.data.transcripts import FORMATS, Turn, beside, read_turns
from affectlake.data.transcripts.turns import overlapping
from affectlake.features import diarisation
from affectlake.features.cutting import Cutting

PIECE = 300.0
"""Seconds of a recording that are in memory at a time."""

PAUSE = 0.3
"""Seconds without speech that end a turn."""

PAD = 0.1
"""Seconds kept around speech: its quiet beginnings and ends."""

QUIET = 40.0
"""Decibels below the loudest of a piece that make a pause, where pauses are told by level."""

_log = logging.getLogger("affectlake.features")

_NO_NAME = re.compile(r"(?:speaker|spk|spkr|sprecher|channel|s)?[\s_-]*(?:\d{1,3}|[A-Z])", re.IGNORECASE)
"""Names that recognisers give: another person's in each recording."""


@dataclass(frozen=True)
class Uncut:
    """A recording that gave no rows, and why."""

    sample_id: str
    reason: str


@dataclass(frozen=True)
class _Recording:
    """A row that is cut; None is what it does not say. Of a transcript alone, ``media`` is empty."""

    sample_id: str
    media: str
    start: float
    end: float
    channel: str | None
    speaker: str | None
    language: str | None
    dialogue: str | None
    transcript: str | None
    elsewhere: bool = False

    @classmethod
    def of(cls, row: Mapping[Hashable, Any]) -> _Recording:
        given = {k: v for k, v in row.items() if pd.notna(v)}
        media = given.get("audio", given.get("video", ""))
        if not media and "transcript" not in given:
            raise BadManifest("neither sound nor film to cut")
        known: dict[str, Any] = {k: given.get(k) for k in ("channel", "speaker", "language", "dialogue", "transcript")}
        return cls(given["sample_id"], media, given.get("start", 0.0), given.get("end", float("inf")), **known)


def segments(
    recordings: pd.DataFrame, cutting: Cutting, progress: Progress = silent
) -> tuple[pd.DataFrame, list[Uncut]]:
    """Rows of a manifest, one for each segment.

    Parameters
    ----------
    recordings : DataFrame
        Normal form of `affectlake.data.samples.samples_frame`, a row for each recording (or part of one). A column
        ``transcript`` names its transcript; where there is none, the one beside it is taken. Where a transcript names
        the row's ``speaker``, the row has that one's turns, and nobody's.
    cutting : Cutting
    progress : Progress, optional

    Returns
    -------
    DataFrame
        The recordings' columns, ``start``, ``end``, ``channel`` and what a transcript says filled in; ``sample_id`` is
        the recording's with a number, ``dialogue`` the recording's and ``turn`` counts on through it. ``overlap`` says
        whether somebody else speaks at that time too. Speakers that have no name but a number are the recording's own.
    list of Uncut
        Recordings that could not be cut.
    """
    if cutting.speakers is not None:
        diarisation.require()
    rows: list[dict[Hashable, object]] = []
    uncut = []
    voices: dict[str, np.ndarray] = {}
    of: dict[str, str] = {}
    with progress("cutting") as report:
        for done, row in enumerate(recordings.to_dict("records")):
            report(done, len(recordings))
            try:
                recording = _Recording.of(row)
                with _at_hand(recording, cutting) as here:
                    cut = _segments(here, cutting)
            except AffectlakeError as error:
                uncut.append(Uncut(str(row["sample_id"]), str(error)))
                continue
            if not cut.rows:
                uncut.append(Uncut(str(row["sample_id"]), f"nothing to cut by {cutting.by}"))
            rows += [dict(row) | segment for segment in cut.rows]
            voices |= cut.voices
            of |= dict.fromkeys(cut.voices, str(row["sample_id"]))
    if cutting.link:
        names = diarisation.linked(voices, of)
        rows = [row | {"speaker": names.get(str(row["speaker"]), row["speaker"])} for row in rows]
    columns = [c for c in recordings if c not in ("dataset", "transcript")]
    frame = pd.DataFrame(rows, columns=[*columns, "overlap"])
    return _numbered(frame).dropna(axis=1, how="all") if len(frame) else frame, uncut


@contextmanager
def _at_hand(recording: _Recording, cutting: Cutting) -> Iterator[_Recording]:
    """The recording, its sound fetched if it is to be heard: a transcript alone tells its turns."""
    if cutting.by == "transcript" and cutting.speakers is None:
        yield replace(recording, elsewhere=remote.is_remote(recording.media))
        return
    if not recording.media:
        raise BadManifest(
            "a transcript alone, which has nothing to hear: it can be cut by transcript, without speakers"
        )
    with remote.at_hand(recording.media) as path:
        yield replace(recording, media=path, elsewhere=path != recording.media)


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows whose turns count on through a dialogue of which several rows, such as two channels, are parts."""
    heard = frame["audio"].astype(object)
    part, _ = pd.factorize(heard.where(heard.notna(), frame["video"]))
    order = frame.assign(part=part).sort_values(["part", "start"], kind="stable")
    return frame.assign(turn=order.groupby("dialogue").cumcount())


@dataclass(frozen=True)
class _Cut:
    """What each segment of a recording has of its own, and the voices of those who got a name by them."""

    rows: list[dict[str, object]]
    voices: dict[str, np.ndarray]


def _segments(recording: _Recording, cutting: Cutting) -> _Cut:
    found: list[tuple[Turn, str | None]] = []
    voices: dict[str, np.ndarray] = {}
    last = None if cutting.by == "transcript" else min(_length(recording.media, cutting.by == "windows"), recording.end)
    for channel in _channels(recording, cutting):
        if last is not None and channel and channel_number(channel) > (there := channel_count(recording.media)):
            raise BadManifest(f"has {there} channel{'s' * (there > 1)}, asked for {channel}")
        alone = channel if cutting.each_channel else None
        turns = _transcribed(recording, cutting) if last is None else _cut(recording, channel, cutting, last)
        if cutting.speakers is not None:
            told = _told(recording, channel, turns, cutting)
            turns = told.turns
            voices |= {_own(recording, name, alone): code for name, code in told.voices.items()}
        found += [(turn, channel) for turn in turns]
    found.sort(key=lambda one: one[0])
    theirs = _theirs(recording, [turn for turn, _ in found])
    over = overlapping([turn for turn, _ in found]) if cutting.by != "windows" else [None] * len(found)
    width = max(4, len(str(len(found))))
    rows: list[dict[str, object]] = [
        {
            "sample_id": f"{recording.sample_id}/{number:0{width}}",
            "start": turn.start,
            "end": turn.end,
            "channel": channel,
            "speaker": _speaker(recording, turn, channel if cutting.each_channel else None),
            "text": turn.text or None,
            "language": turn.language or recording.language,
            "dialogue": recording.dialogue or recording.sample_id,
            "turn": number,
            "overlap": together,
        }
        for number, ((turn, channel), together) in enumerate(zip(found, over, strict=True))
        if turn.speaker in theirs
    ]
    return _Cut(rows, voices)


def _length(media: str, silent: bool) -> float:
    """Seconds of a recording, or of a film without sound where that will do."""
    try:
        return audio_length(media)
    except NotApplicable:
        if not silent:
            raise
        if (seen := film_extent(media)) is None:
            raise NotApplicable("pictures, which tell no times that could be cut") from None
        return seen[1]


def _theirs(recording: _Recording, turns: list[Turn]) -> Set[str | None]:
    """Whose turns the row is about: its speaker's and nobody's, where they name that speaker, else everybody's."""
    names = {turn.speaker for turn in turns}
    return {recording.speaker, ""} if recording.speaker in names else names


def _told(recording: _Recording, channel: str | None, turns: list[Turn], cutting: Cutting) -> diarisation.Told:
    """Turns of one channel, those that name nobody with a speaker by the voice; none where the row says who speaks."""
    nameless = [] if recording.speaker else [turn for turn in turns if not turn.speaker]
    given = None if cutting.speakers == "auto" else cutting.speakers
    told = diarisation.told_apart(recording.media, channel, nameless, given, divide=cutting.by != "transcript")
    named = [turn for turn in turns if turn.speaker or recording.speaker]
    return diarisation.Told(named + told.turns, told.voices)


def _channels(recording: _Recording, cutting: Cutting) -> list[str | None]:
    if recording.channel or not cutting.each_channel:
        return [recording.channel]
    names = {1: "left", 2: "right"}
    return [names.get(number, str(number)) for number in range(1, channel_count(recording.media) + 1)]


def _speaker(recording: _Recording, turn: Turn, channel: str | None) -> str | None:
    if not turn.speaker:
        return recording.speaker or (f"{recording.sample_id}/{channel}" if channel else None)
    return _own(recording, turn.speaker, channel) if _NO_NAME.fullmatch(turn.speaker) else turn.speaker


def _own(recording: _Recording, name: str, channel: str | None) -> str:
    """A speaker of this recording alone."""
    return "/".join([recording.sample_id, *([channel] if channel else []), name])


def _cut(recording: _Recording, channel: str | None, cutting: Cutting, last: float) -> list[Turn]:
    """Turns of one channel, from the row's beginning to ``last``."""
    if cutting.by == "windows":
        return windows(recording.start, last, cutting.window, cutting.hop)
    stretches: Stretches = sounding if cutting.by == "silence" else partial(speech, longest=cutting.longest)
    return list(_by_pieces(recording.media, channel, recording.start, last, stretches))


def _transcribed(recording: _Recording, cutting: Cutting) -> list[Turn]:
    """Turns of the transcript within the part of the recording that its row is about."""
    turns = _read_turns(recording, cutting)
    turns = [t for t in turns if t.start >= recording.start and t.end <= recording.end]
    if recording.elsewhere or not recording.media:
        return turns
    ends = round(_length(recording.media, silent=True), 3)
    there = [replace(t, end=min(t.end, ends)) for t in turns if t.start < ends]
    if len(there) < len(turns):
        late = f"{len(turns) - len(there)} of {len(turns)} turns begin after the recording's end at {ends} s"
        _log.warning("%s: %s and are left out", recording.sample_id, late)
    return there


def _read_turns(recording: _Recording, cutting: Cutting) -> list[Turn]:
    names = (
        (Path(remote.name_of(recording.media)).stem, recording.sample_id) if recording.media else (recording.sample_id,)
    )
    if recording.transcript:
        with remote.at_hand(recording.transcript) as named:
            return read_turns(Path(named), cutting.encoding, names)
    if recording.elsewhere:
        raise BadManifest(
            "no transcript is named in a column 'transcript', and beside what is elsewhere none is sought"
        )
    path = beside(local_path(recording.media))
    if path is None:
        raise BadManifest("no transcript lies beside it, and none is named in a column 'transcript'")
    return read_turns(path, cutting.encoding, names)


def windows(first: float, last: float, window: float, hop: float) -> list[Turn]:
    """Windows of equal length; the last one ends with the recording.

    Examples
    --------
    >>> [(turn.start, turn.end) for turn in windows(0.0, 7.5, window=3.0, hop=2.0)]
    [(0.0, 3.0), (2.0, 5.0), (4.0, 7.0), (6.0, 7.5)]
    >>> [(turn.start, turn.end) for turn in windows(0.0, 6.0, window=3.0, hop=3.0)]
    [(0.0, 3.0), (3.0, 6.0)]
    """
    count = max(1, int(np.ceil(round((last - first - window) / hop, 6))) + 1)
    starts = first + hop * np.arange(count)
    return [Turn(round(s, 3), round(min(s + window, last), 3)) for s in starts.tolist() if s < last]


_LEAD = 1.0  # s that a detector hears before a stretch that it hears again
_STEP = 160  # samples, 10 ms
_NOTHING = 1e-10  # of full scale: digital silence with its dither

Stretches = Callable[[np.ndarray], list[tuple[float, float]]]
"""From samples at 16 kHz to the seconds in which something is heard."""


def _by_pieces(media: str, channel: str | None, first: float, last: float, stretches: Stretches) -> Iterator[Turn]:
    """Stretches of a recording of any length; one that touches a piece's end is heard again with the next piece."""
    number = None if channel is None else channel_number(channel)
    while first < last:
        until = min(first + PIECE, last)
        found = stretches(read_audio(media, first, until, number).y)
        cut_off = until < last and bool(found) and found[-1][1] >= until - first - PAUSE - PAD
        whole = found[:-1] if cut_off else found
        # What begins at the very end is heard by the next piece only.
        again = max((found[-1][0] if cut_off else until - first) - _LEAD, whole[-1][1] if whole else 0.0)
        if until == last or again <= 0:
            whole, again = found, until - first
        for start, end in whole:
            yield Turn(round(first + start, 3), round(min(first + end, last), 3))
        first += again


def speech(y: np.ndarray, longest: float = float("inf")) -> list[tuple[float, float]]:
    """Stretches of speech [s], by Silero's voice activity detector (MIT), whose weights come with faster-whisper."""
    try:
        from faster_whisper.vad import VadOptions, get_speech_timestamps
    except ModuleNotFoundError:
        raise UsageError(
            "cutting by speech needs faster-whisper: pip install 'affectlake[asr]'; by silence needs nothing more"
        ) from None
    options = VadOptions(
        min_silence_duration_ms=round(1000 * PAUSE),
        speech_pad_ms=round(1000 * PAD),
        min_speech_duration_ms=round(1000 * PAUSE),
        max_speech_duration_s=longest,
    )
    return [(s["start"] / RATE, s["end"] / RATE) for s in get_speech_timestamps(y, options)]


def sounding(y: np.ndarray) -> list[tuple[float, float]]:
    """Stretches [s] between pauses, by level alone: noise and music are stretches too.

    As `librosa.effects.split` does it, whose first call compiles for longer than this takes for an hour of sound.
    """
    frames = y[: len(y) // _STEP * _STEP].reshape(-1, _STEP)
    power = np.einsum("ij,ij->i", frames, frames) / _STEP
    loud = power > max(power.max(initial=0.0) * 10 ** (-QUIET / 10), _NOTHING)
    edges = np.flatnonzero(np.diff(loud, prepend=False, append=False)) * _STEP / RATE
    found: list[tuple[float, float]] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if found and start - found[-1][1] < PAUSE:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def recordings_of(files: list[str]) -> pd.DataFrame:
    """Media files and transcripts alone as recordings, called by what tells their paths apart, without suffixes."""
    from affectlake.features.extraction import kind_of

    paths = [remote.hidden(f) if remote.is_remote(f) else str(Path(f).absolute()) for f in files]
    names = [Path(remote.name_of(p)).stem for p in paths]
    if len(set(names)) < len(names):
        root = remote.common_folder(paths)
        inside = [p[len(root) + 1 :] for p in paths]
        names = [str(Path(p).with_suffix("")) for p in inside]
    if len(set(names)) < len(names):
        names = inside
    kinds = ["transcript" if Path(remote.name_of(p)).suffix.lower() in FORMATS else kind_of(p) for p in paths]
    rows = [{"sample_id": n, kind: p} for n, kind, p in zip(names, kinds, paths, strict=True)]
    return samples_frame(pd.DataFrame(rows), "recordings", readable=False)
