"""Drift: features whose distribution moved since an earlier snapshot, and scores that fell. No prefect here."""

from typing import TYPE_CHECKING, Literal

from affectlake.flows.record import Drifted
from affectlake.models.document import score

if TYPE_CHECKING:
    from affectlake.data.store import Snapshot, Store
    from affectlake.flows.config import Drift
    from affectlake.flows.document import Document

Kind = Literal["mean", "spread", "coverage", "band", "score"]

ENOUGH = 30
"""Values below which distributions are not compared."""


def features_drift(
    store: "Store", dataset: str, before: "Snapshot | None", now: "Snapshot", limits: "Drift"
) -> list[Drifted]:
    """Columns and extractors that moved by more than ``limits`` between two snapshots.

    Returns
    -------
    list of dict
        ``extractor``, ``column`` (None for coverage), ``kind`` ("mean": in standard deviations of the earlier
        snapshot; "spread": ratio of standard deviations; "coverage": share of the samples that the extractor applies
        to; "band": share of the new sounds whose band is narrower or wider than those of before, in Hz), ``before``,
        ``now``, ``size``. Only values of one fingerprint are compared: another version or other
        parameters are meant to give others.
    """
    found: list[Drifted] = []
    if before is None:
        return found
    for name, entry in now.features.items():
        old = before.features.get(name)
        if old is None or old.fingerprint != entry.fingerprint:
            continue
        was, share = old.coverage, entry.coverage
        if was is not None and share is not None and was - share > limits.coverage:
            found.append(_entry(name, None, "coverage", was, share, was - share))
        if old.key != entry.key:
            found += _columns(store, dataset, name, before, now, limits)
            if name == "audio.recording":
                found += _band(store, dataset, before, now)
    return found


def _band(store: "Store", dataset: str, before: "Snapshot", now: "Snapshot") -> list[Drifted]:
    """Sounds that came since, of a narrower or a wider band than those that were there."""
    from affectlake.models.band import COLUMN, SOME, Band

    was, here = (store.load(dataset, [COLUMN], as_of=s.id)[COLUMN].dropna() for s in (before, now))
    new, band = here[~here.index.isin(was.index)], Band.of(was.to_numpy("float64"))
    other = new[band.beside(new.to_numpy("float64")) != ""] if band else new[:0]
    if not len(other) or len(other) < SOME * len(new):
        return []
    share = len(other) / len(new)
    return [_entry("audio.recording", "bandwidth", "band", float(was.median()), float(other.median()), share)]


def _columns(
    store: "Store", dataset: str, name: str, before: "Snapshot", now: "Snapshot", limits: "Drift"
) -> list[Drifted]:
    a, b = (store.columns(name, dataset, s) for s in (before, now))
    both = b.merge(a, on="column", suffixes=("", "_before"))
    both = both[(both["n"] >= ENOUGH) & (both["n_before"] >= ENOUGH) & (both["std_before"] > 0)]
    found = []
    for row in both.to_dict("records"):
        shift, spread = (row["mean"] - row["mean_before"]) / row["std_before"], row["std"] / row["std_before"]
        if abs(shift) > limits.mean:
            found.append(_entry(name, row["column"], "mean", row["mean_before"], row["mean"], shift))
        elif not 1 / limits.spread <= spread <= limits.spread:
            found.append(_entry(name, row["column"], "spread", row["std_before"], row["std"], spread))
    return found


def _entry(extractor: str, column: str | None, kind: Kind, before: float, now: float, size: float) -> Drifted:
    return {
        "extractor": extractor,
        "column": column,
        "kind": kind,
        "before": before,
        "now": now,
        "size": round(size, 3),
    }


def score_drift(before: "Document | None", now: "Document") -> Drifted | None:
    """The fall of a benchmark's best score below the interval that it had the time before, or None.

    Parameters
    ----------
    before, now : Document
        Two benchmarks.
    """
    if before is None or (before["label"], before["metric"]) != (now["label"], now["metric"]):
        return None
    metric = now["metric"]
    was, best = score(before["rows"][0], metric), score(now["rows"][0], metric)
    if was["low"] is None or best["value"] >= was["low"]:  # of too few speakers for an interval nothing can be said
        return None
    entry = _entry("benchmark", metric, "score", was["value"], best["value"], best["value"] - was["value"])
    entry["low"] = was["low"]
    return entry
