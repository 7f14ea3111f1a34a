"""ReLU MLPs on scikit-learn's digits, trained here, and what happens inside them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from reknit.architectures.configs.mlp import MlpConfig
from reknit.architectures.mlp import Mlp, mlp

TRAINED_ON = 1000


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images as rows of numbers in [0, 1], and their digits, shuffled; the first 1000 are to train on."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    return images[order] / 16.0, labels[order]


def made(sizes: Sequence[int], seed: int) -> Mlp:
    """An MLP as torch draws it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return mlp(MlpConfig(sizes=tuple(sizes)))


def trained(net: Mlp, steps: int, seed: int, rate: float = 2e-3, rows: np.ndarray | None = None) -> Mlp:
    """A copy trained further by Adam on cross-entropy, on all training images or on these."""
    x, y = digits()
    among = np.arange(TRAINED_ON) if rows is None else rows
    inputs, labels = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    net = copy.deepcopy(net)
    optimiser = torch.optim.Adam(net.parameters(), rate)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        drawn = torch.tensor(rng.choice(among, 64))
        loss = nn.functional.cross_entropy(net(inputs[drawn]), labels[drawn])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return net


def layers(net: Mlp) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and biases, in float64."""
    parts = [(layer.weight, layer.bias) for layer in net.layers if isinstance(layer, nn.Linear)]
    return [(w.detach().double().numpy(), b.detach().double().numpy()) for w, b in parts]


def activations(net: Mlp, x: np.ndarray) -> list[np.ndarray]:
    """What every hidden layer makes of rows of inputs."""
    found, a = [], x
    for weight, bias in layers(net)[:-1]:
        a = np.maximum(a @ weight.T + bias, 0)
        found.append(a)
    return found
