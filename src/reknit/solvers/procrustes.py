"""Orthogonal Procrustes: the rotation that takes one set of rows nearest to another.

Minimises ``|A Q - B|_F`` among orthogonal Q. Source: Schönemann, "A generalized solution of the orthogonal Procrustes
problem" (1966), doi:10.1007/BF02289451: Q is the polar factor of ``A^T B``. Proper rotations as in Umeyama,
"Least-squares estimation of transformation parameters between two point patterns" (1991), doi:10.1109/34.88573: where
the determinant is -1, the singular direction of the least singular value is turned over.

Directions that must stay as they are (a stream behind a LayerNorm keeps the vector of ones: means are taken along it)
are split off: with V an orthonormal basis of them and W of their complement, ``Q = V V^T + W R W^T``, and R is the
polar factor of ``W^T A^T B W``.

Cost: 2 k d^2 + some 20 d^3 flops. Known flaws: where the least singular values of ``A^T B`` are zero (or, of proper
rotations, equal), many Q are as near as each other: ``unique`` is then False.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from reknit.errors import InputError


@dataclass(frozen=True)
class Rotation:
    """The orthogonal Q nearest to the task, and how sure it is.

    Attributes:
        matrix: Q, d x d.
        residual: ``|A Q - B|_F``.
        determinant: 1 (proper) or -1.
        singular_values: of ``A^T B`` on what may turn, falling.
        gap: what the next best Q would lose (half of it, in ``<A Q, B>``), beside the largest of them; 0: not unique.
    """

    matrix: Float[np.ndarray, "d d"]
    residual: float
    determinant: int
    singular_values: Float[np.ndarray, " free"]
    gap: float

    @property
    def unique(self) -> bool:
        """Whether no other Q is as near, to within rounding."""
        return self.gap > 1e-12 * max(len(self.singular_values), 1)


def procrustes(
    a: Float[np.ndarray, "k d"],
    b: Float[np.ndarray, "k d"],
    *,
    fixed: Float[np.ndarray, "d fixed"] | None = None,
    proper: bool = False,
) -> Rotation:
    """The orthogonal Q that minimises ``|A Q - B|_F``.

    Args:
        a: rows to be turned, finite.
        b: rows they should become, of the same shape.
        fixed: directions, as columns, with ``Q v = v``; linearly independent.
        proper: only rotations, no reflections.

    Raises:
        InputError: the shapes do not belong together, an entry is no number, or the directions depend on each other.

    >>> a = np.eye(2)
    >>> procrustes(a, a[::-1]).matrix.round(12).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.ndim != 2 or first.shape != second.shape:
        raise InputError(f"rows of shapes {first.shape} and {second.shape}", "a and b", "Give two of one shape, k x d")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("an entry is infinite or not a number", "a and b", "Give finite entries")
    kept, free = _split(first.shape[1], fixed)
    u, values, vt = np.linalg.svd(free.T @ (first.T @ second) @ free)
    sign = -1 if len(values) and np.linalg.det(u @ vt) < 0 else 1
    turned = proper and sign < 0
    if turned:
        u[:, -1] *= -1
    matrix = kept @ kept.T + free @ (u @ vt) @ free.T
    residual = float(np.linalg.norm(first @ matrix - second))
    return Rotation(matrix, residual, 1 if turned else sign, values, _gap(values, proper, sign))


def _split(
    size: int, fixed: Float[np.ndarray, "d fixed"] | None
) -> tuple[Float[np.ndarray, "d fixed"], Float[np.ndarray, "d free"]]:
    """Orthonormal bases of what stays and of what may turn."""
    directions = np.zeros((size, 0)) if fixed is None else np.asarray(fixed, dtype=np.float64)
    if directions.ndim != 2 or directions.shape[0] != size:
        problem = f"directions of shape {directions.shape} for rows of {size} entries"
        raise InputError(problem, "fixed", "Give one direction a column")
    if np.linalg.matrix_rank(directions) < directions.shape[1]:
        raise InputError("the directions depend on each other", "fixed", "Give a basis of what stays")
    q = np.linalg.qr(directions, mode="complete")[0] if directions.shape[1] else np.eye(size)
    return q[:, : directions.shape[1]], q[:, directions.shape[1] :]


def _gap(values: Float[np.ndarray, " free"], proper: bool, sign: int) -> float:
    """Half of what turning over the cheapest direction or plane loses, beside the largest singular value.

    Among all orthogonal Q that is the least singular value. Among proper ones two directions turn together: the sum of
    the least two, or their difference if one is turned over already.
    """
    if not len(values):
        return 1.0
    if len(values) == 1:
        return 1.0 if proper else float(values[0] > 0)
    top = max(float(values[0]), np.finfo(np.float64).tiny)
    least, next_least = float(values[-1]), float(values[-2])
    return (next_least + sign * least if proper else least) / top
