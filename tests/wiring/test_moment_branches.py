"""A branch computed alone gives what the whole network gives with the other tensor in it."""

import numpy as np
import pytest
import torch
from counted_nets import MBCONV, PREACT, counted, like_training
from torch import nn

from reknit.skeleton.trace import trace
from reknit.wiring.batch_moments import watch
from reknit.wiring.moment_branches import Branches, find_branches


@pytest.mark.parametrize(("like", "parts"), [(PREACT, {"kernel": 6, "bias": 7, "gain": 6, "shift": 6}), (MBCONV, {})])
def test_as_the_whole_network(like, parts):
    net = counted(like)
    x = like_training(like, 5, 1)
    passed = watch(net.module, net.skeleton, net.state, (x,), keep=True)
    branches = Branches(net.skeleton, passed, net.state)
    found = [branch for branch in find_branches(net.skeleton) if branches.understood(branch)]
    assert {part: sum(branch.part == part for branch in found) for part in parts} == parts | (
        {"kernel": 7} if parts else {}
    )
    assert {branch.part for branch in found} >= {"kernel", "gain", "shift"}
    rng = np.random.default_rng(0)
    for branch in found:
        other = torch.tensor(rng.normal(size=net.state[branch.slot].shape), dtype=torch.float32)
        mean, variance = branches.moments_with(branch, other)
        whole = watch(net.module, net.skeleton, net.state | {branch.slot: other}, (x,)).norms[branch.norm]
        torch.testing.assert_close(mean, whole.mean, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(variance, whole.variance, rtol=1e-2, atol=1e-3)


def test_gain_and_shift_together():
    net = counted(PREACT)
    x = like_training(PREACT, 5, 1)
    branches = Branches(net.skeleton, watch(net.module, net.skeleton, net.state, (x,), keep=True), net.state)
    gain = next(each for each in find_branches(net.skeleton) if each.slot == "stages.0.1.bn2.weight")
    assert branches.understood(gain)
    one, other = torch.linspace(0.5, 2, 8), torch.linspace(-1, 1, 8)
    mean, variance = branches.moments_with(gain, one, other)
    state = net.state | {"stages.0.1.bn2.weight": one, "stages.0.1.bn2.bias": other}
    whole = watch(net.module, net.skeleton, state, (x,)).norms[gain.norm]
    torch.testing.assert_close(mean, whole.mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(variance, whole.variance, rtol=1e-2, atol=1e-3)


class Between(nn.Module):
    """Something stands between norm and layer."""

    def __init__(self, doubled: bool) -> None:
        super().__init__()
        self.first, self.one = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.second, self.other = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.doubled = doubled

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.one(self.first(x)))
        return self.other(self.second(2 * y if self.doubled else y))


@pytest.mark.parametrize("doubled", [False, True])
def test_what_is_no_bent_sum_is_left_out(doubled):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Between(doubled).eval()
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    skeleton = trace(module, (x,), name="net")
    state = {key: value.detach() for key, value in module.state_dict().items()}
    branches = Branches(skeleton, watch(module, skeleton, state, (x,), keep=True), state)
    found = {branch.slot: branches.understood(branch) for branch in find_branches(skeleton)}
    assert found["one.weight"] is found["one.bias"] is (not doubled)
    assert found["second.weight"]
