"""What an extractor is: the whole contract between a feature and the rest of affectlake."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from affectlake.data.checksums import remembered_sha256
from affectlake.data.errors import NotApplicable

Reads = Literal["audio", "speech", "face", "image", "text", "dialogue"]
Nuisance = Literal["", "level", "band"]


@dataclass(frozen=True)
class Column:
    """One float32 output column of an extractor.

    Attributes
    ----------
    name : str
        Without the extractor's name; ``[a-z0-9_]+`` (xgboost refuses ``[``, ``]`` and ``<``).
    unit : str
        Physical unit (``Hz``, ``dB``, ``s``, ``semitone re 27.5 Hz``), or ``1`` for a pure number.
    low, high : float
        Closed range of possible values; infinite where there is no bound.
    description : str
        One sentence that a practitioner understands.
    source : str
        Paper, formula or library that defines the quantity.
    nuisance : "" | "level" | "band"
        What of the recording, rather than of who is recorded, the value follows: the gain it was made with, or the
        band it was carried in. Benchmarks that name no features leave such columns out.
    """

    name: str
    unit: str = "1"
    low: float = float("-inf")
    high: float = float("inf")
    description: str = ""
    source: str = ""
    nuisance: Nuisance = ""


@runtime_checkable
class Extractor(Protocol):
    """Turns a batch of decoded samples into rows of float32.

    One object per file ``features/<modality>/<name>.py``, bound to the module's name ``extractor``. Importing the
    file must import no heavy library: those are imported inside `extract`, so that listing extractors stays cheap. One
    that is not meant for every refresh also says ``by_default = False``: globs then leave it out, its name takes it.
    One that gives words besides its values names them in ``texts``, and answers with `Worded`. Of a recording longer
    than is heard at once, values are the means over its pieces, unless the extractor says ``middle = True`` (its middle
    is heard instead) or puts answers about pieces together itself: ``joined(answers, starts)``. One that has something
    to say of windows of a second or so says ``windowed = True``, see `affectlake.features.windowed`.

    Attributes
    ----------
    name : str
        ``modality.name``, equal to the file's place below ``features/``.
    version : str
        Raised whenever the same bytes and parameters give other values.
    reads : "audio" | "speech" | "face" | "image" | "text" | "dialogue"
        What `extract` is given: see `affectlake.features.inputs`. "speech" is the sound of samples without a text;
        "text" is the utterance alone (equal utterances are computed once); "dialogue" is the utterance with those
        before it.
    parameters : mapping
        JSON-able values that change the result.
    columns : sequence of Column
        In the order of the values that `extract` returns.
    requires : sequence of str
        Modules that it imports; where one is missing the extractor is listed as unavailable. Packages that only
        carry weights are not among them: `weights` looks for those.
    install : str
        The command that makes it available.
    cost : float
        Milliseconds per sample (a 3 s clip, one face, one sentence) on one core, as measured by `benchmarks/`.
    licence : str
        SPDX id of the strictest part (code or weights).
    summary : str
        One line for listings.

    Examples
    --------
    >>> class Length:
    ...     name, version, reads, parameters = "text.length", "1", "text", {}
    ...     columns = (Column("characters", "characters", 0, description="Length of the utterance"),)
    ...     requires, install, cost, licence = (), "", 0.001, "Apache-2.0"
    ...     summary = "How long the utterance is"
    ...
    ...     def weights(self):
    ...         return ()
    ...
    ...     def extract(self, batch):
    ...         texts = [request.text for request in batch]
    ...         return [np.array([len(t)], np.float32) if t else NotApplicable("no text") for t in texts]
    >>> isinstance(Length(), Extractor)
    True
    >>> from affectlake.features.inputs import Request
    >>> Length().extract([Request("a", text="Oh!"), Request("b", text="")])
    [array([3.], dtype=float32), NotApplicable('no text')]
    """

    name: str
    version: str
    reads: Reads
    parameters: Mapping[str, Any]
    columns: Sequence[Column]
    requires: Sequence[str]
    install: str
    cost: float
    licence: str
    summary: str

    def weights(self) -> Sequence[Path]:
        """Files whose bytes change the result; raises FileNotFoundError (naming the remedy) where one is absent."""
        ...

    def extract(self, batch: Sequence[Any]) -> Sequence["np.ndarray | Worded | NotApplicable"]:
        """One entry per input: float32 ``[shape=(len(columns),)]``, or a NotApplicable that says why."""
        ...


@dataclass(frozen=True)
class Worded:
    """A row of values with the words that go with them.

    Attributes
    ----------
    values : np.ndarray [shape=(len(columns),)], float32
    texts : tuple of str
        In the order of the extractor's ``texts``, beside whose values they are kept, and which are no features.
    """

    values: np.ndarray
    texts: tuple[str, ...]


def texts(extractor: Extractor) -> tuple[str, ...]:
    """Names of the words that an extractor gives besides its values."""
    return tuple(getattr(extractor, "texts", ()))


def modality(name: str) -> str:
    """``audio`` for ``audio.prosody``."""
    return name.split(".", 1)[0]


def fingerprint(extractor: Extractor, decoding: str) -> str:
    """Hex identity of everything but the sample that a value depends on.

    sha256 over name, version, parameters, column names, the weights' own sha256 and the version of the decoding.
    """
    identity = {
        "name": extractor.name,
        "version": extractor.version,
        "parameters": dict(extractor.parameters),
        "columns": [c.name for c in extractor.columns],
        "weights": [digest for _, digest in weights(extractor)],
        "decoding": decoding,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def weights(extractor: Extractor) -> list[tuple[str, str]]:
    """Name and sha256 of each file of weights, in order."""
    return [(path.name, remembered_sha256(Path(path))) for path in extractor.weights()]
