"""CH-SIMS: clips from Chinese films and series, sentiment from -1 to 1 for each modality alone and for all together."""

from pathlib import Path

import pandas as pd

from affectlake.data.dataset import Dataset
from affectlake.data.datasets._mmsa import LAYOUT, SENTIMENTS, UNIMODAL, read_clips


def read(root: Path) -> pd.DataFrame:
    """One row per clip; see `read_clips`."""
    return read_clips(root, "ch-sims", "zh", unimodal=True)


dataset = Dataset(
    name="ch-sims",
    title="Chinese Single- and Multimodal Sentiment",
    licence="research only; the films belong to their makers",
    citation="Yu et al. (2020), Proc. ACL, 3718-3727, doi:10.18653/v1/2020.acl-main.343",
    url="https://github.com/thuiar/MMSA",
    access="Ask the authors, or follow the links at https://github.com/thuiar/MMSA.",
    layout=LAYOUT + "Raw/video_0001/0001.mp4; label_T, label_A and label_V beside label",
    read=read,
    labels={"sentiment": SENTIMENTS, "sentiment_score": ()} | dict.fromkeys(UNIMODAL.values(), ()),
    expected=2281,
    official_split=True,
)
