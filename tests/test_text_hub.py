"""Any sentence-transformers model that is on this machine can be used; without one the listing says what to do."""

import json
import shutil

import numpy as np
import pytest

from affectlake.features import registry
from affectlake.features.inputs import Request
from affectlake.features.protocol import fingerprint
from affectlake.features.text import _minilm, hub


@pytest.fixture
def minilm(monkeypatch):
    pytest.importorskip("sentence_transformers")
    monkeypatch.setenv(hub.extractor.variable, str(_minilm.folder()))
    return hub.extractor


def test_a_folder_without_a_whole_model_is_unavailable(monkeypatch, tmp_path):
    monkeypatch.setenv(hub.extractor.variable, str(tmp_path))
    assert "holds no sentence-transformers model" in registry.unavailable(hub.extractor)
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    assert "holds no weights" in registry.unavailable(hub.extractor)


def test_a_folder_is_used_and_gives_what_its_own_extractor_gives(minilm):
    assert registry.unavailable(minilm) is None
    batch = [Request("a", text="What a day!"), Request("b", text="Oh no.")]
    np.testing.assert_allclose(minilm.extract(batch), registry.get("text.minilm").extract(batch), atol=1e-6)
    assert len(minilm.columns) == 384


def test_a_name_is_looked_up_in_the_cache(minilm, monkeypatch, tmp_path):
    from huggingface_hub import constants

    cached = tmp_path / "models--someone--model"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    shutil.copytree(_minilm.folder(), cached / "snapshots" / ("0" * 40))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv(hub.extractor.variable, "someone/model")
    assert registry.unavailable(minilm) is None
    assert minilm.parameters["model"] == "someone/model" and "someone/model" in minilm.columns[0].source
    assert minilm.extract([Request("a", text="Well.")])[0].shape == (384,)


def test_its_fingerprint_is_that_of_the_bytes(minilm, monkeypatch, tmp_path):
    def moved(place: str) -> str:
        folder = shutil.copytree(_minilm.folder(), tmp_path / place / "model", ignore=shutil.ignore_patterns("*.md"))
        monkeypatch.setenv(hub.extractor.variable, str(folder))
        return fingerprint(hub.extractor, "1")

    first = moved("here")
    assert moved("there") == first
    with open(tmp_path / "there" / "model" / "vocab.txt", "a") as f:
        f.write("zzz\n")
    assert fingerprint(hub.extractor, "1") != first


@pytest.mark.parametrize(
    "pooling, expected",
    [
        ({"word_embedding_dimension": 8, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, 8),
        ({"word_embedding_dimension": 8, "pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}, 16),
        ({"embedding_dimension": 8, "pooling_mode": "mean"}, 8),
        ({"embedding_dimension": 8, "pooling_mode": ["mean", "max"]}, 16),
        ({"in_features": 8, "out_features": 5, "bias": True}, 5),
    ],
)
def test_width_is_read_from_the_description(monkeypatch, tmp_path, pooling, expected):
    (tmp_path / "1_Last").mkdir()
    (tmp_path / "modules.json").write_text(json.dumps([{"path": ""}, {"path": "1_Last"}, {"path": "2_Normalize"}]))
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 8}))
    (tmp_path / "1_Last" / "config.json").write_text(json.dumps(pooling))
    monkeypatch.setenv(hub.extractor.variable, str(tmp_path))
    assert len(hub.extractor.columns) == expected
