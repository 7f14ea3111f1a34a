"""Who stands before whom by stream Grams, where that contradicts itself: the exact order against the heuristics.

    python -m bench precedence [NAME...]      default: the puzzle, and what lies in REKNIT_CHECKPOINTS

``before[i, j]`` is the correlation of what block i writes with what block j reads, from weights alone; blocks are
shuffled first. Costs are what an order contradicts beyond what every order does; inversions are against the truth.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from bench.common import puzzle_truth, show
from bench.solved_piles import CHECKPOINTS, solved
from reknit.evidence.stream_grams import gram_correlations, gram_direction
from reknit.solvers.feedback_arcs import minimum_feedback_arcs
from reknit.solvers.ordering import contradicted, insertion_search, inversions, sort_by_position

Matrices = list[np.ndarray]
NAMES = (*(f"spliceai-{seed}" for seed in range(1, 6)), "rxnfp", "minilm", "antiberty")


def faces(name: str) -> tuple[Matrices, Matrices]:
    """Per block, what reads the stream and what writes it: stream x units."""
    if name == "puzzle":
        stack = puzzle_truth().stack
        return [inner.T for inner in stack.in_weight], list(stack.out_weight)
    tensors = solved(name)[1]
    if name.startswith("spliceai"):
        blocks = [f"stages.{k // 4}.{k % 4}" for k in range(16)]
        readers = [tensors[f"{block}.conv1.weight"].swapaxes(0, 1) for block in blocks]
        writers = [tensors[f"{block}.conv2.weight"] for block in blocks]
        return [m.reshape(len(m), -1) for m in readers], [m.reshape(len(m), -1) for m in writers]
    inner = [key for key in tensors if key.endswith("intermediate.dense.weight")]
    return [tensors[key].T for key in inner], [tensors[key.replace("intermediate", "output")] for key in inner]


def compare(name: str) -> tuple[object, ...]:
    """One row of the table."""
    readers, writers = faces(name)
    shuffled = np.random.default_rng(0).permutation(len(readers))
    truth = np.argsort(shuffled).tolist()
    before = gram_correlations(
        [gram_direction(writers[k]) for k in shuffled], [gram_direction(readers[k]) for k in shuffled]
    )
    began = time.perf_counter()
    searched = insertion_search(before)
    between = time.perf_counter()
    found = minimum_feedback_arcs(before, seconds=60.0)
    ratio = (time.perf_counter() - between) / (between - began)
    borda = sort_by_position(-(before - before.T).sum(1))
    least = float(np.triu(np.minimum(before, before.T), 1).sum())
    orders = (borda, searched, list(found.order), truth)
    assert found.cost <= contradicted(before, searched) + found.tolerance
    costs = [f"{contradicted(before, order) - least:.3f}" for order in orders]
    off = [str(inversions(order, truth)) for order in orders[:3]]
    return (name, len(truth), *costs, found.gap, found.proven, " ".join(off), ratio)


def main(argv: list[str]) -> None:
    """Print the table."""
    names = argv or ["puzzle", *(NAMES if CHECKPOINTS.exists() else ())]
    costs = ("borda", "insertions", "exact", "truth")
    head = ("network", "blocks", *costs, "gap", "proven", "inversions of the first three", "seconds, of insertions'")
    show("orders by the precedence of stream Grams", head, [compare(name) for name in names])


if __name__ == "__main__":
    main(sys.argv[1:])
