"""``assemble`` for a skeleton: anonymous tensors and perhaps recorded outputs in, the network and a verdict out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reknit import __version__
from reknit.containers.tensors import read_tensors
from reknit.errors import TableError
from reknit.skeleton.skeleton import Skeleton
from reknit.wiring.laid_out_pile import LaidOutPile
from reknit.wiring.learned import Learned, learned
from reknit.wiring.matching import match_shapes, without_effect
from reknit.wiring.options import WiringOptions
from reknit.wiring.pools import Pool
from reknit.wiring.recorded import Recorded, read_recorded
from reknit.wiring.result import Placed, Verdict, Wiring
from reknit.wiring.weights_placement import WeightsPlacement, place_by_weights

if TYPE_CHECKING:
    from reknit.wiring.input_placement import InputPlacement
    from reknit.wiring.output_placement import OutputPlacement

INPUTS_SHARE = 0.15
"""Of the time, for what the inputs alone tell, where there are outputs as well."""


def wire(
    pieces: str | Path,
    data: str | Path | None,
    options: WiringOptions,
    *,
    evidence: Learned | None = None,
    progress: Callable[[str], None] | None = None,
) -> Wiring:
    """Put a network back together from its tensors.

    Args:
        pieces: a folder of tensors, or one file that holds them all.
        data: recorded inputs, with outputs or without (``recorded``); None: the weights alone.
        options: what was asked for.
        evidence: what each kind of evidence weighs; None: what reknit comes with.
        progress: told what is being done.

    Raises:
        InputError: pieces, data or options cannot be used.
    """
    told = progress or (lambda _: None)
    clock = _Clock()
    told("reading")
    tensors = read_tensors(pieces)
    record = None if data is None else read_recorded(data)
    clock.stop("read")
    told("tracing the skeleton")
    pile = LaidOutPile(tensors, options)
    skeleton = pile.skeleton
    pools = match_shapes(skeleton, pile.shapes, pile.dtypes, str(pieces))
    pile.check_numbers()
    clock.stop("trace")
    told("placing by weights")
    weights = place_by_weights(
        skeleton, pools, pile.array, evidence or learned(), seed=options.seed, starts=options.starts
    )
    clock.stop("weights")
    proved = given = None
    if record is not None:
        told("placing by recorded inputs")
        given = _by_inputs(pile, pools, weights, record, options)
        weights = given.weights
        clock.stop("inputs")
    if record is not None and record.outputs:
        told("placing by recorded outputs")
        proved = _by_outputs(pile, pools, weights, record, options)
        clock.stop("outputs")
    return _written_up(pile, pools, weights, given, proved, clock.seconds, options)


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


def _by_inputs(
    pile: LaidOutPile, pools: Sequence[Pool], weights: WeightsPlacement, record: Recorded, options: WiringOptions
) -> InputPlacement:
    from reknit.skeleton.guess_inputs import on_meta, refusal
    from reknit.wiring.input_placement import place_by_inputs

    reason = refusal(pile.like.module, on_meta(record.inputs))
    if reason:
        problem = f"{pile.like.name} does not take the recorded inputs: {reason}"
        raise TableError(problem, "inputs", "Record the arguments of the module, in their order")
    share = INPUTS_SHARE if record.outputs else 1.0
    return place_by_inputs(
        pile.like.fillable(),
        pile.skeleton,
        pools,
        pile.torch_tensors(),
        weights,
        record.inputs,
        budget=None if options.budget is None else share * options.budget,
    )


def _by_outputs(
    pile: LaidOutPile, pools: Sequence[Pool], weights: WeightsPlacement, record: Recorded, options: WiringOptions
) -> OutputPlacement:
    from reknit.wiring.output_placement import place

    return place(
        pile.like.fillable(),  # a copy: a module that holds another one twice is left damaged by functional calls
        _judged(pile.skeleton, pools),
        pile.torch_tensors(),
        weights.placement,
        weights.settled,
        record.inputs,
        record.outputs,
        link=options.known_link,
        beliefs=weights.beliefs,
        ladders=weights.ladders,
        rivals=weights.rivals,
        around=weights.beliefs_around,
        noise=options.noise or 0.0,
        budget=options.budget,
        seed=options.seed,
    )


def _judged(skeleton: Skeleton, pools: Sequence[Pool]) -> list[Pool]:
    """The pools that recorded outputs can say anything of: without counters and what else no operation uses."""
    return [pool for pool in pools if not without_effect(skeleton, pool.slots)]


def _written_up(
    pile: LaidOutPile,
    pools: Sequence[Pool],
    weights: WeightsPlacement,
    given: InputPlacement | None,
    proved: OutputPlacement | None,
    seconds: Mapping[str, float],
    options: WiringOptions,
) -> Wiring:
    run = {
        "seed": options.seed,
        "version": __version__,
        "like": options.like,
        "input": options.input_shape,
        "link": options.link,
        "noise": options.noise,
        "budget": options.budget,
        "climbs": weights.climbs,
    }
    keys = [slot.key for slot in pile.skeleton.slots if slot.key in weights.placement]
    if proved is None:
        certain = weights.certain
        unsure = [key for key in keys if key not in certain]
        verdict: Verdict = "ambiguous"  # whatever the margins: nothing was asked of the network itself
        reason = _unsure(len(unsure), len(keys), given) if unsure else _SURE
        placement, undecided, residual = weights.placement, _sets(pile.skeleton, unsure), None
    else:
        proof = proved.proof
        verdict, reason, placement = proof.verdict, proof.reason, proved.placement
        free = {slot for slots in proof.free for slot in slots}
        judged = {slot for pool in _judged(pile.skeleton, pools) for slot in pool.slots}
        holds = verdict != "failed" and proof.named
        told = frozenset(key for key in judged if holds and key not in free)
        certain = told | (weights.certain - judged)
        undecided = proof.free if proof.named else _sets(pile.skeleton, [key for key in keys if key not in certain])
        residual = {
            "mse": list(proof.floor.mse),
            "max_abs": list(proof.floor.max_abs),
            "tolerance": list(proof.floor.tolerance),
            "numbers": proof.floor.count,
        }
    placed = tuple(Placed(key, placement[key], weights.margins[key], key in certain) for key in keys)
    return Wiring(verdict, reason, placed, undecided, residual, pile.inferred, seconds, run, pile.array, pile.build)


_SURE = "every slot stands out by its margin, but no outputs were given, so nothing is proved"


def _unsure(unsure: int, slots: int, given: InputPlacement | None) -> str:
    left = f"leave {unsure} of {slots} slots uncertain; recorded outputs would decide"
    if given is None:
        return f"the weights alone {left}"
    if given.used:
        return f"the weights and what the recorded inputs cause ({given.remark}) {left}"
    return f"the recorded inputs were left out, as {given.remark}; the weights alone {left}"


def _sets(skeleton: Skeleton, unsure: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The slots that are not certain, by shape."""
    shapes = dict.fromkeys(skeleton[key].shape for key in unsure)
    return tuple(tuple(key for key in unsure if skeleton[key].shape == shape) for shape in shapes)
