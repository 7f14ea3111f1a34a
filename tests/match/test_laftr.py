"""Distance of functions from one number a unit: exact where gates are constant, drawn gates as oracle, symmetries."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reknit.errors import InputError
from reknit.match.laftr import Stored, estimated_distance, outputs, store, true_distance

seeds = st.integers(0, 10**6)
sizes = st.lists(st.integers(1, 5), min_size=2, max_size=4)


def drawn(seed, *widths):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(b, a)), rng.normal(size=b)) for a, b in pairwise(widths)]


def near(layers, seed, size=0.1):
    rng = np.random.default_rng(seed)
    return [tuple(part + size * rng.normal(size=part.shape) for part in layer) for layer in layers]


def data(seed, width, rows=40):
    return np.random.default_rng(seed).normal(size=(rows, width)) + 0.5


@given(seed=seeds, widths=sizes)
def test_the_distance_to_itself_is_zero(seed, widths):
    layers = drawn(seed, *widths)
    assert estimated_distance(layers, layers, store(layers, data(seed, widths[0]))) == 0


@given(seed=seeds, widths=sizes)
def test_where_every_unit_is_active_it_is_the_true_distance(seed, widths):
    layers = [(np.abs(w), np.abs(b)) for w, b in drawn(seed, *widths)]
    other = [(np.abs(w), np.abs(b)) for w, b in near(layers, seed)]
    x = np.abs(data(seed, widths[0])) + 0.01
    stored = store(layers, x)
    assert all((active == 1).all() for active in stored.active)
    assert estimated_distance(layers, other, stored) == pytest.approx(true_distance(layers, other, x), rel=1e-9)


@given(seed=seeds, inputs=st.integers(1, 5), out=st.integers(1, 5))
def test_of_a_linear_layer_it_is_the_true_distance(seed, inputs, out):
    first, x = drawn(seed, inputs, out), data(seed, inputs)
    second = near(first, seed)
    assert estimated_distance(first, second, store(first, x)) == pytest.approx(true_distance(first, second, x))


@pytest.mark.parametrize("seed", range(2))
def test_it_is_the_mean_over_drawn_gates(seed):
    first, x = drawn(seed, 3, 4, 4, 2), data(seed, 3, 5000)
    second = near(first, seed, 0.3)
    stored = store(first, x)
    rng = np.random.default_rng(seed)
    inputs = rng.multivariate_normal(stored.mean, stored.covariance, size=200_000)
    a, b = inputs, inputs
    for k in range(3):
        a, b = (z @ layers[k][0].T + layers[k][1] for z, layers in ((a, first), (b, second)))
        if k < 2:
            gates = rng.random(a.shape) < stored.active[k]
            a, b = a * gates, b * gates
    squares = np.square(b - a).sum(1)
    error = squares.std() / len(squares) ** 0.5
    assert estimated_distance(first, second, stored) == pytest.approx(squares.mean(), abs=4 * error)


@given(seed=seeds)
def test_units_in_another_order_and_scale_change_nothing(seed):
    first, x = drawn(seed, 3, 5, 2), data(seed, 3)
    second = near(first, seed)
    order = np.random.default_rng(seed).permutation(5)
    scale = np.exp(np.random.default_rng(seed).normal(size=5))

    def changed(layers):
        (w, b), (v, c) = layers
        return [((w * scale[:, None])[order], (b * scale)[order]), ((v / scale)[:, order], c)]

    moved = estimated_distance(changed(first), changed(second), store(changed(first), x))
    assert moved == pytest.approx(estimated_distance(first, second, store(first, x)))


def test_what_is_stored_by_hand():
    layers = [(np.array([[1.0], [-1.0]]), np.array([0.0, 1.0])), (np.ones((1, 2)), np.zeros(1))]
    stored = store(layers, np.array([[-1.0], [2.0], [3.0], [0.5]]))
    assert stored.active[0].tolist() == [0.75, 0.5]
    assert (stored.mean.tolist(), stored.covariance.tolist()) == ([1.125], [[2.296875]])
    assert outputs(layers, np.array([[2.0], [-1.0]])).ravel().tolist() == [2.0, 2.0]


NET = drawn(0, 3, 4, 2)
STORED = store(NET, data(0, 3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: store(NET, data(0, 4)), "do not fit a layer of shape"),
        (lambda: store(NET, data(0, 3)[:0]), "Give one finite row or more"),
        (lambda: store(NET, data(0, 3) * np.inf), "or are not finite"),
        (lambda: store([], data(0, 3)), "make no network"),
        (lambda: store([NET[0], NET[0]], data(0, 3)), "make no network. Give weight and bias of each"),
        (lambda: estimated_distance(NET, drawn(0, 3, 5, 2), STORED), "do not belong together"),
        (lambda: estimated_distance(NET, NET, Stored((), STORED.mean, STORED.covariance)), "do not belong together"),
        (lambda: estimated_distance(NET, near(NET, 0, np.nan), STORED), "not every number is finite"),
    ],
)
def test_words(call, words):
    with pytest.raises(InputError, match=words):
        call()
