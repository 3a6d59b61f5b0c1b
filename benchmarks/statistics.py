"""How often intervals hold the truth, and how often comparisons see what is not there, simulated: nothing is trained.

    OMP_NUM_THREADS=1 python benchmarks/statistics.py [--simulations 600] [--speakers 3 5 8 12 24 60]

Answers of made-up models are drawn so that their true UAR is known: 4 classes, 24 clips of each speaker, a model's
competence differing from speaker to speaker (Beta, mean .6, standard deviation .1), rows of a table sharing half of
that difficulty or none. Beside what affectlake does stands what it did before: the percentile bootstrap over speakers,
its p, and Holm's correction of comparisons with the best row. docs/measured/statistics.md shows the results.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from affectlake.models import intervals, metrics

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
    parser.add_argument("--speakers", type=int, nargs="+", default=[2, 4, 5, 8, 12, 24, 60])
    given = parser.parse_args()
    print(f"{given.simulations} simulations each; now (before)")
    print(
        "| speakers | interval holds | width | p < .05, one pair | any p < .05, ten rows | best row above | optimism |"
    )
    print("|---|---|---|---|---|---|---|")
    for n in given.speakers:
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


if __name__ == "__main__":
    main()
