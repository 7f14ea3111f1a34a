"""What each kind of evidence says of every vector in every slot of its shape, given where the matrices are.

Scores are in units of their own spread over the pile, less what is noise (``standardise``): noise is what the same
evidence says of the same vectors with their entries shuffled.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from reknit.evidence.amplified_directions import amplification
from reknit.evidence.standardise import standardised
from reknit.evidence.vector_strengths import signed_strengths, strengths
from reknit.evidence.vector_sums import sum_correlations
from reknit.evidence.vector_values import leans, sizes
from reknit.skeleton.skeleton import Skeleton
from reknit.wiring.scale_prior import scale_prior
from reknit.wiring.vector_slots import Side, VectorSlot, find_vectors

Measure = Callable[[Float[np.ndarray, "pool n"], Float[np.ndarray, "n rest"]], Float[np.ndarray, " pool"]]
Row = Float[np.ndarray, " pool"]

BESIDE: Mapping[str, Mapping[str, Mapping[str, Measure]]] = {
    "bias": {
        "own": {"amplified": amplification, "strengths": strengths, "signed strengths": signed_strengths},
        "readers": {"amplified": amplification},
    },
    "gain": {"readers": {"signed strengths": signed_strengths}, "writers": {"signed strengths": signed_strengths}},
    "shift": {
        "readers": {"amplified": amplification, "sums": sum_correlations},
        "writers": {"amplified": amplification},
    },
}
"""Part -> which matrices a vector is held against -> how."""
VALUES = {"size": sizes, "lean": leans}
GAP = 3.0
"""What the prior that parts gains from all others counts: it is not learned, or a net without a gap would spoil it."""


@dataclass(frozen=True)
class VectorScores:
    """What is known of one slot's tensor.

    Attributes:
        slot: and what it is.
        prior: log-odds of every tensor of the pool, from the gap between gains and others.
        scores: what weights are looked up by (``amplified own, query bias``) -> one score for every tensor.
    """

    slot: VectorSlot
    prior: Row
    scores: Mapping[str, Row]

    def logits(self, weights: Mapping[str, float]) -> Row:
        """All of it together, up to a constant."""
        return self.prior + sum((weights.get(key, 0.0) * row for key, row in self.scores.items()), np.zeros(1))


def vector_scores(
    skeleton: Skeleton,
    slots: Sequence[str],
    tensors: Float[np.ndarray, "pool numbers"],
    matrix: Callable[[str], Float[np.ndarray, ...]],
) -> dict[str, VectorScores]:
    """The evidence for one pool, by slot; nothing for slots that are neither a bias of a matrix nor of a norm.

    Args:
        skeleton: what is to be filled.
        slots: of one shape, all with one axis.
        tensors: as many, as rows.
        matrix: the numbers in a slot that is placed already.
    """
    rows = tensors.astype(np.float64)
    # neither the order of the pile nor sizes may matter
    shuffled = np.stack([np.random.default_rng(zlib.crc32((v > 0).tobytes())).permutation(v) for v in rows])
    vectors = [vector for vector in find_vectors(skeleton) if vector.slot in set(slots)]
    gains = {vector.slot for vector in vectors if vector.part == "gain"}
    priors = dict(zip(slots, GAP * scale_prior(slots, gains, rows), strict=True))
    values = {name: standardised(of(rows)[None], 0.0)[0] for name, of in VALUES.items()}
    found = {}
    for vector in vectors:
        scores = {key: row for name, row in values.items() for key in _keys(name, vector)}
        sides = {"own": (vector.own,) if vector.own else (), "readers": vector.readers, "writers": vector.writers}
        for where, measures in BESIDE[vector.part].items():
            if sides[where]:
                joined = _joined(sides[where], matrix)
                for name, of in measures.items():
                    row = standardised(of(rows, joined)[None], float(of(shuffled, joined).std()))[0]
                    scores |= dict.fromkeys(_keys(f"{name} {where}", vector), row)
        found[vector.slot] = VectorScores(vector, priors[vector.slot], scores)
    return found


def _keys(name: str, vector: VectorSlot) -> tuple[str, ...]:
    """A weight of the kind's own, one that it shares with norms before and after, and one for all of its part."""
    kind = vector.kind
    return tuple(dict.fromkeys((f"{name}, {kind}", f"{name}, {kind.removeprefix('post ')}", f"{name}, {vector.part}")))


def _joined(sides: Sequence[Side], matrix: Callable[[str], Float[np.ndarray, ...]]) -> Float[np.ndarray, "n rest"]:
    """The matrices side by side, each of root mean square one, with the vector's axis first."""
    found = []
    for side in sides:
        laid = np.moveaxis(matrix(side.slot), side.axis, 0)
        laid = laid.reshape(len(laid), -1).astype(np.float64)
        found.append(laid / max(float(np.sqrt(np.square(laid).mean())), 1e-30))
    return np.concatenate(found, 1)
