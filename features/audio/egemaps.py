"""eGeMAPSv02 by openSMILE itself, for comparison with published work; `audio.prosody` needs no licence.

Eyben et al., IEEE Trans. Affective Computing 7(2), 2016. Columns keep openSMILE's names in lower case, other characters
as underscores. What a clip does not define is 0 here, as openSMILE has it. Its thresholds and floors are absolute, so
that every one of the values follows the level of quiet recordings. openSMILE's licence allows research and private use
only.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.data.sound import AudioClip
from affectlake.features.audio import _spectrum as sp
from affectlake.features.protocol import Column

SHORTEST = 0.1  # s; of less openSMILE makes no frame of 60 ms with neighbours

PAIR = {"amean": "mean", "stddevNorm": "standard deviation over mean"}
CONTOUR = PAIR | {
    "percentile20.0": "20th percentile", "percentile50.0": "median", "percentile80.0": "80th percentile",
    "pctlrange0-2": "80th less 20th percentile",
    "meanRisingSlope": "mean slope of rising parts", "stddevRisingSlope": "spread of slopes of rising parts",
    "meanFallingSlope": "mean slope of falling parts", "stddevFallingSlope": "spread of slopes of falling parts",
}  # fmt: skip
MEAN = {"amean": "mean"}
BALANCE = (
    ("alphaRatio", "dB", "alpha ratio"), ("hammarbergIndex", "dB", "Hammarberg index"),
    ("slope{}0-500", "dB/Hz", "spectral slope below 500 Hz"),
    ("slope{}500-1500", "dB/Hz", "spectral slope of 500 to 1500 Hz"),
    ("spectralFlux", "1", "spectral flux"),
)  # fmt: skip
CEPSTRA = tuple((f"mfcc{k}", "1", f"cepstral coefficient {k}") for k in range(1, 5))
VOICE = (
    ("jitterLocal", "1", "jitter"), ("shimmerLocaldB", "dB", "shimmer"), ("HNRdBACF", "dB", "harmonics over noise"),
    ("logRelF0-H1-H2", "dB", "first over second harmonic"), ("logRelF0-H1-A3", "dB", "first harmonic over F3"),
)  # fmt: skip
FORMANT = (
    ("frequency", "Hz", "frequency"), ("bandwidth", "Hz", "bandwidth"),
    ("amplitudeLogRelF0", "dB", "amplitude over the first harmonic"),
)  # fmt: skip
WHOLE = (
    ("loudnessPeaksPerSec", "1/s", "peaks of loudness per second"),
    ("VoicedSegmentsPerSec", "1/s", "voiced stretches per second"),
    ("MeanVoicedSegmentLengthSec", "s", "length of voiced stretches: mean"),
    ("StddevVoicedSegmentLengthSec", "s", "length of voiced stretches: standard deviation"),
    ("MeanUnvoicedSegmentLength", "s", "length of unvoiced stretches: mean"),
    ("StddevUnvoicedSegmentLength", "s", "length of unvoiced stretches: standard deviation"),
    ("equivalentSoundLevel_dBp", "dB", "equivalent sound level"),
)


def _statistics(name: str, unit: str, what: str, statistics: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return [
        (f"{name}_{key}", "1" if key == "stddevNorm" else f"{unit}/s" if "Slope" in key else unit, f"{what}: {meaning}")
        for key, meaning in statistics.items()
    ]


def _named() -> list[tuple[str, str, str]]:
    """Name, unit and meaning of each value, in openSMILE's order."""
    out = _statistics("F0semitoneFrom27.5Hz_sma3nz", "semitone re 27.5 Hz", "pitch", CONTOUR)
    out += _statistics("loudness_sma3", "1", "loudness", CONTOUR)
    for name, unit, what in (("spectralFlux", "1", "spectral flux"), *CEPSTRA):
        out += _statistics(f"{name}_sma3", unit, what, PAIR)
    for name, unit, what in VOICE:
        out += _statistics(f"{name}_sma3nz", unit, what, PAIR)
    for k in (1, 2, 3):
        for name, unit, what in FORMANT:
            out += _statistics(f"F{k}{name}_sma3nz", unit, f"formant F{k}, {what}", PAIR)
    for name, unit, what in (*BALANCE, *CEPSTRA):
        out += _statistics(f"{_where(name, 'V')}_sma3nz", unit, f"{what}, voiced", PAIR)
    for name, unit, what in BALANCE:
        out += _statistics(f"{_where(name, 'UV')}_sma3nz", unit, f"{what}, unvoiced", MEAN)
    return [*out, *WHOLE]


def _where(name: str, mark: str) -> str:
    return name.format(mark) if "{}" in name else name + mark


NAMES = tuple(name for name, _, _ in _named())
"""As openSMILE spells them."""


def column(name: str) -> str:
    """Our spelling of openSMILE's ``name``."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower())


def _columns() -> list[Column]:
    return [
        Column(column(name), unit, description=what.capitalize(), source="openSMILE 3.0", nuisance="level")
        for name, unit, what in _named()
    ]


@cache
def _smile() -> Any:
    import opensmile

    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals
    )


class Egemaps:
    """See `affectlake.features.protocol.Extractor`."""

    name = "audio.egemaps"
    version = "1"
    reads = "audio"
    windowed = True
    parameters: Mapping[str, object] = {"set": "eGeMAPSv02", "silent": sp.SILENT, "shortest": SHORTEST}
    columns: Sequence[Column] = tuple(_columns())
    requires = ("opensmile", "soundfile", "soxr")
    install = "pip install 'affectlake[audio,egemaps]'"
    cost = 49.0
    licence = "LicenseRef-audEERING-Research"
    summary = "eGeMAPSv02 by openSMILE, 88 values (research and private use only)"

    def weights(self) -> Sequence[Path]:
        return ()

    def extract(self, batch: Sequence[AudioClip]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(88,)] per clip, or NotApplicable for a silent one or one of less than 0.1 s."""
        return [self._one(clip) for clip in batch]

    def _one(self, clip: AudioClip) -> np.ndarray | NotApplicable:
        if len(clip.y) < SHORTEST * clip.sr:
            return NotApplicable(f"too short for eGeMAPS: {len(clip.y) / clip.sr:.3f} s, at least {SHORTEST} s")
        try:
            sp.require_sound(clip)
        except NotApplicable as silent:
            return silent
        return _smile()(clip.y, clip.sr).astype(np.float32).ravel()


extractor = Egemaps()
