"""Chains of units with BatchNorm, read off traced skeletons: the built-in conv nets and modules written here."""

import pytest
import torch
from torch import nn
from traced_nets import built_in

from reknit.skeleton.trace import trace
from reknit.wiring.batch_norm_units import find_chains

PREACT = "preact-resnet:inputs=2,stem=8,stages=2x8k3-3x16k3s2,dimensions=1,outputs=3"
MBCONV = "mbconv:stages=1x8e1-2x12s2e6-1x16e6,head=24,outputs=3,stem=16"
BOTTLENECK = "bottleneck-resnet:stages=3x8-2x16s2,stem=8,outputs=3"


def names(chain):
    """The module of every operation of every unit."""
    return [[use.slots["weight"].removesuffix(".weight") for use in unit.uses] for unit in chain.units]


def test_units_that_begin_with_a_norm():
    skeleton = built_in(PREACT)
    first, second = find_chains(skeleton)
    parts = ("bn1", "conv1", "bn2", "conv2")
    assert names(first) == [[f"stages.0.{k}.{part}" for part in parts] for k in (0, 1)]
    # the first block of the second stage changes the width: it is in no chain, those behind it are in one
    assert names(second) == [[f"stages.1.{k}.{part}" for part in parts] for k in (1, 2)]
    assert all(unit.shape.norm_first and unit.shape.adds and unit.shape.activation == "relu" for unit in second.units)
    assert second.units[0].shape.shapes == ((16, 16, 3), (16, 16, 3))
    assert second.start is None
    assert [chain.end.slots["weight"] for chain in (first, second)] == ["stages.1.0.bn1.weight", "norm.weight"]
    assert second.slot("mean", 2, 0) == "norm.running_mean"
    assert second.slot("kernel", 2, 0) is None
    assert first.eps == 1e-5
    assert first.slot("kernel", 1, 0) == "stages.0.1.conv1.weight"
    assert first.slot("bias", 1, 0) is None
    assert first.slot("variance", 0, 1) == "stages.0.0.bn2.running_var"


def test_inverted_bottlenecks_run_through_the_stages():
    (chain,) = find_chains(built_in(MBCONV))
    parts = ("expand_conv", "bn0", "depthwise_conv", "bn1", "project_conv", "bn2")
    first = ["conv_stem", "bn0", *(f"blocks.0.{part}" for part in parts[2:])]  # as long as the others
    assert names(chain) == [first, *([f"blocks.{k}.{part}" for part in parts] for k in (1, 2, 3))]
    assert [unit.shape.adds for unit in chain.units] == [False, False, True, False]
    assert {(unit.shape.activation, unit.shape.stream_activation) for unit in chain.units} == {("relu6", "identity")}
    assert (chain.start, chain.from_input, chain.eps) == (None, True, 1e-3)
    assert chain.end is None


def test_bottlenecks_with_an_activation_on_the_stream():
    (chain,) = find_chains(built_in(BOTTLENECK))
    parts = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")
    assert names(chain) == [[f"layer1.{k}.{part}" for part in parts] for k in (1, 2)]
    assert {unit.shape.stream_activation for unit in chain.units} == {"relu"}
    assert chain.start is None  # the stream there is the sum of two norms
    assert not chain.from_input


@pytest.mark.parametrize("like", ["bert:layers=3,width=12,heads=3,hidden=20,vocab=30", "mlp:sizes=5-5-5-5-2"])
def test_nets_without_such_units_have_no_chains(like):
    assert find_chains(built_in(like)) == ()


class Unit(nn.Module):
    """A convolution and a norm in turn, twice, with something in between; the names say nothing."""

    def __init__(self, between: nn.Module, groups: int = 1, lead: nn.Module | None = None) -> None:
        super().__init__()
        self.p, self.q = nn.Conv1d(6, 6, 3, padding=1, groups=groups), nn.Conv1d(6, 6, 1)
        self.n, self.m = nn.BatchNorm1d(6), nn.BatchNorm1d(6)
        self.between, self.lead = between, lead or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.m(self.q(self.between(self.n(self.p(self.lead(x))))))


class Stack(nn.Module):
    def __init__(self, *units: nn.Module) -> None:
        super().__init__()
        self.stem, self.first, self.units = nn.Conv1d(2, 6, 1), nn.BatchNorm1d(6), nn.ModuleList(units)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(self.stem(x))
        for unit in self.units:
            x = unit(x)
        return x


def chains(*units):
    return find_chains(trace(Stack(*units).eval(), (torch.zeros(2, 2, 8),), name="stack"))


@pytest.mark.parametrize(
    ("between", "name"), [(nn.ReLU(), "relu"), (nn.ReLU6(), "relu6"), (nn.SiLU(), "silu"), (nn.Identity(), "identity")]
)
def test_a_module_of_ones_own_and_its_activation(between, name):
    (chain,) = chains(Unit(between), Unit(between), Unit(between))
    assert [unit.uses[0].slots["weight"] for unit in chain.units] == [f"units.{k}.p.weight" for k in range(3)]
    assert {unit.shape.activation for unit in chain.units} == {name}
    assert chain.start is not None
    assert chain.start.slots["weight"] == "first.weight"


@pytest.mark.parametrize(
    "unit",
    [
        lambda: Unit(nn.Mish()),  # of which no moments are known
        lambda: Unit(nn.Sequential(nn.ReLU(), nn.Tanh())),  # two functions
        lambda: Unit(nn.ReLU(), groups=2),  # neither all channels nor each on its own
        lambda: Unit(nn.LayerNorm(8)),  # another operation with tensors of its own
    ],
)
def test_what_the_evidence_knows_nothing_of_is_left_out(unit):
    assert chains(unit(), unit(), unit()) == ()


def test_channel_by_channel_is_known():
    (chain,) = chains(Unit(nn.ReLU(), groups=6), Unit(nn.ReLU(), groups=6))
    assert chain.units[0].shape.shapes == ((6, 1, 3), (6, 6, 1))


def test_one_unit_alone_has_no_order():
    assert chains(Unit(nn.ReLU())) == ()


def test_units_with_different_activations_are_no_chain():
    assert chains(Unit(nn.ReLU()), Unit(nn.SiLU())) == ()
