"""Orders to start from, given the pairs: seriation, norm, random. None of them looks at the outputs.

``seriation`` uses no trend in depth: blocks that are neighbours in depth have similar Grams, so the Fiedler vector of
the Grams' similarity sorts them up to reversal; which end comes first is decided by two evaluations (see
``docs/evidence.md``). ``norm`` is the published proxy (arXiv 2602.19845), ascending ``||W_out||_F``; outside the puzzle
it is often nearly reversed, so here too both ends are tried.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from reknit.assemble.problem import Problem
from reknit.network.stack import Arrangement, Stack
from reknit.solvers.ordering import fiedler_order

STARTS = ("seriation", "norm", "delta-norm", "random")


def _correlation(vectors: Float[Tensor, "blocks features"]) -> Float[Tensor, "blocks blocks"]:
    centred = vectors - vectors.mean(1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return unit @ unit.T


def block_similarity(stack: Stack, outs: list[int]) -> Float[np.ndarray, "blocks blocks"]:
    """How alike two blocks are in stream coordinates: readers ``A^T A``, writers ``B B^T`` and products ``B A``.

    For each of the three, the correlation of the entries (off the diagonal for the Grams), negative ones cut to zero,
    divided by its largest; the sum of the three. Symmetric, in [0, 3].
    """
    readers = stack.in_weight.transpose(1, 2) @ stack.in_weight
    writers = stack.out_weight[outs] @ stack.out_weight[outs].transpose(1, 2)
    products = stack.out_weight[outs] @ stack.in_weight
    off = ~torch.eye(stack.width, dtype=torch.bool)
    total = torch.zeros(stack.blocks, stack.blocks)
    for features in (readers[:, off], writers[:, off], products.flatten(1)):
        alike = _correlation(features).clamp_min(0).fill_diagonal_(0)
        total += alike / alike.max().clamp_min(1e-30)
    return np.asarray(total.double().numpy(), dtype=np.float64)


def start_order(
    problem: Problem, outs: list[int], start: str, generator: torch.Generator, rows: int = 256
) -> Arrangement:
    """An arrangement in which in-layer i is paired with out-layer ``outs[i]``, ordered by the named start."""
    stack, n = problem.stack, problem.blocks
    if start == "random":
        order = torch.randperm(n, generator=generator).tolist()
    elif start == "seriation":
        order = fiedler_order(block_similarity(stack, outs)).tolist()
    else:
        norms = stack.out_weight[outs].flatten(1).norm(dim=1)
        order = torch.argsort(norms, stable=True).tolist()
    forward = Arrangement(tuple(order), tuple(outs[i] for i in order))
    if start == "random":
        return forward
    backward = forward.reordered(list(range(n))[::-1])
    return min((forward, backward), key=lambda a: problem.mse(a, rows))
