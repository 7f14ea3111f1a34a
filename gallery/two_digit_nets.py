"""Two networks trained apart on digits: aligned, looked at beforehand, merged, and what lies between them.

Run ``python gallery/two_digit_nets.py [FOLDER]``; it takes about 20 s and ends in FOLDER/path.html.
The default folder is gallery/out.

Half way between the two networks as they are, accuracy falls; in one basis it hardly does. The page of ``path`` draws
it before and after alignment, with statistics as averaging leaves them and set right.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

import reknit

LIKE = "mlp:sizes=64-64-64-10"


def train(seed: int, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
    """The weights of an MLP, under the keys of the built-in one."""
    torch.manual_seed(seed)
    layers = [nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)]
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    optimiser = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    for _ in range(20):
        for rows in torch.randperm(len(x)).split(50):
            optimiser.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(net(x[rows]), y[rows]))
            optimiser.step()
    named = {f"layers.{k}.{name}": p for k, layer in enumerate(layers) for name, p in layer.named_parameters()}
    return {key: value.detach().clone() for key, value in named.items()}


def main(folder: Path) -> None:
    """Train, align, merge, draw."""
    folder.mkdir(parents=True, exist_ok=True)
    images, digits = load_digits(return_X_y=True)
    x = torch.tensor(images / 16.0 - 0.3, dtype=torch.float32)
    y = torch.tensor(digits)
    files = [folder / f"digits-{seed}.safetensors" for seed in (0, 1)]
    for seed, file in enumerate(files):
        save_file(train(seed, x[:1250], y[:1250]), file)
    np.savez(folder / "inputs.npz", inputs=x[:1250].numpy())
    np.savez(folder / "left-out.npz", inputs=x[1250:].numpy(), targets=y[1250:].numpy())

    aligned = reknit.align(*files, like=LIKE, out=folder / "aligned.safetensors", force=True)
    print(f"align: {aligned.verdict}; {aligned.reason}")
    print("       leading singular directions agree by {:.2f} before and {:.2f} after".format(*aligned.directions))
    for method in ("none", "weights"):
        found = reknit.merge(files, like=LIKE, data=folder / "inputs.npz", method=method, plan=True)
        print(f"merge, aligned by {method}: {found.verdict}; {found.reason}")
    reknit.merge(files, like=LIKE, data=folder / "inputs.npz", out=folder / "merged.safetensors", force=True)
    line = reknit.path(*files, like=LIKE, data=folder / "left-out.npz", report=folder / "path.html", force=True)
    for name, curve in line.curves.items():
        barrier = curve.barrier()
        print(f"path, {name}: barrier {barrier.value:.3f} ({barrier.low:.3f} to {barrier.high:.3f})")
    print(f"drawn in {folder / 'path.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out")
