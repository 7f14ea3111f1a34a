"""Polar factors: against scipy, what the polynomials do to singular values, and what no scale or basis may change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import polar

from reknit.errors import InputError, UsageError
from reknit.solvers.polar import coefficients, nearest_to_one, polar_express, polar_factor

INEXACT = ("cubic", "quintic", "muon", "polar-express")
METHODS = ("svd", *INEXACT)
FEW = settings(max_examples=20)
PUBLISHED = (  # arXiv 2505.16932, for a lower end of 1e-3, before the safety factor of 1.01
    (8.28721, -23.5959, 17.3004),
    (4.10706, -2.94785, 0.544843),
    (3.94869, -2.9089, 0.551819),
    (3.31842, -2.48849, 0.510049),
    (2.30065, -1.6689, 0.418807),
    (1.8913, -1.268, 0.376804),
    (1.875, -1.25, 0.375),
)


def orthogonal(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


@st.composite
def matrices(draw, least=0.2):
    """Of known singular values between ``least`` and 1, of any shape."""
    m, n = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    values = rng.uniform(least, 1, min(m, n))
    return orthogonal(rng, m)[:, : len(values)] * values @ orthogonal(rng, n)[:, : len(values)].T


@FEW
@given(matrices())
def test_the_exact_factor_is_scipys(matrix):
    found = polar_factor(matrix)
    np.testing.assert_allclose(found.factor, polar(matrix)[0], atol=1e-10)
    assert found.defect < 1e-12
    assert found.distance < 1e-12


@pytest.mark.parametrize("method", ["cubic", "quintic", "polar-express"])
@FEW
@given(matrices())
def test_what_converges_ends_at_the_exact_factor(method, matrix):
    found = polar_factor(matrix, method, steps=20)
    np.testing.assert_allclose(found.factor, polar(matrix)[0], atol=1e-8)


@pytest.mark.parametrize("method", INEXACT)
@FEW
@given(matrices(1e-3), st.integers(0, 6))
def test_singular_values_pass_through_the_polynomials_and_nothing_else_changes(method, matrix, steps):
    u, values, vt = np.linalg.svd(matrix, full_matrices=False)
    expected = values / np.linalg.norm(matrix)
    for a, b, c in coefficients(method, steps):
        expected = a * expected + b * expected**3 + c * expected**5
    found = polar_factor(matrix, method, steps=steps)
    np.testing.assert_allclose(found.factor, u * expected @ vt, atol=1e-9)
    size = len(values) ** 0.5
    assert found.distance == pytest.approx(np.linalg.norm(expected - 1) / size, abs=1e-9)
    assert found.defect == pytest.approx(np.linalg.norm(expected**2 - 1) / size, abs=1e-9)
    assert found.smallest == pytest.approx(values[-1] / values[0])


@pytest.mark.parametrize("method", METHODS)
@FEW
@given(matrices(), st.floats(1e-200, 1e200), st.integers(0, 1000))
def test_scales_and_other_bases_only_change_the_basis(method, matrix, scale, seed):
    rng = np.random.default_rng(seed)
    left, right = orthogonal(rng, matrix.shape[0]), orthogonal(rng, matrix.shape[1])
    plain = polar_factor(matrix, method).factor
    np.testing.assert_allclose(
        polar_factor(scale * (left @ matrix @ right), method).factor, left @ plain @ right, atol=1e-7
    )
    np.testing.assert_allclose(polar_factor(matrix.T, method).factor, plain.T, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(2, 3, 4, 3), (2, 3, 4), (0, 3, 3), (0, 3), (3, 0), (0, 0)])
def test_batches_are_every_matrix_alone(method, shape):
    batch = np.random.default_rng(0).normal(size=shape)
    found = polar_factor(batch, method)
    assert found.factor.shape == shape
    assert found.defect.shape == found.distance.shape == found.smallest.shape == shape[:-2]
    for index in np.ndindex(*shape[:-2]):
        alone = polar_factor(batch[index], method)
        np.testing.assert_allclose(found.factor[index], alone.factor, atol=1e-12)
        assert found.defect[index] == pytest.approx(alone.defect)
        assert found.distance[index] == pytest.approx(alone.distance, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_matrix_of_zeros_is_told_by_what_is_measured(method):
    found = polar_factor(np.zeros((3, 3)), method)
    assert np.isfinite(found.factor).all()
    assert found.smallest == 0
    assert found.defect == pytest.approx(0 if method == "svd" else 1)


def test_polar_express_has_the_published_coefficients():
    found = polar_express(8)
    for k, published in enumerate(PUBLISHED):
        before_safety = [value * 1.01**power for value, power in zip(found[k], (1, 3, 5), strict=True)]
        np.testing.assert_allclose(before_safety, published, rtol=2e-4)
    np.testing.assert_allclose(found[7], (1.875, -1.25, 0.375), rtol=1e-6)


@given(st.floats(0.01, 0.999))
def test_no_odd_quintic_nearby_is_nearer_to_one(low):
    """The best one's error alternates between its bound and its negative at four points (Chebyshev)."""
    a, b, c = nearest_to_one(low, 1.0)
    x = np.linspace(low, 1, 20_001)
    error = 1 - (a * x + b * x**3 + c * x**5)
    bound = np.abs(error).max()
    signs = np.sign(error[np.abs(error) > bound * (1 - 1e-3) - 1e-13])
    assert 1 + np.count_nonzero(np.diff(signs)) >= 4 or bound < 1e-12


def test_in_five_steps_polar_express_is_nearest_and_muon_is_never_near():
    matrix = np.random.default_rng(0).normal(size=(32, 32))
    near = {method: float(polar_factor(matrix, method).distance) for method in INEXACT}
    assert near["polar-express"] < near["muon"] < near["quintic"] < near["cubic"]
    assert 0.1 < polar_factor(matrix, "muon", steps=50).distance < 0.3


def test_what_has_no_factor_is_refused():
    with pytest.raises(
        InputError, match=r"^matrix: a matrix with 1 axes has no polar factor\. Give rows and columns\.$"
    ):
        polar_factor(np.ones(3))
    with pytest.raises(InputError, match=r"^matrix: an entry is infinite or not a number\. Give finite entries\.$"):
        polar_factor(np.full((2, 2), np.inf))
    with pytest.raises(
        UsageError, match=r"^method: there is no method 'qr' for the polar factor\. Choose one of svd, cub"
    ):
        polar_factor(np.eye(2), "qr")
    with pytest.raises(
        UsageError, match=r"^lower: a lower end of 0 is no share of the norm\. Choose one above 0 and up to"
    ):
        polar_factor(np.eye(2), "polar-express", lower=0)
