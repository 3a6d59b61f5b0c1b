"""The models on small made-up data: what they are offered, how they weigh classes, and what an ensemble is."""

import dataclasses

import numpy as np
import pytest

from affectlake.models import calibration, early, head, jobs, member, training, zoo
from affectlake.models.early import Exchanged, Rotation, Table, View
from affectlake.models.member import Ensemble, Settings
from affectlake.models.parts import Part
from affectlake.models.plan import Plan
from affectlake.models.splits import Fold, inner_folds
from affectlake.models.training import Data

N = 150
CLASSES = Settings("classification", 3)


@pytest.fixture(scope="module")
def data():
    """Three classes, the last one rare; 60 correlated columns of audio, four of face, 20 samples without a face."""
    rng = np.random.default_rng(0)
    y = rng.choice(3, N, p=[0.5, 0.4, 0.1])
    tells = np.column_stack([y == 0, y == 1, y == 2]) + rng.normal(scale=0.7, size=(N, 3))
    audio = (tells @ rng.normal(size=(3, 60)) + rng.normal(scale=0.3, size=(N, 60))).astype(np.float32)
    audio[rng.random(audio.shape) < 0.02] = np.nan
    face = (np.column_stack([y, y == 2, y, y]) + rng.normal(size=(N, 4))).astype(np.float32)
    face[:20] = np.nan
    return Data({"audio": audio, "face": face}, y, np.arange(N) % 10)


def table(data, *names):
    views = {m: data.view(m) for m in names}
    return Table(views, {m: not bool(v.there.all()) for m, v in views.items()})


def test_all_components_keep_the_inner_products_of_the_columns(data):
    view = data.view("audio")
    centred = view.columns - view.columns.mean(axis=0)
    np.testing.assert_allclose(view.components @ view.components.T, centred @ centred.T, atol=1e-2)
    wide = np.random.default_rng(1).normal(size=(30, 200)).astype(np.float32)
    rotated = Rotation.fit(wide)(wide)
    assert rotated.shape == (30, 29)  # a centred matrix of thirty rows spans no more
    assert (np.diff(rotated.var(axis=0)) <= 1e-4).all()


def test_a_constant_block_has_one_component_of_nothing():
    view = View.fitted(np.full((12, 5), 3.0, dtype=np.float32))
    assert view.components.shape == (12, 1) and not view.components.any()


def test_modalities_have_the_same_say_whatever_their_width(data):
    found = table(data, "audio", "face")
    x, there = found.read("components"), found.views["face"].there
    width = found.views["audio"].components.shape[1]
    assert x[:, :width].var(axis=0).sum() == pytest.approx(early.VARIANCE / 2, rel=1e-3)
    assert x[there, width:-1].var(axis=0).sum() == pytest.approx(early.VARIANCE / 2, rel=1e-3)
    np.testing.assert_array_equal(x[:, -1], there)  # the mark of what is there
    assert not x[~there, width:].any()
    np.testing.assert_array_equal(found.leading(2), [0, 1, width, width + 1, x.shape[1] - 1])


def test_what_is_read_in_part_is_the_same_as_a_part_of_all(data):
    found, rows = table(data, "audio", "face"), np.array([3, 40, 41, 149])
    for reads in ("prepared", "columns", "components"):
        whole = found.read(reads)
        assert whole.shape[1] == found.width(reads)
        at = np.array([0, 5, whole.shape[1] - 2, whole.shape[1] - 1])  # the last is the mark of the face
        np.testing.assert_array_equal(found.read(reads, at, rows), whole[np.ix_(rows, at)])
    some = Table({"face": data.view("face")}, {"face": False}, data.view("face").there)
    np.testing.assert_array_equal(some.read("prepared", None, rows[:2]), data.view("face").columns[20:][rows[:2]])


def test_some_samples_are_held_prepared_and_not_as_they_were_besides(data):
    part = training.subset(data, np.arange(40, 120))
    view = part.view("audio")
    np.testing.assert_array_equal(view.columns, View(view.block, data.blocks["audio"][40:120]).columns)
    assert part.blocks["audio"] is not part.blocks["audio"], "made when asked for"
    assert view._raw == [] and part.present("face").all() and list(part.blocks) == ["audio", "face"]


def test_exchanged_values_are_prepared_as_if_they_had_been_exchanged_before(data):
    view = data.view("audio")
    view.components  # noqa: B018  # fits the axes
    raw, rows = data.blocks["audio"], np.random.default_rng(0).permutation(N)
    some, every, none = np.array([0, 7, 59]), np.arange(60), np.empty(0, dtype=int)
    copies = Exchanged(view, [(c, rows) for c in (some, every, none)])
    for i, columns in enumerate((some, every, none)):
        changed = raw.copy()
        changed[:, columns] = raw[rows][:, columns]
        again, part = View(view.block, changed), slice(i * N, (i + 1) * N)
        np.testing.assert_array_equal(copies.columns[part], again.columns)
        np.testing.assert_allclose(copies.components[part], again.components, atol=1e-4)
    assert copies.there.all() and len(copies.there) == 3 * N


@pytest.mark.parametrize("model", ["random-forest", "xgboost"])
def test_a_modality_that_tells_nothing_leaves_trees_as_they_are(data, model, monkeypatch, tmp_path):
    monkeypatch.setitem(zoo.MODELS, model, dataclasses.replace(zoo.MODELS[model], keep=10))
    audio = np.nan_to_num(data.blocks["audio"])
    blocks = {"audio": audio, "text": np.ones((N, 20), dtype=np.float32)}
    plain = Data(blocks, data.y, data.groups)
    part = Part("main", plain, [Fold(np.arange(40, N), np.arange(40))], Plan("x", models=(model,)))
    jobs.write(tmp_path / "main", part)
    [job] = [j for j in jobs.jobs_of(str(tmp_path / "main"), part, CLASSES) if j.model == model]
    together = jobs.work(job)
    both, alone, text = ("early", ("audio", "text")), ("unimodal", ("audio",)), ("unimodal", ("text",))
    assert together[both] is together[alone] and together[text] is not together[alone]
    for row in job.rows:
        [by_itself] = jobs.work(dataclasses.replace(job, rows=(row,))).values()
        for what in ("test", "oof"):
            np.testing.assert_array_equal(together[row][what], by_itself[what])


def test_a_logistic_regression_on_components_answers_as_on_columns(data):
    from sklearn.linear_model import LogisticRegression

    found, y = table(data, "audio"), data.y
    by_columns, by_components = (
        LogisticRegression(C=0.5, max_iter=5000, tol=1e-8).fit(x, y).predict_proba(x)
        for x in (found.read("columns"), found.read("components"))
    )
    np.testing.assert_allclose(by_components, by_columns, atol=1e-3)


@pytest.mark.parametrize("name", sorted(zoo.MODELS))
def test_every_model_finds_the_rare_class_where_classes_count_alike(data, name):
    found = table(data, "audio", "face")
    inner = inner_folds(data.groups, data.y, 3, 0)
    rare = data.y == 2
    said = member.fit(name, found, data.y, inner, CLASSES).oof.argmax(axis=1)
    blind = member.fit(name, found, data.y, inner, Settings("classification", 3, balanced=False)).oof.argmax(axis=1)
    assert (said == 2).sum() >= (blind == 2).sum() and (said[rare] == 2).mean() >= 0.3


def test_an_offset_leaves_a_class_alone_that_was_not_there():
    y = np.array([0, 1] * 10)
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    x[:, 0] += 3 * y
    data = Data({"audio": x}, y, np.arange(20))
    fitted = member.fit("knn", table(data, "audio"), y, [], CLASSES)
    assert (fitted.estimator.scores(table(data, "audio"), CLASSES).argmax(axis=1) < 2).all()


def test_an_ensemble_is_the_mean_of_its_calibrated_parts(data):
    found = table(data, "audio")
    inner = inner_folds(data.groups, data.y, 3, 0)
    fitted = member.fit("ensemble", found, data.y, inner, CLASSES)
    assert isinstance(fitted.estimator, Ensemble)
    p = [
        calibration.probabilities(part.scores(found, CLASSES), c)
        for part, c in zip(fitted.estimator.parts, fitted.estimator.calibrators, strict=True)
    ]
    mean = np.exp(fitted.estimator.scores(found, CLASSES))
    np.testing.assert_allclose(mean, np.mean(p, axis=0), atol=1e-6)
    with pytest.raises(TypeError):
        zoo.get("ensemble").make("classification", 0, True)


@pytest.mark.parametrize("method", calibration.METHODS)
def test_calibration_of_each_class_gives_the_rare_one_its_weight(method):
    rng = np.random.default_rng(0)
    y = (rng.random(2000) < 0.1).astype(int)
    scores = np.column_stack([np.zeros(2000), 2 * y - 1 + rng.normal(size=2000)])  # made for classes alike
    alike, blind = (
        calibration.calibrator(scores, y, method, balanced).predict_proba(scores).argmax(axis=1)
        for balanced in (True, False)
    )
    assert (alike[y == 1] == 1).mean() > 0.7
    if method != "temperature":  # one temperature cannot move the border
        assert (blind[y == 1] == 1).mean() < (alike[y == 1] == 1).mean()


def test_names_depend_on_the_task():
    assert zoo.called("logreg", "regression") == "ridge" and zoo.called("logreg", "classification") == "logreg"
    assert zoo.get("ridge") is zoo.get("logreg")
    assert all(zoo.called(zoo.called(n, "regression"), "regression") in zoo.NAMES for n in zoo.NAMES)


def test_tuning_tries_reductions_and_keeps_what_is_better(data):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(N, 400)).astype(np.float32)
    signal = (data.y[:, None] * 4 + rng.normal(size=(N, 2))).astype(np.float32)
    noisy = Data({"audio": np.hstack([noise, *[signal] * 5])}, data.y, data.groups)
    inner = inner_folds(data.groups, data.y, 3, 0)
    tuned = member.fit("knn", table(noisy, "audio"), data.y, inner, Settings("classification", 3, tune=True))
    assert tuned.parameters["keep"] == 16 and len(tuned.estimator.columns) == 16


def test_what_was_prepared_once_answers_like_raw_features_and_never_for_another_model(data):
    settings = CLASSES
    fitted = training.fit_early(data, ("audio", "face"), "logreg", settings, "temperature", 3)
    raw = {m: b[:40] for m, b in data.blocks.items()}
    views = {m: View(fitted.blocks[m], x) for m, x in raw.items()}
    np.testing.assert_array_equal(fitted.predict(raw), fitted.predict(views))
    stranger = View.fitted(data.blocks["audio"])
    with pytest.raises(ValueError, match="another model"):
        fitted.predict({**views, "audio": stranger})


def test_fusion_trains_and_answers_with_modalities_missing(data, monkeypatch):
    monkeypatch.setattr(head, "EPOCHS", 25)
    only_audio = {"audio": data.blocks["audio"], "face": np.full_like(data.blocks["face"], np.nan)}
    uar = {}
    for name, blocks in {"all": data.blocks, "audio": only_audio}.items():
        for kind in ("early", "mlp-head"):
            if kind == "early":
                fitted = training.fit_early(data, ("audio", "face"), "logreg", CLASSES, "temperature", 3)
            else:
                fitted = training.fit_head(data, ("audio", "face"), "projected", CLASSES, 3)
            p = fitted.predict(blocks)
            assert np.isfinite(p).all()
            np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
            uar[kind, name] = np.mean([(p.argmax(axis=1) == c)[data.y == c].mean() for c in range(3)])
    assert min(uar.values()) > 0.5


def test_a_head_hides_whole_modalities_in_training_only(monkeypatch):
    import torch

    monkeypatch.setattr(head, "MODALITY_DROPOUT", 0.9)
    monkeypatch.setattr(head, "INPUT_DROPOUT", 0.0)
    part = head._Part(torch.ones(64, 5), torch.ones(64, 2), None, None)
    x, there, units = head._spoilt(part, "projected", {"a": 3, "b": 2}, np.random.default_rng(0))
    shown = np.unique(np.hstack([x.numpy(), there.numpy()]), axis=0)
    kinds = {(1, 1, 1, 1, 1, 1, 1), (1, 1, 1, 0, 0, 1, 0), (0, 0, 0, 1, 1, 0, 1)}  # both, a, b; never neither
    assert len(shown) >= 2 and {tuple(row) for row in shown.astype(int)} <= kinds
    assert set(np.unique(units.numpy())) == {0, 2} and units.mean().item() == pytest.approx(1, abs=0.05)
    x, there, units = head._spoilt(part, "dense", {"a": 3, "b": 2}, np.random.default_rng(0))
    assert x.all() and there.all() and units is None


def test_a_head_answers_the_same_with_the_same_seed_and_hides_nothing_when_asked(data):
    twice = [training.fit_head(data, ("audio", "face"), "projected", CLASSES, 3) for _ in range(2)]
    np.testing.assert_array_equal(twice[0].oof, twice[1].oof)
    views = {name: data.view(name) for name in ("audio", "face")}
    said = [fitted.predict(views) for fitted in twice for _ in range(2)]
    assert all(np.array_equal(s, said[0]) for s in said)


def test_a_model_named_twice_is_one():
    plan = Plan("emotion", models=("logreg", "ridge", "xgboost", "logreg"), fusions=("early", "unimodal", "early"))
    assert plan.models == ("logreg", "xgboost") and plan.fusions == ("early", "unimodal")
