"""``round``: numbers on a grid of few bits, one scale for a row, a column or a tensor.

Symmetric: ``scale = max |w| / (2^(k-1) - 1)``, codes from ``-(2^(k-1) - 1)`` to ``2^(k-1) - 1``. Asymmetric: ``scale =
(max(w, 0) - min(w, 0)) / (2^k - 1)``, codes from 0 to ``2^k - 1``, and the code of zero beside it (Jacob and others,
"Quantization and training of neural networks for efficient integer-arithmetic-only inference", 2017, arXiv 1712.05877).
A convolution has its output channels for rows and its input channels for columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from reknit.changes.laundering.state import Codes, State
from reknit.changes.laundering.step import Facts, Given, NumberStep
from reknit.changes.laundering.words import Words

AXES = {"row": 0, "column": 1, "tensor": None}
LEAST, MOST = 2, 16


@dataclass(frozen=True)
class Round(NumberStep):
    """To the nearest code, ties to even."""

    name = "round"
    summary = "rounded to a grid of k bits per row, column or tensor"
    form = "round[:BITS][:row|column|tensor][:symmetric|asymmetric][:codes][@TENSORS]"
    sort = "numbers"
    keeps_function = False

    bits: int = 8
    per: str = "row"
    grid: str = "symmetric"
    as_codes: bool = False

    @classmethod
    def read(cls, words: Words, only: str) -> Round:
        """Bits, axis, kind of grid, and whether codes are stored."""
        bits = words.integer(8, LEAST, MOST)
        per = words.choice("row", "column", "tensor")
        grid, as_codes = words.choice("symmetric", "asymmetric"), words.flag("codes")
        words.end()
        return cls(only, bits, per, grid, as_codes)

    def run(self, state: State, given: Given) -> tuple[State, Facts]:  # noqa: ARG002
        """All matrices on their grids, in float32, or as codes with scales."""
        keys = state.matrices(self.only)
        axis, symmetric = AXES[self.per], self.grid == "symmetric"
        found = {key: on_grid(state.tensors[key], self.bits, axis, symmetric=symmetric) for key in keys}
        facts = {
            key: {
                "bits": self.bits,
                "per": self.per,
                "axis": axis,
                "grid": self.grid,
                "scales": codes.scales,
                "zeros": codes.zeros,
                "levels": len(np.unique(codes.codes)),
            }
            for key, codes in found.items()
        }
        moved = state.with_numbers({k: each.numbers() for k, each in found.items()}, dict.fromkeys(keys, "float32"))
        if self.as_codes:
            moved = replace(moved, codes={**moved.codes, **found})
        return moved, {"tensors": facts}


def on_grid(tensor: Float[np.ndarray, ...], bits: int, axis: int | None, *, symmetric: bool) -> Codes:
    """The codes nearest to a tensor.

    Args:
        tensor: two axes or more.
        bits: 2 to 16.
        axis: along which scales lie; None: one scale.
        symmetric: whether the code of zero is 0.
    """
    numbers = tensor.astype(np.float64)
    others = tuple(k for k in range(tensor.ndim) if k != axis)
    shape = [-1 if k == axis else 1 for k in range(tensor.ndim)]
    if symmetric:
        top = 2 ** (bits - 1) - 1
        scales = _positive(np.abs(numbers).max(others) / top)
        codes = np.rint(numbers / scales.astype(np.float64).reshape(shape)).clip(-top, top)
        return Codes(codes.astype(np.int8 if bits <= 8 else np.int16), scales, None, axis)
    top = 2**bits - 1
    low, high = np.minimum(numbers.min(others), 0), np.maximum(numbers.max(others), 0)
    scales = _positive((high - low) / top)
    wide = scales.astype(np.float64)
    zeros = np.rint(-low / wide).clip(0, top)
    codes = (np.rint(numbers / wide.reshape(shape)) + zeros.reshape(shape)).clip(0, top)
    kind = np.uint8 if bits <= 8 else np.uint16
    return Codes(codes.astype(kind), scales, zeros.astype(kind), axis)


def _positive(scales: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
    """In float32; 1 where everything is zero, or too small to be told from it."""
    short = np.asarray(scales, dtype=np.float32)
    return np.where(short > 0, short, np.float32(1))
