"""Weight matching: planted permutations are undone on any architecture, and no assignment on a tiny net is better."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from architectures.random_configs import CONFIGS
from match.matched_nets import LIKES, largest_difference, random_tensors, traced
from reknit.architectures.spelling import spell_config
from reknit.match.families import find_families
from reknit.match.weight_matching import match_weights
from reknit.skeleton.symmetry import Permutation, Symmetry
from strategies import seeds


def _planted(skeleton, seed):
    left = random_tensors(skeleton, seed)
    symmetry = Symmetry.random(skeleton, np.random.default_rng(seed))
    return left, symmetry.apply(left), symmetry


@pytest.mark.parametrize("weighing", ["plain", "standardised"])
@pytest.mark.parametrize("name", LIKES)
def test_a_permuted_copy_comes_back_exactly(name, weighing):
    _, skeleton = traced(LIKES[name])
    left, right, planted = _planted(skeleton, 3)
    assert largest_difference(left, right) > 0.1
    found = match_weights(skeleton, left, right, weighing=weighing)
    assert largest_difference(left, found.symmetry.apply(right)) == 0
    undone = planted.then(found.symmetry)
    assert all((each.order == np.arange(each.order.shape[1])).all() for each in undone.permutations)
    assert found.settled
    assert found.sweeps == 1


@pytest.mark.slow
@settings(max_examples=40)
@given(config=st.sampled_from(sorted(CONFIGS)).flatmap(CONFIGS.get), seed=seeds)
def test_a_permuted_copy_comes_back_whatever_the_config(config, seed):
    _, skeleton = traced(spell_config(config))
    left, right, _ = _planted(skeleton, seed)
    found = match_weights(skeleton, left, right)
    assert largest_difference(left, found.symmetry.apply(right)) == 0


@settings(max_examples=20, deadline=None)
@given(seed=seeds, noise=st.floats(0.0, 0.3))
def test_a_noisy_copy_is_matched_unit_by_unit(seed, noise):
    _, skeleton = traced("mlp:sizes=12-16-9-4")
    left, right, planted = _planted(skeleton, seed)
    rng = np.random.default_rng(seed + 1)
    right = {key: value + noise * np.std(value) * rng.normal(size=value.shape) for key, value in right.items()}
    undone = planted.then(match_weights(skeleton, left, right).symmetry)
    assert all((each.order == np.arange(each.order.shape[1])).all() for each in undone.permutations)


@settings(max_examples=15, deadline=None)
@given(seed=seeds, weighing=st.sampled_from(["plain", "standardised"]))
def test_unrelated_networks_do_not_get_farther_and_twice_is_once(seed, weighing):
    _, skeleton = traced(LIKES["gpt2"])
    left, right = random_tensors(skeleton, seed), random_tensors(skeleton, seed + 1)
    first = match_weights(skeleton, left, right, weighing=weighing, seed=seed)
    still = match_weights(skeleton, left, right, weighing=weighing, start=Symmetry(skeleton, ()), seed=seed)
    assert first.settled
    again = match_weights(
        skeleton, left, first.symmetry.apply(right), weighing=weighing, start=Symmetry(skeleton, ()), seed=seed
    )
    assert again.objective >= first.objective * (1 - 1e-6)
    assert np.isclose(again.objective, first.objective, rtol=0.05)
    before = sum(float(np.vdot(left[key], right[key])) for key in left)
    if weighing == "plain":
        assert first.objective >= before
        assert still.objective >= before


@settings(max_examples=15, deadline=None)
@given(seed=seeds, like=st.sampled_from(["gpt2", "preact-resnet", "mlp"]))
def test_where_it_ends_nothing_is_left_to_gain(seed, like):
    _, skeleton = traced(LIKES[like])
    left, right = random_tensors(skeleton, seed), random_tensors(skeleton, seed + 1)
    found = match_weights(skeleton, left, right, seed=seed)
    again = match_weights(skeleton, left, right, start=found.symmetry, seed=seed + 1)
    assert found.settled
    assert again.sweeps == 1
    assert np.isclose(again.objective, found.objective, rtol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_no_permutation_of_a_tiny_net_is_better(seed):
    """Brute force over all permutations of two hidden layers of four units."""
    _, skeleton = traced("mlp:sizes=3-4-4-2")
    left, right = random_tensors(skeleton, seed), random_tensors(skeleton, seed + 100)
    families = find_families(skeleton)
    groups = [family.outer.name for family in families]
    touched = {slot for family in families for slot in family.slots}
    assert len(groups) == 2

    def value(symmetry):
        moved = symmetry.apply(right)
        return sum(float(np.vdot(left[key], moved[key])) for key in touched)

    best = max(
        value(Symmetry(skeleton, tuple(Permutation(g, np.array(o)) for g, o in zip(groups, orders, strict=True))))
        for orders in itertools.product(itertools.permutations(range(4)), repeat=2)
    )
    tried = [match_weights(skeleton, left, right, weighing="plain", seed=s) for s in range(3)]
    starts = [Symmetry.random(skeleton, np.random.default_rng(s)) for s in range(10)]
    tried += [match_weights(skeleton, left, right, weighing="plain", start=start) for start in starts]
    values = [value(each.symmetry) for each in tried]
    assert max(values) <= best + 1e-6
    assert np.isclose(max(values), best)
    for each, reached in zip(tried, values, strict=True):
        assert np.isclose(each.objective, reached, rtol=1e-4)


def test_a_fixed_group_stays():
    _, skeleton = traced(LIKES["mlp"])
    left, right = random_tensors(skeleton, 0), random_tensors(skeleton, 1)
    moved = match_weights(skeleton, left, right).symmetry
    fixed = {group.name for group in skeleton.groups if group.fixed}
    assert fixed
    assert not fixed & {each.group for each in moved.permutations}


def test_a_layer_of_one_unit_and_no_free_layer():
    _, skeleton = traced("mlp:sizes=3-1-2")
    left, right, _ = _planted(skeleton, 0)
    assert largest_difference(left, match_weights(skeleton, left, right).symmetry.apply(right)) == 0
    _, skeleton = traced("mlp:sizes=3-2")
    left = random_tensors(skeleton, 0)
    found = match_weights(skeleton, left, left)
    assert found.symmetry.permutations == ()
