"""Models as files: the same answers after loading, and nothing else ever runs."""

import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest

from affectlake.data.errors import AffectlakeError
from affectlake.models import zoo
from affectlake.models.benchmark import HEADS, Plan
from affectlake.models.fit import fit
from affectlake.models.persistence import BadModel, load, save

N = 90


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, N)
    ids = pd.Index([f"i{i}" for i in range(N)], name="sample_id")
    samples = pd.DataFrame({"emotion": np.array(list("abc"))[y], "speaker": [f"s{i % 6}" for i in range(N)]}, index=ids)
    samples["valence"] = y + rng.normal(size=N)
    blocks = {}
    for m in ("audio", "text"):
        x = rng.normal(size=(N, 5)).astype(np.float32)
        x[:, 0] += y
        blocks[m] = pd.DataFrame(x, index=ids, columns=[f"{m}.x.c{i}" for i in range(5)])
    return samples, blocks


ROWS = [
    *(("late-mean", m) for m in zoo.MODELS),
    *(("early", m) for m in zoo.MODELS),
    *((f"late-{f}", "logreg") for f in ("weighted", "product", "stacking")),
    *((h, None) for h in HEADS),
]


@pytest.mark.parametrize(("fusion", "model"), ROWS, ids=lambda v: str(v))
@pytest.mark.parametrize("label", ["emotion", "valence"])
def test_a_saved_model_answers_as_before(made, tmp_path, fusion, model, label):
    if label == "valence" and fusion == "late-product":
        pytest.skip("no product of numbers")
    samples, blocks = made
    fitted = fit(samples, blocks, Plan(label), fusion, model, {"audio.x": "f1", "text.x": "f2"}, {"note": "for tests"})
    again = load(save(fitted, tmp_path / "model.affect"))
    new = {m: b.iloc[:20].copy() for m, b in blocks.items()}
    new["text"].iloc[:5] = np.nan
    np.testing.assert_allclose(again.predict(new).fused, fitted.predict(new).fused, atol=1e-6)
    assert again.fingerprints == {"audio.x": "f1", "text.x": "f2"} and again.card["note"] == "for tests"


@pytest.mark.parametrize("calibrate", ["temperature", "sigmoid", "isotonic"])
def test_every_calibration_survives(made, tmp_path, calibrate):
    samples, blocks = made
    fitted = fit(samples, {"audio": blocks["audio"]}, Plan("emotion", calibrate=calibrate), "unimodal", "svm-rbf", {})
    again = load(save(fitted, tmp_path / "model"))
    x = {"audio": blocks["audio"].iloc[:9]}
    np.testing.assert_allclose(again.predict(x).fused, fitted.predict(x).fused, atol=1e-9)


@pytest.mark.parametrize("model", ["xgboost", "random-forest"])
def test_models_that_choose_their_columns_survive(made, tmp_path, model):
    samples, blocks = made
    noise = np.random.default_rng(2).normal(size=(N, zoo.COLUMNS)).astype(np.float32)
    wide = pd.DataFrame(noise, index=samples.index, columns=[f"audio.n.c{i}" for i in range(zoo.COLUMNS)])
    wide = pd.concat([blocks["audio"], wide], axis=1)
    fitted = fit(samples, {"audio": wide}, Plan("emotion"), "unimodal", model, {})
    chosen = fitted.machines[0].single["audio"].estimator.columns
    assert len(chosen) == zoo.COLUMNS and 0 in chosen
    again = load(save(fitted, tmp_path / "model"))
    np.testing.assert_allclose(again.predict({"audio": wide}).fused, fitted.predict({"audio": wide}).fused, atol=1e-6)


@pytest.fixture
def saved(made, tmp_path):
    samples, blocks = made
    fitted = fit(samples, blocks, Plan("emotion"), "late-mean", "logreg", {"audio.x": "f1", "text.x": "f2"})
    return save(fitted, tmp_path / "model.affect")


def test_features_of_another_fingerprint_are_refused(saved):
    fitted = load(saved)
    fitted.check({"audio.x": "f1", "text.x": "f2", "face.z": "whatever"})
    with pytest.raises(AffectlakeError, match="trained on text.x with fingerprint f2, here it has other"):
        fitted.check({"audio.x": "f1", "text.x": "other"})


class Boom:
    def __reduce__(self):
        import os

        return os.system, ("touch /tmp/affectlake-was-here",)


def rewritten(path, name, content):
    with zipfile.ZipFile(path) as old:
        parts = {n: old.read(n) for n in old.namelist()}
    parts[name] = content(parts[name])
    with zipfile.ZipFile(path, "w") as new:
        for n, c in parts.items():
            new.writestr(n, c)
    return path


def hostile_skops(_):
    """A skops part that asks for a type that no model of ours holds."""
    from skops.io import dumps

    return dumps({"x": Boom()})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(pickle.dumps(Boom())),
        lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
        lambda p: rewritten(p, "audio.estimator.skops", lambda _: pickle.dumps(Boom())),
        lambda p: rewritten(p, "audio.estimator.skops", hostile_skops),
        lambda p: rewritten(p, "model.json", lambda c: json.dumps(json.loads(c) | {"format": 99}).encode()),
        lambda p: rewritten(p, "model.json", lambda c: json.dumps(json.loads(c) | {"classes": ["a"]}).encode()),
        lambda p: rewritten(p, "model.json", lambda c: b"[]"),
        lambda p: p.unlink(),
    ],
    ids=["empty", "pickle", "cut", "pickle inside", "stranger", "format", "classes", "no object", "gone"],
)
def test_corrupt_and_hostile_files_end_in_one_line(saved, spoil, tmp_path):
    import os

    spoil(saved)
    with pytest.raises(BadModel) as error:
        load(saved)
    assert "\n" not in str(error.value) and not os.path.exists("/tmp/affectlake-was-here")
