import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.stats import binom

from match.matched_nets import random_tensors, traced
from reknit.kinship.aligned import Aligned, aligned
from reknit.kinship.same_numbers import CHANCE, WINDOW, same_numbers
from reknit.skeleton.symmetry import Symmetry
from strategies import seeds

LIKES = ("mlp:sizes=6-24-16-3", "preact-resnet:inputs=3,stem=6,stages=2x6-1x8s2,outputs=5")


def permuted(like, state, seed=3):
    return Symmetry.random(traced(like)[1], np.random.default_rng(seed)).apply(state)


@pytest.mark.parametrize("like", LIKES)
@given(seeds)
@settings(max_examples=8)
def test_a_permuted_copy_is_no_distance_away(like, seed):
    skeleton = traced(like)[1]
    state = random_tensors(skeleton, seed)
    found = aligned(state, permuted(like, state, seed), skeleton)
    assert found.distance < 1e-6
    assert found.moved > 0.3
    assert same_numbers(found).log10_p < -100
    assert {key: value.tobytes() for key, value in found.symmetry.apply(permuted(like, state, seed)).items()} == {
        key: value.tobytes() for key, value in state.items()
    }


@pytest.mark.parametrize("like", [*LIKES, None])
def test_factors_on_units_do_not_count(like):
    skeleton = traced(LIKES[0])[1]
    state = random_tensors(skeleton, 0)
    key = next(slot.key for slot in skeleton.slots if slot.shape == (24, 6))
    after = next(slot.key for slot in skeleton.slots if slot.shape == (16, 24))
    factors = np.random.default_rng(0).uniform(0.2, 5, 24).astype(np.float32)
    scaled = {**state, key: state[key] * factors[:, None], after: state[after] / factors}
    found = aligned(state, scaled, skeleton if like == LIKES[0] else None)
    assert found.distance < 0.02
    assert found.moved == 0


@pytest.mark.parametrize("like", LIKES)
def test_networks_of_other_numbers_are_about_one_away(like):
    skeleton = traced(like)[1]
    found = aligned(random_tensors(skeleton, 0), random_tensors(skeleton, 1), skeleton)
    assert 0.5 < found.distance < 1.1
    assert same_numbers(found).log10_p == 0


def test_without_a_skeleton_rows_alone_are_matched():
    rng = np.random.default_rng(0)
    x = {"w": rng.normal(size=(30, 20))}
    found = aligned(x, {"w": x["w"][rng.permutation(30)]})
    assert found.distance < 1e-9
    assert found.moved > 0.5


@pytest.mark.parametrize(
    "empty", [{}, {"w": np.zeros((0, 3))}, {"w": np.zeros(4)}, {"w": np.zeros((2, 2), dtype=np.int64)}]
)
def test_nothing_to_compare_is_far_apart_and_says_nothing(empty):
    found = aligned(empty, empty)
    assert (found.distance, found.numbers, same_numbers(found).log10_p) == (1.0, 0, 0.0)


def test_zeros_and_coarse_grids_are_no_evidence():
    rng = np.random.default_rng(0)
    signs = {"w": rng.choice([-1.0, 1.0], size=(40, 40))}
    assert same_numbers(aligned(signs, signs)).numbers == 0
    sparse = rng.normal(size=(40, 40)) * (rng.random((40, 40)) < 0.5)
    other = rng.normal(size=(40, 40)) * (sparse != 0)
    found = same_numbers(aligned({"w": sparse}, {"w": other}))
    assert found.log10_p == 0
    assert 0 < found.numbers < 1600 - np.count_nonzero(sparse == 0)  # rows were matched, and masks with them


@pytest.mark.parametrize("units", [1, 2, 3])
def test_the_bound_holds_for_numbers_that_agree_as_often_as_is_assumed(units):
    """Every arrangement of few units tried: the share of pairs with p below a level is at most the level."""
    rng = np.random.default_rng(units)
    levels = []
    for _ in range(300):
        y = rng.normal(size=(units, 12))
        best = None
        for order in itertools.permutations(range(units)):
            agree = rng.random(y.shape) < CHANCE
            x = np.where(agree, y[list(order)], y[list(order)] + 1)
            found = Aligned(
                {"w": x}, {"w": y[list(order)]}, 0.0, float(np.log(len(list(itertools.permutations(range(units))))))
            )
            p = same_numbers(found).log10_p
            best = p if best is None else min(best, p)
        levels.append(best)
    for level in (-1, -2, -3):
        share = np.mean(np.array(levels) <= level)
        assert share <= 10.0**level or binom.sf(share * 300 - 1, 300, 10.0**level) > 1e-3


def test_agreement_is_within_the_window():
    x = np.random.default_rng(0).normal(size=(50, 50))
    near, far = (Aligned({"w": x}, {"w": x + size * WINDOW}, 0.0, 0.0) for size in (0.5, 2.5))
    assert same_numbers(near).agree == 2500
    assert same_numbers(far).agree == 0
