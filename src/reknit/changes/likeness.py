"""How alike two tensors are that may be one another's counterpart, whatever their axes and the order of their units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

QUANTILES = 65
SPECTRUM = 768
"""Rows or columns up to which singular values are compared."""
SAMPLE = 1 << 18
"""Numbers of a tensor that a cosine is taken of."""


@dataclass(frozen=True, eq=False)
class Signature:
    """What is compared of a tensor: itself, and what no order of its units changes."""

    numbers: np.ndarray
    quantiles: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray) -> Signature:
        """Sorted sizes at even places and singular values, both for a tensor of length one."""
        numbers = numbers.astype(np.float32)
        if numbers.ndim == 1 and numbers.size > 1:
            numbers = numbers - numbers.mean()
        size = float(np.linalg.norm(numbers))
        numbers = numbers / size if size > 0 else numbers
        flat = np.sort(numbers.reshape(-1) if numbers.ndim == 1 else np.abs(numbers).reshape(-1))
        quantiles = flat[np.linspace(0, len(flat) - 1, QUANTILES).astype(int)] * len(flat) ** 0.5
        rows = numbers.reshape(len(numbers), -1)
        values = np.zeros(1)
        if numbers.ndim > 1 and min(rows.shape) <= SPECTRUM and np.isfinite(rows).all():
            values = np.sqrt(np.maximum(np.linalg.eigvalsh(_gram(rows))[::-1], 0))
        return cls(numbers, quantiles, values)

    def cosine(self, other: Signature, axes: tuple[int, ...]) -> float:
        """The size of the cosine of both, number by number."""
        turned = self.numbers.transpose(axes)
        return abs(cosine_of(turned, other.numbers.reshape(turned.shape)))

    def likeness(self, other: Signature) -> float:
        """0.9 for tensors that differ by orders of units, less for others."""
        apart = float(np.abs(self.quantiles - other.quantiles).max())
        if len(self.values) == len(other.values) > 1:
            apart = min(apart, float(np.linalg.norm(self.values - other.values)))
        return 0.9 * float(np.exp(-apart / 0.05))


def _gram(rows: np.ndarray) -> np.ndarray:
    wide = rows.astype(np.float64)
    return wide @ wide.T if len(wide) <= wide.shape[1] else wide.T @ wide


def cosine_of(a: np.ndarray, b: np.ndarray) -> float:
    """The cosine of all numbers of two tensors, or of a sample of large ones."""
    first, second = a.reshape(-1), b.reshape(-1)
    if len(first) > SAMPLE:
        step = len(first) // SAMPLE
        first, second = first[::step], second[::step]
    first, second = first.astype(np.float64), second.astype(np.float64)
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / size if size > 0 else 0.0


def extremes(numbers: np.ndarray) -> float:
    """A number that no order of axes changes: the sum of the largest and the least, and of the size."""
    values = numbers.astype(np.float64)
    return float(values.max(initial=-np.inf)) + 2 * float(values.min(initial=np.inf))


def ends_alike(name: str, others: set[str]) -> bool:
    """Whether a name ends in one of the others behind a dot, or one of them in it."""
    return any(name.endswith(f".{each}") or each.endswith(f".{name}") or name == each for each in others)


def common_end(first: str, second: str) -> float:
    """Share of the words of two names that are equal, counted from the end."""
    one, other = first.split(".")[::-1], second.split(".")[::-1]
    same = next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return same / max(len(one), len(other))
