"""Networks trained apart on one task, for the benches of merging: MLPs and conv ResNets on digits, decoders on text.

    pair_of("mlp-64", 0) -> two nets of seeds 0 and 1 (pair k has seeds 2 k and 2 k + 1)

Digits: 1250 images to train on, 547 to judge by. Text: as in ``bench.text_nets``, with a smaller decoder. Nets are
trained when they are first asked for and kept in ``bench/out/nets``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import nn

from bench import text_nets
from bench.common import OUT
from reknit.architectures.configs.gpt2 import Gpt2Config
from reknit.architectures.configs.llama import LlamaConfig
from reknit.architectures.configs.mlp import MlpConfig
from reknit.architectures.configs.preact_resnet import PreactResnetConfig
from reknit.architectures.configs.stage import Stage
from reknit.architectures.registry import Config, architecture_of
from reknit.architectures.spelling import spell_config
from reknit.match.computing import Computer
from reknit.match.samples import Samples
from reknit.skeleton.like import resolve
from reknit.skeleton.trace import trace

TRAINED_ON = 1250
TEXT_STEPS, TEXT_LENGTH, TEXT_ROWS = 600, 48, 96
MLP_WIDTHS, RESNET_WIDTHS = (64, 128, 256, 512), (8, 16, 32, 48)


@dataclass(frozen=True)
class Kind:
    """One architecture and task.

    Attributes:
        name: mlp-64, resnet-16, decoder-64 (as GPT-2, its head tied to the embedding), llama-64 (not tied).
        config: of the architecture.
        known: rows that were trained on, for statistics and activations.
        judged: rows that were not.
    """

    name: str
    config: Config
    known: Samples
    judged: Samples

    @property
    def like(self) -> str:
        """What ``--like`` is told."""
        return spell_config(self.config)


@cache
def kind_of(name: str) -> Kind:
    """A kind by its name."""
    family, _, width = name.partition("-")
    if family == "decoder":
        settings = Gpt2Config(
            layers=2, width=int(width), heads=4, hidden=3 * int(width), vocab=text_nets.VOCAB, positions=TEXT_LENGTH
        )
        return Kind(name, settings, text_rows(0), text_rows(1))
    if family == "llama":
        heads, wide = 4, int(width)
        own = LlamaConfig(2, wide, heads, heads, hidden=2 * wide, vocab=text_nets.VOCAB)
        return Kind(name, own, text_rows(0), text_rows(1))
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(digits))
    x = torch.tensor(images[order] / 16.0 - 0.3, dtype=torch.float32)
    y = torch.tensor(digits[order])
    config: Config = MlpConfig((64, int(width), int(width), 10))
    if family == "resnet":
        x = x.view(-1, 1, 8, 8)
        config = PreactResnetConfig(inputs=1, stem=int(width), stages=(Stage(3, int(width)),))
    parts = [Samples((x[part],), y[part]) for part in (slice(None, TRAINED_ON), slice(TRAINED_ON, None))]
    return Kind(name, config, *parts)


def text_rows(seed: int, count: int = TEXT_ROWS) -> Samples:
    """Stretches of the text; seed 0 from the first nine tenths, seed 1 from the rest."""
    data = text_nets.text()
    cut = len(data) * 9 // 10
    low, high = ((0, cut), (cut, len(data)))[seed]
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(low, high - TEXT_LENGTH - 1, (count,), generator=generator)
    rows = torch.stack([data[s : s + TEXT_LENGTH + 1] for s in starts])
    return Samples((rows[:, :-1],), rows[:, 1:])


@cache
def computer_of(name: str) -> Computer:
    """Runs nets of a kind."""
    like = resolve(kind_of(name).like)
    return Computer(like, trace(like.module, like.inputs, name=name))


def trained(name: str, seed: int) -> dict[str, np.ndarray]:
    """The tensors of a net, by slot."""
    path = net_file(name, seed)
    keys = {slot.key for slot in computer_of(name).skeleton.slots}
    return {key: value.numpy() for key, value in load_file(path).items() if key in keys}


def net_file(name: str, seed: int) -> Path:
    """The checkpoint of a net; trained now if it is not there."""
    path = OUT / "nets" / f"merge-{name}-{seed}.safetensors"
    if not path.exists():
        kind = kind_of(name)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = architecture_of(kind.config).build(kind.config)
            _train_text(net, seed) if name.startswith(("decoder", "llama")) else _train_digits(net, kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous() for key, value in text_nets.untied(net).items()}, path)
    return path


def pair_of(name: str, number: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Two nets of different seeds; no net is in two pairs."""
    return trained(name, 2 * number), trained(name, 2 * number + 1)


def _train_digits(net: nn.Module, kind: Kind, epochs: int = 20) -> None:
    """SGD with momentum and a cosine schedule."""
    net.train()
    (x,), y = kind.known.inputs, kind.known.targets
    assert y is not None
    optimiser = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    steps = epochs * -(-len(x) // 50)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(x)), 50):
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
    net.eval()


def _train_text(net: nn.Module, seed: int) -> None:
    """AdamW on the first nine tenths of the text."""
    data = text_nets.text()
    data = data[: len(data) * 9 // 10]
    generator = torch.Generator().manual_seed(seed)
    text_nets.initialise(net, generator)
    optimiser: Any = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, TEXT_STEPS, pct_start=0.1)
    net.train()
    for _ in range(TEXT_STEPS):
        starts = torch.randint(len(data) - TEXT_LENGTH - 1, (16,), generator=generator)
        rows = torch.stack([data[s : s + TEXT_LENGTH + 1] for s in starts])
        loss = nn.functional.cross_entropy(net(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    net.eval()
