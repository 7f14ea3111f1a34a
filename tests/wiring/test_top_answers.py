import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reknit.wiring.top_answers import (
    against_threshold,
    agreeing,
    best_temperature,
    chance_losses,
    entropy,
    leads,
    losses,
)
from strategies import seeds


def drawn(seed, rows=4, classes=5):
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed % 2**31), dtype=torch.float64)


@given(seeds, st.integers(1, 5))
def test_an_order_leads_where_it_is_that_of_the_answers_and_only_there(seed, k):
    answer = drawn(seed)
    ids = answer.topk(k).indices
    assert (leads(answer, ids) >= 0).all()
    assert leads(answer, ids).shape == (4, min(k, 4))
    other = drawn(seed + 1).topk(k).indices
    same = (other[:, :4] == ids[:, :4]).all(1)
    assert torch.equal((leads(answer, other) >= 0).all(1), same)


@given(seeds, st.integers(1, 4))
def test_losses_are_the_likelihood_of_an_order_drawn_one_after_the_other(seed, k):
    """The oracle: Plackett-Luce probabilities of all orders, multiplied out, sum to one."""
    answer = drawn(seed, rows=1, classes=4)
    weights = (answer[0] / 0.7).exp()
    total = 0.0
    for order in itertools.permutations(range(4), k):
        left, chance = set(range(4)), 1.0
        for chosen in order:
            chance *= float(weights[chosen] / weights[list(left)].sum())
            left.remove(chosen)
        total += chance
        found = losses(answer, torch.tensor([order]), 0.7)
        assert float(found.sum()) == pytest.approx(-math.log(chance), abs=1e-9)
    assert total == pytest.approx(1)


@given(seeds, st.floats(0.01, 100), st.floats(-10, 10))
def test_size_and_place_of_the_answers_do_not_count(seed, factor, shift):
    answer, ids = drawn(seed, rows=20), drawn(seed + 1, rows=20).topk(2).indices
    here = losses(answer, ids, best_temperature(answer, ids)).mean()
    there = losses(factor * answer + shift, ids, best_temperature(factor * answer + shift, ids)).mean()
    assert float(here) == pytest.approx(float(there), rel=1e-3, abs=1e-6)
    assert float(here) <= float(chance_losses(5, 2).mean()) + 1e-2  # a hot temperature makes all answers equal


@given(seeds)
def test_the_temperature_is_the_best_of_many(seed):
    answer, ids = drawn(seed, rows=20), drawn(seed + 1, rows=20).topk(1).indices
    ids[:12] = answer[:12].topk(1).indices
    best = float(losses(answer, ids, best_temperature(answer, ids)).mean())
    for temperature in torch.logspace(-2, 2, 30).tolist():
        assert best <= float(losses(answer, ids, temperature).mean()) + 1e-3


def test_a_right_order_has_no_loss_and_equal_answers_that_of_chance():
    answer = drawn(0)
    ids = answer.topk(3).indices
    assert float(losses(answer, ids, best_temperature(answer, ids)).mean()) < 0.05
    equal = torch.zeros(4, 5)
    found = losses(equal, ids, best_temperature(equal, ids))
    torch.testing.assert_close(found, chance_losses(5, 3).expand(4, 3))


def test_masked_answers_are_never_on_top_and_leave_slopes_defined():
    answer = torch.tensor([[2.0, -torch.inf, 1.0, -torch.inf]], requires_grad=True)
    ids = torch.tensor([[0, 2]])
    assert leads(answer, ids).tolist() == [[1.0, math.inf]]
    assert leads(answer, torch.tensor([[0, 2, 1]])).tolist() == [[1.0, math.inf, 0.0]]
    (slope,) = torch.autograd.grad(losses(answer, ids, 1.0).sum(), answer)
    assert slope.isfinite().all()
    assert leads(torch.tensor([[math.nan, 0.0]]), torch.tensor([[1]])).isnan().all()


def test_a_number_is_above_its_threshold_or_below():
    answer = against_threshold(torch.tensor([0.2, 0.9]), 0.5)
    assert leads(answer, torch.tensor([[0], [1]]))[:, 0].tolist() == pytest.approx([0.3, 0.4])


def test_what_agrees_and_what_labels_carry_at_most():
    answer = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    assert agreeing(answer, torch.tensor([[0], [0]])) == 0.5
    assert agreeing(answer, torch.tensor([[0, 1, 2], [2, 0, 1]])) == 0.75
    assert entropy(torch.zeros(50, 1, dtype=torch.int64)) == 0
    assert entropy(torch.arange(8).reshape(8, 1)) == pytest.approx(24)
