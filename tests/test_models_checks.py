"""What cannot be compared is refused in one line before anything is trained, and groups stay together everywhere."""

import numpy as np
import pandas as pd
import pytest

from affectlake.data.errors import UnknownName, UsageError
from affectlake.models import splits
from affectlake.models.benchmark import Plan, run


def corpus(speakers: int = 6, per: int = 12):
    rng = np.random.default_rng(0)
    y = np.tile(np.arange(per) % 3, speakers)
    ids = pd.Index([f"i{i}" for i in range(len(y))], name="sample_id")
    samples = pd.DataFrame(
        {"emotion": np.array(list("abc"))[y], "speaker": np.repeat([f"s{i}" for i in range(speakers)], per)}, index=ids
    )
    samples["arousal"] = y + rng.normal(size=len(y))
    blocks = {
        m: pd.DataFrame(rng.normal(size=(len(y), 3)), index=ids, columns=[f"{m}.x.{c}" for c in "pqr"])
        for m in ("audio", "face")
    }
    return samples, blocks


def never(job, jobs):
    raise AssertionError("something was trained")


def refused(samples, blocks, label="emotion", **options) -> str:
    options = {"models": ("lda",), "fusions": ("unimodal", "dummy"), "folds": 3} | options
    with pytest.raises(UsageError) as error:
        run(samples, blocks, Plan(label=label, **options), map=never)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_infinite_features(value):
    samples, blocks = corpus()
    blocks["face"].iloc[7, 1] = value
    assert "face.x.q of sample 'i7'" in refused(samples, blocks)


def test_infinite_labels():
    samples, blocks = corpus()
    samples.loc["i5", "arousal"] = np.inf
    assert "'arousal' of sample 'i5' is inf" in refused(samples, blocks, "arousal")


def test_labels_that_are_the_speakers():
    samples, blocks = corpus()
    samples["emotion"] = samples["speaker"]
    assert "as if the label were the speaker" in refused(samples, blocks)
    assert "as if the label were the speaker" in refused(samples, blocks, protocol="loso")


def test_classes_smaller_than_the_folds():
    samples, blocks = corpus()
    samples["emotion"] = [f"c{i // 2}" for i in range(len(samples))]
    assert "the largest has 2 samples: lower --folds" in refused(samples, blocks)
    samples, blocks = corpus()
    samples.loc[["i0", "i14"], "emotion"] = "rare"
    said = []
    plan = Plan(label="emotion", models=("knn",), fusions=("unimodal",), folds=3, draws=50)
    found = run(samples, blocks, plan, remark=said.append)
    assert said[1:] == found.about["remarks"] == ["classes of fewer samples than there are folds (3): rare (2)"]


def test_one_speaker_left_out():
    samples, blocks = corpus(1, 36)
    assert "there is 's0' alone" in refused(samples, blocks, protocol="loso")


@pytest.mark.parametrize("fusions", [("early",), ("late-mean", "dummy"), ("early", "late-stacking")])
def test_fusions_of_one_modality(fusions):
    samples, blocks = corpus()
    assert "there is audio alone" in refused(samples, {"audio": blocks["audio"]}, fusions=fusions)


def test_numbers_have_no_product():
    samples, blocks = corpus()
    assert "numbers have no product" in refused(samples, blocks, "arousal", fusions=("late-product",))


@pytest.mark.parametrize("n", [1, 4])
def test_a_modality_of_few_samples(n):
    samples, blocks = corpus()
    blocks["face"] = blocks["face"].iloc[:n]
    assert f"modality face: {n} of 72 samples have it" in refused(samples, blocks)


def test_inner_folds_that_mix_speakers_are_told():
    samples, blocks = corpus(2, 30)
    said = []
    run(samples, blocks, Plan(label="emotion", models=("lda",), fusions=("unimodal",), folds=2), remark=said.append)
    assert len(said) == 2 and "inner folds of fold 1, 2 have the same speakers on both sides" in said[1]


# Groups


def test_conversations_stay_together():
    samples, blocks = corpus(12)
    samples["dyad"] = samples["speaker"].str[1:].astype(int) // 2
    # one speaker has a second conversation, through which two dyads hang together
    samples.loc[samples["speaker"] == "s3", "dyad"] = np.repeat([1, 2], 6)
    who = splits.groups(samples, "dyad")
    assert who.nunique() == 5 and who[samples["speaker"].isin(["s2", "s3", "s4", "s5"])].nunique() == 1
    found = run(
        samples, blocks, Plan(label="emotion", models=("lda",), fusions=("unimodal",), folds=3, group_by="dyad")
    )
    fold = found.predictions.drop_duplicates("sample_id").set_index("sample_id")["fold"]
    assert (fold.groupby(who).nunique() == 1).all() and (fold.groupby(samples["dyad"]).nunique() == 1).all()
    assert found.about["units"] == 5 and found.about["group_by"] == "dyad"
    apart = run(samples, blocks, Plan(label="emotion", models=("lda",), fusions=("unimodal",), folds=3))
    assert apart.about["units"] == 12
    with pytest.raises(UnknownName, match="dyda"):
        run(samples, blocks, Plan(label="emotion", group_by="dyda"))


def test_k_folds_keep_equal_bytes_together():
    samples, _ = corpus()
    samples = samples.drop(columns="speaker")
    content = np.arange(len(samples))
    content[60:] = np.arange(12)  # copies of the first twelve
    samples["content.audio"] = [f"hash{c}" for c in content]
    target = np.unique(samples["emotion"], return_inverse=True)[1]
    for fold in splits.folds(samples, target, "kfold", 5, 1, 0):
        assert not set(content[fold.train]) & set(content[fold.test])


def test_a_single_tested_speaker_is_counted_as_one():
    samples, blocks = corpus()
    samples["split"] = np.where(samples["speaker"] == "s0", "test", "train")
    plan = Plan("emotion", protocol="official", models=("lda",), fusions=("unimodal",), draws=20)
    found = run(samples, blocks, plan).to_json()
    assert (
        found["reason"]
        == found["selected"]["accuracy"]["reason"]
        == "1 tested speaker: intervals and p take at least 5"
    )


@pytest.mark.parametrize("speakers", [2, 3])
def test_of_fewer_speakers_than_folds_each_is_a_fold(speakers):
    samples, blocks = corpus(speakers)
    told: list[str] = []
    plan = Plan("emotion", models=("lda",), fusions=("unimodal",), draws=20)
    found = run(samples, blocks, plan, remark=told.append).to_json()
    assert found["folds"] == speakers and found["remarks"] == told[1:]
    assert f"{speakers} folds instead of 5, one for each speaker: there are no more" in told
    assert found["selected"]["uar"]["low"] is None and f"{speakers} tested speakers" in found["reason"]


def test_classes_that_are_one_but_for_their_spelling_are_told():
    samples, blocks = corpus()
    samples.loc[samples.index[::6], "emotion"] = "A "
    said: list[str] = []
    run(samples, blocks, Plan("emotion", models=("lda",), fusions=("unimodal",), folds=3, draws=20), remark=said.append)
    assert said[1:] == ["classes that differ in capitals or spaces alone count as several: 'A ' and 'a'"]


def test_a_speaker_alone_cannot_be_tested():
    samples, blocks = corpus(1)
    for protocol in ("grouped", "loso"):
        assert "there is 's0' alone" in refused(samples, blocks, protocol=protocol)


def test_a_split_that_tests_nobody_is_told():
    samples, blocks = corpus()
    told: list[str] = []
    plan = Plan("emotion", models=("lda",), fusions=("unimodal",), draws=20, folds=3)
    run(samples.assign(split="dev"), blocks, plan, remark=told.append)
    assert told[0] == "emotion taken as class: values are names"
    assert told[1:] == ["no sample has split 'test' (there are dev): folds are drawn"]


def test_labels_of_next_to_no_samples_each_are_no_classes():
    samples, blocks = corpus()
    samples["emotion"] = [f"topic {i % 30}" for i in range(len(samples))]
    assert "30 classes, such as 'topic 0'" in refused(samples, blocks, folds=2)


def test_everything_that_hangs_together_is_nothing_to_test():
    samples, blocks = corpus()
    samples["talk"] = [f"t{(i + 6) // 12}" for i in range(len(samples))]
    assert "--group-by talk: all samples hang together" in refused(samples, blocks, group_by="talk")


def test_a_label_is_no_attribute_of_its_own():
    assert "--by emotion: it is the label" in refused(*corpus(), by=("emotion",))


def test_numbers_that_stand_for_nothing_are_told():
    samples, blocks = corpus()
    samples.loc[["i3", "i9"], "arousal"] = -999
    plan = Plan("arousal", models=("lda",), fusions=("unimodal", "dummy"), folds=3)
    said = run(samples, blocks, plan).about["remarks"]
    assert any("'arousal' is -999 of 2" in line and "--missing-values -999" in line for line in said)
    assert run(*corpus(), plan).about["remarks"] == []


def test_only_as_many_small_classes_are_listed_as_one_reads():
    samples, blocks = corpus(speakers=8, per=30)
    samples.iloc[::9, samples.columns.get_loc("emotion")] = [f"rare{i:02}" for i in range(27)]
    found = run(samples, blocks, Plan("emotion", models=("logreg",), fusions=("unimodal", "dummy"), folds=3))
    [line] = [r for r in found.about["remarks"] if "fewer samples than there are folds (3)" in r]
    assert "rare09 (1) and 17 more" in line and "rare10" not in line
    assert found.about["reason"].count("rare") == 3 and "more)" in found.about["reason"]


def test_a_speaker_alone_may_be_asked_about_at_random():
    samples, blocks = corpus()
    samples["speaker"] = "anna"
    plan = Plan("emotion", protocol="random", models=("lda",), fusions=("unimodal", "dummy"), folds=3)
    found = run(samples, blocks, plan)
    assert found.about["contrast"] is None and found.about["leakage"]["leaks"]


def test_features_that_are_the_same_everywhere_are_told():
    samples, blocks = corpus()
    blocks["face"][:] = 7.0
    blocks["face"].iloc[::5, 1] = np.nan
    plan = Plan("emotion", models=("lda",), fusions=("unimodal", "dummy"), folds=3)
    assert run(samples, blocks, plan).about["remarks"] == [
        "modality face: every column has one value for all samples, and tells nothing"
    ]


def test_no_other_modality_is_recommended_where_there_is_none():
    samples, blocks = corpus()
    assert refused(samples, {"audio": blocks["audio"].iloc[:4]}).endswith("expected 6 at least")
