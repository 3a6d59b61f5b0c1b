"""Model files from strangers: whatever is in them ends in one line, quickly, and nothing runs."""

import io
import json
import random
import re
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affectlake.models import boosters
from affectlake.models.benchmark import Plan
from affectlake.models.fit import fit
from affectlake.models.persistence import BadModel, card, load, save

N = 60


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A file for each kind of part: by fusion and model, its bytes."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, N)
    ids = pd.Index([f"i{i}" for i in range(N)], name="sample_id")
    samples = pd.DataFrame({"emotion": np.array(list("abc"))[y], "speaker": [f"s{i % 6}" for i in range(N)]}, index=ids)
    blocks = {}
    for m in ("audio", "text"):
        x = rng.normal(size=(N, 5)).astype(np.float32)
        x[:, 0] += y
        blocks[m] = pd.DataFrame(x, index=ids, columns=[f"{m}.x.c{i}" for i in range(5)])
    folder = tmp_path_factory.mktemp("models")
    found = {}
    kinds = (("late-mean", "logreg"), ("unimodal", "random-forest"), ("unimodal", "svm-rbf"), ("unimodal", "xgboost"))
    for fusion, model in kinds:
        mine = blocks if fusion != "unimodal" else {"audio": blocks["audio"]}
        fitted = fit(samples, mine, Plan("emotion"), fusion, model, {"audio.x": "f1"}, {"dataset": "made"})
        found[model] = save(fitted, folder / model).read_bytes()
    return found


def parts(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {n: file.read(n) for n in file.namelist()}


def packed(path, content: dict[str, bytes], method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, part in content.items():
            file.writestr(name, part)
    return path


def refused(path) -> str:
    with pytest.raises(BadModel) as error:
        load(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "key", ["label", "classes", "columns", "single", "settings", "prior", "top", "normalise", "card"]
)
@pytest.mark.parametrize("value", [7, ["x"], {"a": 1}, "zzz", [[[]]], -1e308])
def test_values_of_another_kind(saved, tmp_path, key, value):
    content = parts(saved["logreg"])
    about = json.loads(content["model.json"])
    if type(about[key]) is type(value) and key in ("label", "card"):
        pytest.skip("any name is a label, and a card may say anything")
    content["model.json"] = json.dumps(about | {key: value}).encode()
    refused(packed(tmp_path / "m", content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a["columns"]["audio"].pop(), "no model file"),
        (lambda a: a["single"]["audio"]["block"].update(pipeline="../../etc/passwd"), "no model file"),
        (lambda a: a["single"]["audio"].update(estimator="audio.block.skops"), "no model file"),
        (lambda a: a["settings"].update(classes=10**9), "classes do not agree"),
        (lambda a: a["top"].update(names=["audio"] * 10**5), "other modalities"),
        (lambda a: a["single"].update(face=a["single"]["audio"]), "modalities and columns"),
        (lambda a: a["prior"].__setitem__(0, float("nan")), "no proper answers"),
    ],
    ids=["columns", "path", "estimator", "classes", "names", "modality", "nan"],
)
def test_parts_that_do_not_fit(saved, tmp_path, change, message):
    content = parts(saved["logreg"])
    about = json.loads(content["model.json"])
    change(about)
    content["model.json"] = json.dumps(about).encode()
    assert message in refused(packed(tmp_path / "m", content))


def test_bombs_are_not_unpacked(saved, tmp_path):
    content = parts(saved["logreg"])
    zeros = bytes(100 * 2**20)
    bomb = packed(tmp_path / "bomb", content | {"more": zeros}, zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 2**20 and "unpacks from" in refused(bomb)
    inner = io.BytesIO()
    packed(inner, parts(content["audio.estimator.skops"]) | {"more": zeros}, zipfile.ZIP_DEFLATED)
    nested = packed(tmp_path / "nested", content | {"audio.estimator.skops": inner.getvalue()})
    assert "the part audio.estimator.skops unpacks from" in refused(nested)
    content["model.json"] = b"[" * 10**6
    refused(packed(tmp_path / "deep", content))


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/b", "C:\\x", "line\nbreak"])
def test_parts_with_paths_for_names(saved, tmp_path, name):
    assert "a part called" in refused(packed(tmp_path / "m", parts(saved["logreg"]) | {name: b"x"}))


def arrays(skops: bytes, change) -> bytes:
    """A skops part whose arrays went through ``change``."""
    content = parts(skops)
    for name in content:
        if name.endswith(".npy"):
            out = io.BytesIO()
            np.save(out, change(np.load(io.BytesIO(content[name]))))
            content[name] = out.getvalue()
    out = io.BytesIO()
    packed(out, content)
    return out.getvalue()


def lost(a):
    """Trees whose branches lead far outside."""
    if a.dtype.names and "left_child" in a.dtype.names:
        a = a.copy()
        a["left_child"] = np.where(a["left_child"] >= 0, 2**40, a["left_child"])
    return a


def circular(a):
    if a.dtype.names and "left_child" in a.dtype.names:
        a = a.copy()
        a["left_child"] = np.where(a["left_child"] >= 0, 0, a["left_child"])
    return a


def beyond(a):
    if a.dtype.names and "feature" in a.dtype.names:
        a = a.copy()
        a["feature"] = np.where(a["left_child"] >= 0, 2**30, a["feature"])
    return a


@pytest.mark.parametrize("change", [lost, circular, beyond])
def test_trees_that_lead_out_of_memory(saved, tmp_path, change):
    content = parts(saved["random-forest"])
    content["audio.estimator.skops"] = arrays(content["audio.estimator.skops"], change)
    assert "a tree whose branches lead nowhere" in refused(packed(tmp_path / "m", content))


def test_trees_that_claim_more_nodes_than_they_have(saved, tmp_path):
    """scikit-learn goes by the nodes that are there; were it to trust the claim, it would read foreign memory."""
    content = parts(saved["random-forest"])
    inner = parts(content["audio.estimator.skops"])
    claim = rb'("node_count": \{[^}]*"content": )"\d+"'
    inner["schema.json"], n = re.subn(claim, rb'\1"1000000000000"', inner["schema.json"])
    assert n > 100
    packed(out := io.BytesIO(), inner)
    fitted = load(packed(tmp_path / "m", content | {"audio.estimator.skops": out.getvalue()}))
    trees = [t.tree_ for t in fitted.machines[0].single["audio"].estimator.estimator.estimators_]
    assert all(t.node_count == t.capacity < 1000 for t in trees)


def test_support_vectors_that_are_fewer_than_said(saved, tmp_path):
    content = parts(saved["svm-rbf"])
    content["audio.estimator.skops"] = arrays(
        content["audio.estimator.skops"], lambda a: a[: len(a) // 2] if a.ndim == 2 and a.dtype.kind == "f" else a
    )
    refused(packed(tmp_path / "m", content))
    content["audio.estimator.skops"] = arrays(
        parts(saved["svm-rbf"])["audio.estimator.skops"], lambda a: a * 1000 if a.dtype == np.int32 else a
    )
    refused(packed(tmp_path / "m", content))


@given(st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_and_cut_bytes_never_end_otherwise(saved, tmp_path, data):
    """Either the file is refused in one line, or (a flip in a weight) it still answers."""
    content = parts(saved[data.draw(st.sampled_from(["logreg", "random-forest", "svm-rbf", "xgboost"]))])
    name = data.draw(st.sampled_from(sorted(content)))
    part = bytearray(content[name])
    if data.draw(st.booleans()):
        part = part[: data.draw(st.integers(0, len(part)))]
    else:
        for at in data.draw(st.lists(st.integers(0, len(part) - 1), min_size=1, max_size=8)):
            part[at] = data.draw(st.integers(0, 255))
    path = packed(tmp_path / "m", content | {name: bytes(part)})
    try:
        load(path)
    except BadModel as error:
        assert "\n" not in str(error)


def test_the_card_is_read_without_building_anything(saved, tmp_path):
    content = parts(saved["logreg"])
    path = packed(tmp_path / "m", content | {n: b"not a model" for n in content if n != "model.json"})
    about = card(path)
    assert about["label"] == "emotion" and about["dataset"] == "made" and about["modalities"] == ["audio", "text"]
    assert about["extractors"][0] == {"extractor": "audio.x", "columns": 5, "fingerprint": "f1"}
    refused(path)


def booster_part(content: dict[str, bytes]) -> str:
    return next(n for n in content if n.endswith(".ubj"))


@pytest.mark.parametrize("kind, classes", [("XGBClassifier", 3), ("XGBClassifier", 2), ("XGBRegressor", 0)])
def test_boosters_are_given_to_xgboost_as_they_were(kind, classes):
    """Rounds enough for integers of one and of two bytes."""
    import xgboost

    rng = np.random.default_rng(2)
    x = rng.normal(size=(90, 6)).astype(np.float32)
    y = rng.integers(0, classes, 90) if classes else x[:, 0] + 5
    model = getattr(xgboost, kind)(n_estimators=150, max_depth=3, early_stopping_rounds=140, n_jobs=1)
    model.fit(x[:60], y[:60], eval_set=[(x[60:], y[60:])], verbose=False)
    content = bytes(model.get_booster().save_raw("ubj"))
    found = boosters.checked(content)
    assert found.content == content and (found.features, found.groups) == (6, classes if classes == 3 else 1)


# What is made of each tree of a booster, and what is said of that.
BAD_TREES = {
    "children outside": ("left_children", lambda a: np.where(a >= 0, 2**30, a).astype(a.dtype), "lead nowhere"),
    "negative children": ("right_children", lambda a: np.where(a >= 0, -7, a).astype(a.dtype), "lead nowhere"),
    "circles": ("left_children", lambda a: np.where(a >= 0, 0, a).astype(a.dtype), "lead nowhere"),
    "other parents": ("parents", lambda a: np.roll(a, 1), "lead nowhere"),
    "columns outside": ("split_indices", lambda a: np.full_like(a, 10**6), "lead nowhere"),
    "nan": ("split_conditions", lambda a: np.full_like(a, np.nan), "not finite"),
    "infinity": ("base_weights", lambda a: np.full_like(a, np.inf), "not finite"),
    "fewer nodes": ("split_indices", lambda a: a[:-1], "length or type"),
    "wider numbers": ("left_children", lambda a: a.astype(">i8"), "length or type"),
    "categories": ("split_type", lambda a: np.ones_like(a), "categories"),
    "category sets": ("categories", lambda a: np.arange(3, dtype=">i4"), "categories"),
    "directions": ("default_left", lambda a: np.full_like(a, 9), "neither left nor right"),
}


@pytest.mark.parametrize("name, change, message", BAD_TREES.values(), ids=BAD_TREES)
def test_boosters_that_lead_out_of_memory(saved, tmp_path, name, change, message):
    content = parts(saved["xgboost"])
    part = booster_part(content)
    document = boosters._Reader(content[part]).value(0)
    for tree in document["learner"]["gradient_booster"]["model"]["trees"]:
        tree[name] = change(tree[name])
    content[part] = boosters._written(document)
    assert message in refused(packed(tmp_path / "m", content))


@pytest.mark.parametrize(
    "where, value, message",
    [
        (("learner_model_param", "num_class"), "0", "classes"),
        (("learner_model_param", "num_class"), "2000000000", "classes"),
        (("learner_model_param", "num_feature"), "99", "fit its booster"),
        (("learner_model_param", "base_score"), "NaN", "base_score"),
        (("gradient_booster", "name"), "gblinear", "gbtree"),
        (("gradient_booster", "model", "gbtree_model_param", "num_trees"), "9", "number of trees"),
        (("objective", "name"), "rank:ndcg", "objective"),
        (("attributes", "best_iteration"), "4000", "best round"),
        (("surprise",), "x", "does not know"),
    ],
)
def test_boosters_whose_parts_do_not_fit(saved, tmp_path, where, value, message):
    content = parts(saved["xgboost"])
    part = booster_part(content)
    document = boosters._Reader(content[part]).value(0)
    node = document["learner"]
    for key in where[:-1]:
        node = node[key]
    node[where[-1]] = value
    content[part] = boosters._written(document)
    assert message in refused(packed(tmp_path / "m", content))


def test_boosters_of_changed_bytes_are_refused_or_sound(saved):
    """600 of them: what is let through is a booster of checked trees, which xgboost can be asked."""
    import xgboost

    whole = parts(saved["xgboost"])
    content, draw = whole[booster_part(whole)], random.Random(0)
    x, passed = np.zeros((3, 5), np.float32), 0
    for i in range(600):
        part = bytearray(content)
        for _ in range(draw.choice([1, 1, 2, 8])):
            at = draw.randrange(len(part))
            match i % 4:
                case 0:
                    part[at] = draw.randrange(256)
                case 1:
                    part[at] ^= 1 << draw.randrange(8)
                case 2:
                    del part[at : at + draw.choice([1, 4, 50])]
                case 3:
                    part[at:at] = part[draw.randrange(len(part)) :][: draw.choice([1, 4, 50])]
        try:
            found = boosters.checked(bytes(part))
        except boosters.BadBooster:
            continue
        passed += 1
        model = xgboost.XGBClassifier()
        try:
            model.load_model(bytearray(found.content))
        except xgboost.core.XGBoostError:  # an empty part of another type: said in words, as `load` passes on
            continue
        assert np.isfinite(model.predict_proba(x)).all()
    assert 10 < passed < 400


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("model", ["logreg", "random-forest", "svm-rbf"])
def test_weights_that_are_not_finite(saved, tmp_path, model, value):
    def spoil(a):
        a = a.copy()
        if a.dtype.names and "threshold" in a.dtype.names:
            a["threshold"][-1] = value
        elif a.dtype.kind == "f" and a.size and a.ndim:
            a.flat[-1] = value
        return a

    content = parts(saved[model])
    for part in [n for n in content if "block" in n or "estimator" in n]:
        if part.endswith(".skops") and ".npy" in "".join(parts(content[part])):
            path = packed(tmp_path / "m", content | {part: arrays(content[part], spoil)})
            assert "finite" in refused(path)
        elif part.endswith(".safetensors"):
            from safetensors.numpy import load as tensors
            from safetensors.numpy import save as put

            spoiled = put({k: spoil(v) for k, v in tensors(content[part]).items()})
            assert "finite" in refused(packed(tmp_path / "m", content | {part: spoiled}))


def test_a_part_is_named_once(saved, tmp_path):
    content = parts(saved["xgboost"])
    about = json.loads(content["model.json"])
    for i in range(300):
        about["single"][f"m{i}"] = about["single"]["audio"]
        about["columns"][f"m{i}"] = about["columns"]["audio"]
    content["model.json"] = json.dumps(about).encode()
    assert "named twice" in refused(packed(tmp_path / "m", content))


def test_many_parts_that_unpack_to_much(saved, tmp_path):
    """Each is within what a part may hold; together they are not."""
    content = parts(saved["logreg"])
    inner = parts(content["audio.block.skops"])
    zeros = io.BytesIO()
    np.save(zeros, np.zeros(5 * 2**20))
    packed(out := io.BytesIO(), inner | {"more.npy": zeros.getvalue()}, zipfile.ZIP_DEFLATED)
    path = packed(tmp_path / "m", content | {f"{m}.block.skops": out.getvalue() for m in ("audio", "text")})
    assert "unpack from" in refused(path)


def test_an_array_that_says_it_is_larger(saved, tmp_path):
    content = parts(saved["logreg"])
    inner = parts(content["audio.block.skops"])
    name = next(n for n in inner if n.endswith(".npy"))
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (2**30,)})
    packed(out := io.BytesIO(), inner | {name: head.getvalue() + bytes(80)})
    assert "larger than the part" in refused(packed(tmp_path / "m", content | {"audio.block.skops": out.getvalue()}))
