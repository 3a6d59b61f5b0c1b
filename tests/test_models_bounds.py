"""What a saved model promises of its answers: sets that hold the truth, answers that it would rather not give."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from affectlake.models import bounds as bounding
from affectlake.models.benchmark import Plan
from affectlake.models.fit import fit
from affectlake.models.persistence import BadModel, card, load, save
from affectlake.models.splits import inner_folds
from affectlake.models.tasks import target_of

K, COLUMNS = 3, 6


def people(speakers: int, each: int, seed: int):
    """Samples of speakers who differ, with features that tell the class now and then; the same classes for any seed."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(speakers), each)
    y = rng.integers(0, K, len(who))
    x = rng.normal(size=(len(who), COLUMNS))
    x[:, :K] += 1.6 * np.eye(K)[y] + rng.normal(size=(speakers, K))[who]
    ids = pd.Index([f"{seed}-{i}" for i in range(len(who))], name="sample_id")
    samples = pd.DataFrame({"emotion": np.array(list("abc"))[y], "speaker": [f"s{seed}-{w}" for w in who]}, index=ids)
    columns = [f"audio.x.c{i}" for i in range(COLUMNS)]
    return samples, {"audio": pd.DataFrame(x.astype(np.float32), index=ids, columns=columns)}


def fitted_on(samples, blocks, **plan):
    return fit(samples, blocks, Plan(plan.pop("label", "emotion"), **plan), "unimodal", "logreg", {"audio.x": "f"}, {})


@pytest.fixture(scope="module")
def model():
    return fitted_on(*people(16, 15, 0))


def test_of_new_people_sets_hold_the_truth_as_often_as_they_say(model):
    samples, blocks = people(200, 10, 1)
    rows = model.predict(blocks).to_rows()
    held = np.mean([e in r["prediction_set"] for e, r in zip(samples["emotion"], rows, strict=True)])
    assert 0.88 < held < 0.99
    sizes = [len(r["prediction_set"]) for r in rows]
    assert 1 < np.mean(sizes) < K and min(sizes) == 1
    assert all(max(r["probabilities"], key=r["probabilities"].get) in r["prediction_set"] for r in rows)


def test_the_least_sure_fifth_is_better_not_answered(model):
    samples, blocks = people(200, 10, 2)
    rows = model.predict(blocks).to_rows()
    right = np.array([r["label"] == e for e, r in zip(samples["emotion"], rows, strict=True)])
    abstains = np.array([r["abstain"] for r in rows])
    assert abstains.mean() == pytest.approx(1 - bounding.ANSWERED, abs=0.08)
    assert right[~abstains].mean() > right[abstains].mean() + 0.15


def test_bounds_are_those_of_out_of_fold_answers_which_the_file_keeps(model, tmp_path):
    again = load(save(model, tmp_path / "m"))
    assert again.bounds == model.bounds and again.bounds.unit == "speaker"
    _, blocks = people(5, 10, 3)
    said = again.predict(blocks)
    for p, row in zip(said.fused, said.to_rows(), strict=True):
        least = min(model.bounds.sets.value, p.max())
        assert row["prediction_set"] == [c for c, q in zip("abc", p, strict=True) if q >= least]
        assert row["abstain"] == (p["abc".index(row["label"])] < model.bounds.abstention.value)


def test_of_what_lies_far_nothing_is_promised(model):
    _, blocks = people(2, 5, 4)
    for row in model.predict({"audio": blocks["audio"] * 1000}).to_rows():
        assert row["far"] == ["audio"] and row["prediction_set"] is None and row["abstain"] is True


@pytest.mark.parametrize("speakers", [3, 8])
def test_few_speakers_allow_no_promise(speakers, tmp_path):
    fitted = fitted_on(*people(speakers, 20, 5))
    assert fitted.bounds.sets.value is None and (fitted.bounds.abstention.value is None) == (speakers < 5)
    row = fitted.predict(people(1, 3, 6)[1]).to_rows()[0]
    assert row["prediction_set"] is None and (row["abstain"] is None) == (speakers < 5)
    told = card(save(fitted, tmp_path / "m"))
    assert f"{speakers} speakers" in told["prediction_sets"]["reason"] and told["prediction_sets"]["value"] is None


@pytest.mark.parametrize("task", ["number", "multilabel"])
def test_what_is_no_single_class_has_no_bounds(task):
    samples, blocks = people(12, 8, 7)
    labels = pd.get_dummies(samples["emotion"]).to_numpy()
    samples["label"] = labels[:, 0] * 1.5 if task == "number" else [("a|b", "b|c", "a|c")[i] for i in labels.argmax(1)]
    fitted = fitted_on(samples, blocks, label="label", task=task)
    assert fitted.bounds.sets.value is None and task in fitted.bounds.abstention.reason
    row = fitted.predict(blocks).to_rows()[0]
    assert row["prediction_set"] is None and row["abstain"] is None


def test_inner_folds_that_share_speakers_allow_no_promise():
    target = target_of(pd.Series(["a", "b"] * 20))
    p, who = np.tile([[0.3, 0.7], [0.6, 0.4]], (20, 1)), np.arange(40) % 10
    folds = inner_folds(np.arange(40), target.y, 3, 0)
    found = bounding.bounds(target, p, p.argmax(axis=1), who, folds)
    assert "both sides" in found.sets.reason and found.abstention.value is None


def rewritten(path, change):
    with zipfile.ZipFile(path) as old:
        parts = {n: old.read(n) for n in old.namelist()}
    about = json.loads(parts["model.json"])
    change(about)
    parts["model.json"] = json.dumps(about).encode()
    with zipfile.ZipFile(path, "w") as new:
        for name, content in parts.items():
            new.writestr(name, content)
    return path


def test_a_file_of_before_promises_nothing(model, tmp_path):
    path = rewritten(save(model, tmp_path / "m"), lambda a: a.pop("bounds"))
    fitted = load(path)
    row = fitted.predict(people(1, 3, 8)[1]).to_rows()[0]
    assert fitted.bounds is None and row["prediction_set"] is None and row["abstain"] is None
    assert "prediction_sets" not in card(path) and "abstention" not in card(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.update(bounds=7),
        lambda a: a.update(bounds={}),
        lambda a: a["bounds"].update(unit=3),
        lambda a: a["bounds"]["sets"].update(value=float("nan")),
        lambda a: a["bounds"]["sets"].update(value=1e308),
        lambda a: a["bounds"]["sets"].update(value=True),
        lambda a: a["bounds"]["sets"].update(value="0.5"),
        lambda a: a["bounds"]["sets"].update(value=[0.5] * 1000),
        lambda a: a["bounds"]["sets"].update(value=None),
        lambda a: a["bounds"]["sets"].update(aim=None),
        lambda a: a["bounds"]["sets"].update(more=1),
        lambda a: a["bounds"]["abstention"].update(value=-0.1),
        lambda a: a["bounds"]["abstention"].update(reason="both"),
        lambda a: a["bounds"]["abstention"].pop("aim"),
        lambda a: a.update(task="votes"),
    ],
    ids=lambda _: "",
)
def test_bounds_of_strangers_are_checked(model, tmp_path, change):
    path = rewritten(save(model, tmp_path / "m"), change)
    for read in (load, card):
        with pytest.raises(BadModel) as error:
            read(path)
        assert "\n" not in str(error.value)


HALF = {"prediction_sets": {"size": 1.0, "coverage": {"value": 0.9, "low": 0.8, "high": None}}}


@pytest.mark.parametrize("measured", [7, {"prediction_sets": {"coverage": 3}}, {"abstention": {"accuracy": {}}}, HALF])
def test_what_a_stranger_says_was_measured_is_checked(model, tmp_path, measured):
    path = rewritten(save(model, tmp_path / "m"), lambda a: a["card"].update(measured=measured))
    with pytest.raises(BadModel):
        card(path)


def test_the_card_has_what_was_promised_beside_what_was_measured(model, tmp_path):
    score = {"value": 0.91, "low": 0.88, "high": 0.95}
    sureness = {
        "conformal": [{"level": v, "coverage": score, "size": 2.5, "reason": None} for v in (0.8, 0.9)],
        "abstention": [{"aimed": v, "coverage": v - 0.01, "accuracy": score} for v in (0.9, 0.8)],
    }
    told = bounding.measured(sureness)
    path = rewritten(save(model, tmp_path / "m"), lambda a: a["card"].update(measured=told))
    shown = card(path)
    assert shown["prediction_sets"]["aim"] == 0.9 and shown["prediction_sets"]["coverage"] == score
    assert shown["abstention"]["coverage"] == 0.79 and "measured" not in shown
    sureness["conformal"][1]["reason"] = "7 speakers in a training part"
    assert bounding.measured(sureness)["prediction_sets"] == {}
