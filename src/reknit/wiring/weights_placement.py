"""Tensors into slots by the weights alone.

Chains of units with BatchNorm are put in order by its bookkeeping (``batch_norm_placement``). Other matrices on a
stream go where one objective over all of them is highest (``joint``); a pool of one slot, or of equal tensors, needs no
evidence. Tensors with one axis follow, given the matrices (``vector_beliefs``); what no evidence speaks of is left in
the order of the pile, with margin 0. Margins are those of the least sure member of the committee (``learned``);
vectors have margins of their own, and are never certain.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from reknit.skeleton.skeleton import Skeleton
from reknit.solvers.quadratic_assignment import Placement, climb, margins, solve
from reknit.wiring.batch_norm_placement import place_chains
from reknit.wiring.copies import labels
from reknit.wiring.designs import design_of
from reknit.wiring.joint import Joint
from reknit.wiring.learned import Learned
from reknit.wiring.pools import Pool
from reknit.wiring.rivals import Move, rival_moves
from reknit.wiring.vector_beliefs import VectorBeliefs, believe, vector_weights

Around = Callable[[Mapping[str, str]], Sequence[VectorBeliefs]]

LIKELY = 0.99
"""Belief from which a slot in a chain with BatchNorm is left alone at first."""
CERTAIN, LIKELY_MARGIN = 4.5, 3.0
"""Margins from which a slot in blocks of a known design is reported certain, and is left alone at first. On nets left
out of the learning the largest of a wrong slot was 2.6; docs/wiring.md has the tables."""


@dataclass(frozen=True)
class WeightsPlacement:
    """Tensors in slots, by the weights alone.

    Attributes:
        placement: slot -> tensor, for every slot.
        margins: slot -> log-odds against the best rival placement that has another tensor there; infinite where there
            is no other tensor of the shape, 0 where nothing tells them apart. In chains with BatchNorm: nats, which
            are not calibrated.
        certain: the slots whose margin leaves no doubt.
        climbs: how many searches there were, and how many ended at the placement.
        ladders: rungs of slots that repeat in depth and may be exchanged as a whole.
        beliefs: slot -> tensor -> chance, for slots that anything is known of.
        likely: slots that are not certain, but so likely right that a search by outputs leaves them alone at first.
        rivals: moves of matrices that the weights do not rule out, the likeliest first.
        around: what is believed of the vectors of every pool, given where the matrices are.
        chained: slots that the bookkeeping of BatchNorms has filled.
    """

    placement: Mapping[str, str]
    margins: Mapping[str, float]
    certain: frozenset[str]
    climbs: tuple[int, int]
    ladders: tuple[tuple[tuple[str, ...], ...], ...] = ()
    beliefs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    likely: frozenset[str] = frozenset()
    rivals: tuple[Move, ...] = ()
    around: Around = field(default=lambda _: (), compare=False)
    chained: frozenset[str] = frozenset()

    @property
    def settled(self) -> frozenset[str]:
        """What a search by outputs leaves alone at first."""
        return self.certain | self.likely

    def beliefs_around(self, matrices: Mapping[str, str]) -> dict[str, Mapping[str, float]]:
        """What is believed of slots with one axis if the matrices stand otherwise."""
        return {slot: row for said in self.around(matrices) for slot, row in said.beliefs.items()}


def place_by_weights(
    skeleton: Skeleton,
    pools: Sequence[Pool],
    array: Callable[[str], Float[np.ndarray, ...]],
    learned: Learned,
    *,
    seed: int = 0,
    starts: int = 16,
    vectors: Mapping[str, float] | None = None,
) -> WeightsPlacement:
    """Place every tensor of a pile.

    Args:
        skeleton: what is to be filled.
        pools: slots and tensors of one shape.
        array: the numbers of a tensor, by name.
        learned: what each kind of evidence weighs.
        seed: of the order in which the pile is looked at, and of the search; where the pile has ties it decides.
        starts: number of climbs.
        vectors: what each kind of evidence weighs for tensors with one axis; None: what reknit comes with.
    """
    rng = np.random.default_rng(seed)
    chained = place_chains(skeleton, pools, array)
    placement, found = dict(chained.placement), dict(chained.margins)
    slots: list[str] = []
    names: list[str] = []
    lone: list[str] = []
    for pool in (each.without(placement, set(chained.placement)) for each in pools):
        if not pool.slots:
            continue
        same = _all_equal(pool, array)
        if not same and len(skeleton[pool.slots[0]].shape) > 1:
            slots += pool.slots
            names += [pool.tensors[k] for k in rng.permutation(len(pool.tensors))]
        else:
            placement |= zip(pool.slots, pool.tensors, strict=True)
            found |= dict.fromkeys(pool.slots, np.inf if same else 0.0)
            lone += [slot for slot in pool.slots if len(pool.slots) == 1 and len(skeleton[slot].shape) > 1]
    uncalibrated = set(chained.placement)
    if slots and design_of(skeleton) not in learned.designs:
        uncalibrated |= set(slots)
    known = {slot: placement[slot] for slot in lone}
    joint = _jointly(skeleton, dict(zip(slots, names, strict=True)), known, array, learned, starts=starts, seed=seed)
    placement |= joint.placement
    found |= joint.margins
    beliefs = dict(chained.beliefs)
    around = vectors_around(skeleton, pools, array, chained.placement, vectors)
    for said in around(placement):
        placement |= said.placement
        found |= said.margins
        beliefs |= said.beliefs
    certain = certain_by(found, uncalibrated)
    likely = frozenset(slot for slot, said in chained.beliefs.items() if said.get(placement[slot], 0.0) >= LIKELY)
    likely |= certain_by(found, uncalibrated, LIKELY_MARGIN)
    return WeightsPlacement(
        placement,
        found,
        certain,
        joint.climbs,
        joint.ladders,
        beliefs,
        likely - certain,
        joint.rivals,
        around,
        frozenset(chained.placement),
    )


@dataclass(frozen=True)
class _Jointly:
    """Matrices placed by one objective; nothing where there are none that have rivals."""

    placement: Mapping[str, str] = field(default_factory=dict)
    margins: Mapping[str, float] = field(default_factory=dict)
    climbs: tuple[int, int] = (0, 0)
    ladders: tuple[tuple[tuple[str, ...], ...], ...] = ()
    rivals: tuple[Move, ...] = ()


def _jointly(
    skeleton: Skeleton,
    rough: Mapping[str, str],
    known: Mapping[str, str],
    array: Callable[[str], Float[np.ndarray, ...]],
    learned: Learned,
    *,
    starts: int,
    seed: int,
) -> _Jointly:
    """Place matrices that have rivals; what is ``known`` stays where it is and holds the ends of the stream."""
    if not rough:
        return _Jointly()
    whole = {**rough, **known}
    slots, names = list(whole), list(whole.values())
    joint = Joint(skeleton, slots, [array(name) for name in names])
    problem = joint.problem(learned.weights)
    solution = solve(problem, starts=starts, seed=seed)
    least = least_sure(joint, learned, solution.placement, solution.ends, labels(names, array))
    return _Jointly(
        {slot: names[k] for slot, k in zip(slots, solution.placement, strict=True)},
        {**dict(zip(slots, least, strict=True)), **dict.fromkeys(known, np.inf)},
        (len(solution.starts), sum(bool(np.isclose(value, solution.value)) for value in solution.starts)),
        tuple(tuple(tuple(slots[k] for k in rung) for rung in ladder.places) for ladder in joint.ladders),
        rival_moves(skeleton, slots, problem, solution.placement, solution.ends),
    )


def vectors_around(
    skeleton: Skeleton,
    pools: Sequence[Pool],
    array: Callable[[str], Float[np.ndarray, ...]],
    chained: Mapping[str, str],
    vectors: Mapping[str, float] | None = None,
) -> Around:
    """What is believed of the vectors, as a function of where the matrices are; ``chained`` slots have theirs."""
    known = vector_weights() if vectors is None else vectors
    left = [pool.without(chained, chained.keys()) for pool in pools]
    left = [pool for pool in left if len(pool.slots) > 1 and len(skeleton[pool.slots[0]].shape) == 1]
    left = [pool for pool in left if not _all_equal(pool, array)]

    def around(matrices: Mapping[str, str]) -> list[VectorBeliefs]:
        said = [believe(skeleton, pool, array, matrices, known) for pool in left]
        return [each for each in said if each is not None]

    return around


def certain_by(margins: Mapping[str, float], uncalibrated: Collection[str], bound: float = CERTAIN) -> frozenset[str]:
    """Slots with a margin that leaves no doubt; none of those whose margins are not calibrated."""
    return frozenset(slot for slot, margin in margins.items() if margin >= bound and slot not in uncalibrated)


def _all_equal(pool: Pool, array: Callable[[str], Float[np.ndarray, ...]]) -> bool:
    """Whether it does not matter which tensor of a pool stands where: there is one, or they are the same."""
    first, *others = pool.tensors
    return all(np.array_equal(array(first), array(name)) for name in others)


def least_sure(
    joint: Joint,
    learned: Learned,
    placement: Placement,
    ends: Sequence[Placement],
    same: Int[np.ndarray, " items"] | None = None,
) -> list[float]:
    """The least margin over the committee: against neighbours, other ends, and what each member would rather have.

    Items with one number in ``same`` are no rivals of each other.
    """
    problems = [joint.problem(weights) for weights in (learned.weights, *learned.committee)]
    rivals = [*ends, *(climb(problem, placement) for problem in problems)]
    least = np.min([margins(problem, placement, rivals, same) for problem in problems], axis=0)
    told = np.zeros(len(placement), dtype=bool)  # a slot that no relation speaks of is told apart from nothing
    for term in problems[0].terms:
        told[term.rows] |= np.abs(term.weights).sum(1) > 0
        told[term.columns] |= np.abs(term.weights).sum(0) > 0
    return [float(value) for value in np.where(told, least, 0.0)]
