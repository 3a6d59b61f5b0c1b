"""Speed of the text extractors and what they are worth on MELD, on one core.

    OMP_NUM_THREADS=1 python benchmarks/text.py speed FOLDER
    OMP_NUM_THREADS=1 python benchmarks/text.py meld FOLDER

FOLDER holds MELD's train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from affectlake.data import datasets
from affectlake.features import registry
from affectlake.features.compute import compute
from affectlake.features.plan import plan
from affectlake.features.text import _minilm
from affectlake.features.text._clean import clean

EXTRACTORS = ("text.style", "text.lexicon", "text.minilm", "text.multilingual", "text.context")
SETS = (
    ("text.style", "text.lexicon"),
    ("text.multilingual",),
    ("text.minilm",),
    ("text.minilm", "text.style", "text.lexicon"),
    ("text.minilm", "text.style", "text.lexicon", "text.context"),
    ("text.minilm", "text.style", "text.lexicon", "text.multilingual", "text.context"),
)
STRENGTHS = (0.001, 0.003, 0.01, 0.03)
WEIGHTS = (None, "balanced")


def extract(samples: pd.DataFrame, *names: str) -> dict[str, pd.DataFrame]:
    """Rows [index=sample_id] by extractor, chunked as a refresh does it; samples that have none are left out."""
    nothing = pd.DataFrame({"content": [], "outcome": []})
    work = plan(samples, pd.DataFrame(), [registry.get(n) for n in names], lambda *_: nothing)
    results = [compute(chunk) for chunk in work.chunks]
    found = {}
    for name in names:
        rows = pd.concat([r[name].to_pandas() for r in results if name in r])
        rows = rows[rows["outcome"] == "ok"].drop(columns=["outcome", "reason"])
        joined = work.wanted[name][["sample_id", "content"]].merge(rows, on="content")
        found[name] = joined.drop(columns="content").set_index("sample_id")
    return found


def speed(samples: pd.DataFrame, count: int, repeats: int) -> None:
    extract(samples.tail(64), *EXTRACTORS)
    parts = list(_parts(samples, count, repeats))
    print(f"{repeats} parts of {count} utterances in their dialogues; ms per utterance, median and range")
    for what, run in _ways().items():
        _report(what, parts, run)
    for name in EXTRACTORS:
        _report(name, parts, lambda part, name=name: extract(part, name))


def _parts(samples: pd.DataFrame, count: int, repeats: int) -> Iterator[pd.DataFrame]:
    """Other dialogues in each, no utterance twice: what was computed before helps nobody."""
    distinct = samples.drop_duplicates("text")
    for i in range(repeats):
        yield distinct.iloc[i * count : (i + 1) * count].reset_index(drop=True)


def _ways() -> dict[str, Callable[[pd.DataFrame], object]]:
    def texts(part: pd.DataFrame) -> list[str]:
        return [clean(t) for t in part["text"]]

    def in_order(part: pd.DataFrame) -> None:
        every = texts(part)
        for first in range(0, len(every), _minilm.BATCH):
            _minilm.encode(every[first : first + _minilm.BATCH])

    def fourfold(part: pd.DataFrame) -> pd.DataFrame:
        copies = [part.assign(sample_id=part["sample_id"] + f"_{i}") for i in range(4)]
        return pd.concat(copies, ignore_index=True)

    return {
        "MiniLM, one call for all, sorted by length": lambda part: _minilm.encode(texts(part)),
        "MiniLM, batches of 64 in the order of the file": in_order,
        "text.minilm, chunked by a refresh": lambda part: extract(part, "text.minilm"),
        "text.minilm, each utterance four times": lambda part: extract(fourfold(part), "text.minilm"),
    }


def _report(what: str, parts: list[pd.DataFrame], run: Callable[[pd.DataFrame], object]) -> None:
    spent = []
    for part in parts:
        begun = time.perf_counter()
        run(part)
        spent.append((time.perf_counter() - begun) * 1000 / len(part))
    print(f"{what:50} {np.median(spent):7.2f}  ({min(spent):.2f} to {max(spent):.2f})", flush=True)


def meld(samples: pd.DataFrame) -> None:
    """Weighted F1 of the official test part; strength and class weights are those best on the development part."""
    from sklearn.metrics import f1_score

    rows = extract(samples, *EXTRACTORS)
    target, split = samples["emotion"].to_numpy(), samples["split"].to_numpy()
    print("train 9989, dev 1109, test 2610 as read:", *(int((split == s).sum()) for s in ("train", "dev", "test")))
    for names in SETS:
        x = _matrix([rows[n].reindex(samples["sample_id"]) for n in names], split == "train")
        tried = []
        for strength in STRENGTHS:
            for weight in WEIGHTS:
                model = _classifier(strength, weight).fit(x[split == "train"], target[split == "train"])
                score = f1_score(target[split == "dev"], model.predict(x[split == "dev"]), average="weighted")
                tried.append((score, strength, weight, model))
        score, strength, weight, model = max(tried, key=lambda t: t[0])
        found = model.predict(x[split == "test"])
        weighted, macro = (f1_score(target[split == "test"], found, average=a) for a in ("weighted", "macro"))
        short = " + ".join(n.removeprefix("text.") for n in names)
        print(f"{short:60} dev {score:.3f}  test {weighted:.3f}  macro {macro:.3f}  C={strength} {weight}", flush=True)


def _matrix(blocks: list[pd.DataFrame], training: np.ndarray) -> np.ndarray:
    """Blocks side by side, scaled by the training part, a mark where a sample lacks one, no gaps."""
    parts = []
    for block in blocks:
        x = block.to_numpy(np.float32)
        lacking = np.isnan(x).all(axis=1, keepdims=True)
        scaled = (x - np.nanmean(x[training], axis=0)) / (np.nanstd(x[training], axis=0) + 1e-6)
        parts += [np.clip(np.nan_to_num(scaled), -5, 5), lacking.astype(np.float32)]
    return np.hstack(parts)


def _classifier(strength: float, weight: str | None):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, class_weight=weight, max_iter=1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "meld"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=600, help="utterances per part (speed)")
    parser.add_argument("--repeats", type=int, default=5, help="parts (speed)")
    options = parser.parse_args()
    samples = datasets.get("meld").load(options.folder)
    if options.what == "speed":
        speed(samples, options.count, options.repeats)
    else:
        meld(samples)


if __name__ == "__main__":
    main()
