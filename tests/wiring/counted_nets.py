"""Small conv nets with random weights whose BatchNorms have counted what reached them in training mode, by torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from reknit.skeleton.like import resolve
from reknit.skeleton.skeleton import Skeleton
from reknit.skeleton.trace import trace
from reknit.wiring.matching import match_shapes
from reknit.wiring.pools import Pool

PREACT = "preact-resnet:inputs=2,stem=8,stages=3x8k3,dimensions=1,outputs=3,bias=true"
MBCONV = "mbconv:stages=2x8e2,head=16,outputs=3,stem=8"


@dataclass(frozen=True)
class Counted:
    """A net and its key.

    Attributes:
        module: on the meta device.
        skeleton: of the module.
        state: slot -> the true tensor.
        pools: of slots and of tensors, which are called after their slots.
    """

    module: nn.Module
    skeleton: Skeleton
    state: dict[str, Tensor]
    pools: tuple[Pool, ...]


@cache
def counted(like: str, seed: int = 0) -> Counted:
    """A net with statistics of 64 inputs."""
    resolved = resolve(like)
    skeleton = trace(resolved.module, resolved.inputs, name="net")
    net = resolve(like).module.to_empty(device="cpu").train()
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for key, value in net.named_parameters():
            norm = isinstance(net.get_submodule(key.rpartition(".")[0]), nn.BatchNorm1d | nn.BatchNorm2d)
            drawn = rng.normal(size=value.shape) / max(value[0].numel() if value.ndim else 1, 1) ** 0.5
            if norm:
                drawn = rng.uniform(0.5, 1.5, value.shape) if key.endswith("weight") else 0.5 * drawn
            elif value.ndim == 1:
                drawn = 0.2 * drawn
            value.copy_(torch.tensor(drawn))
        for part in net.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                part.reset_running_stats()
                part.momentum = None
        net(like_training(like, 64, seed + 100))
    state = {key: value.detach() for key, value in net.state_dict().items() if value.ndim}
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    pools = match_shapes(skeleton, shapes, dict.fromkeys(shapes, "float32"), "pile")
    return Counted(resolved.module, skeleton, state, pools)


def like_training(like: str, rows: int, seed: int) -> Tensor:
    """Smooth inputs, as those whose statistics were counted."""
    shape = (2, 24) if like == PREACT else (3, 16, 16)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, *shape)).cumsum(-1)
    return torch.tensor(x / 3.0 + np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)), dtype=torch.float32)
