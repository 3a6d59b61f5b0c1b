"""Texts by machine in a refresh: what is asked for, and in which order."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from affectlake.features.protocol import Extractor
from affectlake.features.transcripts import TRANSCRIBER, WORDS, filled

if TYPE_CHECKING:
    import pandas as pd

    from affectlake.data.store import FeatureSpec
    from affectlake.data.store._writer import Writer
    from affectlake.flows.options import RefreshOptions


def asked(options: "RefreshOptions") -> tuple[str, ...]:
    """Globs over the extractors that a refresh is to run."""
    return (*options.only, TRANSCRIBER) if options.transcribe else options.only


def first(chosen: Sequence[Extractor]) -> tuple[list[Extractor], list[Extractor]]:
    """Those that others wait for, because they give samples their words, and the others."""
    return [e for e in chosen if e.reads == "speech"], [e for e in chosen if e.reads != "speech"]


def worded(
    samples: "pd.DataFrame", stats: "pd.DataFrame", writer: "Writer", wanted: Mapping[str, "FeatureSpec"]
) -> "pd.DataFrame":
    """Samples with the texts that the store has of them: by the transcriber as it is now, where that was asked for."""
    now = wanted.get(TRANSCRIBER)
    return filled(samples, stats, writer.words(TRANSCRIBER, WORDS, now.fingerprint if now else None))
