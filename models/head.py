"""The MLP fusion head in PyTorch.

``projected``: per modality h_m = W_m x_m + b_m (128 units), h = relu(sum over the modalities that are there), then one
linear layer; modality dropout hides whole modalities in training, so that a missing one is nothing new.
``dense``: the simplest head, relu(Wx + b) with 128 units over everything side by side.
Both end in a softmax, or in one sigmoid unit for two classes (one linear unit for numbers), and are trained with Adam
(4e-3) on cross-entropy (numbers: 1 - CCC), stopped early on a held-out group of speakers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectlake.models.splits import Fold

UNITS = 128
RATE = 4e-3
BATCH = 128
STEPS = 512
"""Steps of an epoch at most: of more samples than these times `BATCH`, each takes more of them."""

EPOCHS = 200
PATIENCE = 6
DROPOUT = 0.5
MODALITY_DROPOUT = 0.2
INPUT_DROPOUT = 0.2
DECAY = 1e-4


@dataclass(frozen=True)
class Head:
    """A trained head: the mean of networks that each held out another inner fold.

    Attributes
    ----------
    kind : "projected" | "dense"
    widths : dict of modality to int
        Columns of each modality, in order.
    classes : int
        1 for numbers.
    states : list of dict
        Weights of each network, as numpy arrays.
    mean, std : float
        Of the target, for numbers.
    oof : float array, shape=(n, classes), or None
        Answers about the training samples, each by the network that held it out, at the epoch that other held-out
        samples chose; None in a head that was read from a file.
    """

    kind: str
    widths: dict[str, int]
    classes: int
    states: list[dict[str, np.ndarray]]
    mean: float = 0.0
    std: float = 1.0
    oof: np.ndarray | None = None

    def predict(self, blocks: Mapping[str, np.ndarray], present: Mapping[str, np.ndarray]) -> np.ndarray:
        """Probabilities [shape=(n, classes)], or numbers [shape=(n, 1)]."""
        import torch

        x, there = _tensors(self.widths, blocks, present)
        total: Any = 0.0
        with torch.inference_mode():
            for state in self.states:
                net = _network(self.kind, self.widths, self.classes)
                net.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
                total = total + _answer(net.eval()(x, there), self.classes)
        mean = (total / len(self.states)).double().numpy()
        return mean * self.std + self.mean if self.classes == 1 else mean


def fit(
    blocks: Mapping[str, np.ndarray],
    present: Mapping[str, np.ndarray],
    y: np.ndarray,
    inner: list[Fold],
    classes: int,
    balanced: bool,
    seed: int,
    kind: str = "projected",
) -> Head:
    """Train a head.

    Parameters
    ----------
    blocks : mapping of modality to float array, shape=(n, columns)
        Components, see `affectlake.models.early.Rotation`.
    present : mapping of modality to bool array, shape=(n,)
    y : array, shape=(n,)
        Class indices, or numbers where ``classes`` is 1.
    inner : list of Fold
        Grouped folds; each is held out by one network.
    """
    widths = {m: b.shape[1] for m, b in blocks.items()}
    mean, std = (float(y.mean()), float(y.std()) or 1.0) if classes == 1 else (0.0, 1.0)
    target = (y - mean) / std if classes == 1 else y
    weight = np.ones(len(y))
    if classes > 1 and balanced:
        from sklearn.utils.class_weight import compute_sample_weight

        weight = compute_sample_weight("balanced", y)
    samples = _Samples(*_tensors(widths, blocks, present), target, weight)
    states, oof = [], np.zeros((len(y), classes))
    for i, fold in enumerate(inner):
        state, oof[fold.test] = _train(kind, widths, classes, samples, fold, seed + 1000 * i)
        states.append(state)
    return Head(kind, widths, classes, states, mean, std, oof * std + mean if classes == 1 else oof)


@dataclass(frozen=True)
class _Samples:
    """Tensors of the features and of what is there, and arrays of the target and of what a sample weighs."""

    x: Any
    there: Any
    y: np.ndarray
    weight: np.ndarray


def _train(
    kind: str, widths: Mapping[str, int], classes: int, samples: _Samples, fold: Fold, seed: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Weights of a network, and its answers about the samples that it held out.

    Half of these are answered at the epoch at which the other half would have stopped: it is stopped on all of them,
    and answers at that epoch would say too much.
    """
    import torch

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = _network(kind, widths, classes)
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    dtype = torch.float32 if classes <= 2 else torch.long
    watched = samples.weight[fold.test]
    if classes > 1 and (known := np.isin(samples.y[fold.test], samples.y[fold.train])).any():
        watched = watched * known  # a class that was not there to be learned says nothing of when to stop
    train, held = (
        _Part(
            samples.x[rows],
            samples.there[rows],
            torch.tensor(samples.y[rows], dtype=dtype),
            torch.tensor(weight, dtype=torch.float32),
        )
        for rows, weight in ((fold.train, samples.weight[fold.train]), (fold.test, watched))
    )
    best, best_loss, waited = _copy(net), float("inf"), 0
    half = torch.as_tensor(fold.half if fold.half is not None else np.arange(len(fold.test)) % 2 == 1)
    halves = [(~half, half), (half, ~half)] if half.any() and (~half).any() else [(half | True, half | True)]
    said, lowest = np.zeros((len(fold.test), classes)), [float("inf")] * len(halves)
    size = max(BATCH, -(-len(fold.train) // STEPS))
    for _ in range(EPOCHS):
        for batch in torch.from_numpy(rng.permutation(len(fold.train))).split(size):
            part = train.of(batch)
            for parameter in net.parameters():
                parameter.grad = None
            out = net(*_spoilt(part, kind, widths, rng))
            _loss(out, part.truth, part.weight, classes).backward()
            optimiser.step()
        with torch.inference_mode():
            out = net(held.x, held.there)
            loss = float(_loss(out, held.truth, held.weight, classes))
            for i, (stopped, scored) in enumerate(halves):
                mine = float(_loss(out[stopped], held.truth[stopped], held.weight[stopped], classes))
                if mine < lowest[i]:
                    lowest[i] = mine
                    said[scored.numpy()] = _answer(out[scored], classes).double().numpy()
        if loss < best_loss:
            best, best_loss, waited = _copy(net), loss, 0
        else:
            waited += 1
            if waited >= PATIENCE:
                break
    return best, said


@dataclass(frozen=True)
class _Part:
    """Tensors of some samples: features, what is there, target, weights."""

    x: Any
    there: Any
    truth: Any
    weight: Any

    def of(self, rows: Any) -> "_Part":
        return _Part(self.x[rows], self.there[rows], self.truth[rows], self.weight[rows])


def _spoilt(part: _Part, kind: str, widths: Mapping[str, int], rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Features with some hidden, what is left there, and which hidden units are dropped: what a step is trained on.

    One random byte decides each: torch's own dropout costs ten times as much, more than the rest of a step.
    """
    if kind == "dense":
        return part.x, part.there, None
    import torch

    kept = _kept(rng, part.x.shape, INPUT_DROPOUT)
    there = part.there.numpy()
    if len(widths) > 1:
        left = there * _kept(rng, there.shape, MODALITY_DROPOUT)
        there = np.where(left.any(axis=1, keepdims=True), left, there).astype(np.float32)
        ends = np.cumsum(list(widths.values()))
        for i, end in enumerate(ends):
            kept[:, end - list(widths.values())[i] : end] &= there[:, i : i + 1] > 0
    units = _kept(rng, (len(there), UNITS), DROPOUT)
    x = part.x * torch.from_numpy(kept)
    return x / (1 - INPUT_DROPOUT), torch.from_numpy(there), torch.from_numpy(units) / (1 - DROPOUT)


def _kept(rng: np.random.Generator, shape: tuple[int, ...], dropout: float) -> np.ndarray:
    """Of each whether it is kept, to 1/256 [shape=shape]."""
    drawn = np.frombuffer(rng.bytes(int(np.prod(shape))), dtype=np.uint8)
    return np.asarray(drawn.reshape(shape) >= round(256 * dropout))


def _copy(net: Any) -> dict[str, np.ndarray]:
    return {k: v.detach().numpy().copy() for k, v in net.state_dict().items()}


def _loss(out: Any, truth: Any, weights: Any, classes: int) -> Any:
    from torch.nn import functional as f

    if classes == 1:
        return _concordance_loss(out[:, 0], truth)
    if classes == 2:
        losses = f.binary_cross_entropy_with_logits(out[:, 0], truth, reduction="none")
    else:
        losses = f.cross_entropy(out, truth, reduction="none")
    return (losses * weights).mean()


def _concordance_loss(out: Any, truth: Any) -> Any:
    """1 - CCC (Lin 1989): what numbers are ranked by, where a squared error would draw answers to the mean."""
    mean, center = out.mean(), truth.mean()
    covariance = ((out - mean) * (truth - center)).mean()
    apart = out.var(correction=0) + truth.var(correction=0) + (mean - center) ** 2
    return 1 - 2 * covariance / (apart + 1e-8)


def _answer(out: Any, classes: int) -> Any:
    import torch

    if classes == 1:
        return out
    if classes == 2:
        p = torch.sigmoid(out)
        return torch.cat([1 - p, p], dim=1)
    return torch.softmax(out, dim=1)


def _tensors(
    widths: Mapping[str, int], blocks: Mapping[str, np.ndarray], present: Mapping[str, np.ndarray]
) -> tuple[Any, Any]:
    import torch

    x = np.hstack([np.where(present[m][:, None], blocks[m], np.float32(0)) for m in widths]).astype(np.float32)
    there = np.column_stack([present[m] for m in widths]).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(there)


def _network(kind: str, widths: Mapping[str, int], classes: int) -> Any:
    import torch
    from torch import nn
    from torch.nn import functional as f

    outputs = classes if classes > 2 else 1

    class Projected(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # One matrix for the projections of all modalities costs less than one for each: what is missing is zero.
            each = [nn.Linear(w, UNITS) for w in widths.values()]
            self.project = nn.Parameter(torch.cat([layer.weight.detach() for layer in each], dim=1))
            self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in each], dim=1))
            self.out = nn.Linear(UNITS, outputs)

        def forward(self, x: Any, there: Any, units: Any = None) -> Any:
            h = f.linear(x, self.project) + f.linear(there, self.bias)
            # A mean over what is there keeps the scale that the next layer was trained on.
            h = torch.relu(h / there.sum(dim=1, keepdim=True).clamp(min=1) ** 0.5)
            return self.out(h if units is None else h * units)

    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(sum(widths.values()), UNITS)
            self.out = nn.Linear(UNITS, outputs)

        def forward(self, x: Any, there: Any, units: Any = None) -> Any:
            return self.out(torch.relu(self.hidden(x)))

    return Projected() if kind == "projected" else Dense()
