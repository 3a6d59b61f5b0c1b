"""What a model's card says of the band of the sound that it was trained on."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from affectlake.features import registry
from affectlake.models.band import COLUMN, Band

if TYPE_CHECKING:
    import pandas as pd


def trained_band(
    samples: "pd.DataFrame", modalities: Iterable[str], extractors: Iterable[str], remark: Callable[[str], None]
) -> dict[str, Any]:
    """For the card: the range that `affectlake.flows.predict` compares with; nothing where sound is not read.

    ``remark`` is told where it is not known, although the sound could be asked.
    """
    if "audio" not in modalities:
        return {}
    heard = Band.of(samples[COLUMN].to_numpy("float64")) if COLUMN in samples else None
    if heard is None and any(e.startswith("audio.") and e in registry.extractors() for e in extractors):
        remark("nothing will tell this model's user of a telephone: for that refresh --only audio.recording first")
    return {"band": heard.to_json()} if heard else {}
