"""Leaves of a clip what a narrower channel would carry, where the setting ``audio.band`` asks for it.

A model of wide-band speech cannot know what a telephone leaves out; one that never saw it does not miss it. Only what
lies above half the channel's rate goes: the lower edge differs between networks, and codecs are not imitated.
"""

import numpy as np

from affectlake.data.sound import AudioClip


def narrowed(clip: AudioClip, rate: int) -> AudioClip:
    """The clip as ``rate`` samples per second have it, brought back to its own; as many samples, in the same places."""
    import soxr

    if rate >= clip.sr:
        return clip
    reduced = soxr.resample(clip.y, clip.sr, rate, quality="HQ")
    back = soxr.resample(reduced, rate, clip.sr, quality="HQ")[: len(clip.y)]
    y = np.zeros_like(clip.y)
    y[: len(back)] = back
    return AudioClip(y, clip.sr, clip.duration, clip.note, min(rate, clip.stored_rate), clip.apart)
