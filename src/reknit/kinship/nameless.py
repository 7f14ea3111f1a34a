"""Files whose names do not agree: counterparts by content, and what choosing them costs the p-value.

``changes.counterparts`` pairs tensors by how alike they are, which looks at labels: independent networks would be
paired where chance made them alike. Every test is valid for a pairing that was fixed beforehand; so that it is valid
for the one that was chosen, p is multiplied by how many could have been (the union bound): for each set of sizes with
n tensors in one file and m >= n in the other, m! / (m - n)! pairings, times the ways to read a tensor with its axes
in another order. Against p-values of 1e-1000 that is little. Quantised tensors are read as the numbers that they
stand for.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np

from reknit.changes.counterparts import Counterpart, find_counterparts
from reknit.changes.views import views_of
from reknit.changes.weights import Weight, Weights, weights_of
from reknit.containers.tensors import read_tensors

State = dict[str, np.ndarray]
BY_NAME = "name"


def matched_by_content(first: Path, second: Path) -> tuple[State, State, float]:
    """Tensors of both files under the names and in the layout of the first, and log10 of the number of choices.

    Raises:
        ContainerError: a file cannot be read.
    """
    files = weights_of(read_tensors(first)), weights_of(read_tensors(second))
    a: State = {}
    b: State = {}
    chosen: list[tuple[Weight, Weight]] = []
    for pair in find_counterparts(*files):
        read = _as_first(pair, files)
        if pair.second is None or read is None:
            continue
        name = pair.views[0].parts[0].name
        a[name], b[name] = files[0].read(pair.views[0].parts[0])[0], read
        if pair.how != BY_NAME and len(_sizes(pair.second)) > 1:  # vectors are not tested
            chosen.append((pair.views[0].parts[0], pair.second))
    return a, b, choices(chosen, files) if chosen else 0.0


def choices(chosen: list[tuple[Weight, Weight]], files: tuple[Weights, Weights]) -> float:
    """log10 of how many pairings there are of the tensors that are of the sizes of those chosen."""
    first, second = (Counter(_sizes(each) for each in file.found) for file in files)
    total = 0.0
    for sizes in {_sizes(weight) for weight, _ in chosen}:
        few, many = sorted((first[sizes], second[sizes]))
        total += (math.lgamma(many + 1) - math.lgamma(many - few + 1)) / math.log(10)
    return total + sum(math.log10(max(len(views_of(a, b.shape)), 1)) for a, b in chosen)


def _as_first(pair: Counterpart, files: tuple[Weights, Weights]) -> np.ndarray | None:
    """The tensor of the second file with its axes as in the first; None where tensors were cut or joined."""
    if pair.second is None or not pair.views or len(pair.views[0].parts) > 1 or pair.views[0].rows is not None:
        return None
    view = pair.views[0]
    shape = view.parts[0].shape
    turned = tuple(shape[axis] for axis in view.axes)
    numbers = files[1].read(pair.second)[0]
    if numbers.size != math.prod(shape):
        return None
    return np.ascontiguousarray(numbers.reshape(turned).transpose(np.argsort(view.axes)))


def _sizes(weight: Weight) -> tuple[int, ...]:
    return tuple(sorted(size for size in weight.shape if size != 1))
