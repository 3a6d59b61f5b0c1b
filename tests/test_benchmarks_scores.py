"""The script that measures scores: how it puts models together."""

import numpy as np
import pytest
from scripts import benchmark_script

from affectlake.models import training
from affectlake.models.plan import Plan

CLASSES = 3


@pytest.fixture(scope="module")
def scores():
    return benchmark_script("scores")


def certain(y: np.ndarray, sure: float = 0.8) -> np.ndarray:
    """Probabilities that give ``sure`` to each sample's class of ``y``."""
    out = np.full((len(y), CLASSES), (1 - sure) / (CLASSES - 1))
    out[np.arange(len(y)), y] = sure
    return out


def test_who_is_right_gets_it_all(scores):
    y = np.arange(30) % CLASSES
    answers = {("a", "right"): certain(y), ("a", "wrong"): certain((y + 1) % CLASSES)}
    assert scores.shares(answers, y) == {("a", "right"): 1.0}


def test_two_that_know_different_classes_share(scores):
    y = np.arange(40) % 2
    even = np.full((40, CLASSES), 1 / 3)
    left, right = (np.where((y == c)[:, None], certain(y, 0.9), even) for c in (0, 1))
    wrong = certain((y + 1) % CLASSES)
    found = scores.shares({("a", "left"): left, ("a", "right"): right, ("a", "wrong"): wrong}, y)
    assert found == {("a", "left"): 0.5, ("a", "right"): 0.5}


def test_shares_make_the_truth_likelier_than_any_model_and_their_plain_mean(scores):
    rng = np.random.default_rng(1)
    y = rng.integers(0, CLASSES, 400)
    logs = [np.log(certain(y, 0.5)) + rng.normal(0, noise, (400, CLASSES)) for noise in (0.5, 0.7, 3.0)]
    answers = {("a", str(i)): np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for i, x in enumerate(logs)}

    def likely(p):
        return np.log(p[np.arange(400), y]).mean()

    found = scores.shares(answers, y)
    assert sum(found.values()) == pytest.approx(1)
    mixed = likely(sum(share * answers[k] for k, share in found.items()))
    assert mixed >= max(map(likely, answers.values())) and mixed > likely(np.mean(list(answers.values()), axis=0))


def test_speakers_say_nothing_about_the_shares_by_which_they_are_answered(scores):
    groups = np.repeat(np.arange(6), 10)
    y = np.arange(60) % CLASSES
    data = training.Data({}, y, groups)
    right, wrong = certain(y), certain((y + 1) % CLASSES)
    plan, names = Plan("emotion"), [("a",)]

    def answered(one, other):
        oof = {("a", "one"): one, ("a", "other"): other}
        return scores.picked(data, oof, oof, names, ["one", "other"], plan)

    inside, tested = answered(right, wrong)
    assert (inside.argmax(axis=1) == y).all() and np.allclose(tested, right)
    # A model that only the first speaker proves right: all shares of the others are the second model's.
    first = (groups == 0)[:, None]
    inside, _ = answered(np.where(first, right, wrong), np.where(first, wrong, right))
    assert (inside.argmax(axis=1) == y)[groups != 0].all() and not (inside.argmax(axis=1) == y)[groups == 0].any()


def test_modalities_are_multiplied(scores):
    groups, y = np.repeat(np.arange(6), 10), np.arange(60) % CLASSES
    p = {("a", "m"): certain(y, 0.6), ("b", "m"): certain(y, 0.5)}
    _, found = scores.picked(training.Data({}, y, groups), p, p, [("a", "b")], ["m"], Plan("emotion"))
    assert found[np.arange(60), y] == pytest.approx(0.3 / (0.3 + 2 * 0.2 * 0.25))
