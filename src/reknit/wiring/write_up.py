"""From where tensors were placed to the result object: the verdict, what is certain, what repeats the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reknit.skeleton.skeleton import Skeleton
from reknit.wiring.copies import Sets, equal_sets
from reknit.wiring.pile import Pile, judged
from reknit.wiring.pools import Pool
from reknit.wiring.result import ExchangeTests, Placed, Step, Verdict, Wiring, WiringEvidence
from reknit.wiring.weights_placement import WeightsPlacement

if TYPE_CHECKING:
    from reknit.wiring.input_placement import InputPlacement
    from reknit.wiring.output_floor import OutputFloor
    from reknit.wiring.output_placement import OutputPlacement
    from reknit.wiring.output_proof import OutputProof

LIKELY = 1.5
"""Margin from which a slot of a matrix is called likely: all of these were right on nets left out of the learning.

Vectors have margins of another make, and are never called likely by them (``vector_beliefs``).
"""

Claims = tuple[Verdict, str, frozenset[str], Sets]
"""The verdict, its reason, the slots that are certain, and sets of those that are not decided."""

_SURE = "every slot stands out by its margin, but no outputs were given, so nothing is proved"


def write_up(
    pile: Pile,
    pools: Sequence[Pool],
    weights: WeightsPlacement,
    proved: OutputPlacement | None,
    seconds: Mapping[str, float],
    run: Mapping[str, Any],
    *,
    given: InputPlacement | None = None,
) -> Wiring:
    """The result of a run; ``proved`` is None where no outputs were given, ``given`` where no inputs were either."""
    keys = [slot.key for slot in pile.skeleton.slots if slot.key in weights.placement]
    placement = weights.placement if proved is None else proved.placement
    identical = _identical(pile, pools, placement)
    asked = judged(pile.skeleton, pools, pile.array)
    loose = {slot for slots in identical for slot in slots} & {slot for pool in asked for slot in pool.slots}
    verdict, reason, certain, undecided = (
        _by_weights(pile.skeleton, keys, weights.certain - loose, given)
        if proved is None
        else _by_outputs(pile.skeleton, keys, proved.proof, asked, weights.certain)
    )
    placed = tuple(Placed(key, placement[key], weights.margins[key], key in certain) for key in keys)
    evidence = _evidence(pile.skeleton, weights, placed, proved)
    return Wiring(
        verdict,
        reason,
        placed,
        undecided,
        None if proved is None else residual_of(proved.proof.floor),
        pile.inferred,
        seconds,
        run,
        pile.array,
        pile.build,
        identical,
        pile.notes,
        evidence,
    )


def _by_weights(
    skeleton: Skeleton, keys: Sequence[str], certain: frozenset[str], given: InputPlacement | None
) -> Claims:
    unsure = [key for key in keys if key not in certain]
    reason = _unsure(len(unsure), len(keys), given) if unsure else _SURE
    return "ambiguous", reason, certain, _sets(skeleton, unsure)  # whatever the margins: the network was not asked


def _by_outputs(
    skeleton: Skeleton, keys: Sequence[str], proof: OutputProof, asked: Sequence[Pool], by_weights: frozenset[str]
) -> Claims:
    certain = _told(proof, asked) | (by_weights - {slot for pool in asked for slot in pool.slots})
    undecided = proof.free if proof.named else _sets(skeleton, [key for key in keys if key not in certain])
    return proof.verdict, proof.reason, certain, undecided


def residual_of(floor: OutputFloor) -> dict[str, Any]:
    """The error against recorded outputs, by tensor of the answer, as ``--json`` prints it."""
    return {
        "mse": [part.mse for part in floor.parts],
        "max_abs": [part.max_abs for part in floor.parts],
        "tolerance": [part.tolerance for part in floor.parts],
        "numbers": sum(part.count for part in floor.parts),
        "contradicted": floor.contradicted,
    }


def _told(proof: OutputProof, asked: Sequence[Pool]) -> frozenset[str]:
    """Slots of which recorded outputs leave no doubt."""
    free = {slot for slots in proof.free for slot in slots}
    holds = proof.verdict != "failed" and proof.named
    return frozenset(slot for pool in asked for slot in pool.slots if holds and slot not in free)


def _identical(pile: Pile, pools: Sequence[Pool], placement: Mapping[str, str]) -> Sets:
    """Sets of slots that hold tensors of equal bits."""
    found = [equal_sets(pool.slots, lambda slot: pile.array(placement[slot])) for pool in pools if len(pool.slots) > 1]
    return tuple(slots for sets in found for slots in sets)


def _evidence(
    skeleton: Skeleton, weights: WeightsPlacement, placed: Sequence[Placed], proved: OutputPlacement | None
) -> WiringEvidence:
    by_weights = {p.slot: weights.placement[p.slot] for p in placed if weights.placement[p.slot] != p.piece}
    matrices = {p.slot for p in placed if len(skeleton[p.slot].shape) > 1}
    likely = weights.likely | {p.slot for p in placed if p.margin >= LIKELY and p.slot in matrices}
    return WiringEvidence(
        families={p.slot: (skeleton[p.slot].family, skeleton[p.slot].index) for p in placed},
        likely=frozenset(likely - {p.slot for p in placed if p.certain} - by_weights.keys()),
        by_weights=by_weights,
        steps=()
        if proved is None
        else tuple(Step(stage.name, stage.error, stage.certain, stage.seconds) for stage in proved.stages),
        tests=None if proved is None else tests_of(proved.proof),
    )


def tests_of(proof: OutputProof) -> ExchangeTests:
    """What was asked of the exchanges."""
    return ExchangeTests(proof.level, proof.tested, proof.screened, proof.weakest, len(proof.undecided))


def _unsure(unsure: int, slots: int, given: InputPlacement | None) -> str:
    left = f"leave {unsure} of {slots} slots uncertain; recorded outputs would decide"
    if given is None:
        return f"the weights alone {left}"
    if given.used:
        return f"the weights and what the recorded inputs cause ({given.remark}) {left}"
    return f"the recorded inputs were left out, as {given.remark}; the weights alone {left}"


def _sets(skeleton: Skeleton, unsure: Sequence[str]) -> Sets:
    """The slots that are not certain, by shape."""
    shapes = dict.fromkeys(skeleton[key].shape for key in unsure)
    return tuple(tuple(key for key in unsure if skeleton[key].shape == shape) for shape in shapes)
