"""What carried the sound: the rate that it is stored at, the band that there is sound in, and whose channels they are.

A model of wide-band speech answers about a telephone's as if nothing were missing, and is surer of it; these columns
let a benchmark, a model and a drift report see that. They say nothing of who speaks: no benchmark takes them unasked.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from affectlake.data.sound import RATE, AudioClip
from affectlake.features.audio import _spectrum as sp
from affectlake.features.audio._handcrafted import Handcrafted
from affectlake.features.protocol import Column

WIDTH = 8  # bins that are looked at together: 125 Hz
LOUD = 95.0  # percentile over the frames with sound: a band is carried if only its loudest sounds, such as s, are there
FLOOR = 50.0  # dB below the loudest band: below fricatives, above the noise of 16 bits in a quiet recording

SOURCE = "highest band whose 95th percentile over frames with sound is within 50 dB of the loudest band's"

APART = (
    "twice the share of 50 ms frames with sound in which the channel that has less is alone, 25 dB below its loudest"
)


def bandwidth(clip: AudioClip) -> float:
    """Hz up to which there is sound: the upper edge of the highest band that is not below the floor."""
    bands = np.add.reduceat(sp.power(clip)[sp.active(clip), 1:], np.arange(0, sp.BINS - 1, WIDTH), axis=1)
    loud = np.percentile(bands, LOUD, axis=0)
    carried = np.flatnonzero(loud >= loud.max() * 10 ** (-FLOOR / 10))
    return float((carried[-1] + 1) * WIDTH * RATE / sp.N_FFT)


class Recording(Handcrafted):
    """See `affectlake.features.protocol.Extractor`; `affectlake.models.band` compares."""

    name = "audio.recording"
    version = "1"
    parameters: Mapping[str, object] = {**sp.SETTINGS, "width": WIDTH, "loud": LOUD, "floor": FLOOR}
    columns: Sequence[Column] = (
        Column(
            "stored_rate", "Hz", 1000, 1_000_000, "Samples per second as stored, or as narrowed", "header", "band"
        ),
        Column("bandwidth", "Hz", 0, RATE / 2, "Frequency up to which there is sound", SOURCE, "band"),
        Column("apart", "1", 0, 1, "How much two channels take turns, as two people on a telephone", APART, "band"),
    )  # fmt: skip
    cost = 0.5
    summary = "What carried the sound: stored rate and effective bandwidth; for warnings, not trained on unasked"

    def measure(self, clip: AudioClip) -> np.ndarray:
        return np.array([clip.stored_rate, bandwidth(clip), clip.apart])


extractor = Recording()
