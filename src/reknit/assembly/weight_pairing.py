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
from jaxtyping import Float

from reknit.network.stack import Stack
from reknit.solvers.assignment import best_matching, doubly_standardised, edge_margins
from reknit.solvers.pool_matching import best_pairs

TEMPLATE_WEIGHT = 2.0
"""Weight of the template against the sum of the other evidence, both of unit deviation."""


@dataclass(frozen=True)
class WeightPairing:
    """A matching from weights alone.

    Attributes:
        pairs: (in-layer, out-layer), sorted by in-layer.
        scores: combined score of in-layer i (rows) with out-layer j, doubly standardised.
        margins: each pair's score minus its best rival's, in the same units.
        coherence: mean template score of the pairs, in deviations of the others. About 3 and more: the matching was
            right wherever it could be checked; below 2.3 it mostly was not (dev/log.md).
    """

    pairs: tuple[tuple[int, int], ...]
    scores: Float[np.ndarray, "items items"]
    margins: tuple[float, ...]
    coherence: float


Pairs = list[tuple[int, int]]
COHERENT = 6.0
"""Coherence at which no other starting point is tried."""


def _flat(layers: Float[np.ndarray, "n rows columns"]) -> Float[np.ndarray, "n features"]:
    return np.asarray(layers.reshape(len(layers), layers[0].size))


def reader_grams(stack: Stack) -> Float[np.ndarray, "n hidden hidden"]:
    """``A A^T``: how alike the hidden units of each in-layer read."""
    return np.asarray(stack.in_weight @ stack.in_weight.transpose(0, 2, 1))


def writer_grams(stack: Stack) -> Float[np.ndarray, "n hidden hidden"]:
    """``B^T B``: how alike the hidden units of each out-layer write."""
    return np.asarray(stack.out_weight.transpose(0, 2, 1) @ stack.out_weight)


def trace_products(stack: Stack) -> Float[np.ndarray, "n n"]:
    """``tr(B_j A_i)``: in-layers along the rows, out-layers along the columns."""
    return np.asarray(_flat(stack.in_weight) @ _flat(stack.out_columns).T)


def product_norms(stack: Stack) -> Float[np.ndarray, "n n"]:
    """``||B_j A_i||_F`` by ``||B A||_F^2 = <A A^T, B^T B>``; at least the smallest positive float."""
    return np.asarray(np.sqrt((_flat(reader_grams(stack)) @ _flat(writer_grams(stack)).T).clip(1e-30)))


def _unit_rows(features: Float[np.ndarray, "n features"]) -> Float[np.ndarray, "n features"]:
    if features.shape[1] == 0:  # one hidden unit has no Gram off the diagonal
        return features
    centred = features - features.mean(1, keepdims=True)
    return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(1e-30))


def gram_scores(stack: Stack) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n n"]]:
    """Correlations of the hidden Grams ``A A^T`` and ``B^T B``: of their off-diagonals, and of the logs on it."""
    grams = (reader_grams(stack), writer_grams(stack))
    first, second = np.triu_indices(stack.hidden, 1)
    upper = [_unit_rows(gram[:, first, second]) for gram in grams]
    sizes = [_unit_rows(np.log(np.diagonal(gram, axis1=1, axis2=2).clip(1e-30))) for gram in grams]
    return (upper[0] @ upper[1].T).astype(np.float64), (sizes[0] @ sizes[1].T).astype(np.float64)


def template_scores(
    stack: Stack, norms: Float[np.ndarray, "items items"], pairs: Pairs, pooled: bool
) -> Float[np.ndarray, "items items"]:
    """``<B_j A_i, M> / ||B_j A_i||`` with M the sum of the matched unit products, a pair's own product left out."""
    ins, outs = np.array(pairs).T
    readers, writers = stack.in_weight[ins], stack.out_weight[outs]
    scaled = writers / norms[ins, outs][:, None, None]
    template = np.tensordot(scaled, readers, axes=([0, 2], [0, 1]))
    seen = _flat(stack.in_weight @ template.T)  # [i, h, d]
    scores = (seen @ _flat(stack.out_columns).T) / norms
    scores[ins, outs] -= 1.0
    if pooled:  # the same pair the other way round is not to gain from its own product either
        forth, back = writers @ readers, readers @ writers
        scores[outs, ins] -= (forth * back).sum((1, 2)) / norms[ins, outs] / norms[outs, ins]
    return np.asarray(scores, dtype=np.float64)


class _Evidence:
    """The matrices of one pile and how they are matched; a pool has no diagonal."""

    def __init__(self, stack: Stack, pooled: bool) -> None:
        self.stack, self.pooled, self.norms = stack, pooled, product_norms(stack)

    def standard(self, scores: Float[np.ndarray, "items items"]) -> Float[np.ndarray, "items items"]:
        if self.pooled:
            scores = scores.copy()
            off = scores[~np.eye(len(scores), dtype=bool)]
            np.fill_diagonal(scores, off.mean())
        return doubly_standardised(scores)

    def match(self, scores: Float[np.ndarray, "items items"]) -> Pairs:
        return best_pairs(scores) if self.pooled else list(enumerate(best_matching(scores).tolist()))

    def coherence(self, template: Float[np.ndarray, "items items"], pairs: Pairs) -> float:
        others = np.ones(template.shape, dtype=bool)
        if self.pooled:
            np.fill_diagonal(others, False)
        ins, outs = np.array(pairs).T
        others[ins, outs] = False
        rest = template[others]
        if len(pairs) < 3:
            return 0.0
        return float((template[ins, outs].mean() - rest.mean()) / max(rest.std(), 1e-30))

    def fixed_point(
        self, prior: Float[np.ndarray, "items items"], rounds: int = 20
    ) -> tuple[float, Float[np.ndarray, "items items"], Pairs]:
        """Run the template until the matching stays; returns coherence, combined scores and matching."""
        scores, pairs = prior, self.match(prior)
        for _ in range(rounds):
            template = template_scores(self.stack, self.norms, pairs, self.pooled)
            scores = prior + TEMPLATE_WEIGHT * self.standard(template)
            again = self.match(scores)
            if again == pairs:
                break
            pairs = again
        template = template_scores(self.stack, self.norms, pairs, self.pooled)
        return self.coherence(template, pairs), scores, pairs


def pair_by_weights(stack: Stack, pooled: bool = False) -> WeightPairing:
    """The best matching that the weights alone propose; says nothing of whether it is right (margins, coherence do).

    Args:
        stack: the layers.
        pooled: in- and out-layers are one pool of 2 n square layers: roles are to be found too.

    Cost: three Gram products of ``n h^2 d`` flops and ``n^2 h d`` for every round of the template.
    """
    evidence = _Evidence(stack, pooled)
    ratio = (trace_products(stack) / evidence.norms).astype(np.float64)
    trace, absolute = evidence.standard(ratio), evidence.standard(np.abs(ratio))
    off, sizes = (evidence.standard(s) for s in gram_scores(stack))
    grams = evidence.standard(off + sizes)
    best: tuple[float, Float[np.ndarray, "items items"], Pairs] | None = None
    for prior in (grams + absolute, grams, grams + trace, grams - trace, absolute, 0.1 * (trace + grams)):
        found = evidence.fixed_point(prior)
        if best is None or found[0] > best[0]:
            best = found
        if best[0] >= COHERENT:
            break
    assert best is not None  # noqa: S101  (there are priors)
    coherence, scores, pairs = best
    scores = evidence.standard(scores)
    return WeightPairing(tuple(sorted(pairs)), scores, pair_margins(scores, sorted(pairs), pooled), coherence)


def pair_margins(scores: Float[np.ndarray, "items items"], pairs: Pairs, pooled: bool) -> tuple[float, ...]:
    """Each pair's score minus its best rival's in its row and column (in a pool: any other use of either layer)."""
    if not pooled:
        columns = np.array([outer for _, outer in sorted(pairs)])
        by_in = edge_margins(scores, columns)
        return tuple(float(by_in[inner]) for inner, _ in pairs)
    rivals = np.maximum(scores, scores.T).astype(np.float64)
    np.fill_diagonal(rivals, -np.inf)
    margins = []
    for inner, outer in pairs:
        others = rivals[[inner, outer]].copy()
        others[0, outer] = others[1, inner] = -np.inf
        margins.append(float(scores[inner, outer] - max(others.max(), scores[outer, inner])))
    return tuple(margins)
