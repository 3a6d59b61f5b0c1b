"""How sure and how right: abstention, sets that hold the truth, reliability, the calibration error."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve

from affectlake.models import abstention, conformal, intervals, metrics, reliability
from affectlake.models.scores import Candidate, Entry, Scorer
from affectlake.models.splits import Fold
from affectlake.models.tasks import target_of

K = 3


def calibrated(rng: np.random.Generator, n: int, sharp: float = 1.0, classes: int = K):
    """Truth drawn from probabilities, and what is said of it: too sure where ``sharp`` is above one."""
    logits = 2 * rng.normal(size=(n, classes))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = (true.cumsum(axis=1) > rng.random(n)[:, None]).argmax(axis=1)
    said = np.exp(sharp * logits)
    return y, said / said.sum(axis=1, keepdims=True)


def scored(sharp: float = 1.0, speakers: int = 24, each: int = 60, seed: int = 0):
    """A row whose inner answers are those that it gives."""
    y, p = calibrated(np.random.default_rng(seed), speakers * each, sharp)
    who = np.repeat(np.arange(speakers), each)
    samples = pd.DataFrame({"label": np.array(list("abc"))[y], "sex": np.array(["f", "m"])[who % 2]})
    every = np.arange(len(y))
    folds = [Fold(every[who % 4 != f], every[who % 4 == f]) for f in range(4)]
    scorer = Scorer(samples, target_of(samples["label"]), who, folds, 1, "accuracy", 50, 0)
    candidate = Candidate("row", (), None, [p[f.test] for f in folds], 0.0, [p[f.train] for f in folds])
    answers = p[scorer.at]
    decided = scorer.decide(answers, None)
    draws = scorer.scores(answers, decided, scorer.draws)["accuracy"]
    return scorer, Entry(candidate, {}, answers, decided, None, draws)


def test_the_surest_answers_are_right_most_often():
    scorer, entry = scored()
    found = abstention.points(scorer, entry)
    assert [p.aimed for p in found] == list(abstention.AIMED) and found[0].coverage == 1
    assert found[0].accuracy["value"] == pytest.approx(entry.draws[0])
    right = [p.accuracy["value"] for p in found]
    assert right == sorted(right) and right[5] > right[0] + 0.1
    assert all(p.coverage == pytest.approx(p.aimed, abs=0.05) for p in found)
    assert all(p.accuracy["low"] < p.accuracy["value"] < p.accuracy["high"] for p in found[:6])
    sure = entry.answers.max(axis=1)
    surest = sure >= np.quantile(sure, 0.5)
    assert right[5] == pytest.approx((entry.decided == scorer.truth)[surest].mean(), abs=0.02)


def test_thresholds_know_nothing_of_what_is_tested():
    scorer, entry = scored()
    tested = entry.answers.copy()
    tested[scorer.at % 4 == 0] = [0.98, 0.01, 0.01]
    more = Entry(entry.candidate, {}, tested, scorer.decide(tested, None), None, entry.draws)
    assert abstention.points(scorer, more)[5].coverage > abstention.points(scorer, entry)[5].coverage + 0.05


def test_sets_hold_the_truth_as_often_as_they_say_in_all_and_in_groups():
    found = conformal.levels(*scored(speakers=40), ("sex",))
    assert [v.level for v in found] == list(conformal.LEVELS)
    for level in found:
        # One more speaker, of whom nothing is known, may add a thirty-first to what was asked for.
        assert level.level - 0.02 < level.coverage["value"] < level.level + 1 / 31 + 0.02 and level.reason is None
        assert {(g.attribute, g.group) for g in level.groups} == {
            *(("class", c) for c in "abc"),
            ("sex", "f"),
            ("sex", "m"),
        }
        assert sum(g.n for g in level.groups if g.attribute == "sex") == 40 * 60
    assert found[0].size < found[1].size < found[2].size and found[0].single > found[1].single


def test_an_overconfident_model_gives_sets_that_hold_nevertheless():
    level = conformal.levels(*scored(sharp=4.0, speakers=40))[1]
    assert 0.88 < level.coverage["value"] < 0.96


def test_few_speakers_allow_no_set_but_that_of_all_classes():
    level = conformal.levels(*scored(speakers=8))[1]
    assert level.size == K and level.coverage["value"] == 1 and "6 speakers in a training part" in level.reason


def test_new_speakers_are_allowed_for():
    """Speakers differ: pooled samples would promise more than they hold for a new one."""
    rng = np.random.default_rng(0)
    ours, pooled = [], []
    for _ in range(1000):
        skill = rng.beta(1.2, 1.2, 13)
        y = np.zeros((13, 20), dtype=int)
        own = np.clip(skill[:, None] + 0.05 * rng.normal(size=(13, 20)), 0.01, 0.99)
        p = np.stack([own, 1 - own], axis=2)
        who = np.repeat(np.arange(12), 20)
        bound = conformal.least(y[:12].ravel(), p[:12].reshape(-1, 2), who, 0.9)
        ours.append((own[12] >= bound).mean())
        pooled.append((own[12] >= np.quantile(own[:12], 0.1)).mean())
    assert np.mean(ours) > 0.9 > np.mean(pooled) + 0.005


def test_a_speaker_counts_once_however_much_is_said():
    y = np.zeros(1000, dtype=int)
    own = np.concatenate([np.full(981, 0.9), np.linspace(0.1, 0.2, 19)])
    p = np.column_stack([own, 1 - own])
    who = np.concatenate([np.zeros(981, dtype=int), np.arange(1, 20)])
    assert conformal.least(y, p, who, 0.9) < 0.12
    assert conformal.least(y, p, np.arange(1000), 0.9) == 0.9


def test_what_is_no_single_class_has_neither():
    scorer, entry = scored()
    numbers = pd.DataFrame({"label": np.random.default_rng(0).normal(size=24 * 60)})
    other = Scorer(numbers, target_of(numbers["label"]), scorer.everyone, scorer.folds, 1, "ccc", 50, 0)
    for found in (abstention.points, conformal.levels, reliability.bins):
        assert found(other, entry) == []


def test_bins_agree_with_scikit_learn():
    scorer, entry = scored(sharp=1.5)
    found = reliability.bins(scorer, entry)
    sure, hit = entry.answers.max(axis=1), entry.answers.argmax(axis=1) == scorer.truth
    accuracy, confidence = calibration_curve(hit, sure, n_bins=10)
    assert [b.accuracy["value"] for b in found] == pytest.approx(accuracy)
    assert [b.confidence for b in found] == pytest.approx(confidence) and sum(b.n for b in found) == len(hit)
    # Too sure: the surest bin is right less often than it says, and by more than chance.
    assert found[-1].accuracy["high"] < found[-1].confidence


@pytest.mark.parametrize(("sharp", "true"), [(1.0, 0.0), (2.0, 0.191)])
def test_the_calibration_error_is_not_what_chance_adds_to_it(sharp, true):
    rng = np.random.default_rng(3)
    who = np.repeat(np.arange(24), 60)
    ours, plain, holds = [], [], []
    for _ in range(60):
        y, p = calibrated(rng, len(who), sharp, 8)
        found = intervals.interval(metrics.classification(y, p, metrics.Draws.of(who))["ece"], "ece")
        sure, hit = p.max(axis=1), p.argmax(axis=1) == y
        plain.append(np.abs(np.bincount(metrics.binned(sure), sure - hit)).sum() / len(y))
        ours.append(found["value"])
        holds.append(found["low"] <= true + 0.003 and true - 0.003 <= found["high"])
        assert found["low"] <= found["value"] <= found["high"]
    assert abs(np.mean(ours) - true) < abs(np.mean(plain) - true) + 0.003
    assert np.mean(ours) < (0.6 * np.mean(plain) if true == 0 else 1.03 * np.mean(plain))
    assert np.mean(holds) >= 0.85
