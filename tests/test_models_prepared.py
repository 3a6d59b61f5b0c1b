"""In proportion to the features: halves of folds in files that processes share, inner folds of many samples."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from affectlake.models import early, head, jobs, member, metrics, prepared, splits, training
from affectlake.models.benchmark import Plan, run
from affectlake.models.early import Block, Rotation, Table, View
from affectlake.models.member import Settings
from affectlake.models.parts import Part
from affectlake.models.splits import Fold
from affectlake.models.training import Data

N = 120


@pytest.fixture
def data():
    """Three classes, twelve speakers, sound, and faces that a third of the samples lack."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, N)
    audio, face = (rng.normal(size=(N, k)).astype(np.float32) + y[:, None] for k in (20, 5))
    audio[rng.random(audio.shape) < 0.05] = np.nan
    face[::3] = np.nan
    return Data({"audio": audio, "face": face}, y, np.arange(N) % 12)


FOLD = Fold(np.arange(30, N), np.arange(30))


@pytest.mark.parametrize("modality", ["audio", "face"])
def test_halves_in_files_are_those_in_memory(data, modality, tmp_path, monkeypatch):
    train, test = prepared.halves(tmp_path, 0, data, FOLD)
    part = training.subset(data, FOLD.train)
    mine = View.fitted(part.blocks[modality])
    theirs = View(mine.block, data.blocks[modality][FOLD.test])
    for found, wanted in ((train.view(modality), mine), (test(modality), theirs)):
        np.testing.assert_array_equal(found.there, wanted.there)
        for name in ("columns", "components"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
            assert isinstance(getattr(found, name), np.memmap)
    assert (train.view(modality).block.variance, train.view(modality).block.usual) == (
        mine.block.variance,
        mine.block.usual,
    )
    # Whoever comes later fits nothing and maps the same.
    monkeypatch.setattr(Block, "fit", None)
    monkeypatch.setattr(Rotation, "fit", None)
    again, tested = prepared.halves(tmp_path, 0, data, FOLD)
    np.testing.assert_array_equal(again.view(modality).components, mine.components)
    np.testing.assert_array_equal(tested(modality).components, theirs.components)
    assert tested(modality).block is again.view(modality).block
    prepared.forget(prepared.place(tmp_path, 0))
    assert not list(tmp_path.glob("prepared/*"))


def test_a_half_is_prepared_once_by_all_who_ask_at_a_time(data, tmp_path, monkeypatch):
    fits, real = [], Block.fit
    monkeypatch.setattr(Block, "fit", lambda self, x: fits.append(x.shape) or real(self, x))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: prepared.halves(tmp_path, 1, data, FOLD)[0].view("audio").columns, range(4)))
    assert fits == [(90, 20)] and all((f == found[0]).all() for f in found)


def test_tables_of_the_same_features_share_what_is_prepared(data, tmp_path):
    part = Part("main", data, [FOLD], Plan("x"))
    kept = jobs.write(tmp_path / "one", part)
    jobs.write(tmp_path / "two", part, tmp_path / "one")
    assert prepared.place(tmp_path / "one", 0) == prepared.place(tmp_path / "two", 0)
    assert isinstance(kept.data.blocks["audio"], np.memmap)


def test_models_of_inner_folds_are_trained_on_so_many_samples_at_most(data, monkeypatch):
    monkeypatch.setattr(splits, "INNER", 39)
    seen, real = [], member.fit

    def fit(name, table, y, inner, settings):
        seen.append(([len(f.train) for f in inner], sorted(np.concatenate([f.test for f in inner])), len(y)))
        return real(name, table, y, inner, settings)

    monkeypatch.setattr(member, "fit", fit)
    ids = pd.Index([f"i{i}" for i in range(N)], name="sample_id")
    samples = pd.DataFrame({"label": np.array(list("abc"))[data.y], "speaker": data.groups.astype(str)}, index=ids)
    blocks = {"audio": pd.DataFrame(data.blocks["audio"], ids, [f"audio.x.c{i}" for i in range(20)])}
    plan = {"models": ("logreg", "xgboost"), "fusions": ("unimodal", "mlp-head"), "folds": 2, "draws": 20}
    found = run(samples, blocks, Plan("label", **plan)).to_json()
    assert len(seen) == 4
    for trained, tested, n in seen:
        assert trained == [39] * 3 and tested == list(range(n))
    (remark,) = [r for r in found["remarks"] if "models of inner folds" in r]
    assert "trained on 39 of them" in remark and found["rows"][0]["uar"]["value"] > 0.6
    monkeypatch.setattr(splits, "INNER", 40)
    assert not any("inner folds" in r for r in run(samples, blocks, Plan("label", **plan)).to_json()["remarks"])


def test_many_samples_are_asked_about_in_parts(data, monkeypatch):
    settings = Settings("classification", 3)
    for model in ("logreg", "svm-rbf", "xgboost"):
        fitted = training.fit_unimodal(data, "audio", model, settings, "temperature", 3)
        table = Table({"": data.view("audio")}, {"": False})
        whole = fitted.estimator.scores(table, settings)
        monkeypatch.setattr(member, "_AT_ONCE", 7)
        np.testing.assert_allclose(fitted.estimator.scores(table, settings), whole, rtol=1e-5)
        monkeypatch.undo()


def test_draws_of_many_samples_are_ranked_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    truth, p, draws = rng.integers(0, 2, 90), np.round(rng.random(90), 1), metrics.Draws.of(np.arange(90) % 9)
    whole = metrics.binary(truth, p, draws)
    monkeypatch.setattr(metrics, "_VALUES", 200)
    for name, values in metrics.binary(truth, p, draws).items():
        np.testing.assert_array_equal(values, whole[name])


def test_axes_of_some_samples_keep_what_all_have_in_common(data, monkeypatch):
    z = np.nan_to_num(data.blocks["audio"])
    monkeypatch.setattr(early.Rotation, "MOST", 60)
    found = early.Rotation.fit(z)
    centred = z - found.mean
    np.testing.assert_allclose(found(z) @ found(z).T, centred @ centred.T, atol=1e-3)
    np.testing.assert_allclose(found.axes, early.Rotation.fit(z[np.linspace(0, N - 1, 60).astype(int)]).axes)


def test_steps_of_the_head_grow_with_the_samples(data, monkeypatch):
    sizes, real = [], head._spoilt
    monkeypatch.setattr(head, "_spoilt", lambda part, *rest: sizes.append(len(part.truth)) or real(part, *rest))
    monkeypatch.setattr(head, "BATCH", 8)
    monkeypatch.setattr(head, "STEPS", 5)
    training.fit_head(data, ["audio"], "projected", Settings("classification", 3), 3)
    assert max(sizes) == 16  # 80 samples in five steps
