"""How far two networks of one skeleton agree, tensor by tensor: by distance, and by their leading singular directions.

A matching that hardly lowers the distance may still align what matters: the directions in which a layer acts most. That
is what Ito, Yamada, Kumagai, "Analysis of linear mode connectivity via permutation-based weight matching" (2024, arXiv
2402.04051) found, so both are shown. With W = U S V' and W' = U' S' V'^T, over the singular values of both layers,

    directions = (1/n) * sum over i, j:  (u_i . u'_j) (v_i . v'_j),   i, j with s_i > 0.3 s_1 and s'_j > 0.3 s'_1

and n the least number of these directions: 1 if all of them agree, about 0 if none do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from reknit.skeleton.skeleton import Skeleton

LEADING = 0.3
"""Share of the largest singular value from which a direction counts, as in the paper's figures."""
MOST = 2048
"""Rows and columns up to which a layer is decomposed."""


@dataclass(frozen=True)
class TensorAgreement:
    """Two tensors in one slot.

    Attributes:
        slot: the key.
        distance: of the two, over the root of the product of their sizes: 0 equal, about 1.4 unrelated.
        directions: agreement of leading singular directions; None for tensors of one axis and very large ones.
    """

    slot: str
    distance: float
    directions: float | None


def agreement(
    skeleton: Skeleton, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]
) -> tuple[TensorAgreement, ...]:
    """Every slot of floating point numbers that both hold, in the skeleton's order."""
    found = []
    for slot in skeleton.slots:
        if slot.key in left and slot.key in right:
            a, b = left[slot.key], right[slot.key]  # once: they may be read from disk
            if a.dtype.kind == "f":
                found.append(TensorAgreement(slot.key, relative_distance(a, b), direction_agreement(a, b)))
    return tuple(found)


def relative_distance(left: Float[np.ndarray, ...], right: Float[np.ndarray, ...]) -> float:
    """|a - b| / sqrt(|a| |b|); 0 if both are 0, infinite if one is.

    >>> relative_distance(np.array([3.0, 4.0]), np.array([3.0, 4.0]))
    0.0
    """
    a, b = (np.asarray(each, dtype=np.float64).reshape(-1) for each in (left, right))
    difference, size = float(np.linalg.norm(a - b)), float(np.sqrt(np.linalg.norm(a) * np.linalg.norm(b)))
    if difference == 0:
        return 0.0
    return difference / size if size > 0 else float("inf")


def direction_agreement(left: Float[np.ndarray, ...], right: Float[np.ndarray, ...]) -> float | None:
    """Agreement of leading singular directions of two layers, their taps side by side; None where it is not asked."""
    if left.ndim < 2 or not left.size:
        return None
    a, b = (np.asarray(each, dtype=np.float64).reshape(len(each), -1) for each in (left, right))
    if max(a.shape) > MOST and min(a.shape) > MOST:
        return None
    (u, s, v), (x, t, y) = (np.linalg.svd(each, full_matrices=False) for each in (a, b))
    if s[0] == 0 or t[0] == 0:
        return 0.0
    first, second = s > LEADING * s[0], t > LEADING * t[0]
    overlaps = (u[:, first].T @ x[:, second]) * (v[first] @ y[second].T)
    return float(overlaps.sum() / min(first.sum(), second.sum()))
