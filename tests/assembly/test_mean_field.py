"""Pairs and order together: the linearisation against finite differences, and what is recovered without a prior."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_weight_pairing import pooled_stack

from nets import random_net, trained_net
from reknit.assembly.mean_field import _centred, mean_field, pairing_effects
from reknit.assembly.mend import best_exchange, exchange_effects, mend
from reknit.assembly.moves import Rearrangement
from reknit.assembly.problem import Problem, Search
from reknit.network.stack import Arrangement


def mixed(stack, mixture):
    out_weight = np.einsum("ij,jdh->idh", mixture, stack.out_weight)
    return replace(stack, out_weight=out_weight, out_bias=mixture @ stack.out_bias)


@pytest.mark.parametrize(("act", "normed"), [("tanh", "none"), ("gelu", "layer"), ("silu", "rms")])
def test_pairing_effects_are_derivatives_by_the_mixture(act, normed):
    net = random_net(1, blocks=4, act=act, normed=normed, final=normed, outputs=2, rows=9)
    stack, x = net.stack.to(np.float64), net.x.astype(np.float64)
    generator = np.random.default_rng(0)
    mixture = generator.random((4, 4))
    mixture /= mixture.sum(1, keepdims=True)
    order = (2, 0, 3, 1)
    arrangement = Arrangement(order, order)
    direction = generator.standard_normal((9, 2))
    found = pairing_effects(stack, mixed(stack, mixture).trace(x, direction, arrangement))
    step = 1e-5
    for k in range(4):
        for j in range(4):
            answers = []
            for sign in (1, -1):
                shifted = mixture.copy()
                shifted[order[k], j] += sign * step
                answers.append((mixed(stack, shifted).forward(x, arrangement) * direction).sum(1))
            np.testing.assert_allclose(found[:, k, j], (answers[0] - answers[1]) / (2 * step), rtol=1e-5, atol=1e-8)


@given(st.integers(1, 5), st.integers(0, 1000))
def test_wanted_pairing_effects_are_those_of_all_and_the_rest_is_nothing(blocks, seed):
    net = random_net(seed % 7, blocks=blocks, rows=5)
    trace = net.stack.trace(net.x, np.ones((5, 1), np.float32), net.truth)
    wanted = np.random.default_rng(seed).random((blocks, blocks)) < 0.4
    found = pairing_effects(net.stack, trace, wanted)
    np.testing.assert_allclose(found, np.where(wanted, pairing_effects(net.stack, trace), 0), rtol=1e-4, atol=1e-5)


def test_centred_effects_ignore_what_no_exchange_can_change():
    generator = np.random.default_rng(0)
    effects, variance = generator.standard_normal((5, 4, 4)), generator.random((4, 4)) + 0.1
    rows, columns = generator.standard_normal((5, 4, 1)), generator.standard_normal((5, 1, 4))
    plain, raised = (_centred(e, variance, False) for e in (effects, effects + rows + columns))
    np.testing.assert_allclose(plain, raised, rtol=1e-3, atol=1e-3)
    # every exchange of two entries is worth what it was
    for e in (plain, effects):
        worth = e[:, 0, 1] + e[:, 1, 0] - e[:, 0, 0] - e[:, 1, 1]
        np.testing.assert_allclose(
            worth, effects[:, 0, 1] + effects[:, 1, 0] - effects[:, 0, 0] - effects[:, 1, 1], rtol=1e-7, atol=1e-7
        )
    np.testing.assert_allclose((plain * variance).sum(2), np.zeros((5, 4)), rtol=0, atol=1e-3)
    np.testing.assert_allclose((plain * variance).sum(1), np.zeros((5, 4)), rtol=0, atol=1e-3)


def recovered(problem, right, tries=6, **options):
    """Whether one of a few attempts finds it, each followed by what the plan follows it with."""
    for seed in range(tries):
        search = Search(problem, seed)
        items = len(problem.stack.in_weight)
        order = search.generator.permutation(items).tolist()
        found = mend(search, mean_field(search, order, **options).arrangement)
        if right(found):
            return True
    return False


def test_pairs_and_order_of_a_trained_network_without_a_prior():
    net = trained_net(data="digits", epochs=1)
    assert recovered(net.problem, lambda found: found == net.truth)


def test_pairs_and_order_of_an_untrained_network_without_a_prior():
    # no weight tells anything here: the outputs alone decide
    net = trained_net(data="digits", epochs=0)
    assert recovered(net.problem, lambda found: found == net.truth)


def test_pairs_and_order_of_a_pool_without_a_prior():
    net = trained_net(data="digits", width=16, hidden=16, epochs=2)
    order = np.random.default_rng(3).permutation(12)
    problem = Problem(pooled_stack(net.stack, order), net.x, net.y, pooled=True)
    truth = Arrangement(
        *(tuple(int(np.flatnonzero(order == k + offset)[0]) for k in range(6)) for offset in (0, 6)),
    )
    assert recovered(problem, lambda found: found == truth)


def test_a_prior_that_knows_the_pairs_keeps_them():
    net = trained_net(epochs=2)
    search = Search(net.problem, 0)
    prior = np.full((6, 6), 1e-6) + np.eye(6)
    found = mean_field(search, [3, 1, 0, 5, 2, 4], prior).arrangement
    assert set(zip(found.ins, found.outs, strict=True)) == {(k, k) for k in range(6)}


def test_exchange_effects_are_the_leading_part_of_an_exchange():
    net = random_net(2, act="tanh", rows=30)
    missed = []
    for share in (0.02, 0.01):
        stack = replace(net.stack, out_weight=share * net.stack.out_weight, out_bias=share * net.stack.out_bias)
        stack, x = stack.to(np.float64), net.x.astype(np.float64)
        trace = stack.trace(x, np.ones((30, 1)), net.truth)
        guess = exchange_effects(stack, trace, net.truth)
        np.testing.assert_array_equal(guess, guess.transpose(0, 2, 1))
        own = stack.forward(x, net.truth)
        worst = 0.0
        for i in range(6):
            for j in range(i + 1, 6):
                truth = (stack.forward(x, Rearrangement("exchange", i, j).apply(net.truth)) - own)[:, 0]
                worst = max(worst, float(np.linalg.norm(guess[:, i, j] - truth) / np.linalg.norm(truth)))
        missed.append(worst)
    assert missed[0] < 0.1
    assert missed[1] < 0.6 * missed[0]


@pytest.mark.parametrize("pair", [(0, 1), (2, 5), (1, 4)])
def test_one_wrong_exchange_is_mended(pair):
    net = random_net(3)
    wrong = Rearrangement("exchange", *pair).apply(net.truth)
    assert best_exchange(Search(net.problem, 0), wrong) == net.truth
    assert mend(Search(net.problem, 0), wrong) == net.truth


def test_what_is_right_is_left_alone():
    net = random_net(3)
    assert best_exchange(Search(net.problem, 0), net.truth) is None
    assert mend(Search(net.problem, 0), net.truth) == net.truth
