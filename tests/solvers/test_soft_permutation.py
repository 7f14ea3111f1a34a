"""Soft permutations: doubly stochastic, hard in the limit, and their gradient three ways."""

import functools
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reknit.errors import InputError, ReknitError, UsageError
from reknit.solvers.assignment import best_matching
from reknit.solvers.sinkhorn_newton import entropic_transport_newton
from reknit.solvers.soft_permutation import soft_permutation

FEW = settings(max_examples=10)
seeds = st.integers(0, 10_000)


def random_scores(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def unrolled(scores, epsilon, rounds=2000):
    """The same plan by iterations that autograd follows."""
    x = torch.zeros(scores.shape[0], 1, dtype=scores.dtype)
    for _ in range(rounds):
        y = -torch.logsumexp(scores / epsilon + x, 0, keepdim=True)
        x = -torch.logsumexp(scores / epsilon + y, 1, keepdim=True)
    return torch.exp(scores / epsilon + x + y)


@FEW
@given(st.integers(0, 8), st.sampled_from([0.1, 0.5, 3.0]), seeds)
def test_rows_and_columns_sum_to_one_and_new_names_rename(size, epsilon, seed):
    scores = random_scores(seed, size, size)
    plan = soft_permutation(scores, epsilon=epsilon)
    assert plan.shape == (size, size)
    assert (plan >= 0).all()
    torch.testing.assert_close(plan.sum(0), torch.ones(size, dtype=torch.float64), atol=1e-7, rtol=0)
    torch.testing.assert_close(plan.sum(1), torch.ones(size, dtype=torch.float64), atol=1e-7, rtol=0)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(soft_permutation(scores[order], epsilon=epsilon), plan[order], atol=1e-7, rtol=0)
    torch.testing.assert_close(soft_permutation(3 * scores + 1, epsilon=3 * epsilon), plan, atol=1e-7, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_small_epsilon_is_the_best_matching(seed):
    scores = random_scores(seed, 20, 20)
    plan = soft_permutation(scores, epsilon=1e-3)
    assert plan.argmax(1).tolist() == best_matching(scores.numpy()).tolist()
    assert plan.max(1).values.min() > 0.99


@pytest.mark.parametrize("epsilon", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_gradient_is_that_of_finite_differences(size, epsilon):
    scores = random_scores(size, size, size).requires_grad_()
    run = lambda s: soft_permutation(s, epsilon=epsilon, tolerance=1e-13)  # noqa: E731
    assert torch.autograd.gradcheck(run, (scores,), eps=1e-5 * epsilon, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("epsilon", [0.2, 1.0])
def test_the_gradient_is_that_of_unrolled_iterations(epsilon):
    scores = random_scores(7, 12, 12)
    weights = random_scores(8, 12, 12)
    one, two = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    (soft_permutation(one, epsilon=epsilon, tolerance=1e-13) * weights).sum().backward()
    (unrolled(two, epsilon) * weights).sum().backward()
    torch.testing.assert_close(one.grad, two.grad, atol=1e-9, rtol=1e-7)


@FEW
@given(st.integers(1, 8), seeds)
def test_offsets_of_rows_and_columns_have_no_gradient(size, seed):
    """They leave the plan as it is."""
    scores = random_scores(seed, size, size).requires_grad_()
    (soft_permutation(scores, epsilon=0.3) * random_scores(seed + 1, size, size)).sum().backward()
    assert scores.grad.sum(0).abs().max() < 1e-7
    assert scores.grad.sum(1).abs().max() < 1e-7


def test_a_batch_is_every_matrix_alone_in_its_own_dtype():
    scores = random_scores(0, 2, 3, 4, 4).float().requires_grad_()
    weights = random_scores(1, 2, 3, 4, 4).float()
    plans = soft_permutation(scores, epsilon=0.5)
    assert plans.dtype == torch.float32
    (plans * weights).sum().backward()
    for i, j in np.ndindex(2, 3):
        alone = scores.detach()[i, j].clone().requires_grad_()
        plan = soft_permutation(alone, epsilon=0.5)
        (plan * weights[i, j]).sum().backward()
        torch.testing.assert_close(plan, plans[i, j])
        torch.testing.assert_close(alone.grad, scores.grad[i, j])
    assert soft_permutation(scores[:0], epsilon=0.5).shape == (0, 3, 4, 4)


def test_a_nearly_hard_plan_has_a_finite_gradient():
    scores = (10 * torch.eye(5, dtype=torch.float64) + random_scores(0, 5, 5)).requires_grad_()
    (soft_permutation(scores, epsilon=1e-2) * random_scores(1, 5, 5)).sum().backward()
    assert scores.grad.abs().max() < 1e-6


def test_a_permutation_is_learned_through_it():
    """Rows were shuffled; descent on what is left of the difference finds the shuffle."""
    rows = random_scores(3, 8, 20)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(5))
    scores = torch.zeros(8, 8, dtype=torch.float64, requires_grad=True)
    for _ in range(40):
        (soft_permutation(scores, epsilon=0.5) @ rows - rows[order]).square().mean().backward()
        with torch.no_grad():
            scores -= scores.grad / scores.grad.norm()
        scores.grad = None
    assert best_matching(scores.detach().numpy()).tolist() == order.tolist()


def test_torch_is_loaded_by_this_file_alone():
    code = "import reknit.solvers.sinkhorn_newton, reknit.solvers.polar, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_what_rates_no_permutation_is_refused(monkeypatch):
    with pytest.raises(
        InputError, match=r"^scores: scores of shape \(2, 3\) rate no permutation\. Give as many columns"
    ):
        soft_permutation(torch.ones(2, 3), epsilon=1)
    with pytest.raises(InputError, match=r"^scores: a score is infinite or not a number\. Give finite scores\.$"):
        soft_permutation(torch.full((2, 2), torch.nan), epsilon=1)
    with pytest.raises(UsageError, match=r"^epsilon: an epsilon of 0 is no weight of the entropy"):
        soft_permutation(torch.ones(2, 2), epsilon=0)
    short = functools.partial(entropic_transport_newton, iterations=3)
    monkeypatch.setattr("reknit.solvers.soft_permutation.entropic_transport_newton", short)
    with pytest.raises(
        ReknitError, match=r"^soft permutation: the marginals of the best plan found are off by .* allowed\. Ch"
    ):
        soft_permutation(random_scores(0, 9, 9), epsilon=0.01)
