"""Sums and powers of taps: against torch's convolutions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reknit.evidence.convolution_taps import (
    EDGES,
    edge_sums,
    passed_on,
    read_units,
    tap_powers,
    tap_sums,
    written_units,
)
from strategies import seeds


@given(seeds, st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]), st.integers(8, 12))
def test_sums_are_the_mean_over_positions_of_a_constant_input(seed, taps, dilation, length):
    rng = np.random.default_rng(seed)
    kernel, mean = rng.standard_normal((4, 3, taps, taps)), rng.standard_normal(3)
    image = torch.tensor(mean)[None, :, None, None].expand(1, 3, length, length)
    padding = (taps // 2) * dilation
    out = torch.nn.functional.conv2d(image, torch.tensor(kernel), padding=padding, dilation=dilation)
    found = passed_on(tap_sums(kernel, length=length, dilation=dilation), mean)
    np.testing.assert_allclose(found, out.mean((0, 2, 3)).numpy(), atol=1e-12)


@given(seeds, st.sampled_from([(6, 1, 6), (6, 3, 1), (6, 2, 3), (4, 1, 2)]))
def test_groups_read_their_own_channels(seed, layout):
    out, inside, groups = layout
    rng = np.random.default_rng(seed)
    kernel, mean = rng.standard_normal((out, inside)), rng.standard_normal(inside * groups)
    expected = torch.nn.functional.conv1d(
        torch.tensor(mean)[None, :, None], torch.tensor(kernel)[..., None], groups=groups
    )
    np.testing.assert_allclose(passed_on(kernel, mean), expected[0, :, 0].numpy(), atol=1e-12)


@given(seeds, st.floats(0, 1))
def test_powers_are_the_variance_of_a_sum_of_correlated_taps(seed, correlation):
    rng = np.random.default_rng(seed)
    kernel = rng.standard_normal((2, 3, 3, 3))
    steps = np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
    line = np.power(correlation, steps)
    covariance = np.kron(line, line)
    flat = kernel.reshape(2, 3, 9)
    np.testing.assert_allclose(tap_powers(kernel, correlation), np.einsum("oit,ts,ois->oi", flat, covariance, flat))


def test_edges_are_tried_from_none_to_half_a_kernel():
    sums = edge_sums(np.ones((1, 1, 5)))
    assert sums.shape == (len(EDGES), 1, 1)
    assert sums[0] == 5
    assert (np.diff(sums[:, 0, 0]) < 0).all()
    assert edge_sums(np.ones((1, 1, 1))).shape == (1, 1, 1)


def test_units_are_rows():
    kernel = np.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(written_units(kernel)[1], kernel[1].ravel())
    np.testing.assert_array_equal(read_units(kernel)[2], kernel[:, 2].ravel())


def test_powers_need_no_taps():
    assert tap_powers(np.full((1, 1), 2.0), 0.5).item() == pytest.approx(4)
