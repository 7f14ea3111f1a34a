"""Canonical correlations of two representations, exactly and from minibatches.

Source: Chapman, Wells and Aguila 2023, "Unconstrained stochastic CCA: unifying multiview and self-supervised learning",
arXiv 2310.01012. With A = [[0, Sxy], [Syx, 0]] and B = diag(Sxx, Syy), canonical correlations are the largest
generalised eigenvalues of (A, B). Their top K are found without a constraint, as the minimum over W = (U, V) of

    L(W) = tr(-2 W^T A W + (W^T B W)(W^T B W)),     min L = -sum of rho_k^2

which has no other local minima. Covariances of a minibatch are unbiased, and with a second, independent minibatch in
one factor of the square so is the gradient.

Afterwards all rows are projected, and the exact CCA of U^T x and V^T y gives correlations in order: those within the
found subspace, never above the exact ones of the same rows but for rounding.

Chosen here: columns are standardised first, and the steps are Adam's with a rate that falls linearly to zero.

Exact CCA costs n (a + b)^2 and the inverse roots of two covariances; take it where these fit. It is a poor measure of
similarity where rows are few: with n <= a + b some correlations are 1 whatever the rows (``few`` says so).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from reknit.errors import UsageError
from reknit.match.cka import check_rows


@dataclass(frozen=True)
class Cca:
    """Canonical correlations, falling, and the directions that have them.

    Attributes:
        correlations: in [0, 1].
        first: directions in the first representation, one a column; ``(x - mean) @ first`` has unit variances.
        second: in the second.
        few: there are too few rows for the correlations to mean anything (rows <= a + b).
    """

    correlations: Float[np.ndarray, " components"]
    first: Float[np.ndarray, "a components"]
    second: Float[np.ndarray, "b components"]
    few: bool


def exact_cca(first: Float[np.ndarray, "rows a"], second: Float[np.ndarray, "rows b"]) -> Cca:
    """All canonical correlations: of orthonormal bases of the centred columns, directions without variance left out.

    Raises:
        InputError: fewer than 2 rows, rows that do not match, or numbers that are not finite.
    """
    check_rows(first, second, 2)
    (q, back_q), (r, back_r) = _whitened(first), _whitened(second)
    left, correlations, right = np.linalg.svd(q.T @ r, full_matrices=False)
    few = len(first) <= first.shape[1] + second.shape[1]
    return Cca(np.clip(correlations, 0, 1), back_q @ left, back_r @ right.T, few)


def stochastic_cca(
    first: Float[np.ndarray, "rows a"],
    second: Float[np.ndarray, "rows b"],
    components: int,
    *,
    batch: int = 256,
    steps: int = 2000,
    rate: float = 0.02,
    seed: int = 0,
) -> Cca:
    """The ``components`` largest canonical correlations, from minibatches of rows.

    Args:
        first: one row an input; may be a memory map, of which two minibatches and a block are read at a time.
        second: likewise.
        components: how many, at most the smaller width.
        batch: rows of a minibatch; two are drawn a step.
        steps: of Adam.
        rate: of the first step, in standardised coordinates.
        seed: of the minibatches and the start.

    Raises:
        UsageError: components, batch or steps out of range.
        InputError: fewer rows than a batch, rows that do not match, or numbers that are not finite.
    """
    check_rows(first, second, max(batch, 2))
    widths = first.shape[1], second.shape[1]
    if not 1 <= components <= min(widths) or batch < 2 or steps < 1:
        problem = f"{components} components of widths {widths} from {steps} batches of {batch}"
        raise UsageError(problem, "components", "Give 1 to the smaller width, a batch of 2 or more and 1 step or more")
    scales = [_column_scales(z) for z in (first, second)]
    rng = np.random.default_rng(seed)
    both = np.vstack([rng.normal(size=(width, components)) / (width * components) ** 0.5 for width in widths])
    moments = np.zeros((2, *both.shape))
    for step in range(steps):
        drawn = [rng.choice(len(first), batch, replace=False, shuffle=False) for _ in range(2)]
        pairs = [[_drawn(z, s, rows) for z, s in zip((first, second), scales, strict=True)] for rows in drawn]
        both = both - rate * (1 - step / steps) * _adam(moments, _gradient(both, pairs, batch), step + 1)
    parts = zip(np.split(both, [widths[0]]), scales, strict=True)
    return _ordered(first, second, [part * scale[:, None] for part, (_, scale) in parts])


def _adam(moments: np.ndarray, gradient: np.ndarray, step: int) -> np.ndarray:
    """The direction of Adam (arXiv 1412.6980) at step 1, 2, ...; the moments are brought up to date in place."""
    decays = np.array([0.9, 0.999])[:, None, None]
    moments += (1 - decays) * (np.stack([gradient, gradient**2]) - moments)
    mean, square = moments / (1 - decays**step)
    return np.asarray(mean / (np.sqrt(square) + 1e-12))


def _drawn(z: np.ndarray, scales: tuple[np.ndarray, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Rows in standardised columns, centred by their own mean."""
    x = (np.asarray(z[rows], dtype=np.float64) - scales[0]) * scales[1]
    return np.asarray(x - x.mean(0))


def _gradient(both: np.ndarray, pairs: list[list[np.ndarray]], batch: int) -> np.ndarray:
    """Of -2 tr W^T A W + tr (W^T B W)(W^T B' W): A, B from the first minibatch, B' from the second, both ways."""
    split = len(pairs[0][0].T)
    scores = [[x @ part for x, part in zip(pair, np.split(both, [split]), strict=True)] for pair in pairs]
    inner = [(s[0].T @ s[0] + s[1].T @ s[1]) / (batch - 1) for s in scores]
    total = np.zeros_like(both)
    for k in range(2):
        (x, y), (zx, zy) = pairs[k], scores[k]
        crossed = np.vstack([x.T @ zy, y.T @ zx]) / (batch - 1)
        within = np.vstack([x.T @ zx, y.T @ zy]) / (batch - 1)
        total += -2 * crossed + 2 * within @ inner[1 - k]
    return total


def _ordered(first: np.ndarray, second: np.ndarray, directions: list[np.ndarray]) -> Cca:
    """Exact CCA of what lies in the span of these directions, over all rows."""
    scores = [
        np.vstack([block @ part for block in _blocks(z)]) for z, part in zip((first, second), directions, strict=True)
    ]
    inner = exact_cca(*scores)
    few = len(first) <= first.shape[1] + second.shape[1]
    return Cca(inner.correlations, directions[0] @ inner.first, directions[1] @ inner.second, few)


def _blocks(z: np.ndarray) -> Iterator[np.ndarray]:
    for k in range(0, len(z), 4096):
        yield np.asarray(z[k : k + 4096], dtype=np.float64)


def _column_scales(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means, and one over the standard deviations; zero for columns that do not vary."""
    mean = np.sum([block.sum(0) for block in _blocks(z)], axis=0) / len(z)
    variance = np.sum([np.square(block - mean).sum(0) for block in _blocks(z)], axis=0) / len(z)
    varies = variance > 1e-12 * (np.square(mean) + variance)
    return mean, np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1)), 0.0)


def _whitened(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An orthonormal basis of the centred columns, and the map to it, times sqrt(rows - 1)."""
    centred = np.asarray(x, dtype=np.float64)
    centred = centred - centred.mean(0)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    kept = sizes > sizes.max(initial=0.0) * 1e-10
    return left[:, kept], right[kept].T / sizes[kept] * (len(x) - 1) ** 0.5
