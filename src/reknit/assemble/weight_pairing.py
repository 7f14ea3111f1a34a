"""Pairs from weights alone: which in-layer feeds which out-layer, before any data are looked at.

Three kinds of evidence, each an n x n score of in-layer i with out-layer j (docs/evidence.md has a card for each):

``gram``      Hidden units that are alike on the reading side are alike on the writing side: the correlation of the
              entries of ``A A^T`` with those of ``B^T B``, off the diagonal, plus that of the logarithms on it.
``trace``     ``tr(B A) / ||B A||_F`` with its sign (arXiv 2602.19845 takes the absolute value): training bends a
              block towards or away from the identity, and all blocks of one network the same way.
``template``  The products ``B A`` of one network resemble each other. With M the sum of the matched products (each
              one's own left out) score ``<B_j A_i, M> / ||B_j A_i||``, match again, repeat until nothing changes.

The template is a fixed-point iteration and its outcome depends on where it starts, so it is started from several
combinations; the fixed point whose matched products agree most with the rest (in standard deviations of the products
that are not matched) is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from reknit.network.stack import Stack
from reknit.solvers.assignment import best_matching, doubly_standardised, edge_margins

TEMPLATE_WEIGHT = 2.0
"""Weight of the template against the sum of the other evidence, both of unit deviation."""


@dataclass(frozen=True)
class WeightPairing:
    """A matching from weights alone.

    Attributes:
        outs: the out-layer of each in-layer.
        scores: combined score of in-layer i (rows) with out-layer j, doubly standardised.
        margins: each chosen edge's score minus its best rival's, in the same units.
        coherence: mean template score of the chosen edges, in deviations of the others; about 0 where nothing is known.
    """

    outs: Int[np.ndarray, " n"]
    scores: Float[np.ndarray, "n n"]
    margins: Float[np.ndarray, " n"]
    coherence: float


def trace_products(stack: Stack) -> Float[Tensor, "n n"]:
    """``tr(B_j A_i)``: in-layers along the rows, out-layers along the columns."""
    return stack.in_weight.flatten(1) @ stack.out_weight.transpose(1, 2).flatten(1).T


def product_norms(stack: Stack) -> Float[Tensor, "n n"]:
    """``||B_j A_i||_F`` by ``||B A||_F^2 = <A A^T, B^T B>``; at least the smallest positive float."""
    readers = (stack.in_weight @ stack.in_weight.transpose(1, 2)).flatten(1)
    writers = (stack.out_weight.transpose(1, 2) @ stack.out_weight).flatten(1)
    return (readers @ writers.T).clamp_min(1e-30).sqrt()


def _unit_rows(features: Float[Tensor, "n features"]) -> Float[Tensor, "n features"]:
    centred = features - features.mean(1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-30)


def gram_scores(stack: Stack) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n n"]]:
    """Correlations of the hidden Grams ``A A^T`` and ``B^T B``: of their off-diagonals, and of the logs on it."""
    readers = stack.in_weight @ stack.in_weight.transpose(1, 2)
    writers = stack.out_weight.transpose(1, 2) @ stack.out_weight
    upper = torch.triu_indices(stack.hidden, stack.hidden, 1)
    off = _unit_rows(readers[:, upper[0], upper[1]]) @ _unit_rows(writers[:, upper[0], upper[1]]).T
    sizes = [torch.diagonal(g, dim1=1, dim2=2).clamp_min(1e-30).log() for g in (readers, writers)]
    return off.double().numpy(), (_unit_rows(sizes[0]) @ _unit_rows(sizes[1]).T).double().numpy()


def template_scores(
    stack: Stack, norms: Float[Tensor, "n n"], outs: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n n"]:
    """``<B_j A_i, M> / ||B_j A_i||`` with M the sum of the matched unit products, own product left out."""
    n = stack.blocks
    rows, columns = torch.arange(n), torch.from_numpy(outs)
    scaled = stack.out_weight[columns] / norms[rows, columns][:, None, None]
    template = torch.tensordot(scaled, stack.in_weight, dims=([0, 2], [0, 1]))
    seen = (stack.in_weight @ template.T).flatten(1)  # [i, h, d]
    scores = (seen @ stack.out_weight.transpose(1, 2).flatten(1).T) / norms
    scores[rows, columns] -= 1.0
    return scores.double().numpy()


def _iterate(
    stack: Stack, norms: Float[Tensor, "n n"], prior: Float[np.ndarray, "n n"], rounds: int = 25
) -> tuple[float, Float[np.ndarray, "n n"], Int[np.ndarray, " n"]]:
    """Run the template to a fixed point; returns its coherence, the combined scores and the matching."""
    n, outs, scores = stack.blocks, best_matching(prior), prior
    for _ in range(rounds):
        template = doubly_standardised(template_scores(stack, norms, outs))
        scores = prior + TEMPLATE_WEIGHT * template
        again = best_matching(scores)
        if (again == outs).all():
            break
        outs = again
    template = doubly_standardised(template_scores(stack, norms, outs))
    return float(template[np.arange(n), outs].mean()), scores, outs


def pair_by_weights(stack: Stack) -> WeightPairing:
    """The best matching that the weights alone propose; says nothing of whether it is right (margins, coherence do).

    Cost: three Gram products of ``n h^2 d`` flops and ``n^2 h d`` for every round of the template.
    """
    norms = product_norms(stack)
    trace = doubly_standardised((trace_products(stack) / norms).double().numpy())
    absolute = doubly_standardised((trace_products(stack).abs() / norms).double().numpy())
    off, sizes = (doubly_standardised(s) for s in gram_scores(stack))
    grams = doubly_standardised(off + sizes)
    priors = (grams, grams + trace, grams - trace, grams + absolute, absolute, 0.1 * (trace + grams))
    _, scores, outs = max((_iterate(stack, norms, prior) for prior in priors), key=lambda found: found[0])
    coherence = _coherence(stack, norms, outs)
    scores = doubly_standardised(scores)
    return WeightPairing(outs, scores, edge_margins(scores, outs), coherence)


def _coherence(stack: Stack, norms: Float[Tensor, "n n"], outs: Int[np.ndarray, " n"]) -> float:
    if stack.blocks < 3:
        return 0.0
    template = template_scores(stack, norms, outs)
    chosen = template[np.arange(len(outs)), outs]
    others = np.delete(template.ravel(), np.arange(len(outs)) * len(outs) + outs)
    return float((chosen.mean() - others.mean()) / max(others.std(), 1e-30))
