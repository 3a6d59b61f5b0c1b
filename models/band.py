"""Whether new sound was carried in the band that training heard: models of wide speech answer telephones too."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from affectlake.models.splits import Fold

COLUMN = "audio.recording.bandwidth"
"""Effective bandwidth in Hz."""

FEWEST = 5
"""Sounds from which on a range can be told."""

MARGIN = 1.25
"""Ratio to the nearer end of the range beyond which a band is another one."""

SOME = 0.05
"""Share of a set's sounds from which on their band is worth a word."""


@dataclass(frozen=True)
class Band:
    """Effective bandwidths that training heard.

    Attributes
    ----------
    low, high : float
        Percentiles 1 and 99, Hz.

    Examples
    --------
    >>> band = Band.of(np.array([7600.0, 7700, 7700, 7800, 7900]))
    >>> band.beside(np.array([3900.0, 7500, np.nan])).tolist()
    ['narrower', '', '']
    """

    low: float
    high: float

    @classmethod
    def of(cls, bandwidths: np.ndarray) -> "Band | None":
        """Of Hz [shape=(n,)], NaN where there is no sound; None of too few."""
        known = bandwidths[~np.isnan(bandwidths)]
        return cls(*map(float, np.percentile(known, [1, 99]))) if len(known) >= FEWEST else None

    @classmethod
    def from_json(cls, found: Any) -> "Band | None":
        """Of what `to_json` gave; None of anything else, as a model of before there were bands has it."""
        ends = [found.get(k) for k in ("low", "high")] if isinstance(found, dict) else []
        known = [float(x) for x in ends if isinstance(x, int | float) and 0 < x < 1e6]
        return cls(*known) if len(known) == 2 else None

    def to_json(self) -> dict[str, float]:
        return asdict(self)

    def beside(self, bandwidths: np.ndarray) -> np.ndarray:
        """``narrower``, ``wider`` or nothing for each [shape=(n,)]."""
        narrow, wide = bandwidths < self.low / MARGIN, bandwidths > self.high * MARGIN
        return np.where(narrow, "narrower", np.where(wide, "wider", ""))

    def remark(self, bandwidths: pd.Series) -> str:
        """What there is to say of new sounds [index=sample_id], in Hz; nothing where few of them differ."""
        known = bandwidths.dropna()
        beside = pd.Series(self.beside(known.to_numpy(dtype=np.float64)), index=known.index, dtype="str")
        other = known[(beside != "").to_numpy()]
        if not len(other) or len(other) < SOME * len(known):
            return ""
        words = " or ".join(sorted(set(beside[other.index])))
        return (
            f"{len(other)} of {len(known)} sounds have a {words} band (median {other.median() / 1000:.1f} kHz, the "
            f"first {other.index[0]}) than what was trained on ({self.low / 1000:.1f} to {self.high / 1000:.1f} kHz): "
            "models are surer of them than they should be; refresh --set audio.band=8000 treats both alike"
        )


def remarks(bandwidths: pd.Series, folds: Sequence[Fold]) -> list[str]:
    """The line, if there is one, that says of which folds the tested sounds [index=sample_id] have another band."""
    remarked = []
    for number, fold in enumerate(folds, 1):
        band = Band.of(bandwidths.iloc[fold.train].to_numpy(dtype=np.float64))
        if line := band.remark(bandwidths.iloc[fold.test]) if band else "":
            remarked.append((number, line))
    if not remarked or len(folds) == 1:
        return [line for _, line in remarked]
    return [f"fold {', '.join(str(n) for n, _ in remarked)} of {len(folds)}: {remarked[0][1]}"]
