"""Rows over several datasets, and what changed on the same samples."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from affectlake.data.errors import UsageError
from affectlake.models import across, change
from affectlake.models.tasks import target_of

# Demšar (2006), table 6: AUC of C4.5 without and with pruning (m) and one cut-off parameter (cf), on 14 datasets.
DEMSAR = np.array(
    [
        [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957],
        [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978],
        [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946],
        [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970],
    ]
)


def test_ranks_agree_with_the_published_example():
    found = across.ranking(["C4.5", "+m", "+cf", "+m+cf"], DEMSAR)
    ranks = {r.name: r.rank for r in found.rows}
    assert [ranks[n] for n in ("C4.5", "+m", "+cf", "+m+cf")] == pytest.approx([3.143, 2.0, 2.893, 1.964], abs=0.001)
    assert found.critical == pytest.approx(1.25, abs=0.01) and found.friedman < 0.05
    # 3.143 - 1.964 = 1.18 is less than the critical difference: Nemenyi's test does not tell them apart.
    assert all(r.as_good for r in found.rows) and found.rows[0].name == "+m+cf" and found.rows[0].p is None
    raw = [wilcoxon(DEMSAR[3] - DEMSAR[i]).pvalue for i in (0, 1, 2)]
    by_name = {r.name: r.p for r in found.rows}
    assert by_name["C4.5"] == pytest.approx(3 * min(raw)) and by_name["+m"] >= raw[1]


def test_a_row_that_is_always_last_is_told_apart_and_few_datasets_have_no_signed_ranks():
    scores = np.array([[0.9] * 12, [0.8] * 12, [0.3] * 12]) + 0.01 * np.random.default_rng(0).random((3, 12))
    found = across.ranking(["a", "b", "c"], scores)
    assert [r.as_good for r in found.rows] == [True, False, False] and found.rows[2].p < 0.01
    few = across.ranking(["a", "b", "c"], scores[:, :3])
    assert all(r.p is None for r in few.rows) and few.rows[1].as_good
    less = across.ranking(["a", "b", "c"], scores, [True] * 12)
    assert [r.name for r in less.rows] == ["c", "b", "a"] and less.rows[0].scores == scores[2].tolist()


def test_equal_rows_differ_by_chance_only():
    rng = np.random.default_rng(1)
    told = [any(not r.as_good for r in across.ranking(list("abcd"), rng.normal(size=(4, 10))).rows) for _ in range(200)]
    assert np.mean(told) < 0.08


def test_one_of_each_is_nothing_to_rank():
    with pytest.raises(UsageError, match="two of each"):
        across.ranking(["a"], np.ones((1, 3)))
    with pytest.raises(UsageError, match="two of each"):
        across.ranking(["a", "b"], np.ones((2, 1)))


# Changes


def answered(rng: np.random.Generator, y: np.ndarray, right: np.ndarray) -> change.RecordedAnswers:
    decided = np.where(rng.random(len(y)) < right, y, (y + 1) % 3)
    return change.RecordedAnswers(np.eye(3)[decided] * 0.7 + 0.1, decided)


def made(gain: float, seed: int, speakers: int = 16, each: int = 30):
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(speakers), each)
    target = target_of(pd.Series(np.array(list("abc"))[rng.integers(0, 3, len(who))]))
    skill = rng.normal(0.55, 0.08, speakers)[who]
    first, second = answered(rng, target.y, skill), answered(rng, target.y, skill + gain)
    return change.changes(target, target.y, who, {"x": first}, {"x": second, "y": second}, "uar")


def test_a_gain_is_found_and_no_gain_is_not():
    (found,) = made(0.2, 0)
    assert found.row == "x" and found.p < 0.01 and found.difference["low"] > 0 and found.speakers == 16
    assert found.after - found.before == pytest.approx(found.difference["value"]) and found.reason is None
    assert np.mean([made(0.0, s)[0].p < 0.05 for s in range(100)]) <= 0.1
    (few,) = made(0.2, 0, speakers=4)
    assert few.p is None and "4 tested speakers" in few.reason


def test_the_first_row_stands_for_itself_and_the_others_pay_for_their_number():
    rng = np.random.default_rng(2)
    target = target_of(pd.Series(np.array(list("abc"))[np.arange(480) % 3]))
    who = np.repeat(np.arange(16), 30)
    names = [f"r{i}" for i in range(5)]
    before, after = ({n: answered(rng, target.y, np.full(480, s)) for n in names} for s in (0.5, 0.57))
    several = change.changes(target, target.y, who, before, after, "accuracy")
    alone = [change.changes(target, target.y, who, {n: before[n]}, {n: after[n]}, "accuracy")[0].p for n in names]
    assert several[0].p == alone[0] and min(c.p for c in several[1:]) == pytest.approx(min(1, 4 * min(alone[1:])))


def test_recorded_predictions_are_read_back():
    target = target_of(pd.Series(["a", "b", "a|b"]), "multilabel")
    rows = pd.DataFrame({"predicted": ["a|b", "", "b"], "probabilities": [[0.6, 0.7], [0.1, 0.2], [0.3, 0.9]]})
    assert change.recorded_answers(rows, target).decided.tolist() == [[1, 1], [0, 0], [0, 1]]
    quantities = target_of(pd.DataFrame({"v": [0.1, 0.2, 0.35], "w": [0.5, 0.1, 0.2]}), "number")
    said = pd.DataFrame({"predicted": ["0.25|-1e-05", "1|2", "0.5|nan"]})
    assert change.recorded_answers(said, quantities).answers[:2].tolist() == [[0.25, -1e-05], [1.0, 2.0]]
    with pytest.raises(UsageError, match="3 quantities were recorded, expected v, w"):
        change.recorded_answers(pd.DataFrame({"predicted": ["1|2|3"]}), quantities)
    alone = target_of(pd.DataFrame({"v": [0.1, 0.2, 0.35]}), "number")
    assert change.recorded_answers(pd.DataFrame({"predicted": [0.1, 0.3, 2e-7]}), alone).answers.shape == (3, 1)


@pytest.mark.parametrize("task", ["number", "multilabel"])
def test_each_of_several_outputs_changes_by_itself(task):
    rng = np.random.default_rng(3)
    who, names = np.repeat(np.arange(12), 40), ["v", "w", "x"]
    truth = rng.normal(size=(480, 3))
    if task == "multilabel":
        truth = (truth > 0).astype(int)
    target = target_of(pd.DataFrame(truth, columns=names), task)
    noise = [1.5, 1.0, 1.0] * rng.normal(size=(480, 3))
    before = target.y + noise
    after = target.y + noise * [0.3, 1.0, 1.0] + [0, 0, 1e-3] * rng.normal(size=(480, 3))
    one, other = (change.RecordedAnswers(a, a if task == "number" else (a > 0.5).astype(int)) for a in (before, after))
    metric = "ccc" if task == "number" else "f1_macro"
    found = change.by_output(target, target.y, who, one, other, metric)
    assert [c.row for c in found] == names and found[0].p < 0.001 and found[0].difference["low"] > 0.1
    assert found[1].before == found[1].after and found[2].p > 0.05
    (whole,) = change.changes(target, target.y, who, {"r": one}, {"r": other}, metric)
    assert whole.after == pytest.approx(np.mean([c.after for c in found]))
    single = target_of(pd.Series(["a", "b"] * 240))
    assert change.by_output(single, single.y, who, one, other, "uar") == []
