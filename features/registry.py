"""Finds extractors by walking the folders and the entry points ``affectlake.extractors``."""

import fnmatch
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from affectlake.data.checksums import file_sha256
from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.data.windows import keys_of
from affectlake.features.protocol import Column, Extractor
from affectlake.features.windowed import parted

MODALITIES = ("audio", "face", "image", "text")

_BROKEN: dict[str, str] = {}


@cache
def extractors() -> dict[str, Extractor]:
    """Every known extractor by name, available here or not, in alphabetical order.

    Plug-ins that cannot be used are left out; `broken` says why.

    Raises
    ------
    AffectlakeError
        Two of our own extractors claim one name.
    """
    found: dict[str, Extractor] = {}
    _BROKEN.clear()
    root = Path(__file__).parent
    for folder in MODALITIES:
        for path in sorted((root / folder).glob("[a-z]*.py")):
            module = importlib.import_module(f"affectlake.features.{folder}.{path.stem}")
            if hasattr(module, "extractor"):
                _add(found, module.extractor, str(path))
    for entry in entry_points(group="affectlake.extractors"):
        try:
            _add(found, _plugged(entry), entry.value)
        except (Exception, SystemExit) as error:  # other people's code: whatever it does, ours must go on
            _BROKEN[entry.name] = _said(error)
    return dict(sorted(found.items()))


def broken() -> Mapping[str, str]:
    """Plug-ins that cannot be used, by the name of their entry point, and what is wrong with them."""
    extractors()
    return dict(_BROKEN)


def _plugged(entry: EntryPoint) -> Extractor:
    loaded = entry.load()
    if not isinstance(loaded, Extractor):
        raise AffectlakeError(f"{entry.value!r} is not an Extractor: see affectlake.features.protocol")
    modality, dot, rest = str(loaded.name).partition(".")
    if not (isinstance(loaded.name, str) and modality and dot and rest):
        raise AffectlakeError(f"{entry.value!r} is called {loaded.name!r}: expected modality.name, such as audio.pitch")
    if not all(isinstance(c, Column) for c in loaded.columns):
        raise AffectlakeError(f"{entry.value!r} has columns that are no Column: see affectlake.features.protocol")
    names = [c.name.lower() for c in loaded.columns]
    twice = next((c.name for i, c in enumerate(loaded.columns) if c.name.lower() in names[:i]), None)
    if twice is not None:
        raise AffectlakeError(f"{entry.value!r} has the column {twice!r} twice (case does not count)")
    return loaded


def _said(error: BaseException) -> str:
    message = " ".join(str(error).split())
    return message if isinstance(error, AffectlakeError) else f"{type(error).__name__}: {message}"


def _add(found: dict[str, Extractor], extractor: Extractor, where: str) -> None:
    if extractor.name in found:
        raise AffectlakeError(f"extractor name {extractor.name!r} is taken twice, the second time by {where}")
    found[extractor.name] = extractor


def get(name: str) -> Extractor:
    """The extractor called ``name``, ``audio.prosody@window`` as the settings say; raises UnknownName."""
    if keys_of(name):
        return parted(name, get(name.rpartition("@")[0]))
    try:
        return extractors()[name]
    except KeyError:
        raise _unknown(name) from None


def select(patterns: Iterable[str]) -> list[Extractor]:
    """Extractors that match any of the globs (``audio.*``); raises UnknownName for a glob that matches none.

    What is not meant for every refresh (``by_default = False`` on the extractor) is taken by its name only.
    """
    chosen: dict[str, Extractor] = {}
    for pattern in patterns:
        names = fnmatch.filter(extractors(), pattern)
        if not names:
            raise _unknown(pattern)
        chosen |= {n: extractors()[n] for n in names if n == pattern or getattr(extractors()[n], "by_default", True)}
    return [chosen[n] for n in sorted(chosen)]


def choose(patterns: Iterable[str]) -> tuple[list[Extractor], dict[str, str]]:
    """Extractors of `select` that can run here, and why the others, broken plug-ins included, cannot.

    Raises
    ------
    UsageError
        An extractor that was asked for by its full name is not available.
    """
    patterns = tuple(patterns)
    chosen, skipped = [], {}
    for extractor in select(patterns):
        reason = unavailable(extractor)
        if reason is None:
            chosen.append(extractor)
        elif extractor.name in patterns:
            raise UsageError(f"extractor {extractor.name!r} is not available here: {reason}")
        else:
            skipped[extractor.name] = reason
    return chosen, skipped | {f"plug-in {name}": reason for name, reason in broken().items()}


def _unknown(name: str) -> UsageError:
    unknown = UnknownName("extractor", name, extractors())
    if not broken():
        return unknown
    return UsageError(f"{unknown}; not loaded: " + "; ".join(f"plug-in {n}: {why}" for n, why in broken().items()))


def unavailable(extractor: Extractor) -> str | None:
    """Why the extractor cannot run on this machine and what would mend that, or None where it can."""
    try:
        missing = [m for m in extractor.requires if not _installed(m)]
        if missing:
            return f"needs {', '.join(missing)}: {extractor.install}"
        for path in extractor.weights():
            if not Path(path).is_file():
                return f"needs the weights {path}: {extractor.install}"
    except FileNotFoundError as error:
        return f"{error}: {extractor.install}"
    except Exception as error:  # of a plug-in
        return _said(error)
    return None


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it is not there
        return False


def source(extractor: Extractor) -> str:
    """sha256 over the code that a plug-in's extractor is made of; empty for our own, whose versions are looked after.

    That is the file of each of its classes and, in a package, the files beside; not those of others that it builds on.
    """
    extractor = getattr(extractor, "whole", extractor)
    top = type(extractor).__module__.partition(".")[0]
    files: set[Path] = set()
    for kind in type(extractor).__mro__:
        module = sys.modules.get(kind.__module__)
        path = getattr(module, "__file__", None)
        if top == "affectlake" or kind.__module__.partition(".")[0] != top or not path:
            continue
        files |= set(Path(path).parent.glob("*.py")) if getattr(module, "__package__", "") else {Path(path)}
    digests = [file_sha256(file) for file in sorted(files) if file.is_file()]
    return hashlib.sha256("".join(digests).encode()).hexdigest() if digests else ""
