"""A checkpoint goes through two changes that its new owner does not mention; diff names both, and draws a page.

Run ``python gallery/what_changed.py [FOLDER]``; it takes about 10 s and ends in FOLDER/what_changed.html.
The default folder is gallery/out.

The units of a trained network are permuted and the numbers rounded to 4 bits; the file gets other names. By names and
bytes nothing agrees any more.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

import reknit

LIKE = "mlp:sizes=64-64-64-10"


def train(seed: int) -> dict[str, torch.Tensor]:
    """The weights of an MLP on digits, under the keys of the built-in one."""
    images, digits = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16.0 - 0.3, dtype=torch.float32), torch.tensor(digits)
    torch.manual_seed(seed)
    layers = [nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)]
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    optimiser = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    for _ in range(8):
        for rows in torch.randperm(len(x)).split(50):
            optimiser.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(net(x[rows]), y[rows]))
            optimiser.step()
    named = {f"layers.{k}.{name}": p for k, layer in enumerate(layers) for name, p in layer.named_parameters()}
    return {key: value.detach().clone() for key, value in named.items()}


def main(folder: Path) -> None:
    """Train, launder, name."""
    folder.mkdir(parents=True, exist_ok=True)
    first, other, taken = (folder / f"{name}.safetensors" for name in ("published", "other-seed", "taken"))
    save_file(train(0), first)
    save_file(train(1), other)
    reknit.launder(first, "permute,round:4:row,rename,shuffle", like=LIKE, seed=0, out=taken, force=True)

    found = reknit.diff(first, taken, report=folder / "what_changed.html", force=True)
    print(f"{found.verdict}: {found.sentence}")
    for layer in found.layers:
        print(f"   {layer.name}  {layer.words}")
    print(reknit.diff(first, other).sentence)
    print(f"drawn in {folder / 'what_changed.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out")
