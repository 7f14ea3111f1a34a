"""Weight matching as it is published, written plainly: a table by hand, dense float32 products, SciPy's assignment.

Algorithm 1 of Ainsworth, Hayase, Srinivasa, "Git Re-Basin" (2022, arXiv 2209.04836): start from the identity; take the
permutations in random order; the best P_l given the others is a linear assignment; stop when a sweep gains nothing.
For the bench of speed alone: what reknit derives is here a table for each architecture.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.optimize import linear_sum_assignment

Table = dict[str, tuple[str | None, ...]]
"""Tensor -> the permutation on each axis."""


def mlp_table(layers: int) -> Table:
    """Of ``reknit``'s MLP with so many linear layers."""
    names = [None, *(f"P{k}" for k in range(layers - 1)), None]
    table: Table = {}
    for k in range(layers):
        table |= {f"layers.{k}.weight": (names[k + 1], names[k]), f"layers.{k}.bias": (names[k + 1],)}
    return table


def resnet_table(blocks: int) -> Table:
    """Of a pre-activation ResNet of one stage as wide as its stem, without biases in its convolutions."""
    table: Table = {"stem.weight": ("S", None, None, None), "head.weight": (None, "S"), "head.bias": (None,)}
    norm = ("weight", "bias", "running_mean", "running_var")
    table |= {f"norm.{field}": ("S",) for field in norm}
    for k in range(blocks):
        place, inner = f"stages.0.{k}", f"I{k}"
        table |= {f"{place}.bn1.{field}": ("S",) for field in norm}
        table |= {f"{place}.bn2.{field}": (inner,) for field in norm}
        table |= {
            f"{place}.conv1.weight": (inner, "S", None, None),
            f"{place}.conv2.weight": ("S", inner, None, None),
        }
    return table


def matched(
    table: Table, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], seed: int = 0
) -> dict[str, np.ndarray]:
    """The order of every permutation that brings the right network to the left one."""
    axes: dict[str, list[tuple[str, int]]] = {}
    for key, names in table.items():
        for axis, name in enumerate(names):
            if name is not None:
                axes.setdefault(name, []).append((key, axis))
    orders = {name: np.arange(left[where[0][0]].shape[where[0][1]]) for name, where in axes.items()}
    rng, gained = np.random.default_rng(seed), True
    while gained:
        gained = False
        for name in rng.permutation(list(axes)).tolist():
            scores = np.zeros((len(orders[name]),) * 2, dtype=np.float32)
            for key, axis in axes[name]:
                other = moved(right[key], table[key], orders, but=axis)
                a, b = (np.moveaxis(each, axis, 0).reshape(len(scores), -1) for each in (left[key], other))
                scores += a @ b.T
            rows, order = linear_sum_assignment(scores, maximize=True)
            if scores[rows, order].sum() > scores[rows, orders[name]].sum() + 1e-6 * abs(scores[rows, order].sum()):
                gained, orders[name] = True, order
    return orders


def moved(
    tensor: np.ndarray, names: tuple[str | None, ...], orders: Mapping[str, np.ndarray], but: int | None = None
) -> np.ndarray:
    """A tensor with all axes but one in their orders."""
    for axis, name in enumerate(names):
        if name is not None and axis != but:
            tensor = np.take(tensor, orders[name], axis)
    return tensor
