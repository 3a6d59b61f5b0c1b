"""Finds extractors by walking the folders and the entry points ``affectlake.extractors``."""

import fnmatch
import importlib
import importlib.util
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from affectlake.data.errors import AffectlakeError, UnknownName
from affectlake.features.protocol import Extractor

MODALITIES = ("audio", "face", "image", "text")


@cache
def extractors() -> dict[str, Extractor]:
    """Every known extractor by name, available here or not, in alphabetical order.

    Raises
    ------
    AffectlakeError
        Two extractors claim one name, or a plug-in's object is not an `Extractor`.
    """
    found: dict[str, Extractor] = {}
    root = Path(__file__).parent
    for folder in MODALITIES:
        for path in sorted((root / folder).glob("[a-z]*.py")):
            module = importlib.import_module(f"affectlake.features.{folder}.{path.stem}")
            if hasattr(module, "extractor"):
                _add(found, module.extractor, str(path))
    for entry in entry_points(group="affectlake.extractors"):
        loaded = entry.load()
        if not isinstance(loaded, Extractor):
            raise AffectlakeError(f"plug-in {entry.value!r} is not an Extractor: see affectlake.features.protocol")
        _add(found, loaded, entry.value)
    return dict(sorted(found.items()))


def _add(found: dict[str, Extractor], extractor: Extractor, where: str) -> None:
    if extractor.name in found:
        raise AffectlakeError(f"extractor name {extractor.name!r} is taken twice, the second time by {where}")
    found[extractor.name] = extractor


def get(name: str) -> Extractor:
    """The extractor called ``name``; raises UnknownName."""
    try:
        return extractors()[name]
    except KeyError:
        raise UnknownName("extractor", name, extractors()) from None


def select(patterns: Iterable[str]) -> list[Extractor]:
    """Extractors that match any of the globs (``audio.*``); raises UnknownName for a glob that matches none.

    What is not meant for every refresh (``by_default = False`` on the extractor) is taken by its name only.
    """
    chosen: dict[str, Extractor] = {}
    for pattern in patterns:
        names = fnmatch.filter(extractors(), pattern)
        if not names:
            raise UnknownName("extractor", pattern, extractors())
        chosen |= {n: extractors()[n] for n in names if n == pattern or getattr(extractors()[n], "by_default", True)}
    return [chosen[n] for n in sorted(chosen)]


def unavailable(extractor: Extractor) -> str | None:
    """Why the extractor cannot run on this machine and what would mend that, or None where it can."""
    missing = [m for m in extractor.requires if importlib.util.find_spec(m) is None]
    if missing:
        return f"needs {', '.join(missing)}: {extractor.install}"
    try:
        for path in extractor.weights():
            if not Path(path).is_file():
                return f"needs the weights {path}: {extractor.install}"
    except FileNotFoundError as error:
        return f"{error}: {extractor.install}"
    return None
