"""How long extractors take on this machine, on a sample that is made for it."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from affectlake.data.errors import AffectlakeError
from affectlake.features import registry
from affectlake.features.inputs import READERS, Request
from affectlake.features.protocol import Extractor
from affectlake.features.scan import media_uris, requests, scan

_SLOW = 3.0  # times as long as documented, from which on something is told


@dataclass(frozen=True)
class Timing:
    """What one extractor took.

    Attributes
    ----------
    extractor : str
    milliseconds : float or None
        Per sample, its model loaded before; None where it could not be computed.
    documented : float
        The same as the extractor states it.
    error : str
        Why it could not be computed.
    """

    extractor: str
    milliseconds: float | None
    documented: float
    error: str = ""

    def advice(self) -> str:
        """What to think of it; empty where there is nothing to say.

        >>> Timing("audio.prosody", 90.0, 10.0).advice()
        '9.0 times as long as documented: is the machine busy, or OMP_NUM_THREADS set?'
        >>> Timing("audio.prosody", 12.0, 10.0).advice()
        ''
        """
        if self.milliseconds is None:
            return self.error
        times = self.milliseconds / max(self.documented, 1.0)
        if times < _SLOW:
            return ""
        return f"{times:.1f} times as long as documented: is the machine busy, or OMP_NUM_THREADS set?"


def timings(seconds: float = 1.0) -> Iterator[Timing]:
    """Time every extractor that can run here for about ``seconds``, its model loaded before."""
    from affectlake.data.demo import make_demo
    from affectlake.data.manifest import read_manifest

    able = [e for e in registry.extractors().values() if registry.unavailable(e) is None]
    with tempfile.TemporaryDirectory(prefix="affectlake-doctor-") as folder:
        samples = read_manifest(make_demo(Path(folder), samples=12, speakers=2), "doctor")
        stats = scan(media_uris(samples), pd.DataFrame())
        inputs = {reads: _input(samples, stats, reads) for reads in {e.reads for e in able}}
    for extractor in able:
        yield _timed(extractor, inputs[extractor.reads], seconds)


def _input(samples: pd.DataFrame, stats: pd.DataFrame, reads: Any) -> Any:
    """The first sample that can be read so; None where none can."""
    asked = samples.assign(text=pd.Series(dtype="str")) if reads == "speech" else samples
    wanted = requests(asked, stats, reads)
    context = ("I see.", "Oh no!") if reads == "dialogue" else ()
    for content, uri, text in zip(wanted["content"], wanted["uri"], wanted["text"], strict=True):
        try:
            return READERS[reads](Request(content, uri, text=text, context=context))
        except AffectlakeError:
            continue  # the corpus holds a broken file on purpose
    return None


def _timed(extractor: Extractor, sample: Any, seconds: float) -> Timing:
    if sample is None:
        return Timing(extractor.name, None, extractor.cost, f"nothing to read as {extractor.reads}")
    try:
        extractor.extract([sample])
        first, runs = time.perf_counter(), 0
        while not runs or time.perf_counter() - first < seconds:
            extractor.extract([sample])
            runs += 1
        return Timing(extractor.name, 1000 * (time.perf_counter() - first) / runs, extractor.cost)
    except Exception as error:  # a model that does not load, a plug-in: it costs its own line
        return Timing(extractor.name, None, extractor.cost, f"{type(error).__name__}: {' '.join(str(error).split())}")
