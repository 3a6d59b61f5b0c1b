"""What extractors share that hear speech through a frozen encoder: which clips it can hear, and pooling over time."""

from collections.abc import Iterable, Sequence

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _spectrum as sp

SHORTEST = 0.1  # s; the first layers of wav2vec 2.0 make no frame of less than 0.025


class SpeechEncoder:
    r"""Base of such extractors; a subclass says how a clip is `embed`\ ded."""

    reads = "audio"
    windowed = True

    def embed(self, clip: AudioClip) -> np.ndarray:
        """float32 [shape=(len(columns),)] of a clip with sound in it."""
        raise NotImplementedError

    def extract(self, batch: Sequence[AudioClip]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(len(columns),)] per clip, or NotApplicable for a silent one or one of less than 0.1 s."""
        return [self._one(clip) for clip in batch]

    def _one(self, clip: AudioClip) -> np.ndarray | NotApplicable:
        if len(clip.y) < SHORTEST * RATE:
            return NotApplicable(f"too short for a speech encoder: {len(clip.y) / RATE:.3f} s, at least {SHORTEST} s")
        try:
            sp.require_sound(clip)
        except NotApplicable as silent:
            return silent
        return self.embed(clip)


def moments(pieces: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the frames of all pieces, float64 [shape=(…, d)] each.

    Parameters
    ----------
    pieces : iterable of float64 array, shape=(…, frames, d)
    """
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for states in pieces:
        count += states.shape[-2]
        total = total + states.sum(axis=-2)
        squares = squares + np.square(states).sum(axis=-2)
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean * mean, 0))
