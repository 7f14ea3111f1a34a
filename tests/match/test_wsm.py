"""Averages that emulate a decay: weights and decays are one another's inverse, and the average is the scaled run."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from match.matched_nets import random_tensors, save, traced
from reknit import merge
from reknit.errors import UsageError
from reknit.match.averages import average
from reknit.match.wsm import (
    DECAYS,
    averaging_weights,
    decay_of_weights,
    interval_decay,
    step_decay,
    weights_of_decay,
)

names = st.sampled_from(sorted(DECAYS))
rising = st.lists(st.integers(1, 500), min_size=2, max_size=12, unique=True).map(sorted)
decays = st.lists(st.floats(0, 1), min_size=0, max_size=9).map(np.array)


@given(name=names, steps=rising)
def test_weights_of_every_named_decay_are_a_mean(name, steps):
    weights = averaging_weights(name, steps)
    assert len(weights) == len(steps)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= -1e-12).all()


@given(decay=decays)
def test_weights_are_non_negative_exactly_if_the_decay_never_rises(decay):
    bounded = np.concatenate([[1.0], decay, [0.0]])
    assert (weights_of_decay(decay) >= 0).all() == all(a >= b for a, b in itertools.pairwise(bounded))


@given(decay=decays)
def test_there_and_back(decay):
    weights = weights_of_decay(decay)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(decay_of_weights(weights), decay, atol=1e-12)


@given(parts=st.lists(st.floats(0.01, 1), min_size=1, max_size=9))
def test_back_and_there(parts):
    weights = np.array(parts) / sum(parts)
    np.testing.assert_allclose(weights_of_decay(decay_of_weights(weights)), weights, atol=1e-12)


@given(name=names, steps=rising, seed=st.integers(0, 999))
def test_the_average_of_a_run_is_the_run_with_its_steps_scaled(name, steps, seed):
    updates = np.random.default_rng(seed).normal(size=(steps[-1] + 1, 3))
    run = np.cumsum(updates, axis=0)
    scaled = run[steps[0]].copy()
    for (before, after), factor in zip(itertools.pairwise(steps), interval_decay(name, steps), strict=True):
        scaled += factor * updates[before + 1 : after + 1].sum(0)
    found = average([{"w": run[s]} for s in steps], averaging_weights(name, steps))["w"]
    np.testing.assert_allclose(found, scaled, atol=1e-9)


@given(name=names, first=st.integers(1, 50), count=st.integers(1, 40))
def test_with_a_checkpoint_at_every_step_the_decay_is_met_exactly(name, first, count):
    steps = range(first, first + count + 1)
    np.testing.assert_allclose(interval_decay(name, steps), step_decay(name, first, first + count), atol=1e-12)


@given(name=names, steps=rising)
def test_however_few_checkpoints_the_way_that_is_gone_is_as_long(name, steps):
    assert np.dot(interval_decay(name, steps), np.diff(steps)) == pytest.approx(
        step_decay(name, steps[0], steps[-1]).sum()
    )


@pytest.mark.parametrize("name", sorted(DECAYS))
def test_a_decay_falls_from_full_rate(name):
    factors = step_decay(name, 100, 1100)
    assert (np.diff(factors) < 0).all()
    assert factors[0] == pytest.approx(1, abs=0.03)
    ends = {"inverse-sqrt": (100 / 1100) ** 0.5}
    assert factors[-1] == pytest.approx(ends.get(name, 0), abs=1e-3)


def test_shapes_between_the_ends():
    assert step_decay("cosine", 0, 3)[1] == pytest.approx(0.5)
    assert step_decay("1-sqrt", 0, 2)[0] == pytest.approx(0.5)
    assert step_decay("inverse-sqrt", 10, 60)[29] == pytest.approx((10 / 39.5) ** 0.5)


@given(weight=st.floats(0, 1), seed=st.integers(0, 99))
def test_the_average_of_copies_is_the_copy(weight, seed):
    state = {"w": np.random.default_rng(seed).normal(size=(2, 3)).astype(np.float32), "empty": np.zeros((0, 2))}
    found = average([state, state], [weight, 1 - weight])
    for key, tensor in state.items():
        assert found[key].dtype == tensor.dtype
        np.testing.assert_allclose(found[key], tensor, rtol=1e-6)


def test_the_verb_averages_with_these_weights(tmp_path):
    """Checkpoints of one run, as ``merge --decay`` reads and writes them."""
    like, steps = "mlp:sizes=6-5-3", (100, 200, 400)
    states = [random_tensors(traced(like)[1], seed) for seed in range(3)]
    paths = [save(tmp_path / f"{step}.safetensors", state) for step, state in zip(steps, states, strict=True)]
    found = merge(paths, like=like, method="none", decay="linear", steps=steps).tensors
    weights = averaging_weights("linear", steps)
    for key in states[0]:
        total = sum(weight * state[key].astype(np.float64) for weight, state in zip(weights, states, strict=True))
        np.testing.assert_allclose(found[key], total, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: step_decay("square", 0, 4), UsageError, "there is no decay 'square'. Choose one of linear, cosine"),
        (lambda: step_decay("linear", 4, 4), UsageError, "a decay from step 4 to step 4 has no steps"),
        (lambda: step_decay("inverse-sqrt", 0, 4), UsageError, "cannot begin at step 0"),
        (lambda: interval_decay("linear", [3]), UsageError, "1 checkpoints emulate no decay"),
        (lambda: averaging_weights("linear", [3, 3]), UsageError, "the steps of the checkpoints do not rise"),
        (lambda: decay_of_weights(np.array([0.5, 0.4])), UsageError, "the weights sum to 0.9"),
        (lambda: decay_of_weights(np.array([np.nan, 1])), UsageError, "the weights sum to nan"),
    ],
)
def test_words(call, error, words):
    with pytest.raises(error, match=words):
        call()
