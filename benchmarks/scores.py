"""Scores on real data, every choice made inside the training part of each fold.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/scores.py ravdess --store lake [--per-speaker]
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/scores.py crema-d FOLDER
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/scores.py encoder FOLDER

``ravdess`` wants a store with RAVDESS: its audio features, and a face modality (`affectlake put`). Of audio all that a
benchmark takes unasked competes with ``audio.whisper`` alone ("speech") and the mean of both. "picked" is put together
of the models on each modality, in shares that the training part's own answers say (Caruana et al., "Ensemble selection
from libraries of models", ICML 2004), and over modalities by their product. ``crema-d`` wants the
folder of CREMA-D's processedResults/tabulatedVotes.csv (Cao et al. 2014): how raters voted who only heard, only saw, or
heard and saw each clip, as three modalities, to predict the emotion that the actor was asked for. ``encoder``: what
audio.whisper costs on clips of 3.5 s, made of 30 of RAVDESS' files below FOLDER.

Five folds grouped by speaker. In each, every candidate (model or fusion) is scored on out-of-fold answers of three
inner folds, grouped too, about the training part; the best answers about the tested part: the row "chosen inside".
``--per-speaker`` standardises each speaker's features by all of that speaker's samples, tested ones included, without
their labels: transductive, so not to be compared with rows that do without.
"""

import argparse
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from affectlake.data.sound import RATE, AudioClip, read_audio
from affectlake.data.store import Store
from affectlake.features import registry
from affectlake.features.workers import one_thread
from affectlake.flows.benchmark import BenchOptions, features
from affectlake.models import benchmark, calibration, intervals, late, member, metrics, splits, training
from affectlake.models.benchmark import Plan, Target, target_of
from affectlake.models.early import Table, View
from affectlake.models.splits import Fold
from affectlake.models.training import Data

ALONE = ("logreg",)
"""Models that are no part of the ensemble: it was put together on inner folds of the first fold's training part."""

Answers = dict[tuple[str, ...], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    ravdess = commands.add_parser("ravdess")
    ravdess.add_argument("--store", default="lake")
    ravdess.add_argument("--per-speaker", action="store_true")
    crema = commands.add_parser("crema-d")
    crema.add_argument("folder", type=Path)
    encoder = commands.add_parser("encoder")
    encoder.add_argument("folder", type=Path)
    for command, models in ((ravdess, "logreg lda mlp xgboost mlp-head"), (crema, "logreg lda xgboost")):
        command.add_argument("--models", nargs="+", default=models.split(), help=f"default: {models}")
    given = parser.parse_args()
    one_thread()
    if given.what == "ravdess":
        store = Store(given.store)
        options = BenchOptions("ravdess", "emotion", store=given.store)
        samples, blocks = features(store, options, store.snapshot("ravdess", None).id)
        blocks["speech"] = blocks["audio"].filter(regex=r"^audio\.whisper\.")
        if given.per_speaker:
            blocks = {m: per_speaker(b, samples["speaker"].reindex(b.index)) for m, b in blocks.items()}
        alone = {"audio": [("audio",), ("speech",)], "face": [("face",)]}
        compare(
            samples, blocks, alone | {"audio+face": [("audio", "face"), ("speech", "face")]}, given.models, "gender"
        )
    elif given.what == "encoder":
        cost_of_encoder(given.folder)
    else:
        samples, blocks = votes(given.folder)
        views = [("face", "voice"), ("both", "face", "voice")]
        alone = {m: [(m,)] for m in views[1]}
        compare(samples, blocks, alone | {"+".join(v): [v] for v in views}, given.models)


def cost_of_encoder(folder: Path) -> None:
    """Print processor time per clip, and the peak of this process, which runs nothing else."""
    files = sorted(folder.glob("*/*.flac"))
    clips = [AudioClip(np.resize(read_audio(f).y, round(3.5 * RATE))) for f in files[:: max(1, len(files) // 30)]]
    extractor = registry.get("audio.whisper")
    extractor.extract(clips[:1])
    spent = []
    for clip in clips:
        before = time.process_time()
        extractor.extract([clip])
        spent.append(1e3 * (time.process_time() - before))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"{len(clips)} clips: median {np.median(spent):.0f} ms, slowest {max(spent):.0f} ms; peak {peak:.0f} MiB")


def per_speaker(block: pd.DataFrame, speaker: pd.Series) -> pd.DataFrame:
    groups = block.groupby(speaker)
    spread = groups.transform("std")
    return ((block - groups.transform("mean")) / spread.where(spread > 0, 1)).astype(np.float32)


def votes(folder: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Shares of the raters' votes by emotion, and how strong they found the emotions that they voted for."""
    table = pd.read_csv(folder / "tabulatedVotes.csv")
    view = table.iloc[:, 0] // 100_000  # rows are numbered from 100,001, 200,001 and 300,001 on
    blocks = {}
    for number, name in enumerate(("voice", "face", "both"), 1):
        rows = table[view == number].drop_duplicates("fileName").set_index("fileName")
        shares = rows[list("ADFHNS")].div(rows[list("ADFHNS")].sum(axis=1), axis=0)
        strong = rows[[f"mean{e}RespNorm" for e in ("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad")]]
        strong = strong.where(strong >= 0, 0) / 100  # -1: nobody voted for it
        blocks[name] = pd.concat([shares, strong], axis=1).astype(np.float32)
        blocks[name].columns = [f"{name}.votes.{c}" for c in blocks[name].columns]
    ids = blocks["voice"].index
    parts = ids.str.split("_")
    samples = pd.DataFrame({"speaker": parts.str[0], "emotion": parts.str[2]}, index=ids.rename("sample_id"))
    return samples, {m: b.reindex(samples.index) for m, b in blocks.items()}


def compare(
    samples: pd.DataFrame,
    blocks: dict[str, pd.DataFrame],
    wanted: dict[str, list[tuple[str, ...]]],
    models: list[str],
    by: str = "",
) -> None:
    """Print each candidate's accuracy and UAR on the tested parts, and those of the one chosen inside.

    ``wanted``: by title the sets of modalities whose candidates compete; ``by``: attribute whose groups are told apart.
    """
    plan = Plan("emotion", metric="accuracy")
    target = target_of(samples[["emotion"]])
    groups = splits.groups(samples).to_numpy()
    rivals = [s for each in wanted.values() for s in each]
    sets = list(dict.fromkeys([*((m,) for s in rivals for m in s), *rivals]))
    names = {m for s in sets for m in s}
    data = Data(benchmark.aligned(samples, {m: blocks[m] for m in names}), target.y, groups)
    folds = splits.folds(samples, target.y, "grouped", 5, 1, plan.seed)
    answered = []
    for number, fold in enumerate(folds, 1):
        train, test = training.subset(data, fold.train), {m: b[fold.test] for m, b in data.blocks.items()}
        oof: Answers = {}
        new: Answers = {}
        for s in sets:
            for model, inside, outside in _base(train, test, s, models, target, plan):
                oof[*s, model], new[*s, model] = inside, outside
        answered.append((train, oof, new))
        print(f"fold {number} of {len(folds)} done", file=sys.stderr, flush=True)
    at = np.concatenate([f.test for f in folds])
    inflation = intervals.overlap([len(f.train) for f in folds], [len(f.test) for f in folds])
    for title, of_title in wanted.items():
        found = []
        for train, oof, new in answered:
            inside, outside = (rivals_of(of, of_title, models) for of in (oof, new))
            inside["picked"], outside["picked"] = picked(train, oof, new, of_title, models, plan)
            found.append((train.y, inside, outside))
        print(
            f"\n{title}: {len(samples)} samples; accuracy and UAR, with 95 % intervals over speakers; accuracy inside"
        )
        best = _show(found, target.y[at], groups[at], inflation)
        if by:
            hit = pd.Series(best.argmax(axis=1) == target.y[at]).groupby(samples[by].to_numpy()[at]).mean()
            print(f"by {by}:", ", ".join(f"{k} {v:.3f}" for k, v in hit.items()), flush=True)


def _show(found, truth: np.ndarray, groups: np.ndarray, inflation: float) -> np.ndarray:
    """Prints the rows; returns the answers of what was chosen inside [shape=(n, classes)]."""
    chosen, answers = [], []
    hits = [{k: float((p.argmax(axis=1) == y).mean()) for k, p in inside.items()} for y, inside, _ in found]
    inner = {k: float(np.mean([h[k] for h in hits])) for k in hits[0]}
    for of_fold, (_, _, outside) in zip(hits, found, strict=True):
        best = max(of_fold, key=lambda k: of_fold[k])
        chosen.append(best)
        answers.append(outside[best])
    rows = {k: np.concatenate([outside[k] for _, _, outside in found]) for k in found[0][2]}
    rows[f"chosen inside: {', '.join(f'{k} ({n})' for k, n in Counter(chosen).items())}"] = np.concatenate(answers)
    draws = metrics.Draws.of(groups)
    for name, p in rows.items():
        scores = metrics.classification(truth, p, draws)
        said = [intervals.interval(scores[m], m, inflation=inflation) for m in ("accuracy", "uar")]
        told = "  ".join(f"{v['value']:.3f} [{v['low']:.3f}, {v['high']:.3f}]" for v in said)
        print(f"{told}  {inner.get(name, float('nan')):.3f} {name}", flush=True)
    return np.concatenate(answers)


def rivals_of(of: Answers, sets: list[tuple[str, ...]], models: list[str]) -> dict[str, np.ndarray]:
    """Candidates of several sets of modalities, and the mean of what is last, the widest mean, of each."""
    each = {"+".join(s): candidates(of, s, models) for s in sets}
    found = {f"{k} of {s}": p for s, every in each.items() for k, p in every.items()}
    if len(each) > 1:
        found[f"mean of {' and '.join(each)}"] = np.mean([list(every.values())[-1] for every in each.values()], axis=0)
    return found


def picked(
    train: Data, oof: Answers, new: Answers, sets: list[tuple[str, ...]], models: list[str], plan: Plan
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the training part, each third of its speakers by shares of the others, and of the tested one."""
    slots = [dict.fromkeys((m, model) for m in slot for model in models) for slot in zip(*sets, strict=True)]

    def fitted(rows: np.ndarray) -> list[dict[tuple[str, ...], float]]:
        return [shares({k: oof[k][rows] for k in slot}, train.y[rows]) for slot in slots]

    def answers(of: Answers, parts: list[dict[tuple[str, ...], float]]) -> np.ndarray:
        p = np.stack([np.sum([share * of[k] for k, share in part.items()], axis=0) for part in parts])
        return late.product(p, np.ones(p.shape[:2], dtype=bool), np.full(p.shape[2], 1 / p.shape[2]))

    inside = np.zeros_like(next(iter(oof.values())))
    for fold in splits.inner_folds(train.groups, train.y, plan.inner, plan.seed):
        inside[fold.test] = answers({k: p[fold.test] for k, p in oof.items()}, fitted(fold.train))
    return inside, answers(new, fitted(np.arange(len(train.y))))


def shares(of: Answers, y: np.ndarray, steps: int = 30) -> dict[tuple[str, ...], float]:
    """Shares of a mean: what makes it likeliest is added, again and again, and the best mean on the way is kept."""
    each = np.stack(list(of.values()))
    total, taken, likely = np.zeros_like(each[0]), [], []
    for step in range(1, steps + 1):
        right = ((total + each) / step)[:, np.arange(len(y)), y]
        scores = np.log(np.maximum(right, 1e-9)).mean(axis=1)
        taken.append(int(scores.argmax()))
        likely.append(scores.max())
        total = total + each[taken[-1]]
    count = int(np.argmax(likely)) + 1
    return {k: n / count for k, n in zip(of, np.bincount(taken[:count], minlength=len(each)), strict=True) if n}


def candidates(of: Answers, names: tuple[str, ...], models: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Probabilities by candidate, from those of the models on each modality and on all side by side."""
    full = of | {
        (*s, "ensemble"): np.mean([of[*s, m] for m in models if m not in ALONE], axis=0) for s in {k[:-1] for k in of}
    }
    if len(names) == 1:
        return {m: full[*names, m] for m in (*models, "ensemble")}
    found = {}
    for model in (*models, "ensemble"):
        p = np.stack([full[m, model] for m in names])
        there, prior = np.ones(p.shape[:2], dtype=bool), np.full(p.shape[2], 1 / p.shape[2])
        found[f"early {model}"] = full[*names, model]
        found[f"late-mean {model}"] = late.mean(p, there, prior)
        found[f"late-product {model}"] = late.product(p, there, prior)
    found["early and late-product ensemble"] = (found["early ensemble"] + found["late-product ensemble"]) / 2
    return found


def _base(train: Data, test, names, models, target: Target, plan: Plan) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    settings = benchmark.settings_of(plan, target)
    inner = splits.inner_folds(train.groups, train.y, plan.inner, plan.seed)
    views = {m: train.view(m) for m in names}
    none = dict.fromkeys(names, False)
    tested = Table({m: View(v.block, test[m]) for m, v in views.items()}, none)
    for model in models:
        if model == "mlp-head":
            yield model, *_head(train, test, names, inner, settings, plan)
            continue
        fitted = member.fit(model, Table(views, none), train.y, inner, settings)
        calibrator = calibration.fitted(fitted.oof, train.y, plan.calibrate, settings.balanced)
        said = calibration.probabilities(fitted.estimator.scores(tested, settings), calibrator)
        yield model, calibration.probabilities(fitted.oof, calibrator), said


def _head(train: Data, test, names, inner: list[Fold], settings, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    oof = np.zeros((len(train.y), settings.classes))
    for fold in inner:
        part = training.fit_head(training.subset(train, fold.train), names, "projected", settings, plan.inner)
        oof[fold.test] = part.predict({m: train.blocks[m][fold.test] for m in names})
    return oof, training.fit_head(train, names, "projected", settings, plan.inner).predict(test)


if __name__ == "__main__":
    main()
