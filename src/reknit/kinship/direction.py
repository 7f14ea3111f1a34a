"""Which of two related files came first: decided by changes that lose information, and by nothing else.

If every number of B is that of A rounded to a grid, cast to a narrower float or set to zero by a mask, and A holds
numbers that no such change leaves, then B can be made from A and A cannot be made from B: what was lost is not to be
had back. Digits that someone adds to B on purpose forge it, and no weight can tell.

What is not used, with the share of wrong answers measured on fine-tuned networks (docs/kinship.md): growth of norms,
kurtosis, the angle between the difference and the ends, ranks. Counters of training steps count one line of training
forward, but averaging of weights sets them back, so they suggest and do not decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from reknit.changes.naming.losses import lost
from reknit.kinship.relation import Direction, short_names

ENOUGH = 64
"""Numbers that must take part before anything is decided."""
COUNTERS = ("num_batches_tracked", "global_step", "step")
MASKS = ("by magnitude", "at random", "two of four")
"""Patterns of a mask that decide. Whole rows of zeros may be tokens that the parent had not learned yet."""


def direction(first: Path, second: Path, a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> Direction:
    """Which of two files that are related came first.

    Args:
        first: file of A.
        second: file of B.
        a: name -> numbers.
        b: under the same names, in the same basis.
    """
    forth, back = _losses(a, b), _losses(b, a)
    if forth and back:
        return Direction("cannot say", None, "each file has lost what the other still holds: neither is the parent")
    if forth or back:
        parent, child = (first, second) if forth else (second, first)
        kinds = sorted({words for words, _ in (forth or back)})
        count = len(forth or back)
        tensors = "1 tensor" if count == 1 else f"{count} tensors"
        names = dict(zip((first, second), short_names((first, second)), strict=True))
        reason = (
            f"in {tensors} every number of {names[child]} is that of {names[parent]}, {' and '.join(kinds)}; what was "
            f"lost so cannot be had back"
        )
        return Direction("decided", parent, reason)
    return _counted(first, second, a, b)


def _losses(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> list[tuple[str, int]]:
    """Of each tensor of B that is one of A with information lost: how, and how many numbers say so."""
    found = []
    for name, x in a.items():
        y = b.get(name)
        if y is None or x.ndim < 2 or x.dtype.kind != "f" or y.dtype.kind != "f" or x.size < ENOUGH:
            continue
        change = lost(x, y)
        if change is None or (change.kind == "mask" and change.details["pattern"] not in MASKS):
            continue
        told = int(np.count_nonzero(x != y))
        if told >= ENOUGH:
            found.append((change.words if change.kind != "mask" else "some set to zero", told))
    return found


def _counted(first: Path, second: Path, a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> Direction:
    steps = [
        (int(a[name].reshape(-1)[0]), int(b[name].reshape(-1)[0]))
        for name in a
        if name in b and name.rpartition(".")[2] in COUNTERS and a[name].size == b[name].size == 1
    ]
    if steps and (all(x < y for x, y in steps) or all(x > y for x, y in steps)):
        x, y = steps[0]
        earlier = first if x < y else second
        reason = f"its counters of training steps stand at {min(x, y)}, those of the other at {max(x, y)}"
        return Direction("suggested", earlier, reason)
    return Direction("cannot say", None, "no change between them loses information")
