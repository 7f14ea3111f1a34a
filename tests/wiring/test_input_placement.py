"""Inputs mend a placement that the weights left half wrong; inputs of another kind do not spoil it."""

import numpy as np
import pytest
import torch
from counted_nets import MBCONV, PREACT, counted, like_training
from traced_nets import BERT, built_in

from reknit.skeleton.like import resolve
from reknit.wiring.input_placement import DISAGREE, disagreement, place_by_inputs
from reknit.wiring.moment_costs import MomentCosts
from reknit.wiring.pools import Pool
from reknit.wiring.weights_placement import WeightsPlacement


def spoiled(net, seed, cycles=3):
    """The true placement with some vectors of one kind moved on, as the weights leave it."""
    rng = np.random.default_rng(seed)
    placement = {slot: slot for slot in net.state}
    for end in rng.choice(["running_var", "running_mean", "weight", "bias"], cycles, replace=False).tolist():
        norms = [s for s in net.state if ".bn" in s and s.endswith(f".{end}") and net.state[s].shape == (8,)]
        moved = rng.permutation(norms)[:3].tolist()
        placement |= {a: placement[b] for a, b in zip(moved, [*moved[1:], moved[0]], strict=True)}
    return placement


def weights(placement, **more):
    return WeightsPlacement(placement, dict.fromkeys(placement, 0.0), frozenset(), (0, 0), **more)


def placed(net, placement, x, **more):
    return place_by_inputs(net.module, net.skeleton, net.pools, net.state, weights(placement, **more), (x,))


def wrong(placement):
    return sum(slot != name for slot, name in placement.items())


@pytest.mark.parametrize(("like", "seed", "left"), [(PREACT, 0, 0), (PREACT, 1, 0), (MBCONV, 0, 4)])
def test_what_the_weights_left_wrong_is_mended(like, seed, left):
    net = counted(like, seed)
    before = spoiled(net, seed)
    found = placed(net, before, like_training(like, 256, 7))
    assert found.used
    assert found.remark.startswith("they moved ")
    assert sorted(found.weights.placement.values()) == sorted(net.state)
    assert wrong(before) >= 6
    assert wrong(found.weights.placement) <= left
    assert not found.weights.certain


@pytest.mark.parametrize("kind", ["noise", "axes shuffled"])
@pytest.mark.parametrize("seed", [0, 1])
def test_other_inputs_are_left_out_or_do_no_harm(kind, seed):
    net = counted(PREACT, seed)
    before = spoiled(net, seed)
    x = like_training(PREACT, 256, 7)
    generator = torch.Generator().manual_seed(seed)
    if kind == "noise":
        other = 3 * torch.randn(x.shape, generator=generator)
    else:
        other = x.flatten()[torch.randperm(x.numel(), generator=generator)].view(x.shape)
    found = placed(net, before, other)
    assert wrong(found.weights.placement) <= wrong(before)


def test_inputs_that_cause_nothing_are_left_out_and_it_is_said():
    net = counted(PREACT)
    given = weights(spoiled(net, 0))
    x = torch.zeros_like(like_training(PREACT, 8, 7))
    found = place_by_inputs(net.module, net.skeleton, net.pools, net.state, given, (x,))
    assert not found.used
    assert found.weights is given
    assert found.remark.startswith("in no placement are the variances that they cause those kept, but off by ")


def test_the_truth_agrees_more_than_what_is_spoiled():
    net = counted(PREACT)
    x = (like_training(PREACT, 64, 100),)  # those that were counted
    costs = MomentCosts(net.module, net.skeleton, net.pools, net.state, x)
    true = {slot: slot for slot in net.state}
    assert disagreement(costs, true) < DISAGREE / 10 < disagreement(costs, spoiled(net, 0, 4))
    assert costs.of(true) < costs.of(spoiled(net, 0))


def test_a_net_without_norms_that_count_leaves_inputs_out():
    module, skeleton = resolve(BERT).module, built_in(BERT)
    state = {slot.key: torch.zeros(slot.shape) for slot in skeleton.slots}
    pools = tuple(Pool((slot,), (slot,)) for slot in state)
    tokens = torch.zeros(2, 4, dtype=torch.int64)
    found = place_by_inputs(module, skeleton, pools, state, weights({slot: slot for slot in state}), (tokens, tokens))
    assert not found.used
    assert found.remark == "there is no BatchNorm whose statistics they could be held against"


def test_what_is_certain_stays_and_what_is_likely_is_no_more_than_before():
    net = counted(PREACT)
    before = spoiled(net, 0)
    moved = [slot for slot, name in before.items() if slot != name]
    certain = frozenset(moved[:1])
    found = placed(net, before, like_training(PREACT, 256, 7)).weights
    kept = place_by_inputs(
        net.module,
        net.skeleton,
        net.pools,
        net.state,
        WeightsPlacement(before, dict.fromkeys(before, 0.0), certain, (0, 0), likely=frozenset(before)),
        (like_training(PREACT, 256, 7),),
    ).weights
    assert found.placement[moved[0]] == moved[0]
    assert kept.placement[moved[0]] == before[moved[0]]
    assert kept.certain == certain
    assert not any(kept.placement[slot] != before[slot] for slot in kept.likely)
