"""``finetune``: some steps of training from where the network is, on the targets of ``--data``.

AdamW (Loshchilov, Hutter 2017, arXiv 1711.05101) or plain stochastic gradient descent. The module stays in evaluation
mode: no dropout, and BatchNorms keep their statistics, as is usual where data are few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reknit.changes.laundering.state import State
from reknit.changes.laundering.step import Facts, Given, NumberStep, relative
from reknit.changes.laundering.words import Words
from reknit.errors import InputError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from reknit.changes.laundering.setting import Setting
    from reknit.match.samples import Samples

BATCH = 64
RATES = {"adamw": 1e-3, "sgd": 1e-2}


@dataclass(frozen=True)
class FineTune(NumberStep):
    """Rows are drawn by the seed, none twice in a step."""

    name = "finetune"
    summary = "steps of AdamW or SGD on the targets of --data"
    form = "finetune[:STEPS[:RATE]][:adamw|sgd][@TENSORS]"
    sort = "numbers"
    keeps_function = False
    trains = True

    steps: int = 20
    rate: float = 1e-3
    optimiser: str = "adamw"

    @classmethod
    def read(cls, words: Words, only: str) -> FineTune:
        """Steps, learning rate and optimiser."""
        steps, optimiser = words.integer(20, 1, 1_000_000), words.choice("adamw", "sgd")
        rate = words.number(RATES[optimiser], 0.0)
        words.end()
        return cls(only, steps, rate, optimiser)

    def run(self, state: State, given: Given) -> tuple[State, Facts]:
        """The network after training.

        Raises:
            UsageError: there is no skeleton, or there are no targets.
            InputError: the loss is infinite or undefined.
        """
        if state.setting is None:
            raise UsageError("finetune has to run the network", "--how", "Name the skeleton with --like")
        if given.samples is None or given.samples.targets is None:
            raise UsageError("finetune needs the right answers", "--how", "Give inputs and targets with --data")
        buffers = {slot.key for slot in state.setting.skeleton.slots if slot.is_buffer}
        keys = state.floats(self.only)
        slots = [slot for slot, key in state.slots.items() if key in keys and slot not in buffers]
        if not slots:
            raise UsageError(f"finetune: nothing that trains fits {self.only!r}", "--how", "Choose other tensors")
        after, losses = self._trained(state.setting, state.by_slot(), slots, given.samples, given.rng)
        moved = state.with_slots(after)
        trained = [state.slots[slot] for slot in slots]
        drift = {key: {"drift": relative(moved.tensors[key], state.tensors[key])} for key in trained}
        return moved, {"tensors": drift, "loss": losses}

    def _trained(
        self,
        setting: Setting,
        tensors: dict[str, np.ndarray],
        slots: list[str],
        samples: Samples,
        rng: np.random.Generator,
    ) -> tuple[dict[str, np.ndarray], list[float]]:
        """The trained slots, and the loss of the first and the last step."""
        import torch

        from reknit.match.losses import row_losses

        state = setting.computer.state(tensors)
        names = {slot.key: (slot.key, *slot.aliases) for slot in setting.skeleton.slots}
        leaves: dict[str, Tensor] = {slot: state[slot].clone().requires_grad_() for slot in slots}
        state |= {name: leaf for slot, leaf in leaves.items() for name in names[slot]}
        kind = torch.optim.AdamW if self.optimiser == "adamw" else torch.optim.SGD
        optimiser = kind(list(leaves.values()), lr=self.rate)
        losses = []
        for step in range(self.steps):
            rows = torch.from_numpy(rng.permutation(len(samples))[:BATCH])
            some = samples.some(rows)
            if some.targets is None:
                raise UsageError("finetune needs the right answers", "--how", "Give inputs and targets with --data")
            loss = row_losses(setting.computer.call(state, some.inputs)[0], some.targets).loss.mean()
            if not bool(torch.isfinite(loss)):
                problem = f"finetune: the loss is {float(loss.detach())} at step {step}"
                raise InputError(problem, "--how", "Choose a smaller rate")
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            losses.append(float(loss.detach()))
        return {slot: leaf.detach().numpy() for slot, leaf in leaves.items()}, [losses[0], losses[-1]]
