"""CMU-MOSI: opinions in 93 videos of film reviews, sentiment from -3 to 3, official split."""

from affectlake.data.dataset import Dataset
from affectlake.data.datasets._mmsa import LAYOUT, SENTIMENTS, read_english

dataset = Dataset(
    name="cmu-mosi",
    title="CMU Multimodal Opinion-level Sentiment Intensity",
    licence="research only; the videos belong to their makers",
    citation="Zadeh et al. (2016), IEEE Intelligent Systems 31(6): 82-88, doi:10.1109/MIS.2016.94",
    url="https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK",
    access="Ask the authors, or take the raw clips and label.csv linked from https://github.com/thuiar/MMSA.",
    layout=LAYOUT + "Raw/03bSnISJMiM/1.mp4",
    read=read_english("cmu-mosi"),
    labels={"sentiment": SENTIMENTS, "sentiment_score": ()},
    expected=2199,
    official_split=True,
)
