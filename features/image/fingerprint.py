"""What stays of a picture when it is saved again, resized or made grey: for finding copies, not for learning from."""

from collections.abc import Mapping, Sequence

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.image._measures import PictureMeasures
from affectlake.features.protocol import Column

SIDE = 16
STEP = 8.0
"""Difference of luma, of 255, from which on a step counts fully: signs alone would be those of noise on even ground."""

EVEN = 2.0
"""Length of all steps below which a picture is too even to be told from others."""

SOURCE = "difference hash (Krawetz 2013), with steps in proportion"


class Fingerprint(PictureMeasures):
    """See `affectlake.features.protocol.Extractor`; `affectlake.models.copies` compares by cosine."""

    name = "image.fingerprint"
    version = "1"
    parameters: Mapping[str, object] = {"side": SIDE, "step": STEP, "even": EVEN}
    columns: Sequence[Column] = tuple(
        Column(f"step_{y:02d}_{x:02d}", "1", -1.0, 1.0, f"Luma's step to the right in row {y}, column {x}", SOURCE)
        for y in range(SIDE)
        for x in range(SIDE)
    )
    cost = 0.2
    summary = "What stays of a picture that is saved again or resized; for finding copies, never trained on"

    def measure(self, picture: np.ndarray) -> np.ndarray | NotApplicable:
        return _row(picture)


def _row(picture: np.ndarray) -> np.ndarray | NotApplicable:
    import cv2

    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    steps = np.diff(cv2.resize(luma, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA), axis=1)
    steps = np.clip(steps.ravel() / STEP, -1, 1)
    length = float(np.linalg.norm(steps))
    if length < EVEN:
        return NotApplicable("too even to be told from other pictures")
    return (steps / length).astype(np.float32)


extractor = Fingerprint()
