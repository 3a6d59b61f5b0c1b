"""CLIP, or any image encoder that is on this machine, can be used; without one the listing says what to do."""

import importlib
import json

import numpy as np
import pytest

from affectlake.features import registry
from affectlake.features.image import hub
from affectlake.features.protocol import fingerprint

sentence_transformers = pytest.importorskip("sentence_transformers")
transformers = pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")
torch = pytest.importorskip("torch")

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SEEN = {"image_size": 32, "patch_size": 8}
VOCABULARY = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}


def processor(of: str, name: str, **sizes):
    """The one that runs on Pillow: the other one wants torchvision."""
    return getattr(importlib.import_module(f"transformers.models.{of}.image_processing_pil_{of}"), name)(**sizes)


def saved(kind: str, folder) -> str:
    """A folder with a small random encoder."""
    torch.manual_seed(0)
    if kind == "clip":
        text = SMALL | {"vocab_size": 8, "max_position_embeddings": 16, "bos_token_id": 0, "eos_token_id": 1}
        config = transformers.CLIPConfig(
            text_config=text | {"pad_token_id": 1}, vision_config=SMALL | SEEN, projection_dim=12
        )
        pictures = processor(
            "clip", "CLIPImageProcessorPil", size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        )
        words = transformers.CLIPTokenizer(vocab=VOCABULARY, merges=[])
        transformers.CLIPModel(config).save_pretrained(folder)
        transformers.CLIPProcessor(image_processor=pictures, tokenizer=words).save_pretrained(folder)
    else:
        transformers.ViTModel(transformers.ViTConfig(**SMALL, **SEEN)).save_pretrained(folder)
        processor("vit", "ViTImageProcessorPil", size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> str:
    return saved("clip", tmp_path_factory.mktemp("model") / "tiny-clip")


@pytest.fixture
def encoder(clip, monkeypatch):
    monkeypatch.setenv(hub.extractor.variable, clip)
    return hub.extractor


def noise(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "holds no model of pictures"),
        ({"config.json": {"hidden_size": 8}}, "holds no model of pictures"),
        ({"preprocessor_config.json": {"size": 8}}, "does not say how wide"),
        ({"preprocessor_config.json": {"size": 8}, "config.json": {"hidden_size": 8}}, "holds no weights"),
    ],
)
def test_a_folder_without_a_whole_encoder_is_unavailable(monkeypatch, tmp_path, files, reason):
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    monkeypatch.setenv(hub.extractor.variable, str(tmp_path))
    assert reason in registry.unavailable(hub.extractor)


@pytest.mark.parametrize(("kind", "width"), [("clip", 12), ("vit", 16)])
def test_encoders_of_several_kinds(kind, width, monkeypatch, tmp_path):
    monkeypatch.setenv(hub.extractor.variable, saved(kind, tmp_path / f"tiny-{kind}"))
    assert registry.unavailable(hub.extractor) is None and len(hub.extractor.columns) == width
    one, again, other, tall = hub.extractor.extract([noise(0), noise(0), noise(1), noise(2, 500, 20)])
    assert one.shape == (width,) and one.dtype == np.float32
    np.testing.assert_allclose(one, again, atol=1e-6)
    assert np.abs(one - other).max() > 1e-4 and np.isfinite(tall).all()
    assert abs(np.linalg.norm(one) - 1) < 1e-5
    assert f"tiny-{kind}" in hub.extractor.columns[0].source


def test_it_is_the_common_space_of_clip(encoder, clip):
    found = encoder.extract([noise(0)])[0]
    pixels = transformers.CLIPProcessor.from_pretrained(clip)(images=Image.fromarray(noise(0)), return_tensors="pt")
    with torch.inference_mode():
        out = transformers.CLIPModel.from_pretrained(clip).get_image_features(**pixels)
    expected = out.pooler_output[0].numpy()
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


def test_a_model_as_sentence_transformers_saves_it(encoder, clip, monkeypatch, tmp_path):
    """As on the hub: its parts in folders of their own, listed in modules.json."""
    before = encoder.extract([noise(3)])[0]
    (tmp_path / "tiny-clip" / "0_CLIPModel").mkdir(parents=True)
    for path in hub.extractor.folder().iterdir():
        (tmp_path / "tiny-clip" / "0_CLIPModel" / path.name).write_bytes(path.read_bytes())
    kind = "sentence_transformers.models.CLIPModel"
    modules = [{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": kind}]
    (tmp_path / "tiny-clip" / "modules.json").write_text(json.dumps(modules))
    monkeypatch.setenv(encoder.variable, str(tmp_path / "tiny-clip"))
    assert len(encoder.columns) == 12 and len(encoder.weights()) > 1
    np.testing.assert_allclose(encoder.extract([noise(3)])[0], before, atol=1e-6)


def test_its_fingerprint_is_that_of_the_weights(encoder, monkeypatch, tmp_path):
    before = fingerprint(encoder, "1")
    monkeypatch.setenv(encoder.variable, saved("clip", tmp_path / "there" / "tiny-clip"))
    assert fingerprint(encoder, "1") == before
    weights = tmp_path / "there" / "tiny-clip" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert fingerprint(encoder, "1") != before
