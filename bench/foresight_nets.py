"""Pairs of networks that the margin of the foreseen barrier is learned from; no table is made of them.

    pair_of("digits-mlp-96", 3) -> two nets, and rows that were trained on, fresh ones, and those to judge by

Bundled data sets of scikit-learn (digits, breast cancer, wine), and one that is made up. Every pair has a split of its
own, so that luck with the rows averages out; no net is in two pairs. The digits are those of ``bench.preflight``, the
nets are not. Nets are trained when they are first asked for and kept in ``bench/out/nets``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import sklearn.datasets
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bench import merge_nets
from bench.common import OUT
from reknit.architectures.configs.mlp import MlpConfig
from reknit.architectures.configs.preact_resnet import PreactResnetConfig
from reknit.architectures.configs.stage import Stage
from reknit.architectures.registry import Config, architecture_of
from reknit.architectures.spelling import spell_config
from reknit.match.computing import Computer
from reknit.match.samples import Samples
from reknit.skeleton.like import resolve
from reknit.skeleton.trace import trace

PAIRS = {
    **dict.fromkeys(("digits-mlp-48", "digits-mlp-96", "digits-mlp-192", "digits-deep-96", "digits-tanh-96"), 12),
    **dict.fromkeys(("cancer-mlp-32", "wine-mlp-32", "made-mlp-64"), 10),
    "mlp-512": 5,
    "resnet-48": 3,
}
"""How many pairs of each kind; none of these kinds is in ``bench.preflight``. Two are those of ``bench.merging``."""
KINDS = ("mlp-512", "resnet-48")
TASKS = ("digits", "cancer", "wine", "made")
EPOCHS, FIRST_SEED = 20, 1000
Net = dict[str, np.ndarray]


@dataclass(frozen=True)
class Rows:
    """Rows of a task: trained on, fresh ones to foresee from, and those to judge by."""

    known: Samples
    fresh: Samples
    rest: Samples


def config_of(name: str) -> Config:
    """The architecture of a kind, named TASK-ARCHITECTURE-WIDTH."""
    task, family, size = name.split("-")
    width = int(size)
    inputs, classes = {"digits": (64, 10), "cancer": (30, 2), "wine": (13, 3), "made": (24, 6)}[task]
    if family == "resnet":
        return PreactResnetConfig(inputs=1, stem=width, stages=(Stage(3, width),))
    hidden = [width] * (3 if family == "deep" else 2)
    return MlpConfig((inputs, *hidden, classes), activation="tanh" if family == "tanh" else "relu")


@cache
def computer_of(name: str) -> Computer:
    """Runs nets of a kind."""
    if name in KINDS:
        return merge_nets.computer_of(name)
    like = resolve(spell_config(config_of(name)))
    return Computer(like, trace(like.module, like.inputs, name=name))


def rows_of(name: str, number: int) -> Rows:
    """The rows of a pair: of tables seven tenths are trained on, and the rest is halved."""
    task, family, _ = name.split("-")
    rng = np.random.default_rng([number, TASKS.index(task)])
    x, y = _table(task)
    order = rng.permutation(len(y))
    cuts = np.split(order, [len(y) * 7 // 10, len(y) * 17 // 20])
    middle, spread = x[cuts[0]].mean(0), x[cuts[0]].std(0)
    x = x / 16.0 - 0.3 if task == "digits" else (x - middle) / spread
    inputs = torch.tensor(x.reshape(-1, 1, 8, 8) if family == "resnet" else x, dtype=torch.float32)
    return Rows(*(Samples((inputs[part],), torch.tensor(y[part])) for part in cuts))


@cache
def _table(task: str) -> tuple[np.ndarray, np.ndarray]:
    if task == "made":
        sizes: dict[str, Any] = {"n_samples": 4000, "n_features": 24, "n_informative": 12, "n_redundant": 4}
        made = sklearn.datasets.make_classification(**sizes, n_classes=6, class_sep=1.5, random_state=0)
        return cast("tuple[np.ndarray, np.ndarray]", made)
    read = {"digits": "load_digits", "cancer": "load_breast_cancer", "wine": "load_wine"}[task]
    return cast("tuple[np.ndarray, np.ndarray]", getattr(sklearn.datasets, read)(return_X_y=True))


def pair_of(name: str, number: int) -> tuple[Net, Net, Rows]:
    """Two nets that share their rows and nothing else."""
    if name in KINDS:
        kind = merge_nets.kind_of(name)
        order = torch.from_numpy(np.random.default_rng(number).permutation(len(kind.judged)))
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        return *merge_nets.pair_of(name, number), Rows(kind.known, *(kind.judged.some(half) for half in halves))
    rows = rows_of(name, number)
    paths = [OUT / "nets" / f"foresight-{name}-{number}{end}.safetensors" for end in "ab"]
    if not all(path.exists() for path in paths):
        for end, path in enumerate(paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(dict(_trained(name, FIRST_SEED + 2 * number + end, rows).state_dict()), path)
    keys = {slot.key for slot in computer_of(name).skeleton.slots}
    first, second = ({k: v.numpy() for k, v in load_file(path).items() if k in keys} for path in paths)
    return first, second, rows


def _trained(name: str, seed: int, rows: Rows) -> nn.Module:
    """SGD with momentum and a cosine schedule, as in ``bench.merge_nets``."""
    config = config_of(name)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = architecture_of(config).build(config).train()
        optimiser = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
        known, targets = rows.known.inputs[0], rows.known.targets
        assert targets is not None
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS * -(-len(known) // 50))
        for _ in range(EPOCHS):
            for part in torch.split(torch.randperm(len(known)), 50):
                loss = nn.functional.cross_entropy(net(known[part]), targets[part])
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
                schedule.step()
    return net.eval()
