"""Independent networks for the benches of kinship: many small MLPs trained from different seeds on the same digits.

    many("mlp-64") -> 256 nets, as stacked arrays; nets 2 k and 2 k + 1 make pair k, so that no net is in two pairs

All nets of a width are trained side by side with batched products: initialised by torch's own rule from their own
seed, shown the same 1250 images in an order of their own, with their own gradients alone. Kept as float16 in
``bench/out/kin``. Seeds hold the width too: otherwise the first units of a wide net would be those of a narrow one,
and pairs of different widths would repeat each other's coincidences (dev/log.md, 2026-11-28).
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from bench.common import OUT
from bench.merge_nets import kind_of

COUNTS = {"mlp-64": 256, "mlp-128": 160, "mlp-256": 120, "mlp-512": 80}
EPOCHS, BATCH, RATE, MOMENTUM = 12, 50, 0.05, 0.9
ENOUGH = 0.93
"""Share of right test digits that every net has to reach to count as trained."""

Nets = dict[str, np.ndarray]


def many(name: str) -> Nets:
    """Slot -> tensors of all nets of a width, the first axis counts the nets; and their accuracies."""
    path = OUT / "kin" / f"{name}-{COUNTS[name]}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = _trained(name, COUNTS[name])
        partial = path.with_suffix(".part.npz")
        np.savez(partial, **found)  # type: ignore[arg-type]  # its stubs take every name for an option
        partial.rename(path)
    with np.load(path) as stored:
        nets = {key: stored[key] for key in stored.files}
    assert nets["accuracy"].min() > ENOUGH, f"{name}: a net reached {nets['accuracy'].min():.3f} only"
    return nets


def net_of(nets: Nets, number: int) -> dict[str, np.ndarray]:
    """The tensors of one net."""
    return {key: value[number].astype(np.float32) for key, value in nets.items() if key != "accuracy"}


def pairs_of(nets: Nets) -> int:
    """How many disjoint pairs there are."""
    return len(nets["accuracy"]) // 2


def _trained(name: str, count: int) -> Nets:
    width = int(name.partition("-")[2])
    chunk = max(8, 4096 // width)  # so many nets that products are large and still fit the cache
    parts = [_chunk(name, range(start, min(start + chunk, count))) for start in range(0, count, chunk)]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _chunk(name: str, seeds: range) -> Nets:
    kind, width = kind_of(name), int(name.partition("-")[2])
    (x,), y = kind.known.inputs, kind.known.targets
    (test,), right = kind.judged.inputs, kind.judged.targets
    assert y is not None
    assert right is not None
    weights, biases = _initial((64, width, width, 10), seeds)
    parameters = [*weights, *biases]
    optimiser = torch.optim.SGD(parameters, RATE, momentum=MOMENTUM, weight_decay=5e-4)
    steps = EPOCHS * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    draws = [np.random.default_rng([width, seed, 1]) for seed in seeds]
    for _ in range(EPOCHS):
        order = torch.from_numpy(np.stack([draw.permutation(len(x)) for draw in draws]))
        for rows in torch.split(order, BATCH, dim=1):
            answers = _forward(weights, biases, x[rows])
            loss = cross_entropy(answers.flatten(0, 1), y[rows].flatten(), reduction="sum") / rows.shape[1]
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        answers = _forward(weights, biases, test.expand(len(seeds), -1, -1))
        accuracy = (answers.argmax(-1) == right).double().mean(1)
    stored = {f"layers.{k}.weight": w.detach().half().numpy() for k, w in enumerate(weights)}
    stored |= {f"layers.{k}.bias": b.detach().half().numpy()[:, 0] for k, b in enumerate(biases)}
    return {**stored, "accuracy": accuracy.numpy()}


def _initial(sizes: tuple[int, ...], seeds: range) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """As torch draws linear layers: uniform up to 1 / sqrt(inputs)."""
    weights: list[torch.Tensor] = []
    biases: list[torch.Tensor] = []
    draws = [np.random.default_rng([sizes[1], seed, 0]) for seed in seeds]
    for before, after in itertools.pairwise(sizes):
        for shape, found in (((after, before), weights), ((1, after), biases)):
            drawn = np.stack([draw.uniform(-1, 1, size=shape) for draw in draws]) / before**0.5
            found.append(torch.tensor(drawn, dtype=torch.float32, requires_grad=True))
    return weights, biases


def _forward(weights: list[torch.Tensor], biases: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = torch.relu(torch.baddbmm(bias, x, weight.mT))
    return torch.baddbmm(biases[-1], x, weights[-1].mT)


if __name__ == "__main__":
    for each in COUNTS:
        many(each)
