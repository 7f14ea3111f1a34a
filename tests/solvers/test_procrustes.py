"""Procrustes rotations: what was turned is turned back, none drawn at random is nearer, and what is undecided."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation as Turn

from reknit.errors import InputError
from reknit.solvers.procrustes import procrustes

FEW = settings(max_examples=25)
seeds = st.integers(0, 10_000)


def orthogonal(rng, size, fixed=None):
    """A random orthogonal matrix; one that keeps the columns of ``fixed``, if there are any."""
    kept = np.zeros((size, 0)) if fixed is None else fixed
    basis = np.linalg.qr(np.concatenate([kept, rng.normal(size=(size, size - kept.shape[1]))], 1))[0]
    free = basis[:, kept.shape[1] :]
    turn = np.linalg.qr(rng.normal(size=(free.shape[1], free.shape[1])))[0]
    return np.eye(size) - free @ free.T + free @ turn @ free.T


@FEW
@given(st.integers(1, 12), st.integers(1, 8), seeds)
def test_without_conditions_it_is_scipys(rows, size, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows, size))
    found = procrustes(a, b)
    expected, _ = orthogonal_procrustes(a, b)
    assert found.residual == pytest.approx(np.linalg.norm(a @ expected - b))
    np.testing.assert_allclose(found.matrix @ found.matrix.T, np.eye(size), atol=1e-12)
    assert found.unique == (rows >= size)
    if found.unique:
        np.testing.assert_allclose(found.matrix, expected, atol=1e-8)


@FEW
@given(st.integers(2, 8), st.integers(0, 2), st.booleans(), seeds)
def test_what_was_turned_is_found_again(size, count, proper, seed):
    rng = np.random.default_rng(seed)
    fixed = np.concatenate([np.ones((size, 1)), rng.normal(size=(size, 1))], 1)[:, :count]
    truth = orthogonal(rng, size, fixed)
    if proper and np.linalg.det(truth) < 0:
        free = np.linalg.qr(fixed, mode="complete")[0][:, count:] if count else np.eye(size)
        if not free.shape[1]:
            return
        truth = truth @ (np.eye(size) - 2 * np.outer(free[:, 0], free[:, 0]))
    a = rng.normal(size=(3 * size, size))
    found = procrustes(a, a @ truth, fixed=fixed, proper=proper)
    np.testing.assert_allclose(found.matrix, truth, atol=1e-8)
    np.testing.assert_allclose(found.matrix @ fixed, fixed, atol=1e-9)
    np.testing.assert_allclose(fixed.T @ found.matrix, fixed.T, atol=1e-9)
    assert found.determinant == round(np.linalg.det(truth))
    assert found.residual < 1e-9 * np.linalg.norm(a) + 1e-9


@FEW
@given(st.integers(1, 6), st.booleans(), st.booleans(), seeds)
def test_nothing_that_keeps_the_conditions_is_nearer(size, keep, proper, seed):
    rng = np.random.default_rng(seed)
    fixed = np.ones((size, 1)) if keep else None
    a, b = rng.normal(size=(2, 2 * size, size))
    found = procrustes(a, b, fixed=fixed, proper=proper)
    assert found.determinant == round(np.linalg.det(found.matrix))
    assert found.determinant == 1 or not proper
    assert found.residual == pytest.approx(np.linalg.norm(a @ found.matrix - b))
    for _ in range(30):
        other = orthogonal(rng, size, fixed)
        if not proper or np.linalg.det(other) > 0:
            assert np.linalg.norm(a @ other - b) >= found.residual - 1e-9


@FEW
@given(seeds)
def test_proper_rotations_of_space_are_scipys(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 5, 3))
    expected = Turn.align_vectors(b, a)[0].as_matrix().T
    np.testing.assert_allclose(procrustes(a, b, proper=True).matrix, expected, atol=1e-6)


@FEW
@given(st.integers(1, 6), seeds, st.floats(1e-3, 1e3))
def test_scales_change_nothing_and_both_ways_are_inverse(size, seed, scale):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 2 * size, size))
    plain = procrustes(a, b)
    np.testing.assert_allclose(procrustes(scale * a, b / scale).matrix, plain.matrix, atol=1e-8)
    np.testing.assert_allclose(procrustes(b, a).matrix, plain.matrix.T, atol=1e-8)
    assert procrustes(scale * a, b).gap == pytest.approx(plain.gap)


def test_what_is_undecided_is_told():
    flat = np.diag([2.0, 1.0, 0.0])
    assert not procrustes(flat, flat).unique
    assert procrustes(flat, flat, proper=True).unique  # one direction is unseen, but the determinant decides it
    line = np.diag([2.0, 0.0, 0.0])
    assert not procrustes(line, line, proper=True).unique
    mirrored = np.diag([2.0, 1.0, -1.0])  # the reflection can be undone along either of two directions
    assert procrustes(np.eye(3), mirrored).unique
    assert not procrustes(np.eye(3), mirrored, proper=True).unique


@pytest.mark.parametrize("size", [0, 1])
def test_the_smallest_sizes(size):
    found = procrustes(np.ones((2, size)), -np.ones((2, size)))
    np.testing.assert_allclose(found.matrix, -np.eye(size))
    fixed = procrustes(np.ones((2, size)), -np.ones((2, size)), fixed=np.eye(size))
    np.testing.assert_allclose(fixed.matrix, np.eye(size))
    assert fixed.unique
    assert fixed.determinant == 1


def test_what_does_not_belong_together_is_refused():
    square = np.eye(2)
    with pytest.raises(
        InputError, match=r"^a and b: rows of shapes \(2, 2\) and \(3, 2\)\. Give two of one shape, k x d\."
    ):
        procrustes(square, np.ones((3, 2)))
    with pytest.raises(InputError, match=r"^a and b: an entry is infinite or not a number\. Give finite entries\.$"):
        procrustes(square, square * np.nan)
    with pytest.raises(
        InputError, match=r"^fixed: directions of shape \(3, 1\) for rows of 2 entries\. Give one direct"
    ):
        procrustes(square, square, fixed=np.ones((3, 1)))
    with pytest.raises(
        InputError, match=r"^fixed: the directions depend on each other\. Give a basis of what stays\.$"
    ):
        procrustes(square, square, fixed=np.ones((2, 2)))
