"""Neighbours, descent and margins: against brute force on tiny placements with made-up scores."""

import itertools

import numpy as np
from hypothesis import given

from reknit.evidence.batch_norm_books import NOTHING, Placement
from reknit.evidence.batch_norm_search import Neighbourhood, Place, improve, margins
from strategies import seeds


def placement_of(gammas, kernels=None):
    rest = np.full((len(gammas), 1), NOTHING)
    kernel = np.arange(len(gammas))[:, None] if kernels is None else np.array(kernels)[:, None]
    return Placement(kernel, rest, np.array(gammas)[:, None], rest, rest, rest)


def hood_of(count, spare=(), kinds=None):
    gammas = tuple((Place("gamma", i, 0),) for i in range(count))
    kernels = tuple((Place("kernel", i, 0),) for i in range(count))
    return Neighbourhood((gammas, kernels), (spare, ()), (), kinds or (0,) * count)


def score_of(costs):
    """What gamma costs at its place and beside its kernel."""

    def score(placement):
        places = np.arange(len(placement.gamma))
        gamma, kernel = placement.gamma[:, 0], placement.kernel[:, 0]
        return float(costs[0][places, gamma].sum() + costs[1][kernel, gamma].sum())

    return score


@given(seeds)
def test_nothing_near_is_better_than_what_improve_returns(seed):
    rng = np.random.default_rng(seed)
    score = score_of(rng.standard_normal((2, 4, 5)))
    hood = hood_of(4, spare=(4,))
    start = placement_of(rng.permutation(4))
    end = improve(start, score, hood)
    assert score(end) <= score(start)
    assert score(improve(end, score, hood)) == score(end)
    assert len(set(end.gamma.ravel())) == 4
    assert sorted(end.kernel.ravel()) == [0, 1, 2, 3]


@given(seeds)
def test_margins_are_the_least_loss_over_exchanges(seed):
    rng = np.random.default_rng(seed)
    score = score_of(rng.standard_normal((2, 3, 3)))
    start = placement_of([0, 1, 2])
    found = margins(start, score, hood_of(3))
    strict = margins(start, score, hood_of(3), doubled=True)
    for i in range(3):
        losses = []
        for one, two in itertools.combinations(range(3), 2):
            if i in (one, two):
                gammas = [0, 1, 2]
                gammas[one], gammas[two] = gammas[two], gammas[one]
                losses.append(score(placement_of(gammas)) - score(start))
        assert np.isclose(found.seats[Place("gamma", i, 0)], min(losses))
        if i != 1:  # what a unit holds that is not the next one
            gammas = [0, 1, 2]
            gammas[i] = 2 - i
            losses.append(score(placement_of(gammas)) - score(start))
        assert np.isclose(strict.seats[Place("gamma", i, 0)], min(losses))


@given(seeds)
def test_the_end_of_improve_has_no_negative_order_margin(seed):
    rng = np.random.default_rng(seed)
    score = score_of(rng.standard_normal((2, 4, 4)))
    end = improve(placement_of([0, 1, 2, 3]), score, hood_of(4))
    assert (margins(end, score, hood_of(4)).order >= -1e-9).all()


@given(seeds)
def test_orders_are_all_tried_where_there_are_three_units(seed):
    rng = np.random.default_rng(seed)
    score = score_of(rng.standard_normal((2, 3, 3)))
    fixed = Neighbourhood((), (), (), (0, 0, 0))
    end = improve(placement_of([0, 1, 2]), score, fixed)
    best = min(score(placement_of(order, order)) for order in itertools.permutations(range(3)))
    assert np.isclose(score(end), best)


@given(seeds)
def test_order_margins_are_the_least_loss_with_another_unit_there(seed):
    rng = np.random.default_rng(seed)
    score = score_of(rng.standard_normal((2, 3, 3)))
    start = placement_of([0, 1, 2])
    found = margins(start, score, Neighbourhood((), (), (), (0, 0, 0)))
    for k in range(3):
        others = [order for order in itertools.permutations(range(3)) if order[k] != k]
        losses = [score(placement_of(order, order)) - score(start) for order in others]
        assert np.isclose(found.order[k], min(losses))


def test_units_keep_their_kind():
    costs = np.zeros((2, 2, 2))
    costs[0] = [[1, 0], [0, 1]]
    other = Neighbourhood((), (), (), (0, 1))
    assert improve(placement_of([0, 1]), score_of(costs), other).gamma.ravel().tolist() == [0, 1]
