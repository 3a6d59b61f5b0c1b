"""Any speech encoder of transformers that is on this machine can be used; without one the listing says what to do."""

import json
from pathlib import Path

import numpy as np
import pytest

from affectlake.data.errors import AffectlakeError, NotApplicable
from affectlake.data.sound import RATE, AudioClip
from affectlake.features import registry, settings
from affectlake.features.audio import hub
from affectlake.features.protocol import fingerprint

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
WAVE = SMALL | {"conv_dim": [8] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}


def saved(kind: str, folder) -> str:
    """A folder with a small random encoder and its feature extractor."""
    torch.manual_seed(0)
    features = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    match kind:
        case "wav2vec2":
            model = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**WAVE))
        case "hubert":
            model = transformers.HubertModel(transformers.HubertConfig(**WAVE))
        case "wavlm":
            model = transformers.WavLMModel(transformers.WavLMConfig(**WAVE))
        case "whisper":
            features = transformers.WhisperFeatureExtractor(feature_size=20)
            small = {f"{half}_{key}": 2 for half in ("encoder", "decoder") for key in ("layers", "attention_heads")}
            config = transformers.WhisperConfig(
                d_model=16, num_mel_bins=20, encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=50, pad_token_id=0,
                bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, **small,
            )  # fmt: skip
            model = transformers.WhisperModel(config)
    model.save_pretrained(folder)
    features.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory) -> str:
    return saved("wav2vec2", tmp_path_factory.mktemp("model") / "tiny-wav2vec2")


@pytest.fixture
def encoder(wav2vec2, monkeypatch):
    monkeypatch.setenv(hub.extractor.variable, wav2vec2)
    return hub.extractor


def noise(seconds: float, seed: int = 0) -> AudioClip:
    return AudioClip(0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE)))


@pytest.mark.parametrize(
    ("config", "heard", "reason"),
    [
        ({}, {}, "holds no speech encoder"),
        ({"hidden_size": 8}, {}, "holds no speech encoder"),
        ({"hidden_size": 8}, {"sampling_rate": 24_000}, "reads 24000 samples per second, not 16000"),
        ({"hidden_size": 8}, {"sampling_rate": 16_000}, "holds no weights"),
    ],
)
def test_a_folder_without_a_whole_encoder_is_unavailable(monkeypatch, tmp_path, config, heard, reason):
    for name, content in (("config.json", config), ("preprocessor_config.json", heard)):
        if content:
            (tmp_path / name).write_text(json.dumps(content))
    monkeypatch.setenv(hub.extractor.variable, str(tmp_path))
    assert reason in registry.unavailable(hub.extractor)


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm", "whisper"])
def test_encoders_of_several_kinds(kind, monkeypatch, tmp_path):
    monkeypatch.setenv(hub.extractor.variable, saved(kind, tmp_path / kind))
    assert registry.unavailable(hub.extractor) is None
    tone = AudioClip(0.1 * np.sin(np.arange(20_800) / 10))
    one, again, other = hub.extractor.extract([noise(1.3), noise(1.3), tone])
    assert one.shape == (len(hub.extractor.columns),) == (32,) and one.dtype == np.float32
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-4 and one[16:].min() >= 0
    assert kind in hub.extractor.columns[0].source


def test_it_is_the_mean_and_deviation_of_the_middle_layers(encoder, wav2vec2):
    clip = noise(2.0)
    y = torch.from_numpy((clip.y - clip.y.mean()) / np.sqrt(clip.y.var() + 1e-7))[None]
    with torch.inference_mode():
        states = transformers.AutoModel.from_pretrained(wav2vec2)(y, output_hidden_states=True).hidden_states
    assert hub.chosen_layers(Path(wav2vec2)) == range(1, 2), "the middle of two"
    for given, layers in (("", [1]), ("0", [0]), ("0-1", [0, 1])):
        mean = torch.stack([states[i][0] for i in layers]).mean(dim=0)
        expected = torch.cat([mean.mean(dim=0), mean.std(dim=0, correction=0)])
        with settings.use({"audio.layers": f"{layers[0]}-{layers[-1]}" if given else ""}):
            np.testing.assert_allclose(encoder.extract([clip])[0], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("depth", "layers"), [(6, range(2, 5)), (12, range(4, 9)), (24, range(8, 17)), (1, range(1, 2))]
)
def test_the_middle_third_is_read_by_default(depth, layers, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"num_hidden_layers": depth}))
    assert hub.chosen_layers(tmp_path) == layers


def test_a_layer_that_the_model_lacks_is_named(encoder):
    with settings.use({"audio.layers": "1-3"}):
        assert "has 2 layers: audio.layers=1-3 asks for more" in str(registry.unavailable(encoder))


def test_layers_belong_to_the_fingerprint(encoder):
    before = fingerprint(encoder, "1")
    with settings.use({"audio.layers": "0-1"}):
        assert fingerprint(encoder, "1") != before


def test_whisper_is_not_padded(monkeypatch, tmp_path):
    """Pooled over the 30 s that it always reads, 1 s of sound and 1 s of other sound would be all but the same."""
    encoder = hub._encoder(Path(saved("whisper", tmp_path / "whisper")), range(1, 2))
    assert len(encoder.states(noise(3.0).y)) == 150
    assert len(encoder.states(noise(1.0).y)) == 50, "and its positions are whole again after the first"


def test_a_long_recording_is_heard_in_pieces(encoder, monkeypatch):
    heard = []
    states = hub.Encoder.states
    monkeypatch.setattr(hub.Encoder, "states", lambda self, y: heard.append(len(y) / RATE) or states(self, y))
    long = encoder.extract([noise(40)])[0]
    assert len(heard) == 4 and max(heard) - min(heard) < 1e-3
    np.testing.assert_allclose(long[:16], encoder.extract([noise(15)])[0][:16], atol=0.1)


def test_weights_that_are_missing_are_not_made_up(monkeypatch, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "half"
    monkeypatch.setenv(hub.extractor.variable, saved("wav2vec2", folder))
    kept = {k: v for k, v in load_file(folder / "model.safetensors").items() if "layers.1." not in k}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AffectlakeError, match="half lacks .* weights of its encoder, first encoder.layers.1"):
        hub.extractor.extract([noise(1)])


def test_silence_and_clicks_do_not_apply(encoder):
    silent, short, good = encoder.extract([AudioClip(np.zeros(RATE)), noise(0.05), noise(0.1)])
    assert isinstance(silent, NotApplicable) and "silent" in str(silent)
    assert isinstance(short, NotApplicable) and "too short" in str(short)
    assert np.isfinite(good).all()


def test_its_fingerprint_is_that_of_the_weights(encoder, monkeypatch, tmp_path):
    before = fingerprint(encoder, "1")
    for place in ("here", "there"):
        monkeypatch.setenv(encoder.variable, saved("wav2vec2", tmp_path / place / "tiny-wav2vec2"))
        assert fingerprint(encoder, "1") == before
    weights = tmp_path / "there" / "tiny-wav2vec2" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert fingerprint(encoder, "1") != before
