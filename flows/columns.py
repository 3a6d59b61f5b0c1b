"""Columns that follow the recording rather than who is recorded: benchmarks that name no features leave them out."""

from collections.abc import Collection, Iterable

from affectlake.features import registry
from affectlake.features.protocol import Nuisance

MEANINGS: dict[Nuisance, str] = {"level": "the level of the recording", "band": "the band of the recording"}


def nuisances(extractors: Iterable[str]) -> dict[str, Nuisance]:
    """What the columns of these extractors follow, by full name; of features that were put in nothing is known."""
    known = registry.extractors()
    found = [known[name] for name in extractors if name in known]
    return {f"{e.name}.{c.name}": c.nuisance for e in found for c in e.columns if c.nuisance}


def usual(columns: Iterable[str]) -> list[str]:
    """Columns without those of `nuisances`, in their order.

    A modality of which nothing else is there keeps those of its level: who only has published sets that know it wants
    them compared.
    """
    columns = list(columns)
    follows = nuisances({c.rsplit(".", c.count(".") - 1)[0] for c in columns if c.count(".") >= 2})
    rest = {c.split(".", 1)[0] for c in columns if c not in follows}
    return [c for c in columns if c not in follows or (follows[c] == "level" and c.split(".", 1)[0] not in rest)]


def left_out(extractors: Iterable[str], used: Collection[str]) -> dict[Nuisance, dict[str, int]]:
    """How many of `nuisances` are not ``used``: ``{"level": {"audio.prosody": 34}}``."""
    found: dict[Nuisance, dict[str, int]] = {}
    for column, nuisance in nuisances(extractors).items():
        if column not in used:
            extractor = ".".join(column.split(".")[:2])
            counts = found.setdefault(nuisance, {})
            counts[extractor] = counts.get(extractor, 0) + 1
    return found
