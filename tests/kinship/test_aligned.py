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
    beside = {"v": np.zeros((40, 40))}
    found = same_numbers(aligned({"w": sparse, **beside}, {"w": other, **beside}))
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


def windowed_waves():
    """Frames in, cosines and sines out, as a fixed front end computes a spectrum."""
    waves = 2 * np.pi * np.outer(np.arange(65), np.arange(128)) / 128
    return (np.concatenate([np.cos(waves), np.sin(waves[1:-1])]) * np.hanning(128))[:, None]


def grid_of_sines():
    """Places of a grid of 14 by 14, half of the columns for either axis."""
    angles = np.arange(14)[:, None] / 10 ** np.arange(8)
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    return np.concatenate([np.repeat(waves, 14, axis=0), np.tile(waves, (14, 1))], axis=1)


def hippo():
    roots = np.sqrt(2 * np.arange(64) + 1)
    return -np.outer(roots, roots) * np.tri(64)


@pytest.mark.parametrize("written", [windowed_waves, grid_of_sines, hippo])
def test_numbers_that_were_written_are_no_evidence_beside_independent_networks(written):
    a, b = (
        {"1": rng.normal(size=(64, 32)), "2": rng.normal(size=(16, 64))} for rng in map(np.random.default_rng, (0, 1))
    )
    a, b = ({**net, "front.kernel": written()} for net in (a, b))
    found = aligned(a, b)
    assert "front.kernel" in found.left_out
    assert same_numbers(found).log10_p == 0


@pytest.mark.parametrize("shapes", [{"weight": (100, 300)}, {"a.weight": (20, 300), "b.weight": (30, 300)}])
def test_networks_without_hidden_units_may_meet_in_one_optimum(shapes):
    rng = np.random.default_rng(0)
    best = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    found = aligned(best, {name: value + 1e-7 * rng.normal(size=value.shape) for name, value in best.items()})
    assert found.left_out.keys() == shapes.keys()
    assert same_numbers(found).numbers == 0


def test_without_hidden_units_a_skeleton_leaves_nothing_to_agree():
    skeleton = traced("mlp:sizes=60-40")[1]
    state = random_tensors(skeleton, 0)
    assert same_numbers(aligned(state, state, skeleton)).numbers == 0


def test_every_arrangement_that_was_to_choose_from_counts():
    x = np.random.default_rng(0).normal(size=(30, 30))
    few, many = (same_numbers(Aligned({"w": x}, {"w": x}, 0.0, ln)).log10_p for ln in (0.0, 1000.0))
    assert few == pytest.approx(900 * np.log10(CHANCE))
    assert many - few == pytest.approx(1000 / np.log(10))
