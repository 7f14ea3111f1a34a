"""Train a residual MLP on one of the bundled data sets, without touching any global random state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from reknit.errors import UsageError
from reknit.network.activations import activation
from reknit.network.norms import norm
from reknit.network.residual_mlp import ResidualMLP
from reknit.network.spec import ResidualSpec
from reknit.puzzle.datasets import Dataset, load_dataset, projection

EpochHook = Callable[[int, float], None]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Trained:
    """A trained network with the table it was trained on.

    Attributes:
        spec: the architecture.
        model: the network in eval mode, without gradients, float32.
        inputs: what enters block 0: the projected features.
        truth: the class index (int64), or the standardised target (float32).
        outputs: what the network answers for ``inputs``.
        dataset: where the features came from, and how they were standardised.
        projection: ``inputs = dataset.features @ projection``.
        loss_before: mean loss over all rows before the first step; cross entropy in nats, or mean squared error.
        loss_after: the same after the last.
        epochs: passes over the data.
        seed: chose projection, initial weights and the order of rows.
    """

    spec: ResidualSpec
    model: ResidualMLP
    inputs: Float[Tensor, "rows width"] = field(repr=False)
    truth: Tensor = field(repr=False)
    outputs: Float[Tensor, "rows outputs"] = field(repr=False)
    dataset: Dataset = field(repr=False)
    projection: Float[np.ndarray, "features width"] = field(repr=False)
    loss_before: float
    loss_after: float
    epochs: int
    seed: int


def train_network(
    *,
    blocks: int = 24,
    width: int = 64,
    hidden: int = 128,
    activation: str = "relu",
    norm: str = "none",
    data: str = "digits",
    epochs: int = 20,
    seed: int = 0,
    learning_rate: float = 1e-3,
    batch: int = 64,
    on_epoch: EpochHook | None = None,
) -> Trained:
    """Train a network with Adam and write nothing; see ``drop`` for the options.

    Args:
        blocks, width, hidden, activation, norm: the architecture; the norm also stands before the head.
        data: a name in ``DATASETS``.
        epochs: passes over the data; 0 leaves the network untrained.
        seed: the same seed and threads give the same numbers.
        learning_rate: Adam's step size.
        batch: rows per step.
        on_epoch: called with the number of epochs done and the mean loss of the last.

    Raises:
        UsageError: an option has no such value, or training diverged.
    """
    _check_sizes(blocks=blocks, width=width, hidden=hidden, batch=batch)
    _check_names(activation, norm)
    if epochs < 0 or seed < 0:
        raise UsageError("a count below zero was asked for", "--epochs" if epochs < 0 else "--seed", "Give 0 or more")
    dataset = load_dataset(data)
    spec = ResidualSpec(blocks, width, hidden, dataset.outputs, activation, norm, final_norm=norm)
    for_projection, for_weights, for_rows = (int(s) for s in np.random.SeedSequence(seed).generate_state(3))
    P = projection(dataset.features.shape[1], width, np.random.default_rng(for_projection))
    inputs = torch.from_numpy((dataset.features @ P).astype(np.float32))
    truth = torch.from_numpy(dataset.truth)
    model = initial_model(spec, torch.Generator().manual_seed(for_weights))
    loss = functional.cross_entropy if dataset.classification else _squared_error
    before = _mean_loss(model, inputs, truth, loss)
    _fit(
        model,
        inputs,
        truth,
        loss,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        generator=torch.Generator().manual_seed(for_rows),
        on_epoch=on_epoch,
    )
    model.eval().requires_grad_(False)
    outputs, after = model(inputs), _mean_loss(model, inputs, truth, loss)
    if not math.isfinite(after):
        raise UsageError("training diverged", "drop", "Use fewer blocks, a norm, or a smaller learning rate")
    return Trained(spec, model, inputs, truth, outputs, dataset, P, before, after, epochs, seed)


def initial_model(spec: ResidualSpec, generator: torch.Generator) -> ResidualMLP:
    """A model with torch's default initialisation, drawn from ``generator`` and from nothing else.

    ``torch.nn.Linear`` draws weight and bias uniformly from +-1/sqrt(fan in).
    """
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in ResidualMLP(spec).state_dict().items()}
    tensors = {}
    for key, shape in shapes.items():
        bound = 1 / math.sqrt(shapes[key.replace(".bias", ".weight")][1])
        tensors[key] = torch.empty(shape).uniform_(-bound, bound, generator=generator)
    return ResidualMLP.from_tensors(spec, tensors).requires_grad_(True)


def _fit(
    model: ResidualMLP,
    inputs: Tensor,
    truth: Tensor,
    loss: Loss,
    *,
    epochs: int,
    batch: int,
    learning_rate: float,
    generator: torch.Generator,
    on_epoch: EpochHook | None,
) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    for epoch in range(epochs):
        total = 0.0
        for rows in torch.split(torch.randperm(len(inputs), generator=generator), batch):
            optimizer.zero_grad()
            value = loss(model(inputs[rows]), truth[rows])
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += value.item() * len(rows)
        if on_epoch is not None:
            on_epoch(epoch + 1, total / len(inputs))


def _squared_error(answer: Float[Tensor, "rows 1"], truth: Float[Tensor, " rows"]) -> Float[Tensor, ""]:
    return functional.mse_loss(answer.squeeze(-1), truth)


@torch.no_grad()
def _mean_loss(model: ResidualMLP, inputs: Tensor, truth: Tensor, loss: Loss) -> float:
    return loss(model(inputs), truth).item()


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise UsageError(f"a network cannot have {name} {size}", f"--{name}", "Give 1 or more")


def _check_names(activation_name: str, norm_name: str) -> None:
    activation(activation_name)
    norm(norm_name)
