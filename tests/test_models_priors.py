"""Probabilities that are right where classes are rare, and decisions that are the metric's."""

import numpy as np
import pandas as pd
import pytest

from affectlake.data.errors import UsageError
from affectlake.models import calibration, late
from affectlake.models.benchmark import Plan, run
from affectlake.models.fit import fit
from affectlake.models.persistence import load, save

SHARES = np.array([0.86, 0.09, 0.05])
QUICK = {"models": ("lda",), "fusions": ("unimodal", "late-mean", "late-product", "late-weighted", "dummy"), "folds": 3}


@pytest.fixture(scope="module")
def rare():
    """Three classes, one of them frequent; two modalities that each tell something."""
    rng = np.random.default_rng(3)
    speakers, per = 10, 40
    y = rng.choice(3, speakers * per, p=SHARES)
    ids = pd.Index([f"i{i}" for i in range(len(y))], name="sample_id")
    samples = pd.DataFrame(
        {"emotion": np.array(list("abc"))[y], "speaker": np.repeat([f"s{i}" for i in range(speakers)], per)}, index=ids
    )
    samples["arousal"] = y + rng.normal(size=len(y))
    blocks = {}
    for m in ("audio", "face"):
        x = rng.normal(size=(len(y), 4))
        x[:, :3] += 1.5 * np.eye(3)[y]
        blocks[m] = pd.DataFrame(x.astype(np.float32), index=ids, columns=[f"{m}.x.c{i}" for i in range(4)])
    return samples, blocks


def scores(result, fusion):
    return {k: v["value"] for k, v in next(r for r in result.rows if r["fusion"] == fusion).items() if type(v) is dict}


def test_log_loss_is_below_the_dummys_and_uar_as_high(rare):
    found = run(*rare, Plan(label="emotion", draws=50, **QUICK))
    dummy = scores(found, "dummy")
    assert dummy["accuracy"] == pytest.approx((rare[0]["emotion"] == "a").mean())
    for fusion in QUICK["fusions"][:-1]:
        row = scores(found, fusion)
        assert row["log_loss"] < 0.8 * dummy["log_loss"] and row["ece"] < 0.06, fusion
        assert row["uar"] > 0.6, fusion
    p = found.predictions[found.predictions["fusion"] == "late-product"]
    assert p[["p_a", "p_b", "p_c"]].mean().to_numpy() == pytest.approx(SHARES, abs=0.03)
    # decided as if classes were equally frequent: rare ones are answered though they are seldom the most probable
    assert (p["predicted"] == "a").mean() < (p[["p_a", "p_b", "p_c"]].to_numpy().argmax(axis=1) == 0).mean() - 0.03


def test_other_priors_change_probabilities_and_no_decision(rare):
    plain, even = (run(*rare, Plan(label="emotion", draws=50, prior=p, **QUICK)) for p in ("training", "balanced"))
    for fusion in QUICK["fusions"][:-1]:
        assert scores(even, fusion)["uar"] == scores(plain, fusion)["uar"]
        assert scores(even, fusion)["log_loss"] > 1.2 * scores(plain, fusion)["log_loss"]
    assert even.about["prior"] == "balanced"
    for bad in ("3,1", "0,1,1", "often"):
        with pytest.raises(UsageError, match="expected training, balanced, or 3 positive numbers"):
            run(*rare, Plan(label="emotion", prior=bad, **QUICK))


def test_f1_is_decided_by_what_inner_folds_say(rare):
    found = run(*rare, Plan(label="emotion", metric="f1_macro", draws=50, **QUICK))
    assert scores(found, "late-product")["f1_macro"] > scores(found, "dummy")["f1_macro"] + 0.2
    p = np.array([[0.7, 0.3], [0.9, 0.1], [0.95, 0.05]])
    prior = np.array([0.9, 0.1])
    assert calibration.decided(p, prior, 0.0).tolist() == [0, 0, 0]
    assert calibration.decided(p, prior, 1.0).tolist() == [1, 0, 0]
    assert calibration.weigh_for("f1_macro", p, np.array([1, 0, 0]), prior) == 0.5
    assert calibration.weigh_for("f1_macro", p, np.array([0, 0, 1]), prior) == 0.0


def test_a_saved_model_shows_the_prior_that_was_asked_for(rare, tmp_path):
    samples, blocks = rare
    said = {}
    for prior in ("training", "balanced", "1,1,8"):
        fitted = fit(samples, blocks, Plan(label="emotion", prior=prior), "late-product", "lda", {})
        rows = fitted.predict(blocks).to_rows()
        again = load(save(fitted, tmp_path / "m")).predict(blocks).to_rows()
        for a, b in zip(again, rows, strict=True):
            assert a["label"] == b["label"] and a["probabilities"] == pytest.approx(b["probabilities"])
        said[prior] = rows
    for plain, even, odd in zip(*said.values(), strict=True):
        assert plain["label"] == even["label"] == odd["label"]
        assert plain["probabilities"]["a"] >= even["probabilities"]["a"]
        assert odd["probabilities"]["c"] >= even["probabilities"]["c"]
    assert np.mean([r["probabilities"]["a"] for r in said["training"]]) == pytest.approx(SHARES[0], abs=0.03)


def test_features_far_from_the_trainings_are_marked(rare):
    samples, blocks = rare
    fitted = fit(samples, blocks, Plan(label="emotion"), "late-mean", "lda", {})
    new = {"audio": blocks["audio"] * 1000, "face": blocks["face"]}
    assert all(r["far"] == ["audio"] for r in fitted.predict(new).to_rows())
    assert sum(bool(r["far"]) for r in fitted.predict(blocks).to_rows()) <= 4


def test_a_product_counts_the_prior_once_and_what_tells_nothing_changes_nothing():
    prior = np.array([0.9, 0.1])
    p, there = np.tile(prior, (3, 1, 1)), np.ones((3, 1), dtype=bool)
    assert late.product(p, there, prior)[0] == pytest.approx(prior)
    p[0] = [[0.5, 0.5]]
    assert late.product(p, there, prior)[0] == pytest.approx([0.5, 0.5])


def test_powers_leave_out_what_says_nothing():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 400)
    even = np.full(3, 1 / 3)
    good = 0.7 * np.eye(3)[np.where(rng.random(400) < 0.7, truth, rng.integers(0, 3, 400))] + 0.1
    noise = rng.dirichlet(np.ones(3), 400)
    powers = late.fit_powers(np.stack([good, noise]), np.ones((2, 400), dtype=bool), even, truth, np.ones(400))
    assert powers[0] > 0.7 and powers[1] < 0.15


def test_numbers_get_the_spread_of_the_truth(rare):
    rng = np.random.default_rng(0)
    truth = rng.normal(5, 2, 500)
    shrunk = 0.3 * truth + rng.normal(size=500) / 3
    line = calibration.Line.fit(shrunk, truth)
    assert line(shrunk).mean() == pytest.approx(5, abs=0.2) and line(shrunk).std() == pytest.approx(truth.std())
    assert calibration.Line.fit(-truth, truth) == calibration.Line(1.0, 0.0) == calibration.Line.fit(truth * 0, truth)
    samples, blocks = rare
    plan = Plan(label="arousal", models=("random-forest",), fusions=("unimodal", "late-mean"), folds=3, draws=50)
    found = run(samples, {m: b.iloc[:200] for m, b in blocks.items()}, plan)
    for row in found.rows:
        assert row["ccc"]["value"] > 0.85 * row["pearson"]["value"]  # what is left to CCC is the correlation


@pytest.mark.parametrize("fusion", ["late-mean", "late-weighted", "late-product", "late-stacking", "mlp-head"])
def test_a_class_of_one_speaker_leaves_the_others_answers_as_sure_as_they_were(fusion):
    """Six of 360 samples, all of one speaker: whoever answers about them out of fold has never heard of their class."""
    rng = np.random.default_rng(5)
    y, who = np.tile(np.arange(30) % 3, 12), np.repeat(np.arange(12), 30)
    ids = pd.Index([f"i{i}" for i in range(360)], name="sample_id")
    samples = pd.DataFrame({"emotion": np.array(list("abc"))[y], "speaker": [f"s{w}" for w in who]}, index=ids)
    x = rng.normal(size=(2, 360, 5)) + 1.3 * np.eye(5)[y]
    blocks = {
        m: pd.DataFrame(v, index=ids, columns=[f"{m}.x.c{i}" for i in range(5)]) for m, v in zip("uv", x, strict=True)
    }
    fewer = samples.assign(emotion=samples["emotion"].mask(np.arange(360) < 6, "contempt"))
    plan = Plan("emotion", models=("logreg",), fusions=(fusion,), subsets="full", folds=4, draws=2)

    def of_others(labelled: pd.DataFrame) -> tuple[float, float]:
        said = run(labelled, blocks, plan).predictions.query("modalities == 'u+v'").set_index("sample_id").loc[ids[6:]]
        p = said[["p_a", "p_b", "p_c"]].to_numpy()
        own = p[np.arange(354), y[6:]]
        return -np.log(own).mean(), p.max(axis=1).mean() - (said["predicted"] == said["truth"]).mean()

    (plain, sure), (loss, surer) = of_others(samples), of_others(fewer)
    assert loss < 1.12 * plain and abs(surer - sure) < 0.06
