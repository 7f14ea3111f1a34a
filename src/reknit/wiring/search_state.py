"""What the stages of a search by recorded outputs share: pools, beliefs, mixtures, the best placement, the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from reknit.solvers.assignment import best_matching
from reknit.wiring.exchanges import Ladder
from reknit.wiring.output_floor import output_floor
from reknit.wiring.pools import Pool
from reknit.wiring.recording import Recording
from reknit.wiring.rivals import Move
from reknit.wiring.soft_assignment import Matrix
from reknit.wiring.tensor_effects import Mixture

CLOSE = 1e-6
"""Error, in units of the recorded variance, below which a placement is held against the rounding."""


@dataclass(frozen=True)
class Stage:
    """One step of the search.

    Attributes:
        name: ``given``, ``round``, ``exchange``, ``rival``, ``beliefs``, ``all arrangements``, ``found``.
        error: mean squared error in units of the recorded variance, where answers are compared.
        certain: open slots that are certain.
        seconds: since the start.
    """

    name: str
    error: float
    certain: int
    seconds: float


@dataclass(frozen=True)
class State:
    """Where the rounds stand.

    Attributes:
        beliefs: how likely each tensor is in each slot, one matrix a pool.
        shares: the mixtures that the slots hold.
        error: of these mixtures.
    """

    beliefs: Sequence[Matrix]
    shares: Sequence[Matrix]
    error: float


@dataclass
class Search:
    """What the rounds share.

    Attributes:
        recording: the module and what was recorded of it.
        tensors: by name.
        placement: the best so far, of every slot.
        mixed: open slots that are mixed.
        whole: open slots whose tensors are only exchanged.
        priors: logarithms, for the mixed pools.
        ladders: rungs that may be exchanged as a whole.
        rivals: moves of matrices, and of the vectors beside them, that the weights do not rule out.
        priors_around: the priors again for another placement, where these are known.
        generator: draws inputs and directions.
        deadline: on the clock of ``time.perf_counter``.
        began: on the same clock.
        stages: what was done.
    """

    recording: Recording
    tensors: Mapping[str, Tensor]
    placement: dict[str, str]
    mixed: list[Pool]
    whole: list[Pool]
    priors: list[Matrix]
    ladders: Sequence[Ladder]
    generator: torch.Generator
    deadline: float
    began: float
    rivals: Sequence[Move] = ()
    priors_around: Callable[[Mapping[str, str]], list[Matrix] | None] = lambda _: None
    stages: list[Stage] = field(default_factory=list)

    def values(self, placement: Mapping[str, str] | None = None) -> dict[str, Tensor]:
        """The tensors of the present placement, or of another."""
        return {slot: self.tensors[name] for slot, name in (placement or self.placement).items()}

    def mixtures(self, shares: Sequence[Matrix]) -> list[Mixture]:
        """The mixed pools with these shares."""
        return [
            Mixture(pool.slots, tuple(self.tensors[pool.tensors[0]].shape), pool.stacked(self.tensors), torch.tensor(p))
            for pool, p in zip(self.mixed, shares, strict=True)
        ]

    def filled(self, shares: Sequence[Matrix], placement: Mapping[str, str] | None = None) -> dict[str, Tensor]:
        """The tensors of a placement, with mixtures in the slots that are mixed."""
        values = self.values(placement)
        for mixture in self.mixtures(shares):
            values.update(mixture.values())
        return values

    def error(self, placement: Mapping[str, str]) -> float:
        """The error of a placement."""
        return self.recording.error(self.values(placement))

    def note(self, name: str, error: float, certain: int = 0) -> None:
        """Write down a stage."""
        self.stages.append(Stage(name, error, certain, time.perf_counter() - self.began))

    def rows_moved(self, tables: Sequence[Matrix], move: Move) -> list[Matrix]:
        """Rows of the mixed pools after a move: what is believed of a tensor goes with it."""
        return [
            table[[pool.slots.index(move.get(slot, slot)) for slot in pool.slots]]
            for pool, table in zip(self.mixed, tables, strict=True)
        ]

    def carried(self, state: State, move: Move) -> State:
        """Beliefs and shares after a move; the error is that before it."""
        return State(self.rows_moved(state.beliefs, move), self.rows_moved(state.shares, move), state.error)

    @property
    def late(self) -> bool:
        """Whether time is up."""
        return time.perf_counter() > self.deadline

    def matched(self, logs: Sequence[Matrix]) -> dict[str, str]:
        """The best matching of each pool, in the present placement."""
        new = dict(self.placement)
        for pool, log in zip(self.mixed, logs, strict=True):
            for slot, column in zip(pool.slots, best_matching(np.maximum(log, -1e3)).tolist(), strict=True):
                new[slot] = pool.tensors[column]
        return new

    def held(self, pool: Pool) -> list[int]:
        """Which tensor of the pool each slot holds."""
        number = {name: k for k, name in enumerate(pool.tensors)}
        return [number[self.placement[slot]] for slot in pool.slots]

    def solved(self, placement: Mapping[str, str], error: float) -> bool:
        """Whether a placement is at rounding."""
        if error > CLOSE and not self.recording.has_orders:  # a true order may be unlikely
            return False
        return output_floor(self.recording, self.values(placement)).largest <= 1
