"""Soft tree ensembles trained apart: the barrier between them before and after each kind of alignment.

    python -m bench tree_ensembles [--seeds 5] [--fresh]

Pairs are trained on one half of a data set of scikit-learn, from different seeds (initialisation and batches), with
Adam as in arXiv 2405.14596; barriers are of the accuracy and the cross-entropy on the other half, along 13 points of
the line. A planted symmetry of every trained ensemble has to be undone exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from bench.common import Lines, options, show
from bench.intervals import interval, told
from reknit.match.trees.ensemble import TreeEnsemble, average
from reknit.match.trees.matching import match_activations, match_order, match_weights
from reknit.match.trees.symmetry import TreeSymmetry

SETS: dict[str, Callable[..., Any]] = {"digits": load_digits, "breast cancer": load_breast_cancer, "wine": load_wine}
SETTINGS = (
    *((name, kind, 64, 2) for name in SETS for kind in ("plain", "oblivious")),
    *(("digits", kind, trees, 2) for kind in ("plain", "oblivious") for trees in (16, 256)),
    *(("digits", kind, 64, 3) for kind in ("plain", "oblivious")),
)
"""Data set, kind, trees, depth."""
METHODS = ("naive", "order, weights", "order, activations", "all, weights", "all, activations")
STEPS, BATCH, RATE = 300, 128, 0.01

Data = tuple[np.ndarray, np.ndarray]


def halves(name: str) -> tuple[Data, Data]:
    """Standardised inputs and classes: to train on, and left out."""
    x, y = SETS[name](return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    half = len(x) // 2
    x, y = x[order], y[order]
    mean, spread = x[:half].mean(0), x[:half].std(0)
    x = (x - mean) / np.where(spread > 0, spread, 1)
    return (x[:half], y[:half]), (x[half:], y[half:])


def trained(data: Data, kind: str, trees: int, depth: int, seed: int) -> TreeEnsemble:
    """An ensemble trained by Adam on cross-entropy, from uniform numbers like a linear layer's."""
    x, y = torch.tensor(data[0], dtype=torch.float32), torch.tensor(data[1])
    generator = torch.Generator().manual_seed(seed)
    inputs, classes, oblivious = x.shape[1], int(y.max()) + 1, kind == "oblivious"
    nodes = depth if oblivious else 2**depth - 1

    def drawn(fan_in: int, *shape: int) -> torch.Tensor:
        start: torch.Tensor = (2 * torch.rand(shape, generator=generator) - 1) / fan_in**0.5
        return start.requires_grad_()

    parts = [
        drawn(inputs, trees, nodes, inputs),
        drawn(inputs, trees, nodes),
        drawn(2**depth, trees, 2**depth, classes),
    ]
    optimiser = torch.optim.Adam(parts, RATE)
    for _ in range(STEPS):
        rows = torch.randint(len(x), (BATCH,), generator=generator)
        loss = torch.nn.functional.cross_entropy(answers(x[rows], *parts, oblivious=oblivious), y[rows])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    weights, biases, leaves = (part.detach().double().numpy() for part in parts)
    found = TreeEnsemble(weights, biases, leaves, oblivious)
    with torch.no_grad():
        np.testing.assert_allclose(
            found(data[0]), answers(x, *parts, oblivious=oblivious).numpy(), rtol=1e-3, atol=1e-3
        )
    return found


def answers(
    x: torch.Tensor, weights: torch.Tensor, biases: torch.Tensor, leaves: torch.Tensor, *, oblivious: bool
) -> torch.Tensor:
    """The ensemble in torch."""
    trees, nodes, inputs = weights.shape
    depth = nodes if oblivious else (nodes + 1).bit_length() - 1
    left = torch.sigmoid(torch.addmm(biases.reshape(-1), x, weights.reshape(-1, inputs).T)).view(len(x), trees, nodes)
    arriving = torch.ones(len(x), trees, 1)
    for d in range(depth):
        share = left[..., d : d + 1] if oblivious else left[..., 2**d - 1 : 2 ** (d + 1) - 1]
        arriving = torch.stack([arriving * share, arriving * (1 - share)], -1).view(len(x), trees, -1)
    return arriving.reshape(len(x), -1) @ leaves.reshape(-1, leaves.shape[2])


def along(first: TreeEnsemble, second: TreeEnsemble, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy (in per cent) and cross-entropy (in nats) at 13 points of the line."""
    x, y = data
    outputs = [average([first, second], [1 - share, share])(x) for share in np.linspace(0, 1, 13)]
    right = [100 * float((out.argmax(1) == y).mean()) for out in outputs]
    losses = [-float(log_softmax(out, axis=1)[np.arange(len(y)), y].mean()) for out in outputs]
    return np.array(right), np.array(losses)


def barrier(values: np.ndarray, sign: int) -> float:
    """The most by which the line is worse than the straight line between its ends; sign 1 if lower is better."""
    straight = np.linspace(values[0], values[-1], len(values))
    return float((sign * (values - straight)).max())


def without_flips(found: TreeSymmetry, trees: TreeEnsemble) -> TreeSymmetry:
    """Its tree order alone."""
    return replace(TreeSymmetry.identity(trees), order=found.order)


def require_undone(trees: TreeEnsemble, x: np.ndarray, seed: int) -> None:
    """Stop unless a planted symmetry leaves the function as it is and is undone, bit for bit, by both methods."""
    planted = TreeSymmetry.drawn(trees, np.random.default_rng(seed)).apply(trees)
    np.testing.assert_allclose(planted(x), trees(x), atol=1e-9)
    for found in (match_weights(trees, planted), match_activations(trees, planted, x)):
        back = found.apply(planted)
        assert all((a == b).all() for a, b in zip(back.parts, trees.parts, strict=True)), "a planted symmetry is left"


def run(name: str, kind: str, trees: int, depth: int, seed: int) -> dict[str, Any]:
    """One pair: barriers and midpoints by method."""
    data, left_out = halves(name)
    first, second = (trained(data, kind, trees, depth, 2 * seed + k) for k in range(2))
    require_undone(second, data[0], seed)
    activations = match_activations(first, second, data[0])
    changes = {
        "naive": TreeSymmetry.identity(second),
        "order, weights": match_order(first, second),
        "order, activations": without_flips(activations, second),
        "all, weights": match_weights(first, second),
        "all, activations": activations,
    }
    line: dict[str, Any] = {}
    for method in METHODS:
        right, losses = along(first, changes[method].apply(second), left_out)
        line["ends"] = float((right[0] + right[-1]) / 2)
        line |= {f"right {method}": barrier(right, -1), f"loss {method}": barrier(losses, 1)}
        line[f"middle {method}"] = float(right[6])
    return line


def main(argv: list[str]) -> None:
    """Train, align, follow the lines."""
    given = options("tree_ensembles", argv, seeds=5)
    torch.set_num_threads(given.threads)
    lines = Lines("tree_ensembles", given.fresh, ("match/trees",))
    rows: dict[str, list[list[object]]] = {"right": [], "loss": [], "middle": [], "gain": []}
    for name, kind, trees, depth in SETTINGS:
        keys = [[name, kind, trees, depth, seed] for seed in range(given.seeds)]
        runs = list(lines.each(keys, lambda key: run(*key)))
        label = f"{name}, {kind}, {trees} trees of depth {depth}"
        column = {key: np.array([line[key] for line in runs]) for key in runs[0] if key not in ("key", "code")}
        rows["right"].append([label, *(told(column[f"right {method}"], 2) for method in METHODS)])
        rows["loss"].append([label, *(told(column[f"loss {method}"]) for method in METHODS)])
        rows["middle"].append([label, column["ends"].mean(), *(told(column[f"middle {m}"], 1) for m in METHODS)])
        gains = [column[f"loss order, {by}"] - column[f"loss all, {by}"] for by in ("weights", "activations")]
        rows["gain"].append([label, *("{:+.3f} ± {:.3f}".format(*interval(gain)) for gain in gains)])
        lowered = column["loss all, weights"].mean() < column["loss naive"].mean()
        assert lowered or name != "digits", f"{label}: aligning did not lower the barrier"
    seeds = f"{given.seeds} pairs, mean and 95 % interval"
    show(f"barrier of the accuracy, percentage points ({seeds})", ["ensemble", *METHODS], rows["right"])
    show(f"barrier of the cross-entropy, nats ({seeds})", ["ensemble", *METHODS], rows["loss"])
    show(f"accuracy in the middle, per cent ({seeds})", ["ensemble", "ends", *METHODS], rows["middle"])
    show("what flips and split order add: barrier by order alone less barrier by all, nats, paired",
         ["ensemble", "by weights", "by activations"], rows["gain"])  # fmt: skip
    print("\nplanted symmetries of every second ensemble: undone bit for bit by weights and by activations")
    print(f"figures: {lines.codes()}")
