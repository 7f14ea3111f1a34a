"""``assemble`` for a skeleton: anonymous tensors and perhaps recorded outputs in, the network and a verdict out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from reknit import __version__
from reknit.containers.tensors import Tensors, read_tensors
from reknit.errors import PileError, TableError
from reknit.skeleton.skeleton import Skeleton
from reknit.wiring.learned import Learned, learned
from reknit.wiring.matching import match_shapes, without_effect
from reknit.wiring.options import WiringOptions
from reknit.wiring.pools import Pool
from reknit.wiring.recorded import Recorded, read_recorded
from reknit.wiring.result import Inferred, Placed, Verdict, Wiring
from reknit.wiring.turned import Turned, turned
from reknit.wiring.weights_placement import WeightsPlacement, place_by_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from reknit.architectures.infer import Inference
    from reknit.skeleton.like import Like
    from reknit.wiring.input_placement import InputPlacement
    from reknit.wiring.output_placement import OutputPlacement

INPUTS_SHARE = 0.3
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
    pile = _Pile(tensors, options)
    skeleton = pile.skeleton
    pools = match_shapes(skeleton, pile.shapes, pile.dtypes, str(pieces))
    _check_numbers(pile)
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


def _check_numbers(pile: _Pile) -> None:
    """No tensor of a network that works holds infinities or NaN.

    Raises:
        PileError: one does.
    """
    for name in pile.shapes:
        array = pile.array(name)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise PileError("it holds numbers that are infinite or undefined", name, "Leave out what is damaged")


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


class _Pile:
    """The tensors at hand, laid out as the skeleton wants them, and the skeleton itself."""

    def __init__(self, tensors: Tensors, options: WiringOptions) -> None:
        self.tensors = tensors
        self.options = options
        self._inferred: Sequence[Inference] = () if options.like else self._infer()
        kept = tensors.names
        self._turned = self._layout(kept)
        self.shapes = {name: self._turned.shape(tensors.shape(name)) for name in kept}
        self.dtypes = {name: tensors.dtype(name) for name in kept}

    def _infer(self) -> Sequence[Inference]:
        from reknit.architectures.infer import infer

        names = self.tensors.names
        found = infer([self.tensors.shape(name) for name in names], [self.tensors.dtype(name) for name in names])
        if not found:
            problem = f"no built-in architecture has exactly these {len(names)} tensors"
            raise PileError(problem, self.tensors.path, "Name the skeleton with --like")
        return found

    def _layout(self, names: Sequence[str]) -> Turned:
        """How tensors are kept: as the skeleton has them, or turned, as other frameworks keep them."""
        wanted = [slot.shape for slot in self.skeleton.slots]
        return turned([self.tensors.shape(name) for name in names], wanted)

    @cached_property
    def like(self) -> Like:
        """The module on the meta device, and example inputs."""
        from reknit.skeleton.like import resolve

        return resolve(self.options.like or self._inferred[0].like, self.options.input_shape)

    @cached_property
    def skeleton(self) -> Skeleton:
        """What is to be filled."""
        from reknit.skeleton.trace import trace

        return trace(self.like.module, self.like.inputs, name=self.like.name)

    @property
    def inferred(self) -> Inferred:
        """Where the skeleton comes from, and what else would fit."""
        if self.options.like:
            return Inferred(self.options.like)
        first, *others = self._inferred
        open_points = [
            f"{point.field}: taken {point.taken}, as well {', '.join(map(str, point.others)) or 'any'}; {point.because}"
            for point in first.undecided
        ]
        return Inferred(first.like, first.read_from, (*open_points, *(other.like for other in others)))

    def array(self, name: str) -> Float[np.ndarray, ...]:
        """The numbers of a tensor, turned as the skeleton has them."""
        return self._turned.array(self.tensors.array(name))

    def torch_tensors(self) -> dict[str, Tensor]:
        """All of them, by name."""
        import torch

        return {name: torch.from_numpy(np.asarray(self.array(name), order="C")) for name in self.shapes}

    def build(self, tensors: Mapping[str, np.ndarray]) -> nn.Module:
        """The module with these tensors in its slots; tied slots get the same one, slots without effect zeros."""
        import torch

        module = self.like.fillable()
        state: dict[str, torch.Tensor] = {}
        for slot in self.skeleton.slots:
            given = tensors.get(slot.key)
            values = torch.zeros(slot.shape) if given is None else torch.from_numpy(np.asarray(given, order="C"))
            state |= dict.fromkeys((slot.key, *slot.aliases), values)
        module.load_state_dict(state, strict=False, assign=True)
        return module.eval()


def _by_inputs(
    pile: _Pile, pools: Sequence[Pool], weights: WeightsPlacement, record: Recorded, options: WiringOptions
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
    pile: _Pile, pools: Sequence[Pool], weights: WeightsPlacement, record: Recorded, options: WiringOptions
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
    pile: _Pile,
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
