"""Halves of a fold, prepared once for all processes of a machine: files beside the features, which all of them map."""

import fcntl
import mmap
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.models import training
from affectlake.models.early import Block, Matrix, Rotation, View
from affectlake.models.splits import Fold
from affectlake.models.taken import Taken
from affectlake.models.training import Data

FOLDER = "prepared"
"""Name of the folder of such files in that of the features."""


class Mapped(View):
    """A view whose arrays are files: made by whichever process asks first, the others wait and map them.

    ``fold``: where files about the modality in the fold are; ``half``: what this half's are called there.
    """

    def __init__(self, block: Block, x: Matrix, there: np.ndarray, fold: Path, half: str):
        super().__init__(block, x, there)
        self._fold, self._half = fold, half

    @cached_property
    def columns(self) -> np.ndarray:
        return _mapped(self._fold / f"{self._half}-columns.npy", self._shape, self._prepare)

    def _prepare(self, out: np.ndarray) -> None:
        (x,) = self._raw
        super()._prepare(out)
        _let_go(x.array if isinstance(x, Taken) else x)

    def _rotate(self, out: np.ndarray) -> None:
        super()._rotate(out)
        _let_go(self.columns)

    @cached_property
    def components(self) -> np.ndarray:
        shape = (len(self.there), self._rotation().axes.shape[1])
        return _mapped(self._fold / f"{self._half}-components.npy", shape, self._rotate)

    def _rotation(self) -> Rotation:
        if self.block.rotation is None:
            self.block.rotation = _object(self._fold / "rotation", super()._rotation)
        return self.block.rotation


@dataclass(frozen=True)
class _Train(Data):
    fitted: Callable[[str], View]

    def view(self, modality: str) -> View:
        if modality not in self._views:
            self._views[modality] = self.fitted(modality)
        return self._views[modality]


def halves(folder: Path, number: int, data: Data, fold: Fold) -> tuple[Data, Callable[[str], View]]:
    """The training part of a fold, and its tested part by modality.

    Parameters
    ----------
    folder : Path
        Where the features are; what is prepared is kept beside them.
    number : int
        Of the fold.
    data : Data
    fold : Fold
    """
    part = training.subset(data, fold.train)

    def fitted(m: str) -> View:
        where = place(folder, number) / m

        def fresh() -> tuple[Block, np.ndarray]:
            view = Mapped.fitted(part.blocks[m], where, "train")
            return view.block, view.there

        block, there = _object(where / "block", fresh)
        return Mapped(block, part.blocks[m], there, where, "train")

    train = _Train(part.blocks, part.y, part.groups, fitted)

    def tested(m: str) -> View:
        block, x = train.view(m).block, Taken.of(data.blocks[m], fold.test)
        return Mapped(block, x, data.present(m)[fold.test], place(folder, number) / m, "test")

    return train, cache(tested)


def place(folder: Path | str, number: int) -> Path:
    """Where what was prepared for a fold is; tables of the same features and folds share it."""
    return Path(folder, FOLDER).resolve() / f"fold-{number:04}"


def forget(place: Path) -> None:
    """Delete what was prepared for a fold."""
    shutil.rmtree(place, ignore_errors=True)


def _mapped(file: Path, shape: tuple[int, ...], fill: Callable[[np.ndarray], None]) -> np.ndarray:
    """A float32 array in a file, filled by whoever asks first."""

    def write(to: Path) -> None:
        fill(np.lib.format.open_memmap(to, mode="w+", dtype=np.float32, shape=shape))

    return np.load(_once(file, write), mmap_mode="r")


def _let_go(array: np.ndarray) -> None:
    """Pages of a mapped file that are not needed now: it is read again where they are."""
    if isinstance(array, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
        array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def _object(file: Path, make: Callable[[], Any]) -> Any:
    """An object in a file of ours, made by whoever asks first."""
    return pickle.loads(_once(file, lambda to: to.write_bytes(pickle.dumps(make()))).read_bytes())


def _once(file: Path, write: Callable[[Path], object]) -> Path:
    """A file that is written by whichever process asks first; the others wait."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)  # who still holds a fold that is over may ask for more of it
        with open(f"{file}.lock", "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not file.exists():
                part = file.with_name(f"{file.name}.part")
                write(part)
                part.rename(file)
    return file
