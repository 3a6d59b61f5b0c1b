"""How often intervals hold the truth, and how often comparisons see what is not there, simulated.

    OMP_NUM_THREADS=1 python benchmarks/statistics.py [--simulations 600] [--speakers 3 5 8 12 24 60]
    OMP_NUM_THREADS=1 python benchmarks/statistics.py --trained [--simulations 400]
    OMP_NUM_THREADS=1 python benchmarks/statistics.py --tables [--simulations 200] [--speakers 8]
    OMP_NUM_THREADS=1 python benchmarks/statistics.py --calibration [--simulations 200]

Answers of made-up models are drawn so that their true UAR is known: 4 classes, 24 clips of each speaker, a model's
competence differing from speaker to speaker (Beta, mean .6, standard deviation .1), rows of a table sharing half of
that difficulty or none. Beside what affectlake does stands what it did before: the percentile bootstrap over speakers,
its p, and Holm's correction of comparisons with the best row.

``--trained`` trains: a linear model on grouped folds, its truth that of the folds' models on 100 new speakers. What
speakers have in common through each other's training sets is in these scores, and in none of those above. ``--tables``
runs the whole benchmark on labels that mean nothing. ``--calibration`` asks calibration error and conformal sets what
they hold about speakers who differ. docs/measured/statistics.md shows the results.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import softmax

from affectlake.models import conformal, intervals, metrics
from affectlake.models.benchmark import Plan, run

CLASSES, CLIPS, ROWS, BOOTSTRAPS = 4, 24, 10, 1000
MEAN, DEVIATION = 0.6, 0.1


@dataclass(frozen=True)
class Found:
    """Shares of the simulations, at a number of speakers.

    Attributes
    ----------
    covered : float
        The interval of a row named beforehand holds its true UAR; NaN where no interval is given.
    width : float
        Of that interval.
    pair : float
        p < .05 between two equal rows named beforehand.
    table : float
        Some p < .05 in a table of equal rows.
    above : float
        The best row's interval is wholly above its true UAR.
    optimism, told : float
        By how much the best row's UAR is too high on average, and by how much affectlake says that it is.
    before : tuple of float
        ``covered``, ``pair``, ``table`` and ``above`` by the percentile bootstrap.
    """

    covered: float
    width: float
    pair: float
    table: float
    above: float
    optimism: float
    told: float
    before: tuple[float, float, float, float]


def simulate(speakers: int, simulations: int, seed: int = 0, bootstrap: bool = True) -> Found:
    """Draw tables of equal rows and ask them what they say."""
    rng = np.random.default_rng([seed, speakers])
    who = np.repeat(np.arange(speakers), CLIPS)
    truth = np.tile(np.arange(CLIPS) % CLASSES, speakers)
    draws = metrics.Draws.of(who)
    bags = [metrics.Draws(who, w) for w in intervals.bagged(speakers, 200, seed)]
    rows = []
    for i in range(simulations):
        answers = [_answers(rng, truth, who, speakers) for _ in range(ROWS)]
        scores = np.stack([_uar(truth, a, draws) for a in answers])
        first = intervals.interval(scores[0], "uar")
        order = np.argsort(-scores[:, 0], kind="stable")
        told = intervals.compare(scores[order], "uar", 1000, i)
        best = intervals.interval(scores[order[0]], "uar", critical=told.critical)
        bias = intervals.optimism(*(np.stack([_uar(truth, a, b) for a in answers]) for b in bags), best["value"])
        rows.append(
            (
                np.nan if first["low"] is None else first["low"] <= MEAN <= first["high"],
                np.nan if first["low"] is None else first["high"] - first["low"],
                np.mean(
                    [(intervals.paired_p(a, b) or 1.0) < 0.05 for a, b in zip(scores[::2], scores[1::2], strict=True)]
                ),
                any(p is not None and p < 0.05 for p in told.p),
                best["low"] is not None and best["low"] > MEAN,
                best["value"] - MEAN,
                np.nan if bias is None else bias,
                *(_before(truth, who, answers, order, i) if bootstrap else [np.nan] * 4),
            )
        )
    mean = [float(np.mean(column)) for column in zip(*rows, strict=True)]
    return Found(*mean[:7], tuple(mean[7:]))


@dataclass(frozen=True)
class Trained:
    """Shares of simulations in which something was trained: as it is, and as if training sets did not overlap.

    Attributes
    ----------
    uar : float
    covered : tuple of float
        The interval holds the UAR of the folds' models on new speakers.
    above : tuple of float
        It lies wholly above that.
    pair : tuple of float
        p < .05 between two models of equally telling features.
    """

    uar: float
    covered: tuple[float, float]
    above: tuple[float, float]
    pair: tuple[float, float]


def trained(speakers: int, folds: int, signal: float, simulations: int, seed: int = 0) -> Trained:
    """Train a linear model on grouped folds, again and again; ``signal`` 0: labels mean nothing."""
    rng = np.random.default_rng([seed, speakers, folds])
    who = np.repeat(np.arange(speakers), 12)
    draws = metrics.Draws.of(who)
    found = []
    for _ in range(simulations):
        truth = np.concatenate([rng.permutation(np.arange(12) % 3) for _ in range(speakers)])
        fold = (rng.permutation(speakers) % folds)[who]
        (scores, right), (other, _) = (_cross_validated(rng, truth, who, fold, signal, draws) for _ in range(2))
        train = [int((fold != f).sum()) for f in range(folds)]
        row = [scores[0]]
        for inflation in (intervals.overlap(train, [len(who) - n for n in train]), 1.0):
            said = intervals.interval(scores, "uar", inflation=inflation)
            p = intervals.paired_p(scores, other, inflation)
            row += [said["low"] <= right <= said["high"], said["low"] > right, (1.0 if p is None else p) < 0.05]
        found.append(row)
    mean = [float(v) for v in np.mean(found, axis=0)]
    return Trained(mean[0], *((mean[i], mean[i + 3]) for i in (1, 2, 3)))


def _cross_validated(rng, truth, who, fold, signal: float, draws: metrics.Draws) -> tuple[np.ndarray, float]:
    """UAR in each draw, and that of the folds' models on new speakers."""
    x, new = _features(rng, truth, who, signal), np.tile(np.arange(12) % 3, 100)
    theirs = _features(rng, new, np.repeat(np.arange(100), 12), signal)
    said, right = np.zeros((len(truth), 3)), []
    for f in range(fold.max() + 1):
        train = fold != f
        mean, scale = x[train].mean(axis=0), x[train].std(axis=0)
        z = (x[train] - mean) / scale
        weights = np.linalg.solve(z.T @ z + len(z) / 20 * np.eye(z.shape[1]), z.T @ (np.eye(3)[truth[train]] - 1 / 3))
        said[~train] = ((x[~train] - mean) / scale) @ weights
        hit = (((theirs - mean) / scale) @ weights).argmax(axis=1) == new
        right.append(np.mean([hit[new == c].mean() for c in range(3)]))
    return metrics.classification(truth, np.eye(3)[said.argmax(axis=1)] * 0.7 + 0.1, draws)["uar"], float(
        np.mean(right)
    )


def _features(rng, truth, who, signal: float) -> np.ndarray:
    x = rng.normal(size=(len(truth), 6)) + rng.normal(size=(who.max() + 1, 6))[who]
    x[np.arange(len(truth)), truth] += signal
    return x


@dataclass(frozen=True)
class Tables:
    """Of benchmarks whose labels mean nothing: UAR of the best row and of the selected (1/3 is right), and shares of
    tables in which the interval of one row named beforehand, of the best and of the selected lies wholly above 1/3, and
    in which the selected is called better than the dummy (p < .05).
    """

    best: float
    selected: float
    above: tuple[float, float, float]
    better: float


def tables(simulations: int, speakers: int = 8, seed: int = 0) -> Tables:
    """Run the benchmark on made-up modalities with labels dealt at random."""
    found = []
    for i in range(simulations):
        rng = np.random.default_rng([seed, i])
        who = np.repeat(np.arange(speakers), 12)
        truth = np.concatenate([rng.permutation(np.arange(12) % 3) for _ in range(speakers)])
        ids = pd.Index([f"i{j}" for j in range(len(who))], name="sample_id")
        samples = pd.DataFrame({"emotion": np.array(list("abc"))[truth], "speaker": [f"s{w}" for w in who]}, index=ids)
        blocks = {
            m: pd.DataFrame(
                _features(rng, truth, who, 0.0).astype(np.float32), index=ids, columns=[f"{m}.x.c{j}" for j in range(6)]
            )
            for m in ("audio", "face", "text")
        }
        plan = Plan("emotion", models=("lda",), fusions=("unimodal", "early", "late-mean", "dummy"), folds=4, draws=500)
        done = run(samples, blocks, plan).to_json()
        first = next(r["uar"] for r in done["rows"] if r["fusion"] == "unimodal" and r["modalities"] == ["audio"])
        best, selected = done["rows"][0]["uar"], done["selected"]["uar"]
        # Of few speakers there is neither interval nor p, which then promise nothing.
        above = [v["low"] is not None and v["low"] > 1 / 3 for v in (first, best, selected)]
        p = done["selected"]["p_dummy"]
        better = p is not None and p < 0.05 and selected["value"] > 1 / 3
        found.append([best["value"], selected["value"], *above, better])
    mean = [float(v) for v in np.mean(found, axis=0)]
    return Tables(mean[0], mean[1], (mean[2], mean[3], mean[4]), mean[5])


@dataclass(frozen=True)
class Calibrated:
    """Of answers whose calibration error is known: that error, its estimates on average, and how often intervals and
    sets hold.

    Attributes
    ----------
    true, now, plain : float
        Of 3,000 speakers; what affectlake says; what it would say without taking off what chance adds.
    covered : float
        The interval of the error holds the true one.
    sets, pooled : float
        Sets of 90 % hold the truth of a new speaker's samples, on average: as affectlake's, and by a quantile that
        takes samples as independent.
    size, pooled_size : float
        Classes in a set.
    """

    true: float
    now: float
    plain: float
    covered: float
    sets: float
    pooled: float
    size: float
    pooled_size: float


def calibrated(speakers: int, clips: int, sharp: float, differ: float, simulations: int, seed: int = 0) -> Calibrated:
    """Draw answers whose logits are ``sharp`` times too large, for speakers whose clarity differs by ``differ``."""
    rng = np.random.default_rng([seed, speakers, clips])
    truth, p, _ = _spoken(rng, 3000, clips, sharp, differ)
    true = _plain_error(truth, p)
    found = []
    for _ in range(simulations):
        truth, p, who = _spoken(rng, speakers, clips, sharp, differ)
        said = intervals.interval(metrics.classification(truth, p, metrics.Draws.of(who))["ece"], "ece")
        other, q, _ = _spoken(rng, 20, clips, sharp, differ)
        row = [said["value"], _plain_error(truth, p), said["low"] <= true <= said["high"]]
        for bound in (conformal.least(truth, p, groups, 0.9) for groups in (who, np.arange(len(who)))):
            inside = conformal.sets(q, np.full(len(q), bound))
            row += [inside[np.arange(len(q)), other].mean(), inside.sum(axis=1).mean()]
        found.append(row)
    now, plain, covered, sets, size, pooled, pooled_size = (float(v) for v in np.mean(found, axis=0))
    return Calibrated(true, now, plain, covered, sets, pooled, size, pooled_size)


def _spoken(rng, speakers: int, clips: int, sharp: float, differ: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, probabilities that are said, and speakers; eight classes."""
    who = np.repeat(np.arange(speakers), clips)
    logits = 2 * rng.normal(size=(len(who), 8))
    clear = np.exp(differ * rng.normal(size=speakers))[who][:, None]
    truth = (softmax(logits * clear, axis=1).cumsum(axis=1) > rng.random(len(who))[:, None]).argmax(axis=1)
    return truth, softmax(sharp * logits, axis=1), who


def _plain_error(truth: np.ndarray, p: np.ndarray) -> float:
    sure = p.max(axis=1)
    gap = np.bincount(metrics.binned(sure), sure - (p.argmax(axis=1) == truth))
    return float(np.abs(gap).sum() / len(truth))


def _answers(rng: np.random.Generator, truth: np.ndarray, who: np.ndarray, speakers: int) -> np.ndarray:
    """Probabilities [shape=(n, classes)] of a model that is right as often as its competence for a speaker says."""
    spread = MEAN * (1 - MEAN) / DEVIATION**2 - 1
    competence = rng.beta(MEAN * spread, (1 - MEAN) * spread, speakers)[who]
    other = (truth + rng.integers(1, CLASSES, len(truth))) % CLASSES
    said = np.where(rng.random(len(truth)) < competence, truth, other)
    p = np.full((len(truth), CLASSES), 0.1)
    p[np.arange(len(truth)), said] = 0.7
    return p


def _uar(truth: np.ndarray, p: np.ndarray, draws: metrics.Draws) -> np.ndarray:
    cells = draws.counts(truth * CLASSES + p.argmax(axis=1), CLASSES**2).reshape(-1, CLASSES, CLASSES)
    n = cells.sum(axis=2)
    return np.divide(np.diagonal(cells, axis1=1, axis2=2), n, out=np.full(n.shape, np.nan), where=n > 0).mean(axis=1)


def _before(truth, who, answers, order, seed: int) -> tuple[bool, bool, bool, bool]:
    """The same by the percentile bootstrap over speakers."""
    n = who.max() + 1
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=BOOTSTRAPS)
    draws = metrics.Draws(who, np.vstack([np.ones((1, n)), drawn]))
    scores = np.stack([_uar(truth, a, draws) for a in answers])
    low, high = np.quantile(scores[:, 1:], [0.025, 0.975], axis=1)

    def p(one: np.ndarray, other: np.ndarray) -> float:
        difference = one[1:] - other[1:]
        tail = min((difference <= 0).mean(), (difference >= 0).mean())
        return min(1.0, 2 * max(tail, 1 / (len(difference) + 1)))

    best = order[0]
    corrected = intervals.holm([p(scores[best], scores[k]) for k in order[1:]])
    return low[0] <= MEAN <= high[0], p(scores[0], scores[1]) < 0.05, min(corrected) < 0.05, low[best] > MEAN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=600)
    parser.add_argument("--speakers", type=int, nargs="+", default=None)
    parser.add_argument("--trained", action="store_true")
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--calibration", action="store_true")
    given = parser.parse_args()
    if given.calibration:
        return _show_calibrated(given.simulations)
    if given.trained:
        return _show_trained(given.simulations)
    if given.tables:
        for n in given.speakers or [8]:
            t = tables(given.simulations, n)
            print(
                f"{given.simulations} tables of {n} speakers, labels mean nothing: best row {t.best:.3f}, selected "
                f"{t.selected:.3f} (1/3 is right); wholly above it: the interval of a row named beforehand "
                f"{t.above[0]:.3f}, of the best {t.above[1]:.3f}, of the selected {t.above[2]:.3f}; the selected beats "
                f"the dummy, p < .05: {t.better:.3f}",
                flush=True,
            )
        return None
    print(f"{given.simulations} simulations each; now (before)")
    print(
        "| speakers | interval holds | width | p < .05, one pair | any p < .05, ten rows | best row above | optimism |"
    )
    print("|---|---|---|---|---|---|---|")
    for n in given.speakers or [2, 4, 5, 8, 12, 24, 60]:
        f = simulate(n, given.simulations)
        covered = "none given" if np.isnan(f.covered) else f"{f.covered:.3f}"
        width = "" if np.isnan(f.width) else f"{f.width:.3f}"
        cells = [
            f"{covered} ({f.before[0]:.3f})",
            width,
            *(f"{v:.3f} ({b:.3f})" for v, b in zip((f.pair, f.table, f.above), f.before[1:], strict=True)),
            f"{f.optimism:+.3f}, told {f.told:+.3f}",
        ]
        print(f"| {n} | {' | '.join(cells)} |", flush=True)


def _show_trained(simulations: int) -> None:
    print(f"{simulations} simulations each; now (as if training sets did not overlap)")
    print("| speakers, folds | UAR | interval holds | wholly above | p < .05, one pair |\n|---|---|---|---|---|")
    for speakers, folds in ((8, 4), (8, 8), (24, 5), (60, 5)):
        for signal in (0.0, 0.3, 1.5):
            f = trained(speakers, folds, signal, simulations)
            cells = [f"{now:.3f} ({before:.3f})" for now, before in (f.covered, f.above, f.pair)]
            print(f"| {speakers}, {folds} | {f.uar:.2f} | {' | '.join(cells)} |", flush=True)


def _show_calibrated(simulations: int) -> None:
    print(f"{simulations} simulations each; in brackets the plain error, and sets by samples taken as independent")
    print(
        "| speakers, clips | too sure | speakers differ | true ECE | ECE | interval holds | 90 % sets hold | classes |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for speakers, clips in ((12, 24), (24, 60), (91, 20)):
        for sharp in (1.0, 1.5):
            for differ in (0.0, 0.4):
                c = calibrated(speakers, clips, sharp, differ, simulations)
                print(
                    f"| {speakers}, {clips} | x {sharp} | {differ} | {c.true:.3f} | {c.now:.3f} ({c.plain:.3f}) | "
                    f"{c.covered:.3f} | {c.sets:.3f} ({c.pooled:.3f}) | {c.size:.2f} ({c.pooled_size:.2f}) |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
