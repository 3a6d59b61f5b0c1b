"""What a model file is made of: parts of a zip, weighed before they are unpacked, and objects by skops among them."""

import io
import math
import re
import zipfile
from copy import copy
from typing import Any

from affectlake.models.sound import BadModel, check

LARGEST = 4 * 2**30
"""Bytes that the parts of a model may have unpacked."""

SMALL, DENSEST = 64 * 2**20, 100
"""Above so many bytes unpacked, a file that packs more than so many bytes into one is taken for a bomb."""

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")

# What skops may build besides the types that it trusts by itself: nothing here reads files or runs commands.
_TRUSTED = [
    "affectlake.models.calibration.Scores",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "affectlake.models.calibration.Line",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
]


class Parts:
    """Reads the parts of a model file: each once, and what is packed in them not beyond what the file may hold."""

    def __init__(self, file: zipfile.ZipFile, size: int):
        self._file, self._given = file, set[str]()
        self._size, self._unpacked = size, 0
        self._prefix, self._whole = "", self

    def below(self, prefix: str) -> "Parts":
        """The parts whose names begin with ``prefix``, counted together with all others."""
        found = copy(self)
        found._prefix = prefix
        return found

    def __call__(self, name: str) -> bytes:
        name = self._prefix + name
        # Few bytes may name a large part often: each of them would be a copy in memory.
        if name in self._given:
            raise BadModel(f"the part {name[:80]} is named twice: no model of ours does")
        self._given.add(name)
        return self._file.read(name)

    def weigh(self, inner: zipfile.ZipFile) -> None:
        """Count what the zip in a part unpacks to, before it does."""
        self._whole._unpacked += sum(i.file_size for i in inner.infolist())
        if self._whole._unpacked > _most(self._size):
            raise BadModel(
                f"its parts unpack from {self._size} to {self._whole._unpacked} bytes and more: no model of ours does"
            )


def _most(size: int) -> int:
    return min(LARGEST, max(SMALL, DENSEST * size))


def weigh(file: zipfile.ZipFile, size: int, name: str) -> None:
    """Refuse a zip before anything in it is unpacked: reading a part never gives more bytes than it claims."""
    unpacked = sum(i.file_size for i in file.infolist())
    if unpacked > _most(size):
        raise BadModel(f"{name} unpacks from {size} to {unpacked} bytes: no model of ours does")
    for entry in file.infolist():
        if not _PART.fullmatch(entry.filename):
            raise BadModel(f"{name} holds a part called {entry.filename[:80]!r}: no model of ours does")


def put_object(parts: dict[str, bytes], name: str, value: Any) -> str | None:
    """Write an object, as a part of this name; returns the reference to it, None for None."""
    if value is None:
        return None
    from skops.io import dumps

    parts[name] = dumps(value)
    return name


def get_object(read: Parts, name: str | None) -> Any:
    """Build an object of a part; raises BadModel where it is no model of ours that was written there."""
    if name is None:
        return None
    from skops.io import get_untrusted_types, loads

    content = read(name)
    with zipfile.ZipFile(io.BytesIO(content)) as inner:
        weigh(inner, len(content), f"the part {name}")
        read.weigh(inner)
        for entry in inner.infolist():
            _weigh_array(inner, entry, name)
    strangers = sorted(set(get_untrusted_types(data=content)) - set(_TRUSTED))
    if strangers:
        raise BadModel(f"the part {name} wants to build {', '.join(strangers)}: no model of ours does")
    value = loads(content, trusted=_TRUSTED)
    check(value, set())
    return value


def _weigh_array(inner: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> None:
    """Refuse an array that says it is larger than it is, before there is memory for what it says."""
    from numpy.lib import format as npy

    if entry.filename == "schema.json":
        return
    if not entry.filename.endswith(".npy"):
        raise BadModel(f"the part {name} holds {entry.filename[:80]!r}: no model of ours does")
    with inner.open(entry) as file:
        headers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        shape, _, kind = headers[npy.read_magic(file)](file)
    if math.prod(shape) * kind.itemsize > entry.file_size or any(n < 0 for n in shape):
        raise BadModel(f"the part {name} holds an array of {shape}, which is larger than the part")
