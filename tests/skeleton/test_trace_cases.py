"""Small modules, each for one thing a tracer can get wrong: what may be permuted, what is fixed, and why."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from modules import Subject
from reknit.errors import InputError
from reknit.skeleton.symmetry import Symmetry
from reknit.skeleton.trace import trace

TOKENS = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Written(nn.Module):
    """A forward pass written out where it is tested; layers are given by name."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.written = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *inputs):
        return self.written(self, *inputs)


def traced(module, *inputs):
    """The subject, after its function was left alone by a random symmetry."""
    module = module.double().eval()
    subject = Subject(module, inputs, trace(module, inputs))
    assert subject.under(Symmetry.random(subject.skeleton, np.random.default_rng(0))) < 1e-12
    return subject


def free(subject):
    return {group.name: group.size for group in subject.free()}


def fixed(subject):
    return {group.name: group.fixed for group in subject.skeleton.groups if group.fixed}


def test_torchs_own_transformer_layers():
    layers = [nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, norm_first=first) for first in (True, False)]
    subject = traced(nn.Sequential(nn.Linear(4, 6), *layers, nn.Linear(6, 2)), TOKENS)
    each = {"self_attn heads": 2, "self_attn query-key": 3, "self_attn value": 3, "linear1": 8}
    assert free(subject) == {"stream": 6} | {f"{k}.{name}": size for k in (1, 2) for name, size in each.items()}


def test_an_operation_that_is_not_understood_is_named_and_what_it_touches_is_fixed():
    def forward(net, x):
        hidden = net.first(x).relu()
        return net.out(torch.fft.rfft(net.middle(hidden)).abs())

    layers = {"first": nn.Linear(4, 5), "middle": nn.Linear(5, 6), "out": nn.Linear(4, 2)}
    subject = traced(Written(forward, **layers), TOKENS)
    (refusal,) = subject.skeleton.refusals
    assert (refusal.operation, refusal.where, refusal.groups) == ("fft_rfft", "", ("middle", "out.weight[1]"))
    assert fixed(subject)["middle"] == "not understood: fft_rfft"
    assert free(subject) == {"first": 5}  # what lies before and does not touch it stays free


def test_the_module_of_a_refusal_is_named():
    layers = nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.LSTM(6, 5, batch_first=True)))
    net = Written(lambda net, x: net.out(net.layers[1](net.layers[0](x))[0]), layers=layers, out=nn.Linear(5, 2))
    (refusal,) = traced(net, TOKENS).skeleton.refusals
    assert (refusal.operation, refusal.where) == ("lstm", "layers.1.0")
    assert "layers.0" in refusal.groups


def test_a_rule_that_does_not_fit_refuses():
    def forward(net, x):  # a letter twice: the diagonal
        return torch.einsum("bcc->bc", net.inner(x)[:, :4])

    subject = traced(Written(forward, inner=nn.Linear(4, 4)), TOKENS)
    assert [refusal.operation for refusal in subject.skeleton.refusals] == ["einsum"]


def test_a_fused_axis_taken_apart_by_position_has_separate_units():
    def forward(net, x):
        first, second = net.fused(x).view(2, 5, 2, 3).unbind(2)
        return net.one(first.tanh()) + net.two(second.sigmoid())

    layers = {"fused": nn.Linear(4, 6), "one": nn.Linear(3, 2), "two": nn.Linear(3, 2)}
    subject = traced(Written(forward, **layers), TOKENS)
    starts = [{member.start for member in group.members if member.slot == "fused.weight"} for group in subject.free()]
    assert starts == [{0}, {3}]


def test_a_fused_axis_whose_parts_are_multiplied_with_each_other_has_shared_units():
    def forward(net, x):
        parts = net.fused(x).view(2, 5, 2, 3)
        return net.out((parts @ parts.transpose(2, 3))[:, :, 0])

    subject = traced(Written(forward, fused=nn.Linear(4, 6), out=nn.Linear(2, 2)), TOKENS)
    (group,) = subject.free()
    assert (group.size, {member.outer for member in group.members if member.slot == "fused.weight"}) == (3, {1})
    assert len([member for member in group.members if member.slot == "fused.weight"]) == 2


def test_parts_of_a_fused_axis_that_are_mixed_step_by_step_have_shared_units():
    def forward(net, x):
        parts = net.fused(x).view(2, 5, 2, 3)
        pairs = parts[:, :, :, None] * (net.mix + net.mix.T)[:, :, None]  # both axes of the mix run over the parts
        return net.out(pairs.sum(2)[:, :, 0])

    layers = {"fused": nn.Linear(4, 6), "mix": nn.Parameter(torch.zeros(2, 2)), "out": nn.Linear(3, 2)}
    subject = traced(Written(forward, **layers), TOKENS)
    assert {group.size for group in subject.free()} == {3}


def test_a_mix_whose_axes_are_found_to_be_the_same_later_shares_units_too():
    def forward(net, x):
        pairs = net.fused(x).view(2, 5, 2, 3)[:, :, :, None] * net.mix[:, :, None]
        shift = (net.mix + net.mix.T).sum()
        return net.out(pairs.sum(2)[:, :, 0]) + shift

    layers = {"fused": nn.Linear(4, 6), "mix": nn.Parameter(torch.zeros(2, 2)), "out": nn.Linear(3, 2)}
    subject = traced(Written(forward, **layers), TOKENS)
    assert {group.size for group in subject.free()} == {3}


def test_heads_that_are_mixed_have_one_permutation_of_their_dimensions():
    def forward(net, x):
        mixed = torch.einsum("bthd,gh->btgd", net.inp(x).view(2, 5, 3, 2), net.mix.weight)
        return net.out(mixed.flatten(2))

    layers = {"inp": nn.Linear(4, 6), "mix": nn.Linear(3, 4, bias=False), "out": nn.Linear(8, 2)}
    subject = traced(Written(forward, **layers), TOKENS)
    assert sorted((group.size, group.within) for group in subject.free()) == [(2, None), (3, None), (4, None)]


def test_heads_that_are_mixed_step_by_step_have_one_permutation_of_their_dimensions():
    def forward(net, x):
        heads = net.inp(x).view(2, 5, 3, 2)
        pairs = heads[:, :, :, None] * net.mix[:, :, None]  # of a head and a head
        return net.out((pairs.sum(2) + heads).flatten(2))

    layers = {"inp": nn.Linear(4, 6), "mix": nn.Parameter(torch.zeros(3, 3)), "out": nn.Linear(6, 2)}
    subject = traced(Written(forward, **layers), TOKENS)
    assert sorted((group.size, group.within) for group in subject.free()) == [(2, None), (3, None)]


@pytest.mark.parametrize(
    "across",
    [
        lambda heads: heads.softmax(2),
        lambda heads: functional.layer_norm(heads.transpose(2, 3), (3,)).transpose(2, 3),
        lambda heads: heads - heads.mean(2, keepdim=True),
        lambda heads: heads / heads.norm(dim=2, keepdim=True),
    ],
    ids=["softmax", "layer norm", "mean", "norm"],
)
def test_dimensions_that_are_compared_across_heads_have_one_permutation(across):
    def forward(net, x):
        return net.out(across(net.inp(x).view(2, 5, 3, 2)).flatten(2))

    subject = traced(Written(forward, inp=nn.Linear(4, 6), out=nn.Linear(6, 2)), TOKENS)
    heads, dimensions = subject.free()
    assert (heads.size, dimensions.size, dimensions.within) == (3, 2, None)


def test_groups_of_a_norm_stay_whole_whichever_factor_was_found_first():
    def forward(net, x):
        channels = net.inp(x).view(2, 5, 2, 3).transpose(2, 3).flatten(2).transpose(1, 2)
        return net.out(net.norm(channels).transpose(1, 2))

    layers = {"inp": nn.Linear(4, 6), "norm": nn.GroupNorm(3, 6), "out": nn.Linear(6, 2)}
    subject = traced(Written(forward, **layers), TOKENS)
    groups, channels = sorted(subject.free(), key=lambda group: -group.size)
    assert (groups.size, groups.within, channels.size, channels.within) == (3, None, 2, groups.name)


@pytest.mark.parametrize(
    ("along", "operation"),
    [
        (lambda x: x.roll(1, -1), "roll"),
        (lambda x: x.cumsum(-1), "cumsum"),
        (lambda x: x.sort(-1).values, "sort"),
        (lambda x: functional.avg_pool1d(x, 3, 1, 1), "pooling"),
        (lambda x: functional.pad(x, (0, 1), mode="replicate")[..., 1:], "pad"),
        (lambda x: x.max(-1, keepdim=True).indices + x, "max"),
    ],
)
def test_units_whose_order_matters_are_fixed(along, operation):
    net = Written(lambda net, x: net.out(along(net.inp(x))), inp=nn.Linear(4, 6), out=nn.Linear(6, 2))
    reasons = fixed(traced(net, TOKENS))
    assert {reason for name, reason in reasons.items() if name not in {"inp.weight[1]", "out"}} == {
        f"position: {operation}"
    }


def test_a_view_across_the_parts_of_a_concatenation_is_fixed():
    def forward(net, x):
        joined = torch.cat([net.narrow(x), net.wide(x)], dim=-1)
        return net.out(joined.view(2, 5, 2, 3).softmax(-1).flatten(2))

    layers = {"narrow": nn.Linear(4, 2), "wide": nn.Linear(4, 4), "out": nn.Linear(6, 2)}
    assert not free(traced(Written(forward, **layers), TOKENS))


def test_branches_that_are_concatenated_and_flattened_keep_their_places():
    def forward(net, x):
        return net.out(torch.cat([net.a(x).tanh(), net.b(x)], dim=1).flatten(1))

    layers = {"a": nn.Conv2d(3, 2, 3, stride=3), "b": nn.Conv2d(3, 3, 3, stride=3), "out": nn.Linear(5 * 4, 2)}
    subject = traced(Written(forward, **layers), IMAGES)
    assert free(subject) == {"a": 2, "b": 3}
    members = {
        group.name: member for group in subject.free() for member in group.members if member.slot == "out.weight"
    }
    assert [(members[name].start, members[name].inner) for name in "ab"] == [(0, 4), (8, 4)]


def test_layouts_that_do_not_fit_are_fixed():
    def forward(net, x):
        hidden = net.inp(x)
        return net.out((hidden.view(2, 5, 2, 3).transpose(2, 3).flatten(2) + hidden).tanh())

    subject = traced(Written(forward, inp=nn.Linear(4, 6), out=nn.Linear(6, 2)), TOKENS)
    assert {reason for name, reason in fixed(subject).items() if name.startswith("inp (")} == {
        "laid out in two ways that do not fit"
    }


def test_a_shortcut_padded_with_zeros():
    def forward(net, x):
        narrow = functional.gelu(net.first(x))
        return net.out((net.second(narrow) + functional.pad(narrow, (0, 0, 0, 0, 2, 2))).mean((2, 3)))

    layers = {"first": nn.Conv2d(3, 4, 3, padding=1), "second": nn.Conv2d(4, 8, 3, padding=1), "out": nn.Linear(8, 2)}
    subject = traced(Written(forward, **layers), IMAGES)
    assert sorted(free(subject).values()) == [2, 2, 4]


def test_rotated_dimensions_stay_and_heads_move():
    def forward(net, x):
        angles = torch.arange(5.0, dtype=torch.float64)[:, None] * torch.tensor([1.0, 0.1], dtype=torch.float64)
        turned = torch.polar(torch.ones_like(angles), angles)[:, None]
        heads = torch.view_as_complex(net.inp(x).view(2, 5, 3, 2, 2)) * turned
        return net.out(torch.view_as_real(heads).flatten(2))

    subject = traced(Written(forward, inp=nn.Linear(4, 12), out=nn.Linear(12, 2)), TOKENS)
    assert list(free(subject).values()) == [3]


def test_positions_and_what_is_looked_up_are_fixed_for_their_reasons():
    def forward(net, ids):
        return net.out(net.table(ids) + net.places)

    layers = {"table": nn.Embedding(9, 6), "places": nn.Parameter(torch.zeros(4, 6)), "out": nn.Linear(6, 2)}
    subject = traced(Written(forward, **layers), torch.randint(0, 9, (3, 4)))
    assert list(free(subject).values()) == [6]
    reasons = {group.members[0].slot: group.fixed for group in subject.skeleton.groups if group.fixed}
    assert reasons == {"places": "input; output", "table.weight": "looked up by the input", "out.weight": "output"}


def test_tied_tensors_are_one_slot_and_move_under_every_name():
    def forward(net, ids):
        return net.head(net.table(ids).tanh())

    net = Written(forward, table=nn.Embedding(9, 6), head=nn.Linear(6, 9, bias=False))
    net.head.weight = net.table.weight
    subject = traced(net, torch.randint(0, 9, (3, 4)))
    (slot,) = subject.skeleton.slots
    assert (slot.key, slot.aliases) == ("table.weight", ("head.weight",))
    assert fixed(subject) == {"table.weight[0]": "looked up by the input; output"}
    assert free(subject) == {"table.weight[1]": 6}


def test_a_tensor_that_is_not_used_is_fixed():
    net = Written(lambda net, x: net.out(x), out=nn.Linear(4, 2), spare=nn.Linear(4, 3))
    assert fixed(traced(net, TOKENS))["spare.weight[0]"] == "not used by the forward pass"


def test_a_constant_outside_the_state_dict_fixes_the_axis_it_differs_along():
    class Scaled(nn.Module):
        def __init__(self, values):
            super().__init__()
            self.inp, self.out = nn.Linear(4, 3), nn.Linear(3, 2)
            self.register_buffer("values", torch.tensor(values, dtype=torch.float64), persistent=False)

        def forward(self, x):
            return self.out(self.inp(x).tanh() * self.values)

    assert fixed(traced(Scaled([1.0, 2.0, 3.0]), TOKENS))["inp"] == "constant"
    assert free(traced(Scaled([2.0, 2.0, 2.0]), TOKENS)) == {"inp": 3}
    # without numbers nothing is known to be alike
    unknown = trace(Scaled([2.0, 2.0, 2.0]).double().to("meta"), (TOKENS.to("meta"),))
    assert {group.name: group.fixed for group in unknown.groups}["inp"] == "constant"


def test_writing_in_place_is_followed():
    def forward(net, x):
        first = functional.relu_(net.first(x))
        first += net.second(x)  # into a whole tensor
        mixed = torch.zeros_like(first)
        mixed[:, 1:] = first[:, 1:]  # into a view of another, where nothing varied before
        return net.out(mixed)

    layers = {"first": nn.Linear(4, 6), "second": nn.Linear(4, 6), "out": nn.Linear(6, 2)}
    subject = traced(Written(forward, **layers), TOKENS)
    assert list(free(subject).values()) == [6]
    assert not subject.skeleton.refusals


@pytest.mark.parametrize(
    ("layers", "sizes"),
    [
        ([nn.Conv2d(3, 12, 3), nn.PixelShuffle(2), nn.GELU(), nn.Conv2d(3, 2, 1)], [3]),
        ([nn.Conv2d(3, 6, 3), nn.PReLU(6), nn.Upsample(scale_factor=2), nn.Conv2d(6, 2, 1)], [6]),
        ([nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 6, 3)), nn.GLU(1), nn.Conv2d(3, 2, 3)], [3]),
        ([nn.Conv2d(3, 6, 3), nn.InstanceNorm2d(6, affine=True), nn.GELU(), nn.Flatten(), nn.Linear(216, 2)], [6]),
    ],
    ids=["pixel shuffle", "prelu", "weight norm and glu", "instance norm, flattened"],
)
def test_layers_of_images(layers, sizes):
    assert list(free(traced(nn.Sequential(*layers), IMAGES)).values()) == sizes


def test_roles_and_reasons():
    net = nn.Sequential(nn.Conv1d(3, 6, 3), nn.BatchNorm1d(6), nn.GELU(), nn.Conv1d(6, 2, 1))
    (group,) = traced(net, TOKENS[:, :3]).free()
    assert {(member.slot, member.axis): member.role for member in group.members} == {
        ("0.weight", 0): "writes",
        ("0.bias", 0): "shifts",
        ("1.weight", 0): "scales",
        ("1.bias", 0): "shifts",
        ("1.running_mean", 0): "mean",
        ("1.running_var", 0): "variance",
        ("3.weight", 1): "reads",
    }
    reasons = {(link.first, link.second): link.because for link in group.links}
    assert reasons[("0.weight[0]", "3.weight[1]")] == "conv1d, batch_norm, gelu, conv1d"
    assert len(reasons) == len(group.members) - 1


def test_the_two_halves_of_a_fused_matrix_are_joined_by_what_joins_them():
    def forward(net, x):
        gate, value = net.fused(x).chunk(2, dim=-1)
        return net.out(functional.silu(gate) * value / net.scale)

    layers = {"fused": nn.Linear(4, 6, bias=False), "scale": nn.Parameter(torch.ones(3)), "out": nn.Linear(3, 2)}
    (group,) = traced(Written(forward, **layers), TOKENS).free()
    assert {(member.slot, member.axis): member.role for member in group.members}[("scale", 0)] == "scales"
    assert {(link.first, link.second, link.because) for link in group.links} == {
        ("scale[0]", "fused.weight[0, 3:6]", "div, mul"),
        ("scale[0]", "fused.weight[0, 0:3]", "div, mul, silu"),
        ("scale[0]", "out.weight[1]", "div, linear"),
    }


@pytest.mark.parametrize("own", [True, False])
def test_a_gain_belongs_to_an_rms_norm_only_if_it_is_one(own):
    def forward(net, x):
        squared = (x if own else x + 1).pow(2).mean(-1, keepdim=True)
        return net.out(net.gain * (x * torch.rsqrt(squared + 1e-3)).to(x.dtype))

    net = Written(forward, gain=nn.Parameter(torch.ones(4)), out=nn.Linear(4, 2)).double()
    use = trace(net, (TOKENS,)).uses[0]
    assert (use.operation, use.details) == (("rms_norm", {"eps": 1e-3}) if own else ("mul", {}))


def test_uses_follow_the_forward_pass():
    net = Written(lambda net, x: net.out(x + net.b(net.a(x).relu()) + net.a(x)), a=nn.Linear(4, 4), b=nn.Linear(4, 4))
    net.out = nn.Linear(4, 2)
    uses = trace(net.double(), (TOKENS,)).uses
    assert [(use.step, use.operation, use.slots["weight"], use.sources) for use in uses] == [
        (0, "linear", "a.weight", ()),
        (1, "linear", "b.weight", (0,)),
        (2, "linear", "a.weight", ()),
        (3, "linear", "out.weight", (1, 2)),
    ]


def test_tracing_leaves_the_module_as_it_was():
    net = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 2)).double()
    net[1].eval()
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    trace(net, (TOKENS,))
    assert [module.training for module in net] == [True, False, True]
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())
    assert torch.backends.mha.get_fastpath_enabled()


def test_what_cannot_be_exported_is_told_in_one_sentence():
    with pytest.raises(InputError, match=r"^Linear: torch.export cannot follow its forward pass: .*\. Check the shape"):
        trace(nn.Linear(3, 2), (torch.zeros(2, 5),))
    with pytest.raises(InputError, match="the shape of a result depends on data"):
        trace(Written(lambda net, x: net.out(x[x > 0]), out=nn.ReLU()), (TOKENS,))
