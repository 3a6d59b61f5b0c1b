"""What an analyst asks of a store: arrays for scikit-learn, descriptions of columns, nearest samples."""

import numpy as np
import pandas as pd
import pytest
from lakes import contents_of, refresh

from affectlake.data import Store
from affectlake.data.errors import AffectlakeError, UnknownName, UsageError
from affectlake.data.samples import samples_frame

IDS = [f"s{i:02d}" for i in range(24)]


@pytest.fixture(scope="module")
def values() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(3, [1, 10, 100], (24, 3)), index=IDS, columns=["a", "b", "c"])
    frame.loc["s05", "b"] = np.nan
    frame.loc["s07"] = frame.loc["s03"]
    return frame


@pytest.fixture(scope="module")
def store(tmp_path_factory, values) -> Store:
    store = Store(tmp_path_factory.mktemp("analyst") / "lake", create=True)
    about = pd.DataFrame({"sample_id": IDS, "speaker": [None, *(f"p{i % 5}" for i in range(1, 24))]})
    about["emotion"] = [None if i == 2 else ("joy", "fear")[i % 2] for i in range(24)]
    about["valence"] = np.linspace(-1, 1, 24)
    columns = [{"name": "a", "unit": "Hz", "description": "how high"}, {"name": "b"}, {"name": "c"}]
    made = samples_frame(about, "d", readable=False)
    store.put("d", "audio", "x", values, samples=made, columns=columns)
    store.put("d", "face", "half", values.iloc[:12, :1])
    return store


def test_arrays_go_into_scikit_learn(store, values):
    from sklearn.dummy import DummyClassifier
    from sklearn.model_selection import GroupKFold, cross_validate

    X, y, groups = store.arrays("d", "audio.x", "emotion")
    assert list(X.index) == [i for i in IDS if i != "s02"] and X.dtypes.eq("float32").all()
    assert list(X.columns) == ["audio.x.a", "audio.x.b", "audio.x.c"]
    np.testing.assert_allclose(X, values.drop(index="s02"), rtol=1e-6)
    assert y[:3].tolist() == ["joy", "fear", "fear"] and groups[:3].tolist() == ["s00", "p1", "p3"]
    done = cross_validate(DummyClassifier(), X, y, groups=groups, cv=GroupKFold(3), error_score="raise")
    assert len(done["test_score"]) == 3


def test_arrays_of_numbers_and_of_few(store):
    X, y, _ = store.arrays("d", ["audio.x", "face.half"], "valence")
    assert len(X) == 12 and y.dtype == np.float64 and y[0] == -1
    assert len(store.arrays("d", ["audio.x", "face.half"], "valence", missing="keep").X) == 24


def test_segments_of_a_recording_stay_together(tmp_path):
    store = Store(tmp_path / "lake", create=True)
    about = pd.DataFrame({"sample_id": IDS[:4], "audio": ["/x/1.wav", "/x/1.wav", "/x/2.wav", "/x/2.wav"]})
    about = about.assign(start=[0.0, 1.0, 0.0, 1.0], end=[1.0, 2.0, 1.0, 2.0], emotion=list("abab"))
    store.put("d", "face", "x", pd.DataFrame({"v": range(4)}, index=IDS[:4]), samples=samples_frame(about, "d"))
    groups = store.arrays("d", None, "emotion").groups
    assert groups[0] == groups[1] != groups[2] == groups[3]


def test_arrays_refuse_what_cannot_be(store):
    with pytest.raises(UsageError, match="name a label"):
        store.arrays("d", "audio.x")
    with pytest.raises(UnknownName, match="did you mean 'emotion'"):
        store.arrays("d", "audio.x", "emotoin")


def test_arrays_of_nobody(tmp_path):
    store = Store(tmp_path / "lake", create=True)
    about = pd.DataFrame({"sample_id": IDS[:2], "emotion": pd.Series([None, "joy"], dtype="str")})
    store.put(
        "d", "face", "x", pd.DataFrame({"v": [1.0]}, index=["s00"]), samples=samples_frame(about, "d", readable=False)
    )
    with pytest.raises(AffectlakeError, match="none of 1 sample"):
        store.arrays("d", "face.x", "emotion")


@pytest.mark.parametrize("memory", [1, 1 << 20])
def test_a_description_is_that_of_pandas(store, values, monkeypatch, memory):
    monkeypatch.setattr("affectlake.data.store._describe._MEMORY", memory)
    found = store.describe("d", "audio.x")
    expected = values.astype("float32").astype("float64")
    assert found.loc["audio.x.a", ["unit", "meaning"]].tolist() == ["Hz", "how high"]
    assert found["count"].tolist() == [24, 23, 24] and found["missing"].tolist() == [0, 1, 0]
    for name, mine in (("mean", expected.mean()), ("sd", expected.std(ddof=0)), ("max", expected.max())):
        np.testing.assert_allclose(found[name], mine, rtol=1e-6)
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        np.testing.assert_allclose(found[f"{share:.0%}"], expected.quantile(share), rtol=1e-5)


def test_a_description_counts_those_without_a_row(store):
    found = store.describe("d")
    assert found.loc["face.half.a", ["count", "missing"]].tolist() == [12, 12] and len(found) == 4


def test_the_nearest_are_those_of_the_formula(store, values):
    found = store.similar("d", "s03", "audio.x", n=5)
    z = ((values - values.mean()) / values.std(ddof=0)).fillna(0)
    cosine = (z @ z.loc["s03"]) / (np.linalg.norm(z, axis=1) * np.linalg.norm(z.loc["s03"]))
    expected = cosine.drop("s03").sort_values(ascending=False, kind="stable")[:5]
    assert found.index[0] == "s07" and found["similarity"].iloc[0] == pytest.approx(1)
    assert list(found.index) == list(expected.index) and found.loc["s07", "speaker"] == "p2"
    np.testing.assert_allclose(found["similarity"], expected, atol=1e-6)
    assert len(store.similar("d", "s03", "audio.x", n=1000)) == 23


@pytest.mark.parametrize(
    ("sample", "extractor", "n", "message"),
    [
        ("s99", "audio.x", 3, "unknown sample 's99'"),
        ("s03", "audio.y", 3, "unknown extractor 'audio.y', did you mean 'audio.x'"),
        ("s20", "face.half", 3, "'s20' has no face.half"),
        ("s03", "audio.x", 0, "n must be at least 1"),
    ],
)
def test_the_nearest_to_nothing(store, sample, extractor, n, message):
    with pytest.raises(AffectlakeError, match=message):
        store.similar("d", sample, extractor, n)


def test_a_table_that_applies_to_nobody_empties_no_frame(tmp_path, caplog):
    store = Store(tmp_path / "lake", create=True)
    contents = contents_of(3)
    refresh(store, contents)
    store.put("d", "face", "one", pd.DataFrame({"v": [1.0]}, index=[next(iter(contents))]))
    others = list(contents)[1:]
    found = store.load("d", ids=others, missing="drop")
    assert list(found.index) == others and list(found.columns) == ["speaker", "audio.x.a", "audio.x.b"]
    assert "left out, as no sample asked for has any: face.one" in caplog.text
    assert store.load("d", "face.one", ids=others, missing="drop").shape == (0, 2)
    assert store.load("d", missing="drop").shape == (1, 4)
