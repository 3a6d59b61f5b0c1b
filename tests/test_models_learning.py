"""Learning curves, and copies that stay on one side of every fold."""

import numpy as np
import pandas as pd
import pytest

from affectlake.data.errors import UsageError
from affectlake.models import learning, splits
from affectlake.models.benchmark import Plan, run
from affectlake.models.splits import Fold


def corpus(speakers: int = 16, per: int = 9, signal: float = 1.2):
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(speakers), per)
    y = np.concatenate([rng.permutation(np.arange(per) % 3) for _ in range(speakers)])
    ids = pd.Index([f"i{i}" for i in range(len(y))], name="sample_id")
    samples = pd.DataFrame({"emotion": np.array(list("abc"))[y], "speaker": [f"s{w:02d}" for w in who]}, index=ids)
    blocks = {}
    for m in ("audio", "face"):
        x = rng.normal(size=(len(y), 6)) + rng.normal(size=(speakers, 6))[who]
        x[np.arange(len(y)), y] += signal
        blocks[m] = pd.DataFrame(x.astype(np.float32), index=ids, columns=[f"{m}.x.c{i}" for i in range(6)])
    return samples, blocks


QUICK = {"models": ("lda",), "fusions": ("unimodal", "early", "dummy"), "folds": 4, "draws": 200}


def test_fewer_speakers_teach_less_and_the_whole_is_the_table():
    samples, blocks = corpus()
    found = run(samples, blocks, Plan("emotion", sizes="0.5,0.2", **QUICK))
    told = found.about["learning"]
    assert told["shares"] == [0.2, 0.5, 1.0] and told["unit"] == "speaker" and told["model"] == "lda"
    by_row = {(c["fusion"], "+".join(c["modalities"])): c["points"] for c in told["curves"]}
    assert set(by_row) == {("selected", ""), ("unimodal", "audio"), ("unimodal", "face"), ("early", "audio+face")}
    rows = {(r["fusion"], "+".join(r["modalities"])): r for r in found.rows}
    for key, points in by_row.items():
        assert [p["speakers"] for p in points] == [2.0, 6.0, 12.0] and points[2]["samples"] == 108
        assert all(p["low"] < p["value"] < p["high"] for p in points)
        if key in rows:
            assert points[2]["value"] == rows[key]["uar"]["value"]
    early = [p["value"] for p in by_row["early", "audio+face"]]
    assert early[0] < early[2] - 0.05
    alone = run(samples, blocks, Plan("emotion", **QUICK))
    assert alone.about["learning"] is None and alone.rows[0]["uar"] == found.rows[0]["uar"]


def test_a_larger_share_has_all_of_a_smaller_one_and_the_tested_stay():
    groups = np.repeat(np.arange(10), 5)
    every = np.arange(50)
    folds = [Fold(every[groups % 2 != f], every[groups % 2 == f]) for f in range(2)]
    few, more = (learning.smaller(folds, groups, share, 3) for share in (0.4, 0.8))
    for fold, a, b in zip(folds, few, more, strict=True):
        assert set(a.train) < set(b.train) < set(fold.train) and np.array_equal(a.test, fold.test)
        assert len(np.unique(groups[a.train])) == 2 and len(np.unique(groups[b.train])) == 4


@pytest.mark.parametrize("text", ["0", "1.5", "a", "0.1,", "0.1 0.3"])
def test_sizes_that_are_none_are_refused(text):
    with pytest.raises(UsageError, match="expected numbers above 0"):
        learning.sizes_of(text)


def test_too_few_speakers_to_learn_from_are_refused_before_anything_is_trained():
    samples, blocks = corpus()
    with pytest.raises(UsageError, match=r"0.05 of the 12 speakers .* leaves 1, expected two or more: 0.17"):
        run(samples, blocks, Plan("emotion", sizes="0.05", **QUICK))


def test_copies_stay_together_where_that_is_asked_for():
    samples, blocks = corpus()
    # Two speakers have said the same clip, and another two share it in another encoding.
    samples["content.audio"] = [f"hash{i}" for i in range(len(samples))]
    samples.loc["i9", "content.audio"] = "hash0"
    samples["copies.audio"] = list(samples.index)
    samples.loc["i40", "copies.audio"] = "i20"
    who = splits.groups(samples, copies=True)
    assert who.nunique() == 14 and who["i0"] == who["i9"] and who["i20"] == who["i40"]
    found = run(samples, blocks, Plan("emotion", copies_together=True, **QUICK))
    fold = found.predictions.drop_duplicates("sample_id").set_index("sample_id")["fold"]
    assert (fold.groupby(who).nunique() == 1).all() and found.about["units"] == 14
    assert found.about["copies_together"] and found.about["leakage"]["duplicates"] == 0
    target = np.unique(samples["emotion"], return_inverse=True)[1]
    nobody = samples.drop(columns="speaker")
    for f in splits.folds(nobody, target, "kfold", 4, 1, 0, copies=True):
        assert not set(nobody["copies.audio"].iloc[f.train]) & set(nobody["copies.audio"].iloc[f.test])
    with pytest.raises(UsageError, match="needs a column 'speaker'"):
        splits.folds(nobody, target, "grouped", 4, 1, 0, copies=True)


def test_reasons_name_what_is_counted():
    samples, blocks = corpus()
    samples["dyad"] = samples["speaker"].str[1:].astype(int) // 4
    found = run(samples, blocks, Plan("emotion", group_by="dyad", **QUICK | {"folds": 2}))
    assert "4 tested groups:" in found.about["reason"]
    assert "4 tested groups of this class" in found.about["fusion_gain"]["classes"][0]["reason"]
    assert splits.unit(samples) == "speaker" and splits.unit(samples.drop(columns="speaker")) == "sample"
    assert splits.unit(pd.DataFrame({"dialogue": [1, 1, 2]})) == "group"
