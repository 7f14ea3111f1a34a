"""Is it the only placement? Every exchange of two tensors of a pool, tested against the recorded outputs.

The rules are those of docs/verdicts.md. With e the recorded minus the computed answers and delta what an exchange adds
to the answers, all in units of the standard deviation sigma of what disturbs each number (the residual itself or the
rounding of a float32 pass, whichever is more, and stated noise), the exchange is rejected when

    c = <e, delta> / <delta, delta>,   z = (1 - max(c, 0)) |delta|

reaches the level at which all exchanges together would wrongly be rejected once in a million. How that is
found for thousands of exchanges is told in ``exchange_tests``. Of labels, an exchange is rejected when it contradicts
one beyond rounding; there several tensors at once are tried too (``compound_tests``), and no verdict is ``exact``.

Tensors of equal bits need no test: nothing tells them apart. Each such set is listed once, as in ``assembly/judge.py``.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from reknit.wiring.compound_tests import try_compounds
from reknit.wiring.copies import Sets, equal_sets
from reknit.wiring.exchange_tests import ENOUGH, Exchange, ExchangeTester
from reknit.wiring.links import LinkName
from reknit.wiring.observed import ObservedNumbers, ObservedOrder
from reknit.wiring.output_floor import OutputFloor, check_repeatable, output_floor
from reknit.wiring.pools import Pool, check_pools
from reknit.wiring.record_bits import record_bits
from reknit.wiring.recording import Recording, single

Verdict = Literal["exact", "consistent", "ambiguous", "failed"]

WRONGLY = 1e-6
"""Chance that any exchange is rejected although it is the truth (family-wise, Bonferroni)."""
SPARE_BITS = 20.0


@dataclass(frozen=True)
class OutputProof:
    """What recorded outputs say of a placement.

    Attributes:
        verdict: exact, consistent, ambiguous or failed (docs/verdicts.md).
        reason: one sentence.
        floor: the error, and what rounding explains.
        level: z from which an exchange is rejected.
        tested: exchanges in all pools.
        screened: of these, how many first-order effects alone rejected.
        least_share: exact effect over foreseen effect, the least of the sample; infinite where none was screened.
        weakest: the smallest z among exchanges rejected exactly; infinite if there are none.
        undecided: exchanges that are not rejected, the least z first.
        free: sets of slots that undecided exchanges join: who stands where within them is not known.
        named: whether the record carries as many bits as it takes to name a placement; if not, no slot is certain.
        identical: sets of slots that hold tensors of equal bits.
    """

    verdict: Verdict
    reason: str
    floor: OutputFloor
    level: float
    tested: int
    screened: int
    least_share: float
    weakest: float
    undecided: tuple[Exchange, ...]
    free: tuple[tuple[str, ...], ...]
    named: bool = True
    identical: Sets = ()


def prove(
    module: nn.Module,
    pools: Sequence[Pool],
    tensors: Mapping[str, Tensor],
    placement: Mapping[str, str],
    inputs: Sequence[Any],
    outputs: Any,
    *,
    link: LinkName | Sequence[LinkName] | None = None,
    noise: float = 0.0,
    seed: int = 0,
) -> OutputProof:
    """Judge a placement by recorded outputs; the arguments are those of ``place``.

    Raises:
        PileError: the pools do not fit the placement.
        TableError: the outputs do not fit the module, or can be read in two ways; or it answers at random.
    """
    check_pools(pools, tensors, placement)
    copies = identical_tensors(pools, tensors)
    tensors = {name: single(tensor) for name, tensor in tensors.items()}
    values = {slot: tensors[name] for slot, name in placement.items()}
    recording = Recording.of(module, values, inputs, outputs, link)
    check_repeatable(recording, values)
    return prove_recording(recording, pools, tensors, placement, copies=copies, noise=noise, seed=seed)


def prove_recording(
    recording: Recording,
    pools: Sequence[Pool],
    tensors: Mapping[str, Tensor],
    placement: Mapping[str, str],
    *,
    copies: Sets = (),
    noise: float = 0.0,
    seed: int = 0,
) -> OutputProof:
    """As ``prove``, with a recording at hand, tensors in float32, and sets of those that were equal before."""
    floor = output_floor(recording, {slot: tensors[name] for slot, name in placement.items()}, noise)
    tested = sum(len(pool.slots) * (len(pool.slots) - 1) // 2 for pool in pools)
    level = -NormalDist().inv_cdf(WRONGLY / max(tested, 1))
    wrong = _contradiction(recording, floor, noise)
    if wrong:
        return OutputProof("failed", wrong, floor, level, 0, 0, math.inf, math.inf, (), ())
    tester = ExchangeTester(recording, tensors, placement, floor, noise, level)
    generator = torch.Generator().manual_seed(seed)
    screened, least, left = tester.screen(pools, generator)
    slots = {placement[slot]: slot for pool in pools for slot in pool.slots}
    identical = tuple(tuple(sorted(slots[name] for name in names)) for names in copies)
    exact = [((pair,), tester.exactly(pair)) for pair in _asked(left, identical)]
    undecided = _exchanges_of_copies(tester.placement, identical)
    undecided += [found for _, found in exact if not tester.rejects(found)]
    weakest = min((found.z for _, found in exact if found.z >= level), default=math.inf)
    bits, needed = record_bits(tester, pools, generator), _needed(pools)
    named = bits >= needed
    if recording.has_orders and named:
        more, open_ = try_compounds(tester, pools, exact)
        tested += more
        undecided += open_
    undecided.sort(key=lambda one: (one.z, one.labels, one.slots))
    free = _joined([one.slots for one in undecided])
    verdict, reason = _verdict(recording, floor, noise, undecided, free, bits, needed, identical)
    return OutputProof(
        verdict, reason, floor, level, tested, screened, least, weakest, tuple(undecided), free, named, identical
    )


def _asked(left: Sequence[tuple[str, str]], identical: Sets) -> list[tuple[str, str]]:
    """The exchanges that are evaluated: copies are not asked."""
    copies = {frozenset(pair) for slots in identical for pair in itertools.combinations(slots, 2)}
    return [pair for pair in left if frozenset(pair) not in copies]


def _exchanges_of_copies(names: Mapping[str, str], identical: Sets) -> list[Exchange]:
    """Each copy with the first of its set."""
    return [
        Exchange((first, other), (names[first], names[other]), 0.0, 0.0, True)
        for first, *others in identical
        for other in others
    ]


def identical_tensors(pools: Sequence[Pool], tensors: Mapping[str, Tensor]) -> Sets:
    """Sets of tensors of a pool that agree in every bit, as they are stored."""

    def stored(name: str) -> np.ndarray:
        # as bytes: numpy has not every dtype of torch
        numbers: np.ndarray = tensors[name].detach().cpu().reshape(-1).view(torch.uint8).numpy()
        return numbers

    return tuple(names for pool in pools if len(pool.slots) > 1 for names in equal_sets(pool.tensors, stored))


def _contradiction(recording: Recording, floor: OutputFloor, noise: float) -> str:
    """What of the record the placement does not reproduce, in words; empty where it reproduces all."""
    for part, misfit in zip(recording.observed, floor.parts, strict=True):
        if isinstance(part, ObservedOrder):
            if misfit.contradicted:
                return f"{misfit.contradicted} of {misfit.count} recorded labels are contradicted beyond rounding"
            continue
        slack = 1 + 6 * math.sqrt(2 / max(misfit.count, 1))
        if misfit.share > 1 and not (noise > 0 and misfit.mse <= (misfit.rounding**2 + noise**2) * slack):
            return f"the largest error is {misfit.share:.3g} times what rounding explains"
    return ""


def _needed(pools: Sequence[Pool]) -> float:
    """Bits that name one placement among all."""
    return sum(math.lgamma(len(pool.slots) + 1) for pool in pools) / math.log(2) + SPARE_BITS


def _verdict(
    recording: Recording,
    floor: OutputFloor,
    noise: float,
    undecided: Sequence[Exchange],
    free: Sequence[Sequence[str]],
    bits: float,
    needed: float,
    identical: Sets,
) -> tuple[Verdict, str]:
    labels = sum(part.labels for part in recording.observed if isinstance(part, ObservedOrder))
    if bits < needed:
        return "ambiguous", f"the record carries {bits:.0f} bits, and naming a placement takes {needed:.0f}"
    if undecided and len(undecided) == sum(len(slots) - 1 for slots in identical):
        copies = sum(len(slots) for slots in identical)
        return "ambiguous", (
            f"{copies} slots ({_families(identical)}) hold identical copies, which nothing tells apart: the network is "
            "the same whichever is where, and every other exchange is rejected"
        )
    if undecided:
        slots = sum(len(group) for group in free)
        where = f"{slots} slots ({_families(free)})"
        return "ambiguous", f"{len(undecided)} exchanges among {where} {_effect(undecided)}; all others are rejected"
    if labels:
        said = f"all {labels} recorded labels are reproduced, and every exchange changes some of them beyond rounding"
        return "consistent", f"{said}; the numbers behind them were not recorded"
    coarse = any(
        torch.finfo(part.record.dtype).eps > torch.finfo(torch.float32).eps
        for part in recording.observed
        if isinstance(part, ObservedNumbers)
    )
    if floor.largest > 1 or coarse:
        cause = "stated noise" if noise > 0 else "the coarse numbers of the record"
        return "consistent", f"the error is what {cause} leaves, and every exchange is rejected"
    return "exact", "every recorded number is reproduced within rounding, and every exchange is rejected"


def _effect(undecided: Sequence[Exchange]) -> str:
    """What exchanges do that are not rejected."""
    if all(one.leaves_function for one in undecided):
        return "leave the function as it is"
    if any(one.labels for one in undecided):
        return f"change fewer than {ENOUGH} labels, too few to rule out that others make up for it"
    return "change too little to be seen in this record"


def _families(free: Sequence[Sequence[str]], most: int = 3) -> str:
    """The slots with the numbers of repeated modules replaced, each family once; of many the first."""
    families = list(dict.fromkeys(re.sub(r"(?<=\.)\d+(?=\.)", "*", slot) for group in free for slot in group))
    return ", ".join([*families[:most], *["..."] * (len(families) > most)])


def _joined(pairs: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Connected components."""
    parts: list[set[str]] = []
    for pair in pairs:
        touching = [part for part in parts if part & set(pair)]
        parts = [part for part in parts if not part & set(pair)] + [set(pair).union(*touching)]
    return tuple(tuple(sorted(part)) for part in sorted(parts, key=min))
