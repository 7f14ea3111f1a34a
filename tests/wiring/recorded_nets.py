"""Small networks with random numbers, recorded, and their tensors in shuffled pools."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from reknit.architectures.bert import bert
from reknit.architectures.configs.bert import BertConfig
from reknit.architectures.load import hold
from reknit.wiring.pools import Pool


class Block(nn.Module):
    """x + out(relu(in(norm(x))))."""

    def __init__(self, width, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inp = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, width)

    def forward(self, x):
        return x + self.out(torch.relu(self.inp(self.norm(x))))


class Classifier(nn.Module):
    """A residual MLP with norms and a head, as a user would write it."""

    def __init__(self, blocks=3, width=12, hidden=16, classes=5):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, hidden) for _ in range(blocks))
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@dataclass
class Scene:
    """A module without its numbers, the pile, and what only the test knows."""

    module: nn.Module
    pools: list[Pool]
    tensors: dict[str, torch.Tensor]
    placement: dict[str, str]
    certain: set[str]
    inputs: tuple
    outputs: object
    truth: dict[str, str] = field(default_factory=dict)

    def arguments(self):
        return self.module, self.pools, self.tensors, self.placement, self.certain, self.inputs, self.outputs


def filled(module, seed):
    """Random numbers: gains around one, biases around zero, matrices that keep the scale."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, value in module.state_dict(keep_vars=True).items():
        if not value.is_floating_point():
            state[key] = torch.arange(value.numel()).reshape(value.shape)
        elif value.ndim > 1:
            state[key] = torch.randn(value.shape, generator=generator) / value.shape[-1] ** 0.5
        elif key.endswith("weight"):
            state[key] = 1 + 0.3 * torch.randn(value.shape, generator=generator)
        else:
            state[key] = 0.3 * torch.randn(value.shape, generator=generator)
    return hold(module, state)


def scene(module, inputs, seed=0, most_axes=1):
    """A recorded module whose tensors of up to ``most_axes`` axes are loose; the others are in place and certain."""
    module = filled(module, seed).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    pools = {}
    for key, value in module.state_dict().items():
        if value.is_floating_point() and value.ndim <= most_axes:
            pools.setdefault(tuple(value.shape), []).append(key)
    truth, certain = {}, set()
    for number, keys in enumerate(pools.values()):
        order = torch.randperm(len(keys), generator=generator).tolist()
        truth.update({key: f"pool {number} tensor {k:02d}" for key, k in zip(keys, order, strict=True)})
    tensors = {truth[key]: module.state_dict()[key].clone() for key in truth}
    made = [Pool(tuple(keys), tuple(sorted(truth[key] for key in keys))) for keys in pools.values()]
    placement = {slot: name for pool in made for slot, name in zip(pool.slots, pool.tensors, strict=True)}
    with torch.no_grad():
        outputs = module(*inputs)
    return Scene(module, made, tensors, placement, certain, inputs, outputs, truth)


def mlp_scene(seed=0, inputs=24, most_axes=1, blocks=3):
    x = torch.randn(inputs, 12, generator=torch.Generator().manual_seed(seed + 2))
    return scene(Classifier(blocks), (x,), seed, most_axes)


def bert_scene(seed=0, inputs=4, layers=3):
    config = BertConfig(layers=layers, width=24, heads=3, hidden=32, vocab=40, positions=10, pooler=False)
    with torch.device("meta"):
        module = bert(config)
    tokens = torch.randint(0, 40, (inputs, 10), generator=torch.Generator().manual_seed(seed + 2))
    return scene(module, (tokens,), seed)
