"""What a dataset is: everything that one file below `affectlake.data.datasets` states."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from affectlake.data import remote
from affectlake.data.errors import BadManifest, BadMedia
from affectlake.data.samples import samples_frame

log = logging.getLogger("affectlake.data")

COMMON4 = ("anger", "happiness", "neutral", "sadness")
COMMON7 = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
"""Classes that emotion labels of all corpora are mapped to, for work across corpora."""

_SAME = {
    "angry": "anger",
    "calm": "neutral",
    "excitement": "happiness",
    "fearful": "fear",
    "happy": "happiness",
    "joy": "happiness",
    "pleasant surprise": "surprise",
    "sad": "sadness",
    "surprised": "surprise",
}
"""Words of corpora for the classes of `COMMON7`."""


def common_classes(natives: Iterable[str]) -> dict[str, str]:
    """Native emotions to their classes in `COMMON7`; those that have none are left out.

    Examples
    --------
    >>> common_classes(["angry", "neutral", "boredom"])
    {'angry': 'anger', 'neutral': 'neutral'}
    """
    return {e: common for e in natives if (common := _SAME.get(e, e)) in COMMON7}


@dataclass(frozen=True)
class Download:
    """One file that a dataset's terms allow to be fetched.

    Attributes
    ----------
    url : str
        Stable public address.
    hash : str
        ``sha256:…`` or ``md5:…`` of the file; empty where none is known, then whoever fetches it is warned.
    size : int
        Bytes, about; for the check of free space.
    unpack : bool
        Whether it is an archive to be unpacked beside itself.
    """

    url: str
    hash: str
    size: int
    unpack: bool = True


@dataclass(frozen=True, repr=False)
class Dataset:
    r"""A known corpus and how to read it from its official folder.

    Attributes
    ----------
    name, title : str
        Short name, and the corpus's own.
    licence : str
        SPDX id where there is one, else the terms in a few words.
    citation, url : str
        Paper to cite, and the corpus's home.
    access : str
        How to obtain it.
    layout : str
        What `load` looks for below the root.
    read : callable
        ``read(root) -> DataFrame`` of samples with relative or absolute URIs; an empty one where nothing was found.
    labels : mapping of str to tuple of str
        Label columns and their native classes; no classes where the label is a number.
    common : mapping of str to str
        Native emotion to its class in `COMMON7`; natives that have none are left out.
    expected : int
        Samples of the complete corpus; fewer are loaded all the same and reported.
    official_split : bool
        Whether ``split`` (train, dev, test) is filled in.
    downloads : tuple of Download
        Empty where the terms forbid fetching or no lasting address is known.

    Examples
    --------
    A corpus whose folder holds one table:

    >>> def read(root: Path) -> pd.DataFrame:
    ...     return pd.read_csv(root / "lines.csv")
    >>> calls = Dataset(
    ...     name="calls", title="Calls", licence="CC0-1.0", citation="-", url="-", access="-", layout="lines.csv",
    ...     read=read, labels={"emotion": ("rage", "joy")}, common={"rage": "anger", "joy": "happiness"},
    ... )
    >>> calls
    <dataset calls: Calls>
    >>> _ = Path("lines.csv").write_text("sample_id,text,emotion\na,No!,rage\nb,Yes!,joy\n")
    >>> calls.load(".")["emotion7"].tolist()
    ['anger', 'happiness']
    >>> calls.load("elsewhere")
    Traceback (most recent call last):
    affectlake.data.errors.BadManifest: calls: no folder elsewhere; it should hold lines.csv
    """

    name: str
    title: str
    licence: str
    citation: str
    url: str
    access: str
    layout: str
    read: Callable[[Path], pd.DataFrame]
    labels: Mapping[str, tuple[str, ...]]
    common: Mapping[str, str] = field(default_factory=dict)
    expected: int = 0
    official_split: bool = False
    downloads: tuple[Download, ...] = ()

    @property
    def label_maps(self) -> dict[str, dict[str, str]]:
        """``emotion4`` and ``emotion7``: native class to common class; empty for corpora without emotion classes."""
        seven = dict(self.common)
        four = {native: c for native, c in seven.items() if c in COMMON4}
        return {"emotion4": four, "emotion7": seven} if seven else {}

    def load(self, root: str | Path) -> pd.DataFrame:
        """Read the corpus from its folder.

        Parameters
        ----------
        root : str or Path
            Folder that holds the official layout, see `layout`; also one in a bucket, such as ``s3://corpora/ravdess``.

        Returns
        -------
        pd.DataFrame
            See `affectlake.data.samples.samples_frame`. Emotion corpora also have ``emotion4`` and ``emotion7``, the
            common classes, missing where a native class has none.

        Raises
        ------
        BadManifest
            The folder is missing or does not hold the layout: says what was looked for and what was found.
        """
        if remote.is_remote(str(root)):
            return self._elsewhere(str(root))
        root = Path(root)
        if not root.is_dir():
            raise BadManifest(f"{self.name}: no folder {root}; it should hold {self.layout}")
        return self._found(root, str(root))

    def _elsewhere(self, root: str) -> pd.DataFrame:
        from affectlake.data.remote.standin import moved, standing_in

        try:
            with standing_in(root) as folder:
                return moved(self._found(folder, root), folder, root)
        except BadMedia as error:
            raise BadManifest(f"{self.name}: a table below {root} cannot be read: {error}") from None
        except BadManifest as error:
            raise BadManifest(re.sub(r"\S*/root-[^/\s]+", root, str(error))) from None

    def _found(self, root: Path, shown: str) -> pd.DataFrame:
        samples = self.read(root)
        if samples.empty:
            raise BadManifest(f"{self.name}: looked in {shown} for {self.layout}; found {found(root)}")
        for column, classes in self.label_maps.items():
            samples[column] = samples["emotion"].map(classes).astype("str")
        if len(samples) < self.expected:
            log.warning("%s is partial: %d of %d samples in %s", self.name, len(samples), self.expected, shown)
        elif self.expected and len(samples) > self.expected:
            log.warning(
                "%s has %d samples; %s holds %d: is it another corpus?", self.name, self.expected, shown, len(samples)
            )
        return samples_frame(samples, self.name, base=root)

    def __repr__(self) -> str:
        return f"<dataset {self.name}: {self.title}>"


def found(root: Path) -> str:
    """One line on what lies in a folder: ``3 folders (a, b, …), 12 files (.txt 10, .md 2)``."""
    entries = sorted(p for p in root.iterdir() if not p.name.startswith("."))
    folders = [p.name for p in entries if p.is_dir()]
    suffixes = Counter(p.suffix or p.name for p in entries if p.is_file())
    parts = []
    if folders:
        parts.append(f"{_count(len(folders), 'folder')} ({_first(folders)})")
    if suffixes:
        kinds = [f"{suffix} {n}" for suffix, n in suffixes.most_common()]
        parts.append(f"{_count(suffixes.total(), 'file')} ({_first(kinds)})")
    return ", ".join(parts) or "nothing"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def _first(names: list[str], n: int = 5) -> str:
    return ", ".join(names[:n]) + (", …" if len(names) > n else "")
