"""Texts by machine where a sample has none: what is asked for, and how samples come by their words."""

import pandas as pd

from affectlake.features import registry
from affectlake.features.extraction import Failure, Run, computed
from affectlake.features.scan import requests

TRANSCRIBER = "audio.transcript"
"""The extractor that gives them, and what `text_source` says of a sample that has its text from it."""

WORDS = ("text", "language")
"""What of its words a sample takes over."""


def filled(samples: pd.DataFrame, stats: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Samples with the texts that are known of their sound; a text or language that was given stays.

    Parameters
    ----------
    samples : DataFrame
        Normal form of `affectlake.data.samples.samples_frame`.
    stats : DataFrame
        Result of `affectlake.features.scan.scan` over the samples' media.
    known : DataFrame [columns=(content, text, language)]
        Content as in `affectlake.features.scan.requests` for "speech".
    """
    if known.empty:
        return samples
    wanted = requests(samples, stats, "speech")
    transcripts = known.set_index("content").reindex(wanted["content"]).set_index(pd.Index(wanted["sample_id"]))
    return _with_texts(samples, transcripts[transcripts["text"].notna()])


def heard(samples: pd.DataFrame, run: Run) -> tuple[pd.DataFrame, list[Failure]]:
    """Samples with texts that are heard now, by no store, and what could not be; see `filled`."""
    _, tables, failures = computed(samples, [registry.get(TRANSCRIBER)], run)
    if TRANSCRIBER not in tables:
        return samples, failures
    transcripts = tables[TRANSCRIBER].rename(columns={f"{TRANSCRIBER}.{w}": w for w in WORDS})
    return _with_texts(samples, transcripts), failures


def _with_texts(samples: pd.DataFrame, said: pd.DataFrame) -> pd.DataFrame:
    """Samples without a text with those of ``said`` [index=sample_id, columns=(text, language)]."""
    found = said.reindex(samples["sample_id"]).set_axis(samples.index)
    new = samples["text"].isna() & found["text"].notna()
    return samples.assign(
        text=samples["text"].fillna(found["text"]),
        text_source=samples["text_source"].mask(new, TRANSCRIBER),
        language=samples["language"].fillna(found["language"].where(new)),
    )


def machine_made(samples: pd.DataFrame) -> pd.Series:
    """Whether a sample's text was written by a machine, bool."""
    if "text_source" not in samples:  # of a store that was written before there were any
        return pd.Series(False, index=samples.index)
    return samples["text"].notna() & samples["text_source"].notna()
