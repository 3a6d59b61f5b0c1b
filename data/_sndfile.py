"""Plain samples, decoded by libsndfile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data._decoders import BLOCK, GaveUp, check_form, truncated
from affectlake.data._headers import Part, PartFile
from affectlake.data.media import descriptor, open_file, reason


class Sndfile:
    """Plain samples (PCM, floating point, mu-law, A-law) and what else libsndfile knows."""

    def __init__(self, path: Path, part: Part | None = None):
        import soundfile

        self._path, self._part = path, part
        self._stack = ExitStack()
        try:
            file = self._stack.enter_context(open_file(path))
            # Through a descriptor libsndfile reads by itself; a header that is wrong is put right on its way.
            given: Any = PartFile(file, part) if part is not None and not part.intact else descriptor(file) or file
            try:
                self._file = self._stack.enter_context(soundfile.SoundFile(given, closefd=False))
            except (soundfile.LibsndfileError, TypeError, ValueError) as error:
                raise GaveUp(reason(error)) from None
            self.rate, self.channels = self._file.samplerate, self._file.channels
            check_form(path, self.rate, self.channels)
            if not 0 <= self._file.frames < 1 << 50 or not self._file.seekable():
                raise GaveUp("the number of its samples is unknown")
        except BaseException:
            self._stack.close()
            raise
        self.stated: float | None = self._file.frames / self.rate
        self.ended: float | None = None

    @property
    def plain(self) -> bool:
        """Whether every sample takes the same bytes, so that any can be sought exactly."""
        return self._file.subtype.startswith("PCM_") or self._file.subtype in ("FLOAT", "DOUBLE", "ULAW", "ALAW")

    def close(self) -> None:
        self._stack.close()

    def length(self) -> float:
        self._check(math.inf)
        return self._file.frames / self.rate

    def _check(self, wanted: float) -> None:
        part = self._part
        seconds = self._file.frames / self.rate
        if part is not None and part.lacks and wanted > seconds:
            raise truncated(self._path, seconds, seconds + part.missing / part.per_second)

    def blocks(self, begin: int, stop: int | None) -> Iterator[np.ndarray]:
        import soundfile

        frames = self._file.frames
        self._check(math.inf if stop is None else (stop - 1) / self.rate)
        stop = frames if stop is None else min(stop, frames)
        position = begin
        try:
            if begin < stop:
                self._file.seek(begin)
            while position < stop:
                count = min(max(1, BLOCK // self.channels), stop - position)
                block = self._file.read(count, dtype="float32", always_2d=True)
                if not len(block):
                    break
                position += len(block)
                yield block
        except (soundfile.LibsndfileError, ValueError, RuntimeError) as error:
            raise GaveUp(f"damaged after {position / self.rate:.2f} s, {reason(error)}") from None
        if position < stop:
            raise truncated(self._path, position / self.rate, frames / self.rate)
        if stop == frames:
            self.ended = frames / self.rate
