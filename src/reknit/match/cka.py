"""Centred kernel alignment: how alike two representations of the same inputs are.

Source: Kornblith et al. 2019, "Similarity of neural network representations revisited", arXiv 1905.00414; the unbiased
HSIC from Song et al. 2012, "Feature selection via dependence maximization" (JMLR 13), used in CKA by Nguyen et al.,
arXiv 2010.15327.

    CKA(X, Y) = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)),     K, L kernel matrices over the rows of X, Y

    biased      HSIC = tr(K H L H) / (n - 1)^2, H = I - 1 1^T / n; CKA in [0, 1]
    unbiased    with the diagonals of K and L set to zero:
                [tr(K L) + (1^T K 1)(1^T L 1) / ((n-1)(n-2)) - 2 / (n-2) 1^T K L 1] / (n (n-3)); CKA may fall below 0

Linear CKA does not change under an orthogonal map or a change of scale of either side; RBF CKA neither, as its width is
a multiple of the median distance.

Which one: the biased estimate of independent representations is far above 0 when there are more features than rows;
take the unbiased one unless n is many times the width. Known flaw: one outlying row or direction can carry the whole
value (arXiv 2210.16156). Which directions agree is told by ``stochastic_cca`` and ``subspace``.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

from reknit.errors import InputError, UsageError

Kernel = Literal["linear", "rbf"]
Square = Float[np.ndarray, "n n"]


def cka(
    first: Float[np.ndarray, "rows a"],
    second: Float[np.ndarray, "rows b"],
    *,
    kernel: Kernel = "linear",
    unbiased: bool = True,
    width: float = 0.5,
) -> float:
    """CKA of two representations, row i of both belonging to input i.

    Args:
        first: one row an input; the columns need not be as many as ``second``'s.
        second: likewise.
        kernel: ``linear`` compares covariances, ``rbf`` neighbourhoods.
        unbiased: by the unbiased HSIC; needs 4 rows. Else by the biased one, which needs 2.
        width: of the RBF, in median distances between rows.

    Raises:
        UsageError: no such kernel, or a width that is not positive.
        InputError: too few rows, rows that do not match, numbers that are not finite, or a representation that is the
            same for every input (to the noise of the estimate, if unbiased).

    >>> x = np.array([[0.0, 1], [2, 3], [4, 1], [1, 1], [5, 3]])
    >>> round(cka(x, 7 * x[:, ::-1]), 6)
    1.0
    """
    check_rows(first, second, 4 if unbiased else 2)
    if kernel not in ("linear", "rbf") or not width > 0:
        problem = f"there is no kernel {kernel!r} of width {width}"
        raise UsageError(problem, "kernel", "Choose linear, or rbf with a positive width")
    if kernel == "linear" and not unbiased and max(first.shape[1], second.shape[1]) < len(first):
        values = _linear_in_features(first, second)
    else:
        kernels = [linear_kernel(x) if kernel == "linear" else rbf_kernel(x, width) for x in (first, second)]
        estimate = unbiased_hsic if unbiased else biased_hsic
        values = [estimate(kernels[i], kernels[j]) for i, j in ((0, 1), (0, 0), (1, 1))]
    for value, x, where in zip(values[1:], (first, second), ("first", "second"), strict=True):
        if not value > 1e-44 * _scale(x, kernel):  # fourth powers: deviations of 1e-11 of the size are rounding
            raise InputError("the representation hardly varies over these rows", where, "Give more, or other, inputs")
    return float(values[0] / np.sqrt(values[1] * values[2]))


def linear_kernel(x: Float[np.ndarray, "n features"]) -> Square:
    """Inner products of centred rows."""
    centred = np.asarray(x, dtype=np.float64)
    centred = centred - centred.mean(0)
    return np.asarray(centred @ centred.T, dtype=np.float64)


def rbf_kernel(x: Float[np.ndarray, "n features"], width: float = 0.5) -> Square:
    """exp(-d^2 / (2 s^2)), s being ``width`` times the median distance between different rows."""
    gram = linear_kernel(x)
    squares = np.maximum(np.diag(gram)[:, None] + np.diag(gram) - 2 * gram, 0)
    median = float(np.median(squares[np.triu_indices(len(x), 1)]))
    if median == 0:
        raise InputError("half of the rows or more are alike", "rbf", "Give other inputs, or use the linear kernel")
    return np.asarray(np.exp(-squares / (2 * width**2 * median)), dtype=np.float64)


def biased_hsic(first: Square, second: Square) -> float:
    """tr(K H L H) / (n - 1)^2 of two kernel matrices, n >= 2."""
    centred = first - first.mean(0) - first.mean(1, keepdims=True) + first.mean()
    return float((centred * second).sum() / (len(first) - 1) ** 2)


def unbiased_hsic(first: Square, second: Square) -> float:
    """The U-statistic of Song et al. of two symmetric kernel matrices, n >= 4: mean 0 where they are independent."""
    n = len(first)
    k, m = (kernel - np.diag(np.diag(kernel)) for kernel in (first, second))
    rows = (k.sum(0), m.sum(0))
    total = (k * m).sum() + rows[0].sum() * rows[1].sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows[0] @ rows[1]
    return float(total / (n * (n - 3)))


def u_centred(kernel: Square) -> Square:
    """A kernel matrix, n >= 4, such that ``unbiased_hsic(K, L)`` is the sum of U(K) U(L) over n (n - 3).

    Szekely and Rizzo 2014, "Partial distance correlation with methods for dissimilarities", arXiv 1310.2926: CKA of
    many representations with many others is then one product of matrices.
    """
    n = len(kernel)
    hollow = kernel - np.diag(np.diag(kernel))
    rows = hollow.sum(0)
    centred = hollow - (rows + rows[:, None]) / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0.0)
    return np.asarray(centred)


def check_rows(first: Float[np.ndarray, "rows a"], second: Float[np.ndarray, "rows b"], least: int) -> None:
    """Stop unless two representations have the same rows, at least so many, of finite numbers.

    Raises:
        InputError: they have not.
    """
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second):
        problem = f"representations of shapes {first.shape} and {second.shape} are not of the same inputs"
        raise InputError(problem, "rows", "Give one row an input, in the same order")
    if len(first) < least:
        raise InputError(f"{len(first)} rows are too few", "rows", f"Give {least} or more")
    for x, where in ((first, "first"), (second, "second")):
        if not all(np.isfinite(x[k : k + 4096]).all() for k in range(0, len(x), 4096)):
            raise InputError("not every number is finite", where, "Leave out these rows")


def _scale(x: np.ndarray, kernel: Kernel) -> float:
    """The size of a self-HSIC that would be rounding: of a representation of these numbers, not centred."""
    return float(np.square(np.asarray(x, dtype=np.float64)).sum(1).mean() ** 2) if kernel == "linear" else 1.0


def _linear_in_features(first: np.ndarray, second: np.ndarray) -> list[float]:
    """The three biased linear HSICs from covariances of features: no kernel of n x n."""
    x, y = (np.asarray(z, dtype=np.float64) - z.mean(0) for z in (first, second))
    return [float(np.square(a.T @ b).sum() / (len(x) - 1) ** 2) for a, b in ((x, y), (x, x), (y, y))]
