"""What the tests of the architectures share: random weights, export on the meta device, the real checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from reknit.architectures.load import hold


def random_state(module, seed=0, dtype=torch.float64):
    """Weights for a module, one tensor for each that is tied; variances are positive."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for key, value in module.state_dict(keep_vars=True).items():
        if id(value) in made:
            continue
        if not value.is_floating_point():
            made[id(value)] = key, torch.arange(value.numel()).reshape(value.shape)
            continue
        drawn = torch.randn(value.shape, dtype=dtype, generator=generator) * 0.3
        made[id(value)] = key, drawn.abs() + 0.5 if key.endswith("running_var") else drawn
    return dict(made.values())


def build(architecture, config):
    """The module of a config, without numbers."""
    with torch.device("meta"):
        return architecture(config)


def filled(architecture, config, seed=0, dtype=torch.float64):
    """The module of a config with random numbers."""
    module = build(architecture, config)
    return hold(module, random_state(module, seed, dtype))


def tensors_of(answer):
    """The tensors of an answer in a row: one tensor, or those that tuples and dicts of any depth hold."""
    if isinstance(answer, torch.Tensor):
        return [answer]
    parts = answer.values() if isinstance(answer, dict) else answer or ()
    return [tensor for part in parts for tensor in tensors_of(part)]


def assert_exports(architecture, config, example_inputs):
    """The module goes through torch.export on the meta device, with every slot, and answers the same twice."""
    with torch.device("meta"):
        exported = torch.export.export(architecture(config), example_inputs(config))
    module, inputs = filled(architecture, config), example_inputs(config)
    inputs = tuple(x.double() if x.is_floating_point() else x for x in inputs)
    assert set(exported.state_dict) == set(module.state_dict())
    first, second = tensors_of(module(*inputs)), tensors_of(module(*inputs))
    assert first
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def others_slow(configs):
    """All but the first are tried by the slow tests: an export takes about a second."""
    return [configs[0], *(pytest.param(config, marks=pytest.mark.slow) for config in configs[1:])]


def assert_every_tensor_matters(architecture, config, inputs, no_effect=()):
    """A change of any tensor changes some answer, but for those that are named by the end of their key."""
    model = filled(architecture, config)
    before = tensors_of(model(*inputs))
    for key, value in model.state_dict().items():
        if not key.endswith(no_effect):
            original = value.clone()
            value.add_(torch.rand_like(value))
            after = tensors_of(model(*inputs))
            assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True)), key
            value.copy_(original)


def checkpoint(package: str, inside: str) -> Path:
    """A file of a package with real weights; the test is skipped where it is not there."""
    folder = os.environ.get("REKNIT_CHECKPOINTS")
    if not folder:
        pytest.skip("REKNIT_CHECKPOINTS does not name the folder with the unpacked packages")
    path = Path(folder) / package / inside
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path
