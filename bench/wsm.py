"""Averages of checkpoints against training with the decay they emulate: the same trunk, batches and seeds, paired.

    python -m bench wsm [--seeds 5] [--fresh]

An MLP on scikit-learn's digits (SGD with momentum) and a small decoder on text (AdamW). Each is trained at a constant
rate to the onset of the decay. From there one run goes on at that rate and is averaged; one run for each decay has its
rate lowered, step by step, by the factors that the averages emulate. Losses are of data that no run has seen. The
MLP is taken at two rates; the decoder while its loss still falls fast, where averages have to lag, and later.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from bench.common import Lines, options, show
from bench.intervals import interval
from bench.text_nets import VOCAB, initialise, text
from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.configs.mlp import MlpConfig
from reknit.architectures.gpt2 import gpt2
from reknit.architectures.mlp import mlp
from reknit.match.averages import average
from reknit.match.wsm import DECAYS, averaging_weights, interval_decay, step_decay

CHECKPOINTS = (3, 6, 11, 51)
"""How many are averaged, the onset's included; the comparison with the decays takes 11."""
MAIN = 11
LENGTH = 32

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Task:
    """What is trained: ``loss(net, generator)`` draws a batch; ``judge(net)`` is the loss on data left out."""

    name: str
    net: Callable[[int], nn.Module]
    optimiser: Callable[[nn.Module], torch.optim.Optimizer]
    loss: Callable[[nn.Module, torch.Generator], torch.Tensor]
    judge: Callable[[nn.Module], float]
    onset: int
    window: int


def digits_task(rate: float) -> Task:
    """An MLP 64-64-10: 1000 images to train on, 797 left out; cross-entropy in nats."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    x, y = torch.tensor(images[order] / 16.0, dtype=torch.float32), torch.tensor(labels[order])

    def made(seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return mlp(MlpConfig(sizes=(64, 64, 10)))

    def loss(net: nn.Module, generator: torch.Generator) -> torch.Tensor:
        rows = torch.randint(1000, (16,), generator=generator)
        return nn.functional.cross_entropy(net(x[rows]), y[rows])

    def judge(net: nn.Module) -> float:
        return float(nn.functional.cross_entropy(net(x[1000:]), y[1000:]))

    def sgd(net: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(net.parameters(), rate, momentum=0.9, weight_decay=1e-3)

    return Task(f"digits, MLP, SGD at {rate}", made, sgd, loss, judge, onset=600, window=400)


def text_task(onset: int) -> Task:
    """A decoder of 2 blocks of width 48; the last tenth of the text is left out; nats a byte."""
    data = text()
    cut = len(data) * 9 // 10
    held_out = data[cut : cut + 400 * (LENGTH + 1)].view(400, LENGTH + 1)

    def made(seed: int) -> nn.Module:
        config = Gpt2Config(layers=2, width=48, heads=6, hidden=144, vocab=VOCAB, positions=LENGTH)
        net = gpt2(config)
        initialise(net, torch.Generator().manual_seed(seed))
        return net

    def of(net: nn.Module, rows: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(net(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())

    def loss(net: nn.Module, generator: torch.Generator) -> torch.Tensor:
        starts = torch.randint(cut - LENGTH - 1, (16,), generator=generator)
        return of(net, torch.stack([data[s : s + LENGTH + 1] for s in starts]))

    def adamw(net: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(net.parameters(), 4e-3, weight_decay=0.05, betas=(0.9, 0.98))

    name = f"text, decoder, AdamW, decay from step {onset}"
    return Task(name, made, adamw, loss, lambda net: float(of(net, held_out)), onset, window=300)


def arrays(net: nn.Module) -> State:
    """The state dict, copied."""
    return {key: tensor.detach().numpy().copy() for key, tensor in net.state_dict().items()}


def judged(task: Task, net: nn.Module, state: State) -> float:
    """The loss of a net with these tensors."""
    other = copy.deepcopy(net)
    other.load_state_dict({key: torch.as_tensor(tensor) for key, tensor in state.items()})
    with torch.no_grad():
        return task.judge(other)


def trained(
    task: Task, net: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator, factors: Sequence[float]
) -> list[State]:
    """Steps at the base rate times the factors; the state after each."""
    states = []
    rate = optimiser.param_groups[0]["initial"]
    for factor in factors:
        optimiser.param_groups[0]["lr"] = rate * factor
        optimiser.zero_grad()
        torch.autograd.backward(task.loss(net, generator))
        optimiser.step()
        states.append(arrays(net))
    return states


def branch(
    task: Task, net: nn.Module, optimiser: torch.optim.Optimizer, seed: int, factors: Sequence[float]
) -> list[State]:
    """The run goes on from the onset, on the same batches whatever the factors."""
    other = copy.deepcopy(net)
    same = task.optimiser(other)
    same.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    return trained(task, other, same, torch.Generator().manual_seed(10_000 + seed), factors)


def run(task: Task, seed: int) -> dict[str, Any]:
    """All losses of one seed."""
    net = task.net(seed)
    optimiser = task.optimiser(net)
    optimiser.param_groups[0]["initial"] = optimiser.param_groups[0]["lr"]
    trained(task, net, optimiser, torch.Generator().manual_seed(seed), [1.0] * task.onset)
    onset, end = task.onset, task.onset + task.window
    start = arrays(net)
    constant = [start, *branch(task, net, optimiser, seed, [1.0] * task.window)]
    losses: dict[str, Any] = {"onset": judged(task, net, start), "constant": judged(task, net, constant[-1])}
    for name in DECAYS:
        decayed = branch(task, net, optimiser, seed, step_decay(name, onset, end).tolist())[-1]
        losses[f"decay {name}"] = judged(task, net, decayed)
        for count in CHECKPOINTS:
            steps = np.linspace(onset, end, count).round().astype(int).tolist()
            merged = average([constant[s - onset] for s in steps], averaging_weights(name, steps).tolist())
            require_scaled_run(constant, merged, interval_decay(name, steps), [s - onset for s in steps])
            losses[f"merged {name} {count}"] = judged(task, net, merged)
    return losses


def run_key(task: Task, key: tuple[str, int]) -> dict[str, Any]:
    return run(task, key[1])


def require_scaled_run(states: list[State], merged: State, decay: np.ndarray, ends: list[int]) -> None:
    """Stop unless the average is the start plus the updates, each scaled by the decay it emulates."""
    for key, found in merged.items():
        scaled = states[0][key].astype(np.float64)
        for j, factor in enumerate(decay):
            scaled = scaled + factor * (states[ends[j + 1]][key].astype(np.float64) - states[ends[j]][key])
        np.testing.assert_allclose(found, scaled, atol=1e-5)


def told(differences: np.ndarray) -> str:
    mean, half = interval(differences)
    word = "equal within noise" if abs(mean) <= half else "average better" if mean < 0 else "average worse"
    return f"{mean:+.4f} ± {half:.4f}  {word}"


def main(argv: list[str]) -> None:
    """Train, average, compare."""
    given = options("wsm", argv, seeds=5)
    torch.set_num_threads(given.threads)
    lines = Lines("wsm", given.fresh, ("match",))
    for task in (digits_task(0.1), digits_task(0.03), text_task(500), text_task(1500)):
        keys = [[task.name, seed] for seed in range(given.seeds)]
        runs = list(lines.each(keys, partial(run_key, task)))
        losses = {name: np.array([line[name] for line in runs]) for name in runs[0] if name not in ("key", "code")}
        rows = [
            [name, losses[f"decay {name}"].mean(), losses[f"merged {name} {MAIN}"].mean()]
            + [told(losses[f"merged {name} {count}"] - losses[f"decay {name}"]) for count in (MAIN, 51)]
            for name in DECAYS
        ]
        onset, constant = losses["onset"].mean(), losses["constant"].mean()
        title = f"{task.name}: loss on data left out, {given.seeds} seeds; at the onset {onset:.4f}, at the end at a "
        title += f"constant rate {constant:.4f}"
        show(title, ["decay", "decayed", "averaged", f"averaged - decayed, {MAIN} checkpoints", "51 checkpoints"], rows)
        counts = [[count, losses[f"merged linear {count}"].mean()] for count in CHECKPOINTS]
        show("linear decay, by how many checkpoints are averaged", ["checkpoints", "loss"], counts)
        best = min(losses[f"merged {name} {MAIN}"].mean() for name in DECAYS)
        assert best < constant, "averaging does not help at all"
    print(f"\nfigures: {lines.codes()}")
