"""Cases in which labels are no coins: units that may not change places in law, told by names, shapes or numbers.

The exact tests ask that the law of one of the two networks is the same for every order of the units. That fails where

- the order means something: inputs, outputs, tokens, positions, the taps of a convolution, dimensions that rotary
  positions turn in pairs, heads with slopes of their own (a skeleton calls these fixed);
- units lie within others: dimensions within heads, the gates of a recurrent cell, channels within groups;
- rows and columns of one matrix run over the same units (recurrent matrices, a stream mixed with itself);
- a table was not drawn but written: one-hot rows, sines of positions;
- a matrix was drawn around an identity: then its rows are tied to its columns;
- neighbours are alike (sines, filter banks, fused blocks), or units follow what they read along a shifted diagonal;
- someone sorted the units, by norm or bias: then the order is a function of the weights. One network whose units were
  sorted does no harm, if those of the other were not: the law of that one is enough.

Each function gives the reason in words, or an empty string.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

SORTED_Z = 5.0
"""In standard deviations of a rank correlation of unit numbers and marks: 6e-7 by chance."""
DIAGONAL_Z = 6.0
_PAIRS, _ORDERS = 4096, 99
IDENTITY = "its diagonal stands out, as if drawn around an identity"

NEIGHBOURS = "neighbouring units are alike: their order means something"
FOLLOWING = "units follow, in their order, the places of what they read"
SEQUENCE_Z, LEAST_ALIKE = 6.0, 0.01
"""Deviations, and cosines, by which neighbours have to be more alike than others, or less."""

TABLE = "a table that is looked up"
LOOKED_UP = re.compile(r"embed|(^|[._])(wte|wpe|token|position|vocab|tok)([._]|$)", re.IGNORECASE)
IN_HEADS = re.compile(
    r"(^|[._])(q|k|v|qkv|query|key|value|q_proj|k_proj|v_proj|c_attn|in_proj\w*|query_key_value|wq|wk|wv)([._]|$)",
    re.IGNORECASE,
)
IN_GATES = re.compile(r"lstm|gru|rnn|weight_[ih]h|recurrent", re.IGNORECASE)


def from_name(name: str) -> str:
    """Why the rows of a tensor of this name are no free units, where no skeleton says what they are.

    >>> from_name("encoder.layer.0.attention.self.query.weight")
    'lies in heads that no skeleton names'
    """
    if LOOKED_UP.search(name):
        return TABLE
    if IN_HEADS.search(name):
        return "lies in heads that no skeleton names"
    if IN_GATES.search(name):
        return "lies in gates of a recurrent cell that no skeleton names"
    return ""


def written_table(table: Float[np.ndarray, "rows columns"]) -> str:
    """Whether a table was written rather than drawn."""
    if not table.size:
        return ""
    if ((table != 0).sum(1) <= 1).all() and len(np.unique(table[table != 0])) <= 2:
        return "one-hot rows"
    return "sines of positions" if _is_sinusoidal(table) else ""


def _is_sinusoidal(table: Float[np.ndarray, "rows columns"], most: float = 1e-3) -> bool:
    """Whether every column obeys x[t+1] + x[t-1] = c x[t], as sines and cosines of one frequency do."""
    if len(table) < 5:
        return False
    middle, outer = table[1:-1].astype(np.float64), table[2:].astype(np.float64) + table[:-2]
    power = np.square(middle).sum(0)
    slope = (middle * outer).sum(0) / np.where(power > 0, power, 1.0)
    left = np.linalg.norm(outer - slope * middle, axis=0)
    return bool((left <= most * np.maximum(np.linalg.norm(outer, axis=0), 1e-30)).all() and (power > 0).all())


def near_identity(tensor: np.ndarray) -> str:
    """Whether the diagonal of a matrix, or of one tap of a kernel, stands out; it ends with the shorter side.

    >>> near_identity(np.random.default_rng(0).normal(size=(30, 30)) + 4 * np.eye(30))
    'its diagonal stands out, as if drawn around an identity'
    """
    if tensor.ndim < 2 or min(tensor.shape[:2]) < 4:
        return ""
    taps = np.asarray(tensor, dtype=np.float64).reshape(*tensor.shape[:2], -1)
    n = min(tensor.shape[:2])
    diagonal = np.zeros(tensor.shape[:2], dtype=bool)
    np.fill_diagonal(diagonal, True)
    for tap in np.moveaxis(taps, 2, 0):
        for values in (tap, tap**2):
            excess = abs(values[diagonal].mean() - values[~diagonal].mean())
            if excess > DIAGONAL_Z * values[~diagonal].std() / n**0.5 + 1e-12 * np.abs(values).max():
                return IDENTITY
    return ""


def same_units_twice(matrix: Float[np.ndarray, "n n"]) -> str:
    """Whether the diagonal of a square matrix stands out, or it resembles its transpose."""
    n = len(matrix)
    if matrix.shape != (n, n) or n < 4:
        return ""
    wide = np.asarray(matrix, dtype=np.float64)
    off = wide[~np.eye(n, dtype=bool)]
    if near_identity(matrix):
        return "its diagonal stands out: rows and columns run over the same units"
    if off.std() == 0:
        return ""
    upper = np.triu_indices(n, 1)
    centred = wide - off.mean()
    alike = (centred[upper] * centred.T[upper]).sum() / (off.var() * len(upper[0]))
    if abs(alike) > DIAGONAL_Z / len(upper[0]) ** 0.5:
        return "it resembles its transpose: rows and columns may run over the same units"
    return ""


def in_sequence(rows: Float[np.ndarray, "units features"], *, least: float = LEAST_ALIKE) -> str:
    """Whether the order of units means something: neighbours are more alike than others, or follow what they read.

    Args:
        rows: a unit a row.
        least: by how much the mean cosine of neighbours has to stand out.

    >>> in_sequence(np.sin(np.outer(np.arange(1, 33), np.arange(1, 9)) / 9))
    'neighbouring units are alike: their order means something'
    """
    if len(rows) < 8 or rows.shape[1] < 2:
        return ""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    held = np.asarray(rows / np.where(norms > 0, norms, 1.0))
    rng = np.random.default_rng(0)  # pairs that the numbers did not choose
    first = rng.integers(len(rows), size=_PAIRS)
    second = (first + rng.integers(1, len(rows), size=_PAIRS)) % len(rows)
    near, any_two = ((held[i] * held[j]).sum(1) for i, j in ((slice(-1), slice(1, None)), (first, second)))
    away = abs(near.mean() - any_two.mean())
    if away > max(least, SEQUENCE_Z * any_two.std() * (1 / len(near) + 1 / _PAIRS) ** 0.5):
        return NEIGHBOURS
    orders = np.array([np.arange(len(rows)), *(rng.permutation(len(rows)) for _ in range(_ORDERS))], dtype=np.float64)
    drawn = np.abs(orders[:, first] - orders[:, second]) @ (any_two - any_two.mean()) / _PAIRS
    if least <= LEAST_ALIKE and abs(drawn[0]) > SEQUENCE_Z * drawn[1:].std() + 1e-9 * len(rows):
        return NEIGHBOURS
    squares = np.square(held)
    centres = squares @ np.arange(rows.shape[1]) / np.where(norms[:, 0] > 0, 1.0, np.inf)
    return FOLLOWING if _is_sorted(centres) else ""


def units_sorted(marks: Iterable[tuple[str, np.ndarray, np.ndarray]]) -> str:
    """Whether the units of both networks stand in the order of a mark; by which marks.

    >>> rising = np.arange(100.0)
    >>> units_sorted([("norm of the incoming weights", rising, rising**2)])
    'units sorted by norm of the incoming weights'
    """
    marks = tuple(marks)
    sorted_a = {word for word, a, _ in marks if _is_sorted(a)}
    sorted_b = {word for word, _, b in marks if _is_sorted(b)}
    if not (sorted_a and sorted_b):
        return ""
    return f"units sorted by {' and by '.join(sorted(sorted_a | sorted_b))}"


def _is_sorted(mark: np.ndarray) -> bool:
    """Whether numbers rise or fall with their place beyond chance; exactly, for a few of them."""
    n = len(mark)
    if n < 8 or np.ptp(mark) == 0:
        return False
    ranks, places = rankdata(mark), np.arange(n)
    correlation = float(np.corrcoef(ranks, places)[0, 1])
    return abs(correlation) * (n - 1) ** 0.5 > SORTED_Z or abs(correlation) > 1 - 1e-12
