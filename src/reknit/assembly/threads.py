"""Threads of numpy's BLAS: set for a while to what layers of a size can use, and put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

SMALL_LAYER = 20_000
"""Numbers in a layer up to which one thread does the work."""


@contextmanager
def blas_threads(layer: int, threads: int | None = None) -> Iterator[int]:
    """Run with the threads asked for, or with one where layers are small; gives the number that was asked for.

    Products with small layers are not worth sharing out: on layers of 48 x 96 two threads were no faster than one, and
    many times slower as soon as another process wanted a core too, because they wait by spinning (dev/log.md).

    Args:
        layer: numbers in the largest layer.
        threads: None for as many as are set now.
    """
    blas = ThreadpoolController().select(user_api="blas")
    asked = threads or max((library["num_threads"] for library in blas.info()), default=1)
    with blas.limit(limits=1 if layer <= SMALL_LAYER else asked):
        yield asked
