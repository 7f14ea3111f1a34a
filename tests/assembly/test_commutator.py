"""The commutator against finite differences, and the search for the order on networks whose order is known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nets import identity, random_net, relabelled
from reknit.assembly.commutator import (
    NARROWEST,
    anneal,
    cool,
    descend,
    insertion_effects,
    inversion_effects,
    position_effects,
    settle,
)
from reknit.assembly.moves import Rearrangement
from reknit.assembly.problem import Problem, Search
from reknit.network.stack import Arrangement

SMOOTH = [("tanh", "none"), ("gelu", "layer"), ("silu", "rms")]


def shrunk(stack, share):
    """The network with every branch so many times smaller, in float64."""
    return replace(stack, out_weight=share * stack.out_weight, out_bias=share * stack.out_bias).to(np.float64)


@pytest.mark.parametrize(("act", "normed"), SMOOTH)
def test_d_is_what_swapping_two_small_neighbours_changes(act, normed):
    """The swap's effect falls with the square of the blocks' size, what D leaves out of it with the cube."""
    net = random_net(1, act=act, normed=normed, rows=40)
    x, direction = net.x.astype(np.float64), np.ones((40, 1))
    sizes, errors = [], []
    for share in (0.04, 0.02, 0.01):
        stack = shrunk(net.stack, share)
        effects = inversion_effects(stack.trace(x, direction, net.truth))
        own = stack.forward(x, net.truth)
        truth = np.stack([stack.forward(x, Rearrangement("swap", k, k + 1).apply(net.truth)) - own for k in range(5)])[
            :, :, 0
        ]
        guess = np.stack([effects[:, k, k + 1] for k in range(5)])
        sizes.append(float(np.linalg.norm(truth)))
        errors.append(float(np.linalg.norm(guess - truth)))
    for before, after in ((0, 1), (1, 2)):
        assert sizes[before] / sizes[after] == pytest.approx(4, rel=0.2)
        assert errors[before] / errors[after] > 6.5
    assert errors[-1] < 0.05 * sizes[-1]


def test_d_is_antisymmetric_and_a_sum_over_coordinates():
    net = random_net(2, rows=7)
    trace = net.stack.trace(net.x, np.ones((7, 1), np.float32), net.truth)
    effects = inversion_effects(trace)
    assert effects.shape == (7, 6, 6)
    for r in range(7):
        for i in range(6):
            for j in range(6):
                expected = trace.pulled[i, r] @ trace.added[j, r] - trace.pulled[j, r] @ trace.added[i, r]
                np.testing.assert_allclose(effects[r, i, j], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(effects, -effects.transpose(0, 2, 1))


@given(st.integers(1, 7), st.integers(1, 3), st.integers(0, 1000))
def test_an_insertion_is_the_sum_of_the_inversions_on_its_way(blocks, rows, seed):
    d = np.random.default_rng(seed).standard_normal((rows, blocks, blocks))
    d = d - d.transpose(0, 2, 1)
    found = insertion_effects(d)
    for i in range(blocks):
        for q in range(blocks):
            later = sum((d[:, i, j] for j in range(i + 1, q + 1)), np.zeros(rows))
            earlier = sum((d[:, j, i] for j in range(q, i)), np.zeros(rows))
            np.testing.assert_allclose(found[:, i, q], later + earlier, rtol=1e-12, atol=1e-12)


@given(st.integers(2, 7), st.floats(0.5, 4), st.integers(0, 1000))
def test_position_effects_are_a_kernel_over_the_row(blocks, width, seed):
    d = np.random.default_rng(seed).standard_normal((3, blocks, blocks))
    d = d - d.transpose(0, 2, 1)
    found = position_effects(d, width)
    for i in range(blocks):
        expected = np.zeros(3)
        for j in range(blocks):
            bell = np.exp(-0.5 * ((j - i) / width) ** 2)
            expected += d[:, i, j] * bell / (width * (2 * np.pi) ** 0.5)
        np.testing.assert_allclose(found[:, i], expected, rtol=1e-12, atol=1e-12)


def shuffled(blocks, seed):
    return identity(blocks).reordered(np.random.default_rng(seed).permutation(blocks).tolist())


def solve(problem, start, seed=0):
    """What one attempt does from a random start."""
    search = Search(problem, seed)
    return descend(search, anneal(search, start), iterations=40)


@pytest.mark.parametrize(("act", "normed"), [("relu", "none"), ("gelu", "layer"), ("tanh", "rms")])
def test_a_few_places_off_it_ends_exact(act, normed):
    for seed in range(4):
        net = random_net(seed, blocks=8, act=act, normed=normed, rows=500)
        near = net.truth.reordered([1, 0, 2, 4, 3, 5, 7, 6])
        error, found = descend(Search(net.problem, seed), near)
        assert found == net.truth
        assert error < net.problem.solved_below


def test_from_random_orders_most_are_solved_at_once():
    solved = sum(
        solve(random_net(seed, blocks=8, rows=800).problem, shuffled(8, seed))[1] == identity(8) for seed in range(12)
    )
    assert solved >= 9


@pytest.mark.slow
# measured, of 30: relu 0, gelu and LayerNorm 1; tanh and RMS 9 to 13 over five sets of draws, two deviations above
# which lies its bound; the plan of attempts draws again
@pytest.mark.parametrize(("act", "normed", "most"), [("relu", "none", 3), ("gelu", "layer", 5), ("tanh", "rms", 16)])
def test_failure_rate_from_random_orders(act, normed, most, record_property):
    failed = []
    for seed in range(30):
        net = random_net(seed, blocks=16, act=act, normed=normed, rows=1500, size=0.3)
        if solve(net.problem, shuffled(16, seed), seed)[1] != net.truth:
            failed.append(seed)
    record_property("failed", failed)
    assert len(failed) <= most, f"{len(failed)} of 30 single attempts failed: seeds {failed}"


def test_cooling_ends_what_annealing_and_descent_leave():
    """RMS-normed tanh blocks of large branches. Measured, of 16: descent fails on 7 and 6, with cooling on 1 and 0."""
    left, cooled = 0, 0
    for seed in range(16):
        net = random_net(seed, blocks=16, act="tanh", normed="rms", rows=1500, size=0.3)
        left += solve(net.problem, shuffled(16, seed), seed)[1] != net.truth
        search = Search(net.problem, seed)
        found = settle(search, anneal(search, shuffled(16, seed)), np.inf)[1]
        cooled += found != net.truth
        assert set(zip(found.ins, found.outs, strict=True)) == {(k, k) for k in range(16)}
    assert cooled <= 2 < left


@pytest.mark.parametrize("blocks", [1, 2, 3, 8])
def test_cooling_the_truth_keeps_it(blocks):
    net = random_net(2, blocks=blocks)
    assert cool(Search(net.problem, 0), net.truth, NARROWEST)[1] == net.truth


def test_what_the_pieces_are_called_does_not_matter():
    """Relabelling the layers relabels the answer, and every number on the way."""
    net = random_net(3, blocks=7, rows=400)
    names = np.random.default_rng(5).permutation(7).tolist()
    called = [names.index(k) for k in range(7)]  # what was number k is now called so
    other = Problem(relabelled(net.stack, names, names), net.x, net.y)
    start = shuffled(7, 1)
    translated = Arrangement(tuple(called[i] for i in start.ins), tuple(called[j] for j in start.outs))
    plain, renamed = Search(net.problem, 0), Search(other, 0)
    for search, arrangement in ((plain, start), (renamed, translated)):
        descend(search, anneal(search, arrangement))
    assert [mse for _, mse, *_ in plain.log] == [mse for _, mse, *_ in renamed.log]
    for (*_, a, _), (*_, b, _) in zip(plain.log, renamed.log, strict=True):
        assert tuple(called[i] for i in a.ins) == b.ins
        assert tuple(called[j] for j in a.outs) == b.outs


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_very_few_blocks(blocks):
    net = random_net(4, blocks=blocks)
    search = Search(net.problem, 0)
    backwards = net.truth.reordered(range(blocks)[::-1])
    found = descend(search, anneal(search, backwards))[1]
    assert found == net.truth


def test_the_pairs_stay_as_they_are():
    net = random_net(5)
    start = Arrangement((0, 1, 2, 3, 4, 5), (3, 1, 4, 0, 5, 2))
    found = solve(net.problem, start)[1]
    assert set(zip(found.ins, found.outs, strict=True)) == set(zip(start.ins, start.outs, strict=True))


def test_the_same_seed_takes_the_same_steps():
    net = random_net(6, outputs=3)
    logs = []
    for _ in range(2):
        search = Search(net.problem, 9)
        descend(search, anneal(search, shuffled(6, 2)))
        logs.append([entry[:4] for entry in search.log])
    assert logs[0] == logs[1]
