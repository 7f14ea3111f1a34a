"""Three networks beside one: trained on from it, trained apart, and a copy of it in another basis.

Run ``python gallery/how_alike.py [FOLDER]``; it takes about 20 s and ends in three pages, FOLDER/alike-*.html.
The default folder is gallery/out.

As functions, the one trained on is nearest but for the copy. Leading directions of the weights tell which share a
basis, and after alignment the copy does. CKA finds all of them alike in every layer, so it has to be read beside the
other depths. LAFTR knows the distances from one stored number for each ReLU, where the basis is the same; for the
network trained apart it is too high even after alignment.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import nn

import reknit

LIKE = "mlp:sizes=64-64-64-10"
Weights = dict[str, torch.Tensor]


def train(seed: int, x: torch.Tensor, y: torch.Tensor, epochs: int, start: Weights | None = None) -> Weights:
    """The weights of an MLP, under the keys of the built-in one."""
    torch.manual_seed(seed)
    layers = [nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)]
    named = {f"layers.{k}.{name}": p for k, layer in enumerate(layers) for name, p in layer.named_parameters()}
    if start is not None:
        for key, value in start.items():
            named[key].data.copy_(value)
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    optimiser = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(50):
            optimiser.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(net(x[rows]), y[rows]))
            optimiser.step()
    return {key: value.detach().clone() for key, value in named.items()}


def in_another_basis(net: Weights) -> Weights:
    """The same function with its hidden units in another order."""
    generator = torch.Generator().manual_seed(0)
    moved = dict(net)
    for k in range(2):
        order = torch.randperm(64, generator=generator)
        moved[f"layers.{k}.weight"] = moved[f"layers.{k}.weight"][order]
        moved[f"layers.{k}.bias"] = moved[f"layers.{k}.bias"][order]
        moved[f"layers.{k + 1}.weight"] = moved[f"layers.{k + 1}.weight"][:, order]
    return {key: value.contiguous() for key, value in moved.items()}


def main(folder: Path) -> None:
    """Train, store one number a unit, compare, draw."""
    folder.mkdir(parents=True, exist_ok=True)
    images, digits = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16.0 - 0.3, dtype=torch.float32), torch.tensor(digits)
    first = folder / "alike.safetensors"
    save_file(train(0, x[:1250], y[:1250], 20), first)
    one, few = load_file(first), y[:1250] < 5
    others = {
        "trained-on": train(2, x[:1250][few], y[:1250][few], 3, start=one),
        "trained-apart": train(1, x[:1250], y[:1250], 20),
        "copy": in_another_basis(one),
    }
    np.savez(folder / "seen.npz", inputs=x[:1250].numpy())
    np.savez(folder / "left-out.npz", inputs=x[1250:].numpy(), targets=y[1250:].numpy())
    stored = folder / "alike-stored.safetensors"
    reknit.compare(first, first, like=LIKE, data=folder / "seen.npz", store=stored, method="none", force=True)
    for name, net in others.items():
        save_file(net, folder / f"alike-{name}.safetensors")
        page = folder / f"alike-{name}.html"
        files = (first, folder / f"alike-{name}.safetensors")
        found = reknit.compare(*files, like=LIKE, data=folder / "left-out.npz", report=page, force=True)
        later = reknit.compare(*files, like=LIKE, store=stored)
        told(name, found, later)
        print(f"  drawn in {page}")


def told(name: str, found: reknit.Comparison, later: reknit.Comparison) -> None:
    """What there is to know, in a few lines."""
    answer, sites = found.answers[0], found.representations.sites if found.representations else ()
    same = answer.same.value if answer.same else float("nan")
    print(f"{name}: {answer.share or 0:.3f} of the variance apart, the same digit in {same:.3f}")
    if later.estimate is not None and later.estimate.after is not None:
        guessed = f"{later.estimate.before:.3g}, aligned {later.estimate.after:.3g}"
        print(f"  distance {found.true:.3g}; from stored numbers {guessed}")
    print("  leading directions of the weights {:.2f}, aligned {:.2f}".format(*found.directions))
    print("  layer by layer: CKA", *(f"{site.cka.value:.2f}" for site in sites if site.cka), end="; ")
    print("CCA", *(f"{site.cca.value:.2f}" for site in sites if site.cca.value is not None))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out")
