"""Many networks in one basis, so that every pair agrees: each is matched to the mean of the others, until none moves.

Algorithm 3 ("MergeMany") of Ainsworth, Hayase, Srinivasa 2022, arXiv 2209.04836. Every network has one symmetry into
the common basis, so going from A to B and from B to C is going from A to C: matchings are cycle consistent by
construction. The first network is the basis to begin with, and the answer is turned back into it at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reknit.match.unit_similarity import Weighing
from reknit.match.weight_matching import match_weights
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.symmetry import Symmetry

ROUNDS = 20


def match_many(
    skeleton: Skeleton,
    networks: Sequence[Mapping[str, np.ndarray]],
    *,
    weighing: Weighing = "standardised",
    seed: int = 0,
) -> tuple[Symmetry, ...]:
    """A symmetry for each network that brings it into the first one's basis; the first one's leaves it as it is.

    Args:
        skeleton: of all.
        networks: slot -> numbers, one each; at least one.
        weighing: see ``match_weights``.
        seed: of the order in which networks are matched.
    """
    found = [
        match_weights(skeleton, networks[0], network, weighing=weighing, seed=seed).symmetry
        if k
        else Symmetry(skeleton, ())
        for k, network in enumerate(networks)
    ]
    if len(networks) < 3:
        return tuple(found)
    rng = np.random.default_rng(seed)
    moved = [symmetry.apply(network) for symmetry, network in zip(found, networks, strict=True)]
    for _ in range(ROUNDS):
        still = True
        for k in rng.permutation(len(networks)):
            others = [network for j, network in enumerate(moved) if j != k]
            mean = {key: np.mean([each[key] for each in others], axis=0) for key in moved[k]}
            step = match_weights(
                skeleton, mean, moved[k], weighing=weighing, start=Symmetry(skeleton, ()), seed=seed
            ).symmetry
            if any((each.order != np.arange(each.order.shape[1])).any() for each in step.permutations):
                still = False
                found[k] = found[k].then(step)
                moved[k] = step.apply(moved[k])
        if still:
            break
    back = found[0].inverse()
    return tuple(symmetry.then(back) for symmetry in found)
