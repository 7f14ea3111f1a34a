"""The orthogonal polar factor of a matrix, exactly or by a few matrix products.

Of ``A = U diag(s) V^T`` it is ``U V^T``: the nearest matrix with orthonormal columns (m >= n; else rows), in every
unitarily invariant norm. Every inexact method here applies an odd polynomial to the singular values again and again and
leaves U and V as they are: ``X <- a X + b X X^T X + c (X X^T)^2 X``, begun at ``A / |A|_F``.

| method | (a, b, c) | source |
|---|---|---|
| ``svd`` | exact | |
| ``cubic`` | 3/2, -1/2, 0 | Newton-Schulz; Higham, "Functions of matrices" (2008), doi:10.1137/1.9780898717778 |
| ``quintic`` | 15/8, -10/8, 3/8 | Newton-Schulz of the next order; the same, section 8.3 |
| ``muon`` | 3.4445, -4.7750, 2.0315 | Jordan et al., "Muon" (2024); does not converge: ends near 0.7 to 1.2 |
| ``polar-express`` | others in every step | Amsel, Persson, Musco, Gower (2025), arXiv 2505.16932 |

Polar Express takes in every step the odd quintic that is nearest to 1, in the maximum, on the interval that then holds
the singular values; this makes the worst of the composition of so many steps least. As in the paper the interval is
widened towards zero (``CUSHION``: a quintic for too wide an interval would all but stop in between) and scaled by
``SAFETY`` in all but the last step. Where we depart: the coefficients are solved for by Remez's exchange, in float64,
for any number of steps and any lower end, instead of read from a table.

Cost: (m + n) n^2 multiplications more or less a step, in 2 (cubic) or 3 products, on the smaller side. Known flaws:
a singular value of zero stays zero, one below 1 / 1.5^steps (cubic) or 1 / 3.4^steps (muon) stays small: ``defect`` and
``distance`` tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from reknit.errors import InputError, UsageError

Method = Literal["svd", "cubic", "quintic", "muon", "polar-express"]
Coefficients = tuple[float, float, float]

FIXED: dict[str, Coefficients] = {
    "cubic": (1.5, -0.5, 0.0),
    "quintic": (1.875, -1.25, 0.375),
    "muon": (3.4445, -4.7750, 2.0315),
}
LOWER = 1e-3
CUSHION = 0.02407327  # the authors' own
SAFETY = 1.01


@dataclass(frozen=True)
class Polar:
    """An orthogonal polar factor, or what comes near it.

    Attributes:
        factor: of the shape of the matrix.
        matrix: what it is the factor of.
        method: how it was found.
        steps: of the iteration; 0 for ``svd``.
    """

    factor: Float[np.ndarray, "*batch m n"]
    matrix: Float[np.ndarray, "*batch m n"]
    method: Method
    steps: int

    @property
    def defect(self) -> Float[np.ndarray, "*batch"]:
        """``|Q^T Q - I|_F / sqrt(k)``, or of ``Q Q^T`` where rows are fewer; k is the smaller side. 0 of no entries."""
        slim = self.factor if self.factor.shape[-2] >= self.factor.shape[-1] else self.factor.mT
        size = slim.shape[-1]
        return np.asarray(np.linalg.norm(slim.mT @ slim - np.eye(size), axis=(-2, -1)) / max(size, 1) ** 0.5)

    @cached_property
    def distance(self) -> Float[np.ndarray, "*batch"]:
        """``|Q - U V^T|_F / sqrt(k)``; of a singular matrix, to the one exact factor that the decomposition chose."""
        u, _, vt = np.linalg.svd(self.matrix, full_matrices=False)
        return np.asarray(np.linalg.norm(self.factor - u @ vt, axis=(-2, -1)) / max(u.shape[-1], 1) ** 0.5)

    @cached_property
    def smallest(self) -> Float[np.ndarray, "*batch"]:
        """The smallest singular value of the matrix, beside its largest. Of 0 the exact factor is not unique."""
        values = np.linalg.svd(self.matrix, compute_uv=False)
        if not values.shape[-1]:
            return np.ones(values.shape[:-1])
        return np.asarray(values[..., -1] / np.maximum(values[..., 0], np.finfo(np.float64).tiny))


def polar_factor(
    matrix: Float[np.ndarray, "*batch m n"], method: Method = "svd", *, steps: int = 5, lower: float = LOWER
) -> Polar:
    """The orthogonal factor of ``matrix`` in its polar decomposition, in float64, of every matrix of a batch.

    Args:
        matrix: finite; any batch axes, then rows and columns.
        method: see the head of this file.
        steps: of the iteration.
        lower: of ``polar-express``: singular values from this share of the Frobenius norm on are served best.

    Raises:
        InputError: the matrix has no two axes, or holds what is no number.
        UsageError: there is no such method.

    >>> polar_factor(np.array([[0.0, -2.0], [3.0, 0.0]])).factor.round(12).tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    wide = np.asarray(matrix, dtype=np.float64)
    if wide.ndim < 2:
        raise InputError(f"a matrix with {wide.ndim} axes has no polar factor", "matrix", "Give rows and columns")
    if not np.isfinite(wide).all():
        raise InputError("an entry is infinite or not a number", "matrix", "Give finite entries")
    if method not in get_args(Method):
        choices = ", ".join(get_args(Method))
        raise UsageError(f"there is no method {method!r} for the polar factor", "method", f"Choose one of {choices}")
    if method == "svd" or not wide.size:
        u, _, vt = np.linalg.svd(wide, full_matrices=False)
        return Polar(u @ vt, wide, method, 0)
    return Polar(_iterated(wide, coefficients(method, steps, lower)), wide, method, steps)


def coefficients(method: Method, steps: int, lower: float = LOWER) -> tuple[Coefficients, ...]:
    """The (a, b, c) of every step of an inexact method."""
    return polar_express(steps, lower) if method == "polar-express" else (FIXED[method],) * steps


def _iterated(
    matrix: Float[np.ndarray, "*batch m n"], plan: tuple[Coefficients, ...]
) -> Float[np.ndarray, "*batch m n"]:
    """The polynomials applied in turn, with products of the smaller side."""
    turned = matrix.shape[-2] > matrix.shape[-1]
    factor = matrix.mT if turned else matrix
    largest = np.abs(factor).max(axis=(-2, -1), keepdims=True)  # squares of entries may overflow or vanish
    factor = factor / np.where(largest > 0, largest, 1.0)
    norm = np.linalg.norm(factor, axis=(-2, -1), keepdims=True)
    factor = factor / np.where(norm > 0, norm, 1.0)
    for a, b, c in plan:
        gram = factor @ factor.mT
        factor = a * factor + (b * gram + c * (gram @ gram) if c else b * gram) @ factor
    return np.asarray(factor.mT if turned else factor)


@lru_cache
def polar_express(steps: int, lower: float = LOWER) -> tuple[Coefficients, ...]:
    """The quintic of every step for singular values from ``lower`` to 1.

    >>> [round(value, 4) for value in polar_express(9)[-1]]
    [1.875, -1.25, 0.375]
    """
    if not 0 < lower <= 1:
        raise UsageError(f"a lower end of {lower} is no share of the norm", "lower", "Choose one above 0 and up to 1")
    low, high, found = lower, 1.0, []
    for k in range(steps):
        a, b, c = nearest_to_one(max(low, CUSHION * high), high)
        ends = [a * x + b * x**3 + c * x**5 for x in (low, high)]
        a, b, c = (value * 2 / sum(ends) for value in (a, b, c))  # the cushion moved the ends: 1 in their middle again
        low = a * low + b * low**3 + c * low**5
        high = 2 - low
        room = SAFETY if k < steps - 1 else 1.0
        found.append((a / room, b / room**3, c / room**5))
    return tuple(found)


def nearest_to_one(low: float, high: float) -> Coefficients:
    """The odd quintic whose largest distance from 1 on [low, high] is least, by Remez's exchange.

    Its error alternates at four points, two of them the ends and two where its derivative vanishes.
    """
    if high - low < 5e-6 * high:  # the limit: value 1, first and second derivative 0 at the point
        return 1.875 / high, -1.25 / high**3, 0.375 / high**5
    points = low + (high - low) * np.array([0.0, 0.25, 0.75, 1.0])
    error = np.inf
    for _ in range(100):
        powers = np.stack([points, points**3, points**5, [1.0, -1.0, 1.0, -1.0]], axis=1)
        a, b, c, now = np.linalg.solve(powers, np.ones(4))
        if abs(now - error) <= 1e-15:
            break
        error = now
        root = np.sqrt(9 * b * b - 20 * a * c)
        points[1:3] = np.sqrt((-3 * b + np.array([-root, root])) / (10 * c))
    return float(a), float(b), float(c)
