"""Labels as people give them: what is taken for what, how it is trained, decided, scored, saved and predicted."""

import numpy as np
import pandas as pd
import pytest

from affectlake.data.errors import UnknownName, UsageError
from affectlake.models import metrics, persistence
from affectlake.models.benchmark import Plan, run
from affectlake.models.fit import fit
from affectlake.models.tasks import TASKS, target_of
from affectlake.models.tasks.protocol import cut
from affectlake.models.tasks.votes import dealt

N = 96
QUICK = {"models": ("lda",), "fusions": ("early", "late-mean", "dummy"), "folds": 3, "draws": 50, "inner": 2}


@pytest.fixture(scope="module")
def made():
    """Eight speakers and two modalities that tell a hidden quantity, labelled in every way there is."""
    rng = np.random.default_rng(3)
    hidden, other = rng.normal(size=(2, N))
    rating = 1 + np.searchsorted(np.quantile(hidden, [0.2, 0.4, 0.6, 0.8]), hidden)
    happy, angry = hidden > 0.4, other > 0.8
    votes = rng.multinomial(6, np.column_stack([happy, ~happy]) * 0.6 + 0.2)
    ids = pd.Index([f"i{i}" for i in range(N)], name="sample_id")
    named = [[n for n, v in (("happy", h), ("angry", a)) if v] for h, a in zip(happy, angry, strict=True)]
    samples = pd.DataFrame(
        {
            "speaker": [f"s{i % 8}" for i in range(N)],
            "rating": rating,
            "happy": happy.astype(int),
            "angry": angry.astype(int),
            "both": ["|".join(names) or "none" for names in named],
            "sentiment": np.clip(hidden * 2, -3, 3),
            "valence": hidden + 4,
            "arousal": other * 2 - 1,
            "votes_happy": votes[:, 0],
            "votes_sad": votes[:, 1],
        },
        index=ids,
    )
    audio = rng.normal(size=(N, 5)).astype(np.float32)
    face = rng.normal(size=(N, 4)).astype(np.float32)
    audio[:, 0] += 2 * hidden
    audio[:, 1] += 2 * other
    face[:, 0] += hidden - other
    blocks = {
        "audio": pd.DataFrame(audio, index=ids, columns=[f"audio.x.c{i}" for i in range(5)]),
        "face": pd.DataFrame(face, index=ids, columns=[f"face.y.c{i}" for i in range(4)]).iloc[10:],
    }
    return samples, blocks


LABELLED = {
    "class": (("happy",), "uar", 0.7),
    "ordinal": (("rating",), "qwk", 0.5),
    "number": (("valence", "arousal"), "ccc", 0.5),
    "multilabel": (("both",), "f1_macro", 0.5),
    "votes": (("votes_happy", "votes_sad"), "soft_accuracy", 0.6),
}


@pytest.fixture(scope="module")
def results(made):
    return {
        t: run(*made, Plan(label, task=t, explain=t == "multilabel", **QUICK)) for t, (label, _, _) in LABELLED.items()
    }


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_task_is_ranked_by_its_own_metric_and_learned(results, task):
    _, metric, least = LABELLED[task]
    result = results[task]
    assert result.about["metric"] == metric and result.about["target"]["task"] == task
    best, dummy = result.rows[0], next(r for r in result.rows if r["fusion"] == "dummy")
    assert best[metric]["value"] > max(least, dummy[metric]["value"])
    assert best[metric]["low"] < best[metric]["value"] < best[metric]["high"]
    assert result.about["selected"][metric]["value"] > dummy[metric]["value"]
    assert len(result.predictions) == N * (len(result.rows) - 1)
    assert result.about["per_speaker"] and result.about["speaker_score"] in metrics_named()


def test_importance_is_of_the_whole_label(results):
    lost = {e["name"]: e["value"] for e in results["multilabel"].about["importance"]["modalities"]}
    assert lost["audio"] > lost["face"]


def metrics_named() -> set[str]:
    return {"accuracy", "mae", "label_accuracy", "soft_accuracy"}


@pytest.mark.parametrize(
    ("task", "fusion"),
    [
        ("class", "early"),
        ("ordinal", "early"),
        ("number", "late-mean"),
        ("multilabel", "late-mean"),
        ("multilabel", "early"),
        ("votes", "early"),
    ],
)
def test_a_saved_model_answers_as_the_fitted_one(made, task, fusion, tmp_path):
    samples, blocks = made
    blocks = {m: b.iloc[:64] for m, b in blocks.items()}
    plan = Plan(LABELLED[task][0], task=task, **QUICK)
    fitted = fit(samples.loc[blocks["audio"].index], blocks, plan, fusion, "lda", {})
    loaded = persistence.load(persistence.save(fitted, tmp_path / "model"))
    asked = {m: b.reindex(samples.index[:20]) for m, b in blocks.items()}
    rows = loaded.predict(asked).to_rows()
    assert rows == fitted.predict(asked).to_rows()
    kinds = {"class": str, "ordinal": str, "number": dict, "multilabel": list, "votes": str}
    assert all(isinstance(r["label"], kinds[task]) for r in rows)
    assert persistence.card(tmp_path / "model")["task"] == task


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["sad", "happy"] * 10, "class"),
        (list(range(28)) * 6, "class"),
        ([1, 2, 3, 4, 5] * 4, "ordinal"),
        ([-3, -2, -1, 0, 1, 2, 3] * 4, "ordinal"),
        (list(range(11)) * 4, "ordinal"),
        (list(range(101)) * 2, "number"),
        ([0.5, 1.25, 3.0] * 9, "number"),
        ([0, 1] * 9, "class"),
        ([True, False] * 9, "class"),
        (["happy|sad", "angry"] * 9, "multilabel"),
        (["happy; sad", "angry"] * 9, "multilabel"),
        (["happy|happy|sad", "sad|sad|sad"] * 9, "votes"),
        (["happy:2|sad:1", "sad:3"] * 9, "votes"),
        (["happy, sad", "happy", "sad"] * 9, "multilabel"),
        (["joy/fear", "joy/anger", "anger/fear"] * 9, "multilabel"),
        (["anger, rage", "joy", "fear, worry"] * 9, "class"),
        (["4+", "5", "6"] * 9 + ["old"] * 20, "class"),
        (['["happy", "sad"]', '["sad"]', "[]"] * 9, "multilabel"),
        (["['happy']", "['sad', 'happy']", "['sad']"] * 9, "multilabel"),
        (['{"happy": 2, "sad": 1}', '{"sad": 3}'] * 9, "votes"),
        (["happy,happy,sad", "sad,happy,sad"] * 9, "votes"),
        (["01", "02", "03"] * 9, "class"),
        (["生气", "高兴"] * 9, "class"),
        (["Strongly agree", "agree", "neutral", "disagree"] * 9, "ordinal"),
        (["low", "medium", "high"] * 9, "ordinal"),
        (["positive", "neutral", "negative"] * 9, "class"),
        (["high", "low"] * 9, "class"),
    ],
)
def test_what_values_are_taken_for_and_why(values, task):
    target = target_of(pd.Series(values, name="x"))
    assert target.task.name == task and target.why


@pytest.mark.parametrize(
    ("columns", "task"),
    [
        ([[1, 0, 1], [0, 1, 1], [0, 0, 0]], "multilabel"),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "votes"),
        ([[0.5, 0.5, 0], [0.2, 0.3, 0.5], [0, 1, 0]], "votes"),
        ([[7, 3, 0], [0, 9, 0], [1, 2, 5]], "votes"),
        ([[3, 0, 0], [0, 2, 1], [0, 1, 0], [3, 3, 3]], "number"),
        ([[1, 2, 5], [5, 4, 1], [3, 3, 3]], "number"),
        ([[-0.3, 1.2, 0.1], [0.4, 0.2, 0.4], [1, 0, 0]], "number"),
    ],
)
def test_what_several_columns_are_taken_for(columns, task):
    target = target_of(pd.DataFrame(columns * 8, columns=list("abc")))
    assert target.task.name == task and target.why


@pytest.mark.parametrize(
    ("values", "odd"),
    [
        ([1.5, 2.25, "high"], "'high'"),
        (["1,96", "-0,59", "0,89"], "'1,96', '-0,59'"),
        (["37%", "5%", "88%"], "'37%'"),
        (["0.5", "1.5", "inf"], "'inf'"),
        (["1", "2", "5+"], "'5\\+'"),
    ],
)
def test_numbers_that_are_written_as_text_are_no_classes_unless_that_is_said(values, odd):
    label = pd.Series(list(map(str, values)) * 9, name="valence")
    with pytest.raises(UsageError, match=f"label 'valence' is text, and .* are numbers: it has {odd}"):
        target_of(label)
    assert len(target_of(label, "class").classes) == 3


def test_ratings_are_told_by_the_name_of_their_column():
    stars = pd.Series([0, 1, 2, 4] * 5, name="user_rating")
    assert target_of(stars).task.name == "ordinal"
    assert target_of(stars.rename("sentiment")).task.name == "class"


def test_cells_say_what_they_name_however_they_are_written():
    ways = (
        ["happy|sad", "sad"],
        ["happy, sad", "sad"],
        ['["sad", "happy"]', '["sad"]'],
        ['{"happy": 1, "sad": 2}'] * 2,
    )
    for values in ways[:3]:
        assert target_of(pd.Series(values), "votes").classes == ("happy", "sad")
    counted = target_of(pd.Series(ways[3]), "votes")
    assert counted.y.tolist() == [[1, 2], [1, 2]]
    none = target_of(pd.Series(['{"happy": 1, "sad": 0}', '{"happy": 0, "sad": 1}']), "multilabel")
    assert none.y.tolist() == [[1, 0], [0, 1]]
    assert target_of(pd.Series(["[happy", "sad]"] * 2)).task.name == "class"


def test_words_of_a_scale_are_ratings_in_its_order(made):
    samples, blocks = made
    words = np.array(["Strongly disagree", "disagree", "neutral", "agree", "strongly agree"])
    worded = samples.assign(opinion=words[samples["rating"] - 1])
    found, numbers = (run(s, blocks, Plan(label, **QUICK)) for s, label in ((worded, "opinion"), (samples, "rating")))
    assert found.about["classes"] == words.tolist()
    assert "from 'Strongly disagree' to 'strongly agree'" in found.about["target"]["why"]
    for mine, theirs in zip(found.rows, numbers.rows, strict=True):
        assert mine["qwk"] == theirs["qwk"] and mine["mae"] == theirs["mae"]
    fitted = fit(worded, blocks, Plan("opinion", **QUICK), "early", "lda", {}, {})
    said = fitted.predict({m: b.reindex(samples.index[:12]) for m, b in blocks.items()}).to_rows()
    assert all(1 <= row["expected"] <= 5 and row["label"] in words for row in said)
    with pytest.raises(UsageError, match="words of a scale .* 'mood' has gloomy, sunny: write 1"):
        target_of(pd.Series(["gloomy", "sunny"] * 9, name="mood"), "ordinal")


def test_codes_are_classes_where_the_column_says_so_and_the_task_decides():
    codes = pd.Series([1, 2, 3, 4, 5, 6] * 5, name="emotion_code")
    assert target_of(codes).task.name == "class"
    assert target_of(codes, "ordinal").task.name == "ordinal"
    assert target_of(codes, "number").y.dtype == np.float64


@pytest.mark.parametrize(
    ("label", "options", "message"),
    [
        ("both", {"task": "ordinal"}, "needs numbers that tell the order"),
        ("both", {"task": "class", "metric": "qwk"}, "--metric qwk does not rank"),
        ("rating", {"metric": "uar"}, "--metric uar does not rank what --task ordinal predicts"),
        ("rating", {"task": "class", "metric": "auc"}, "--metric auc does not rank"),
        ("both", {"task": "number"}, "needs finite numbers"),
        (("happy", "rating"), {"task": "multilabel"}, "columns of 0 and 1"),
        (("happy", "angry"), {"task": "class"}, "takes one label"),
        (("both", "angry"), {}, "are not all numbers"),
        (("valence", "arousal"), {"task": "votes"}, "counts or shares from 0 on"),
        ("happy", {"task": "ordinal"}, "3 to 30 different ratings"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_trained(made, label, options, message):
    with pytest.raises(UsageError, match=message):
        run(*made, Plan(label, **options, **QUICK))


def test_an_unknown_task_is_named(made):
    with pytest.raises(UnknownName, match="did you mean 'votes'"):
        Plan("both", task="vote")


def test_scores_agree_with_scikit_learn():
    from sklearn.metrics import average_precision_score, cohen_kappa_score, f1_score, roc_auc_score

    rng = np.random.default_rng(0)
    draws = metrics.Draws.of(np.arange(200) % 7)
    truth, p = rng.integers(0, 2, 200), np.round(rng.random(200), 1)
    found = metrics.binary(truth, p, draws)
    kept = np.arange(200) % 7 != 3
    for at, rows in ((0, slice(None)), (4, kept)):
        assert found["auc"][at] == pytest.approx(roc_auc_score(truth[rows], p[rows]))
        assert found["ap"][at] == pytest.approx(average_precision_score(truth[rows], p[rows]))
    rated, said = rng.integers(0, 5, (2, 200))
    ordinal = metrics.ordinal(rated, said, np.eye(5)[said], np.arange(5.0), draws)
    assert ordinal["qwk"][4] == pytest.approx(cohen_kappa_score(rated[kept], said[kept], weights="quadratic"))
    several, guessed = rng.integers(0, 2, (2, 200, 3))
    found = metrics.multilabel(several, guessed * 0.8 + 0.1, guessed, draws)
    for average in ("macro", "micro"):
        assert found[f"f1_{average}"][4] == pytest.approx(f1_score(several[kept], guessed[kept], average=average))


def test_a_threshold_is_the_best_one():
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(1)
    truth = rng.random(300) < 0.2
    p = np.clip(rng.normal(0.2 + 0.2 * truth, 0.1), 0, 1)
    best = max(f1_score(truth, p >= c) for c in np.unique(p)[::3])
    assert f1_score(truth, p >= cut(p, truth, "f1")) >= best
    assert cut(p, np.zeros(300, dtype=bool), "f1") == 0.5


def test_votes_are_dealt_as_they_fell_and_raters_are_the_ceiling():
    shares = np.tile([0.5, 0.3, 0.2], (3000, 1))
    assert np.bincount(dealt(shares, 3).ravel()) / 9000 == pytest.approx([0.5, 0.3, 0.2], abs=0.02)
    facts = TASKS["votes"].facts(target_of(pd.Series(["a|a|b", "b|b|b"], name="v"), "votes"))
    assert facts["ceiling"]["soft_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    # Each a of the first has one a and one b beside it: half right; its b has two a: wrong; the second's all agree.
    assert facts["ceiling"]["rater"] == pytest.approx((0.5 + 0.5 + 0 + 3) / 6)


def test_sentiment_from_minus_to_plus_three_has_the_accuracies_of_mosi(made):
    result = run(*made, Plan("sentiment", models=("lda",), fusions=("early",), folds=3, draws=50))
    row = result.rows[0]
    assert row["acc2"]["value"] > 0.7 and 0 < row["acc7"]["value"] < row["acc2"]["value"]


def test_thresholds_come_from_inside(made):
    """Labels of the tested part change nothing about what is said of it."""
    samples, blocks = made
    samples = samples.assign(split=np.where(np.arange(N) % 8 < 6, "train", "test"))
    plan = Plan("both", protocol="official", models=("lda",), fusions=("early",), draws=2)
    said = run(samples, blocks, plan).predictions["predicted"]
    test = samples["split"] == "test"
    other = samples.assign(both=samples["both"].where(~test, samples["both"][test].iloc[::-1].to_numpy()[0]))
    other.loc[other.index[test][:3], "both"] = ["none", "angry", "happy|angry"]
    assert said.tolist() == run(other, blocks, plan).predictions["predicted"].tolist()
