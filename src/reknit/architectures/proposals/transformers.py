"""What the transformers share: embeddings told by their rows, and the usual value where shapes tell nothing."""

from __future__ import annotations

from collections import Counter

from reknit.architectures.shape_pile import Pile, matrices

HEAD_SIZES = (64, 128, 32, 96, 80, 48, 16)
"""What is taken for the size of a head where nothing says it: the first that fits."""


def divisors(number: int) -> list[int]:
    """All, rising.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    return [each for each in range(1, number + 1) if number % each == 0]


def usual_heads(width: int) -> int:
    """The number of heads that is taken where nothing says it."""
    return next((width // size for size in HEAD_SIZES if width % size == 0), 1)


def tables_of(pile: Pile, width: int) -> Counter[int]:
    """Number of rows -> how many matrices of that many rows read or write the stream."""
    found: Counter[int] = Counter()
    for shape, number in matrices(pile).items():
        found[shape[1] if shape[0] == width else shape[0]] += number
    return found


def unusual(sizes: dict[str, int]) -> tuple[bool, bool, int, int]:
    """Few token types, positions a power of two, a large vocabulary: small for what is usual."""
    positions, types = sizes["positions"], sizes.get("token_types", 0)
    is_power = positions >= 16 and positions & (positions - 1) == 0
    return types > 4, not is_power, -sizes["vocab"], positions


def usual_head_size(sizes: list[int]) -> int:
    """The size of a head that is taken where nothing says it; 0 where there is none."""
    return next((size for size in (128, *HEAD_SIZES) if size in sizes), max(sizes, default=0))
