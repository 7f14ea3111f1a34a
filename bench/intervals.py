"""Intervals that benches print: of a mean, by Student's t; of a rank correlation, by the bootstrap."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr
from scipy.stats import t as student


def interval(values: np.ndarray) -> tuple[float, float]:
    """The mean and half the width of its 95 % interval by Student's t."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean()), float(half)


def told(values: np.ndarray, digits: int = 3) -> str:
    """Mean ± half the interval."""
    mean, half = interval(values)
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def rank_correlation(first: np.ndarray, second: np.ndarray, draws: int = 4000) -> tuple[float, float, float]:
    """Spearman's correlation, and the ends of its 95 % interval: percentiles over pairs drawn again."""
    rng = np.random.default_rng(0)
    rows = rng.integers(len(first), size=(draws, len(first)))
    drawn = [spearmanr(first[r], second[r]).statistic for r in rows]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(spearmanr(first, second).statistic), float(low), float(high)
