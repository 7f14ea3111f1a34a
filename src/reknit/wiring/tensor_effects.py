"""What every tensor of a pool would do to the answers in every slot, to first order, seen through random directions.

The answers f move by J_s (x - v_s) when slot s takes x in place of v_s. One backward pass from a random direction u
over the answers to one input gives the rows ``u' J_s`` for all slots at once, and their products with all tensors of
the pool are the numbers kept: effects[m, s, a] = u_m' J_s x_a. Only backward passes are asked of the module, and only
through its answers, never through its weights' own gradients twice; so whatever autograd can do once will do.

Cost: one backward pass over one input a direction; the pools add slots x tensors x numbers products to each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from reknit.wiring.recording import Recording

CHUNK, CHUNK_NUMBERS = 64, 30_000_000
"""Directions in one backward pass at most, and numbers of their gradients: more take more memory and no less time."""


@dataclass(frozen=True)
class Mixture:
    """A pool with every slot holding a weighted sum of its tensors.

    Attributes:
        slots: by key.
        shape: of each tensor.
        tensors: the tensors as rows.
        shares: what every slot holds: its row times ``tensors``.
    """

    slots: tuple[str, ...]
    shape: tuple[int, ...]
    tensors: Float[Tensor, "pool numbers"]
    shares: Float[Tensor, "slots pool"]

    def values(self) -> dict[str, Tensor]:
        """Slot -> what it holds."""
        held = self.shares.to(self.tensors.dtype) @ self.tensors
        return {slot: row.reshape(self.shape) for slot, row in zip(self.slots, held, strict=True)}


@dataclass(frozen=True)
class Effects:
    """The linear model around a mixture, in random directions over the answers.

    Attributes:
        effects: for each pool, what each tensor in each slot adds to the answers.
        residual: recorded minus answered.
        directions: groups of inputs, and the directions over the answers to each.
        weights: what the square of each row counts in the squared size of a change of all answers.
    """

    effects: tuple[Float[Tensor, "rows slots pool"], ...]
    residual: Float[Tensor, " rows"]
    directions: tuple[tuple[Recording, Float[Tensor, "some numbers"]], ...]
    weights: Float[Tensor, " rows"]

    def residual_of(self, values: Mapping[str, Tensor]) -> Float[Tensor, " rows"]:
        """Recorded minus answered in the same directions, with other tensors in the slots."""
        return torch.cat([some @ part.residual(values).reshape(-1) for part, some in self.directions])

    def sizes(self, changes: Float[Tensor, "rows slots slots"]) -> Float[Tensor, "slots slots"]:
        """Norms of changes of all answers, as the directions see them."""
        return torch.einsum("m,mst->st", self.weights, changes.square()).sqrt()


def tensor_effects(
    recording: Recording,
    values: Mapping[str, Tensor],
    mixtures: Sequence[Mixture],
    rows: int,
    generator: torch.Generator,
    *,
    groups: int = 16,
) -> Effects:
    """The linear model in about ``rows`` directions, each over the answers to one group of inputs.

    Args:
        recording: the module, inputs and recorded outputs.
        values: what stands in all other slots.
        mixtures: the pools in question, and what they hold.
        rows: how many directions.
        generator: draws inputs and directions.
        groups: into how many groups the inputs are cut at most.
    """
    held = {slot: value for mixture in mixtures for slot, value in mixture.values().items()}
    found: list[list[Tensor]] = [[] for _ in mixtures]
    residuals, asked, weights = [], [], []
    labels = recording.label_noise is not None  # whose tiny deviances say nothing: the largest are asked
    tuned = recording.tuned({**values, **held})
    parts = list(tuned.groups(groups, (4 if labels else 2) * rows, generator))
    for number, part in enumerate(parts):
        leaves = {slot: value.detach().requires_grad_() for slot, value in held.items()}
        answers = part.graph({**values, **leaves}).reshape(-1)
        residual = (part.target * part.weight).reshape(-1) - answers.detach()
        # as many directions as others get; where there are fewer numbers, each is a direction of its own
        share = rows // len(parts) + (number < rows % len(parts))
        numbers = torch.nonzero(part.weight.reshape(-1))[:, 0]
        if share >= len(numbers):
            directions = torch.zeros(len(numbers), len(answers))
            directions[torch.arange(len(numbers)), numbers] = 1.0
            weights.append(torch.ones(len(numbers)))
        elif labels:
            directions = torch.zeros(share, len(answers))
            directions[torch.arange(share), residual.abs().topk(share).indices] = 1.0
            weights.append(torch.ones(share))
        else:
            directions = torch.randn(share, len(answers), generator=generator)
            weights.append(torch.full((share,), 1 / max(share, 1)))
        asked.append((part, directions))
        numbers_each = sum(leaf.numel() for leaf in leaves.values())
        for some in torch.split(directions, max(min(CHUNK, CHUNK_NUMBERS // max(numbers_each, 1)), 1)):
            residuals.append(some @ residual)
            pulled = _pull(answers, list(leaves.values()), some)
            at = 0
            for k, mixture in enumerate(mixtures):
                own = pulled[at : at + len(mixture.slots)]
                at += len(own)
                found[k].append(torch.stack([row.flatten(1) @ mixture.tensors.T for row in own], 1))
    return Effects(tuple(torch.cat(parts_) for parts_ in found), torch.cat(residuals), tuple(asked), torch.cat(weights))


def _pull(answers: Tensor, leaves: Sequence[Tensor], directions: Tensor) -> list[Tensor]:
    """Gradients of every direction for every leaf; zeros for those that the answers do not depend on."""
    found: list[Tensor | None]
    options: dict[str, bool] = {"retain_graph": True, "allow_unused": True}
    try:
        found = list(torch.autograd.grad(answers, leaves, directions, is_grads_batched=True, **options))
    except RuntimeError:  # an operation without a rule for batches: one direction after the other
        each = [torch.autograd.grad(answers, leaves, direction, **options) for direction in directions]
        found = [None if column[0] is None else torch.stack(column) for column in zip(*each, strict=True)]
    return [
        torch.zeros(len(directions), *leaf.shape) if gradient is None else gradient
        for leaf, gradient in zip(leaves, found, strict=True)
    ]
