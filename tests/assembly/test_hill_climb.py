from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reknit.assembly.hill_climb import (
    SMALLEST_GAIN,
    bradley_terry_order,
    delta_norm_order,
    hill_climb,
    norm_order,
    swapped,
)
from reknit.assembly.problem import OutOfTime, Problem, Search
from reknit.assembly.trace_ratio import trace_ratio
from reknit.network.activations import activation
from reknit.network.norms import norm
from reknit.network.residual_mlp import ResidualMLP
from reknit.network.spec import ResidualSpec
from reknit.network.stack import Arrangement, Stack
from reknit.solvers.assignment import best_matching
from reknit.solvers.ordering import inversions

BLOCKS, WIDTH, HIDDEN, ROWS = 7, 12, 16, 200
PARTS = ("weight", "bias")


def network(seed, act="relu", normed="none", outputs=1, size=0.5):
    """A residual MLP with small random blocks, and what it answers to random inputs."""
    torch.manual_seed(seed)
    spec = ResidualSpec(BLOCKS, WIDTH, HIDDEN, outputs, act, normed)
    model = ResidualMLP(spec).requires_grad_(False)
    for block in model.blocks:
        block.out.weight *= size * float(1 + torch.rand(())) / block.out.weight.norm()
        block.out.bias *= size
    x = torch.randn(ROWS, WIDTH)
    return model, x.numpy(), model(x).numpy()


def problem(seed=0, **options):
    """Its layers in the true order (in-layer k belongs to out-layer k, at position k), and its data."""
    model, x, y = network(seed, **options)
    spec = model.spec
    inner = [block.get_submodule("in") for block in model.blocks]
    outer = [block.out for block in model.blocks]
    stack = Stack(
        *(np.stack([getattr(layer, part).numpy() for layer in kind]) for kind in (inner, outer) for part in PARTS),
        *(getattr(model.head, part).numpy() for part in PARTS),
        activation(spec.activation),
        norm(spec.norm),
        norm(spec.final_norm),
    )
    return Problem(stack, x, y)


TRUTH = Arrangement(tuple(range(BLOCKS)), tuple(range(BLOCKS)))


@pytest.mark.parametrize(("act", "normed", "outputs"), [("relu", "none", 8), ("gelu", "layer", 8), ("tanh", "rms", 8)])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("positions", [[0, 2, 1, 3, 4, 6, 5], [1, 0, 3, 2, 5, 4, 6], [0, 1, 4, 3, 2, 5, 6]])
def test_a_few_swaps_away_it_ends_exact(positions, seed, act, normed, outputs):
    # many outputs, so that one swap can hardly make up for another; with one output it stalls now and then
    search = Search(problem(seed, act=act, normed=normed, outputs=outputs), seed=0)
    assert hill_climb(search, TRUTH.reordered(positions)) == TRUTH
    assert search.best == (pytest.approx(0, abs=1e-12), TRUTH)


def test_the_right_order_stays():
    search = Search(problem(), seed=0)
    assert hill_climb(search, TRUTH) == TRUTH
    assert {stage for stage, *_ in search.log} == {"start", "round"}


@given(st.permutations(range(BLOCKS)), st.permutations(range(BLOCKS)), st.integers(0, 3))
def test_it_only_ever_goes_down_and_keeps_the_pairs(order, partners, seed):
    setting = problem(seed)
    start = Arrangement(tuple(order), tuple(partners))
    search = Search(setting, seed=0)
    final = hill_climb(search, start, rows=50)
    assert sorted(zip(final.ins, final.outs, strict=True)) == sorted(zip(start.ins, start.outs, strict=True))
    errors = [mse for stage, mse, *_ in search.log if stage != "round"]
    assert all(later < earlier - SMALLEST_GAIN * setting.variance for earlier, later in pairwise(errors))
    for _, mse, rows, arrangement, _ in search.log:
        assert rows == 50
        assert mse == setting.mse(arrangement, 50)
    assert search.best is not None
    assert search.best[1] == final


@given(st.permutations(range(BLOCKS)))
def test_after_the_rounds_no_neighbours_want_to_swap(order):
    setting = problem()
    search = Search(setting, seed=0)
    hill_climb(search, TRUTH.reordered(order))
    (_, mse, _, settled, _) = [entry for entry in search.log if entry[0] == "round"][-1]
    for k in range(BLOCKS - 1):
        assert setting.mse(swapped(settled, k, k + 1)) >= mse - SMALLEST_GAIN * setting.variance


@given(st.permutations(range(BLOCKS)), st.permutations(range(BLOCKS)))
def test_what_the_layers_are_called_does_not_matter(names, order):
    plain = problem()
    stack = plain.stack
    renamed = Problem(
        Stack(
            stack.in_weight[names],
            stack.in_bias[names],
            stack.out_weight[names],
            stack.out_bias[names],
            stack.head_weight,
            stack.head_bias,
            stack.activation,
            stack.norm,
            stack.final_norm,
        ),
        plain.x,
        plain.y,
    )
    start = TRUTH.reordered(order)
    called = Arrangement(tuple(names.index(i) for i in start.ins), tuple(names.index(j) for j in start.outs))
    found = hill_climb(Search(renamed, seed=0), called)
    expected = hill_climb(Search(plain, seed=0), start)
    assert Arrangement(tuple(names[i] for i in found.ins), tuple(names[j] for j in found.outs)) == expected


@pytest.mark.parametrize("ranking", [False, True])
def test_a_spent_budget_stops_it_and_the_best_is_kept(ranking):
    search = Search(problem(), seed=0, deadline=-1.0)
    with pytest.raises(OutOfTime):
        hill_climb(search, TRUTH.reordered([1, 0, 2, 3, 4, 5, 6]), ranking=ranking)
    assert search.best is not None


def test_one_block_is_in_order():
    setting = problem()
    single = Arrangement((0,), (0,))
    assert hill_climb(Search(setting, seed=0), single, ranking=True) == single


def test_norm_order_sorts_the_out_layers_by_their_norm():
    stack = problem().stack
    outs = [3, 0, 6, 2]
    norms = [float(np.square(stack.out_weight[j]).sum()) for j in outs]
    assert norm_order(stack, outs) == sorted(range(4), key=lambda k: norms[k])


def test_delta_norm_order_sorts_by_what_a_block_adds_to_the_inputs():
    model, x, _ = network(1)
    added = [float((block(torch.from_numpy(x)) - torch.from_numpy(x)).norm(dim=1).mean()) for block in model.blocks]
    expected = sorted(range(BLOCKS), key=lambda k: added[k])
    assert delta_norm_order(Search(problem(1), seed=0), TRUTH) == expected


@pytest.mark.parametrize("seed", range(4))
def test_from_the_true_order_the_ranking_leaves_few_inversions(seed):
    search = Search(problem(seed), seed=0)
    ranked = TRUTH.reordered(bradley_terry_order(search, TRUTH))
    # every swap costs something, so every comparison favours the order that stands; how much it does is another matter
    assert inversions(ranked.ins, TRUTH.ins) <= 3


def test_the_ranking_is_what_the_climb_starts_from_when_asked():
    search = Search(problem(2), seed=0)
    start = TRUTH.reordered([3, 1, 2, 0, 4, 6, 5])
    hill_climb(search, start, ranking=True)
    assert [stage for stage, *_ in search.log][:2] == ["start", "ranking"]
    assert search.log[0][3] == start
    assert search.log[1][3] == start.reordered(bradley_terry_order(Search(search.problem, seed=0), start))


def test_trace_ratio_against_the_products():
    stack = problem().stack
    found = trace_ratio(stack)
    for i in range(BLOCKS):
        for j in range(BLOCKS):
            product = stack.out_weight[j].astype(np.float64) @ stack.in_weight[i].astype(np.float64)
            assert found[i, j] == pytest.approx(abs(product.trace()) / np.linalg.norm(product), rel=1e-9)
    assert (found <= np.sqrt(WIDTH) + 1e-12).all()


def test_trace_ratio_takes_no_notice_of_size_and_finds_multiples_of_the_identity():
    stack = problem().stack
    inner = np.random.default_rng(0).standard_normal((BLOCKS, HIDDEN, WIDTH))
    outer = -np.linalg.pinv(inner)
    partners = [4, 2, 0, 1, 6, 5, 3]
    made = Stack(
        inner * np.logspace(-3, 3, BLOCKS)[:, None, None],
        stack.in_bias,
        outer[partners],
        *(getattr(stack, name) for name in ("out_bias", "head_weight", "head_bias", "activation", "norm")),
        stack.final_norm,
    )
    scores = trace_ratio(made)
    matched = best_matching(scores)
    assert [partners[j] for j in matched] == list(range(BLOCKS))
    np.testing.assert_allclose(scores[range(BLOCKS), matched], np.sqrt(WIDTH), rtol=1e-4)


def test_trace_ratio_of_a_dead_layer_is_zero():
    stack = problem().stack
    dead = stack.out_weight.copy()
    dead[2] = 0
    scores = trace_ratio(
        Stack(
            stack.in_weight,
            stack.in_bias,
            dead,
            *[
                getattr(stack, name)
                for name in ("out_bias", "head_weight", "head_bias", "activation", "norm", "final_norm")
            ],
        )
    )
    assert not scores[:, 2].any()
    assert np.isfinite(scores).all()
