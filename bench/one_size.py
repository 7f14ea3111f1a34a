"""One synthetic network, put in order in a process of its own: ``python -m bench.one_size BLOCKS SEED THREADS``."""

from __future__ import annotations

import json
import math
import resource
import sys
import time

import numpy as np
from threadpoolctl import threadpool_limits

from reknit.assembly import commutator
from reknit.assembly.problem import Problem, Search
from reknit.network.activations import activation
from reknit.network.norms import norm
from reknit.network.stack import Arrangement, Stack
from reknit.solvers.ordering import inversions, sort_by_position

WIDTH, HIDDEN, ROWS, BRANCH, FAR = 32, 64, 4000, 0.1, 3.0


def synthetic(blocks: int, seed: int) -> Problem:
    """Random blocks that add about ``BRANCH`` of the stream each; the outputs are recorded in float64."""
    generator = np.random.default_rng(seed)

    def draw(*shape: int, scale: float) -> np.ndarray:
        return generator.standard_normal(shape, np.float32) * np.float32(scale)

    none = norm("none")
    stack = Stack(
        draw(blocks, HIDDEN, WIDTH, scale=1 / math.sqrt(WIDTH)),
        draw(blocks, HIDDEN, scale=0.5),
        draw(blocks, WIDTH, HIDDEN, scale=BRANCH * math.sqrt(2 / HIDDEN)),
        draw(blocks, WIDTH, scale=0.01),
        draw(1, WIDTH, scale=1 / math.sqrt(WIDTH)),
        draw(1, scale=1.0),
        activation("relu"),
        none,
        none,
    )
    x = draw(ROWS, WIDTH, scale=1.0)
    truth = Arrangement(tuple(range(blocks)), tuple(range(blocks)))
    return Problem(stack, x, stack.to(np.float64).forward(x.astype(np.float64), truth).astype(np.float32))


def nearby(blocks: int, seed: int) -> Arrangement:
    """Every block up to a few places off."""
    places = np.arange(blocks) + FAR * (2 * np.random.default_rng(seed).random(blocks) - 1)
    order = tuple(sort_by_position(places))
    return Arrangement(order, order)


def put_in_order(search: Search, start: Arrangement) -> Arrangement:
    """The search for the order alone; the one place to adapt when its name changes."""
    return commutator.descend(search, start)[1]


def main(blocks: int, seed: int, threads: int) -> None:
    """Order one synthetic network and print what it took as one JSON object."""
    threadpool_limits(threads, user_api="blas")
    problem, start = synthetic(blocks, seed), nearby(blocks, seed)
    truth = Arrangement(tuple(range(blocks)), tuple(range(blocks)))
    problem.mse(truth)
    began = time.perf_counter()
    problem.mse(truth)
    check = time.perf_counter() - began
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    found = put_in_order(Search(problem, seed=seed), start)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = {"solved": found == truth, "left": inversions(found.ins, truth.ins), "seconds": seconds, "check": check}
    line |= {"inversions": inversions(start.ins, truth.ins), "peak": peak / 1024, "before": before / 1024}
    print(json.dumps(line))


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:4]))
