"""Unit Grams: hidden units that one matrix treats alike are treated alike by the other.

For matrices laid out as units x rest, G = W W^T says which units a matrix makes, or reads, in similar directions:

    U(a, b) = corr(off G_a, off G_b)

over the entries above the diagonal. The diagonal is left to ``unit_norms``. It does not change with the size of W, nor
when its other axis is turned, so it needs no common basis there; it does need the units in one order.

Why: both matrices were trained through the same hidden units, and units that fire together move together on both sides.
It fails after little training, where units are few (under rotary positions the pairs of a head are all there is), and
for v and o of some nets. Used for residual MLPs in ``assembly/weight_pairing``; how often it was right on transformers
is in docs/evidence_cards.md. Cost: as ``stream_grams``, over units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from reknit.evidence.standardise import standardised
from reknit.evidence.stream_grams import gram_correlations, gram_direction, noise

Units = Float[np.ndarray, "units rest"]


def unit_gram_scores(
    first: Sequence[Units], second: Sequence[Units], same: bool, seeds: Sequence[int]
) -> Float[np.ndarray, "first second"]:
    """U for all pairs, in units of its spread, less what is noise (``standardise``).

    Args:
        first: matrices laid out by units.
        second: others, over the same number of units.
        same: whether both are the same items.
        seeds: of the order in which the units of each of the second are shuffled to measure the noise.

    >>> unit_gram_scores([np.eye(3)], [np.ones((3, 2))], False, [0]).tolist()
    [[0.0]]
    """
    left, right = ([gram_direction(matrix) for matrix in side] for side in (first, second))
    orders = [np.random.default_rng(seed).permutation(len(second[0])) for seed in seeds]
    shuffled = [gram_direction(matrix[order]) for matrix, order in zip(second, orders, strict=True)]
    return standardised(gram_correlations(left, right), noise(left, shuffled), same)
