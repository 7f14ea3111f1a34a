"""How many bits a record carries: whether it can name one placement among all.

A number carries the logarithm of its spread in units of what disturbs it. What is recorded twice is news once: rows of
equal inputs and answers count once, and the numbers of a row no more than what is left of them when the answer to the
nearest input before it is known, so that nearly equal inputs carry little. Labels carry no more than the entropy of
their frequencies; nor more than what tells the placement from others: if an arrangement drawn at random reproduces a
share q of the labels, all n of them are reproduced by chance once in q^-n, were they independent. The less counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.func import functional_call

from reknit.skeleton.answers import tensors_in
from reknit.wiring.exchange_tests import ExchangeTester
from reknit.wiring.observed import ObservedNumbers, ObservedOrder
from reknit.wiring.pools import Pool
from reknit.wiring.recording import Recording
from reknit.wiring.top_answers import agreeing, entropy

DRAWS = 8
"""Arrangements that are drawn."""
DIRECTIONS, CHUNK = 64, 256
"""Directions in which distances of inputs are seen (Johnson and Lindenstrauss), and inputs looked at together."""

DOUBT = 2.0
"""Standard deviations by which each of two rows may be disturbed; what is within them is not new."""


def record_bits(tester: ExchangeTester, pools: Sequence[Pool], generator: torch.Generator) -> float:
    """Bits in the record that tell the placement of a tester from other arrangements of the pools."""
    recording, total = tester.recording, 0.0
    rows = _distinct(recording)
    once = recording if rows is None else recording.some(rows)
    shares = _shares(tester, once, pools, generator) if recording.has_orders else []
    nearest = None if rows is None else _nearest_before(recording.inputs, rows)
    for k, part in enumerate(recording.observed):
        seen = part if rows is None else part.some(rows)
        if isinstance(seen, ObservedNumbers):
            total += _bits_of_numbers(seen, tester.sigma[k], nearest)
        elif isinstance(seen, ObservedOrder):
            drawn = DRAWS * seen.labels
            by_chance = (1 + drawn * sum(share[k] for share in shares) / DRAWS) / (1 + drawn)
            total += min(entropy(seen.ids), -seen.labels * math.log2(by_chance))
    return total


def _bits_of_numbers(part: ObservedNumbers, sigma: float, nearest: Int[Tensor, " rows"] | None) -> float:
    """Of each row the logarithm of what is new in it, root mean square, but at most of the spread of all numbers."""
    numbers = part.record[part.finite].double()
    spread = float(numbers.std(correction=0)) if len(numbers) else 0.0
    if nearest is None:
        return len(numbers) * math.log2(max(spread / sigma, 1.0))
    flat, finite = part.numbers.double().flatten(1), part.finite.flatten(1)
    counts = finite.sum(1)
    new = torch.full((len(flat),), math.inf, dtype=torch.float64)
    if len(flat) > 1:
        change = torch.where(finite[1:], flat[1:] - flat[nearest[1:]], 0.0).square().sum(1)
        new[1:] = (change / counts[1:].clamp(min=1) - 2 * (DOUBT * sigma) ** 2).clamp(min=0.0).sqrt()
    return float((counts * (new.clamp(max=spread) / sigma).clamp(min=1.0).log2()).sum())


def _rows(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.reshape(len(tensor), -1) for tensor in tensors]


def _distinct(recording: Recording) -> Int[Tensor, " rows"] | None:
    """The first of all rows that are equal in inputs and answers; None where first axes are no rows."""
    inputs = [x for x in recording.inputs if isinstance(x, Tensor)]
    answers = [part.record for part in recording.observed if isinstance(part, ObservedNumbers)]
    answers += [part.ids for part in recording.observed if isinstance(part, ObservedOrder)]
    if not inputs or len({len(x) if x.ndim else 0 for x in (*inputs, *answers)} | {0}) != 2:
        return None
    stored = [part.contiguous().view(torch.uint8).numpy() for part in _rows([*inputs, *answers])]
    first: dict[bytes, int] = {}
    for row, parts in enumerate(zip(*stored, strict=True)):
        first.setdefault(b"".join(part.tobytes() for part in parts), row)
    return torch.tensor(list(first.values()))


def _nearest_before(inputs: Sequence[Any], rows: Int[Tensor, " rows"]) -> Int[Tensor, " rows"]:
    """For each of some rows which of those before it has the nearest inputs, as directions see it; of the first: 0."""
    generator = torch.Generator().manual_seed(0)
    seen = torch.zeros(len(rows), DIRECTIONS)
    for x in _rows([x[rows] for x in inputs if isinstance(x, Tensor)]):
        centred = x.float() - x.float().mean(0)
        width = centred.shape[1]
        seen += centred @ torch.randn(width, DIRECTIONS, generator=generator)
    found = torch.zeros(len(rows), dtype=torch.int64)
    for start in range(1, len(rows), CHUNK):
        some = torch.arange(start, min(start + CHUNK, len(rows)))
        distances = torch.cdist(seen[some], seen[: int(some[-1])], compute_mode="donot_use_mm_for_euclid_dist")
        later = torch.arange(int(some[-1])) >= some.unsqueeze(1)
        found[some] = distances.masked_fill(later, math.inf).argmin(1)
    return found


def _shares(
    tester: ExchangeTester, recording: Recording, pools: Sequence[Pool], generator: torch.Generator
) -> list[list[float]]:
    """Which share of the labels some random arrangements reproduce, for each tensor of the answer."""
    found = []
    for _ in range(DRAWS):
        placement = dict(tester.placement)
        for pool in pools:
            held = [tester.placement[slot] for slot in pool.slots]
            order = torch.randperm(len(held), generator=generator).tolist()
            placement.update({slot: held[j] for slot, j in zip(pool.slots, order, strict=True)})
        values = {slot: tester.tensors[name] for slot, name in placement.items()}
        found.append(_agreeing(recording, values))
    return found


def _agreeing(recording: Recording, values: dict[str, Tensor]) -> list[float]:
    with torch.no_grad():
        answers = tensors_in(functional_call(recording.module, {**recording.own, **values}, recording.inputs))
    return [
        agreeing(part.as_classes(answer), part.ids) if isinstance(part, ObservedOrder) else 0.0
        for part, answer in zip(recording.observed, answers, strict=True)
    ]
