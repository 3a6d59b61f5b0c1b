"""CMU-MOSEI: sentences from YouTube monologues of a thousand speakers, sentiment from -3 to 3, official split."""

from affectlake.data.dataset import Dataset
from affectlake.data.datasets._mmsa import LAYOUT, SENTIMENTS, read_english

dataset = Dataset(
    name="cmu-mosei",
    title="CMU Multimodal Opinion Sentiment and Emotion Intensity",
    licence="research only; the videos belong to their makers",
    citation="Zadeh et al. (2018), Proc. ACL, 2236-2246, doi:10.18653/v1/P18-1208",
    url="https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK",
    access="Ask the authors, or take the raw clips and label.csv linked from https://github.com/thuiar/MMSA.",
    layout=LAYOUT + "Raw/-3g5yACwYnA/10.mp4",
    read=read_english("cmu-mosei"),
    labels={"sentiment": SENTIMENTS, "sentiment_score": ()},
    expected=22856,
    official_split=True,
)
