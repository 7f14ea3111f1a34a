"""``diff``: what makes one checkpoint of another, modulo symmetry, names and containers; each change by its name."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reknit import __version__
from reknit.changes.counterparts import find_counterparts
from reknit.changes.found import Diff, TensorChange, Verdict
from reknit.changes.passes import Naming
from reknit.changes.related import Moved
from reknit.changes.sentence import sentence
from reknit.changes.weights import Weights, weights_of
from reknit.containers.tensors import read_tensors
from reknit.match.pairs import check_free


def diff(
    first: str | Path,
    second: str | Path,
    *,
    like: str | None = None,
    input: str | None = None,  # noqa: A002  the word of the command line
    seed: int = 0,
    report: str | Path | None = None,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Diff:
    """Name what makes the second checkpoint of the first.

    Args:
        first: A, a file or folder of tensors.
        second: B; names, order of tensors and container need not be those of A.
        like: the skeleton of both (see ``reknit.assemble``): units are then matched by group, and rotations found.
        input: the shape of an example input for the skeleton.
        seed: of what a skeleton is asked with.
        report: where to draw it as one HTML page.
        force: replace what is there.
        progress: told what is being done.

    Raises:
        InputError: a file or the skeleton cannot be used.
        OutputError: the page cannot be written where it is wanted; found out before the search.
    """
    if report is not None:
        check_free(report, (first, second, like), force=force)
    told = progress or (lambda _: None)
    clock = {"began": time.perf_counter()}
    told("reading")
    weights = weights_of(read_tensors(first)), weights_of(read_tensors(second))
    pairs = find_counterparts(*weights, told)
    clock["paired"] = time.perf_counter()
    moved: Mapping[str, Sequence[Moved]] = {}
    notes: list[str] = []
    if like is not None:
        from reknit.changes.by_skeleton import moved_by_skeleton

        told("matching by the skeleton")
        moved, notes = moved_by_skeleton(weights, pairs, like, input, seed)
    told("naming")
    tensors, groups = Naming(weights, pairs, moved, told).run()
    clock["named"] = time.perf_counter()
    other = _others_changed(weights)
    said = sentence(tensors, groups)
    if other:
        named = ", ".join(other[:3]) + (f" and {len(other) - 3} more" if len(other) > 3 else "")
        said = f"{said}; of what is no weight by its numbers {named} {'differs' if len(other) == 1 else 'differ'}"
    seconds = {"pair": clock["paired"] - clock["began"], "name": clock["named"] - clock["paired"]}
    run: dict[str, Any] = {"a": str(first), "b": str(second), "like": like, "seed": seed, "version": __version__}
    found = Diff(
        _verdict(tensors, other_weights=any(weights[0].tensors.array(name).size > 1 for name in other)),
        said,
        tensors,
        groups,
        tuple(notes),
        (weights[0].aside, weights[1].aside),
        seconds,
        run,
    )
    if report is not None:
        found.report(report, force=force)
    return found


def _others_changed(weights: tuple[Weights, Weights]) -> list[str]:
    """Names of what is no weight (counters, indices, codes without a scale) and is not the same in both files."""
    first, second = weights
    both = [name for name in first.aside if name in second.aside]
    return [name for name in both if not np.array_equal(first.tensors.array(name), second.tensors.array(name))]


def _verdict(tensors: Sequence[TensorChange], *, other_weights: bool = False) -> Verdict:
    """What is said of all; ``other_weights``: whether more than single numbers changed that nobody looked into."""
    if other_weights or not all(each.named for each in tensors):
        return "cannot say"
    exact = all(change.exact for each in tensors for change in each.changes)
    return "exact" if exact else "consistent"
