"""Intervals and comparisons over speakers: what they hold at the number of speakers there is."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scripts import benchmark_script

from affectlake.models import intervals, metrics
from affectlake.models.benchmark import Plan, run


@pytest.mark.parametrize("speakers", [5, 8, 24])
def test_intervals_hold_and_tables_of_equal_rows_see_nothing(speakers):
    found = benchmark_script("statistics").simulate(speakers, 60, bootstrap=False)
    # 60 simulations: .95 may come out as .87, .05 as .13
    assert found.covered >= 0.87 and found.pair <= 0.13 and found.table <= 0.1 and found.above <= 0.13
    assert found.told == pytest.approx(found.optimism, abs=0.03)


@pytest.mark.parametrize("signal", [0.0, 1.0])
def test_intervals_hold_where_training_sets_overlap(signal):
    """150 simulations with training: without the correction .88 are held, and .10 of equal pairs called different."""
    found = benchmark_script("statistics").trained(8, 4, signal, 150)
    assert found.covered[0] >= 0.94 and found.above[0] <= 0.04 and found.pair[0] <= 0.06
    assert found.covered[1] < found.covered[0] and found.pair[1] > found.pair[0]


def test_what_training_sets_share_widens():
    assert intervals.overlap([96], [24]) == 1 and intervals.overlap([90] * 10, [10] * 10) == pytest.approx(1 + 10 / 9)
    values = np.linspace(0.49, 0.51, 25)
    assert intervals.spread(values, "uar", inflation=4).error == pytest.approx(
        2 * intervals.spread(values, "uar").error
    )


def test_of_few_speakers_nothing_is_said():
    found = benchmark_script("statistics").simulate(4, 3, bootstrap=False)
    assert np.isnan(found.covered) and found.pair == found.table == found.above == 0
    said = intervals.interval(np.array([0.5, 0.5, 0.5]), "uar")
    assert said["low"] is None and said["high"] is None and "2 tested speakers" in said["reason"]


def test_a_mean_over_speakers_of_equal_size_has_students_interval():
    rng = np.random.default_rng(0)
    each = rng.normal(size=9)
    values = np.array([each.mean(), *((each.sum() - each) / 8)])
    found = intervals.interval(values)
    low, high = stats.t.interval(0.95, 8, each.mean(), stats.sem(each))
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    zero = np.zeros(10)
    assert intervals.paired_p(values, zero) == pytest.approx(stats.ttest_1samp(each, 0).pvalue)


def test_shares_stay_within_their_bounds_and_hold_their_value():
    for right in (0.0, 0.02, 0.5, 0.98, 1.0):
        each = np.clip(right + np.linspace(-0.02, 0.02, 7), 0, 1)
        values = np.array([each.mean(), *((each.sum() - each) / 6)])
        found = intervals.interval(values, "uar")
        assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1 and found["low"] < found["high"]
    everything = intervals.interval(np.ones(25), "accuracy")
    assert everything["low"] == pytest.approx(0.025 ** (1 / 24)) and everything["high"] == 1
    constant = intervals.interval(np.full(25, 0.25), "uar")  # the dummy: no doubt about that
    assert constant["low"] == pytest.approx(0.25) == constant["high"]


def test_a_class_of_one_speaker_has_no_interval_and_says_so():
    truth = np.array([0, 0, 1, 1] * 8)
    truth[:2] = 2
    p = np.eye(3)[truth] * 0.8 + 0.1
    draws = metrics.Draws.of(np.repeat(np.arange(8), 4))
    found = metrics.classification(truth, p, draws)
    assert found["uar"][0] == 1 and np.isnan(found["uar"][1:]).any() and not np.isnan(found["accuracy"]).any()
    assert "one speaker alone" in intervals.interval(found["uar"], "uar")["reason"]
    assert metrics.speakers_of_classes(truth, draws.group, 3).tolist() == [7, 8, 1]


def test_few_speakers_of_one_class_leave_few_degrees_of_freedom():
    assert intervals.freedom(np.array([12, 12, 12])) >= 11
    assert 1 < intervals.freedom(np.array([24] * 7 + [2])) < 4
    wide = intervals.interval(np.linspace(0.49, 0.51, 25), "uar", intervals.freedom(np.array([24] * 7 + [2])))
    usual = intervals.interval(np.linspace(0.49, 0.51, 25), "uar")
    assert wide["high"] - wide["low"] > 1.4 * (usual["high"] - usual["low"])


def test_the_value_of_a_calibration_error_lies_in_its_interval():
    rng = np.random.default_rng(0)
    for seed in range(10):
        p = rng.dirichlet(np.full(8, 0.7), 24 * 30)
        truth = (p.cumsum(axis=1) > rng.random(len(p))[:, None]).argmax(axis=1)
        draws = metrics.Draws.of(np.repeat(np.arange(24), 30))
        found = intervals.interval(metrics.classification(truth, p, draws)["ece"], "ece")
        assert 0 <= found["low"] <= found["value"] <= found["high"], seed


def test_many_samples_without_speakers_take_as_much_memory_as_few():
    group, n = metrics.blocks(np.arange(50_000))
    assert n == metrics.BLOCKS and np.bincount(group).min() == 250 == np.bincount(group).max()
    draws = metrics.Draws.of(np.arange(50_000))
    assert draws.weights.nbytes + draws.counts(np.zeros(50_000, dtype=int), 900).nbytes < 2**21
    # and the interval of a share is what independent trials give
    rng = np.random.default_rng(0)
    truth = np.zeros(50_000, dtype=int)
    right = (rng.random(50_000) < 0.3).astype(float)
    found = intervals.interval(
        metrics.classification(truth, np.column_stack([right, 0.9 * (1 - right)]), draws)["accuracy"], "accuracy"
    )
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * np.sqrt(0.3 * 0.7 / 50_000), rel=0.15)


def test_a_better_row_is_told_from_the_others():
    rng = np.random.default_rng(0)
    each = 0.5 + 0.02 * rng.normal(size=(24, 6)) + 0.05 * rng.normal(size=(24, 1))
    each[:, 0] += 0.1
    scores = np.vstack([each.mean(axis=0), (each.sum(axis=0) - each) / 23]).T
    scores = scores[np.argsort(-scores[:, 0])]
    found = intervals.compare(scores, "uar")
    assert found.p[0] == 1 and max(found.p[1:]) < 0.01 and found.critical > stats.t.isf(0.025, 23)
    assert found.p[1:] == sorted(found.p[1:], reverse=True)


def two_speakers(n: int, speakers: int):
    rng = np.random.default_rng(1)
    ids = [f"i{i}" for i in range(n)]
    y = np.arange(n) % 2
    samples = pd.DataFrame(
        {"emotion": np.array(["a", "b"])[y], "speaker": [f"s{i // 2 % speakers}" for i in range(n)]}, index=ids
    )
    x = rng.normal(size=(n, 4)) + y[:, None]
    return samples, {
        "audio": pd.DataFrame(x.astype(np.float32), index=ids, columns=[f"audio.x.c{i}" for i in range(4)])
    }


def test_a_table_over_two_speakers_gives_scores_and_the_reason_why_nothing_else():
    plan = Plan("emotion", models=("logreg", "lda"), fusions=("unimodal", "dummy"), folds=2)
    found = run(*two_speakers(40, 2), plan).to_json()
    assert found["interval"] == "jackknife-t" and "2 tested speakers" in found["reason"] and found["units"] == 2
    for r in found["rows"]:
        assert r["uar"]["value"] >= 0 and r["uar"]["low"] is None and r["uar"]["reason"] and r["p_value"] is None
    assert found["best_of"]["bias"] is None


def test_the_best_of_many_rows_is_said_to_be_that():
    plan = Plan("emotion", models=("logreg", "lda", "knn"), fusions=("unimodal", "dummy"), folds=4, explain=False)
    found = run(*two_speakers(120, 12), plan).to_json()
    best, second = found["rows"][0]["uar"], found["rows"][1]["uar"]
    assert found["best_of"]["of"] == 3 and found["best_of"]["corrected"] <= best["value"]
    assert found["reason"] is None and best["high"] - best["low"] > second["high"] - second["low"]
