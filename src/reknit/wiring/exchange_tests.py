"""What exchanges of two tensors change, in units of what disturbs the record: screened, then exactly.

1. *Screened*: |delta| to first order, in random directions (``tensor_effects``). Since |c| is at most |e| / |delta|,
   an effect of ``SAFE`` times (level + |e|) is rejected by far; it would have to be wrong by that factor.
2. *Exactly*, in float64, all that is not rejected there: on a few inputs first, on all where that does not suffice.

What the screening leaves out is bounded by a sample, not proved: the weakest of the screened and some drawn at random
are evaluated exactly too; if an effect turns out to be a smaller share of what was foreseen than ``1 / SLACK``, the
bound for all others is raised by what is missing, and a sample above the new bound is taken: what is foreseen there may
be too large by as much. Exchanged variances are far from linear, and their effects often are.

An exchange that does not move the answers beyond the rounding of float64 leaves the function as it is, on these inputs:
a key's bias adds the same to all scores, and softmax loses it. Exchanges of tensors with equal bits leave everything.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reknit.wiring.exchanges import exchange_effects
from reknit.wiring.output_floor import OutputFloor, recorded_answers, state_in
from reknit.wiring.pools import Pool
from reknit.wiring.recording import Recording
from reknit.wiring.tensor_effects import Mixture, tensor_effects

ROWS, SAFE, SLACK, SAMPLED = 64, 100.0, 10.0, 12
"""Directions of the screening; see above for the others."""
FEW_INPUTS = 1
NOTHING = 1e4
"""Times the rounding of float64 that an answer may move and count as unmoved."""


@dataclass(frozen=True)
class Exchange:
    """An exchange of two tensors that the record does not reject.

    Attributes:
        slots: where they stand.
        tensors: what stands there.
        z: standard errors between the record and the exchanged placement.
        change: root mean square of what it changes, in units of what disturbs a number.
        leaves_function: whether it changes nothing beyond the rounding of float64, on these inputs.
    """

    slots: tuple[str, str]
    tensors: tuple[str, str]
    z: float
    change: float
    leaves_function: bool


class ExchangeTester:
    """Effects of exchanges in units of what disturbs each recorded number."""

    def __init__(
        self,
        recording: Recording,
        tensors: Mapping[str, Tensor],
        placement: Mapping[str, str],
        floor: OutputFloor,
        noise: float,
        level: float,
    ) -> None:
        self.recording, self.tensors, self.placement, self.level = recording, tensors, placement, level
        self.sigma = [
            math.sqrt(max(mse, rounding**2 + noise**2) + 2 * rounding**2)
            for mse, rounding in zip(floor.mse, floor.rounding, strict=True)
        ]
        values = {slot: tensors[name] for slot, name in placement.items()}
        self.state = state_in(recording, values, torch.float64)
        self.few = recording.some(torch.arange(min(FEW_INPUTS, len(recording))))
        self.base = {id(part): self._answers(part) for part in (self.few, recording)}
        self.misfit = math.sqrt(
            sum(m / s**2 * r.numel() for m, s, r in zip(floor.mse, self.sigma, recording.records, strict=True))
        )

    def _answers(self, part: Recording, pair: tuple[str, str] | None = None) -> list[Tensor]:
        state = self.state
        if pair is not None:
            first, second = pair
            state = {**state, first: state[second], second: state[first]}
        return recorded_answers(part, state, torch.float64)

    def bits(self) -> float:
        """Bits of information in the record: what each number's spread is, in units of its disturbance."""
        return sum(
            record.numel() * max(math.log2(max(float(record.double().std(correction=0)) / sigma, 1.0)), 0.0)
            for record, sigma in zip(self.recording.records, self.sigma, strict=True)
        )

    def screen(self, pools: Sequence[Pool], generator: torch.Generator) -> tuple[int, float, list[tuple[str, str]]]:
        """How many exchanges are rejected to first order, the least share in the sample, and the exchanges left."""
        foreseen = self._foreseen(pools, generator)
        pairs = sorted(foreseen, key=lambda pair: foreseen[pair])
        wanted = SAFE * (self.level + self.misfit)
        bound = wanted
        checked: dict[tuple[str, str], float] = {}
        while True:
            safe = [pair for pair in pairs if foreseen[pair] >= bound]
            drawn = torch.randperm(len(safe), generator=generator)[:SAMPLED].tolist()
            for pair in (*safe[:SAMPLED], *(safe[k] for k in drawn)):
                if pair not in checked:
                    checked[pair] = self.size(pair) / foreseen[pair]
            least = min((checked[pair] for pair in safe if pair in checked), default=math.inf)
            if least * SLACK * bound >= wanted or not safe:
                return len(safe), least, pairs[: len(pairs) - len(safe)]
            bound = max(2.0 * bound, wanted / max(least * SLACK, 1e-12))

    def _foreseen(self, pools: Sequence[Pool], generator: torch.Generator) -> dict[tuple[str, str], float]:
        """Size of every exchange's effect, to first order; in directions over the numbers as the record holds them."""
        found: dict[tuple[str, str], float] = {}
        pools = [pool for pool in pools if len(pool.slots) > 1]
        mixtures, held = [], []
        for pool in pools:
            number = {name: k for k, name in enumerate(pool.tensors)}
            held.append([number[self.placement[slot]] for slot in pool.slots])
            shape = tuple(self.tensors[pool.tensors[0]].shape)
            mixtures.append(Mixture(pool.slots, shape, pool.stacked(self.tensors), torch.eye(len(held[-1]))[held[-1]]))
        if not pools:
            return found
        values = {slot: self.tensors[name] for slot, name in self.placement.items()}
        recording = self.recording.as_recorded(self.sigma)
        model = tensor_effects(recording, values, mixtures, ROWS, generator)
        for pool, columns, part in zip(pools, held, model.effects, strict=True):
            sizes = model.sizes(exchange_effects(part, columns))
            for first, second in itertools.combinations(range(len(pool.slots)), 2):
                size = float(sizes[first, second])
                found[pool.slots[first], pool.slots[second]] = 0.0 if math.isnan(size) else size
        return found

    def _delta(self, part: Recording, pair: tuple[str, str]) -> list[Tensor]:
        moved = self._answers(part, pair)
        return [new - old for new, old in zip(moved, self.base[id(part)], strict=True)]

    def size(self, pair: tuple[str, str]) -> float:
        """The effect of an exchange on all inputs, exactly; infinite where it leaves an answer undefined."""
        delta = self._delta(self.recording, pair)
        total = sum(float((d / s).square().sum()) for d, s in zip(delta, self.sigma, strict=True))
        return math.inf if math.isnan(total) else math.sqrt(total)

    def exactly(self, pair: tuple[str, str]) -> Exchange:
        """z of an exchange: on few inputs, and on all of them if that leaves it open."""
        found = self._on(self.few, pair)
        return found if found.z >= self.level else self._on(self.recording, pair)

    def _on(self, part: Recording, pair: tuple[str, str]) -> Exchange:
        delta = self._delta(part, pair)
        size = overlap = unmoved = 0.0
        for d, base, record, sigma in zip(delta, self.base[id(part)], part.records, self.sigma, strict=True):
            size += float((d / sigma).square().sum())
            overlap += float(((record.double() - base) * d).sum()) / sigma**2
            rounding = NOTHING * torch.finfo(torch.float64).eps * float(base.abs().max().clamp(min=1e-300))
            unmoved = max(unmoved, float(d.abs().max()) / rounding)
        if not math.isfinite(size):  # no number is near an answer that is undefined
            return Exchange(pair, (self.placement[pair[0]], self.placement[pair[1]]), math.inf, math.inf, False)
        count = sum(record.numel() for record in part.records)
        z = (1 - max(overlap / size, 0.0)) * math.sqrt(size) if size > 0 else 0.0
        names = (self.placement[pair[0]], self.placement[pair[1]])
        return Exchange(pair, names, z, math.sqrt(size / max(count, 1)), unmoved <= 1)
