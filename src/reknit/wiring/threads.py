"""Threads of torch and of numpy's BLAS: set for a while, and put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Run with so many threads; None: as many as are set, of each."""
    if threads is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    try:
        with ThreadpoolController().select(user_api="blas").limit(limits=threads):
            torch.set_num_threads(threads)
            yield
    finally:
        torch.set_num_threads(before)
