"""Speed of the text extractors and what they are worth on MELD and CMU-MOSI, on one core.

    OMP_NUM_THREADS=1 python benchmarks/text.py speed FOLDER
    OMP_NUM_THREADS=1 python benchmarks/text.py meld FOLDER
    OMP_NUM_THREADS=1 python benchmarks/text.py mosi FOLDER

For speed and meld, FOLDER holds MELD's train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv. For mosi it holds
a Parquet table with the columns sample_id (VIDEO_NUMBER), video_id, split, label (0 or 1), transcript and audio_….

Everything is chosen by grouped cross-validation on what is not tested (MELD: train and dev, by dialogue; MOSI: train,
by video): the features, the strength of the logistic regression, and by how much it leans towards rare classes. What
was chosen is fitted on all of it and predicts the test part once; the interval is over dialogues or videos.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from affectlake.data import datasets
from affectlake.data.samples import samples_frame
from affectlake.features import registry
from affectlake.features.compute import compute
from affectlake.features.plan import plan
from affectlake.features.text import _minilm
from affectlake.features.text._clean import clean
from affectlake.features.workers import fingerprints
from affectlake.models import metrics

RULES = ("text.style", "text.lexicon")
EXTRACTORS = (*RULES, "text.minilm", "text.minilm_middle", "text.mpnet", "text.multilingual", "text.context")
SETS = (
    RULES,
    ("text.multilingual",),
    ("text.minilm",),
    ("text.minilm_middle",),
    ("text.mpnet",),
    ("text.minilm", *RULES),
    ("text.minilm_middle", *RULES),
    ("text.mpnet", *RULES),
    ("text.mpnet", *RULES, "text.context"),
)
STRENGTHS = (0.001, 0.003, 0.01)
# Powers of the classes' frequencies that probabilities are divided by (Menon et al. 2021): 0 for none, 1 for all.
LEANINGS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


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


def kept(samples: pd.DataFrame, names: Sequence[str], folder: Path | None) -> dict[str, pd.DataFrame]:
    """As `extract`; rows are read from the folder where an earlier run left them."""
    if folder is None:
        return extract(samples, *names)
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in names:
        path = folder / f"{samples['dataset'].iloc[0]}-{name}-{fingerprints([name])[name][:12]}.parquet"
        if not path.is_file():
            extract(samples, name)[name].to_parquet(path)
        found[name] = pd.read_parquet(path)
    return found


def speed(samples: pd.DataFrame, names: Sequence[str], count: int, repeats: int) -> None:
    extract(samples.tail(64), *names)
    parts = list(_parts(samples, count, repeats))
    print(f"{repeats} parts of {count} utterances in their dialogues; ms per utterance, median and range")
    for what, run in _ways().items():
        _report(what, parts, run)
    for name in names:
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


def meld(folder: Path, names: Sequence[str], keep: Path | None) -> None:
    """Weighted F1 of seven emotions, official parts."""
    samples = datasets.get("meld").load(folder)
    samples = samples.assign(tested=samples["split"] == "test")
    task = Task(samples, kept(samples, names, keep), samples["emotion"], "f1_weighted", LEANINGS, 1)
    task.run([s for s in SETS if set(s) <= set(names)])


def mosi(folder: Path, names: Sequence[str], keep: Path | None) -> None:
    """Accuracy of two sentiments, official parts.

    The table's own columns of text and video come from networks that were trained on the training part's labels: inner
    validation finds them nearly perfect (.98 and .92), so nothing can be chosen about them, and they are left out.
    """
    table = pd.concat([pd.read_parquet(p) for p in sorted(folder.glob("*.parquet"))])
    frame = pd.DataFrame(
        {
            "sample_id": table["sample_id"],
            "speaker": table["video_id"],
            "split": table["split"],
            "language": "en",
            "text": table["transcript"],
            "dialogue": table["video_id"],
            "turn": table["sample_id"].str.rsplit("_", n=1).str[1].astype(int),
            "label": table["label"].astype(int),
        }
    )
    samples = samples_frame(frame, "mosi").reset_index(drop=True)
    samples = samples.assign(tested=samples["split"] == "test")
    rows = kept(samples, names, keep)
    audio = [c for c in table if c.startswith("audio_")]
    rows["audio"] = table.set_index("sample_id")[audio].astype(np.float32)
    sets = [s for s in (*SETS, ("audio",), ("text.mpnet", *RULES, "audio")) if set(s) <= {*names, "audio"}]
    Task(samples, rows, samples["label"], "accuracy", (0.0,), 3).run(sets)


def available(name: str) -> bool:
    reason = registry.unavailable(registry.get(name))
    if reason:
        print(f"left out: {name} {reason}")
    return not reason


@dataclass(frozen=True)
class Choice:
    """What inner validation thinks of a set of features with a strength and a leaning."""

    score: float
    names: Sequence[str]
    strength: float
    leaning: float

    def __str__(self) -> str:
        short = " + ".join(n.removeprefix("text.") for n in self.names)
        return f"{short:48} inner {self.score:.3f}  C={self.strength} leaning {self.leaning}"


class Task:
    """A labelled dataset with an official test part.

    Parameters
    ----------
    samples : DataFrame
        Columns sample_id, dialogue and tested.
    rows : mapping of str to DataFrame [index=sample_id]
        Features.
    label : Series
    metric : "f1_weighted" | "accuracy"
    leanings : sequence of float
    repeats : int
        Of five-fold cross-validation.
    """

    def __init__(self, samples, rows: Mapping[str, pd.DataFrame], label, metric: str, leanings, repeats: int):
        self.rows = {name: frame.reindex(samples["sample_id"]).to_numpy(np.float32) for name, frame in rows.items()}
        self.y = pd.Categorical(label).codes.astype(int)
        self.group = samples["dialogue"].to_numpy()
        self.metric, self.leanings = metric, leanings
        self.test = np.flatnonzero(samples["tested"])
        self.known = np.flatnonzero(~samples["tested"])
        self.prior = np.bincount(self.y[self.known]) / len(self.known)
        self.folds = [fold for seed in range(repeats) for fold in self._folds(seed)]

    def _folds(self, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        from sklearn.model_selection import StratifiedGroupKFold

        split = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        known = self.known
        return [(known[a], known[b]) for a, b in split.split(known, self.y[known], self.group[known])]

    def run(self, sets: Sequence[Sequence[str]]) -> None:
        print(f"{len(self.known)} to choose and to train on, {len(self.test)} to test; {self.metric}")
        choices = []
        for names in sets:
            best = max(self._tried(names), key=lambda c: c.score)
            print(best, flush=True)
            choices.append(best)
        best = max(choices, key=lambda c: c.score)
        print(f"\nchosen, for its inner score: {best}\ntest {self._tested(best)}", flush=True)

    def _tried(self, names: Sequence[str]) -> Iterator[Choice]:
        """Scores of all strengths and leanings, pooled over the folds of a repetition and averaged over repetitions."""
        found: dict[float, list[np.ndarray]] = {c: [] for c in STRENGTHS}
        for train, held in self.folds:
            x = matrix([self.rows[n] for n in names], train)
            for strength in STRENGTHS:
                found[strength].append(_fitted(strength, x[train], self.y[train]).predict_proba(x[held]))
        for strength, parts in found.items():
            for leaning in self.leanings:
                scores = []
                for first in range(0, len(parts), 5):
                    p = np.concatenate(parts[first : first + 5])
                    truth = self.y[np.concatenate([held for _, held in self.folds[first : first + 5]])]
                    scores.append(self._draws(truth, self._leant(p, leaning), np.arange(len(truth)))[0])
                yield Choice(float(np.mean(scores)), names, strength, leaning)

    def _leant(self, p: np.ndarray, leaning: float) -> np.ndarray:
        p = p / self.prior**leaning
        return p / p.sum(axis=1, keepdims=True)

    def _draws(self, truth: np.ndarray, p: np.ndarray, groups: np.ndarray) -> np.ndarray:
        return metrics.classification(truth, p, metrics.Draws.of(groups))[self.metric]

    def _tested(self, choice: Choice) -> str:
        x = matrix([self.rows[n] for n in choice.names], self.known)
        p = _fitted(choice.strength, x[self.known], self.y[self.known]).predict_proba(x[self.test])
        drawn = self._draws(self.y[self.test], self._leant(p, choice.leaning), self.group[self.test])
        return "{value:.3f} (95 % {low:.3f} to {high:.3f})".format(**metrics.interval(drawn))


def matrix(blocks: Sequence[np.ndarray], training: np.ndarray) -> np.ndarray:
    """Blocks side by side, scaled by the training part, a mark where a sample lacks one, no gaps."""
    parts = []
    for x in blocks:
        lacking = np.isnan(x).all(axis=1, keepdims=True)
        scaled = (x - np.nanmean(x[training], axis=0)) / (np.nanstd(x[training], axis=0) + 1e-6)
        parts += [np.clip(np.nan_to_num(scaled), -5, 5), lacking.astype(np.float32)]
    return np.hstack(parts)


def _fitted(strength: float, x: np.ndarray, y: np.ndarray):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=1000, tol=1e-3).fit(x, y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "meld", "mosi"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=600, help="utterances per part (speed)")
    parser.add_argument("--repeats", type=int, default=5, help="parts (speed)")
    parser.add_argument("--keep", type=Path, help="folder for extracted rows, to be read by the next run (meld, mosi)")
    parser.add_argument("--without", action="append", default=[], help="an extractor to leave out")
    options = parser.parse_args()
    names = [n for n in EXTRACTORS if n not in options.without and available(n)]
    if options.what == "speed":
        speed(datasets.get("meld").load(options.folder), names, options.count, options.repeats)
    else:
        {"meld": meld, "mosi": mosi}[options.what](options.folder, names, options.keep)


if __name__ == "__main__":
    main()
