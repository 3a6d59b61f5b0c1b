"""Where there is speech; leaves out what is none and shortens long pauses where the setting ``audio.trim`` asks for it.

Speech is what lies near a voiced stretch: noise, however loud, has no pitch. A clip without any voice (a whisper) is
judged by its level alone. Neither tells speech from music or from a hum that has a pitch.
"""

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.data.sound import AudioClip
from affectlake.features.audio import _pitch
from affectlake.features.audio import _spectrum as sp

REACH = 0.25  # s kept on either side of a voiced stretch: unvoiced consonants and breath
SHORTEST = 3  # frames of a voiced stretch; a shorter one is chance


def trimmed(clip: AudioClip) -> AudioClip:
    """The clip's speech, pauses of more than 0.5 s shortened to that; a silent clip as it is."""
    try:
        sp.require_sound(clip)
    except NotApplicable:
        return clip
    return AudioClip(
        sp.near(clip.y, speech(clip), REACH), clip.sr, clip.duration, clip.note, clip.stored_rate, clip.apart
    )


def speech(clip: AudioClip) -> np.ndarray:
    """Frames of voiced stretches, or of sound where nothing is voiced; bool [shape=(frames,)]."""
    flags = np.zeros(len(sp.active(clip)), bool)
    for first, last in _pitch.runs(_pitch.pitch(clip).voiced & sp.active(clip)):
        flags[first:last] = last - first >= SHORTEST
    return flags if flags.any() else sp.active(clip)
