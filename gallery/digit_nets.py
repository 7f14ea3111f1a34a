"""What the gallery's scripts on digits share: small networks trained apart, as checkpoints, and data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

LIKE = "mlp:sizes=64-64-64-10"
TRAINED_ON = 1250


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """1797 images of 64 pixels, and what they show."""
    images, shown = load_digits(return_X_y=True)
    return torch.tensor(images / 16.0 - 0.3, dtype=torch.float32), torch.tensor(shown)


def train(seed: int, epochs: int, start: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    """The weights of an MLP, under the keys of the built-in one, trained from the start or from other weights."""
    torch.manual_seed(seed)
    x, y = (each[:TRAINED_ON] for each in digits())
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    if start:
        net.load_state_dict({f"{2 * int(key.split('.')[1])}.{key.split('.')[2]}": start[key] for key in start})
    optimiser = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(50):
            optimiser.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(net(x[rows]), y[rows]))
            optimiser.step()
    return {
        f"layers.{int(key.split('.')[0]) // 2}.{key.split('.')[1]}": p.detach().clone()
        for key, p in net.named_parameters()
    }


def write(folder: Path, seeds: Sequence[int], epochs: int) -> list[Path]:
    """Networks as checkpoints; ``inputs.npz`` without labels, and ``left-out.npz`` with them."""
    folder.mkdir(parents=True, exist_ok=True)
    x, y = (each.numpy() for each in digits())
    np.savez(folder / "inputs.npz", inputs=x[:TRAINED_ON])
    np.savez(folder / "left-out.npz", inputs=x[TRAINED_ON:], targets=y[TRAINED_ON:])
    files = [folder / f"digits-{seed}.safetensors" for seed in seeds]
    for seed, file in zip(seeds, files, strict=True):
        save_file(train(seed, epochs), file)
    return files
