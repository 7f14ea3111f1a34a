"""A skeleton's module as a function of its weights: what it answers to noise, to be asked what changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from reknit.match.computing import Computer
from reknit.match.samples import draw_samples
from reknit.skeleton.written_out_norms import WrittenOutNorms

ROWS = 4


def answers_to_noise(computer: Computer, seed: int = 0) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """Slot -> tensor to all answers to the same noise, as one vector; differentiable, in the dtype of the tensors."""
    asked = draw_samples(computer.like, computer.skeleton, torch.Generator().manual_seed(seed), ROWS)

    def answer(state: Mapping[str, Tensor]) -> Tensor:
        full = {key: state[slot.key] for slot in computer.skeleton.slots for key in (slot.key, *slot.aliases)}
        with sdpa_kernel(SDPBackend.MATH), WrittenOutNorms():
            answers = computer.call(full, asked.inputs)
        return torch.cat([each.reshape(-1) for each in answers if each.is_floating_point()])

    return answer
