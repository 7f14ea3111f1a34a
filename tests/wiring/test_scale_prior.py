import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reknit.wiring.scale_prior import MOST, scale_prior, scaling_slots
from strategies import seeds


@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_gains_are_favoured_where_slots_scale(seed, gains, biases):
    rng = np.random.default_rng(seed)
    tensors = np.vstack([1 + 0.2 * rng.standard_normal((gains, 50)), 0.5 * rng.standard_normal((biases, 50))])
    slots = [f"gain {k}" for k in range(gains)] + [f"bias {k}" for k in range(biases)]
    prior = scale_prior(slots, set(slots[:gains]), tensors)
    sign = np.where(np.arange(gains + biases) < gains, 1, -1)
    np.testing.assert_array_equal(np.sign(prior), np.outer(sign, sign))
    assert np.abs(prior).max() <= MOST / 2


def test_no_gap_no_prior():
    tensors = np.tile(np.array([[1.0, 0.5]]), (4, 1))
    assert np.abs(scale_prior(["a", "b", "c", "d"], {"a", "b"}, tensors)).max() < 1e-9


def test_slots_of_one_kind_have_no_prior():
    assert not scale_prior(["a", "b"], {"a", "b"}, np.ones((2, 3))).any()
    assert not scale_prior(["a", "b"], set(), np.ones((2, 3))).any()


def test_a_weight_of_one_axis_scales():
    assert scaling_slots(["norm.weight", "norm.bias", "weight"], 1) == {"norm.weight", "weight"}
    assert scaling_slots(["linear.weight"], 2) == set()
