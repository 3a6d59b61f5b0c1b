"""The selected row: chosen inside, so that its score pays for the choice; and what inner folds may and may not see."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from affectlake.models import calibration, head, member, selection, splits, zoo
from affectlake.models.benchmark import Plan, run
from affectlake.models.early import Table, View
from affectlake.models.member import Settings
from affectlake.models.training import Data


def corpus(signal: float, seed: int, speakers: int = 8, per: int = 12, modalities=("audio", "face", "text")):
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(speakers), per)
    y = np.concatenate([rng.permutation(np.arange(per) % 3) for _ in range(speakers)])
    ids = pd.Index([f"i{i}" for i in range(len(y))], name="sample_id")
    samples = pd.DataFrame({"emotion": np.array(list("abc"))[y], "speaker": [f"s{w:02d}" for w in who]}, index=ids)
    blocks = {}
    for m in modalities:
        x = rng.normal(size=(len(y), 6)) + rng.normal(size=(speakers, 6))[who]
        x[np.arange(len(y)), y] += signal
        blocks[m] = pd.DataFrame(x.astype(np.float32), index=ids, columns=[f"{m}.x.c{i}" for i in range(6)])
    return samples, blocks


QUICK = {"models": ("lda", "knn"), "fusions": ("unimodal", "early", "late-mean", "dummy"), "folds": 4, "explain": False}


def test_where_there_is_nothing_to_tell_the_selected_is_at_chance_and_the_best_row_is_not():
    found = [
        run(*corpus(0.0, seed), Plan("emotion", draws=200, **QUICK | {"models": ("lda",)})).to_json()
        for seed in range(5)
    ]
    best = np.mean([f["rows"][0]["uar"]["value"] for f in found])
    selected = np.mean([f["selected"]["uar"]["value"] for f in found])
    assert best > 1 / 3 + 0.02 and selected == pytest.approx(1 / 3, abs=0.05)
    assert sum(f["rows"][0]["uar"]["low"] > 1 / 3 for f in found) == 0
    assert sum(f["selected"]["uar"]["low"] > 1 / 3 for f in found) <= 1
    told = np.mean([f["best_of"]["bias"] for f in found])
    assert told == pytest.approx(best - 1 / 3, abs=0.04)


def test_among_equals_inside_the_tested_part_has_no_say():
    with patch.object(selection, "selected", wraps=selection.selected) as spy:
        run(*corpus(1.0, 0), Plan("emotion", **QUICK))
    entries, scorer, dummy = spy.call_args.args
    chosen, _ = selection.selected(entries, scorer, dummy)
    winner = next(e for e in entries if e.candidate.called == chosen["row"])
    right = [np.eye(3)[scorer.target.y[f.test]] for f in scorer.folds]
    twin = replace(winner, candidate=replace(winner.candidate, model="zzz", answers=right))
    for order in ([twin, *entries], [*entries[::-1], twin]):
        again, _ = selection.selected(order, scorer, dummy)
        assert again["folds"] == chosen["folds"] and again["row"] == chosen["row"] and again["uar"] == chosen["uar"]


def test_what_was_chosen_inside_answers_and_is_told():
    samples, blocks = corpus(1.5, 0)
    result = run(samples, blocks, Plan("emotion", **QUICK))
    selected = result.about["selected"]
    assert selected["uar"]["low"] > 1 / 3 and selected["p_dummy"] < 0.01 and len(selected["folds"]) == 4
    assert sum(r["times"] for r in selected["chosen"]) == 4 and len(selected["row"]["modalities"]) > 1
    inner = {(r["fusion"], *r["modalities"], r["model"]): r["inner"] for r in result.rows}
    row = selected["row"]
    assert inner[row["fusion"], *row["modalities"], row["model"]] == max(v for v in inner.values() if v is not None)
    assert inner["dummy", None] is None
    by_fold = result.predictions.assign(model=result.predictions["model"].fillna(""))
    hits = 0
    for number, row in enumerate(selected["folds"]):
        asked = by_fold[
            (by_fold["fold"] == number)
            & (by_fold["fusion"] == row["fusion"])
            & (by_fold["modalities"] == "+".join(row["modalities"]))
            & (by_fold["model"] == row["model"])
        ]
        hits += int((asked["truth"] == asked["predicted"]).sum())
    assert selected["accuracy"]["value"] == pytest.approx(hits / len(samples))


def test_the_tested_parts_have_no_say_in_the_choice():
    samples, blocks = corpus(0.7, 3)
    samples["split"] = np.where(samples["speaker"] < "s06", "train", "test")
    plan = Plan("emotion", protocol="official", **QUICK)
    first = run(samples, blocks, plan).about["selected"]
    other = samples.assign(emotion=samples["emotion"].where(samples["split"] == "train", "a"))
    assert run(other, blocks, plan).about["selected"]["folds"] == first["folds"]


def test_quantities_are_selected_by_concordance():
    samples, blocks = corpus(1.0, 5)
    samples["arousal"] = blocks["audio"].iloc[:, 0] + np.random.default_rng(0).normal(size=len(samples))
    plan = Plan("arousal", models=("logreg",), fusions=("unimodal", "late-mean", "dummy"), folds=4, explain=False)
    found = run(samples, blocks, plan).about["selected"]
    assert found["rule"] == selection.RULE.format(metric="ccc") and found["ccc"]["value"] > 0.4
    assert found["row"]["modalities"] == ["audio"]


# Inner folds


def test_a_class_of_one_speaker_mixes_no_speakers():
    groups, y = np.repeat(np.arange(9), 10), np.arange(90) % 3
    y[groups == 4] = np.where(np.arange(10) < 3, 3, y[groups == 4])
    folds = splits.inner_folds(groups, y, 3, 0)
    assert not splits.mixed(groups, folds) and sorted(np.concatenate([f.test for f in folds])) == list(range(90))
    for fold in folds:
        assert not set(groups[fold.test][fold.half]) & set(groups[fold.test][~fold.half])
    assert splits.mixed(groups, splits.inner_folds(np.zeros(90, dtype=int), y, 3, 0))


def test_a_class_that_was_never_seen_leaves_the_calibration_of_the_others_alone():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    scores = 3 * rng.normal(size=(600, 4)) + 4 * np.eye(4)[y]
    with_it = calibration.probabilities(scores, calibration.fitted(scores, y, "temperature", True))
    without = calibration.probabilities(scores[:, :3], calibration.fitted(scores[:, :3], y, "temperature", True))
    held = (with_it.argmax(axis=1) == y).mean()
    assert with_it.max(axis=1).mean() == pytest.approx(held, abs=0.08)
    assert without.max(axis=1).mean() == pytest.approx((without.argmax(axis=1) == y).mean(), abs=0.08)


def noise(n: int = 240, width: int = 10):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), n // 12)
    return Data({"audio": rng.normal(size=(n, width)).astype(np.float32)}, rng.integers(0, 3, n), groups)


def test_scores_out_of_fold_come_from_where_nothing_was_stopped_on():
    """Where there is nothing to tell, nothing is better than the frequencies; stopping on it would be."""
    from affectlake.models.early import Table, View

    data, settings = noise(), Settings("classification", 3)
    folds = splits.inner_folds(data.groups, data.y, 3, 0)
    fitted = member.fit("xgboost", Table({"": View.fitted(data.blocks["audio"])}, {"": False}), data.y, folds, settings)
    p = calibration.probabilities(fitted.oof, None)
    assert -np.log(p[np.arange(240), data.y]).mean() >= np.log(3) - 0.01
    trained = head.fit(data.blocks, {"audio": np.ones(240, bool)}, data.y, folds, 3, True, 0)
    assert trained.oof.sum(axis=1) == pytest.approx(1) and trained.oof.shape == (240, 3)
    assert -np.log(trained.oof[np.arange(240), data.y]).mean() >= np.log(3) - 0.01


def test_inner_components_are_those_of_the_samples_that_are_trained_on():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(90, 200)).astype(np.float32), np.arange(90) % 3
    x[::7] = np.nan  # samples without the modality
    table = Table({"audio": View.fitted(x)}, {"audio": True})
    folds = splits.inner_folds(np.repeat(np.arange(9), 10), y, 3, 0)
    found, _ = member._out_of_fold(zoo.get("lda"), {"keep": 4}, table, y, folds, Settings("classification", 3))
    for fold in folds:
        columns, there = table.views["audio"].columns, table.views["audio"].there
        pca = PCA(4, svd_solver="full").fit(columns[fold.train][there[fold.train]])
        z = np.column_stack([np.where(there[:, None], pca.transform(columns), 0.0), there])
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(z[fold.train], y[fold.train])
        prior = np.bincount(y[fold.train]) / len(fold.train)
        strict = model.predict_log_proba(z[fold.test]) - np.log(prior)
        np.testing.assert_allclose(found[fold.test], strict, atol=0.05)
    assert table.turned(folds[0].train, 4).width("components") == 5


def test_linear_models_choose_their_strength():
    """Much noise wants a strong penalty; and along the path each is what it is by itself."""
    from affectlake.models.early import Table, View

    data, settings = noise(width=150), Settings("classification", 3)
    x = data.blocks["audio"].copy()
    x[np.arange(240), data.y] += 0.5
    folds = splits.inner_folds(data.groups, data.y, 3, 0)
    table = Table({"": View.fitted(x)}, {"": False})
    fitted = member.fit("logreg", table, data.y, folds, settings)
    assert fitted.parameters["C"] < 0.2
    logreg = zoo.get("logreg")
    losses = {}
    for c in logreg.path["C"]:
        alone, _ = member._out_of_fold(logreg, {"C": c}, table, data.y, folds, settings)
        losses[c] = member._cross_entropy(alone, data.y, settings)
        if c == fitted.parameters["C"]:
            assert np.abs(alone - fitted.oof).max() < 0.05
    assert losses[fitted.parameters["C"]] == pytest.approx(min(losses.values()), abs=0.002)
