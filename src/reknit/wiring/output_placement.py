"""Tensors into slots by a network's own recorded outputs: weights propose, outputs prove.

``place`` looks for the placement that reproduces the record to rounding (``output_search``), and has it judged
(``output_proof``): by the error, and by whether any exchange of two tensors would have done as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reknit.wiring.exchanges import Ladder
from reknit.wiring.links import LinkName
from reknit.wiring.output_floor import check_repeatable
from reknit.wiring.output_proof import OutputProof, identical_tensors, prove_recording
from reknit.wiring.output_search import run
from reknit.wiring.pools import Pool, check_pools
from reknit.wiring.recording import Recording, single
from reknit.wiring.rivals import Move
from reknit.wiring.scale_prior import scale_prior, scaling_slots
from reknit.wiring.search_state import Search, Stage
from reknit.wiring.soft_assignment import Matrix

MIXABLE = 16384
"""Numbers in a tensor up to which slots may hold mixtures; larger ones are only exchanged."""
LEAST_BELIEF = 1e-6
CERTAIN_SHARE = 0.6
"""Of the time, at most, for a search that leaves alone what is certain; after that everything is open."""


@dataclass(frozen=True)
class OutputPlacement:
    """Tensors in slots, with what the recorded outputs say of it.

    Attributes:
        placement: slot -> tensor, for every slot.
        proof: verdict, errors, and exchanges that are not decided.
        stages: how the error fell.
        seconds: in all.
    """

    placement: Mapping[str, str]
    proof: OutputProof
    stages: tuple[Stage, ...]
    seconds: float


def place(
    module: nn.Module,
    pools: Sequence[Pool],
    tensors: Mapping[str, Tensor],
    placement: Mapping[str, str],
    certain: Collection[str],
    inputs: Sequence[Any],
    outputs: Any,
    *,
    link: LinkName | Sequence[LinkName] | None = None,
    beliefs: Mapping[str, Mapping[str, float]] | None = None,
    ladders: Sequence[Ladder] = (),
    rivals: Sequence[Move] = (),
    around: Callable[[Mapping[str, str]], Mapping[str, Mapping[str, float]]] | None = None,
    noise: float = 0.0,
    budget: float | None = None,
    seed: int = 0,
) -> OutputPlacement:
    """Find the placement that reproduces recorded outputs, and prove it.

    Args:
        module: in eval mode, on the meta device or not; all its tensors come from the placement, or are its own.
        pools: slots of one shape and the tensors for them.
        tensors: by name.
        placement: slot -> tensor for every slot that is not to be the module's own; rough where not certain.
        certain: slots that are touched only if the record cannot be reproduced otherwise: certain, or as good as.
        inputs: positional arguments of the module; the first axis of every tensor runs over the inputs.
        outputs: what it answered, in the same nest of tensors.
        link: what lies between answer and record, one for all outputs or one for each; None: found out.
        beliefs: slot -> tensor -> how likely, up to a factor, where something is known; None: from the numbers alone.
        ladders: rungs of slots that may be exchanged as a whole, tensors too large for mixtures above all.
        rivals: moves from the given placement to others that may be as right, the likeliest first.
        around: the beliefs again, for another placement of what is not mixed; None: they stay.
        noise: standard deviation of noise that the outputs are known to carry.
        budget: seconds for the search; the proof comes on top. None: no limit.
        seed: of inputs and directions that are drawn.

    Raises:
        PileError: the pools do not fit the placement.
        TableError: the outputs do not fit the module, or can be read in two ways; or it answers at random.
    """
    began = time.perf_counter()
    check_pools(pools, tensors, placement)
    copies = identical_tensors(pools, tensors)
    tensors = {name: single(tensor) for name, tensor in tensors.items()}
    values = {slot: tensors[name] for slot, name in placement.items()}
    recording = Recording.of(module, values, inputs, outputs, link)
    check_repeatable(recording, values)
    deadline = began + (float("inf") if budget is None else budget)

    repeated = {slot for ladder in ladders for rung in ladder for slot in rung}

    def search_from(settled: Collection[str], until: float) -> Search:
        """A search from the given placement in which some slots are left alone."""
        opened = [pool.without(placement, settled) for pool in pools]
        opened = [pool for pool in opened if len(pool.slots) > 1]
        mixed = [
            pool
            for pool in opened
            if pool.mixes(tensors) and _is_mixed(tensors[pool.tensors[0]], pool, repeated if rivals else ())
        ]
        return Search(
            recording=recording,
            tensors=tensors,
            placement=dict(placement),
            mixed=mixed,
            whole=[pool for pool in opened if pool not in mixed],
            priors=[_prior(pool, tensors, beliefs or {}) for pool in mixed],
            ladders=ladders,
            rivals=rivals,
            priors_around=lambda held: [_prior(pool, tensors, around(held)) for pool in mixed] if around else None,
            generator=torch.Generator().manual_seed(seed),
            deadline=until,
            began=began,
        )

    held_back = any(len(pool.slots) > 1 and set(pool.slots) & set(certain) for pool in pools)
    search = search_from(certain, began + CERTAIN_SHARE * (deadline - began) if held_back else deadline)
    if not run(search) and held_back:
        search = _opened(search, search_from((), deadline))  # something that passed for certain must be wrong
    if len(search.stages) > 1:
        search.note("found", search.error(search.placement))
    proof = prove_recording(recording, pools, tensors, search.placement, copies=copies, noise=noise, seed=seed)
    return OutputPlacement(search.placement, proof, tuple(search.stages), time.perf_counter() - began)


def _opened(first: Search, second: Search) -> Search:
    """The second search run behind the first; the better of their ends."""
    second.stages = first.stages
    found = run(second)
    if not found and first.error(first.placement) < second.error(second.placement):
        second.placement = first.placement
    return second


def _is_mixed(tensor: Tensor, pool: Pool, moved_whole: Collection[str]) -> bool:
    """Whether slots may hold mixtures; matrices that repeat and have rivals are moved, with all that is beside them."""
    return tensor.numel() <= MIXABLE and (tensor.ndim <= 1 or not set(pool.slots) & set(moved_whole))


def _prior(pool: Pool, tensors: Mapping[str, Tensor], beliefs: Mapping[str, Mapping[str, float]]) -> Matrix:
    """Logarithms of the prior: from the beliefs for slots that have any, else from the numbers."""
    stacked = pool.stacked(tensors).numpy()
    prior = scale_prior(pool.slots, scaling_slots(pool.slots, tensors[pool.tensors[0]].ndim), stacked)
    for row, slot in enumerate(pool.slots):
        if slot in beliefs:
            weights = np.array([beliefs[slot].get(name, 0.0) for name in pool.tensors])
            prior[row] = np.log(np.maximum(weights / max(float(weights.sum()), 1e-300), LEAST_BELIEF))
    return prior
