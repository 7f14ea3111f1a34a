"""Loose tensors of built-in conv nets into their chains: random weights, statistics counted by torch."""

import numpy as np
import pytest
import torch
from torch import nn

from reknit.skeleton.like import resolve
from reknit.skeleton.trace import trace
from reknit.wiring.batch_norm_placement import place_chains
from reknit.wiring.learned import learned
from reknit.wiring.matching import match_shapes
from reknit.wiring.weights_placement import place_by_weights

PREACT = "preact-resnet:inputs=2,stem=12,stages=4x12k3,dimensions=1,outputs=3,bias=true"
MBCONV = "mbconv:stages=1x8e1-3x12s2e2-1x16e2,head=24,outputs=3,stem=20"


def counted(like, seed=0):
    """Skeleton, pools and tensors of a net whose norms have counted the statistics of one batch."""
    module, inputs = (resolve(like).module, resolve(like).inputs) if isinstance(like, str) else like
    skeleton = trace(module, inputs, name="net")
    net = module.to_empty(device="cpu").train()
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for key, value in net.named_parameters():
            norm = isinstance(net.get_submodule(key.rpartition(".")[0]), nn.BatchNorm1d | nn.BatchNorm2d)
            drawn = rng.normal(size=value.shape) / max(value[0].numel() if value.ndim else 1, 1) ** 0.5
            if norm:
                drawn = rng.uniform(0.5, 1.5, value.shape) if key.endswith("weight") else 0.5 * drawn
            elif value.ndim == 1:
                drawn = 0.01 * drawn
            value.copy_(torch.tensor(drawn))
        for block in (part for part in net.modules() if hasattr(part, "bn2") and hasattr(part, "conv2")):
            strengths = torch.tensor(np.exp(rng.normal(0, 0.7, block.bn2.weight.shape)), dtype=torch.float32)
            block.conv1.weight *= strengths[:, None, None]  # as training leaves them: strong throughout
            block.bn2.weight *= strengths.sqrt()
            block.conv2.weight *= strengths[None, :, None]
        for part in net.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                part.reset_running_stats()
                part.momentum = None
        shape = inputs[0].shape
        x = torch.tensor(rng.normal(size=(16, *shape[1:])).cumsum(-1), dtype=torch.float32)
        net(x / x.std())
    state = {key: value.numpy() for key, value in net.state_dict().items() if value.ndim}
    order = rng.permutation(len(state))
    names = {f"t{k:03d}": list(state)[place] for k, place in enumerate(order)}
    tensors = {name: state[key] for name, key in names.items()}
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    pools = match_shapes(skeleton, shapes, dict.fromkeys(shapes, "float32"), "pile")
    return skeleton, pools, tensors, names


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("like", "least"), [(PREACT, 1.0), (MBCONV, 0.6)])  # by chance 1 of 4, 1 of 3
def test_most_of_a_chain_is_found(like, least, seed):
    skeleton, pools, tensors, truth = counted(like, seed)
    found = place_chains(skeleton, pools, tensors.__getitem__)
    right = {slot for slot, name in found.placement.items() if truth[name] == slot}
    kernels = {slot for slot in found.placement if skeleton[slot].shape[1:]}
    assert len(kernels) >= 8
    assert len(kernels & right) >= least * len(kernels)
    assert len(right) > 0.6 * len(found.placement)
    assert len(set(found.placement.values())) == len(found.placement)
    assert max(found.squared_errors) < 0.2  # 1 is no use
    assert found.margins.keys() == found.placement.keys()


class Basic(nn.Module):
    """Two convolutions, each before a norm, added to the stream; then an activation."""

    def __init__(self, activation):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv1d(12, 12, 3, padding=1, bias=False) for _ in range(2))
        self.bn1, self.bn2 = nn.BatchNorm1d(12), nn.BatchNorm1d(12)
        self.activation = activation

    def forward(self, x):
        return self.activation(x + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())))


def basic(activation):
    return nn.Sequential(nn.Conv1d(2, 12, 1), nn.BatchNorm1d(12), activation, *(Basic(activation) for _ in range(3)))


@pytest.mark.parametrize("activation", [nn.Identity(), nn.ReLU()])
def test_the_norm_at_the_start_is_found(activation):
    right = 0
    for seed in range(3):
        skeleton, pools, tensors, truth = counted((basic(activation).eval(), (torch.zeros(2, 2, 32),)), seed)
        found = place_chains(skeleton, pools, tensors.__getitem__)
        right += truth[found.placement["1.bias"]] == "1.bias"
    assert right >= 2


def test_placed_by_the_books_is_placed_but_never_certain():
    skeleton, pools, tensors, _ = counted(PREACT)
    books = place_chains(skeleton, pools, tensors.__getitem__)
    result = place_by_weights(skeleton, pools, tensors.__getitem__, learned(), starts=2)
    assert {slot: result.placement[slot] for slot in books.placement} == dict(books.placement)
    assert not result.certain & books.placement.keys()
    assert result.placement.keys() == {slot for pool in pools for slot in pool.slots}
    for pool in pools:
        assert sorted(result.placement[slot] for slot in pool.slots) == sorted(pool.tensors)


def test_nets_without_chains_are_left_alone():
    skeleton, pools, tensors, _ = counted("mlp:sizes=5-5-5-2")
    assert place_chains(skeleton, pools, tensors.__getitem__).placement == {}


@pytest.mark.parametrize("like", [PREACT, MBCONV, "mlp:sizes=6-6-6-3,batch_norm=true"])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_variance_is_negative(like, seed):
    skeleton, pools, tensors, _ = counted(like, seed)
    found = place_chains(skeleton, pools, tensors.__getitem__)
    variances = [slot.key for slot in skeleton.slots if slot.key.endswith("running_var")]
    assert variances
    assert all((tensors[found.placement[slot]] >= 0).all() for slot in variances)
    believed = {name for slot in variances for name in found.beliefs[slot]}
    assert any((tensor < 0).any() for tensor in tensors.values())
    assert all((tensors[name] >= 0).all() for name in believed)


def test_what_the_books_are_sure_of_is_settled_but_not_certain():
    skeleton, pools, tensors, truth = counted(PREACT, seed=1)
    result = place_by_weights(skeleton, pools, tensors.__getitem__, learned(), starts=2)
    assert result.likely
    assert not result.likely & result.certain
    assert result.settled == result.likely | result.certain
    assert all(truth[result.placement[slot]] == slot for slot in result.likely)
