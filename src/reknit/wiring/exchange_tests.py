"""What exchanges of tensors change, in units of what disturbs the record, and in labels: screened, then exactly.

1. *Screened*: |delta| to first order, in random directions (``tensor_effects``). Since |c| is at most |e| / |delta|,
   an effect of ``SAFE`` times (level + |e|) is rejected by far; it would have to be wrong by that factor. Only numbers
   are screened: what is foreseen to first order does not say that a label changes.
2. *Exactly*, in float64, all that is not rejected there: on a few inputs first, on all where that does not suffice. A
   label counts as changed where the exchanged placement contradicts it by more than its own float32 pass and that of
   the present one explain.

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

from reknit.wiring.exchanges import Swap, exchange_effects, exchanged
from reknit.wiring.observed import Misfit, ObservedNumbers, ObservedOrder
from reknit.wiring.output_floor import OutputFloor, recorded_answers, state_in
from reknit.wiring.pools import Pool
from reknit.wiring.recording import Recording
from reknit.wiring.tensor_effects import Mixture, tensor_effects

ROWS, SAFE, SLACK, SAMPLED = 64, 100.0, 10.0, 12
"""Directions of the screening; see above for the others."""
FEW_INPUTS, MORE_INPUTS = 1, 8
NOTHING = 1e4
"""Times the rounding of float64 that an answer may move and count as unmoved."""
ENOUGH = 16
"""Labels that an exchange has to change before it is left alone; of those that change fewer, two are tried together."""


@dataclass(frozen=True)
class Exchange:
    """An exchange of two tensors, or several one after the other, and what the record says of it.

    Attributes:
        slots: where they stand.
        tensors: what stands there.
        z: standard errors between the record and the exchanged placement; 0 where no numbers were recorded.
        change: root mean square of what it changes, in units of what disturbs a number.
        leaves_function: whether it changes nothing beyond the rounding of float64, on these inputs.
        labels: recorded labels that it contradicts beyond rounding, counted up to ``ENOUGH`` or more.
    """

    slots: tuple[str, ...]
    tensors: tuple[str, ...]
    z: float
    change: float
    leaves_function: bool
    labels: int = 0


class ExchangeTester:
    """Effects of exchanges in units of what disturbs each recorded number, and in labels."""

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
        self.floor, self.noise = floor, noise
        self.sigma = [_sigma(part, noise) for part in floor.parts]
        values = {slot: tensors[name] for slot, name in placement.items()}
        self.state = state_in(recording, values, torch.float64)
        self.short = state_in(recording, values, torch.float32)
        sizes = (FEW_INPUTS, MORE_INPUTS) if recording.has_orders else (FEW_INPUTS,)
        less = [recording.some(torch.arange(size)) for size in sizes if size < len(recording)]
        self.ever_more = (*less, recording)
        self.base = {id(part): self._answers(part) for part in self.ever_more}
        self.misfit = math.sqrt(
            sum(
                floor.parts[k].mse / self.sigma[k] ** 2 * part.record.numel()
                for k, part in enumerate(recording.observed)
                if isinstance(part, ObservedNumbers)
            )
        )

    def _answers(self, part: Recording, swaps: Sequence[Swap] = (), dtype: torch.dtype = torch.float64) -> list[Tensor]:
        state = self.state if dtype == torch.float64 else self.short
        origin = exchanged({slot: slot for swap in swaps for slot in swap}, swaps)
        return recorded_answers(part, {**state, **{slot: state[from_] for slot, from_ in origin.items()}}, dtype)

    def screen(self, pools: Sequence[Pool], generator: torch.Generator) -> tuple[int, float, list[Swap]]:
        """How many exchanges are rejected to first order, the least share in the sample, and the exchanges left."""
        foreseen = self._foreseen(pools, generator)
        pairs = sorted(foreseen, key=lambda pair: foreseen[pair])
        wanted = SAFE * (self.level + self.misfit)
        bound = wanted
        checked: dict[Swap, float] = {}
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

    def _foreseen(self, pools: Sequence[Pool], generator: torch.Generator) -> dict[Swap, float]:
        """Size of every exchange's effect, to first order; in directions over the numbers as the record holds them."""
        pools = [pool for pool in pools if len(pool.slots) > 1]
        if not any(isinstance(part, ObservedNumbers) for part in self.recording.observed):
            return {pair: 0.0 for pool in pools for pair in itertools.combinations(pool.slots, 2)}
        found: dict[Swap, float] = {}
        whole = [pool for pool in pools if not pool.mixes(self.tensors)]  # indices have no slope: exactly, all of them
        found.update({pair: 0.0 for pool in whole for pair in itertools.combinations(pool.slots, 2)})
        pools = [pool for pool in pools if pool not in whole]
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

    def size(self, pair: Swap) -> float:
        """The effect of an exchange on all numbers, exactly; infinite where it leaves an answer undefined."""
        moved = self._answers(self.recording, [pair])
        total = 0.0
        for k, part in enumerate(self.recording.observed):
            if isinstance(part, ObservedNumbers):
                delta = moved[k] - self.base[id(self.recording)][k]
                total += float((delta / self.sigma[k]).square().sum())
        return math.inf if math.isnan(total) else math.sqrt(total)

    def exactly(self, *swaps: Swap) -> Exchange:
        """What exchanges, one after the other, do to the record: on few inputs, and on more if that leaves it open."""
        for part in self.ever_more:
            found = self._on(part, swaps)
            if self.is_enough(found):
                break
        return found

    def is_enough(self, found: Exchange) -> bool:
        """Whether an exchange is rejected by far."""
        return found.z >= self.level or found.labels >= ENOUGH

    def rejects(self, found: Exchange) -> bool:
        """Whether an exchange is rejected at all."""
        return found.z >= self.level or found.labels > 0

    def _on(self, part: Recording, swaps: Sequence[Swap]) -> Exchange:
        moved = self._answers(part, swaps)
        slots = tuple(dict.fromkeys(slot for swap in swaps for slot in swap))
        names = tuple(self.placement[slot] for slot in slots)
        size = overlap = unmoved = 0.0
        count = 0
        for k, (observed, new, base) in enumerate(zip(part.observed, moved, self.base[id(part)], strict=True)):
            d = torch.where(new == base, 0.0, new - base)
            largest = base.abs()[base.isfinite()]
            rounding = (
                NOTHING * torch.finfo(torch.float64).eps * max(float(largest.max()) if len(largest) else 0.0, 1e-300)
            )
            unmoved = max(unmoved, math.inf if bool(d.isnan().any()) else float(d.abs().max()) / rounding)
            if isinstance(observed, ObservedNumbers):
                size += float((d / self.sigma[k]).square().sum())
                overlap += float(((observed.numbers.double() - base) * d).sum()) / self.sigma[k] ** 2
                count += observed.record.numel()
        labels = self._changed_labels(part, moved, swaps)
        if not math.isfinite(size):  # no number is near an answer that is undefined
            return Exchange(slots, names, math.inf, math.inf, False, labels)
        z = (1 - max(overlap / size, 0.0)) * math.sqrt(size) if size > 0 else 0.0
        return Exchange(slots, names, z, math.sqrt(size / max(count, 1)), unmoved <= 1, labels)

    def _changed_labels(self, part: Recording, moved: Sequence[Tensor], swaps: Sequence[Swap]) -> int:
        """Recorded labels that these answers contradict, beyond the rounding of either placement."""
        orders = [k for k, observed in enumerate(part.observed) if isinstance(observed, ObservedOrder)]
        if not any(_broken(part, k, moved[k], self.floor.parts[k].tolerance) for k in orders):
            return 0
        short = self._answers(part, swaps, torch.float32)
        found = 0
        for k in orders:
            own = part.observed[k].misfit(moved[k], short[k], self.noise).tolerance
            found += _broken(part, k, moved[k], max(own, self.floor.parts[k].tolerance))
        return found


def _broken(part: Recording, k: int, answer: Tensor, tolerance: float) -> int:
    """Labels of one tensor of the answer that are broken by more than a tolerance, or by an undefined answer."""
    observed = part.observed[k]
    return int((~(observed.leads(answer) >= -tolerance)).sum()) if isinstance(observed, ObservedOrder) else 0


def _sigma(part: Misfit, noise: float) -> float:
    """What disturbs each number: the residual or the rounding and noise, and the rounding of two further passes."""
    return math.sqrt(max(part.mse, part.rounding**2 + noise**2) + 2 * part.rounding**2)
