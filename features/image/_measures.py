"""What extractors share that measure a picture by formulas: nothing learned."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.protocol import Reads


class PictureMeasures:
    r"""Base of such extractors; a subclass says what it `measure`\ s. See `affectlake.features.protocol.Extractor`."""

    reads: Reads = "image"
    requires = ("cv2",)
    install = "pip install 'affectlake[vision]'"
    licence = "Apache-2.0"

    def measure(self, picture: np.ndarray) -> np.ndarray | NotApplicable:
        """float32 [shape=(len(columns),)] of an RGB picture [shape=(h, w, 3)], uint8; or why there is none."""
        raise NotImplementedError

    def weights(self) -> Sequence[Path]:
        return ()

    def extract(self, batch: Sequence[np.ndarray]) -> list[np.ndarray | NotApplicable]:
        """What `measure` gives of each picture."""
        return [self.measure(picture) for picture in batch]
