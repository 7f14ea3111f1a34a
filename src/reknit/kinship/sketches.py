"""A sketch of one file, made of it alone: short vectors that stay alike under laundering, to find likely kin.

Every tensor of two axes or more gives, for each axis of ``m`` labels against the ``n`` numbers behind each,

    gram      || a_k^T X ||^2 / || X ||^2 - 1,   a_k random signs that depend on the seed and on m alone

a Johnson-Lindenstrauss projection of the off-diagonal of the Gram X X^T. It is blind to permutations and signs of the
other axis; once with columns as they are (blind to its rotation too), once with columns of equal length (blind to its
factors instead). Beside it

    spectrum  singular values, blind to permutation, sign and rotation of both axes
    values    quantiles of absolute values, also of vectors, blind to any rearrangement
    sample    numbers at places that depend on the seed and the shape alone

All are divided by a norm, so that one factor on a whole tensor does not count. Files sketched with one seed can be
compared without being opened again. Random signs: Achlioptas, "Database-friendly random projections" (2003,
doi:10.1016/S0022-0000(03)00025-4). Places that do not depend on the file: coordinated sampling, Cohen and Kaplan,
"Summarizing data using bottom-k sketches" (2007, doi:10.1145/1281100.1281133).

A sketch decides what is compared in full, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

SIZE = 64
"""Numbers a vector."""
LARGEST_SPECTRUM = 1024
"""Matrices with more rows and columns have no spectrum in their sketch: it would cost more than all the rest."""
VERSION = 1
"""Sketches of other versions are made anew."""


@dataclass(frozen=True, eq=False)
class Vector:
    """One of the vectors of a sketch.

    Attributes:
        kind: what it was made of and how long the axes are; vectors of one kind can be compared, also across names.
        tensor: the name in the file.
        numbers: of length ``SIZE``, norm 1, or all 0.
    """

    kind: str
    tensor: str
    numbers: Float[np.ndarray, " size"]


def sketch(tensors: Iterator[tuple[str, np.ndarray]] | Mapping[str, np.ndarray], seed: int = 0) -> tuple[Vector, ...]:
    """The vectors of a file.

    Args:
        tensors: names and numbers, one at a time; codes of quantised tensors count as numbers. What holds no number, or
            one that is not finite, is passed over.
        seed: files are comparable if it is the same.
    """
    pairs = tensors.items() if isinstance(tensors, Mapping) else tensors
    return tuple(vector for name, array in pairs for vector in _vectors(name, array, seed))


def _vectors(name: str, array: np.ndarray, seed: int) -> Iterator[Vector]:
    if array.dtype.kind not in "fiu" or array.size < 2 or not np.isfinite(array).all():
        return
    array = array.astype(np.float64)
    if not array.any():
        return
    sizes = "x".join(map(str, sorted(array.shape)))
    yield Vector(f"values {sizes}", name, _unit(_quantiles(np.abs(array.reshape(-1)))))
    if min(array.shape) > 1 or array.ndim > 1:
        yield Vector(f"sample {array.shape}", name, _unit(_sampled(array, seed)))
    for axis, length in enumerate(array.shape if array.ndim > 1 else ()):
        if length < 2 or array.size == length:
            continue
        matrix = np.moveaxis(array, axis, 0).reshape(length, -1)
        against = f"{length} by {matrix.shape[1]}"
        signs = _signs(length, seed)
        yield Vector(f"gram {against}", name, _projected_gram(matrix, signs))
        yield Vector(f"gram of directions {against}", name, _projected_gram(_columns_of_one(matrix), signs))
    if array.ndim == 2 and min(array.shape) <= LARGEST_SPECTRUM:
        values = np.linalg.svd(array, compute_uv=False)
        yield Vector(f"spectrum {sizes}", name, _unit(_resized(values)))


def _signs(length: int, seed: int) -> Float[np.ndarray, "size labels"]:
    return np.random.default_rng([seed, length]).choice([-1.0, 1.0], size=(SIZE, length))


def _projected_gram(matrix: np.ndarray, signs: np.ndarray) -> np.ndarray:
    whole = np.square(matrix).sum()
    if whole == 0:
        return np.zeros(SIZE)
    return _unit(np.square(signs @ matrix).sum(1) / whole - 1)


def _columns_of_one(matrix: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(matrix, axis=0)
    found: np.ndarray = matrix / np.where(norms > 0, norms, 1)
    return found


def _quantiles(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.quantile(values, np.linspace(0, 1, SIZE))
    return found


def _sampled(array: np.ndarray, seed: int) -> np.ndarray:
    places = np.random.default_rng([seed, *array.shape]).integers(array.size, size=SIZE)
    return array.reshape(-1)[places]


def _resized(values: np.ndarray) -> np.ndarray:
    """The first ``SIZE``; fewer are filled up with zeros."""
    found = np.zeros(SIZE)
    found[: min(SIZE, len(values))] = values[:SIZE]
    return found


def _unit(vector: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vector)
    return vector / norm if norm > 0 else np.zeros(SIZE)
