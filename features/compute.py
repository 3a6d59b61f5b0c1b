"""Runs extractors over a chunk of samples. Everything here happens inside a worker process."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa

from affectlake.data.errors import AffectlakeError, NotApplicable
from affectlake.data.store import kept
from affectlake.features import learning, long, registry, settings
from affectlake.features._guard import ran_out_of_memory, too_much_memory
from affectlake.features.inputs import Changed, Request, read, taken
from affectlake.features.protocol import Extractor, Reads, Worded, texts
from affectlake.features.settings import Value
from affectlake.features.windowed import Parted, Series, Windowed, extent, spans

# Text gains from large batches; media are decoded a few at a time so that long recordings do not pile up in memory.
BATCH: dict[Reads, int] = {"audio": 1, "speech": 1, "face": 4, "image": 8, "text": 256, "dialogue": 256}


TOGETHER = 16
"""Windows of a sample that are in memory at a time."""


PATIENCE: dict[Reads, int] = {"audio": 200, "face": 20}
"""Windows, times extractors, that may take what one sample may take of time."""


@dataclass(frozen=True)
class Chunk:
    """Samples that one worker takes in one go; all of them need all of ``extractors``.

    ``settings`` are those of `affectlake.features.settings` that are not at their default. Recordings of more than
    ``pieces`` pieces (see `affectlake.features.long`) are handed back as `LONG`; None: all are heard.
    """

    reads: Reads
    extractors: tuple[str, ...]
    requests: tuple[Request, ...]
    settings: tuple[tuple[str, Value], ...] = ()
    pieces: int | None = None


@dataclass(frozen=True)
class _Long:
    pieces: int

    def __str__(self) -> str:
        return str(self.pieces)


Result = np.ndarray | Worded | Series | NotApplicable | Changed | _Long | str
"""Values, or why it does not apply, or that it is of other bytes, or how long it is, or why it failed."""

CHANGED = "changed"
"""Outcome of a request whose file is not the one that was hashed: nothing is known of its content, so that its row is
not to be kept."""


LONG = "long"
"""Outcome of a request whose recording takes more time than one: its reason is the number of pieces. No row to keep."""


def compute(chunk: Chunk) -> dict[str, pa.Table]:
    """Results by extractor, one row per request.

    Never raises for a bad sample: its row says ``failed``, ``not_applicable``, `CHANGED` or `LONG` with the reason.
    Tables have the columns content, outcome, reason and the extractor's own (float32, null unless ok), named as
    `affectlake.data.store.kept` says, and the words that it gives besides.
    """
    with settings.use(dict(chunk.settings)):
        return learning.told(_compute(chunk), chunk.requests)


def _compute(chunk: Chunk) -> dict[str, pa.Table]:
    chosen = [registry.get(name) for name in chunk.extractors]
    by_parts = [e for e in chosen if isinstance(e, Parted)]
    if by_parts:
        return _series(chunk, by_parts)
    results: dict[str, list[Result]] = {name: [] for name in chunk.extractors}
    size = BATCH[chunk.reads]
    for first in range(0, len(chunk.requests), size):
        requests = chunk.requests[first : first + size]
        inputs = [_attempt(partial(read, chunk.reads, r)) for r in requests]
        if parts := long.pieces(requests[0], inputs[0]):  # sounds come one at a time
            for name, answer in _in_pieces(chunk, chosen, requests[0], parts, inputs[0]).items():
                results[name].append(answer)
            continue
        for extractor in chosen:
            results[extractor.name] += _answers(extractor, inputs)
    contents = [r.content for r in chunk.requests]
    return {
        e.name: table(e, contents, [nameless(a, r.uri) for a, r in zip(results[e.name], chunk.requests, strict=True)])
        for e in chosen
    }


def _in_pieces(
    chunk: Chunk, chosen: Sequence[Extractor], request: Request, parts: Sequence[Request], middle: Any
) -> dict[str, Result]:
    """Each extractor's answer about a recording that is longer than is heard at once."""
    if chunk.pieces is not None and len(parts) > chunk.pieces:
        return {e.name: _Long(len(parts)) for e in chosen}
    answers: dict[str, list[Result]] = {e.name: [] for e in chosen}
    for part in parts:
        heard = _attempt(partial(read, chunk.reads, part))
        for extractor in chosen:
            if not long.of_middle(extractor):
                answers[extractor.name] += _answers(extractor, [heard])
    starts = [(part.start or 0.0) - (request.start or 0.0) for part in parts]
    return {
        e.name: _extract(e, [middle])[0] if long.of_middle(e) else long.joined(e, answers[e.name], starts)
        for e in chosen
    }


def _series(chunk: Chunk, chosen: Sequence[Parted]) -> dict[str, pa.Table]:
    """Results by parts, a row for each, of requests that are read part by part."""
    results: dict[str, list[Result]] = {e.name: [] for e in chosen}
    for request in chunk.requests:
        windows = [e for e in chosen if isinstance(e, Windowed)]
        found = _of_windows(chunk, windows, request) if windows else _of_tracks(chosen, request)
        for name, answer in found.items():
            results[name].append(nameless(answer, request.uri))
    contents = [r.content for r in chunk.requests]
    return {e.name: table(e, contents, results[e.name]) for e in chosen}


def _of_windows(chunk: Chunk, chosen: Sequence[Windowed], request: Request) -> dict[str, Result]:
    """Each extractor's answer about the windows of one request; all have the same."""
    whole = _attempt(partial(taken, partial(extent, chunk.reads), request))
    if not isinstance(whole, tuple):
        return {e.name: _answers(e, [whole])[0] for e in chosen}
    until = math.inf if request.end is None else request.end
    cut = spans(whole[0], whole[1], chosen[0].window, chosen[0].hop, until)
    pieces = math.ceil(len(cut) * len(chosen) / PATIENCE.get(chunk.reads, 1))
    if chunk.pieces is not None and pieces > max(1, chunk.pieces):
        return {e.name: _Long(pieces) for e in chosen}
    answers: dict[str, list[Result]] = {e.name: [] for e in chosen}
    for first in range(0, len(cut), TOGETHER):
        parts = [replace(request, start=a, end=b) for a, b in cut[first : first + TOGETHER]]
        heard = [_attempt(partial(read, chunk.reads, part)) for part in parts]
        for extractor in chosen:
            answers[extractor.name] += _answers(extractor, heard)
    return {e.name: _joined(e, cut, answers[e.name]) for e in chosen}


def _of_tracks(chosen: Sequence[Parted], request: Request) -> dict[str, Result]:
    """Each extractor's answer about the faces that are followed through one request."""
    from affectlake.features.face.tracks import read_tracks

    found = _attempt(partial(taken, read_tracks, request))
    if not isinstance(found, list):
        return {e.name: _answers(e, [found])[0] for e in chosen}
    keys = [(track.start, track.end, number) for number, track in enumerate(found, 1)]
    return {e.name: _joined(e, keys, _answers(e, [track.faces for track in found])) for e in chosen}


def _joined(extractor: Parted, keys: Sequence[tuple[float | None, ...]], answers: Sequence[Result]) -> Result:
    """A series of the answers about parts: what fails in one fails, what applies to none does not apply."""
    for answer, key in zip(answers, keys, strict=True):
        if isinstance(answer, str):
            where = [f"{n} {k:g}" for n, k in zip(extractor.keys, key, strict=True) if k is not None]
            return f"{', '.join(where)}: {answer}"
        if isinstance(answer, Changed):
            return answer
    if not any(isinstance(answer, np.ndarray) for answer in answers):
        return answers[0]
    nothing = np.full(len(extractor.columns), np.nan, np.float32)
    return Series(tuple(keys), np.stack([a if isinstance(a, np.ndarray) else nothing for a in answers]))


def nameless(answer: Result, uri: str) -> Result:
    """An answer whose reason does not name its file: equal contents share it, and may be other people's."""
    if isinstance(answer, np.ndarray | Worded | Series | Changed | _Long) or not uri:  # of what changed nothing is kept
        return answer
    path = unquote(urlsplit(uri).path) if uri.startswith("file://") else uri
    base = path.rstrip("/").rsplit("/", 1)[-1]
    reason = str(answer)
    for name in (uri, path, base if len(base) > 2 else path):
        # "a pipe", "the folder" are ours to say, also of what is called so.
        reason = re.sub(rf"(?<![\w.\-])(?<!\ba )(?<!\bthe ){re.escape(name)}(?![\w\-])", "the file", reason)
    return answer if reason == str(answer) else NotApplicable(reason) if isinstance(answer, NotApplicable) else reason


@dataclass(frozen=True)
class _Failed:
    reason: str


def _attempt(action: Callable[[], Any]) -> Any:
    """What ``action`` gives, or a NotApplicable, or a _Failed: one bad file must not cost its neighbours."""
    try:
        return action()
    except (NotApplicable, Changed) as outcome:
        return outcome
    except AffectlakeError as error:
        return _Failed(one_line(error))
    except Exception as error:  # a decoder may raise anything
        if ran_out_of_memory(error):
            return _Failed(too_much_memory())
        return _Failed(one_line(f"{type(error).__name__}: {error}"))


def _answers(extractor: Extractor, inputs: Sequence[Any]) -> list[Result]:
    """An extractor's result for each input; what could not be read answers for itself."""
    good = [i for i in inputs if not isinstance(i, NotApplicable | Changed | _Failed)]
    extracted = iter(_extract(extractor, good))
    found: list[Result] = []
    for entry in inputs:
        match entry:
            case _Failed():
                found.append(entry.reason)
            case NotApplicable() | Changed():
                found.append(entry)
            case _:
                found.append(next(extracted))
    return found


def _extract(extractor: Extractor, inputs: Sequence[Any]) -> list[Result]:
    if not inputs:
        return []
    whole = _attempt(lambda: extractor.extract(inputs))
    if isinstance(whole, list):
        return [_checked(extractor, answer) for answer in whole]
    if len(inputs) == 1:
        return [whole.reason if isinstance(whole, _Failed) else whole]
    # Somebody in the batch broke it: alone, the culprit answers for itself and the others are kept.
    return [answer for one in inputs for answer in _extract(extractor, [one])]


def _checked(extractor: Extractor, answer: Any) -> Result:
    if isinstance(answer, NotApplicable):
        return answer
    if words := texts(extractor):
        if not isinstance(answer, Worded) or len(answer.texts) != len(words):
            return f"{extractor.name} returned no row with {', '.join(words)}"
        values = _values(extractor, answer.values)
        return Worded(values, answer.texts) if isinstance(values, np.ndarray) else values
    return _values(extractor, answer)


def _values(extractor: Extractor, answer: Any) -> np.ndarray | str:
    if np.shape(answer) != (len(extractor.columns),):
        return f"{extractor.name} returned shape {np.shape(answer)}, expected ({len(extractor.columns)},)"
    values = np.asarray(answer, dtype=np.float32)
    if np.isinf(values).any():
        column = extractor.columns[int(np.flatnonzero(np.isinf(values))[0])].name
        return f"{extractor.name} returned an infinite value in {column}"
    return values


def one_line(error: object) -> str:
    """Message on a single line of at most 300 characters, as stored in ``failures``."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def table(extractor: Extractor, contents: Sequence[str], results: Sequence[Result]) -> pa.Table:
    """The store's form of results: see `compute`."""
    if isinstance(extractor, Parted):
        return _series_table(extractor, contents, results)
    ok = np.array([isinstance(r, np.ndarray | Worded) for r in results], dtype=bool)
    values = np.full((len(results), len(extractor.columns)), np.nan, dtype=np.float32)
    for i, result in enumerate(results):
        if isinstance(result, np.ndarray | Worded):
            values[i] = result.values if isinstance(result, Worded) else result
    outcome = [_outcome(r) for r in results]
    reason = [None if known else one_line(r) for r, known in zip(results, ok, strict=True)]
    columns: dict[str, pa.Array] = {
        "content": pa.array(contents, pa.string()),
        "outcome": pa.array(outcome, pa.string()),
        "reason": pa.array(reason, pa.string()),
    }
    for j, column in enumerate(extractor.columns):
        columns[kept(column.name)] = pa.array(values[:, j], mask=~ok)
    for j, name in enumerate(texts(extractor)):
        words = [r.texts[j] if isinstance(r, Worded) else None for r in results]
        columns[name] = pa.array(words, pa.string())
    return pa.table(columns)


def _series_table(extractor: Parted, contents: Sequence[str], results: Sequence[Result]) -> pa.Table:
    """The same of series: a row per part, with its keys; one without them of what has no values."""
    counts = [len(r.keys) if isinstance(r, Series) else 1 for r in results]
    ok = np.repeat([isinstance(r, Series) for r in results], counts)
    nothing = np.full((1, len(extractor.columns)), np.nan, np.float32)
    values = np.concatenate([r.values if isinstance(r, Series) else nothing for r in results])
    keyless = ((None,) * len(extractor.keys),)
    keys = [key for r in results for key in (r.keys if isinstance(r, Series) else keyless)]
    reasons = [None if isinstance(r, Series) else one_line(r) for r in results]
    columns: dict[str, pa.Array] = {
        "content": pa.array(np.repeat(np.asarray(contents, object), counts), pa.string()),
        "outcome": pa.array(np.repeat([_outcome(r) for r in results], counts), pa.string()),
        "reason": pa.array([reason for reason, n in zip(reasons, counts, strict=True) for _ in range(n)], pa.string()),
    }
    for j, name in enumerate(extractor.keys):
        columns[name] = pa.array([key[j] for key in keys], pa.int32() if name == "track" else pa.float64())
    for j, column in enumerate(extractor.columns):
        columns[kept(column.name)] = pa.array(values[:, j], mask=~ok)
    return pa.table(columns)


def _outcome(result: Result) -> str:
    match result:
        case np.ndarray() | Worded() | Series():
            return "ok"
        case NotApplicable():
            return "not_applicable"
        case Changed():
            return CHANGED
        case _Long():
            return LONG
        case _:
            return "failed"


def failed(extractor: Extractor, requests: Sequence[Request], reason: str) -> pa.Table:
    """Rows for requests that never came back from a worker."""
    return table(extractor, [r.content for r in requests], [reason] * len(requests))
