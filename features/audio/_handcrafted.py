"""What extractors share that measure sound by formulas: no learned weights, nothing to say about silence."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.data.sound import AudioClip
from affectlake.features.audio import _spectrum as sp


class Handcrafted:
    r"""Base of such extractors; a subclass says what it `measure`\ s. See `affectlake.features.protocol.Extractor`."""

    reads = "audio"
    requires = ("librosa", "scipy", "soundfile", "soxr")
    install = "pip install 'affectlake[audio]'"
    licence = "Apache-2.0"

    def measure(self, clip: AudioClip) -> np.ndarray:
        """Values [shape=(len(columns),)] of a clip with sound in it; raises NotApplicable where there are none."""
        raise NotImplementedError

    def weights(self) -> Sequence[Path]:
        return ()

    def extract(self, batch: Sequence[AudioClip]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(len(columns),)] per clip, or NotApplicable for a silent one."""
        return [self._one(clip) for clip in batch]

    def _one(self, clip: AudioClip) -> np.ndarray | NotApplicable:
        try:
            sp.require_sound(clip)
            return self.measure(clip).astype(np.float32)
        except NotApplicable as reason:
            return reason
