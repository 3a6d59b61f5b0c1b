"""Scores by attributes of samples: groups, the worst of them, the gap and its test."""

import numpy as np
import pandas as pd
import pytest

from affectlake.data.errors import UnknownName, UsageError
from affectlake.models import subgroups
from affectlake.models.scores import Candidate, Entry, Scorer
from affectlake.models.splits import Fold
from affectlake.models.tasks import target_of


def scored(errors: dict[str, float], speakers: int = 12, each: int = 40, seed: int = 0):
    """A row that is wrong in a share of the samples of each group; speakers belong to one group each."""
    rng = np.random.default_rng(seed)
    n = speakers * each
    who = np.repeat(np.arange(speakers), each)
    names = np.array(list(errors))[who % len(errors)]
    y = rng.integers(0, 2, n)
    wrong = rng.random(n) < np.array([errors[g] for g in names])
    said = np.where(wrong, 1 - y, y)
    samples = pd.DataFrame({"label": np.array(["a", "b"])[y], "group": names, "n": rng.normal(size=n)})
    every = np.arange(n)
    folds = [Fold(every[who % 3 != f], every[who % 3 == f]) for f in range(3)]
    scorer = Scorer(samples, target_of(samples["label"]), who, folds, 1, "accuracy", 50, 0)
    answers = np.eye(2)[said][scorer.at] * 0.8 + 0.1
    decided = scorer.decide(answers, None)
    draws = scorer.scores(answers, decided, scorer.draws)["accuracy"]
    return samples, scorer, Entry(Candidate("row", (), None, [], 0.0, []), {}, answers, decided, None, draws)


def test_the_worst_group_and_the_gap_are_found():
    _, scorer, entry = scored({"men": 0.35, "women": 0.1})
    found = subgroups.by("group", scorer, entry)
    assert [g["group"] for g in found["groups"]] == ["men", "women"] and found["unknown"] == 0
    assert all(g["low"] < g["value"] < g["high"] and g["speakers"] == 6 for g in found["groups"])
    gap = found["gap"]
    assert gap["worst"] == "men" and gap["value"] == pytest.approx(0.25, abs=0.08)
    assert gap["low"] > 0 and gap["p"] < 0.05


def test_equal_groups_differ_by_chance_only():
    p = [subgroups.by("group", *scored({"x": 0.3, "y": 0.3}, seed=s)[1:])["gap"]["p"] for s in range(20)]
    assert np.mean(np.array(p) < 0.05) <= 0.15


def test_few_speakers_have_no_test_and_missing_values_are_counted():
    samples, scorer, entry = scored({"x": 0.3, "y": 0.1}, speakers=8)
    samples.loc[:9, "group"] = None
    found = subgroups.by("group", scorer, entry)
    assert found["unknown"] == 10 and found["gap"]["p"] is None and "4 tested" in found["gap"]["reason"]


def test_a_group_of_one_speaker_is_counted_as_one():
    _, scorer, entry = scored({f"g{i}": 0.2 for i in range(6)}, speakers=6)
    found = subgroups.by("group", scorer, entry)
    assert {g["reason"] for g in found["groups"]} == {"1 tested speaker: intervals and p take at least 5"}
    assert "1 tested speaker" in found["gap"]["reason"] and found["gap"]["p"] is None


def test_numbers_are_cut_and_attributes_that_are_no_groups_are_refused():
    samples, scorer, entry = scored({"x": 0.3, "y": 0.1})
    assert len(subgroups.by("n", scorer, entry)["groups"]) == 4
    with pytest.raises(UnknownName, match="did you mean 'group'"):
        subgroups.check(samples, ("groups",))
    with pytest.raises(UsageError, match="groups are 2 to 20"):
        subgroups.check(samples.assign(one="same"), ("one",))
