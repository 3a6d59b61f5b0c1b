"""Defaults beside what they were chosen over, on inner folds: the head's loss, and thresholds of several labels.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/choices.py loss FOLDER --store lake
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/choices.py thresholds FOLDER --store lake

FOLDER holds cremad_votes.parquet, whose features a store has as `crema-d-votes` (benchmarks/shared_data.py). How those
voted who only heard or only saw a clip says what those voted who heard and saw it: how strong the emotion is and how
pleasant (``loss``: the head by 1 - CCC, and by squared error), and which emotions a fifth of them or more named
(``thresholds``: each label's of best F1, and one half). An inner threshold is chosen on one half of a training part's
speakers and scored on the other.
"""

import argparse
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd

from affectlake.data.store import Store
from affectlake.features.workers import one_thread
from affectlake.flows.benchmark import BenchOptions, features
from affectlake.models import head, metrics, selection
from affectlake.models.benchmark import Plan, run
from affectlake.models.scores import Entry, Scorer

EMOTIONS = "ADFHNS"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("loss", "thresholds"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--store", default="lake")
    given = parser.parse_args()
    one_thread()
    store = Store(given.store)
    options = BenchOptions("crema-d-votes", "emotion", store=given.store)
    samples, blocks = features(store, options, store.snapshot("crema-d-votes", None).id)
    table = pd.read_parquet(given.folder / "cremad_votes.parquet").set_index("sample_id").reindex(samples.index)
    votes = table[[f"multi_{e}" for e in EMOTIONS]].set_axis(list(EMOTIONS), axis=1)
    shares = votes.div(votes.sum(axis=1), axis=0)
    del blocks["both"]
    if given.what == "loss":
        samples["strength"] = table["multi_meanEmoRespNorm"].astype(float)
        samples["valence"] = shares["H"] - shares[list("ADFS")].sum(axis=1)
        losses(samples, blocks)
    else:
        thresholds(samples.assign(**(shares >= 0.2).astype(int)), blocks)


def losses(samples: pd.DataFrame, blocks: dict[str, pd.DataFrame]) -> None:
    print("label, modalities: CCC by 1 - CCC, by squared error: inner, tested")
    for label in ("strength", "valence"):
        plan = Plan(label, task="number", fusions=("mlp-head",), draws=2)
        known = samples[samples[label].notna()]
        ours = run(known, blocks, plan).rows
        with patch.object(head, "_concordance_loss", lambda out, truth: ((out - truth) ** 2).mean()):
            others = run(known, blocks, plan).rows
        for row in ours:
            other = next(r for r in others if r["modalities"] == row["modalities"])
            shown = [f"{r['inner']:.4f} {r['ccc']['value']:.4f}" for r in (row, other)]
            print(f"{label}, {'+'.join(row['modalities'])}: {', '.join(shown)}", flush=True)


def thresholds(samples: pd.DataFrame, blocks: dict[str, pd.DataFrame]) -> None:
    plan = Plan(tuple(EMOTIONS), models=("logreg", "lda"), fusions=("unimodal", "early", "late-product"), draws=2)
    with patch.object(selection, "selected", wraps=selection.selected) as chosen:
        run(samples, blocks, plan)
    entries, scorer, _ = chosen.call_args.args
    print("row: F1 macro by inner thresholds and one half (inner; tested), exact sets (tested)")
    for entry in entries:
        inner = [np.mean([_inner(scorer, entry, f, half) for f in range(len(scorer.folds))]) for half in (False, True)]
        tested = [_tested(scorer, entry, cuts) for cuts in (entry.cuts, None)]
        shown = [f"{a:.4f} {b:.4f}" for a, b in (inner, *zip(*tested, strict=True))]
        name = entry.candidate
        print(f"{name.fusion} {'+'.join(name.names)} {name.model}: {'; '.join(shown)}", flush=True)


def _inner(scorer: Scorer, entry: Entry, fold: int, half: bool) -> float:
    task, rows = scorer.target.task, scorer.folds[fold].train
    truth, answers, who = scorer.target.y[rows], entry.candidate.inner[fold], scorer.everyone[rows]
    first = np.isin(who, np.unique(who)[::2])
    decided = np.zeros_like(truth)
    for learned, asked in ((first, ~first), (~first, first)):
        cuts = None if half else task.cuts(truth[learned], answers[learned], "f1_macro")
        decided[asked] = task.decide(scorer.target, answers[asked], cuts)
    return float(metrics.multilabel(truth, answers, decided, metrics.Draws.of(np.zeros(len(truth))))["f1_macro"][0])


def _tested(scorer: Scorer, entry: Entry, cuts: np.ndarray | None) -> tuple[float, float]:
    found = scorer.scores(entry.answers, scorer.decide(entry.answers, cuts), scorer.draws)
    return float(found["f1_macro"][0]), float(found["exact"][0])


if __name__ == "__main__":
    main()
