"""How many bits a record carries: whether it can name one placement among all.

A number carries the logarithm of its spread in units of what disturbs it. Labels carry no more than the entropy of
their frequencies; nor more than what tells the placement from others: if an arrangement drawn at random reproduces a
share q of the labels, all n of them are reproduced by chance once in q^-n, were they independent. The less counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
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


def record_bits(tester: ExchangeTester, pools: Sequence[Pool], generator: torch.Generator) -> float:
    """Bits in the record that tell the placement of a tester from other arrangements of the pools."""
    recording, total = tester.recording, 0.0
    shares = _shares(tester, pools, generator) if recording.has_orders else []
    for k, part in enumerate(recording.observed):
        if isinstance(part, ObservedNumbers):
            numbers = part.record[part.finite].double()
            spread = float(numbers.std(correction=0)) if len(numbers) else 0.0
            total += len(numbers) * max(math.log2(max(spread / tester.sigma[k], 1.0)), 0.0)
        elif isinstance(part, ObservedOrder):
            drawn = DRAWS * part.labels
            by_chance = (1 + drawn * sum(share[k] for share in shares) / DRAWS) / (1 + drawn)
            total += min(entropy(part.ids), -part.labels * math.log2(by_chance))
    return total


def _shares(tester: ExchangeTester, pools: Sequence[Pool], generator: torch.Generator) -> list[list[float]]:
    """Which share of the labels some random arrangements reproduce, for each tensor of the answer."""
    found = []
    for _ in range(DRAWS):
        placement = dict(tester.placement)
        for pool in pools:
            held = [tester.placement[slot] for slot in pool.slots]
            order = torch.randperm(len(held), generator=generator).tolist()
            placement.update({slot: held[j] for slot, j in zip(pool.slots, order, strict=True)})
        values = {slot: tester.tensors[name] for slot, name in placement.items()}
        found.append(_agreeing(tester.recording, values))
    return found


def _agreeing(recording: Recording, values: dict[str, Tensor]) -> list[float]:
    with torch.no_grad():
        answers = tensors_in(functional_call(recording.module, {**recording.own, **values}, recording.inputs))
    return [
        agreeing(part.as_classes(answer), part.ids) if isinstance(part, ObservedOrder) else 0.0
        for part, answer in zip(recording.observed, answers, strict=True)
    ]
