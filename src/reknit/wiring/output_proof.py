"""Is it the only placement? Every exchange of two tensors of a pool, tested against the recorded outputs.

The rules are those of docs/verdicts.md. With e the recorded minus the computed answers and delta what an exchange adds
to the answers, all in units of the standard deviation sigma of what disturbs each number (the residual itself or the
rounding of a float32 pass, whichever is more, and stated noise), the exchange is rejected when

    c = <e, delta> / <delta, delta>,   z = (1 - max(c, 0)) |delta|

reaches the level at which all exchanges together would wrongly be rejected once in a million. How that is
found for thousands of exchanges is told in ``exchange_tests``.

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

from reknit.wiring.copies import Sets, equal_sets
from reknit.wiring.exchange_tests import Exchange, ExchangeTester
from reknit.wiring.links import LinkName
from reknit.wiring.output_floor import OutputFloor, output_floor
from reknit.wiring.pools import Pool, check_pools
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
    link: LinkName | None = None,
    noise: float = 0.0,
    seed: int = 0,
) -> OutputProof:
    """Judge a placement by recorded outputs; the arguments are those of ``place``.

    Raises:
        PileError: the pools do not fit the placement.
        TableError: the outputs do not fit the module, or are labels.
    """
    check_pools(pools, tensors, placement)
    copies = identical_tensors(pools, tensors)
    tensors = {name: single(tensor) for name, tensor in tensors.items()}
    values = {slot: tensors[name] for slot, name in placement.items()}
    recording = Recording.of(module, values, inputs, outputs, link)
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
    floor = output_floor(recording, {slot: tensors[name] for slot, name in placement.items()})
    tested = sum(len(pool.slots) * (len(pool.slots) - 1) // 2 for pool in pools)
    level = -NormalDist().inv_cdf(WRONGLY / max(tested, 1))
    coarse = any(torch.finfo(record.dtype).eps > torch.finfo(torch.float32).eps for record in recording.records)
    explained = all(
        mse <= (rounding**2 + noise**2) * (1 + 6 * math.sqrt(2 / max(record.numel(), 1)))
        for mse, rounding, record in zip(floor.mse, floor.rounding, recording.records, strict=True)
    )
    if floor.largest > 1 and not (noise > 0 and explained):
        off = f"the largest error is {floor.largest:.3g} times what rounding explains"
        return OutputProof("failed", off, floor, level, 0, 0, math.inf, math.inf, (), ())
    tester = ExchangeTester(recording, tensors, placement, floor, noise, level)
    screened, least, left = tester.screen(pools, torch.Generator().manual_seed(seed))
    slots = {placement[slot]: slot for pool in pools for slot in pool.slots}
    identical = tuple(tuple(sorted(slots[name] for name in names)) for names in copies)
    undecided, weakest = _exactly(tester, left, identical)
    free = _joined([one.slots for one in undecided])
    bits, needed = tester.bits(), _needed(pools)
    verdict, reason = _verdict(floor, noise, coarse, undecided, free, bits, needed, identical)
    named = bits >= needed
    return OutputProof(
        verdict, reason, floor, level, tested, screened, least, weakest, tuple(undecided), free, named, identical
    )


def _exactly(tester: ExchangeTester, left: Sequence[tuple[str, str]], identical: Sets) -> tuple[list[Exchange], float]:
    """The exchanges that are not rejected, the least z first, and the least z of those that are.

    Copies are not asked: each is listed once, with the first of its set.
    """
    copies = {frozenset(pair) for slots in identical for pair in itertools.combinations(slots, 2)}
    names = tester.placement
    undecided = [
        Exchange((first, other), (names[first], names[other]), 0.0, 0.0, True)
        for first, *others in identical
        for other in others
    ]
    weakest = math.inf
    for pair in left:
        if frozenset(pair) in copies:
            continue
        found = tester.exactly(pair)
        if found.z < tester.level:
            undecided.append(found)
        else:
            weakest = min(weakest, found.z)
    return sorted(undecided, key=lambda one: (one.z, one.slots)), weakest


def identical_tensors(pools: Sequence[Pool], tensors: Mapping[str, Tensor]) -> Sets:
    """Sets of tensors of a pool that agree in every bit, as they are stored."""

    def stored(name: str) -> np.ndarray:
        # as bytes: numpy has not every dtype of torch
        numbers: np.ndarray = tensors[name].detach().cpu().reshape(-1).view(torch.uint8).numpy()
        return numbers

    return tuple(names for pool in pools if len(pool.slots) > 1 for names in equal_sets(pool.tensors, stored))


def _needed(pools: Sequence[Pool]) -> float:
    """Bits that name one placement among all."""
    return sum(math.lgamma(len(pool.slots) + 1) for pool in pools) / math.log(2) + SPARE_BITS


def _verdict(
    floor: OutputFloor,
    noise: float,
    coarse: bool,
    undecided: Sequence[Exchange],
    free: Sequence[Sequence[str]],
    bits: float,
    needed: float,
    identical: Sets,
) -> tuple[Verdict, str]:
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
        harmless = all(one.leaves_function for one in undecided)
        effect = "leave the function as it is" if harmless else "change too little to be seen in this record"
        where = f"{slots} slots ({_families(free)})"
        return "ambiguous", f"{len(undecided)} exchanges among {where} {effect}; all others are rejected"
    if floor.largest > 1 or coarse:
        cause = "stated noise" if noise > 0 else "the coarse numbers of the record"
        return "consistent", f"the error is what {cause} leaves, and every exchange is rejected"
    return "exact", "every recorded number is reproduced within rounding, and every exchange is rejected"


def _families(free: Sequence[Sequence[str]], most: int = 3) -> str:
    """The slots with the numbers of repeated modules replaced, each family once; of many the first."""
    families = list(dict.fromkeys(re.sub(r"(?<=\.)\d+(?=\.)", "*", slot) for group in free for slot in group))
    return ", ".join([*families[:most], *["..."] * (len(families) > most)])


def _joined(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Connected components."""
    parts: list[set[str]] = []
    for pair in pairs:
        touching = [part for part in parts if part & set(pair)]
        parts = [part for part in parts if not part & set(pair)] + [set(pair).union(*touching)]
    return tuple(tuple(sorted(part)) for part in sorted(parts, key=min))
