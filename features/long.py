"""Recordings that are longer than is heard at once: equal pieces, each heard by itself, and one answer of them all."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.inputs import Changed, Request, Speech
from affectlake.features.protocol import Extractor, Worded


def pieces(request: Request, heard: Any) -> list[Request]:
    """Requests for equal pieces of at most `affectlake.data.sound.LIMIT` seconds; none of what was heard whole.

    Parameters
    ----------
    request : Request
    heard : object
        What the reader gave for it: of a sound that is longer its middle.
    """
    clip = heard.clip if isinstance(heard, Speech) else heard
    duration = getattr(clip, "duration", 0.0)
    if not request.uri or not duration:
        return []
    from affectlake.data import sound

    if duration <= sound.LIMIT:
        return []
    count = math.ceil(duration / sound.LIMIT)
    first = request.start or 0.0
    edges = [first + duration * i / count for i in range(count + 1)]
    return [replace(request, start=a, end=b) for a, b in pairwise(edges)]


def of_middle(extractor: Extractor) -> bool:
    """Whether an extractor wants the middle of a long recording, heard at once, rather than its pieces."""
    return bool(getattr(extractor, "middle", False))


def joined(
    extractor: Extractor,
    answers: Sequence["np.ndarray | Worded | NotApplicable | Changed | Any"],
    starts: Sequence[float],
) -> Any:
    """One answer of those about each piece [starting at these seconds of the sample].

    The mean of the pieces that have a value, column by column, or what the extractor's own ``joined`` makes of them.
    What fails in one piece fails; what applies to none does not apply.
    """
    for answer in answers:
        if not isinstance(answer, np.ndarray | Worded | NotApplicable):
            return answer
    known = [(a, start) for a, start in zip(answers, starts, strict=True) if not isinstance(a, NotApplicable)]
    if not known:
        return answers[0]
    if hasattr(extractor, "joined"):
        return extractor.joined(*zip(*known, strict=True))
    values = np.stack([np.asarray(a, dtype=np.float64) for a, _ in known])
    finite = ~np.isnan(values)
    counts = finite.sum(axis=0)
    means = np.where(finite, values, 0.0).sum(axis=0) / np.maximum(counts, 1)
    return np.where(counts > 0, means, np.nan).astype(np.float32)
