"""The benchmark's protocol on small made-up data."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectlake.data.errors import UnknownName, UsageError
from affectlake.models import intervals, leakage, metrics, splits, zoo
from affectlake.models.benchmark import FUSIONS, Plan, run, target_of
from affectlake.models.fit import fit
from affectlake.models.splits import Fold

N = 120


@pytest.fixture(scope="module")
def made():
    """Samples of eight speakers; audio and text each tell half of what there is to tell; 15 samples have no text."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, N)
    ids = [f"i{i}" for i in range(N)]
    samples = pd.DataFrame(
        {
            "emotion": np.array(["angry", "happy", "sad"])[y],
            "arousal": y + rng.normal(scale=0.5, size=N),
            "speaker": [f"s{i % 8}" for i in range(N)],
            "split": np.where(np.arange(N) % 8 < 6, "train", "test"),
        },
        index=pd.Index(ids, name="sample_id"),
    )
    audio = rng.normal(size=(N, 6)).astype(np.float32)
    audio[:, 0] += 2 * (y == 0)
    audio[:, 1] += y
    text = rng.normal(size=(N, 4)).astype(np.float32)
    text[:, 0] += 2 * (y == 1)
    text[:, 1] -= y
    blocks = {
        "audio": pd.DataFrame(audio, index=ids, columns=[f"audio.x.c{i}" for i in range(6)]),
        "text": pd.DataFrame(text, index=ids, columns=[f"text.y.c{i}" for i in range(4)]).iloc[15:],
    }
    return samples, blocks


@pytest.fixture(scope="module")
def result(made):
    return run(*made, Plan("emotion", models=("logreg", "random-forest"), folds=4, draws=200))


def row(result, fusion, modalities, model=None):
    return next(
        r
        for r in result.rows
        if r["fusion"] == fusion and r["modalities"] == list(modalities) and (model is None or r["model"] == model)
    )


def test_every_fusion_of_every_subset_is_there_once(result):
    keys = [(r["fusion"], tuple(r["modalities"]), r["model"]) for r in result.rows]
    assert len(keys) == len(set(keys)) == 2 * 2 + 2 * 5 + 3 + 1
    assert {r["fusion"] for r in result.rows} == set(FUSIONS)


def test_rows_are_ranked_and_every_score_has_its_interval(result):
    values = [r["uar"]["value"] for r in result.rows]
    assert values == sorted(values, reverse=True)
    for r in result.rows:
        for name in metrics.CLASSIFICATION:
            assert r[name]["low"] <= r[name]["high"] and np.isfinite(r[name]["value"])
    assert result.rows[0]["p_value"] is None and all(0 < r["p_value"] <= 1 for r in result.rows[1:])


def test_fusion_beats_each_modality_and_all_beat_the_dummy(result):
    fused = row(result, "late-product", ["audio", "text"], "logreg")["uar"]["value"]
    alone = [row(result, "unimodal", [m], "logreg")["uar"]["value"] for m in ("audio", "text")]
    dummy = row(result, "dummy", [])["uar"]["value"]
    assert fused > max(alone) and min(alone) > dummy + 0.1
    assert dummy == pytest.approx(1 / 3, abs=0.05)


def test_the_same_seed_gives_the_same_bits(made, result):
    again = run(*made, Plan("emotion", models=("logreg", "random-forest"), folds=4, draws=200))
    strip = [{k: v for k, v in r.items() if k != "seconds"} for r in again.rows]
    assert strip == [{k: v for k, v in r.items() if k != "seconds"} for r in result.rows]
    assert again.predictions.equals(result.predictions)


def test_every_sample_is_predicted_once_by_models_that_did_not_know_its_speaker(made, result):
    samples, _ = made
    best = result.predictions.groupby(["fusion", "modalities", "model"])
    assert (best["sample_id"].nunique() == N).all() and (best.size() == N).all()
    speakers = result.predictions["sample_id"].map(samples["speaker"])
    assert (result.predictions["fold"].groupby(speakers).nunique() == 1).all()


def test_nothing_is_learned_from_the_test_part(made):
    """Other values in the test part, or other labels there, change nothing about what is learned for it."""
    samples, blocks = made
    plan = Plan("emotion", protocol="official", models=("logreg",), fusions=("unimodal", "early"), draws=2)
    test = samples.index[samples["split"] == "test"]
    before = run(samples, blocks, plan).predictions
    shuffled = samples.assign(emotion=samples["emotion"].where(~samples.index.isin(test), "sad"))
    after = run(shuffled, blocks, plan).predictions
    shares = [c for c in before if c.startswith("p_")]
    # rows are ranked by score, which the labels do change: compare by what they are
    keys = ["fusion", "modalities", "model", "sample_id"]
    pd.testing.assert_frame_equal(
        before.set_index(keys)[shares].sort_index(), after.set_index(keys)[shares].sort_index()
    )


@pytest.mark.parametrize("protocol", ["grouped", "loso"])
def test_speakers_never_cross(made, protocol):
    samples, _ = made
    y = target_of(samples["emotion"]).y
    for fold in splits.folds(samples, y, protocol, 4, 1, 0):
        who = samples["speaker"].to_numpy()
        assert not set(who[fold.train]) & set(who[fold.test])


def test_random_splits_are_refused_and_named_as_a_leak_where_asked_for(made):
    samples, blocks = made
    with pytest.raises(UsageError, match="random"):
        run(samples, blocks, Plan("emotion", protocol="kfold"))
    leaky = run(samples, blocks, Plan("emotion", protocol="random", models=("logreg",), fusions=("early",), draws=2))
    assert leaky.about["leakage"]["leaks"] and leaky.about["leakage"]["speakers"] == N


def test_regression(made):
    found = run(*made, Plan("arousal", models=("logreg", "xgboost"), folds=4, draws=100))
    assert found.about["metric"] == "ccc" and set(metrics.REGRESSION) <= set(found.rows[0])
    assert row(found, "early", ["audio", "text"], "ridge")["ccc"]["value"] > 0.4
    assert not any(r["fusion"] == "late-product" for r in found.rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": ("logrg",)}, "did you mean 'logreg'"),
        ({"fusions": ("erly",)}, "did you mean 'early'"),
        ({"protocol": "losso"}, "did you mean 'loso'"),
        ({"folds": 1}, "folds must be at least 2"),
        ({"label": "split", "protocol": "official"}, "class"),
    ],
)
def test_bad_plans_say_what_is_wrong(made, change, message):
    samples, blocks = made
    samples = samples.assign(split="train") if change.get("label") == "split" else samples
    with pytest.raises((UsageError, UnknownName)) as error:
        run(samples, blocks, Plan(**{"label": "emotion", **change}))
    assert message in str(error.value)


def test_audit_names_duplicates_and_repeated_texts():
    samples = pd.DataFrame(
        {
            "speaker": ["a", "a", "b", "b"],
            "content.audio": ["1", "2", "1", "3"],
            "text": ["Hello!", "x", "hello", "y"],
            "dialogue": ["d1", "d1", "d1", "d2"],
        },
        index=list("wxyz"),
    )
    found = leakage.audit(samples, [Fold(np.array([0, 1]), np.array([2, 3])), Fold(np.array([2, 3]), np.array([0, 1]))])
    assert found["leaks"] and found["speakers"] == 0
    assert found["duplicates"] == 2 and found["texts"] == 2 and found["dialogues"] == 3
    assert "w = y" in " ".join(found["findings"])


@given(st.lists(st.integers(0, 2), min_size=6, max_size=40), st.integers(0, 1000))
@settings(max_examples=30)
def test_scores_agree_with_scikit_learn(truth, seed):
    from sklearn import metrics as reference

    truth = np.array([*truth, 0, 1, 2])
    p = np.random.default_rng(seed).dirichlet(np.ones(3), len(truth))
    draws = metrics.Draws.of(np.arange(len(truth)) % 5)
    found = {k: v[0] for k, v in metrics.classification(truth, p, draws).items()}
    said = p.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(truth, said))
    assert found["uar"] == pytest.approx(reference.balanced_accuracy_score(truth, said))
    assert found["f1_macro"] == pytest.approx(reference.f1_score(truth, said, average="macro"))
    assert found["f1_weighted"] == pytest.approx(reference.f1_score(truth, said, average="weighted"))
    assert found["log_loss"] == pytest.approx(
        reference.log_loss(truth, np.clip(p, 1e-7, 1), labels=[0, 1, 2]), rel=1e-4
    )


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_correlations_agree_with_scipy(seed):
    from scipy.stats import pearsonr

    rng = np.random.default_rng(seed)
    y = rng.normal(size=30) + 100
    p = y + rng.normal(size=30)
    draws = metrics.Draws.of(np.arange(30))
    found = {k: v[0] for k, v in metrics.regression(y, p, draws).items()}
    assert found["pearson"] == pytest.approx(pearsonr(y, p).statistic)
    lin = 2 * np.cov(y, p, ddof=0)[0, 1] / (y.var() + p.var() + (y.mean() - p.mean()) ** 2)
    assert found["ccc"] == pytest.approx(lin) and found["mae"] == pytest.approx(np.abs(y - p).mean())


def test_intervals_widen_with_fewer_speakers():
    rng = np.random.default_rng(0)
    hard = rng.random(40) < 0.5
    hit = np.repeat(hard, 25)  # whole speakers are easy or hard
    truth, p = np.zeros(1000, dtype=int), np.where(hit[:, None], [0.9, 0.1], [0.1, 0.9])
    by_speaker = metrics.interval(
        metrics.classification(truth, p, metrics.Draws.of(np.repeat(np.arange(40), 25)))["accuracy"]
    )
    by_sample = metrics.interval(metrics.classification(truth, p, metrics.Draws.of(np.arange(1000)))["accuracy"])
    assert by_speaker["high"] - by_speaker["low"] > 3 * (by_sample["high"] - by_sample["low"])


def test_holm_is_holm():
    assert intervals.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@pytest.mark.parametrize("name", sorted(zoo.MODELS))
def test_every_model_learns_and_tunes(made, name):
    plan = Plan("emotion", models=(name,), fusions=("unimodal", "early"), folds=3, draws=2, tune=True)
    samples, blocks = made
    found = run(samples, {"audio": blocks["audio"]}, plan)
    assert found.rows[0]["uar"]["value"] > 0.45


def test_a_modality_that_nobody_has_in_training_is_no_reason_to_fail(made):
    samples, blocks = made
    test = samples.index[samples["split"] == "test"]
    only = {"audio": blocks["audio"], "text": blocks["text"][blocks["text"].index.isin(samples.index.difference(test))]}
    plan = Plan("emotion", protocol="official", models=("logreg",), draws=2)
    assert len(run(samples, only, plan).rows) > 5


def test_classes_that_coincide_with_speakers(made):
    samples, blocks = made
    plan = Plan("emotion", models=("logreg", "xgboost"), fusions=("unimodal",), folds=3, draws=2)
    each = samples["speaker"].map(dict(zip(sorted(set(samples["speaker"])), "abcabcab", strict=True)))
    assert run(samples.assign(emotion=each), blocks, plan).rows
    two = samples[samples["speaker"].isin(["s0", "s1"])]
    with pytest.raises(UsageError, match="coincide"):
        run(two.assign(emotion=two["speaker"]), blocks, Plan("emotion", folds=2))


def test_fit_says_what_each_modality_says(made):
    samples, blocks = made
    fitted = fit(samples, blocks, Plan("emotion"), "late-mean", "logreg", {"audio.x": "f", "text.y": "g"})
    assert fitted.extractors == ["audio.x", "text.y"]
    rows = fitted.predict({m: b.reindex(samples.index[:20]) for m, b in blocks.items()}).to_rows()
    assert set(rows[0]["modalities"]) == {"audio"} and set(rows[19]["modalities"]) == {"audio", "text"}
    assert all(sum(r["probabilities"].values()) == pytest.approx(1) for r in rows)
    assert np.mean([r["label"] == e for r, e in zip(rows, samples["emotion"][:20], strict=True)]) > 0.6


def test_columns_that_never_vary_are_chosen_last():
    from affectlake.models.telling import most_telling, told

    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = np.column_stack([np.ones(40), rng.normal(size=40), y + rng.normal(scale=0.1, size=40), np.zeros(40)])
    assert most_telling(told(x, y, "classification"), 2).tolist() == [1, 2]
    assert most_telling(told(np.ones((40, 3)), y, "classification"), 2).tolist() == [0, 1]
