"""Which vector stands in which slot, as beliefs, from the weights alone and given where the matrices are.

In each slot the tensors of the shape compete in a softmax over weighted evidence (``vector_evidence``); Sinkhorn
scaling then makes every tensor used once. Weights were learned from solved piles by the likelihood of the truth
(``bench/learn_vectors.py``), so a belief is meant as a chance; on nets left out of the learning the belief in a wrong
tensor reached 0.89, and so no vector is ever certain from weights alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Float

from reknit.skeleton.skeleton import Skeleton
from reknit.solvers.assignment import best_matching
from reknit.wiring.copies import labels
from reknit.wiring.pools import Pool
from reknit.wiring.soft_assignment import sinkhorn_log
from reknit.wiring.vector_evidence import vector_scores

MOST = 2.0
"""Margins of vectors are cut here, far below what counts as certain."""
LEAST = 1e-9


@dataclass(frozen=True)
class VectorBeliefs:
    """The vectors of one pool.

    Attributes:
        placement: slot -> tensor: the matching of the highest product of beliefs.
        beliefs: slot -> tensor -> chance; every row sums to one.
        margins: slot -> log-odds of what is placed there, at least 0 and at most ``MOST``.
    """

    placement: Mapping[str, str]
    beliefs: Mapping[str, Mapping[str, float]]
    margins: Mapping[str, float]


@cache
def vector_weights() -> Mapping[str, float]:
    """The weights that reknit comes with."""
    content = json.loads(files("reknit.wiring").joinpath("vector_weights.json").read_text(encoding="utf-8"))
    return dict(content["weights"])


def believe(
    skeleton: Skeleton,
    pool: Pool,
    array: Callable[[str], Float[np.ndarray, ...]],
    matrices: Mapping[str, str],
    weights: Mapping[str, float],
) -> VectorBeliefs | None:
    """Beliefs for one pool of vectors; None where no slot of it is understood.

    Args:
        skeleton: what is to be filled.
        pool: slots and tensors of one shape with one axis.
        array: the numbers of a tensor, by name.
        matrices: slot -> tensor, of what has more axes.
        weights: of the evidence.
    """
    tensors = np.stack([array(name) for name in pool.tensors])
    if tensors.dtype.kind != "f":
        return None
    scores = vector_scores(skeleton, pool.slots, tensors, lambda slot: array(matrices[slot]))
    if not scores:
        return None
    nothing = np.zeros(len(pool.tensors))
    logits = np.stack([scores[slot].logits(weights) if slot in scores else nothing for slot in pool.slots])
    chances = sinkhorn_log(logits)
    columns = best_matching(np.log(np.maximum(chances, LEAST)))
    same = labels(pool.tensors, array)
    copies = same[columns][:, None] == same[None]  # a copy of what is held is no rival of it
    held = (chances * copies).sum(1).clip(LEAST, 1 - LEAST)
    margins = np.clip(np.log(held / (1 - held)), 0.0, MOST)
    return VectorBeliefs(
        {slot: pool.tensors[k] for slot, k in zip(pool.slots, columns, strict=True)},
        {
            slot: dict(zip(pool.tensors, map(float, row), strict=True))
            for slot, row in zip(pool.slots, chances, strict=True)
        },
        dict(zip(pool.slots, map(float, margins), strict=True)),
    )
