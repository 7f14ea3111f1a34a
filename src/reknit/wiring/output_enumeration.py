"""A search by recorded outputs that is no search: where the arrangements are few, each of them is asked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from reknit.wiring.search_state import Search

MOST = 2000
"""Arrangements up to which all are tried; each costs one pass of the recorded inputs."""


def arrangements(search: Search) -> int:
    """How many ways there are to fill the open slots."""
    return math.prod(math.factorial(len(pool.slots)) for pool in (*search.mixed, *search.whole))


def try_all(search: Search) -> float:
    """Put the arrangement of the least error into the placement; returns that error.

    Nothing is skipped unless the time is up: what is found is the best there is, and whether it is good enough is for
    the proof to say.
    """
    least = search.error(search.placement)
    for placement in _all(search):
        if search.late:
            break
        error = search.error(placement)
        if error < least:
            least, search.placement = error, placement
    search.note("all arrangements", least)
    return least


def _all(search: Search) -> Iterator[dict[str, str]]:
    pools = [*search.mixed, *search.whole]
    fixed = dict(search.placement)
    for choice in itertools.product(*(itertools.permutations(pool.tensors) for pool in pools)):
        placement = dict(fixed)
        for pool, tensors in zip(pools, choice, strict=True):
            placement.update(zip(pool.slots, tensors, strict=True))
        yield placement
