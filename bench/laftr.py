"""Distances between networks as functions, estimated from one number a unit, against the true ones.

    python -m bench laftr [--nets 4]

MLPs 64-48-48-10 on digits. The statistics are of the training images; the true distance is of these, and of images
left out. Each reference net is paired with copies with noise of six sizes, copies trained on (four lengths, all digits
or five of them), copies with the smallest weights pruned, and, apart from the rest, with three nets of other seeds, as
they are and with their units matched by activations.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import chain

import numpy as np
import torch

from bench.common import options, show
from bench.digits_mlp import TRAINED_ON, activations, digits, layers, made, trained
from bench.intervals import rank_correlation
from reknit.architectures.mlp import Mlp
from reknit.match.laftr import Layers, estimated_distance, store, true_distance
from reknit.solvers.assignment import best_matching

SIZES = (64, 48, 48, 10)
Line = tuple[str, float, float, float, float]
"""Kind, estimate, squared distance of parameters, true distance on training images, and on images left out."""


def noisy(net: Mlp, size: float, seed: int) -> Mlp:
    """Every tensor with noise of a share of its own root mean square."""
    net, generator = copy.deepcopy(net), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(size * p.square().mean().sqrt() * torch.randn(p.shape, generator=generator))
    return net


def pruned(net: Mlp, share: float) -> Mlp:
    """The smallest weights of every matrix set to zero."""
    net = copy.deepcopy(net)
    with torch.no_grad():
        for weight in (p for p in net.parameters() if p.ndim == 2):
            weight[weight.abs() < weight.abs().flatten().quantile(share)] = 0
    return net


def relatives(net: Mlp, seed: int) -> Iterator[tuple[str, Mlp]]:
    """Networks in the same basis."""
    _, y = digits()
    few = np.flatnonzero(y[:TRAINED_ON] < 5)
    for k, size in enumerate((0.01, 0.03, 0.1, 0.2, 0.4, 0.8)):
        yield "noise", noisy(net, size, 100 * seed + k)
    for k, steps in enumerate((5, 20, 80, 300)):
        yield "trained on", trained(net, steps, 100 * seed + k)
        yield "trained on five digits", trained(net, steps, 100 * seed + k, rows=few)
    for share in (0.1, 0.3, 0.5):
        yield "pruned", pruned(net, share)


def aligned(net: Mlp, other: Mlp, x: np.ndarray) -> Layers:
    """The other net's layers with hidden units in the order that correlates best with the net."""
    found = layers(other)
    for k, (ours, theirs) in enumerate(zip(activations(net, x), activations(other, x), strict=True)):
        a, b = ((z - z.mean(0)) / (z.std(0) + 1e-12) for z in (ours, theirs))
        order = best_matching(a.T @ b)
        found[k] = (found[k][0][order], found[k][1][order])
        found[k + 1] = (found[k + 1][0][:, order], found[k + 1][1])
    return found


def correlation(first: np.ndarray, second: np.ndarray) -> str:
    """The rank correlation and its interval, of ten pairs or more."""
    return "{:.3f} [{:.3f}, {:.3f}]".format(*rank_correlation(first, second)) if len(first) >= 10 else "-"


def told(found: list[Line]) -> None:
    """The tables, and stop unless the estimate follows the truth."""
    kinds = np.array([line[0] for line in found])
    estimate, moved, true, fresh = (np.array(column) for column in list(zip(*found, strict=True))[1:])
    same_basis = np.array([not kind.startswith("another") for kind in kinds])
    rows = []
    for name, chosen in (("all in one basis", same_basis), *((k, kinds == k) for k in dict.fromkeys(kinds))):
        by = [correlation(v[chosen], true[chosen]) for v in (estimate, moved)]
        ratio = np.percentile(estimate[chosen] / true[chosen], [5, 50, 95])
        rows.append([name, int(chosen.sum()), *by, *ratio.round(2)])
    head = ["pairs", "number", "estimate: rank correlation, 95 %", "squared distance of parameters: the same"]
    show("with the true distance on the training images", [*head, "estimate / true, 5 %", "50 %", "95 %"], rows)
    logs = np.corrcoef(np.log(estimate[same_basis]), np.log(true[same_basis]))[0, 1]
    new = correlation(estimate[same_basis], fresh[same_basis])
    print(f"\nin one basis: correlation of logarithms {logs:.3f}; rank correlation on images left out {new}")
    assert rank_correlation(estimate[same_basis], true[same_basis])[1] > 0.8, "the estimate does not follow the truth"


def main(argv: list[str]) -> None:
    """Train, estimate, compare."""
    given = options("laftr", argv, nets=4)
    torch.set_num_threads(given.threads)
    x, y = digits()
    seen, left_out = x[:TRAINED_ON], x[TRAINED_ON:]
    found: list[Line] = []
    strangers = [trained(made(SIZES, seed), 400, seed) for seed in (50, 51, 52)]
    for seed in range(given.nets):
        net = trained(made(SIZES, seed), 400, seed)
        right = (net(torch.tensor(left_out, dtype=torch.float32)).argmax(1).numpy() == y[TRAINED_ON:]).mean()
        print(f"net {seed}: {100 * right:.1f} % of images left out are right", flush=True)
        first = layers(net)
        stored = store(first, seen)
        same = ((kind, layers(other)) for kind, other in relatives(net, seed))
        apart = (("another seed", layers(other)) for other in strangers)
        matched = (("another seed, matched", aligned(net, other, seen)) for other in strangers)
        for kind, second in chain(same, apart, matched):
            changes = sum(
                float(np.square(a - b).sum())
                for pair in zip(first, second, strict=True)
                for a, b in zip(*pair, strict=True)
            )
            truths = true_distance(first, second, seen), true_distance(first, second, left_out)
            found.append((kind, estimated_distance(first, second, stored), changes, *truths))
    told(found)
    numbers = sum(len(a) for a in stored.active)
    print(f"stored: {numbers} numbers for units, {len(stored.mean)} + {stored.covariance.size} for inputs")
