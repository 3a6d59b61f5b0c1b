"""What is to be labelled, batch by batch, so that a list of any length needs the memory of one: files or a manifest."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectlake.data import remote
from affectlake.data.errors import UsageError
from affectlake.features import extraction

if TYPE_CHECKING:
    import pandas as pd

    from affectlake.data.manifest import TableOptions
    from affectlake.models.fit import Fitted

BATCH = 256
"""Samples that are read, and answered, at a time; more where a dialogue or a speaker has more."""


def media(
    fitted: "Fitted",
    files: Iterable[str],
    manifest: str | None,
    text: str | None,
    batch: int,
    table: "TableOptions | None" = None,
) -> Iterator[tuple["pd.DataFrame", list[extraction.Failure]]]:
    """Samples frames of about ``batch`` rows, and which of them are of no known kind. What must be seen together stays
    in one: dialogues, and speakers where features are relative to them.
    """
    from affectlake.data.manifest import TableOptions, read_manifest

    files = map(remote.hidden, files)
    first = list(islice(files, 2))
    if (manifest is None) == (not first):
        raise UsageError("name what to label: either files or --manifest FILE")
    if manifest is not None:
        samples = read_manifest(manifest, "predict", table or TableOptions())
        return ((part, []) for part in in_parts(fitted, samples, batch))
    if fitted.normalise == "speaker":
        raise UsageError("the model takes features relative to their speaker: name them in a manifest, --manifest FILE")
    if text is not None and len(first) > 1:
        raise UsageError("--text goes with one file; for more, write a manifest")
    if len(first) == 1:
        return iter([_samples(first, 0, text, whole=True)])
    everything = chain(first, files)
    size = batch if fitted.normalise == "none" else None
    return in_batches(everything, size, lambda names, at: _samples(names, at, None, size is None or len(names) < size))


def in_parts(fitted: "Fitted", samples: "pd.DataFrame", batch: int) -> Iterator["pd.DataFrame"]:
    """Samples in frames of about ``batch`` rows; see `media`."""
    keys = ["dialogue"] + (["speaker"] if fitted.normalise == "speaker" else [])
    whole = fitted.normalise == "corpus"
    ends = [len(samples)] if whole else cuts(len(samples), batch, [samples[k] for k in keys])
    return (samples.iloc[a:b].reset_index(drop=True) for a, b in zip([0, *ends], ends, strict=False))


def in_batches(items: Iterable[str], size: int | None, make: Callable[[list[str], int], Any]) -> Iterator[Any]:
    """What ``make`` gives of each ``size`` items (None: of all) and the number of the first of them."""
    items, at = iter(items), 0
    while some := list(islice(items, size)):
        yield make(some, at)
        at += len(some)


def cuts(n: int, batch: int, keys: Sequence["pd.Series"]) -> list[int]:
    """Where to cut ``n`` rows, the end included, so that no value of a key is on both sides."""
    import numpy as np

    allowed = np.ones(n + 1, dtype=bool)
    position = np.arange(n)
    for key in keys:
        spans = key.dropna()
        at = position[key.notna().to_numpy()]
        for _, rows in spans.groupby(spans.to_numpy()).indices.items():
            allowed[at[rows[0]] + 1 : at[rows[-1]] + 1] = False
    ends: list[int] = []
    last = 0
    for cut in np.flatnonzero(allowed):
        if cut - last >= batch and cut < n:
            last = int(cut)
            ends.append(last)
    return [*ends, n]


def _samples(
    files: Sequence[str], at: int, text: str | None, whole: bool
) -> tuple["pd.DataFrame", list[extraction.Failure]]:
    """Files from the ``at``-th on as samples; ``whole``: there are no others after them."""
    samples, unknown = extraction.samples_of(files, text, at)
    if len(unknown) == len(files) and at == 0 and whole:
        raise extraction.none_known(files[0], unknown[0], _meant(files[0]))
    alone = whole and at == 0 and len(files) == 1
    shown = [extraction.spelt(remote.name_of(f)) for f in files]
    names = shown if alone else [f"{i}:{name}" for i, name in enumerate(shown, at)]
    called = dict(zip(samples["sample_id"], names, strict=True))
    return samples.assign(sample_id=names), [replace(f, sample_id=called[f.sample_id]) for f in unknown]


def _meant(file: str) -> str:
    """Where a table goes that was given like a medium."""
    from affectlake.data.tables import SUFFIXES, kind_of_name

    if kind_of_name(Path(file)) not in SUFFIXES:
        return ""
    return ". A table of samples goes after --manifest, one of features after --features"


def listed(path: Path) -> Iterator[str]:
    """Names in a file (or pipe), one a line, as they come."""
    try:
        with path.open(encoding="utf-8") as file:
            while line := file.readline(_LONGEST):
                if len(line) == _LONGEST:
                    raise UsageError(f"{path} is no list of files: a line is longer than any name")
                if line.strip():
                    yield line.rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no list of files: {error}") from None


_LONGEST = 1 << 16  # characters: devices give lines without an end
